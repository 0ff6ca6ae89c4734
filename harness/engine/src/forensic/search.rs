//! Search of memory as it streams by: texts and regular expressions, within a bounded window.
//!
//! Pieces that follow each other in memory are one stretch, so that a match may lie across the border
//! of two pages. A match that could still grow when more comes is looked for again then; one of up to
//! [`LONGEST_MATCH`] bytes is found whole wherever it begins.

use regex::bytes::{Regex, RegexBuilder};

use super::analysis::Sought;
use crate::error::Error;

/// Longest match that is surely found whole, in bytes.
pub const LONGEST_MATCH: usize = 4096;

/// Bytes that are kept before the place where the search goes on: for what is shown around a match,
/// and for expressions that look back.
const CONTEXT: usize = 64;

/// Bytes that are shown on either side of a match.
const AROUND: usize = 32;

/// What to search memory for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// Texts, as their UTF-8 bytes.
    pub texts: Vec<String>,
    /// Regular expressions over bytes, in the syntax of the crate `regex`.
    pub regexes: Vec<String>,
}

/// What is sought, compiled.
#[derive(Debug)]
pub(super) struct Patterns(Vec<(Regex, Sought)>);

/// A match in a stretch of memory.
pub(super) struct Hit<'a> {
    /// Which of the patterns.
    pub(super) pattern: usize,
    /// Where in memory it begins.
    pub(super) position: u64,
    /// The bytes.
    pub(super) bytes: &'a [u8],
    /// The bytes with those around them.
    pub(super) around: &'a [u8],
}

impl Patterns {
    pub(super) fn new(wanted: &Wanted) -> Result<Patterns, Error> {
        let texts = wanted.texts.iter().map(|text| (text, false, regex::escape(text)));
        let regexes = wanted.regexes.iter().map(|text| (text, true, text.clone()));
        let compiled = texts.chain(regexes).map(|(text, regex, source)| {
            let failed = |why: String| Error::Pattern { pattern: text.clone(), why };
            let compiled = RegexBuilder::new(&source).build();
            let compiled = compiled.map_err(|error| failed(error.to_string()))?;
            if compiled.is_match(b"") {
                return Err(failed("it is found in nothing at all".to_owned()));
            }
            Ok((compiled, Sought { pattern: text.clone(), regex, found: 0 }))
        });
        compiled.collect::<Result<_, _>>().map(Patterns)
    }

    /// Nothing is sought.
    pub(super) fn none() -> Patterns {
        Patterns(Vec::new())
    }

    /// What is sought, nothing of it found yet.
    pub(super) fn sought(&self) -> Vec<Sought> {
        self.0.iter().map(|(_, sought)| sought.clone()).collect()
    }
}

/// A stretch of memory that streams by.
pub(super) struct Window<'p> {
    patterns: &'p Patterns,
    /// Where in memory the buffer begins.
    start: u64,
    buffer: Vec<u8>,
    /// For each pattern, where in the buffer its search goes on.
    next: Vec<usize>,
}

impl<'p> Window<'p> {
    pub(super) fn new(patterns: &'p Patterns) -> Self {
        Window { patterns, start: 0, buffer: Vec::new(), next: vec![0; patterns.0.len()] }
    }

    /// Takes the next piece, and tells each match that no further piece can change.
    pub(super) fn feed(&mut self, position: u64, piece: &[u8], each: &mut dyn FnMut(&Hit<'_>)) {
        if self.patterns.0.is_empty() {
            return;
        }
        if position != self.start.wrapping_add(self.buffer.len() as u64) {
            self.finish(each);
            self.start = position;
        }
        self.buffer.extend_from_slice(piece);
        let settled = self.buffer.len().saturating_sub(LONGEST_MATCH);
        self.search(settled, each);
        let dropped = settled.saturating_sub(CONTEXT);
        self.buffer.drain(..dropped);
        self.start = self.start.wrapping_add(dropped as u64);
        self.next.iter_mut().for_each(|next| *next = next.saturating_sub(dropped));
    }

    /// Tells the matches at the end of the stretch.
    pub(super) fn finish(&mut self, each: &mut dyn FnMut(&Hit<'_>)) {
        self.search(self.buffer.len(), each);
        self.buffer.clear();
        self.next.fill(0);
    }

    /// Tells the matches that begin before `settled`.
    fn search(&mut self, settled: usize, each: &mut dyn FnMut(&Hit<'_>)) {
        let buffer = self.buffer.as_slice();
        for (pattern, next) in self.next.iter_mut().enumerate() {
            let (regex, _) = &self.patterns.0[pattern];
            while *next < settled {
                let found = regex.find_at(buffer, *next).filter(|found| found.start() < settled);
                let Some(found) = found else { break };
                *next = found.end().max(found.start() + 1);
                if found.is_empty() {
                    continue;
                }
                let first = found.start().saturating_sub(AROUND);
                let last = found.end().saturating_add(AROUND).min(buffer.len());
                each(&Hit {
                    pattern,
                    position: self.start.wrapping_add(found.start() as u64),
                    bytes: found.as_bytes(),
                    around: &buffer[first..last],
                });
            }
            *next = (*next).max(settled);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn patterns(texts: &[&str], regexes: &[&str]) -> Patterns {
        let owned = |list: &[&str]| list.iter().map(|text| (*text).to_owned()).collect();
        let wanted = Wanted { texts: owned(texts), regexes: owned(regexes) };
        Patterns::new(&wanted).expect("patterns")
    }

    /// All matches in pieces of memory: pattern, place, bytes.
    fn found(patterns: &Patterns, pieces: &[(u64, &[u8])]) -> Vec<(usize, u64, Vec<u8>)> {
        let mut found = Vec::new();
        let mut each = |hit: &Hit<'_>| found.push((hit.pattern, hit.position, hit.bytes.to_vec()));
        let mut window = Window::new(patterns);
        for (position, piece) in pieces {
            window.feed(*position, piece, &mut each);
        }
        window.finish(&mut each);
        found.sort();
        found
    }

    #[test]
    fn a_match_across_a_border_is_found_once() {
        let patterns = patterns(&["secret"], &["[0-9]{3}"]);
        let (first, second) = ([vec![b'.'; 5000], b"xsec".to_vec()].concat(), b"ret 12");
        let pieces: [(u64, &[u8]); 3] = [(0x1000, &first), (0x1000 + 5004, second), (90_000, b"3")];
        let expected = vec![(0, 0x1000 + 5001, b"secret".to_vec())];
        assert_eq!(found(&patterns, &pieces), expected, "and none across a gap");
    }

    #[test]
    fn bytes_that_are_no_text_are_searched() {
        let patterns = patterns(&["ü"], &[r"(?-u)\xff\x00+"]);
        let piece = b"\x80\xfe\xc3\xbc\xff\0\0\0\x01";
        let expected = vec![(0, 2, b"\xc3\xbc".to_vec()), (1, 4, b"\xff\0\0\0".to_vec())];
        assert_eq!(found(&patterns, &[(0, piece)]), expected);
    }

    #[test]
    fn what_would_be_found_everywhere_is_refused_by_name() {
        let why = |wanted: Wanted| Patterns::new(&wanted).expect_err("refused").to_string();
        let text = |text: &str| Wanted { texts: vec![text.into()], ..Wanted::default() };
        let regex = |text: &str| Wanted { regexes: vec![text.into()], ..Wanted::default() };
        assert_eq!(why(text("")), "cannot search for ``: it is found in nothing at all");
        assert_eq!(why(regex("a*")), "cannot search for `a*`: it is found in nothing at all");
        assert!(why(regex("(")).starts_with("cannot search for `(`: regex parse error"));
    }

    proptest! {
        /// However memory is cut into pieces, the matches are those in all of it.
        #[test]
        fn pieces_do_not_matter(
            memory in prop::collection::vec(prop::sample::select(b"ab\0".to_vec()), 0..20_000),
            mut cuts in prop::collection::vec(0..20_000usize, 0..6),
        ) {
            let patterns = patterns(&["abba"], &["ba{1,4}b", r"(?s-u)a\x00.a"]);
            cuts.retain(|cut| *cut < memory.len());
            cuts.extend([0, memory.len()]);
            cuts.sort_unstable();
            let pieces: Vec<(u64, &[u8])> = cuts
                .windows(2)
                .map(|pair| (pair[0] as u64, &memory[pair[0]..pair[1]]))
                .collect();
            let mut expected = Vec::new();
            for (pattern, (regex, _)) in patterns.0.iter().enumerate() {
                let all = regex.find_iter(&memory);
                expected.extend(
                    all.map(|it| (pattern, it.start() as u64, it.as_bytes().to_vec())),
                );
            }
            expected.sort();
            prop_assert_eq!(found(&patterns, &pieces), expected);
        }
    }
}
