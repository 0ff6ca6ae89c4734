//! Scenarios: what befalls a pod.

use std::fmt;
use std::future::Future;
use std::pin::Pin;

use model::Activity;

use crate::names::{self, Unknown};
use crate::stage::{self, Stage, Stop};
use crate::workload::Workload;

/// A story under way.
pub type Telling<'a> = Pin<Box<dyn Future<Output = Result<(), Stop>> + 'a>>;

/// A story: what happens on a stage, from an empty one to a proof.
pub type Story = for<'a> fn(&'a mut Stage) -> Telling<'a>;

/// Something that befalls a pod, in one or more variants.
#[derive(Clone, Copy, Debug)]
pub struct Scenario {
    /// Its name.
    pub name: &'static str,
    /// What happens, in a line.
    pub summary: &'static str,
    /// Whether the pod goes to a node that may run another kernel and CRIU.
    pub has_target: bool,
    /// Its variants; the first is the one that the plain name means.
    pub variants: &'static [Variant],
}

/// What a variant wants of its workload: it is nothing for one that lacks it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wants {
    /// Nothing: it is for any workload.
    Nothing,
    /// An observer.
    Observer,
    /// An AppArmor profile.
    Profile,
    /// Containers that can come into a pod which runs.
    Neighbours,
}

impl Wants {
    /// Whether a workload has it.
    #[must_use]
    pub fn is_met(self, workload: &Workload) -> bool {
        match self {
            Wants::Nothing => true,
            Wants::Observer => workload.observer.is_some(),
            Wants::Neighbours => stage::neighbour::can_have_neighbours(&workload.share),
            Wants::Profile => workload.containers.iter().any(|it| it.profile.is_some()),
        }
    }
}

impl fmt::Display for Wants {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Wants::Nothing => "nothing",
            Wants::Observer => "an `observer`",
            Wants::Profile => "`security.apparmor`",
            Wants::Neighbours => "pids of its own (no `share` of `pid`)",
        })
    }
}

/// One way in which a scenario happens.
#[derive(Clone, Copy)]
pub struct Variant {
    /// Its name.
    pub name: &'static str,
    /// What is special, in a line.
    pub summary: &'static str,
    /// What it is nothing without.
    pub wants: Wants,
    /// Operations of the engine in it at whose steps faults can strike.
    pub activities: &'static [Activity],
    /// What happens.
    pub story: Story,
}

impl fmt::Debug for Variant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Variant").field("name", &self.name).finish_non_exhaustive()
    }
}

/// A variant that was selected, by the name that a cell has.
#[derive(Clone, Debug)]
pub struct Selected {
    /// `reboot` for a scenario's first variant, `reboot/power-cut` for another.
    pub name: String,
    /// What it is nothing without.
    pub wants: Wants,
    /// Whether the pod goes to a node that may run another kernel and CRIU.
    pub has_target: bool,
    /// Operations at whose steps faults can strike.
    pub activities: &'static [Activity],
    /// What happens.
    pub story: Story,
}

/// The variants that a name or a glob selects: `reboot` is the first variant, `reboot/*` are all.
///
/// # Errors
/// When it selects none.
pub fn select(all: &[Scenario], pattern: &str) -> Result<Vec<Selected>, Unknown> {
    let mut selected = Vec::new();
    let mut known = Vec::new();
    for scenario in all {
        for (index, variant) in scenario.variants.iter().enumerate() {
            let path = format!("{}/{}", scenario.name, variant.name);
            let name = if index == 0 { scenario.name.to_owned() } else { path.clone() };
            if names::fits(pattern, &name) || names::fits(pattern, &path) {
                let Variant { wants, activities, story, .. } = *variant;
                let (name, has_target) = (name.clone(), scenario.has_target);
                selected.push(Selected { name, wants, has_target, activities, story });
            }
            known.push(name);
        }
    }
    match selected.is_empty() {
        true => Err(Unknown::among("scenario", pattern, known.iter().map(String::as_str))),
        false => Ok(selected),
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn nothing(_: &mut Stage) -> Telling<'_> {
        Box::pin(async { Ok(()) })
    }

    const ORDERLY: Variant = Variant {
        name: "orderly",
        summary: "",
        wants: Wants::Nothing,
        activities: &[],
        story: nothing,
    };
    const POWER_CUT: Variant = Variant {
        name: "power-cut",
        summary: "",
        wants: Wants::Nothing,
        activities: &[],
        story: nothing,
    };
    const ALL: [Scenario; 2] = [
        Scenario {
            name: "reboot",
            summary: "",
            has_target: false,
            variants: &[ORDERLY, POWER_CUT],
        },
        Scenario { name: "migration", summary: "", has_target: false, variants: &[ORDERLY] },
    ];

    #[rstest]
    #[case("reboot", &["reboot"])]
    #[case("reboot/*", &["reboot", "reboot/power-cut"])]
    #[case("reboot/orderly", &["reboot"])]
    #[case("*", &["reboot", "reboot/power-cut", "migration"])]
    fn a_plain_name_is_the_first_variant(#[case] pattern: &str, #[case] names: &[&str]) {
        let selected = select(&ALL, pattern).expect("some");
        assert_eq!(selected.iter().map(|it| it.name.as_str()).collect::<Vec<_>>(), names);
    }

    #[test]
    fn an_unknown_scenario_is_told_with_the_nearest() {
        let error = select(&ALL, "rebot").expect_err("none").to_string();
        assert!(error.contains("`rebot`") && error.contains("`reboot`"), "{error}");
    }
}
