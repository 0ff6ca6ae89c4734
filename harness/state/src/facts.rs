//! Where sources put what they see.

use std::collections::BTreeMap;

use model::Digest;
use xxhash_rust::xxh64::xxh64;

use crate::observed::Seen;

/// The facts of a capture while it is being made.
#[derive(Debug, Default)]
pub(crate) struct Facts {
    pub(crate) facts: BTreeMap<String, Seen>,
    pub(crate) not_offered: BTreeMap<String, String>,
}

impl Facts {
    /// Writes a fact down.
    #[expect(clippy::needless_pass_by_value, reason = "numbers, texts and references alike")]
    pub(crate) fn put(&mut self, name: impl Into<String>, value: impl ToString) {
        self.facts.insert(name.into(), Seen::Text(value.to_string()));
    }

    /// Writes down the digest of some content.
    pub(crate) fn content(&mut self, name: impl Into<String>, bytes: &[u8]) {
        self.digest(name, Digest(xxh64(bytes, 0)), bytes.len() as u64);
    }

    /// The same for content that was digested elsewhere.
    pub(crate) fn digest(&mut self, name: impl Into<String>, digest: Digest, length: u64) {
        self.facts.insert(name.into(), Seen::Content { digest, length });
    }

    /// Says that this kernel cannot show what the pattern names.
    pub(crate) fn not_offered(&mut self, pattern: impl Into<String>, why: impl Into<String>) {
        self.not_offered.insert(pattern.into(), why.into());
    }

    /// Takes in what was seen elsewhere, with this in front of its names.
    pub(crate) fn join(&mut self, seen: Facts, prefix: &str) {
        let named = seen.facts.into_iter().map(|(name, seen)| (format!("{prefix}{name}"), seen));
        self.facts.extend(named);
        self.not_offered.extend(seen.not_offered);
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
