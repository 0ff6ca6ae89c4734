//! `results.json`: what a run came to, as a pure function of its events.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Serialize;

use crate::cell::Cell;
use crate::event::{Boot, End, Event, Host, Plan, Recorded, Round, Start};
use crate::verdict::{Level, LevelVerdict, Outcome, Standing, Trouble};

/// Times that every cell of `results.json` has; `null` where the scenario has no such time.
///
/// `downtime` runs from the moment at which the pod is frozen to the one at which it runs again,
/// on the host's clock. The captures, hooks and their transfers in between are subtracted: they
/// are the verifier's.
const TIMES: [&str; 12] = [
    "fork",
    "boot",
    "ready",
    "capture",
    "freeze",
    "dump",
    "transfer",
    "restore",
    "downtime",
    "first_answer_cold",
    "first_answer_restored",
    "total",
];

/// A run, as `results.json` tells it.
#[derive(Debug, Serialize)]
pub struct Results {
    /// Version of this format: 1.
    pub schema: u32,
    /// Name of the run.
    pub run: String,
    /// When it began.
    pub started: Timestamp,
    /// The machine that it ran on.
    pub host: Option<Host>,
    /// The signal that ended it early, if one did.
    pub interrupted: Option<String>,
    /// Where the time went.
    pub spent_ms: Spent,
    /// All cells, in order.
    pub cells: Vec<CellResult>,
}

/// Where the time of a run went, in milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Spent {
    /// Until the first cell began: images, and the choice of the accelerator.
    pub images: u64,
    /// From the first cell to the end.
    pub cells: u64,
}

impl Spent {
    fn of(events: &[Recorded]) -> Self {
        let (Some(first), Some(last)) = (events.first(), events.last()) else {
            return Spent::default();
        };
        let is_start = |it: &&Recorded| matches!(it.event, Event::CellStarted { .. });
        let cells = events.iter().find(is_start).unwrap_or(last);
        let ms = |from: &Recorded, to: &Recorded| {
            u64::try_from(to.at.as_millisecond() - from.at.as_millisecond()).unwrap_or(0)
        };
        Spent { images: ms(first, cells), cells: ms(cells, last) }
    }
}

/// A cell, as `results.json` tells it.
#[derive(Debug, Serialize)]
pub struct CellResult {
    /// Name of the cell and of its folder below `cells/`.
    pub name: String,
    /// `uname -r` as the guest reports it; before a guest did, the version that was selected.
    pub kernel: String,
    /// Where the kernel comes from.
    pub kernel_source: String,
    /// CRIU's VERSION answer; before a guest gave it, the version that was selected.
    pub criu: String,
    /// Where CRIU comes from.
    pub criu_source: String,
    /// The runtime.
    pub runtime: String,
    /// The scenario.
    pub scenario: String,
    /// The workload.
    pub workload: String,
    /// Options of the cell.
    pub options: BTreeMap<String, String>,
    /// `kvm` or `tcg`.
    pub accel: Option<String>,
    /// The seed.
    pub seed: u64,
    /// Which repetition, from 1.
    pub repeat: u32,
    /// How it ended.
    pub outcome: Outcome,
    /// What was expected.
    pub expected: Outcome,
    /// How the one stands against the other.
    pub standing: Standing,
    /// In one line.
    pub reason: String,
    /// All five levels.
    pub levels: BTreeMap<Level, LevelVerdict>,
    /// What shows that it really happened.
    pub evidence: Evidence,
    /// Times, in milliseconds.
    pub times_ms: BTreeMap<String, Option<u64>>,
    /// Sizes, in bytes.
    pub sizes: Sizes,
    /// What is known about a failure.
    pub trouble: Option<Trouble>,
    /// Files of the cell, relative to the run's folder.
    pub artifacts: Vec<String>,
}

/// What shows that a cell really happened.
#[derive(Debug, Default, Serialize)]
pub struct Evidence {
    /// Every boot that took part, in order.
    pub nodes: Vec<Node>,
    /// SHA-256 of the archive.
    pub checkpoint_sha256: Option<String>,
    /// Pids in the container.
    pub tasks: Tasks,
    /// Bytes that the wire between nodes carried.
    pub wire_bytes: Option<u64>,
    /// Rounds of a pre-copy, in their order.
    pub rounds: Vec<Round>,
    /// Copies that were made of the pod.
    pub copies: Vec<Copied>,
    /// What is as it must be and users should know, in words.
    pub findings: Vec<String>,
}

/// A copy of the pod.
#[derive(Debug, Serialize)]
pub struct Copied {
    /// Its address.
    pub address: String,
    /// Its hostname.
    pub hostname: String,
    /// From the order to restore all copies at once until this one had answered a client.
    pub first_answer_ms: Option<u64>,
}

/// One start of a node.
#[derive(Debug, Serialize)]
pub struct Node {
    /// Name of the node.
    pub name: String,
    /// Whether it booted, or was forked from a machine that had.
    pub start: Start,
    /// `/proc/sys/kernel/random/boot_id`.
    pub boot_id: String,
    /// `uname -r`.
    pub kernel_release: String,
    /// CRIU's VERSION answer.
    pub criu_version: String,
}

/// Pids in the container before and after the event.
#[derive(Debug, Default, Serialize)]
pub struct Tasks {
    /// At the dump.
    pub before: Vec<i32>,
    /// After the restore.
    pub after: Vec<i32>,
}

/// Sizes in bytes.
#[derive(Debug, Default, Serialize)]
pub struct Sizes {
    /// CRIU's images.
    pub images_bytes: Option<u64>,
    /// The archive.
    pub archive_bytes: Option<u64>,
    /// What the wire between nodes carried.
    pub transferred_bytes: Option<u64>,
}

impl Results {
    /// Draws the results from the events of a run, however far it came.
    #[must_use]
    pub fn of(events: &[Recorded]) -> Self {
        let mut results = Results {
            schema: 1,
            run: String::new(),
            started: events.first().map_or(Timestamp::UNIX_EPOCH, |first| first.at),
            host: None,
            interrupted: None,
            spent_ms: Spent::of(events),
            cells: Vec::new(),
        };
        for recorded in events {
            results.take(&recorded.event);
        }
        for cell in &mut results.cells {
            cell.complete();
        }
        results
    }

    fn take(&mut self, event: &Event) {
        match event {
            Event::RunStarted(plan) => self.plan(plan),
            Event::AccelChosen { accel, .. } => {
                for cell in &mut self.cells {
                    cell.accel = Some(accel.clone());
                }
            }
            Event::Interrupted { signal } => self.interrupted = Some(signal.clone()),
            other => {
                let of = |cell: &&mut CellResult| Some(cell.name.as_str()) == other.cell();
                if let Some(cell) = self.cells.iter_mut().find(of) {
                    cell.take(other);
                }
            }
        }
    }

    fn plan(&mut self, plan: &Plan) {
        self.run.clone_from(&plan.run);
        self.host = Some(plan.host.clone());
        self.cells = plan.cells.iter().map(CellResult::planned).collect();
    }
}

impl CellResult {
    /// A cell of which nothing is known but that it was planned.
    fn planned(cell: &Cell) -> Self {
        CellResult {
            name: cell.name.clone(),
            kernel: cell.kernel.version.clone(),
            kernel_source: cell.kernel.source.clone(),
            criu: cell.criu.version.clone(),
            criu_source: cell.criu.source.clone(),
            runtime: cell.runtime.clone(),
            scenario: cell.scenario.clone(),
            workload: cell.workload.clone(),
            options: cell.options.clone(),
            accel: None,
            seed: cell.seed,
            repeat: cell.repeat,
            outcome: Outcome::Broken,
            expected: Outcome::Equivalent,
            standing: Standing::Interrupted,
            reason: "the run ended before this cell did".to_owned(),
            levels: BTreeMap::new(),
            evidence: Evidence::default(),
            times_ms: TIMES.iter().map(|name| ((*name).to_owned(), None)).collect(),
            sizes: Sizes::default(),
            trouble: None,
            artifacts: Vec::new(),
        }
    }

    fn take(&mut self, event: &Event) {
        match event {
            Event::NodeStarted { boot, .. } => self.booted(boot),
            Event::Checkpointed { sha256, images_bytes, archive_bytes, tasks, .. } => {
                self.evidence.checkpoint_sha256 = Some(sha256.clone());
                self.evidence.tasks.before.clone_from(tasks);
                self.sizes.images_bytes = Some(*images_bytes);
                self.sizes.archive_bytes = Some(*archive_bytes);
            }
            Event::Restored { tasks, .. } => self.evidence.tasks.after.clone_from(tasks),
            Event::PreCopied { round, .. } => {
                *self.sizes.transferred_bytes.get_or_insert_default() += round.bytes;
                self.evidence.rounds.push(round.clone());
            }
            Event::HandedOver { bytes, .. } | Event::CheckpointsCopied { bytes, .. } => {
                *self.sizes.transferred_bytes.get_or_insert_default() += bytes;
            }
            Event::Copied { address, hostname, first_answer_ms, .. } => {
                let (address, hostname) = (address.clone(), hostname.clone());
                let first_answer_ms = *first_answer_ms;
                self.evidence.copies.push(Copied { address, hostname, first_answer_ms });
            }
            Event::Recovered { how, .. } => {
                self.options.insert("recovered".to_owned(), how.clone());
            }
            Event::Finding { text, .. } => self.evidence.findings.push(text.clone()),
            Event::WiresCarried { bytes, .. } => self.evidence.wire_bytes = Some(*bytes),
            Event::LevelJudged { level, verdict, .. } => {
                self.levels.insert(*level, verdict.clone());
            }
            Event::CellFinished { end, .. } => self.finished(end),
            _ => {}
        }
    }

    fn booted(&mut self, boot: &Boot) {
        if self.evidence.nodes.is_empty() {
            self.kernel.clone_from(&boot.kernel_release);
            if !boot.criu_version.is_empty() {
                self.criu.clone_from(&boot.criu_version);
            }
        }
        self.evidence.nodes.push(Node {
            name: boot.node.clone(),
            start: boot.start,
            boot_id: boot.boot_id.clone(),
            kernel_release: boot.kernel_release.clone(),
            criu_version: boot.criu_version.clone(),
        });
    }

    fn finished(&mut self, end: &End) {
        self.outcome = end.outcome;
        self.expected = end.expected;
        self.standing = end.standing;
        self.reason.clone_from(&end.reason);
        self.trouble.clone_from(&end.trouble);
        let folder = format!("cells/{}", self.name);
        self.artifacts = end.artifacts.iter().map(|file| format!("{folder}/{file}")).collect();
        for (name, ms) in &end.times_ms {
            self.times_ms.insert(name.clone(), Some(*ms));
        }
    }

    /// Levels that nobody spoke of were not reached.
    fn complete(&mut self) {
        for level in Level::ALL {
            let reason = || format!("not reached: {}", self.reason);
            self.levels.entry(level).or_insert_with(|| LevelVerdict::not_run(level, reason()));
        }
    }

    /// The outcome as a person reads it.
    #[must_use]
    pub fn told(&self) -> String {
        let outcome = self.outcome;
        match (self.standing, outcome) {
            (Standing::Expected, Outcome::Equivalent) => outcome.to_string(),
            (Standing::Expected, Outcome::Diverged | Outcome::Failed) => {
                format!("{outcome} (known)")
            }
            (Standing::Expected, _) => format!("{outcome} (expected)"),
            (Standing::UnexpectedPass, _) => format!("{outcome} (!)"),
            (Standing::Interrupted, _) => "interrupted".to_owned(),
            (Standing::Regression | Standing::Broken, _) => outcome.to_string(),
        }
    }

    /// Whether it ended as was expected.
    #[must_use]
    pub fn as_expected(&self) -> bool {
        self.standing == Standing::Expected
    }

    /// One line for a cell that is not simply as hoped; `None` for one that is.
    #[must_use]
    pub fn remark(&self) -> Option<&str> {
        let plain = self.standing == Standing::Expected && self.outcome == Outcome::Equivalent;
        if plain || self.reason.is_empty() { None } else { Some(&self.reason) }
    }
}

/// The exit code of a run: 130 interrupted, 1 something other than expected, 3 the lab is broken.
#[must_use]
pub fn exit_code(results: &Results) -> u8 {
    let any = |standing| results.cells.iter().any(|cell| cell.standing == standing);
    if results.interrupted.is_some() || any(Standing::Interrupted) {
        130
    } else if any(Standing::Regression) || any(Standing::UnexpectedPass) {
        1
    } else if any(Standing::Broken) {
        3
    } else {
        0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample;

    #[test]
    fn results_of_a_fixed_run() {
        insta::assert_json_snapshot!(Results::of(&sample::events()));
    }

    #[test]
    fn a_run_that_was_killed_still_accounts_for_every_cell() {
        let mut events = sample::events();
        events.truncate(5);
        let results = Results::of(&events);
        assert_eq!(results.cells.len(), 4);
        assert!(results.cells.iter().all(|cell| cell.levels.len() == 5));
        assert_eq!(exit_code(&results), 130);
    }

    #[test]
    fn the_exit_code_of_a_regression_goes_before_that_of_a_broken_lab() {
        let results = Results::of(&sample::events());
        assert_eq!(exit_code(&results), 1);
    }
}
