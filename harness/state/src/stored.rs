//! Captures that were written to a file, read again later: perhaps by another version.
//!
//! The rule for formats: a capture names its format by `schema`. What is added to a format without
//! a new number may be overlooked by an old reader without harm: a new fact, a new field that a
//! missing one equals. Anything that would make an old reader judge wrongly (a new kind of value,
//! another meaning of a name, another digest) takes a new number. A reader looks at the number
//! before anything else, and refuses one that it does not know; a number that it has outgrown is
//! refused, too, unless it can still be read truly. A file is not trusted: it costs memory in
//! proportion to its length and no panic, whatever it holds.

use model::Capture;
use serde::Deserialize;

use crate::capture::SCHEMA;

/// A file that holds no capture that can be read.
#[derive(Debug, thiserror::Error)]
pub enum StoredError {
    /// Another version has written it.
    #[error("the capture has format {0}, and this version reads format {SCHEMA}")]
    Schema(u64),
    /// It is no capture at all, or a damaged one.
    #[error("no capture: {0}")]
    Form(#[from] serde_json::Error),
}

/// What stands in every capture of any format.
#[derive(Deserialize)]
struct Head {
    schema: u64,
}

/// Reads a capture out of the text of its file.
///
/// # Errors
/// When another version has written it, naming the format, or it is damaged.
pub fn read_capture(text: &[u8]) -> Result<Capture, StoredError> {
    let Head { schema } = serde_json::from_slice(text)?;
    if schema != u64::from(SCHEMA) {
        return Err(StoredError::Schema(schema));
    }
    Ok(serde_json::from_slice(text)?)
}

#[cfg(test)]
mod tests {
    use model::{Digest, Memory, PageLabel, PageObject, PageRun, Value};

    use super::*;

    /// A capture as this version writes it.
    const GOLDEN: &str = include_str!("stored/golden.json");

    fn capture() -> Capture {
        let text = |text: &str| text.to_owned();
        let facts = [
            ("clock.boottime", Value::Clock { ns: -5 }),
            ("root./etc/x.content", Value::Content { digest: Digest(7), length: 3 }),
            ("task.1.fd.0.ino", Value::Identity { class: text("pipe"), id: text("812") }),
            ("task.1.nice", Value::Exact(text("0"))),
            ("task.1.stat.utime", Value::Moment(text("9"))),
        ];
        let label = PageLabel { first: 16, count: 3, text: text("[heap]"), droppable: false };
        let runs = vec![
            PageRun::Zero { first: 16, count: 2 },
            PageRun::Pages { first: 18, digests: vec![Digest(1 << 60)] },
        ];
        let object = PageObject { labels: vec![label], runs };
        Capture {
            schema: SCHEMA,
            began_ns: 1,
            ended_ns: 2,
            facts: facts.into_iter().map(|(name, value)| (text(name), value)).collect(),
            not_offered: [(text("task.*.traced.rseq.*"), text("since 5.13"))].into(),
            memory: Memory { page_bytes: 4096, objects: [(text("task.1.memory"), object)].into() },
        }
    }

    #[test]
    fn the_golden_file_is_what_is_written_and_reads_back() {
        let written = serde_json::to_string_pretty(&capture()).expect("plain data");
        assert_eq!(written, GOLDEN.trim_end(), "another format takes another number");
        assert_eq!(read_capture(GOLDEN.as_bytes()).expect("a capture"), capture());
    }

    #[test]
    fn an_unknown_format_is_refused_by_its_number_before_anything_else() {
        let text = r#"{ "schema": 7, "facts": "of another kind" }"#;
        let why = read_capture(text.as_bytes()).expect_err("unknown").to_string();
        assert_eq!(
            why,
            format!("the capture has format 7, and this version reads format {SCHEMA}")
        );
    }

    #[test]
    fn a_damaged_file_is_an_error_wherever_it_is_cut() {
        for cut in 0..GOLDEN.trim_end().len() {
            assert!(read_capture(&GOLDEN.as_bytes()[..cut]).is_err(), "{cut}");
        }
    }
}
