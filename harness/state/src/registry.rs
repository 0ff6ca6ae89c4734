//! The one table of what is captured, where it comes from, and how it is compared.
//!
//! A fact is *exact* unless a line here says otherwise, with a reason: a kernel's new line in
//! some file of `/proc` is compared from the first day on. The first line that matches counts.

mod glob;
mod table;

use std::collections::HashMap;
use std::sync::LazyLock;

pub use glob::matches;
pub use table::{NOT_CAPTURED, NotCaptured, RULES};

/// How a fact is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Equal or different.
    Exact,
    /// An id of this class, compared as one renaming over the whole pod.
    Identity(&'static str),
    /// Bytes, by their digest and length.
    Content,
    /// A clock or the rest of a timer, bounded by the time that passed.
    Clock,
    /// Written down and never compared.
    Moment,
}

/// A line of the table.
#[derive(Clone, Copy, Debug)]
pub struct Rule {
    /// Names of facts; a star stands for any text, also for dots. What belongs to another
    /// container than the first has its name in front.
    pub pattern: &'static str,
    /// How such a fact is compared.
    pub kind: Kind,
    /// The file, system call or program that shows it.
    pub source: &'static str,
    /// Why it is compared in this way.
    pub reason: &'static str,
}

/// Where names of facts begin, apart from the name of a container.
const ROOTS: &[&str] = &["task", "pod", "node", "root", "tmpfs", "cgroup", "clock", "mqueue"];

/// The line of the table that is valid for a fact.
#[must_use]
pub fn rule(fact: &str) -> &'static Rule {
    static INDEX: LazyLock<Index> = LazyLock::new(Index::new);
    INDEX.find(within_container(fact))
}

/// The name of a fact without the name of its container.
#[must_use]
pub fn within_container(fact: &str) -> &str {
    let root = |text: &str| ROOTS.contains(&text);
    match fact.split_once('.') {
        Some((first, rest)) if !root(first) && rest.split('.').next().is_some_and(root) => rest,
        _ => fact,
    }
}

/// The table by the last word of the patterns, since most end with a plain one.
#[derive(Debug)]
struct Index {
    by_last: HashMap<&'static str, Vec<usize>>,
    other: Vec<usize>,
}

impl Index {
    fn new() -> Self {
        let mut index = Index { by_last: HashMap::new(), other: Vec::new() };
        for (at, rule) in RULES.iter().enumerate() {
            match last(rule.pattern) {
                word if word.contains('*') => index.other.push(at),
                word => index.by_last.entry(word).or_default().push(at),
            }
        }
        index
    }

    fn find(&self, fact: &str) -> &'static Rule {
        let first = |at: &[usize]| at.iter().copied().find(|&at| matches(RULES[at].pattern, fact));
        let plain = self.by_last.get(last(fact)).and_then(|at| first(at));
        let other = first(&self.other);
        let at = plain.into_iter().chain(other).min();
        at.map_or(&table::DEFAULT, |at| &RULES[at])
    }
}

fn last(name: &str) -> &str {
    name.rsplit('.').next().unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("task.1.status.uid", Kind::Exact)]
    #[case("task.1.status.a_line_of_next_year", Kind::Exact)]
    #[case("task.1.thread.7.status.voluntary_ctxt_switches", Kind::Moment)]
    #[case("sidecar.task.1.fd.3.socket.peer", Kind::Identity("socket"))]
    #[case("task.1.fd.3.it_value", Kind::Clock)]
    #[case("task.1.environ.status.vmrss.value", Kind::Exact)]
    #[case("pod.link.eth0.ifindex", Kind::Identity("ifindex"))]
    fn the_first_line_that_matches_counts(#[case] fact: &str, #[case] kind: Kind) {
        assert_eq!(rule(fact).kind, kind);
    }

    #[test]
    fn every_line_has_a_source_and_a_reason() {
        for rule in RULES {
            assert!(!rule.source.is_empty() && !rule.reason.is_empty(), "{}", rule.pattern);
        }
        assert!(NOT_CAPTURED.iter().all(|line| !line.reason.is_empty()));
    }
}
