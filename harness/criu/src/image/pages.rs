//! Where the pages of a task are: what a pagemap says about a `pages-N.img`.

use prost_reflect::Value;

use super::file::{Entry, Image};
use super::payload::{flag, number};

/// A decoded `pagemap-PID.img` or `pagemap-shmem-ID.img`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pagemap {
    /// The `N` of the `pages-N.img` that holds the pages.
    pub pages_id: u32,
    /// Runs in the order of the pages file.
    pub runs: Vec<PageRun>,
}

/// Consecutive pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PageRun {
    /// Address of the first page, in bytes.
    pub start: u64,
    /// How many pages.
    pub pages: u64,
    /// The pages are in the pages file.
    pub present: bool,
    /// The pages are in the parent's images.
    pub in_parent: bool,
    /// The pages may be brought in later.
    pub lazy: bool,
}

const IN_PARENT: u64 = 1;
const LAZY: u64 = 2;
const PRESENT: u64 = 4;

impl Image {
    /// The image as a pagemap, if it is one.
    #[must_use]
    pub fn pagemap(&self) -> Option<Pagemap> {
        if self.magic() != "PAGEMAP" {
            return None;
        }
        let (head, runs) = self.entries.split_first()?;
        let pages_id = u32::try_from(number(&head.message, "pages_id")).ok()?;
        Some(Pagemap { pages_id, runs: runs.iter().map(run).collect() })
    }
}

/// Before CRIU 4.2 the number of pages was a 32-bit field with tag 2. Images of older CRIUs have
/// no flags: then `in_parent` alone says where the pages are.
fn run(entry: &Entry) -> PageRun {
    let by_number = |tag| match entry.message.get_field_by_number(tag).as_deref() {
        Some(Value::U32(value)) => u64::from(*value),
        Some(Value::U64(value)) => *value,
        _ => 0,
    };
    let flags = match flag(&entry.message, "in_parent") {
        true => IN_PARENT,
        false if entry.message.has_field_by_name("flags") => number(&entry.message, "flags"),
        false => PRESENT,
    };
    let pages = if entry.message.has_field_by_number(5) { by_number(5) } else { by_number(2) };
    PageRun {
        start: number(&entry.message, "vaddr"),
        pages,
        present: flags & PRESENT != 0,
        in_parent: flags & IN_PARENT != 0,
        lazy: flags & LAZY != 0,
    }
}
