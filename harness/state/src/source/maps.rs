//! Mappings, by their address range: neighbours that are alike count as one.

use nix::sys::stat::stat;

use crate::error::{Error, Result};
use crate::facts::Facts;
use crate::pod::{Pod, Task};
use crate::source::fd::inode_of;
use crate::source::{guards, sharing};
use crate::sys::Shared;
use crate::vma::Vma;

pub(crate) fn task(pod: &Pod<'_>, task: &Task, facts: &mut Facts) -> Result<()> {
    if sharing::first(pod, task, Shared::Vm)?.pid != task.pid {
        return Ok(());
    }
    let mut ranges = task.mappings()?.chunk_by(Vma::joins);
    ranges.try_for_each(|pieces| range(task, pieces, facts))
}

/// Facts of a range; its pieces differ in their history at most.
fn range(task: &Task, pieces: &[Vma], facts: &mut Facts) -> Result<()> {
    let [vma, ..] = pieces else { return Ok(()) };
    let end = pieces.last().map_or(vma.end, |last| last.end);
    let name = format!("{}.map.{:x}-{end:x}", task.name, vma.start);
    facts.put(format!("{name}.perms"), &vma.perms);
    facts.put(format!("{name}.pathname"), &vma.name);
    if vma.object != "00:00:0" {
        facts.put(format!("{name}.offset"), vma.offset);
        facts.put(format!("{name}.inode"), inode(task, vma)?);
    }
    let flags: Vec<&str> = vma.lasting_flags().map(String::as_str).collect();
    facts.put(format!("{name}.vmflags"), flags.join(" "));
    if !vma.key.is_empty() {
        facts.put(format!("{name}.protectionkey"), &vma.key);
    }
    facts.put(format!("{name}.accounted"), parts(pieces, "ac"));
    facts.put(format!("{name}.softdirty"), parts(pieces, "sd"));
    guards::put(task, &name, vma, end, facts)
}

/// Which file is mapped, as stat(2) tells it. `maps` shows a number of the layer below with the device
/// of the overlay, and two layers may give their files the same number.
fn inode(task: &Task, vma: &Vma) -> Result<String> {
    let path = vma.file(&task.proc());
    let about = stat(&path).map_err(|errno| Error::read(&path, errno.into()))?;
    Ok(inode_of(&about))
}

/// Which parts of a range have a flag.
fn parts(pieces: &[Vma], flag: &str) -> String {
    let have: Vec<&Vma> = pieces.iter().filter(|vma| vma.has(flag)).collect();
    match have.len() {
        0 => "none".to_owned(),
        all if all == pieces.len() => "all".to_owned(),
        _ => have
            .iter()
            .map(|vma| format!("{:x}-{:x}", vma.start, vma.end))
            .collect::<Vec<_>>()
            .join(" "),
    }
}
