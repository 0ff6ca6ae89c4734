//! What is known to go wrong: `expectations.toml`.
//!
//! A `[[loss]]` is a fact that CRIU gets wrong; a `[[cell]]` is a pair that fails or is
//! unsupported as a whole. Neither hides anything: what is known stays visible, with its reason,
//! and what stops happening although it is said to happen `always` is told as well.

mod page;

use std::path::{Path, PathBuf};

use serde::Deserialize;

pub use self::page::losses_page;

use crate::crash::Crash;
use crate::names;
use crate::verdict::{Difference, Outcome, Standing};
use crate::version::Versions;

/// All that is known to go wrong.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Expectations {
    /// Facts that are lost.
    #[serde(default, rename = "loss")]
    pub losses: Vec<Loss>,
    /// Cells that fail or are unsupported.
    #[serde(default, rename = "cell")]
    pub cells: Vec<KnownCell>,
}

/// A fact that does not come back.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Loss {
    /// A glob over fact names of any level; `*` spans dots.
    pub fact: String,
    /// A glob over the value before; any when not given.
    pub before: Option<String>,
    /// A glob over the value after; any when not given.
    pub after: Option<String>,
    /// Where it happens.
    #[serde(flatten)]
    pub place: Place,
    /// Always, or sometimes.
    #[serde(default)]
    pub when: When,
    /// A workload with which it happens always.
    pub shown_by: Option<String>,
    /// Why, in a line.
    pub reason: String,
    /// A report or a way to reproduce it.
    pub link: Option<String>,
}

/// A cell that does not come to a verdict.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KnownCell {
    /// Where it happens.
    #[serde(flatten)]
    pub place: Place,
    /// `failed` or `unsupported`.
    pub outcome: Outcome,
    /// A part of the reason by which it is told from other failures.
    pub cause: String,
    /// Always, or sometimes.
    #[serde(default)]
    pub when: When,
    /// Why, in a line.
    pub reason: String,
    /// A report or a way to reproduce it.
    pub link: Option<String>,
}

/// Where something known happens; what is not given is any.
#[derive(Debug, Default, Deserialize)]
pub struct Place {
    /// Versions of the kernel.
    pub kernel: Option<Versions>,
    /// Versions of the kernel to which the pod goes.
    pub target_kernel: Option<Versions>,
    /// Versions of CRIU.
    pub criu: Option<Versions>,
    /// A glob over scenarios.
    pub scenario: Option<String>,
    /// A glob over workloads.
    pub workload: Option<String>,
    /// A glob over faults, such as `before-pages:kill-criu`: only where one strikes.
    pub crash: Option<String>,
}

/// How surely something known happens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum When {
    /// Each time, where it can.
    #[default]
    Always,
    /// Not each time.
    Sometimes,
}

/// The cell that expectations are held against, with versions as the guest reports them.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'a> {
    /// Version of the kernel.
    pub kernel: &'a str,
    /// Version of the kernel to which the pod goes: the same, or another one.
    pub target_kernel: &'a str,
    /// Version of CRIU.
    pub criu: &'a str,
    /// Name of the scenario.
    pub scenario: &'a str,
    /// Name of the workload.
    pub workload: &'a str,
    /// The fault that strikes.
    pub crash: Option<&'a Crash>,
}

/// What a cell came to, as far as expectations ask.
#[derive(Clone, Copy, Debug)]
pub struct Came<'a> {
    /// Its outcome.
    pub outcome: Outcome,
    /// Its reason.
    pub reason: &'a str,
    /// Differences of all levels, marked by [`Expectations::mark`].
    pub differences: &'a [Difference],
    /// Facts before the event: name and value in words.
    pub before: &'a [(String, String)],
}

/// How a cell stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stand {
    /// The outcome that was expected.
    pub expected: Outcome,
    /// How the cell stands against it.
    pub standing: Standing,
    /// What did not happen though it is known to happen always.
    pub missed: Option<String>,
}

/// The file could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ExpectationsError {
    /// The file itself.
    #[error(transparent)]
    Read(#[from] std::io::Error),
    /// What it says.
    #[error("{}", path.display())]
    Wrong {
        /// The file.
        path: PathBuf,
        /// What did not fit, with its line.
        source: Box<toml::de::Error>,
    },
}

impl Expectations {
    /// Reads the file.
    ///
    /// # Errors
    /// When it is missing or wrong, naming file, line and field.
    pub fn load(path: &Path) -> Result<Self, ExpectationsError> {
        toml::from_str(&fs_err::read_to_string(path)?).map_err(|source| ExpectationsError::Wrong {
            path: path.to_owned(),
            source: Box::new(source),
        })
    }

    /// Marks the differences that are known losses.
    pub fn mark(&self, subject: Subject<'_>, differences: &mut [Difference]) {
        for difference in differences {
            let known = self.losses_of(subject).find(|loss| loss.explains(difference));
            difference.known = known.map(|loss| loss.reason.clone());
        }
    }

    /// Says how a cell stands against what is known.
    #[must_use]
    pub fn stand(&self, subject: Subject<'_>, came: Came<'_>) -> Stand {
        let mut cells = self.cells.iter().filter(|cell| cell.place.has(subject));
        let known = cells.next();
        let expected = known.map_or(Outcome::Equivalent, |cell| cell.outcome);
        let stands = |standing| Stand { expected, standing, missed: None };
        match came.outcome {
            Outcome::Broken => stands(Standing::Broken),
            Outcome::Failed | Outcome::Unsupported => {
                let mut all = known.into_iter().chain(cells);
                match all.find(|cell| cell.explains(came)) {
                    Some(cell) => Stand { expected: cell.outcome, ..stands(Standing::Expected) },
                    None => stands(Standing::Regression),
                }
            }
            Outcome::Equivalent | Outcome::Diverged => {
                match known.filter(|cell| cell.when == When::Always) {
                    _ if came.differences.iter().any(|it| it.known.is_none()) => {
                        stands(Standing::Regression)
                    }
                    Some(cell) => {
                        let missed = Some(format!("known to be {}: {}", cell.outcome, cell.reason));
                        Stand { missed, ..stands(Standing::UnexpectedPass) }
                    }
                    None => self.stand_of_losses(subject, came),
                }
            }
        }
    }

    /// All differences are known: was anything missed that is lost always?
    fn stand_of_losses(&self, subject: Subject<'_>, came: Came<'_>) -> Stand {
        let missed = self.losses_of(subject).find(|loss| loss.is_missed(subject, came));
        match missed {
            Some(loss) => Stand {
                expected: Outcome::Diverged,
                standing: Standing::UnexpectedPass,
                missed: Some(format!(
                    "known to be lost, and was not: {} ({})",
                    loss.fact, loss.reason
                )),
            },
            None => Stand { expected: came.outcome, standing: Standing::Expected, missed: None },
        }
    }

    fn losses_of<'a>(&'a self, subject: Subject<'a>) -> impl Iterator<Item = &'a Loss> {
        self.losses.iter().filter(move |loss| loss.place.has(subject))
    }
}

impl Place {
    fn has(&self, subject: Subject<'_>) -> bool {
        let fits = |pattern: &Option<String>, name| {
            pattern.as_ref().is_none_or(|pattern| names::fits(pattern, name))
        };
        let contain = |range: &Option<Versions>, version| {
            range.as_ref().is_none_or(|range| range.contain(version))
        };
        contain(&self.kernel, subject.kernel)
            && contain(&self.target_kernel, subject.target_kernel)
            && contain(&self.criu, subject.criu)
            && fits(&self.scenario, subject.scenario)
            && fits(&self.workload, subject.workload)
            && self.crash.as_ref().is_none_or(|pattern| {
                subject.crash.is_some_and(|crash| names::fits(pattern, &crash.selector()))
            })
    }
}

impl Loss {
    fn explains(&self, difference: &Difference) -> bool {
        let fits = |pattern: &Option<String>, value: &Option<String>| {
            pattern
                .as_ref()
                .is_none_or(|pattern| names::fits(pattern, value.as_deref().unwrap_or("")))
        };
        names::fits(&self.fact, &difference.fact)
            && fits(&self.before, &difference.before)
            && fits(&self.after, &difference.after)
    }

    fn is_missed(&self, subject: Subject<'_>, came: Came<'_>) -> bool {
        let was_there = |(fact, value): &(String, String)| {
            names::fits(&self.fact, fact)
                && self.before.as_ref().is_none_or(|pattern| names::fits(pattern, value))
        };
        let happens_always =
            self.when == When::Always || self.shown_by.as_deref() == Some(subject.workload);
        happens_always
            && came.before.iter().any(was_there)
            && !came.differences.iter().any(|difference| self.explains(difference))
    }
}

impl KnownCell {
    fn explains(&self, came: Came<'_>) -> bool {
        self.outcome == came.outcome && came.reason.contains(&self.cause)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = r#"
        [[loss]]
        fact = "task.*.nice"
        before = "7"
        criu = "..4.1"
        reason = "CRIU forgets it"
        [[loss]]
        fact = "pod.*.size"
        when = "sometimes"
        shown_by = "lossy"
        reason = "rounded"
        [[cell]]
        kernel = "6.16..7.0"
        criu = "4.1.1"
        workload = "redis"
        outcome = "failed"
        cause = "Can't get 1:16 opt"
        reason = "fixed in 4.2"
    "#;

    fn subject(kernel: &'static str) -> Subject<'static> {
        Subject {
            kernel,
            target_kernel: kernel,
            criu: "4.1.1",
            scenario: "reboot",
            workload: "redis",
            crash: None,
        }
    }

    fn differs(fact: &str, before: &str) -> Difference {
        let (fact, before) = (fact.to_owned(), Some(before.to_owned()));
        Difference { fact, before, after: Some("0".to_owned()), ..Difference::default() }
    }

    /// The expected outcome and the standing of a cell.
    fn stand(
        kernel: &'static str,
        outcome: Outcome,
        reason: &str,
        mut differences: Vec<Difference>,
    ) -> (Outcome, Standing) {
        let known: Expectations = toml::from_str(FILE).expect("right");
        known.mark(subject(kernel), &mut differences);
        let before = [("task.1.nice".to_owned(), "7".to_owned())];
        let came = Came { outcome, reason, differences: &differences, before: &before };
        let stand = known.stand(subject(kernel), came);
        (stand.expected, stand.standing)
    }

    #[test]
    fn known_losses_are_expected_and_others_are_not() {
        let lost = || differs("task.1.nice", "7");
        let known = stand("6.12.57", Outcome::Diverged, "", vec![lost()]);
        assert_eq!(known, (Outcome::Diverged, Standing::Expected));
        let more = vec![lost(), differs("task.1.umask", "22")];
        let more = stand("6.12.57", Outcome::Diverged, "", more);
        assert_eq!(more, (Outcome::Equivalent, Standing::Regression));
        let other = stand("6.12.57", Outcome::Diverged, "", vec![differs("task.1.nice", "3")]);
        assert_eq!(other.1, Standing::Regression);
    }

    #[test]
    fn a_loss_that_is_said_to_happen_always_and_does_not_is_told() {
        let none = stand("6.12.57", Outcome::Equivalent, "", vec![]);
        assert_eq!(none, (Outcome::Diverged, Standing::UnexpectedPass));
    }

    #[test]
    fn a_loss_by_a_fault_is_news_where_none_strikes() {
        let file = r#"
            [[loss]]
            fact = "outside.*"
            crash = "before-pages:*"
            when = "sometimes"
            reason = "ended"
        "#;
        let known: Expectations = toml::from_str(file).expect("right");
        let told = |crash: Option<&Crash>| {
            let mut differences = [differs("outside.resets", "0")];
            let Subject { kernel, target_kernel, criu, scenario, workload, .. } =
                subject("6.12.57");
            let subject = Subject { kernel, target_kernel, criu, scenario, workload, crash };
            known.mark(subject, &mut differences);
            differences[0].known.is_some()
        };
        let crash = |text: &str| {
            let crashes: crate::crash::Crashes = text.parse().expect("a fault");
            crashes.among(&[model::Activity::Restore]).remove(0)
        };
        assert!(told(Some(&crash("before-pages:kill-criu"))));
        assert!(!told(Some(&crash("before-resume:kill-engine"))));
        assert!(!told(None));
    }

    #[test]
    fn a_loss_always_happens_to_the_workload_that_shows_it() {
        let known: Expectations = toml::from_str(FILE).expect("right");
        let before = [("pod.x.size".to_owned(), "7".to_owned())];
        let came =
            Came { outcome: Outcome::Equivalent, reason: "", differences: &[], before: &before };
        let of = |workload| Subject { workload, ..subject("6.12.57") };
        assert_eq!(known.stand(of("redis"), came).standing, Standing::Expected);
        let missed = known.stand(of("lossy"), came);
        assert_eq!(missed.standing, Standing::UnexpectedPass);
        assert_eq!(
            missed.missed.as_deref(),
            Some("known to be lost, and was not: pod.*.size (rounded)")
        );
    }

    #[test]
    fn a_known_failure_is_told_by_its_cause() {
        let known = stand("6.18.5", Outcome::Failed, "CRIU: Can't get 1:16 opt: no", vec![]);
        assert_eq!(known, (Outcome::Failed, Standing::Expected));
        let other = stand("6.18.5", Outcome::Failed, "CRIU: vdso", vec![]);
        assert_eq!(other, (Outcome::Failed, Standing::Regression));
        let passed = stand("6.18.5", Outcome::Equivalent, "", vec![]);
        assert_eq!(passed, (Outcome::Failed, Standing::UnexpectedPass));
        let elsewhere = stand("6.12.57", Outcome::Failed, "Can't get 1:16 opt", vec![]);
        assert_eq!(elsewhere, (Outcome::Equivalent, Standing::Regression));
        let broken = stand("6.18.5", Outcome::Broken, "", vec![]);
        assert_eq!(broken.1, Standing::Broken);
    }

    #[rstest::rstest]
    #[case("kernel = \"6.x\"", "6.x")]
    #[case("kernal = \"6.1\"", "unknown field `kernal`")]
    #[case("when = \"never\"", "unknown variant `never`")]
    fn a_wrong_file_is_told_with_its_line(#[case] line: &str, #[case] what: &str) {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("expectations.toml");
        let entry = "[[loss]]\nfact = \"task.*\"\nreason = \"because\"\n";
        std::fs::write(&path, format!("{entry}{line}\n")).expect("written");
        let error = Expectations::load(&path).expect_err("wrong");
        assert_eq!(error.to_string(), path.display().to_string());
        let error = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
        assert!(error.contains(what), "{error}");
        assert!(error.contains("line "), "{error}");
    }
}
