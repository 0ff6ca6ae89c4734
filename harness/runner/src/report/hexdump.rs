//! Pages that differ, before and after beside each other, as `xxd` would show each.

use crate::verdict::{Around, Differ, Difference, LINE_BYTES, PageBytes, printable};

/// Characters of a line's bytes: two digits each, and a space between them.
const HEX: usize = 3 * LINE_BYTES - 1;

/// What a difference says about the bytes of its page; nothing where it is not about a page.
pub(super) fn hexdump(difference: &Difference) -> Option<String> {
    let PageBytes { source, differ } = difference.bytes.as_ref()?;
    let fact = &difference.fact;
    let Some(Differ { differing, first, around, .. }) = differ else {
        return Some(format!("{fact}: its bytes are not known: {source}\n"));
    };
    let count = match differing {
        1 => "1 byte differs".to_owned(),
        count => format!("{count} bytes differ"),
    };
    let head = format!("{fact}: {count}, the first at {first} (before: {source})\n");
    Some(head + &lines(around))
}

/// A line for so many bytes, in the manner of `diff --side-by-side`: a bar where both sides differ.
fn lines(around: &Around) -> String {
    let start = around.address.strip_prefix("0x").unwrap_or(&around.address);
    let start = u64::from_str_radix(start, 16).unwrap_or_default();
    let [before, after] = [&around.before, &around.after].map(|hex| bytes(hex));
    let pairs = before.chunks(LINE_BYTES).zip(after.chunks(LINE_BYTES));
    let lines = pairs.enumerate().map(|(line, (was, is))| {
        let address = start.saturating_add((line * LINE_BYTES) as u64);
        let bar = if was == is { ' ' } else { '|' };
        format!("  {address:012x}: {} {bar} {}\n", side(was), side(is))
    });
    lines.collect()
}

fn side(bytes: &[u8]) -> String {
    let hex: Vec<String> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{:HEX$}  {:LINE_BYTES$}", hex.join(" "), printable(bytes))
}

/// The bytes of a text in hexadecimal, as far as it is one.
fn bytes(hex: &str) -> Vec<u8> {
    let pair = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
    hex.as_bytes().chunks(2).map_while(pair).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn difference(bytes: PageBytes) -> Difference {
        let fact = "task.1.memory.7f0000001000".to_owned();
        Difference { fact, bytes: Some(bytes), ..Difference::default() }
    }

    #[test]
    fn a_page_that_differs_is_drawn_beside_what_it_was() {
        let mut before = vec![0; 4096];
        before[0x9c0..0x9d5].copy_from_slice(b"a line of a heap, 1\n\x7f");
        let mut after = before.clone();
        (after[0x9cb], after[0x9d2]) = (b'H', b'2');
        let bytes = PageBytes::of(0x7f00_0000_1000, &before, &after, "pages-1.img at byte 8192");
        insta::assert_snapshot!(hexdump(&difference(bytes)).expect("drawn"));
    }

    #[test]
    fn why_bytes_are_not_known_is_told() {
        let why = PageBytes::unknown("before: pagemap-1.img: No such file");
        let drawn = hexdump(&difference(why)).expect("told");
        assert!(drawn.contains("not known: before: pagemap-1.img: No such"), "{drawn}");
        assert_eq!(hexdump(&Difference::default()), None);
    }

    #[test]
    fn a_file_that_somebody_has_damaged_is_drawn_as_far_as_it_goes() {
        let around = |address: &str, before: &str| Around {
            address: address.to_owned(),
            before: before.to_owned(),
            after: "00".repeat(64),
        };
        assert_eq!(lines(&around("0xffffffffffffffff", "ü")), "");
        assert!(lines(&around("nowhere", "0001")).starts_with("  000000000000: 00 01"));
    }
}
