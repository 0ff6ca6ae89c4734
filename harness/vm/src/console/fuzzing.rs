//! A door for the fuzzer.

use super::TroubleKind;
use super::text::{LEAD_LINES, LINE_BYTES, TAIL_LINES, TRACE_LINES, Text, Told};

/// Whatever comes on the console, in pieces: what is kept of it is bounded and harmless.
///
/// # Panics
/// When that does not hold.
pub fn console(data: &[u8]) {
    let Some((piece, data)) = data.split_first() else { return };
    let mut text = Text::default();
    for piece in data.chunks(usize::from(*piece) + 1) {
        let signs = text.push(piece);
        assert_eq!(signs.panic, text.end().is_some(), "a panic has a headline");
    }
    check(&text.tail(), TAIL_LINES + 1);
    let kinds = [TroubleKind::Oops, TroubleKind::Memory, TroubleKind::Lockup];
    let troubles = kinds.map(|kind| Some(text.trouble(kind)));
    let told = [text.end(), text.lockup()].into_iter().chain(troubles);
    for Told { headline, console } in told.flatten() {
        check(&[headline], 1);
        check(&console, LEAD_LINES + TRACE_LINES + 1 + TAIL_LINES + 1);
    }
}

fn check(lines: &[String], most: usize) {
    assert!(lines.len() <= most, "{} lines", lines.len());
    for line in lines {
        // A byte that is no UTF-8 becomes a character of three bytes; a halt has a suffix.
        assert!(line.len() <= 4 * LINE_BYTES, "a line of {} bytes", line.len());
        assert!(!line.chars().any(|c| c.is_control() && c != '\t'), "{line:?}");
    }
}
