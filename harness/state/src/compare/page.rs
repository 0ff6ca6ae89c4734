//! What a capture says about one page, and whether some bytes are that page.

use model::{Capture, Digest, Value};

use crate::memory::{PAGE, is_zero, mask_rseq, page_digest};

/// What a page is in a capture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Page {
    /// It is not there.
    Absent,
    /// It reads as zero.
    Zero,
    /// It has content of this digest.
    Content(Digest),
}

/// The first page of a difference.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DifferingPage {
    /// Name of the difference.
    pub fact: String,
    /// The object that backs it.
    pub object: String,
    /// Its index in that object.
    pub index: u64,
    /// What a person calls the mapping that it is in.
    pub mapping: String,
    /// What it was.
    pub before: Page,
    /// What it is.
    pub after: Page,
}

impl Page {
    /// The bytes as `capture` has digested them, if they are this page: what it blanks, since the
    /// kernel writes it, is blank. `address` is where the page is.
    #[must_use]
    pub fn recognise(self, mut bytes: Vec<u8>, address: u64, capture: &Capture) -> Option<Vec<u8>> {
        if bytes.len() as u64 != PAGE {
            return None;
        }
        if !self.is(&bytes) {
            rseq_areas(capture).for_each(|area| mask_rseq(area, address, &mut bytes));
        }
        self.is(&bytes).then_some(bytes)
    }

    fn is(self, bytes: &[u8]) -> bool {
        match self {
            Page::Absent => false,
            Page::Zero => is_zero(bytes),
            Page::Content(digest) => page_digest(bytes) == digest,
        }
    }
}

/// Where threads have registered an rseq area.
fn rseq_areas(capture: &Capture) -> impl Iterator<Item = u64> {
    let facts = capture.facts.iter();
    let pointers = facts.filter(|(fact, _)| fact.ends_with(".traced.rseq.abi_pointer"));
    let areas = pointers.filter_map(|(_, value)| match value {
        Value::Exact(text) => u64::from_str_radix(text.strip_prefix("0x")?, 16).ok(),
        _ => None,
    });
    areas.filter(|area| *area != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_known_by_its_digest_with_what_the_kernel_writes_blanked() {
        let mut capture = Capture::default();
        let pointer = ("task.1.traced.rseq.abi_pointer", "0x7000_0040".replace('_', ""));
        capture.facts.insert(pointer.0.to_owned(), Value::Exact(pointer.1));
        let mut blank = vec![7; PAGE as usize];
        mask_rseq(0x7000_0040, 0x7000_0000, &mut blank);
        let page = Page::Content(page_digest(&blank));
        let raw = vec![7; PAGE as usize];
        assert_eq!(page.recognise(raw.clone(), 0x7000_0000, &capture), Some(blank));
        assert_eq!(page.recognise(raw.clone(), 0x6000_0000, &capture), None, "another page");
        assert_eq!(page.recognise(raw[1..].to_vec(), 0x7000_0000, &capture), None, "too short");
        let plain = Page::Content(page_digest(&raw));
        assert_eq!(plain.recognise(raw.clone(), 0x7000_0000, &capture), Some(raw), "as it is");
    }
}
