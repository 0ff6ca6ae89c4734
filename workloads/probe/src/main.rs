//! Looks all the time for what a container could notice of a checkpoint that is taken of it.
//!
//! What can hardly be otherwise is told as `noticed: NAME: WORDS`: how long it stood still, how many
//! expirations of a timer came at once, which system calls ended with EINTR, how far the clocks moved
//! against each other. What must never be is lost: a clock that goes back, a connection that breaks or
//! brings other bytes. It says so on SIGTERM, and `verdict: ...` as its last line.

mod calls;
mod connection;
mod ticks;

use std::io::{self, Write};
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use nix::sys::signal::{SigSet, Signal};

/// What one part of the probe has to tell.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    /// What was noticed: a name and words each.
    noticed: Vec<(&'static str, String)>,
    /// What was lost, likewise.
    lost: Vec<(&'static str, String)>,
}

/// A part of the probe.
pub(crate) trait Look: Send {
    /// Looks for a moment.
    fn look(&mut self);

    /// What was seen up to now.
    fn seen(&self) -> Seen;
}

/// A part that looks on in a thread of its own.
type Looking = Arc<Mutex<dyn Look>>;

fn main() -> ExitCode {
    match run() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("probe: {error}");
            ExitCode::from(2)
        }
    }
}

/// Looks until SIGTERM; whether nothing was lost.
fn run() -> io::Result<bool> {
    let mut end = SigSet::empty();
    end.add(Signal::SIGTERM);
    end.thread_block()?;
    let mut looking: Vec<Looking> =
        vec![look_on(ticks::Ticks::start()?), look_on(connection::Connection::open()?)];
    let calls = calls::all()?.into_iter().map(look_on);
    looking.extend(calls);
    say("ready")?;
    end.wait()?;
    ENDS.store(true, Ordering::Relaxed);
    tell(&looking)
}

/// Whether the probe comes to its end: what was seen can be asked for then.
static ENDS: AtomicBool = AtomicBool::new(false);

/// Looks in a thread until the end.
fn look_on(look: impl Look + 'static) -> Looking {
    let look: Looking = Arc::new(Mutex::new(look));
    let looks = Arc::clone(&look);
    thread::spawn(move || {
        while !ENDS.load(Ordering::Relaxed) {
            looks.lock().unwrap_or_else(PoisonError::into_inner).look();
        }
    });
    look
}

fn tell(looking: &[Looking]) -> io::Result<bool> {
    let mut lost = 0;
    for look in looking {
        let seen = look.lock().unwrap_or_else(PoisonError::into_inner).seen();
        for (name, words) in seen.noticed {
            say(&format!("noticed: {name}: {words}"))?;
        }
        for (name, words) in &seen.lost {
            say(&format!("lost: {name}: {words}"))?;
        }
        lost += seen.lost.len();
    }
    match lost {
        0 => say("verdict: intact")?,
        lost => say(&format!("verdict: {lost} lost"))?,
    }
    Ok(lost == 0)
}

fn say(line: &str) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    writeln!(stdout, "{line}")?;
    stdout.flush()
}
