//! Where sources put what they see. The registry decides of what kind it is.

use std::collections::BTreeMap;

use model::{Digest, Value};
use xxhash_rust::xxh3::xxh3_128;

use crate::registry::{self, Kind};

/// The facts of a capture while it is being made.
#[derive(Debug, Default)]
pub(crate) struct Facts {
    pub(crate) facts: BTreeMap<String, Value>,
    pub(crate) not_offered: BTreeMap<String, String>,
}

impl Facts {
    /// Writes a fact down, as the kind that the registry gives to its name.
    #[expect(clippy::needless_pass_by_value, reason = "numbers, texts and references alike")]
    pub(crate) fn put(&mut self, name: impl Into<String>, value: impl ToString) {
        let (name, text) = (name.into(), value.to_string());
        let value = match registry::rule(&name).kind {
            Kind::Exact | Kind::Content => Value::Exact(text),
            Kind::Identity(class) => Value::Identity { class: class.to_owned(), id: text },
            Kind::Moment => Value::Moment(text),
            Kind::Clock => match text.parse() {
                Ok(ns) => Value::Clock { ns },
                Err(_) => Value::Exact(text),
            },
        };
        self.facts.insert(name, value);
    }

    /// Writes down the digest of some content.
    pub(crate) fn content(&mut self, name: impl Into<String>, bytes: &[u8]) {
        self.digest(name, Digest(xxh3_128(bytes)), bytes.len() as u64);
    }

    /// The same for content that was digested elsewhere.
    pub(crate) fn digest(&mut self, name: impl Into<String>, digest: Digest, length: u64) {
        self.facts.insert(name.into(), Value::Content { digest, length });
    }

    /// Says that this kernel cannot show what the pattern names.
    pub(crate) fn not_offered(&mut self, pattern: impl Into<String>, why: impl Into<String>) {
        self.not_offered.insert(pattern.into(), why.into());
    }

    /// `name`, or `name#2` and so on when there is a fact `name.probe` already.
    pub(crate) fn unused(&self, name: &str, probe: &str) -> String {
        let taken = |name: &str| self.facts.contains_key(&format!("{name}.{probe}"));
        if !taken(name) {
            return name.to_owned();
        }
        let mut number = 2;
        while taken(&format!("{name}#{number}")) {
            number += 1;
        }
        format!("{name}#{number}")
    }
}
