//! The levels *kernel* and *memory*: capture A against capture B.

use std::borrow::Cow;
use std::collections::BTreeMap;

use model::Capture;
use serde::Serialize;
use state::{Comparison, Told};
use tokio::time::Instant;

use super::pages::with_bytes;
use super::{Stage, Stop, identity, neighbour};
use crate::event::Event;
use crate::expectations::Subject;
use crate::verdict::{Difference, Level, LevelVerdict, value_in_words};

/// `differences.json`: everything that was found, what was permitted, and what was not compared.
#[derive(Serialize)]
struct Differences<'a> {
    levels: &'a BTreeMap<Level, LevelVerdict>,
    /// What differs as a rule permits.
    tolerated: &'a [Difference],
    /// Facts that one of the kernels cannot show, with the reason.
    not_offered: &'a BTreeMap<String, String>,
}

impl Stage {
    /// Compares what went in with what came back: every fact and every page.
    ///
    /// # Errors
    /// When there are no two captures.
    pub fn compare(&mut self) -> Result<(), Stop> {
        let (Some(before), Some(after)) = (&self.before, &self.after) else {
            return Err(Stop::broken("the story compares before both captures were taken"));
        };
        let before = &*self.expected_of_pod(before, after);
        let began = Instant::now();
        let Comparison { kernel, memory } =
            state::compare(before, after, self.times.between_captures_ns());
        self.times.set("compare", began.elapsed());
        let permitted = differences(kernel.tolerated.iter().chain(&memory.tolerated));
        let tolerated = kernel.tolerated.len() as u64;
        let not_offered = kernel.not_offered.len() as u64;
        let told = state::causes(before, after, &kernel.differences);
        let wholes: Vec<_> = kernel.differences.iter().cloned().zip(told.clone()).collect();
        let of_pages = state::causes_among(&wholes, &memory.differences);
        let pages = with_causes(differences(&memory.differences), of_pages);
        let pages = with_bytes(pages, &self.pages);
        let facts = with_causes(differences(&kernel.differences), told);
        let verdict = LevelVerdict::judged(Level::Kernel, facts)
            .count("facts", kernel.facts as u64)
            .count("kinds", kernel.kinds as u64)
            .count("tolerated", tolerated)
            .count("not_offered", not_offered);
        self.tolerate(permitted);
        self.not_offered.extend(kernel.not_offered);
        self.judge(Level::Kernel, verdict);
        let verdict = LevelVerdict::judged(Level::Memory, pages)
            .count("pages", memory.pages)
            .count("bytes", memory.bytes)
            .count("differing", memory.differing);
        self.judge(Level::Memory, verdict);
        Ok(())
    }

    /// A capture of before the event, as it is expected to be of whom the pod is now.
    pub(super) fn expected<'a>(&self, before: &'a Capture) -> Cow<'a, Capture> {
        match &self.identity {
            None => Cow::Borrowed(before),
            Some(is) => {
                let was = self.was.clone().unwrap_or_else(|| self.workload().identity());
                Cow::Owned(identity::expected(before, &was, is))
            }
        }
    }

    /// The same of a capture of what the kernel shows: if it has come into another pod, with what is
    /// that one's.
    fn expected_of_pod<'a>(&self, before: &'a Capture, after: &Capture) -> Cow<'a, Capture> {
        let expected = self.expected(before);
        match &self.joined {
            None => expected,
            Some(pod) => Cow::Owned(neighbour::expected(expected.into_owned(), pod, after)),
        }
    }

    /// Notes what differs as a rule permits; in several copies, once.
    pub(super) fn tolerate(&mut self, differences: Vec<Difference>) {
        let fresh = differences.into_iter().filter(|it| !self.tolerated.contains(it));
        let fresh: Vec<Difference> = fresh.collect();
        self.tolerated.extend(fresh);
    }

    /// Says why a level is not judged in this story.
    pub fn leave_out(&mut self, level: Level, reason: &str) {
        self.judge(level, LevelVerdict::not_run(level, reason));
    }

    /// Marks what is known, and tells what a level came to.
    pub(super) fn judge(&mut self, level: Level, mut verdict: LevelVerdict) {
        self.setting.expectations.mark(self.subject(), &mut verdict.differences);
        // One copy after another is judged; what differs in several of them is told once.
        if let (Some(_), Some(earlier)) = (&self.identity, self.levels.remove(&level)) {
            verdict = earlier.and(verdict);
        }
        verdict.reason = match verdict.differences.as_slice() {
            [] => verdict.reason,
            some => crate::verdict::in_words(some),
        };
        self.levels.insert(level, verdict.clone());
        self.emit(Event::LevelJudged { cell: self.cell(), level, verdict });
    }

    /// The cell with versions as its guest reports them, or as selected before there is a guest.
    pub(super) fn subject(&self) -> Subject<'_> {
        let cell = &self.setting.cell;
        let (kernel, criu) = match &self.versions {
            Some((kernel, criu)) => (kernel, criu),
            None => (&cell.kernel.version, &cell.criu.version),
        };
        let target_kernel = cell.target.as_ref().map_or(kernel, |target| &target.kernel.version);
        let (scenario, workload) = (&cell.scenario, &cell.workload);
        let crash = cell.crash.as_ref();
        Subject { kernel, target_kernel, criu, scenario, workload, crash }
    }

    pub(super) fn write_differences(&self) -> Result<(), Stop> {
        let differences = Differences {
            levels: &self.levels,
            tolerated: &self.tolerated,
            not_offered: &self.not_offered,
        };
        self.write_json("differences.json", &differences)
    }

    /// Facts before the event, with their values in words.
    pub(super) fn facts_before(&self) -> Vec<(String, String)> {
        let captures = self.before.iter().chain(&self.images.before);
        let facts = captures.flat_map(|capture| &capture.facts);
        facts.map(|(fact, value)| (fact.clone(), value_in_words(value))).collect()
    }
}

/// The differences of a comparison, of which nobody has said yet whether they are known.
pub(super) fn differences<'a>(
    found: impl IntoIterator<Item = &'a state::Difference>,
) -> Vec<Difference> {
    let there = |value: &String| (value != "absent").then(|| value.clone());
    let difference = |it: &state::Difference| Difference {
        fact: it.fact.clone(),
        before: there(&it.before),
        after: there(&it.after),
        rule: it.rule.clone(),
        kept: Some(state::registry::kept(&it.fact).to_owned()),
        ..Difference::default()
    };
    found.into_iter().map(difference).collect()
}

/// The differences of two captures, each with its cause.
pub(super) fn caused(
    before: &Capture,
    after: &Capture,
    found: &[state::Difference],
) -> Vec<Difference> {
    let told = state::causes(before, after, found);
    with_causes(differences(found), told)
}

fn with_causes(differences: Vec<Difference>, told: Vec<Told>) -> Vec<Difference> {
    let differences = differences.into_iter().zip(told);
    let caused = differences.map(|(it, told)| {
        let Told { follows, whole } = told;
        Difference { follows, whole, ..it }
    });
    caused.collect()
}
