//! 64 MiB of patterned memory that a thread goes on changing.
//!
//! Page after page is rewritten with the next generation, round and round, through all regions.
//! One number says how far the thread has come, so at any instant the right content of every page
//! is known, but of the one that is being written. A mutex guards the number and that page.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use witness::place::Place;
use witness::sys::map::{Mapping, PAGE_BYTES};
use witness::{Context, Findings, Witness};

/// Pages of a mebibyte.
const MIB: usize = (1 << 20) / PAGE_BYTES;

/// Pages that are rewritten in one go.
const BURST: u64 = 8;

/// Every so many words, one says where in its page it is.
const PLACED: usize = 32;

/// How long the thread rests after that.
const REST: Duration = Duration::from_millis(40);

/// Pages that are looked at in a check while the program runs.
const SAMPLE: usize = 512;

/// How long the thread may take for some more pages at the end.
const PATIENCE: Duration = Duration::from_secs(20);

/// One mapping, and what it is.
#[derive(Debug)]
struct Region {
    name: &'static str,
    memory: Mapping,
    file: Option<(File, bool)>,
}

/// What the thread and the witness share.
#[derive(Debug)]
struct Board {
    regions: Vec<Region>,
    pages: usize,
    /// Pages that were rewritten since the start.
    written: Mutex<u64>,
    advanced: Condvar,
}

/// The witness.
#[derive(Debug)]
pub(crate) struct Memory {
    board: Arc<Board>,
    next: usize,
    seen: u64,
}

impl Memory {
    /// Maps and fills the regions, and starts the thread.
    pub(crate) fn start(place: &Place) -> io::Result<Self> {
        let board = Arc::new(Board::new(regions(place)?));
        let writer = Arc::clone(&board);
        let thread = thread::Builder::new().name("counter-writer".to_owned());
        thread.stack_size(256 << 10).spawn(move || writer.write_on())?;
        Ok(Memory { board, next: 0, seen: 0 })
    }
}

impl Witness for Memory {
    fn name(&self) -> &'static str {
        "memory"
    }

    fn check(&mut self, findings: &mut Findings) {
        let written = self.board.written();
        findings.within("written", i128::from(self.seen)..=i128::MAX, i128::from(*written));
        self.seen = *written;
        for _ in 0..SAMPLE {
            self.board.check_page(self.next, *written, findings);
            self.next = (self.next + 1) % self.board.pages;
        }
    }

    fn finish(&mut self, findings: &mut Findings) {
        self.board.check_all(findings);
        let written = self.board.written();
        let goal = *written + 4 * BURST;
        let waited = self.board.advanced.wait_timeout_while(written, PATIENCE, |now| *now < goal);
        let (written, _) = waited.unwrap_or_else(PoisonError::into_inner);
        findings.within("goes_on", i128::from(goal)..=i128::MAX, i128::from(*written));
        drop(written);
        self.board.check_all(findings);
    }
}

impl Board {
    fn new(regions: Vec<Region>) -> Self {
        let pages = regions.iter().map(|region| region.memory.pages()).sum();
        let board = Board { regions, pages, written: Mutex::new(0), advanced: Condvar::new() };
        for page in 0..pages {
            board.fill(page, 0);
        }
        board
    }

    /// Rewrites pages for ever.
    fn write_on(&self) {
        let pages = self.pages as u64;
        let mut written = self.written();
        loop {
            for _ in 0..BURST {
                self.fill((*written % pages) as usize, *written / pages + 1);
                *written += 1;
            }
            self.advanced.notify_all();
            let rested = self.advanced.wait_timeout(written, REST);
            written = rested.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn written(&self) -> MutexGuard<'_, u64> {
        self.written.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn check_all(&self, findings: &mut Findings) {
        let written = self.written();
        for page in 0..self.pages {
            self.check_page(page, *written, findings);
        }
        for region in &self.regions {
            region.check_file(findings);
        }
    }

    fn check_page(&self, page: usize, written: u64, findings: &mut Findings) {
        let pages = self.pages as u64;
        let generation = written / pages + u64::from((page as u64) < written % pages);
        let (name, words) = self.page(page);
        let wrong = words.iter().enumerate().find_map(|(at, word)| {
            let (expected, found) = (content(page, generation, at), word.load(Ordering::Relaxed));
            (expected != found).then_some((at, expected, found))
        });
        if let Some((at, expected, found)) = wrong {
            let place = format!("{name}: page {page} of generation {generation}, word {at}");
            findings.equal(name, format!("{place}: {expected:016x}"), format!("{found:016x}"));
        }
    }

    fn fill(&self, page: usize, generation: u64) {
        for (at, word) in self.page(page).1.iter().enumerate() {
            word.store(content(page, generation, at), Ordering::Relaxed);
        }
    }

    /// Name of the region and words of a page, counted over all regions.
    fn page(&self, page: usize) -> (&'static str, &[AtomicU64]) {
        let mut first = 0;
        for region in &self.regions {
            let end = first + region.memory.pages();
            if page < end {
                return (region.name, region.memory.page(page - first));
            }
            first = end;
        }
        unreachable!("page {page} of {}", self.pages)
    }
}

impl Region {
    /// The file behind a shared map shows its content; behind a private one it stayed empty.
    fn check_file(&self, findings: &mut Findings) {
        let Some((file, shared)) = &self.file else { return };
        for page in 0..self.memory.pages() {
            let mut found = [0; PAGE_BYTES];
            let read = file.read_exact_at(&mut found, (page * PAGE_BYTES) as u64);
            findings.tried("file.read", read);
            let mut expected = [0; PAGE_BYTES];
            if *shared {
                for (bytes, word) in expected.chunks_mut(8).zip(self.memory.page(page)) {
                    bytes.copy_from_slice(&word.load(Ordering::Relaxed).to_ne_bytes());
                }
            }
            findings.bytes(self.name, &expected, &found);
        }
    }
}

/// The right word at a place. Page and generation stand in the first two; the rest is a number
/// that no other page has, with the place in some. So every word is known and nothing is at home
/// elsewhere, yet who archives the pages is done soon: they pack well.
fn content(page: usize, generation: u64, at: usize) -> u64 {
    let own = ((page as u64) << 32 ^ generation << 16 ^ 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    match at {
        0 => page as u64,
        1 => generation,
        _ if at.is_multiple_of(PLACED) => own.rotate_left(29) ^ at as u64,
        _ => own.rotate_left(29),
    }
}

/// Private and shared memory, with and without a file behind it.
fn regions(place: &Place) -> io::Result<Vec<Region>> {
    Ok(vec![
        Region { name: "private", memory: Mapping::anonymous(40 * MIB, false)?, file: None },
        Region { name: "shared", memory: Mapping::anonymous(16 * MIB, true)?, file: None },
        backed("private_file", place, false)?,
        backed("shared_file", place, true)?,
    ])
}

fn backed(name: &'static str, place: &Place, shared: bool) -> io::Result<Region> {
    let pages = 4 * MIB;
    let file = place.file(name, &[])?;
    file.set_len((pages * PAGE_BYTES) as u64).context(name)?;
    let memory = Mapping::file(&file, pages, shared).context(name)?;
    Ok(Region { name, memory, file: Some((file, shared)) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn board() -> Board {
        let region = |name, shared| Region {
            name,
            memory: Mapping::anonymous(4, shared).expect("memory"),
            file: None,
        };
        Board::new(vec![region("private", false), region("shared", true)])
    }

    #[test]
    fn every_page_is_right_wherever_the_writer_stands() {
        let board = board();
        let mut findings = Findings::default();
        for written in 0..20 {
            for page in 0..board.pages {
                board.check_page(page, written, &mut findings);
            }
            board.fill((written % 8) as usize, written / 8 + 1);
        }
        assert_eq!(findings.lost().len(), 0);
    }

    #[test]
    fn one_changed_bit_is_told_with_its_place() {
        let board = board();
        board.page(5).1[7].fetch_xor(1, Ordering::Relaxed);
        let mut findings = Findings::default();
        *board.written() = 0;
        board.check_all(findings.about("memory"));
        let told: Vec<_> = findings.lost().map(|(name, lost)| format!("{name}: {lost}")).collect();
        assert_eq!(told.len(), 1);
        assert!(
            told[0].contains("memory.shared: ")
                && told[0].contains("page 5 of generation 0, word 7"),
            "{told:?}"
        );
    }

    #[test]
    fn every_page_of_every_generation_is_another() {
        let of = |page, generation| {
            let words = 2..PAGE_BYTES / 8;
            words.map(move |at| content(page, generation, at)).collect::<Vec<_>>()
        };
        let all = (0..200).flat_map(|page| (0..50).map(move |generation| of(page, generation)));
        let distinct: std::collections::BTreeSet<u64> = all.map(|words| words[0]).collect();
        assert_eq!(distinct.len(), 200 * 50);
        let page = of(7, 3);
        let half = page.len() / 2;
        assert!((1..=half).all(|by| page[by..] != page[..page.len() - by]), "by a shift");
    }

    #[test]
    fn a_page_that_was_not_rewritten_is_noticed() {
        let board = board();
        let mut findings = Findings::default();
        board.check_page(0, 1, &mut findings);
        assert_eq!(findings.lost().len(), 1);
    }
}
