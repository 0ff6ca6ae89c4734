//! What became of the mutants: lines while they run, a table and `mutants.json` at the end.

use std::cell::{Cell, RefCell};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::Instant;

use model::mutant::Family;
use serde::Serialize;

use super::FILE;

/// So many facts are named for each mutant.
const NAMED: usize = 12;

/// What became of a mutant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Outcome {
    /// It was noticed.
    Killed,
    /// It was not.
    Survived,
    /// It changes nothing that exists.
    Equivalent,
    /// CRIU itself would not restore it.
    Refused,
    /// It was to change nothing.
    Control,
    /// The kernel does not take such a change: there was no mutant.
    #[serde(skip)]
    NotPossible,
}

/// A mutant with its outcome.
#[derive(Debug, Serialize)]
pub(super) struct Judged {
    pub(super) name: String,
    pub(super) family: Family,
    pub(super) what: String,
    pub(super) outcome: Outcome,
    pub(super) by: Vec<String>,
    pub(super) why: String,
    #[serde(skip)]
    pub(super) took_ms: u128,
}

/// All that was judged so far.
#[derive(Debug)]
pub(super) struct Report {
    path: PathBuf,
    began: Instant,
    expected: Cell<usize>,
    judged: RefCell<Vec<Judged>>,
    not_possible: Cell<usize>,
}

#[derive(Serialize)]
struct File<'a> {
    mutants: &'a [Judged],
}

impl Report {
    /// An empty one, to be written into a folder.
    pub(super) fn new(folder: &Path) -> Report {
        Report {
            path: folder.join(FILE),
            began: Instant::now(),
            expected: Cell::default(),
            judged: RefCell::default(),
            not_possible: Cell::default(),
        }
    }

    /// Says something on the way.
    pub(super) fn note(&self, text: &str) {
        eprintln!("{text}");
    }

    /// So many more are to come.
    pub(super) fn expect(&self, more: usize) {
        self.expected.set(self.expected.get() + more);
    }

    /// Takes a mutant in, and tells what became of it.
    pub(super) fn add(&self, mut judged: Judged) {
        let count = self.judged.borrow().len() + self.not_possible.get() + 1;
        let word = format!("{:?}", judged.outcome).to_lowercase();
        let said = if judged.by.is_empty() { judged.why.clone() } else { judged.by.join(", ") };
        let said: String = said.chars().take(120).collect();
        let (expected, seconds) = (self.expected.get(), judged.took_ms as f64 / 1000.0);
        eprintln!("[{count:>4}/{expected}] {word:<11} {} ({seconds:.1} s) {said}", judged.name);
        if judged.outcome == Outcome::NotPossible {
            self.not_possible.set(self.not_possible.get() + 1);
            return;
        }
        if judged.by.len() > NAMED {
            let more = judged.by.len() - NAMED;
            judged.by.truncate(NAMED);
            judged.why = format!("and {more} more facts");
        }
        self.judged.borrow_mut().push(judged);
    }

    /// `mutants.json`, as text.
    pub(super) fn json(&self) -> anyhow::Result<String> {
        let mutants = self.judged.borrow();
        Ok(serde_json::to_string_pretty(&File { mutants: &mutants })? + "\n")
    }

    /// Writes `mutants.json`.
    pub(super) fn write(&self) -> anyhow::Result<()> {
        Ok(fs_err::write(&self.path, self.json()?)?)
    }

    /// A line for each family, and every mutant that is not as it should be.
    pub(super) fn table(&self) -> String {
        let judged = self.judged.borrow();
        let mut text = "family    killed  survived  equivalent  refused  controls\n".to_owned();
        for family in Family::ALL {
            let of = |outcome| {
                let found = judged.iter().filter(|it| it.family == family && it.outcome == outcome);
                found.count()
            };
            let _ = writeln!(
                text,
                "{:<8}  {:>6}  {:>8}  {:>10}  {:>7}  {:>8}",
                family.name(),
                of(Outcome::Killed),
                of(Outcome::Survived),
                of(Outcome::Equivalent),
                of(Outcome::Refused),
                of(Outcome::Control),
            );
        }
        let minutes = self.began.elapsed().as_secs_f64() / 60.0;
        let none = self.not_possible.get();
        let _ =
            writeln!(text, "{minutes:.1} minutes; {none} changes that the kernel does not take");
        for it in judged.iter().filter(|it| it.is_wrong()) {
            let word = if it.outcome == Outcome::Control { "cried wolf" } else { "survived" };
            let _ =
                writeln!(text, "{word}: {} ({}) {} {}", it.name, it.what, it.by.join(", "), it.why);
        }
        text
    }

    /// 1 when one survived, a control is called diverged, or nothing was judged at all.
    pub(super) fn code(&self) -> u8 {
        let judged = self.judged.borrow();
        u8::from(judged.is_empty() || judged.iter().any(Judged::is_wrong))
    }
}

impl Judged {
    fn is_wrong(&self) -> bool {
        match self.outcome {
            Outcome::Survived => true,
            Outcome::Control => !self.by.is_empty(),
            _ => false,
        }
    }
}
