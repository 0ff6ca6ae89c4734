//! What a CRIU log says about a failure.
//!
//! A line is `(00.012345) text`, in a restored task `(00.012345)   1234: text`, and an error
//! `(00.012345) Error (criu/file.c:123): text`. The first error names the cause; those after it
//! are its consequences, up to `Dumping FAILED.`. A few lines are called errors and are none.

use std::collections::VecDeque;
use std::io::{self, BufRead, Read};

/// Starts of messages that CRIU logs as errors although the operation goes on unharmed.
pub const HARMLESS: [&str; 1] = [
    // CRIU raises its own limit of descriptors and goes on with the old one where it may not:
    // seen in every dump by a task without CAP_SYS_RESOURCE.
    "rlimit: Can't setup RLIMIT_NOFILE for self",
];

/// Lines before and after the first error in [`Summary::around`].
const CONTEXT_LINES: usize = 5;
/// Longer lines are cut into several: a log may be damaged.
const MAX_LINE_BYTES: u64 = 4096;

/// What is of interest in a log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// The message of the first real error, such as `inet: Connected TCP socket in image`.
    pub first_error: Option<String>,
    /// The lines around it, as they are in the log.
    pub around: Vec<String>,
    /// The last lines.
    pub tail: Vec<String>,
    /// How many lines the log has.
    pub lines: u64,
}

/// Reads a log and keeps its last `tail` lines.
///
/// # Errors
/// When `reader` fails.
pub fn summarize(mut reader: impl BufRead, tail: usize) -> io::Result<Summary> {
    let mut summary = Summary::default();
    let mut recent = VecDeque::new();
    let mut wanted_after = 0;
    while let Some(line) = next_line(&mut reader)? {
        summary.lines += 1;
        if wanted_after > 0 {
            summary.around.push(line.clone());
            wanted_after -= 1;
        }
        if summary.first_error.is_none()
            && let Some(message) = error_message(&line)
        {
            summary.first_error = Some(message.to_owned());
            let skipped = recent.len().saturating_sub(CONTEXT_LINES);
            summary.around = recent.iter().skip(skipped).cloned().collect();
            summary.around.push(line.clone());
            wanted_after = CONTEXT_LINES;
        }
        recent.push_back(line);
        if recent.len() > tail.max(CONTEXT_LINES) {
            recent.pop_front();
        }
    }
    let skipped = recent.len().saturating_sub(tail);
    summary.tail = recent.into_iter().skip(skipped).collect();
    Ok(summary)
}

fn next_line(reader: &mut impl BufRead) -> io::Result<Option<String>> {
    let mut bytes = Vec::new();
    reader.by_ref().take(MAX_LINE_BYTES).read_until(b'\n', &mut bytes)?;
    let line = bytes.strip_suffix(b"\n").unwrap_or(&bytes);
    Ok((!bytes.is_empty()).then(|| String::from_utf8_lossy(line).into_owned()))
}

/// The message of a line that is an error and not [`HARMLESS`].
#[must_use]
pub fn error_message(line: &str) -> Option<&str> {
    let (_, message) = split_error(line)?;
    (!is_harmless(message)).then_some(message)
}

/// The message of any line: without stamp, pid, the word `Error` and its place in CRIU's source.
#[must_use]
pub fn plain(line: &str) -> &str {
    split_error(line).map_or_else(|| without_stamp(line), |(_, message)| message).trim()
}

/// An error's place in CRIU's source, and its message.
fn split_error(line: &str) -> Option<(&str, &str)> {
    without_stamp(line).strip_prefix("Error (")?.split_once("): ")
}

/// Whether a message is called an error and is none.
#[must_use]
pub fn is_harmless(message: &str) -> bool {
    HARMLESS.iter().any(|harmless| message.starts_with(harmless))
}

/// A line without its time stamp and pid.
#[must_use]
pub fn without_stamp(line: &str) -> &str {
    let Some((stamp, rest)) = line.strip_prefix('(').and_then(|line| line.split_once(')')) else {
        return line;
    };
    if !stamp.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.') {
        return line;
    }
    let text = rest.trim_start();
    match text.split_once(':') {
        Some((pid, text)) if !pid.is_empty() && pid.bytes().all(|b| b.is_ascii_digit()) => {
            text.strip_prefix(' ').unwrap_or(text)
        }
        _ => text,
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    const DUMP: &str = "\
(00.000000) Version: 4.1.1 (gitid 0)
(00.000391) Error (criu/rlimit.c:25): rlimit: Can't setup RLIMIT_NOFILE for self: Operation not permitted
(00.000412) Loaded kdat cache from /run/criu.kdat
(00.051171) sockets: Searching for socket 0x1c83 family 2
(00.051182) 	No filter for socket
(00.051186) Error (criu/sockets.c:588): sockets: Can't get 1:16 opt: Operation not supported
(00.051210) ----------------------------------------
(00.051222) Error (criu/cr-dump.c:1674): Dump files (pid: 311) failed with -1
(00.051600) Unfreezing tasks into 1
(00.051800) Error (criu/cr-dump.c:2114): Dumping FAILED.
";

    #[test]
    fn the_cause_is_named_and_not_its_consequence() {
        let summary = summarize(DUMP.as_bytes(), 2).expect("a slice");
        insta::assert_debug_snapshot!(summary);
    }

    #[test]
    fn a_log_without_errors_has_only_a_tail() {
        let summary = summarize(&b"(00.1) one\n(00.2) two"[..], 9).expect("a slice");
        let tail = vec!["(00.1) one".to_owned(), "(00.2) two".to_owned()];
        assert_eq!(summary, Summary { tail, lines: 2, ..Summary::default() });
    }

    #[test]
    fn an_endless_line_is_cut() {
        let log = vec![b'x'; 9000];
        let summary = summarize(log.as_slice(), 1).expect("a slice");
        assert_eq!((summary.lines, summary.tail[0].len()), (3, 9000 - 2 * 4096));
    }

    #[rstest]
    #[case("(00.1) Error (a.c:1): mnt: BUG", Some("mnt: BUG"))]
    #[case("(00.012345)  20931: Error (criu/files.c:9): Can't open", Some("Can't open"))]
    #[case("Error (criu/log.c:1): early", Some("early"))]
    #[case("(00.1) Warn  (criu/a.c:1): not so bad", None)]
    #[case("(00.1)  12: Error parsing", None)]
    #[case("(00.1) Error (x.c:25): rlimit: Can't setup RLIMIT_NOFILE for self: no", None)]
    fn an_error_is_known_by_its_form(#[case] line: &str, #[case] message: Option<&str>) {
        assert_eq!(error_message(line), message);
    }

    #[rstest]
    #[case("(00.000391) text", "text")]
    #[case("(00.000391)      7: text", "text")]
    #[case("(00.000391) 7 tasks: text", "7 tasks: text")]
    #[case("(note) text", "(note) text")]
    #[case("text", "text")]
    fn a_stamp_is_taken_off(#[case] line: &str, #[case] text: &str) {
        assert_eq!(without_stamp(line), text);
    }
}
