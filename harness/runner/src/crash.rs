//! Crash points: what befalls an operation of the engine at one side of one of its steps.

use std::fmt;
use std::str::FromStr;

use model::{Activity, Mark, Side, Step};
use serde::{Deserialize, Serialize};

use crate::names::{self, Unknown};

/// What strikes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fault {
    /// The node's power goes: what it has not flushed is lost.
    #[default]
    Power,
    /// The engine is killed by SIGKILL; CRIU is not.
    KillEngine,
    /// CRIU is killed by SIGKILL.
    KillCriu,
    /// The disk of the archives has no room any more.
    FullDisk,
    /// The wire between the nodes of a migration is cut for a while.
    CutWire,
}

impl Fault {
    /// All faults.
    pub const ALL: [Fault; 5] =
        [Fault::Power, Fault::KillEngine, Fault::KillCriu, Fault::FullDisk, Fault::CutWire];

    /// The name users write.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Fault::Power => "power",
            Fault::KillEngine => "kill-engine",
            Fault::KillCriu => "kill-criu",
            Fault::FullDisk => "full-disk",
            Fault::CutWire => "cut-wire",
        }
    }

    /// Whether it can strike at a step.
    fn fits(self, step: Step) -> bool {
        // Where faults strike, no pod runs on and no archive is a copy; a giver that listens has begun
        // nothing yet.
        let is_told = !matches!(step, Step::RunOn | Step::Listen | Step::Keep);
        is_told && (self != Fault::KillCriu || step.is_in_criu())
    }
}

/// One fault at one moment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Crash {
    /// When.
    pub mark: Mark,
    /// What.
    pub fault: Fault,
    /// The node that it strikes; the one that does the step, when not given.
    pub node: Option<String>,
}

impl fmt::Display for Crash {
    /// In words that are part of a cell's name: `before commit, power`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, {}", self.mark, self.fault.name())?;
        self.node.as_ref().map_or(Ok(()), |node| write!(f, " of {node}"))
    }
}

impl Crash {
    /// The argument of `--crash` that selects just this one.
    #[must_use]
    pub fn selector(&self) -> String {
        let Mark { step, side } = self.mark;
        let node = self.node.as_ref().map(|node| format!("@{node}")).unwrap_or_default();
        format!("{}-{step}:{}{node}", side.name(), self.fault.name())
    }
}

/// Crash points as the user selects them: `STEP[:FAULT][@NODE]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Crashes {
    pattern: String,
    fault: Fault,
    node: Option<String>,
}

/// What was given selects no crash point.
#[derive(Debug, thiserror::Error)]
pub enum CrashError {
    /// A name that nothing has.
    #[error(transparent)]
    Unknown(#[from] Unknown),
    /// The steps are there, but not for this fault.
    #[error("{fault} cannot strike at `{pattern}`: {why}")]
    Nowhere {
        /// The fault.
        fault: &'static str,
        /// The pattern.
        pattern: String,
        /// Why.
        why: &'static str,
    },
}

impl FromStr for Crashes {
    type Err = CrashError;

    fn from_str(text: &str) -> Result<Self, CrashError> {
        let (text, node) = match text.split_once('@') {
            Some((text, node)) => (text, Some(node.to_owned())),
            None => (text, None),
        };
        let (pattern, fault) = text.split_once(':').unwrap_or((text, Fault::default().name()));
        let known = Fault::ALL.map(Fault::name);
        let named = Fault::ALL.into_iter().find(|known| known.name() == fault);
        let fault = named.ok_or_else(|| Unknown::among("fault", fault, known))?;
        let pattern = if pattern == "all" { "*" } else { pattern }.to_owned();
        let crashes = Crashes { pattern, fault, node };
        let marks = || marks().filter(|mark| crashes.selects(*mark));
        if marks().next().is_none() {
            return Err(Unknown::among("step", &crashes.pattern, Step::ALL.map(Step::name)).into());
        }
        if !marks().any(|mark| fault.fits(mark.step)) {
            let why = match fault {
                Fault::KillCriu => "no CRIU runs there",
                _ => "no story has this step",
            };
            let pattern = crashes.pattern;
            return Err(CrashError::Nowhere { fault: fault.name(), pattern, why });
        }
        Ok(crashes)
    }
}

impl Crashes {
    /// All moments of these activities that are selected, each step before and after.
    #[must_use]
    pub fn among(&self, activities: &[Activity]) -> Vec<Crash> {
        let is_cut = self.fault == Fault::CutWire && !activities.contains(&Activity::Take);
        // The daemon that brings pages ends with the last of them.
        let last = Mark { step: Step::Pages, side: Side::After };
        let is_over = |mark: &Mark| self.fault == Fault::KillCriu && *mark == last;
        let here = |mark: &Mark| {
            let is_told = activities.contains(&mark.step.activity()) && !is_over(mark);
            is_told && self.fault.fits(mark.step) && !is_cut
        };
        let crash = |mark| Crash { mark, fault: self.fault, node: self.node.clone() };
        marks().filter(here).filter(|mark| self.selects(*mark)).map(crash).collect()
    }

    fn selects(&self, mark: Mark) -> bool {
        let Mark { step, side } = mark;
        let sided = format!("{}-{step}", side.name());
        names::fits(&self.pattern, step.name()) || names::fits(&self.pattern, &sided)
    }
}

fn marks() -> impl Iterator<Item = Mark> {
    Step::ALL.into_iter().flat_map(|step| Side::ALL.map(|side| Mark { step, side }))
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    const REBOOT: [Activity; 2] = [Activity::Checkpoint, Activity::Restore];

    fn selected(text: &str) -> Vec<String> {
        let crashes: Crashes = text.parse().expect("crash points");
        crashes.among(&REBOOT).iter().map(Crash::to_string).collect()
    }

    #[rstest]
    #[case("commit", &["before commit, power", "after commit, power"])]
    #[case("after-commit:kill-engine@node", &["after commit, kill-engine of node"])]
    #[case("f*:full-disk", &[
        "before freeze, full-disk", "after freeze, full-disk",
        "before files, full-disk", "after files, full-disk",
    ])]
    #[case("give", &[])]
    fn a_step_has_two_sides(#[case] text: &str, #[case] crashes: &[&str]) {
        assert_eq!(selected(text), crashes);
    }

    #[test]
    fn whatever_is_selected_can_be_selected_alone() {
        for text in ["all:power", "all:kill-criu", "all:full-disk@node"] {
            let crashes: Crashes = text.parse().expect("crash points");
            for crash in crashes.among(&REBOOT) {
                let again: Crashes = crash.selector().parse().expect("itself");
                assert_eq!(again.among(&REBOOT), [crash]);
            }
        }
    }

    #[test]
    fn criu_dies_only_where_it_lives() {
        let told = |text: &str| text.parse::<Crashes>().expect_err("none").to_string();
        assert!(told("commit:kill-criu").contains("no CRIU runs there"));
        assert!(told("comit").contains("`commit`"));
        assert!(told("commit:powr").contains("`power`"));
    }
}
