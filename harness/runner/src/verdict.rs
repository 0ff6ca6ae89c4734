//! What a cell came to: its outcome, its five levels, and how that stands against expectation.

mod bytes;
mod causes;

use std::fmt;

use model::Value;
use serde::{Deserialize, Serialize};

pub use self::bytes::{Around, Differ, PageBytes, Run};
pub(crate) use self::bytes::{LINE_BYTES, printable};
pub use self::causes::{Cause, causes, in_words};

/// How a cell ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// What came back is what went in.
    Equivalent,
    /// Something that came back is different.
    Diverged,
    /// A checkpoint, a restore or a hook failed.
    Failed,
    /// It cannot work here: a feature is missing.
    Unsupported,
    /// The lab itself failed: boot, disk, a deadline; or the cell was interrupted.
    Broken,
}

impl Outcome {
    /// The word of `results.json`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Outcome::Equivalent => "equivalent",
            Outcome::Diverged => "diverged",
            Outcome::Failed => "failed",
            Outcome::Unsupported => "unsupported",
            Outcome::Broken => "broken",
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// How an outcome stands against what was expected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Standing {
    /// As expected.
    Expected,
    /// Other than expected.
    Regression,
    /// A known failure or loss no longer happens.
    UnexpectedPass,
    /// The cell says nothing about what it was to test.
    Broken,
    /// The run was interrupted before the cell came to an end.
    Interrupted,
}

/// The five levels of proof.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// The workload attests its own invariants.
    #[serde(rename = "self")]
    Itself,
    /// Everything the kernel shows.
    Kernel,
    /// Every page.
    Memory,
    /// Two image sets mean the same.
    Images,
    /// A client on another node.
    Outside,
}

impl Level {
    /// All levels, in order.
    pub const ALL: [Level; 5] =
        [Level::Itself, Level::Kernel, Level::Memory, Level::Images, Level::Outside];

    /// The word of `results.json`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Level::Itself => "self",
            Level::Kernel => "kernel",
            Level::Memory => "memory",
            Level::Images => "images",
            Level::Outside => "outside",
        }
    }

    /// The counts that the level always carries in `results.json`. What counts things compared is
    /// 0 when nothing was; what measures a service is `null` when nobody did.
    #[must_use]
    pub fn counts(self) -> &'static [(&'static str, Option<u64>)] {
        match self {
            Level::Itself => &[],
            Level::Kernel => &[
                ("facts", Some(0)),
                ("kinds", Some(0)),
                ("not_offered", Some(0)),
                ("tolerated", Some(0)),
            ],
            Level::Memory => &[("bytes", Some(0)), ("differing", Some(0)), ("pages", Some(0))],
            Level::Images => &[("fields", Some(0))],
            Level::Outside => {
                &[("doubled_bytes", None), ("gap_ms", None), ("lost_bytes", None), ("resets", None)]
            }
        }
    }
}

/// What a level came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Judged {
    /// Nothing differs.
    Equivalent,
    /// At least one difference.
    Diverged,
    /// Not judged, with the reason.
    NotRun,
}

/// Something that came back different.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Difference {
    /// The dotted path of the fact, such as `task.1.fd.3.flags`.
    pub fact: String,
    /// Its value before; `null` when it was not there.
    pub before: Option<String>,
    /// Its value after; `null` when it is gone.
    pub after: Option<String>,
    /// The rule that bounds it and was broken, if there is one.
    pub rule: Option<String>,
    /// Why it is known to go wrong, when an expectation says so.
    pub known: Option<String>,
    /// Where CRIU keeps it: image and field, or that it does not.
    #[serde(default)]
    pub kept: Option<String>,
    /// The fact whose difference this one follows: one cause shows in many facts.
    #[serde(default)]
    pub follows: Option<String>,
    /// What is gone or new as a whole, such as `task.7`, of which this is the first fact.
    #[serde(default)]
    pub whole: Option<String>,
    /// Of memory, what is known about the bytes of the first page.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes: Option<PageBytes>,
}

impl Difference {
    /// Something that is there before and after, and is not the same.
    pub(crate) fn of(fact: String, before: &str, after: String) -> Self {
        let (before, after) = (Some(before.to_owned()), Some(after));
        Difference { fact, before, after, ..Difference::default() }
    }

    /// In words, on one line: what, before, after; bytes rather than digests.
    #[must_use]
    pub fn in_words(&self) -> String {
        match (&self.bytes, self.before.as_ref().and_then(|before| before.rsplit_once(": "))) {
            (Some(bytes), Some((pages, _))) if bytes.differ.is_some() => {
                format!("{} ({pages}): {}", self.fact, bytes.in_words())
            }
            (Some(bytes), _) => format!("{}; {}", self.values_in_words(), bytes.in_words()),
            (None, _) => self.values_in_words(),
        }
    }

    fn values_in_words(&self) -> String {
        let fact = &self.fact;
        if let Some(whole) = &self.whole {
            let how = if self.after.is_none() { "is gone" } else { "is new" };
            let value = self.before.as_ref().or(self.after.as_ref());
            let value = value.map(|value| brief(value)).unwrap_or_default();
            return format!("{whole} {how}, with {fact} {value}");
        }
        match (&self.before, &self.after) {
            (Some(before), Some(after)) => {
                format!("{fact} was {}, is {}", brief(before), brief(after))
            }
            (Some(before), None) => format!("{fact} was {}, is gone", brief(before)),
            (None, Some(after)) => format!("{fact} was not there, is {}", brief(after)),
            (None, None) => format!("{fact} differs"),
        }
    }
}

/// A value on one line, cut where nobody would read on.
pub(crate) fn brief(value: &str) -> String {
    const MOST: usize = 60;
    let line = value.replace('\n', "\\n");
    match line.char_indices().nth(MOST) {
        Some((end, _)) => format!("`{}...`", &line[..end]),
        None => format!("`{line}`"),
    }
}

/// What somebody says who is not trusted with the terminal, on one line.
#[must_use]
pub fn plain(text: &str) -> String {
    text.chars().map(|char| if char.is_control() { '.' } else { char }).collect()
}

/// A value as a comparison words it.
pub(crate) fn value_in_words(value: &Value) -> String {
    match value {
        Value::Exact(text) | Value::Moment(text) if text.is_empty() => "empty".to_owned(),
        Value::Exact(text) | Value::Moment(text) => text.clone(),
        Value::Identity { class, id } => format!("{class} {id}"),
        Value::Content { digest, length } => format!("{length} bytes with digest {digest}"),
        Value::Clock { ns } => format!("{ns} ns"),
    }
}

/// What one level of one cell came to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LevelVerdict {
    /// Equivalent, diverged or not run.
    pub outcome: Judged,
    /// Why it was not run, or what diverged, in words; empty when there is nothing to say.
    pub reason: String,
    /// What differs, tolerated differences left out.
    pub differences: Vec<Difference>,
    /// The level's own counts, such as `facts`.
    #[serde(flatten)]
    pub counts: std::collections::BTreeMap<String, Option<u64>>,
}

impl LevelVerdict {
    /// A level that was not judged.
    #[must_use]
    pub fn not_run(level: Level, reason: impl Into<String>) -> Self {
        Self::of(level, Judged::NotRun, reason.into(), Vec::new())
    }

    /// A level that was judged by these differences.
    #[must_use]
    pub fn judged(level: Level, differences: Vec<Difference>) -> Self {
        let outcome = if differences.is_empty() { Judged::Equivalent } else { Judged::Diverged };
        Self::of(level, outcome, in_words(&differences), differences)
    }

    fn of(level: Level, outcome: Judged, reason: String, differences: Vec<Difference>) -> Self {
        let counts = level.counts().iter().map(|(name, count)| ((*name).to_owned(), *count));
        LevelVerdict { outcome, reason, differences, counts: counts.collect() }
    }

    /// Sets one of the level's counts.
    #[must_use]
    pub fn count(mut self, name: &str, count: u64) -> Self {
        self.counts.insert(name.to_owned(), Some(count));
        self
    }

    /// This and what the same level came to for another copy of the pod: what differs in both is
    /// there once, what was counted is added up, and of times the longest counts.
    #[must_use]
    pub fn and(mut self, other: LevelVerdict) -> Self {
        for difference in other.differences {
            if !self.differences.contains(&difference) {
                self.differences.push(difference);
            }
        }
        for (name, count) in other.counts {
            let together = |earlier: u64, later: u64| match name.ends_with("_ms") {
                true => earlier.max(later),
                false => earlier.saturating_add(later),
            };
            let earlier = self.counts.get(&name).copied().flatten();
            let sum = count.map(|count| earlier.map_or(count, |earlier| together(earlier, count)));
            self.counts.insert(name, sum.or(earlier));
        }
        self.outcome = match (self.differences.is_empty(), self.outcome, other.outcome) {
            (false, ..) => Judged::Diverged,
            (true, Judged::NotRun, Judged::NotRun) => Judged::NotRun,
            (true, ..) => Judged::Equivalent,
        };
        self.reason = other.reason;
        self
    }

    /// Differences that no expectation knows.
    pub fn unknown(&self) -> impl Iterator<Item = &Difference> {
        self.differences.iter().filter(|difference| difference.known.is_none())
    }
}

/// What is known about why a cell failed, was unsupported or broke.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trouble {
    /// The phase that was passed last.
    pub phase: Option<model::Phase>,
    /// The step of the engine that failed.
    pub step: Option<String>,
    /// CRIU's or the kernel's error number.
    pub errno: Option<i32>,
    /// The last lines of CRIU's log.
    pub log_tail: Vec<String>,
    /// The last lines of the node's console.
    pub console_tail: Vec<String>,
    /// Why not all artefacts could be brought home, if so.
    pub incomplete: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_say_more_than_digests() {
        let of = |bytes| Difference {
            bytes: Some(bytes),
            ..Difference::of(
                "task.1.memory.5000".into(),
                "1 page of [heap]: zero",
                "digest 7".into(),
            )
        };
        let mut page = vec![0; 4096];
        page[20] = b'!';
        let bytes = PageBytes::of(0x5000, &[0; 4096], &page, "it read as zero");
        assert_eq!(
            of(bytes).in_words(),
            "task.1.memory.5000 (1 page of [heap]): 1 byte differs, at 0x5014: 00 |.| became 21 |!|"
        );
        assert_eq!(
            of(PageBytes::unknown("no answer")).in_words(),
            "task.1.memory.5000 was `1 page of [heap]: zero`, is `digest 7`; its bytes are not known: \
             no answer"
        );
    }

    #[test]
    fn every_level_carries_its_counts_even_when_it_was_not_run() {
        let text = |level| {
            serde_json::to_string(&LevelVerdict::not_run(level, "later")).expect("plain data")
        };
        assert_eq!(
            text(Level::Memory),
            r#"{"outcome":"not_run","reason":"later","differences":[],"bytes":0,"differing":0,"pages":0}"#
        );
        assert!(text(Level::Outside).contains(r#""gap_ms":null"#));
    }
}
