//! Shared pages: each backing object once, whoever maps it.

use std::collections::BTreeMap;
use std::fs::File;
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt;

use model::PageObject;
use nix::sys::statfs::{TMPFS_MAGIC, statfs};
use nix::unistd::{Whence, lseek};

use super::PAGE;
use super::pages::{CHUNK, Collected};
use super::private::Space;
use crate::error::{Error, Result};
use crate::facts::Facts;
use crate::pod::Task;
use crate::vma::Vma;

/// Shared objects by device and inode, and where they are mapped.
#[derive(Debug, Default)]
pub(crate) struct Objects<'t> {
    places: BTreeMap<String, Vec<(&'t Task, Vma)>>,
}

impl<'t> Objects<'t> {
    /// Notes the shared mappings of a task; tasks come in their order.
    pub(crate) fn note(&mut self, task: &'t Task, all: Vec<Vma>) {
        for vma in all {
            self.places.entry(vma.object.clone()).or_default().push((task, vma));
        }
    }

    /// Reads every object once, under the name of the first place that maps it.
    pub(crate) fn read(
        self,
        objects: &mut BTreeMap<String, PageObject>,
        facts: &mut Facts,
    ) -> Result<()> {
        for mut places in self.places.into_values() {
            let Some((task, vma)) = places.first() else { continue };
            let name = format!("{}.shared.{:x}", task.name, vma.start);
            places.sort_by_key(|(_, vma)| vma.offset);
            let (object, unreadable) = object(&places)?.finish();
            facts.put(format!("{name}.unreadable"), unreadable);
            objects.insert(name, object);
        }
        Ok(())
    }
}

/// The mapped parts of an object, in the order of their offsets.
fn object(places: &[(&Task, Vma)]) -> Result<Collected> {
    let mut collected = Collected::default();
    let mut done = 0;
    for (task, vma) in places {
        let (start, end) = (vma.offset.max(done), vma.offset + (vma.end - vma.start));
        if start >= end {
            continue;
        }
        collected.label(start / PAGE, (end - start) / PAGE, vma);
        if vma.shmem() || in_tmpfs(task, vma)? {
            from_file(task, vma, (start, end), &mut collected)?;
        } else {
            // Memory and file are one page cache, and reading here opens no file, so that
            // nobody who watches it is told.
            let address = vma.start + (start - vma.offset);
            let range = (address, address + (end - start));
            Space::open(task)?.digest(range, start / PAGE, &[], &mut collected)?;
        }
        done = end;
    }
    Ok(collected)
}

/// Whether the file that is mapped is memory itself, so that a page of a hole is made by whoever
/// reads it through an address space, and a hole is one no longer.
fn in_tmpfs(task: &Task, vma: &Vma) -> Result<bool> {
    let path = vma.file(&task.proc());
    let about = statfs(&path).map_err(|errno| Error::read(&path, errno.into()))?;
    Ok(about.filesystem_type() == TMPFS_MAGIC)
}

/// Reads what is memory, with a name or without, through `map_files`: unlike a read through the
/// address space this fills no hole.
fn from_file(
    task: &Task,
    vma: &Vma,
    (start, end): (u64, u64),
    collected: &mut Collected,
) -> Result<()> {
    let path = vma.file(&task.proc());
    let failed = |source| Error::read(&path, source);
    let file = File::open(&path).map_err(failed)?;
    let size = file.metadata().map_err(failed)?.len().next_multiple_of(PAGE);
    let mut at = start;
    while at < end.min(size) {
        let data = match lseek(file.as_fd(), at.cast_signed(), Whence::SeekData) {
            Ok(data) => (data.cast_unsigned() / PAGE * PAGE).min(end),
            Err(nix::errno::Errno::ENXIO) => end.min(size),
            Err(errno) => return Err(failed(errno.into())),
        };
        collected.zero(at / PAGE, (data - at) / PAGE);
        at = chunk(&file, data, end.min(size), collected).map_err(failed)?;
    }
    for page in at / PAGE..end / PAGE {
        collected.unreadable(page);
    }
    Ok(())
}

/// Reads at most one chunk and returns where it ended.
fn chunk(file: &File, at: u64, end: u64, collected: &mut Collected) -> std::io::Result<u64> {
    if at >= end {
        return Ok(at);
    }
    let mut buffer = vec![0u8; CHUNK.min((end - at) as usize)];
    let mut filled = 0;
    while filled < buffer.len() {
        match file.read_at(&mut buffer[filled..], at + filled as u64)? {
            0 => break,
            got => filled += got,
        }
    }
    // A short last page reads as zero up to its end.
    collected.bytes(at / PAGE, &buffer);
    Ok(at + buffer.len() as u64)
}
