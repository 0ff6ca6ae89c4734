//! Where the pages of a task are: what a pagemap says about a `pages-N.img`.

use std::io::{Read, Seek, SeekFrom};

use prost_reflect::Value;

use super::error::{Error, Place, Problem};
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

/// Where one page is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PageAt {
    /// In the pages file, from this byte on.
    Byte(u64),
    /// In the parent's images.
    Parent,
    /// In no image: it is to be brought in later.
    Later,
    /// In no image.
    Nowhere,
}

impl Pagemap {
    /// Where the page at an address is, pages being so long.
    ///
    /// Runs come from a file that nobody vouches for: where they overlap, the first one counts, and
    /// what no file can hold is nowhere.
    #[must_use]
    pub fn locate(&self, address: u64, page_bytes: u64) -> PageAt {
        let mut byte = 0u64;
        for run in &self.runs {
            let length = run.pages.saturating_mul(page_bytes);
            match address.checked_sub(run.start) {
                Some(within) if within < length => return run.place(byte, within),
                _ if run.present => byte = byte.saturating_add(length),
                _ => {}
            }
        }
        PageAt::Nowhere
    }
}

impl PageRun {
    /// Where a page of this run is, whose own pages begin at `byte` of the file.
    fn place(&self, byte: u64, within: u64) -> PageAt {
        match self {
            PageRun { present: true, .. } => {
                byte.checked_add(within).map_or(PageAt::Nowhere, PageAt::Byte)
            }
            PageRun { in_parent: true, .. } => PageAt::Parent,
            PageRun { lazy: true, .. } => PageAt::Later,
            _ => PageAt::Nowhere,
        }
    }
}

/// Reads a page of a pages file, from the byte on that [`Pagemap::locate`] told. `name` is for
/// errors only.
///
/// # Errors
/// With the name and the offset, when the file cannot be read or ends before the page does.
pub fn read_page(
    name: &str,
    mut reader: impl Read + Seek,
    byte: u64,
    page_bytes: u64,
) -> Result<Vec<u8>, Error> {
    let failed = |problem| Error { name: name.to_owned(), place: Place::Offset(byte), problem };
    let mut page = Vec::new();
    reader.seek(SeekFrom::Start(byte)).map_err(|error| failed(Problem::Io(error)))?;
    reader.take(page_bytes).read_to_end(&mut page).map_err(|error| failed(Problem::Io(error)))?;
    match page.len() as u64 {
        found if found < page_bytes => {
            Err(failed(Problem::Truncated { what: "page", wanted: page_bytes, found }))
        }
        _ => Ok(page),
    }
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

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use proptest::prelude::*;

    use super::*;

    const PAGE: u64 = 4096;

    fn runs() -> impl Strategy<Value = Vec<PageRun>> {
        let run = (0..4u64, 1..5u64, any::<[bool; 3]>());
        prop::collection::vec(run, 0..6).prop_map(|parts| {
            let mut end = 16;
            let laid = parts.into_iter().map(|(gap, pages, [present, in_parent, lazy])| {
                let start = (end + gap) * PAGE;
                end += gap + pages;
                PageRun { start, pages, present, in_parent, lazy }
            });
            laid.collect()
        })
    }

    proptest! {
        /// The pages of a pages file are those that are present, in the order of the runs.
        #[test]
        fn a_page_is_where_counting_the_pages_before_it_leads(runs in runs()) {
            let pagemap = Pagemap { pages_id: 1, runs };
            let mut byte = 0;
            for run in &pagemap.runs {
                for page in 0..run.pages {
                    let expected = match run {
                        PageRun { present: true, .. } => PageAt::Byte(byte),
                        PageRun { in_parent: true, .. } => PageAt::Parent,
                        PageRun { lazy: true, .. } => PageAt::Later,
                        _ => PageAt::Nowhere,
                    };
                    prop_assert_eq!(pagemap.locate(run.start + page * PAGE, PAGE), expected);
                    byte += if run.present { PAGE } else { 0 };
                }
            }
            prop_assert_eq!(pagemap.locate(0, PAGE), PageAt::Nowhere);
        }

        #[test]
        fn absurd_runs_are_survived(
            numbers in prop::collection::vec(any::<(u64, u64)>(), 0..5),
            address: u64,
        ) {
            let run = |(start, pages)| {
                PageRun { start, pages, present: true, in_parent: false, lazy: false }
            };
            let pagemap = Pagemap { pages_id: 1, runs: numbers.into_iter().map(run).collect() };
            let _ = pagemap.locate(address, PAGE);
        }
    }

    #[test]
    fn a_page_beyond_the_end_is_an_error_with_its_place() {
        let file = [vec![1; 4096], vec![2; 100]].concat();
        let read = |byte| read_page("pages-1.img", Cursor::new(&file), byte, PAGE);
        assert_eq!(read(0).expect("whole"), [1; 4096]);
        for (byte, left) in [(4096, 100), (8192, 0), (u64::MAX, 0)] {
            let why = format!("truncated: page needs 4096 bytes, {left} are left");
            let error = read(byte).expect_err("too short").to_string();
            assert_eq!(error, format!("pages-1.img: at byte {byte}: {why}"));
        }
    }
}
