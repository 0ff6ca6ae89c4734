//! Private pages, read from a task's address space.

use std::fs::File;
use std::os::unix::fs::FileExt;

use model::PageObject;

use super::PAGE;
use super::markers::markers;
use super::pages::{CHUNK, Collected};
use crate::error::{Error, Result};
use crate::facts::Facts;
use crate::pod::Task;
use crate::source::traced::RseqArea;
use crate::sys;
use crate::vma::Vma;

/// Digests all private pages of a task. What cannot be read becomes a fact.
pub(crate) fn read(
    task: &Task,
    all: &[Vma],
    rseq: &[RseqArea],
    facts: &mut Facts,
) -> Result<PageObject> {
    let mut space = Space::open(task)?;
    let areas: Vec<u64> =
        rseq.iter().filter(|area| area.pid == task.pid).map(|area| area.address).collect();
    let mut collected = Collected::default();
    for vma in all {
        let first = vma.start / PAGE;
        collected.label(first, (vma.end - vma.start) / PAGE, vma);
        for (start, end, exists) in space.extents(vma)? {
            if exists {
                space.digest((start, end), start / PAGE, &areas, &mut collected)?;
            } else {
                collected.zero(start / PAGE, (end - start) / PAGE);
            }
        }
    }
    let (object, unreadable) = collected.finish();
    facts.put(format!("{}.memory.unreadable", task.name), unreadable);
    Ok(object)
}

/// An address space that can be read.
#[derive(Debug)]
pub(crate) struct Space {
    pid: i32,
    memory: File,
    pagemap: File,
    buffer: Vec<u8>,
}

impl Space {
    pub(crate) fn open(task: &Task) -> Result<Self> {
        let open = |name: &str| {
            let path = task.proc().join(name);
            File::open(&path).map_err(|source| Error::read(&path, source))
        };
        let (memory, pagemap) = (open("mem")?, open("pagemap")?);
        Ok(Space { pid: task.pid, memory, pagemap, buffer: vec![0; CHUNK] })
    }

    /// Cuts a mapping into what must be read and what was never touched.
    fn extents(&self, vma: &Vma) -> Result<Vec<(u64, u64, bool)>> {
        if vma.untouched() {
            let markers = markers(&self.pagemap, vma.start, vma.end);
            let failed = |errno| Error::call("PAGEMAP_SCAN", self.pid.to_string(), errno);
            return Ok(between(vma, &markers.map_err(failed)?));
        }
        if !vma.anonymous() && !vma.huge_anonymous() {
            return Ok(vec![(vma.start, vma.end, true)]);
        }
        let mut extents: Vec<(u64, u64, bool)> = Vec::new();
        let mut entries = vec![0u8; 32 << 10];
        let mut page = vma.start / PAGE;
        while page < vma.end / PAGE {
            let wanted = entries.len().min(((vma.end / PAGE - page) * 8) as usize);
            self.pagemap
                .read_exact_at(&mut entries[..wanted], page * 8)
                .map_err(|error| Error::call("reading pagemap", self.pid.to_string(), error))?;
            for entry in entries[..wanted].chunks_exact(8) {
                let exists = exists(entry);
                let (start, end) = (page * PAGE, (page + 1) * PAGE);
                match extents.last_mut() {
                    Some(last) if last.2 == exists => last.1 = end,
                    _ => extents.push((start, end, exists)),
                }
                page += 1;
            }
        }
        Ok(extents)
    }

    /// Reads a range of addresses in large pieces and digests its pages, the first of which has
    /// this index in its object.
    pub(crate) fn digest(
        &mut self,
        (start, end): (u64, u64),
        first: u64,
        rseq: &[u64],
        collected: &mut Collected,
    ) -> Result<()> {
        let mut at = start;
        while at < end {
            let index = first + (at - start) / PAGE;
            let wanted = CHUNK.min((end - at) as usize);
            let got = self.fill(at, wanted)? / PAGE as usize * PAGE as usize;
            if got == 0 {
                collected.unreadable(index);
                at += PAGE;
                continue;
            }
            let bytes = &mut self.buffer[..got];
            rseq.iter().for_each(|&area| mask_rseq(area, at, bytes));
            collected.bytes(index, bytes);
            at += got as u64;
        }
        Ok(())
    }

    /// A page, or nothing where nobody can read it.
    pub(crate) fn page(&mut self, address: u64) -> Result<Option<Vec<u8>>> {
        let got = self.fill(address, PAGE as usize)?;
        Ok((got == PAGE as usize).then(|| self.buffer[..got].to_vec()))
    }

    /// The quick call first; it respects protections, which `/proc/PID/mem` overrides.
    fn fill(&mut self, at: u64, wanted: usize) -> Result<usize> {
        if let Ok(got) = sys::read_memory(self.pid, at, &mut self.buffer[..wanted])
            && got >= PAGE as usize
        {
            return Ok(got);
        }
        match self.memory.read_at(&mut self.buffer[..wanted], at) {
            Ok(got) => Ok(got),
            Err(error) if matches!(error.raw_os_error(), Some(libc::EIO | libc::EFAULT)) => Ok(0),
            Err(error) => {
                Err(Error::call("reading memory", format!("{} at {at:#x}", self.pid), error))
            }
        }
    }
}

/// Cuts a mapping that nobody has touched at the guards in it.
fn between(vma: &Vma, guards: &[(u64, u64)]) -> Vec<(u64, u64, bool)> {
    let (mut extents, mut at) = (Vec::new(), vma.start);
    for &(start, end) in guards {
        extents.extend([(at, start, false), (start, end, true)]);
        at = end;
    }
    extents.push((at, vma.end, false));
    extents
}

/// Whether a page is present (bit 63) or swapped out (bit 62), see pagemap in proc(5).
fn exists(entry: &[u8]) -> bool {
    entry.last().is_some_and(|byte| byte & 0xc0 != 0)
}

/// Blanks what the kernel writes into a registered rseq area whenever the thread goes back to
/// user space: cpu_id_start and cpu_id (bytes 0 to 8), node_id and mm_cid (20 to 28). See
/// `struct rseq` in include/uapi/linux/rseq.h. The rest of the area is state.
pub(crate) fn mask_rseq(area: u64, start: u64, bytes: &mut [u8]) {
    for (from, to) in [(0, 8), (20, 28)] {
        for address in area + from..area + to {
            let byte = address.checked_sub(start).and_then(|at| bytes.get_mut(at as usize));
            if let Some(byte) = byte {
                *byte = 0;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_the_kernel_writes_is_blanked() {
        let mut bytes = vec![1u8; 64];
        mask_rseq(0x1010, 0x1000, &mut bytes);
        let blank: Vec<usize> = (0..64).filter(|&at| bytes[at] == 0).collect();
        assert_eq!(blank, (16..24).chain(36..44).collect::<Vec<_>>());
        mask_rseq(0xff0, 0x1000, &mut bytes);
        assert_eq!(bytes.iter().filter(|&&byte| byte == 0).count(), 16 + 8);
    }
}
