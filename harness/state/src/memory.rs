//! Every page that can hold state, by its digest.
//!
//! Pages are read from the tasks themselves, not from images. A page that was never touched is
//! not read, since reading would make it exist. Memory use is bounded by one buffer.

pub(crate) mod markers;
mod pages;
mod private;
mod shared;

use std::collections::BTreeMap;

use model::Memory;

use crate::error::Result;
use crate::facts::Facts;
use crate::pod::Pod;
use crate::source::sharing;
use crate::source::traced::RseqArea;
use crate::sys::Shared;
use crate::vma::Vma;

pub(crate) use self::pages::is_zero;
pub use self::pages::page_digest;
pub(crate) use self::private::{Space, mask_rseq};

/// Bytes of a page.
pub(crate) const PAGE: u64 = 4096;

/// Digests the memory of all tasks: private pages by address space, shared ones by object.
pub(crate) fn read(pod: &Pod<'_>, rseq: &[RseqArea], facts: &mut Facts) -> Result<Memory> {
    let mut objects = BTreeMap::new();
    let mut shared = shared::Objects::default();
    for task in pod.tasks().filter(|task| !task.zombie) {
        if sharing::first(pod, task, Shared::Vm)?.pid != task.pid {
            continue;
        }
        let all = task.mappings()?.iter().filter(|vma| !vma.holds_no_state()).cloned();
        let (common, own): (Vec<_>, Vec<_>) = all.partition(Vma::shared);
        objects.insert(format!("{}.memory", task.name), private::read(task, &own, rseq, facts)?);
        shared.note(task, common);
    }
    shared.read(&mut objects, facts)?;
    Ok(Memory { page_bytes: PAGE as u32, objects })
}
