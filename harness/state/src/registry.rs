//! The one table of what is captured, where it comes from, and how it is compared.
//!
//! Every kind of fact has a line of its own. A fact without one is *exact*: a kernel's new line
//! in some file of `/proc` is compared from the first day on, and the test `complete` asks for
//! its line here. The first line that matches counts.

mod descriptors;
mod entries;
mod files;
mod glob;
pub mod images;
mod kept;
mod lines;
mod memory;
mod netlink;
mod network;
mod node_sysctls;
mod not_captured;
mod pod;
mod sockets;
mod table;
mod task;
mod traced;

use std::collections::HashMap;
use std::sync::LazyLock;

pub use entries::{Entry, Known, known};
pub use glob::matches;
pub use kept::kept;
pub use memory::VM_FLAGS;
pub use not_captured::{NOT_CAPTURED, NotCaptured};
pub use table::RULES;
pub use task::{STAT_FIELDS, auxiliary, limit};

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
    /// The kernel since which it is shown; empty when that was long before all that are tested.
    pub since: &'static str,
    /// Why it is compared in this way.
    pub reason: &'static str,
}

/// Where names of facts begin, apart from the name of a container.
const ROOTS: &[&str] =
    &["task", "pod", "pidns", "node", "root", "tmpfs", "cgroup", "clock", "mqueue", "image"];

/// The line that is valid for a fact.
#[must_use]
pub fn rule(fact: &str) -> &'static Rule {
    let fact = within_container(fact);
    INDEX.find(fact).unwrap_or_else(|| rest(fact))
}

/// The line that the table has for a fact, if it knows this kind of fact at all.
#[must_use]
pub fn named(fact: &str) -> Option<&'static Rule> {
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

fn rest(fact: &str) -> &'static Rule {
    let rest = table::REST.iter().copied().flatten();
    // The last of them matches everything.
    rest.clone().find(|rule| matches(rule.pattern, fact)).unwrap_or(&task::ENVIRON[0])
}

static INDEX: LazyLock<Index> = LazyLock::new(Index::new);

/// The table by a word that a fact must have to match: the last one in a pattern that no star
/// touches. So a fact is held against a few patterns only, of the hundreds that there are.
#[derive(Debug)]
struct Index {
    by_word: HashMap<&'static str, Vec<usize>>,
    other: Vec<usize>,
}

impl Index {
    fn new() -> Self {
        let mut index = Index { by_word: HashMap::new(), other: Vec::new() };
        for (at, rule) in RULES.iter().enumerate() {
            match rule.pattern.rsplit('.').find(|word| !word.contains('*')) {
                Some(word) => index.by_word.entry(word).or_default().push(at),
                None => index.other.push(at),
            }
        }
        index
    }

    fn find(&self, fact: &str) -> Option<&'static Rule> {
        let first =
            |at: &Vec<usize>| at.iter().copied().find(|&at| matches(RULES[at].pattern, fact));
        let by_word = fact.split('.').filter_map(|word| self.by_word.get(word)).filter_map(first);
        by_word.chain(first(&self.other)).min().map(|at| &RULES[at])
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

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
    #[case("cgroup./below.memory.swap.current", Kind::Moment)]
    fn the_first_line_that_matches_counts(#[case] fact: &str, #[case] kind: Kind) {
        assert_eq!(rule(fact).kind, kind);
    }

    #[test]
    fn a_line_of_next_year_is_compared_and_not_known() {
        let new = "task.1.status.a_line_of_next_year";
        assert!(named(new).is_none());
        assert_eq!((rule(new).kind, rule(new).source), (Kind::Exact, "/proc/PID/status"));
    }

    #[test]
    fn every_line_has_a_source_and_a_reason_and_stands_once() {
        let mut patterns = BTreeSet::new();
        for rule in RULES {
            assert!(!rule.source.is_empty() && !rule.reason.is_empty(), "{}", rule.pattern);
            assert!(patterns.insert(rule.pattern), "{} stands twice", rule.pattern);
        }
        assert!(NOT_CAPTURED.iter().all(|line| !line.reason.is_empty()));
    }
}
