//! Which of the mutants that are possible run: some of each operator, drawn by a seed.

use std::collections::BTreeMap;

use model::mutant::{Family, Mutant};
use runner::names;

/// How many of a family are drawn for a workload, unless the user says.
fn usual(family: Family) -> usize {
    match family {
        Family::Image => 85,
        Family::Live => 160,
        Family::Memory => 35,
    }
}

/// Controls of a family that are run for a workload.
const CONTROLS: usize = 4;

/// What the user wants.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Wish<'a> {
    /// All whose name contains it, or matches it as a glob.
    pub(super) filter: Option<&'a str>,
    /// At most so many of a family; 0 for all.
    pub(super) most: Option<usize>,
    /// What is drawn is drawn from this.
    pub(super) seed: u64,
}

impl Wish<'_> {
    /// Chooses. Each family that has mutants brings its controls along.
    pub(super) fn choose(self, all: &[Mutant], workload: &str) -> Vec<Mutant> {
        let wanted = |mutant: &&Mutant| {
            let name = full_name(workload, mutant);
            self.filter.is_none_or(|filter| name.contains(filter) || names::fits(filter, &name))
        };
        let mut chosen = Vec::new();
        for family in Family::ALL {
            let of_family = || all.iter().filter(|mutant| mutant.family == family);
            let mutants = of_family().filter(|mutant| !mutant.control).filter(wanted);
            let mut mutants = some(mutants, self.most(family), self.seed);
            mutants.sort_by_key(|mutant| &mutant.name);
            let controls = of_family().filter(|mutant| mutant.control).take(CONTROLS);
            if !mutants.is_empty() {
                chosen.extend(controls.chain(mutants).cloned());
            }
        }
        chosen
    }

    fn most(self, family: Family) -> usize {
        match (self.most, self.filter) {
            (Some(0), _) | (None, Some(_)) => usize::MAX,
            (Some(most), _) => most,
            (None, None) => usual(family),
        }
    }
}

/// The name of a mutant among those of all workloads.
pub(super) fn full_name(workload: &str, mutant: &Mutant) -> String {
    format!("{workload}/{}/{}", mutant.family, mutant.name)
}

/// As many as there is room for, taken in turns from the operators (what a name begins with).
fn some<'a>(all: impl Iterator<Item = &'a Mutant>, most: usize, seed: u64) -> Vec<&'a Mutant> {
    let mut operators: BTreeMap<&str, Vec<&Mutant>> = BTreeMap::new();
    for mutant in all {
        let operator = mutant.name.split('/').next().unwrap_or_default();
        operators.entry(operator).or_default().push(mutant);
    }
    for mutants in operators.values_mut() {
        mutants.sort_by_key(|mutant| drawn(seed, &mutant.name));
    }
    let mut chosen = Vec::new();
    while chosen.len() < most && !operators.is_empty() {
        for mutants in operators.values_mut() {
            chosen.extend(mutants.pop());
        }
        operators.retain(|_, mutants| !mutants.is_empty());
    }
    chosen.truncate(most);
    chosen
}

/// A number that the seed and the name alone decide: FNV-1a.
fn drawn(seed: u64, name: &str) -> u64 {
    let bytes = seed.to_le_bytes().into_iter().chain(name.bytes());
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mutants() -> Vec<Mutant> {
        let live = |operator: &str, number: usize| Mutant {
            name: format!("{operator}/task.1/{number}"),
            family: Family::Live,
            what: String::new(),
            control: operator == "control",
            act: String::new(),
        };
        let mut all: Vec<Mutant> = (0..900).map(|number| live("sysctl", number)).collect();
        all.extend((0..3).map(|number| live("limit", number)));
        all.extend((0..9).map(|number| live("control", number)));
        all
    }

    fn names(chosen: &[Mutant]) -> Vec<&str> {
        chosen.iter().map(|mutant| mutant.name.as_str()).collect()
    }

    #[test]
    fn a_seed_draws_the_same_again_and_every_operator_has_its_turn() {
        let drawn = |seed| Wish { seed, ..Wish::default() }.choose(&mutants(), "counter");
        let one = drawn(7);
        assert_eq!(names(&one), names(&drawn(7)));
        assert_ne!(names(&one), names(&drawn(8)));
        assert_eq!(one.len(), usual(Family::Live) + CONTROLS);
        assert_eq!(names(&one).iter().filter(|name| name.starts_with("limit/")).count(), 3);
    }

    #[test]
    fn a_filter_takes_all_that_it_means_and_brings_controls_along() {
        let filtered = |filter, most| {
            Wish { filter: Some(filter), most, seed: 7 }.choose(&mutants(), "counter")
        };
        let real = |chosen: &[Mutant]| chosen.iter().filter(|mutant| !mutant.control).count();
        let limits = filtered("counter/live/limit", None);
        assert_eq!((real(&limits), limits.len()), (3, 3 + CONTROLS));
        assert_eq!(real(&filtered("counter/live/*", None)), 903);
        assert_eq!(real(&filtered("counter/live/*", Some(20))), 20);
        assert!(filtered("redis", None).is_empty());
    }
}
