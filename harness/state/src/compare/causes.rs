//! Which differences are there only because of another one.
//!
//! One cause shows in many facts: a task that is missing takes hundreds along, one changed address
//! is in routes and sockets, too. Nothing is left out: every difference stays, and says which other
//! one it follows. Three rules, none of which knows what a fact means:
//!
//! - all facts below a name are gone, or all are new: the thing of that name is;
//! - the same conflict of ids: two things that were one are no longer, wherever that is seen;
//! - the same address instead of another one, and nothing else.

mod addresses;

use std::collections::BTreeMap;

use model::{Capture, Value};

use self::addresses::{Swap, swaps};
use super::{Difference, renaming};

/// What a difference is a part of.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Told {
    /// The fact whose difference it follows; none for a cause.
    pub follows: Option<String>,
    /// What is gone or new as a whole, such as `task.7`, of which this is the first fact.
    pub whole: Option<String>,
}

/// Says for each difference of two captures, in order, what it is a part of.
#[must_use]
pub fn causes(before: &Capture, after: &Capture, differences: &[Difference]) -> Vec<Told> {
    let mut causes = Causes { differences, told: vec![Told::default(); differences.len()] };
    causes.fold_wholes(&before.facts, &after.facts);
    causes.fold_conflicts();
    causes.fold_swaps(&before.facts, &after.facts);
    causes.lead_to_roots();
    causes.told
}

/// Says the same of differences that are named by something else (such as pages), by what is gone
/// or new as a whole.
#[must_use]
pub fn causes_among(wholes: &[(Difference, Told)], differences: &[Difference]) -> Vec<Told> {
    let told = |difference: &Difference| {
        let below = |whole: &str| is_below(&difference.fact, whole);
        let cause = wholes.iter().find(|(_, told)| told.whole.as_deref().is_some_and(below));
        Told { follows: cause.map(|(cause, _)| cause.fact.clone()), whole: None }
    };
    differences.iter().map(told).collect()
}

type Facts = BTreeMap<String, Value>;

struct Causes<'a> {
    differences: &'a [Difference],
    told: Vec<Told>,
}

impl Causes<'_> {
    fn is_cause(&self, index: usize) -> bool {
        self.told[index].follows.is_none()
    }

    fn follow(&mut self, index: usize, cause: usize) {
        self.told[index].follows = Some(self.differences[cause].fact.clone());
    }

    fn fold_wholes(&mut self, before: &Facts, after: &Facts) {
        let mut first: BTreeMap<(bool, &str), usize> = BTreeMap::new();
        for (index, difference) in self.differences.iter().enumerate() {
            let fact = difference.fact.as_str();
            let (is_new, whole) = match (before.contains_key(fact), after.contains_key(fact)) {
                (true, false) => (false, whole(fact, before, after)),
                (false, true) => (true, whole(fact, after, before)),
                _ => continue,
            };
            let Some(whole) = whole else { continue };
            match first.get(&(is_new, whole)) {
                Some(cause) => {
                    self.told[index].follows = Some(self.differences[*cause].fact.clone());
                }
                None => {
                    first.insert((is_new, whole), index);
                    self.told[index].whole = Some(whole.to_owned());
                }
            }
        }
    }

    fn fold_conflicts(&mut self) {
        let mut first: BTreeMap<(&str, &str), usize> = BTreeMap::new();
        for (index, difference) in self.differences.iter().enumerate() {
            if !self.is_cause(index) || !renaming::is_conflict(difference) {
                continue;
            }
            let cause = *first.entry((&difference.before, &difference.after)).or_insert(index);
            if cause != index {
                self.follow(index, cause);
            }
        }
    }

    /// An address shows in values, and in the names of what is gone under the one name and new
    /// under the other.
    fn fold_swaps(&mut self, before: &Facts, after: &Facts) {
        let mut first: BTreeMap<Swap, usize> = BTreeMap::new();
        let partners = self.renamed(before, after);
        for index in 0..self.differences.len() {
            if !self.is_cause(index) {
                continue;
            }
            let difference = &self.differences[index];
            let swapped = match partners.get(&index) {
                Some((partner, swapped)) => {
                    self.follow(*partner, index);
                    swapped.clone()
                }
                None if before.contains_key(&difference.fact)
                    && after.contains_key(&difference.fact) =>
                {
                    swaps(&difference.before, &difference.after)
                }
                None => continue,
            };
            let known = swapped.iter().filter_map(|swap| first.get(swap)).min().copied();
            match known {
                Some(cause) if swapped.iter().all(|swap| first.contains_key(swap)) => {
                    self.follow(index, cause);
                }
                _ => {
                    for swap in swapped {
                        first.entry(swap).or_insert(index);
                    }
                }
            }
        }
    }

    /// What follows a follow-up follows its cause.
    fn lead_to_roots(&mut self) {
        let facts = self.differences.iter().map(|it| it.fact.as_str()).zip(0..);
        let index_of: BTreeMap<&str, usize> = facts.collect();
        for index in 0..self.told.len() {
            let mut root = self.told[index].follows.clone();
            while let Some(next) = root.as_deref().and_then(|fact| index_of.get(fact))
                && let Some(further) = &self.told[*next].follows
            {
                root = Some(further.clone());
            }
            self.told[index].follows = root;
        }
    }

    /// What is gone and what is new under a name that differs by an address only.
    fn renamed(&self, before: &Facts, after: &Facts) -> BTreeMap<usize, (usize, Vec<Swap>)> {
        let causes = (0..self.differences.len()).filter(|index| self.is_cause(*index));
        let missing =
            |facts: &Facts, index: &usize| !facts.contains_key(&self.differences[*index].fact);
        let (gone, new): (Vec<usize>, Vec<usize>) = causes
            .filter(|index| missing(before, index) || missing(after, index))
            .partition(|index| missing(after, index));
        let mut partners = BTreeMap::new();
        let mut free = new;
        for index in gone {
            let partner = free.iter().enumerate().find_map(|(at, other)| {
                let swapped = swaps(self.name(index), self.name(*other));
                (!swapped.is_empty()).then_some((at, swapped))
            });
            if let Some((at, swapped)) = partner {
                partners.insert(index, (free.remove(at), swapped));
            }
        }
        partners
    }

    fn name(&self, index: usize) -> &str {
        self.told[index].whole.as_deref().unwrap_or(&self.differences[index].fact)
    }
}

/// The largest thing with this fact of which one capture has nothing at all; none when that is the
/// fact alone.
fn whole<'a>(fact: &'a str, present: &Facts, missing: &Facts) -> Option<&'a str> {
    let mut ends = fact.match_indices('.').map(|(end, _)| end);
    let end = ends.clone().find(|end| below(missing, &fact[..*end]).next().is_none())?;
    let mut all = below(present, &fact[..end]);
    let (first, last) = (all.next()?, all.next_back()?);
    // A name with dots of its own, such as a path, ends where its facts part.
    let shared = first.bytes().zip(last.bytes()).take_while(|(a, b)| a == b).count();
    Some(&fact[..ends.rfind(|end| *end < shared).unwrap_or(end)])
}

/// Names of facts below a name.
fn below<'f>(facts: &'f Facts, name: &str) -> impl DoubleEndedIterator<Item = &'f String> {
    // The character after a dot.
    let (from, to) = (format!("{name}."), format!("{name}/"));
    facts.range(from..to).map(|(fact, _)| fact)
}

fn is_below(fact: &str, whole: &str) -> bool {
    fact.strip_prefix(whole).is_some_and(|rest| rest.starts_with('.'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compare::facts;

    fn capture(text: &[(impl AsRef<str>, &str)]) -> Capture {
        let facts = text.iter().map(|(name, value)| {
            let value = match value.split_once('#') {
                Some((class, id)) => Value::Identity { class: class.into(), id: id.into() },
                None => Value::Exact((*value).to_owned()),
            };
            (name.as_ref().to_owned(), value)
        });
        Capture { facts: facts.collect(), ..Capture::default() }
    }

    /// The causes with how many follow each, by what a person is told first.
    fn told<N: AsRef<str>>(before: &[(N, &str)], after: &[(N, &str)]) -> Vec<(String, usize)> {
        let (before, after) = (capture(before), capture(after));
        let differences = facts::compare(&before, &after, 0).differences;
        let told = causes(&before, &after, &differences);
        let follow =
            |fact: &str| told.iter().filter(|it| it.follows.as_deref() == Some(fact)).count();
        let causes = differences.iter().zip(&told).filter(|(_, it)| it.follows.is_none());
        causes
            .map(|(it, told)| {
                let name = told.whole.as_ref().unwrap_or(&it.fact).clone();
                (name, follow(&it.fact))
            })
            .collect()
    }

    fn named(name: &str, count: usize) -> (String, usize) {
        (name.to_owned(), count)
    }

    #[test]
    fn what_is_below_a_missing_thing_follows_it() {
        let before = [
            ("task.1.comm", "a"),
            ("task.7.comm", "b"),
            ("task.7.fd.0.flags", "0"),
            ("task.7.thread.8.comm", "c"),
            ("root./etc/a.b.mode", "1"),
            ("root./etc/a.b.size", "1"),
        ];
        let after = [("task.1.comm", "a"), ("root./etc.mode", "1")];
        let expected = [named("root./etc.mode", 0), named("root./etc/a.b", 1), named("task.7", 2)];
        assert_eq!(told(&before, &after), expected);
    }

    #[test]
    fn one_fact_that_is_gone_is_no_thing() {
        let before = [("task.1.comm", "a"), ("task.1.environ.A", "x")];
        assert_eq!(told(&before, &[("task.1.comm", "a")]), [named("task.1.environ.A", 0)]);
    }

    #[test]
    fn one_conflict_of_ids_is_told_once() {
        let before = [("a.1", "pipe#5"), ("a.2", "pipe#5"), ("a.3", "pipe#5"), ("a.4", "pipe#5")];
        let after = [("a.1", "pipe#8"), ("a.2", "pipe#9"), ("a.3", "pipe#9"), ("a.4", "pipe#8")];
        assert_eq!(told(&before, &after), [named("a.2", 1)]);
    }

    #[test]
    fn a_changed_address_is_told_once_however_it_is_written() {
        let of = |ip: &'static str, hex: &str, priority: &'static str| {
            [
                (format!("pod.addr.eth0 {ip}/24.flags"), "0"),
                (format!("pod.addr.eth0 {ip}/24.scope"), "0"),
                (format!("pod.net.tcp.{hex}:18EB-00000000:0000.st"), "0A"),
                (format!("pod.route.local local {ip} eth0.scope"), "254"),
                ("pod.route.main default.prefsrc".to_owned(), ip),
                ("pod.route.main default.priority".to_owned(), priority),
            ]
        };
        let (before, after) = (of("10.88.0.2", "0200580A", "0"), of("10.88.0.3", "0300580A", "9"));
        let expected =
            [named("pod.addr.eth0 10.88.0.2/24", 8), named("pod.route.main default.priority", 0)];
        assert_eq!(told(&before, &after), expected);
    }

    #[test]
    fn pages_of_a_missing_task_follow_it() {
        let differs = |fact: &str| Difference {
            fact: fact.to_owned(),
            before: String::new(),
            after: String::new(),
            rule: None,
        };
        let task = Told { follows: None, whole: Some("task.7".to_owned()) };
        let wholes = [(differs("task.7.comm"), task)];
        let pages = [differs("task.7.memory.7f00"), differs("task.71.memory.7f00")];
        let told = causes_among(&wholes, &pages);
        assert_eq!(told[0].follows.as_deref(), Some("task.7.comm"));
        assert_eq!(told[1].follows, None);
    }
}
