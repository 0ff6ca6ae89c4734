//! The bytes of pages that came back different: a digest says that, and not in what.
//!
//! They are asked for while the restored pod is still frozen and its images are still there. What
//! the guest tells is shown only where it fits the digests of the captures, which were there first.
//! Bytes are for the reader: whatever is wrong with them, the verdict is the same without them.

use std::collections::BTreeMap;

use model::message::{FoundPage, MOST_PAGES, PageBytes as Bytes, Request, WantedPage};
use model::{Capture, pack};
use state::{DifferingPage, Page};
use tokio::time::Instant;

use super::{GRACE, NodeName, REQUEST, Stage, Stop};
use crate::verdict::{Difference, PageBytes, plain};

/// Bytes of a page.
const PAGE_BYTES: usize = 4096;

/// Most bytes of an answer: two pages for each that is asked for, and some words.
const MOST_BYTES: usize = MOST_PAGES * (2 * PAGE_BYTES + 4096);

/// Longest word of a guest that is shown.
const WORD: usize = 200;

/// What is known of pages, by the name of their difference.
pub(super) type Pages = BTreeMap<String, PageBytes>;

impl Stage {
    /// Brings home the bytes of pages that differ between both captures.
    pub(super) async fn pages_after(&mut self, name: NodeName) {
        self.pages.clear();
        let (Some(before), Some(after)) = (&self.before, &self.after) else { return };
        let chosen = chosen(state::compare_memory(before, after).first_pages);
        if chosen.is_empty() {
            return;
        }
        let began = Instant::now();
        let told = match self.ask_pages(name, &chosen).await {
            Ok(found) => {
                let pages = chosen.iter().zip(found);
                pages.map(|(page, found)| told(page, found, before, after)).collect()
            }
            Err(stop) => vec![PageBytes::unknown(stop.reason); chosen.len()],
        };
        self.pages = chosen.into_iter().map(|page| page.fact).zip(told).collect();
        self.times.add("pages", began.elapsed());
    }

    async fn ask_pages(
        &self,
        name: NodeName,
        pages: &[DifferingPage],
    ) -> Result<Vec<FoundPage>, Stop> {
        let wanted = pages.iter().map(|page| WantedPage {
            object: page.object.clone(),
            index: page.index,
            before: matches!(page.before, Page::Content(_)),
            after: matches!(page.after, Page::Content(_)),
        });
        let request = Request::Pages { pod: self.part()?, wanted: wanted.collect() };
        let bytes = self.guest(name)?.fetch(request, MOST_BYTES, REQUEST + GRACE).await?;
        let found: Vec<FoundPage> = pack::unpack(&bytes, MOST_BYTES)
            .map_err(|error| Stop::broken(format!("pages from {name}: {error}")))?;
        match found.len() == pages.len() {
            true => Ok(found),
            false => {
                Err(Stop::broken(format!("{name} tells {} pages of {}", found.len(), pages.len())))
            }
        }
    }
}

/// Adds to differences what is known of their pages.
pub(super) fn with_bytes(mut differences: Vec<Difference>, pages: &Pages) -> Vec<Difference> {
    for difference in &mut differences {
        difference.bytes = pages.get(&difference.fact).cloned();
    }
    differences
}

/// Pages that are there on both sides, at most so many as one may ask for: the first of each
/// mapping before the second of any.
fn chosen(pages: Vec<DifferingPage>) -> Vec<DifferingPage> {
    let mut seen: BTreeMap<(String, String), usize> = BTreeMap::new();
    let there =
        pages.into_iter().filter(|it| it.before != Page::Absent && it.after != Page::Absent);
    let mut ranked: Vec<(usize, DifferingPage)> = there
        .map(|page| {
            let rank = seen.entry((page.object.clone(), page.mapping.clone())).or_default();
            *rank += 1;
            (*rank, page)
        })
        .collect();
    ranked.sort_by_key(|(rank, _)| *rank);
    ranked.into_iter().take(MOST_PAGES).map(|(_, page)| page).collect()
}

fn told(page: &DifferingPage, found: FoundPage, before: &Capture, after: &Capture) -> PageBytes {
    let own = page.index.saturating_mul(PAGE_BYTES as u64);
    let address = found.address.unwrap_or(own);
    let is = match known(page.after, found.after, address, after) {
        Ok((bytes, _)) => bytes,
        Err(Unproven::Unknown(why)) => return PageBytes::unknown(format!("now: {why}")),
        Err(Unproven::Other(_, place)) => {
            return PageBytes::unknown(format!("now: {place} is not what was captured"));
        }
    };
    match known(page.before, found.before, address, before) {
        Ok((was, place)) => PageBytes::of(address, &was, &is, place),
        Err(Unproven::Unknown(why)) => PageBytes::unknown(why),
        Err(Unproven::Other(bytes, place)) => {
            let as_now = page.after.recognise(bytes, address, after).is_some();
            let other = if as_now { "what came back" } else { "something else again" };
            PageBytes::unknown(format!("{place} holds {other}, not what was captured"))
        }
    }
}

/// Bytes that cannot be shown as those of a capture.
enum Unproven {
    /// There are none, and why.
    Unknown(String),
    /// They are others, and where they were read.
    Other(Vec<u8>, String),
}

/// The bytes of a page as the capture saw it, and where they were read.
fn known(
    page: Page,
    bytes: Bytes,
    address: u64,
    capture: &Capture,
) -> Result<(Vec<u8>, String), Unproven> {
    match (page, bytes) {
        (Page::Zero, _) => Ok((vec![0; PAGE_BYTES], "it read as zero".to_owned())),
        (_, Bytes::Known { bytes, place }) => {
            let place = word(&place);
            match page.recognise(bytes.clone(), address, capture) {
                Some(bytes) => Ok((bytes, place)),
                None => Err(Unproven::Other(bytes, place)),
            }
        }
        (_, Bytes::Unknown { why }) => Err(Unproven::Unknown(word(&why))),
        (_, Bytes::NotWanted) => Err(Unproven::Unknown("the node says nothing".to_owned())),
    }
}

/// What a guest says, on one line of bounded length.
fn word(text: &str) -> String {
    plain(text).chars().take(WORD).collect()
}

#[cfg(test)]
mod tests {
    use state::page_digest;

    use super::*;

    fn page(object: &str, index: u64, mapping: &str) -> DifferingPage {
        DifferingPage {
            fact: format!("{object}.{:x}", index * PAGE_BYTES as u64),
            object: object.to_owned(),
            index,
            mapping: mapping.to_owned(),
            before: Page::Content(page_digest(&[1; PAGE_BYTES])),
            after: Page::Content(page_digest(&[2; PAGE_BYTES])),
        }
    }

    fn known(byte: u8, length: usize) -> Bytes {
        Bytes::Known { bytes: vec![byte; length], place: format!("a place of {byte}\n") }
    }

    fn words(page: &DifferingPage, before: Bytes, after: Bytes) -> String {
        let found = FoundPage { address: Some(0x7000), before, after };
        told(page, found, &Capture::default(), &Capture::default()).in_words()
    }

    #[test]
    fn the_first_page_of_each_mapping_comes_before_the_second_of_any() {
        let heap = (0..40).step_by(2).map(|index| page("task.1.memory", index, "[heap]"));
        let mut pages: Vec<_> = heap.collect();
        pages.push(page("task.1.memory", 90, "[stack]"));
        pages.push(page("task.2.memory", 0, "[heap]"));
        pages.push(DifferingPage { before: Page::Absent, ..page("task.3.memory", 0, "[heap]") });
        let chosen = chosen(pages);
        let facts: Vec<_> = chosen.iter().take(4).map(|page| page.fact.as_str()).collect();
        let expected =
            ["task.1.memory.0", "task.1.memory.5a000", "task.2.memory.0", "task.1.memory.2000"];
        assert_eq!((facts, chosen.len()), (expected.to_vec(), MOST_PAGES));
    }

    #[test]
    fn bytes_are_shown_only_where_they_are_what_was_captured() {
        let of = page("task.1.memory", 7, "[heap]");
        let all = |byte| known(byte, PAGE_BYTES);
        let repeated = |byte: &str| byte.repeat(16);
        let (was, is) = (repeated("01"), repeated("02"));
        let (dots, none) = (repeated("."), || Bytes::Unknown { why: "gone\u{1b}[2J".to_owned() });
        assert_eq!(
            words(&of, all(1), all(2)),
            format!("4096 bytes differ, the first at 0x7000: {was} |{dots}| became {is} |{dots}|")
        );
        for (before, after, why) in [
            (all(2), all(2), "a place of 2. holds what came back, not what was captured"),
            (all(3), all(2), "a place of 3. holds something else again, not what was captured"),
            (all(1), all(3), "now: a place of 3. is not what was captured"),
            (
                known(1, 100),
                all(2),
                "a place of 1. holds something else again, not what was captured",
            ),
            (none(), all(2), "gone.[2J"),
            (all(1), Bytes::NotWanted, "now: the node says nothing"),
        ] {
            assert_eq!(words(&of, before, after), format!("its bytes are not known: {why}"));
        }
        let zero = DifferingPage { before: Page::Zero, ..of };
        let told = words(&zero, Bytes::NotWanted, all(2));
        assert!(told.contains("00000000 |"), "{told}");
    }
}
