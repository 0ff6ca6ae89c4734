//! What is news: differences that the unspoiled forks do not have.
//!
//! A restored pod may differ from what it was (a known loss) without anybody's spoiling. So each
//! moment has controls, and a mutant is killed by what it adds to them, or takes away.

use std::collections::{BTreeMap, BTreeSet};

use state::{Comparison, Difference};

/// Differences by the name of their fact: the value after, in words.
pub(super) type Seen = BTreeMap<String, String>;

/// The differences of a comparison that no rule permits.
pub(super) fn seen(comparison: &Comparison) -> Seen {
    let mut all = differing(&comparison.kernel.differences);
    all.extend(differing(&comparison.memory.differences));
    all
}

/// Differences by the name of their fact.
pub(super) fn differing(found: &[Difference]) -> Seen {
    found.iter().map(|it| (it.fact.clone(), it.after.clone())).collect()
}

/// What unspoiled forks of a moment differ in.
#[derive(Debug, Default)]
pub(super) struct Baseline {
    controls: usize,
    /// For each fact the values of the controls that have it.
    values: BTreeMap<String, Vec<String>>,
}

impl Baseline {
    /// What these controls have in common, and what not.
    pub(super) fn of<'a>(controls: impl IntoIterator<Item = &'a Seen>) -> Baseline {
        let mut baseline = Baseline::default();
        for control in controls {
            baseline.controls += 1;
            for (fact, value) in control {
                baseline.values.entry(fact.clone()).or_default().push(value.clone());
            }
        }
        baseline
    }

    /// Facts that differ where no control does, that all controls have in one other value, or that
    /// all controls have and that is as before now.
    pub(super) fn news(&self, seen: &Seen) -> Vec<String> {
        let mut news = BTreeSet::new();
        for (fact, value) in seen {
            match self.values.get(fact) {
                None => drop(news.insert(fact.clone())),
                Some(values) if self.same(values) && values[0] != *value => {
                    news.insert(fact.clone());
                }
                Some(_) => {}
            }
        }
        let gone = self
            .values
            .iter()
            .filter(|(fact, values)| self.same(values) && !seen.contains_key(*fact));
        news.extend(gone.map(|(fact, _)| fact.clone()));
        news.into_iter().collect()
    }

    /// Whether all controls have the fact, and in the same value.
    fn same(&self, values: &[String]) -> bool {
        values.len() == self.controls && values.iter().all(|value| *value == values[0])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(facts: &[(&str, &str)]) -> Seen {
        facts.iter().map(|(fact, value)| ((*fact).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn a_known_loss_is_no_news_and_another_value_of_it_is() {
        let control = seen(&[("task.1.comm", "lost")]);
        let baseline = Baseline::of([&control, &control]);
        assert!(baseline.news(&control).is_empty());
        let more = seen(&[("task.1.comm", "lost"), ("task.1.nice", "7")]);
        assert_eq!(baseline.news(&more), ["task.1.nice"]);
        assert_eq!(baseline.news(&seen(&[("task.1.comm", "spoiled")])), ["task.1.comm"]);
        assert_eq!(baseline.news(&seen(&[])), ["task.1.comm"]);
    }

    #[test]
    fn what_differs_among_controls_says_nothing() {
        let controls = [seen(&[("a", "1")]), seen(&[("a", "2")]), seen(&[])];
        let baseline = Baseline::of(&controls);
        assert!(baseline.news(&seen(&[("a", "3")])).is_empty());
        assert!(baseline.news(&seen(&[])).is_empty());
    }
}
