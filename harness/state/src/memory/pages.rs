//! Bytes become runs of page digests.

use model::{Digest, PageLabel, PageObject, PageRun};
use rapidhash::v3::{RapidSecrets, rapidhash_v3_seeded};

use super::PAGE;
use crate::vma::Vma;

/// Bytes that are read at once.
pub(crate) const CHUNK: usize = 256 << 10;

/// Not the usual ones: a word that equals a secret hides its neighbour, and the usual ones stand in
/// the memory of whoever hashes.
const SECRETS: RapidSecrets = RapidSecrets::seed(1);

/// The digest of a page with content, as a capture has it.
///
/// A guest under emulation spends most of its time on this. XXH3 is made for vector instructions, of
/// which QEMU calls a function each; rapidhash multiplies, and is several times as fast there.
#[must_use]
pub fn page_digest(page: &[u8]) -> Digest {
    Digest(rapidhash_v3_seeded(page, &SECRETS))
}

/// An object while its pages are being collected, in order.
#[derive(Debug, Default)]
pub(crate) struct Collected {
    object: PageObject,
    unreadable: Vec<(u64, u64)>,
}

impl Collected {
    /// Takes whole pages, the first of which has this index.
    pub(crate) fn bytes(&mut self, first: u64, bytes: &[u8]) {
        for (index, page) in (first..).zip(bytes.chunks_exact(PAGE as usize)) {
            if is_zero(page) { self.zero(index, 1) } else { self.page(index, page_digest(page)) }
        }
    }

    /// Notes pages that read as zero.
    pub(crate) fn zero(&mut self, index: u64, pages: u64) {
        match self.object.runs.last_mut() {
            Some(PageRun::Zero { first, count }) if *first + *count == index => *count += pages,
            _ if pages == 0 => {}
            _ => self.object.runs.push(PageRun::Zero { first: index, count: pages }),
        }
    }

    fn page(&mut self, index: u64, digest: Digest) {
        match self.object.runs.last_mut() {
            Some(PageRun::Pages { first, digests }) if *first + digests.len() as u64 == index => {
                digests.push(digest);
            }
            _ => self.object.runs.push(PageRun::Pages { first: index, digests: vec![digest] }),
        }
    }

    /// Notes a page that nobody can read: a guard, or past the end of its file.
    pub(crate) fn unreadable(&mut self, index: u64) {
        match self.unreadable.last_mut() {
            Some((_, end)) if *end == index => *end += 1,
            _ => self.unreadable.push((index, index + 1)),
        }
    }

    /// Names pages after the mapping that they were found in.
    pub(crate) fn label(&mut self, first: u64, count: u64, vma: &Vma) {
        let (text, droppable) = (vma.label().to_owned(), vma.has("dp"));
        match self.object.labels.last_mut() {
            Some(last)
                if last.first + last.count == first
                    && last.text == text
                    && last.droppable == droppable =>
            {
                last.count += count;
            }
            _ => self.object.labels.push(PageLabel { first, count, text, droppable }),
        }
    }

    /// The object, and the ranges of pages (in hexadecimal, end excluded) that cannot be read.
    pub(crate) fn finish(self) -> (PageObject, String) {
        let ranges: Vec<String> =
            self.unreadable.iter().map(|(first, end)| format!("{first:x}-{end:x}")).collect();
        (self.object, ranges.join(" "))
    }
}

/// Sooner known than a digest: a page with content mostly shows it in its first words.
pub(crate) fn is_zero(page: &[u8]) -> bool {
    let (words, rest) = page.as_chunks::<8>();
    words.iter().all(|word| *word == [0; 8]) && rest.iter().all(|byte| *byte == 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_bit_makes_another_digest() {
        let mut page = vec![7u8; PAGE as usize];
        let digest = page_digest(&page);
        for bit in 0..8 * PAGE as usize {
            page[bit / 8] ^= 1 << (bit % 8);
            let other = page_digest(&page);
            assert_ne!(other, digest, "{bit}");
            page[bit / 8] ^= 1 << (bit % 8);
        }
        assert_eq!(page_digest(&page), digest);
    }

    #[test]
    fn neighbours_of_one_kind_form_a_run() {
        let mut collected = Collected::default();
        let mut bytes = vec![0u8; 4 * PAGE as usize];
        bytes[PAGE as usize] = 1;
        collected.bytes(10, &bytes);
        collected.zero(14, 6);
        collected.unreadable(20);
        collected.unreadable(21);
        let (object, unreadable) = collected.finish();
        assert_eq!(object.runs.len(), 3);
        assert_eq!(object.runs[2], PageRun::Zero { first: 12, count: 8 });
        assert_eq!(unreadable, "14-16");
    }
}
