//! The bytes of a page that came back different.

use serde::{Deserialize, Serialize};

/// Most bytes of the first run that is told.
const RUN_BYTES: usize = 16;

/// Bytes of the page that are kept around the first that differs, and how many of them before it.
const AROUND: (usize, usize) = (64, 16);

/// Bytes of a line of a dump: the neighbourhood begins at such a line.
pub(crate) const LINE_BYTES: usize = 8;

/// What is known about the bytes of a page.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PageBytes {
    /// Where the bytes of before were found; or why not both sides are known.
    pub source: String,
    /// What differs, when both sides are known.
    #[serde(flatten)]
    pub differ: Option<Differ>,
}

/// How two pages differ.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Differ {
    /// How many bytes of the page differ.
    pub differing: u64,
    /// Address of the first that does, in hexadecimal.
    pub first: String,
    /// That one and those after it which differ, too, as they were: at most 16.
    pub before: Run,
    /// The same as they are.
    pub after: Run,
    /// The neighbourhood of the first.
    pub around: Around,
}

/// Some bytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Run {
    /// In hexadecimal.
    pub hex: String,
    /// As text; a dot stands for what cannot be printed.
    pub text: String,
}

/// Bytes in the neighbourhood of the first that differs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Around {
    /// Address of the first of them, in hexadecimal.
    pub address: String,
    /// As they were, in hexadecimal.
    pub before: String,
    /// As they are, in hexadecimal.
    pub after: String,
}

impl PageBytes {
    /// Nothing but the reason why nothing is known.
    #[must_use]
    pub fn unknown(why: impl Into<String>) -> Self {
        PageBytes { source: why.into(), differ: None }
    }

    /// Two pages at an address, of equal length.
    #[must_use]
    pub fn of(address: u64, before: &[u8], after: &[u8], source: impl Into<String>) -> Self {
        PageBytes { source: source.into(), differ: Differ::of(address, before, after) }
    }

    /// On one line, after what is known by digests.
    #[must_use]
    pub fn in_words(&self) -> String {
        let Some(Differ { differing, first, before, after, .. }) = &self.differ else {
            return format!("its bytes are not known: {}", self.source);
        };
        let count = match differing {
            1 => "1 byte differs, at".to_owned(),
            count => format!("{count} bytes differ, the first at"),
        };
        let [before, after] = [before, after].map(Run::in_words);
        format!("{count} {first}: {before} became {after}")
    }
}

impl Differ {
    fn of(address: u64, before: &[u8], after: &[u8]) -> Option<Self> {
        let differs = |(a, b): (&u8, &u8)| a != b;
        let at = before.iter().zip(after).position(differs)?;
        let run = before[at..].iter().zip(&after[at..]).take(RUN_BYTES);
        let run = at..at + run.take_while(|&(a, b)| a != b).count();
        let (length, ahead) = AROUND;
        let start = (at - at % LINE_BYTES).saturating_sub(ahead);
        let around = start..before.len().min(after.len()).min(start + length);
        let place = |at: usize| format!("{:#x}", address.saturating_add(at as u64));
        Some(Differ {
            differing: before.iter().zip(after).filter(|&pair| differs(pair)).count() as u64,
            first: place(at),
            before: Run::of(&before[run.clone()]),
            after: Run::of(&after[run]),
            around: Around {
                address: place(start),
                before: hex(&before[around.clone()]),
                after: hex(&after[around]),
            },
        })
    }
}

impl Run {
    fn of(bytes: &[u8]) -> Self {
        Run { hex: hex(bytes), text: printable(bytes) }
    }

    fn in_words(&self) -> String {
        format!("{} |{}|", self.hex, self.text)
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Bytes as text, one character each.
pub(crate) fn printable(bytes: &[u8]) -> String {
    let char =
        |&byte: &u8| if byte == b' ' || byte.is_ascii_graphic() { byte as char } else { '.' };
    bytes.iter().map(char).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn changed(at: &[usize]) -> PageBytes {
        let before: Vec<u8> = (0..4096).map(|at| (at % 251) as u8).collect();
        let mut after = before.clone();
        at.iter().for_each(|&at| after[at] ^= 0x20);
        PageBytes::of(0x7f00_0000_1000, &before, &after, "pages-1.img at byte 8192")
    }

    #[test]
    fn the_first_run_is_told_with_its_address() {
        let words = |at: &[usize]| changed(at).in_words();
        assert_eq!(words(&[65]), "1 byte differs, at 0x7f0000001041: 41 |A| became 61 |a|");
        assert_eq!(
            words(&[65, 66, 68, 4095]),
            "4 bytes differ, the first at 0x7f0000001041: 4142 |AB| became 6162 |ab|"
        );
        let long = words(&(65..100).collect::<Vec<_>>());
        assert!(long.contains("|ABCDEFGHIJKLMNOP| became "), "16 at most: {long}");
        assert_eq!(
            PageBytes::unknown("no image holds it").in_words(),
            "its bytes are not known: no image holds it"
        );
    }

    #[test]
    fn a_neighbourhood_ends_with_its_page() {
        for (at, address, length) in [(0, "0x7f0000001000", 64), (4095, "0x7f0000001fe8", 24)] {
            let differ = changed(&[at]).differ.expect("a difference");
            assert_eq!((differ.around.address.as_str(), differ.differing), (address, 1));
            assert_eq!(differ.around.before.len(), 2 * length);
        }
    }

    #[test]
    fn it_is_written_flat_and_reads_back() {
        let bytes = changed(&[65]);
        let json = serde_json::to_value(&bytes).expect("plain data");
        assert_eq!(json["first"], "0x7f0000001041");
        assert_eq!(json["before"]["text"], "A");
        assert_eq!(serde_json::from_value::<PageBytes>(json).expect("the same"), bytes);
        let json = serde_json::to_string(&PageBytes::unknown("why")).expect("plain data");
        assert_eq!(json, r#"{"source":"why"}"#);
        let read: PageBytes = serde_json::from_str(&json).expect("the same");
        assert_eq!(read, PageBytes::unknown("why"));
    }
}
