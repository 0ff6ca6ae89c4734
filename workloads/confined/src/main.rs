//! A witness of confinement: it tries for real what it must not be able to do, and what it must.
//!
//! `confined STEP... [thread STEP...]`: the steps after `thread` are another thread's. Each thread
//! takes its steps in order: `filter:CALL=ERRNO` installs a filter of system calls that denies one,
//! `drop:CAP_NAME` makes a capability ineffective, `securebits:NUMBER` sets those, and
//! `try:ATTEMPT=OUTCOME` (see `attempt.rs`) says what comes of an attempt. What does not come so at
//! the start was never confined: it ends with 2. Then it says `ready`. The other thread tries its
//! attempts again and again, the first one on SIGTERM; what comes of one that is something else, and
//! what the kernel says else of the confinement than at the start, is told as
//! `lost: NAME: expected X, found Y`, and `verdict: ...` is the last line.

mod attempt;
mod shown;
mod step;
mod sys;

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use nix::sys::signal::{SigSet, Signal};

use crate::step::Step;

/// How often the other thread tries everything.
const BETWEEN_LOOKS: Duration = Duration::from_millis(200);

/// What differs, by name; of each the first sight.
type Lost = BTreeMap<String, String>;

/// Whether the end has come.
static ENDS: AtomicBool = AtomicBool::new(false);

fn main() -> ExitCode {
    match run() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("confined: {error}");
            ExitCode::from(2)
        }
    }
}

/// Tries until SIGTERM; whether nothing was lost.
fn run() -> io::Result<bool> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let (first, other) = words
        .iter()
        .position(|word| word == "thread")
        .map_or((&words[..], None), |at| (&words[..at], Some(&words[at + 1..])));
    let mut end = SigSet::empty();
    end.add(Signal::SIGTERM);
    end.thread_block()?;
    // The thread comes first: it must not inherit the leader's filters.
    let other = other.map(begin_thread).transpose()?;
    let leader = Confined::begin("leader", first)?;
    say("ready")?;
    end.wait()?;
    ENDS.store(true, Ordering::Relaxed);
    let mut lost = Lost::new();
    leader.look(&mut lost);
    if let Some(other) = other {
        let theirs = other.join().map_err(|_| io::Error::other("the thread has panicked"))?;
        lost.extend(theirs);
    }
    tell(&lost)
}

/// Starts the other thread, and waits until it is confined.
fn begin_thread(words: &[String]) -> io::Result<thread::JoinHandle<Lost>> {
    let words = words.to_vec();
    let (sender, begun) = mpsc::channel();
    let thread = thread::spawn(move || {
        let mut lost = Lost::new();
        let confined = Confined::begin("thread", &words);
        let answer = confined.as_ref().map(drop).map_err(ToString::to_string);
        // Nobody waits for the answer any more only when the program ends.
        let _ = sender.send(answer);
        let Ok(confined) = confined else { return lost };
        while !ENDS.load(Ordering::Relaxed) {
            confined.look(&mut lost);
            thread::park_timeout(BETWEEN_LOOKS);
        }
        confined.look(&mut lost);
        lost
    });
    let answer = begun.recv().map_err(io::Error::other)?;
    answer.map_err(io::Error::other)?;
    Ok(thread)
}

/// A thread that has taken its steps.
struct Confined {
    name: &'static str,
    steps: Vec<Step>,
    shown: BTreeMap<String, String>,
}

impl Confined {
    fn begin(name: &'static str, words: &[String]) -> io::Result<Self> {
        let steps: io::Result<Vec<Step>> = words.iter().map(|word| Step::parse(word)).collect();
        let steps = steps?;
        for step in &steps {
            step.take()?;
        }
        Ok(Confined { name, steps, shown: shown::now() })
    }

    /// Compares what is with what was.
    fn look(&self, lost: &mut Lost) {
        let mut tell = |what: &str, expected: &str, found: &str| {
            if expected != found {
                let words = format!("expected {expected:?}, found {found:?}");
                lost.entry(format!("{}.{what}", self.name)).or_insert(words);
            }
        };
        for step in &self.steps {
            if let Step::Try { attempt, expected } = step {
                tell(&attempt.to_string(), expected, &attempt.outcome());
            }
        }
        let now = shown::now();
        for name in self.shown.keys().chain(now.keys()) {
            let value = |of: &BTreeMap<String, String>| of.get(name).cloned().unwrap_or_default();
            tell(name, &value(&self.shown), &value(&now));
        }
    }
}

fn tell(lost: &Lost) -> io::Result<bool> {
    for (name, words) in lost {
        say(&format!("lost: {name}: {words}"))?;
    }
    match lost.len() {
        0 => say("verdict: intact")?,
        lost => say(&format!("verdict: {lost} lost"))?,
    }
    Ok(lost.is_empty())
}

fn say(line: &str) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    writeln!(stdout, "{line}")?;
    stdout.flush()
}
