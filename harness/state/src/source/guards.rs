//! Guard pages in shared mappings. They belong to the mapping, not to the object that it shows, so
//! that no page of the object tells of them. Those in private memory are told by the pages.

use std::fs::File;

use crate::error::{Error, Result};
use crate::facts::Facts;
use crate::memory::markers;
use crate::pod::Task;
use crate::vma::Vma;

/// Guards in a range of a task, whose facts have this name.
pub(crate) fn put(task: &Task, name: &str, vma: &Vma, end: u64, facts: &mut Facts) -> Result<()> {
    // Neither device registers nor huge pages can have any.
    if !vma.shared() || vma.holds_no_state() || vma.has("ht") {
        return Ok(());
    }
    let path = task.proc().join("pagemap");
    let pagemap = File::open(&path).map_err(|error| Error::read(&path, error))?;
    let found = markers::guards(&pagemap, vma.start, end);
    match found.map_err(|errno| Error::call("PAGEMAP_SCAN", name, errno))? {
        None => facts.not_offered("task.*.guards", "this kernel does not tell guards apart"),
        Some(guards) if guards.is_empty() => {}
        Some(guards) => {
            let guards = guards.iter().map(|(start, end)| format!("{start:x}-{end:x}"));
            facts.put(format!("{name}.guards"), guards.collect::<Vec<_>>().join(" "));
        }
    }
    Ok(())
}
