//! How CRIU's image files are compared: which files there are, what tells their entries apart, and
//! which fields are not exact.
//!
//! A field is *exact* unless a line of [`FIELDS`] says otherwise, so a field that a new CRIU brings
//! is compared from the first day on. A file of which [`FILES`] says nothing, and a field that the
//! schema of the CRIU under test does not have, are differences.

mod fields;
mod files;
mod keys;
mod known;

pub use fields::{FIELDS, FieldRule, Meaning};
pub use files::{FILES, FileRule, Judged, Named};
pub use keys::{KEYS, ListKey};
pub use known::{fields_of, known_field};

use std::collections::HashMap;
use std::sync::LazyLock;

/// The line that is valid for a field of a message.
#[must_use]
pub fn field_rule(message: &str, field: &str) -> Option<&'static FieldRule> {
    static INDEX: LazyLock<HashMap<(&str, &str), &FieldRule>> = LazyLock::new(|| {
        let split = |rule: &'static FieldRule| rule.field.split_once('.').map(|key| (key, rule));
        FIELDS.iter().filter_map(split).collect()
    });
    INDEX.get(&(message, field)).copied()
}

/// What tells entries of this message apart within a list.
#[must_use]
pub fn list_key(message: &str) -> Option<&'static ListKey> {
    KEYS.iter().find(|key| key.message == message)
}

/// The line that is valid for a file, with what follows the stem in its name.
#[must_use]
pub fn file_rule(name: &str) -> Option<(usize, &'static FileRule, &str)> {
    let name = name.strip_suffix(".img").unwrap_or(name);
    let rest = |stem: &str| {
        let rest = name.strip_prefix(stem)?;
        if rest.is_empty() { Some(rest) } else { rest.strip_prefix('-') }
    };
    let fitting = FILES.iter().enumerate();
    let fitting = fitting.filter_map(|(at, rule)| rest(rule.stem).map(|rest| (at, rule, rest)));
    fitting.max_by_key(|(_, rule, _)| rule.stem.len())
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("core-12.img", "core", "12")]
    #[case("pagemap-shmem-7.img", "pagemap-shmem", "7")]
    #[case("pagemap-7.img", "pagemap", "7")]
    #[case("netns-ct-9.img", "netns-ct", "9")]
    #[case("tmpfs-dev-39.tar.gz.img", "tmpfs-dev", "39.tar.gz")]
    #[case("pstree.img", "pstree", "")]
    fn the_longest_stem_counts(#[case] name: &str, #[case] stem: &str, #[case] rest: &str) {
        let found = file_rule(name).map(|(_, rule, rest)| (rule.stem, rest));
        assert_eq!(found, Some((stem, rest)));
    }

    #[test]
    fn a_file_of_next_year_has_no_rule() {
        assert!(file_rule("corex-1.img").is_none() && file_rule("gpu-1.img").is_none());
    }

    #[test]
    fn every_line_is_about_a_field_that_exists_and_has_a_reason() {
        for rule in FIELDS {
            let (message, field) = rule.field.split_once('.').expect("MESSAGE.FIELD");
            assert!(known_field(message, field).is_some(), "{}", rule.field);
            assert!(!rule.reason.is_empty() && !rule.source.is_empty(), "{}", rule.field);
        }
        for key in KEYS {
            let first = key.fields.first().and_then(|field| field.split('.').next());
            assert!(
                first.is_some_and(|field| known_field(key.message, field).is_some()),
                "{key:?}"
            );
        }
        assert!(FILES.iter().all(|rule| !rule.reason.is_empty()));
    }
}
