//! Single pages of a restored pod, for whoever wants to see what a digest does not show: as they
//! are now, and as they were dumped.
//!
//! What cannot be had is told with the reason. Nobody is told whether bytes are those that a
//! capture has seen: that is for the reader to find out, by the capture's digests.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

use criu::image::Schema;
use model::message::{FoundPage, PageBytes, WantedPage};
use model::pod::PodStatus;

use crate::error::{Error, Result};
use crate::images::{Dumped, Pages, Why};
use crate::memory::{PAGE, Space};
use crate::pod::{Container, Pod, Task};
use crate::vma::{self, Vma};

/// Looks into pages of a frozen pod; `images` has its containers in order, each with the folder of
/// the images that it was restored from.
///
/// # Errors
/// When the pod cannot be looked at. That a page cannot be had is an answer.
pub fn pages(
    status: &PodStatus,
    images: &[(String, PathBuf)],
    schema: &Schema,
    wanted: &[WantedPage],
) -> Result<Vec<FoundPage>> {
    let pod = Pod::find(status)?;
    let folder = |container: &Container<'_>| {
        let of = images.iter().find(|(name, _)| *name == container.status.name);
        of.map(|(_, folder)| Pages::new(folder.clone(), schema))
    };
    let mut dumps: Vec<_> = pod.containers.iter().map(folder).collect();
    let found = wanted.iter().map(|wanted| {
        let owner = owner(&pod, &wanted.object)?;
        let dump = dumps[owner.container].as_mut();
        Some(look(&pod, &owner, dump, wanted))
    });
    let nobody = |it: &WantedPage| unknown(it, &format!("no task has {} now", it.object));
    Ok(found.zip(wanted).map(|(found, it)| found.unwrap_or_else(|| nobody(it))).collect())
}

/// Whose an object is by its name, and which of the task's.
struct Owner<'p> {
    /// Index of the container in the pod.
    container: usize,
    task: &'p Task,
    /// Where the task maps it; nothing for its private pages.
    shared: Option<u64>,
}

/// Finds the task that an object is named after.
fn owner<'p>(pod: &'p Pod<'_>, object: &str) -> Option<Owner<'p>> {
    let tasks = pod.containers.iter().enumerate();
    let mut tasks = tasks.flat_map(|(index, it)| it.tasks.iter().map(move |task| (index, task)));
    tasks.find_map(|(container, task)| {
        let rest = object.strip_prefix(&task.name)?.strip_prefix('.')?;
        let shared = match rest.strip_prefix("shared.") {
            Some(start) => Some(u64::from_str_radix(start, 16).ok()?),
            None if rest == "memory" => None,
            None => return None,
        };
        Some(Owner { container, task, shared })
    })
}

fn look(
    pod: &Pod<'_>,
    owner: &Owner<'_>,
    dump: Option<&mut Pages<'_>>,
    wanted: &WantedPage,
) -> FoundPage {
    let within = wanted.index.saturating_mul(PAGE);
    let place = place(pod, owner, within).map_err(|error| error.to_string());
    let after = match &place {
        _ if !wanted.after => PageBytes::NotWanted,
        Ok(Some(place)) => told(now(place)),
        Ok(None) => told(Err("not mapped".to_owned())),
        Err(why) => told(Err(why.clone())),
    };
    let place = place.ok().flatten();
    let before = match dump {
        _ if !wanted.before => PageBytes::NotWanted,
        Some(dump) => told(then(dump, owner, within, place.as_ref())),
        None => told(Err("its container has no images".to_owned())),
    };
    FoundPage { address: place.map(|place| place.address), before, after }
}

/// Where a page is mapped now.
struct Mapped<'p> {
    task: &'p Task,
    vma: Vma,
    address: u64,
}

/// Finds where a page is mapped now: at its address, or wherever its part of a shared object is.
fn place<'p>(pod: &'p Pod<'_>, owner: &Owner<'p>, within: u64) -> Result<Option<Mapped<'p>>> {
    let all = vma::ranges(owner.task)?;
    let Some(start) = owner.shared else {
        let covers = |vma: &Vma| !vma.shared() && vma.start <= within && within < vma.end;
        let vma = all.into_iter().find(covers);
        return Ok(vma.map(|vma| Mapped { task: owner.task, vma, address: within }));
    };
    let Some(first) = all.iter().find(|vma| vma.shared() && vma.start == start) else {
        return Ok(None);
    };
    let object = first.object.clone();
    let others = pod.tasks().filter(|task| !task.zombie && task.pid != owner.task.pid);
    for task in [owner.task].into_iter().chain(others) {
        let holds =
            |vma: &Vma| vma.shared() && vma.object == object && address(vma, within).is_some();
        if let Some(vma) = vma::ranges(task)?.into_iter().find(holds) {
            let address = address(&vma, within).unwrap_or_default();
            return Ok(Some(Mapped { task, vma, address }));
        }
    }
    Ok(None)
}

/// Where a mapping has this part of its object.
fn address(vma: &Vma, offset: u64) -> Option<u64> {
    let within = offset.checked_sub(vma.offset)?;
    (within < vma.end - vma.start).then(|| vma.start + within)
}

fn now(place: &Mapped<'_>) -> Result<(Vec<u8>, String), Why> {
    let page = Space::open(place.task).and_then(|mut space| space.page(place.address));
    let page = page.map_err(|error| error.to_string())?;
    let bytes = page.ok_or_else(|| "nobody can read it".to_owned())?;
    Ok((bytes, format!("{} at {:#x}", place.task.name, place.address)))
}

/// The page as it was dumped, from an image or from the file that it still is of.
fn then(
    dump: &mut Pages<'_>,
    owner: &Owner<'_>,
    within: u64,
    place: Option<&Mapped<'_>>,
) -> Result<(Vec<u8>, String), Why> {
    let pid = owner.task.inner;
    let dumped = match owner.shared {
        Some(start) => dump.shared(pid, start, within)?,
        None => dump.private(pid, within)?,
    };
    match dumped {
        Dumped::Page { bytes, place } => Ok((bytes, place)),
        Dumped::InFile { offset } => of_file(place, offset).map_err(|why| {
            format!("not in the images: it was not written to since it was mapped; its file: {why}")
        }),
    }
}

/// Reads a file through the mapping that is there now, if it is of that part of a file.
fn of_file(place: Option<&Mapped<'_>>, offset: u64) -> Result<(Vec<u8>, String), Why> {
    let Some(Mapped { task, vma, address }) = place else {
        return Err("nothing is mapped there now".to_owned());
    };
    let has = vma.offset + (address - vma.start);
    if vma.anonymous() || has != offset {
        return Err(format!("{} is mapped there now, from {has:#x}", vma.label()));
    }
    let path = vma.file(&task.proc());
    let read = || {
        let file = File::open(&path)?;
        let mut bytes = vec![0; PAGE as usize];
        let mut filled = 0;
        while filled < bytes.len() {
            match file.read_at(&mut bytes[filled..], offset + filled as u64)? {
                // A short last page reads as zero up to its end.
                0 => break,
                got => filled += got,
            }
        }
        Ok(bytes)
    };
    let bytes = read().map_err(|error| Error::read(&path, error).to_string())?;
    Ok((bytes, format!("{} at byte {offset}", vma.label())))
}

fn told(read: Result<(Vec<u8>, String), Why>) -> PageBytes {
    match read {
        Ok((bytes, place)) => PageBytes::Known { bytes, place },
        Err(why) => PageBytes::Unknown { why },
    }
}

fn unknown(wanted: &WantedPage, why: &str) -> FoundPage {
    let of = |asked| if asked { told(Err(why.to_owned())) } else { PageBytes::NotWanted };
    FoundPage { address: None, before: of(wanted.before), after: of(wanted.after) }
}
