//! A witness: a program that holds state of many kinds and attests it.
//!
//! `counter [--home DIR] [--shm DIR]` sets everything up, says `ready`, and goes on working: a
//! thread rewrites its memory page by page, and every second each witness compares what is with
//! what was. On SIGTERM everything is checked once more and then used once more (queues are read,
//! connections written to). Each invariant that broke at any time is told in a line
//! `lost: NAME: expected X, found Y`; the last line is `verdict: intact` or `verdict: N lost`.
//! It ends with 0 when intact, 1 when something was lost, 2 when it could not be set up.

mod child;
mod clocks;
mod descriptors;
mod events;
mod files;
mod identity;
mod inet;
mod locks;
mod maps;
mod memory;
mod pipes;
mod place;
mod proc;
mod signals;
mod sys;
mod sysv;
mod threads;
mod timers;
mod unix;
mod witness;

use std::io::{self, Write};
use std::process::ExitCode;
use std::time::Duration;

use crate::place::Place;
use crate::sys::signal;
use crate::witness::{Context, Findings, Witness};

/// How often everything is checked while the program runs.
const BETWEEN_CHECKS: Duration = Duration::from_secs(1);

fn main() -> ExitCode {
    match run() {
        Ok(0) => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("counter: {error}");
            ExitCode::from(2)
        }
    }
}

/// Sets up, waits for SIGTERM, and returns how many invariants were lost.
fn run() -> io::Result<usize> {
    let place = Place::from_arguments(std::env::args().skip(1))?;
    let mut witnesses = set_up(&place)?;
    say("ready")?;
    let mut findings = Findings::default();
    while signal::take(&[libc::SIGTERM], BETWEEN_CHECKS)?.is_none() {
        check(&mut witnesses, &mut findings);
    }
    check(&mut witnesses, &mut findings);
    for witness in &mut witnesses {
        let name = witness.name();
        witness.finish(findings.about(name));
    }
    tell(&findings)
}

/// Makes all witnesses. The child comes first, while there is one thread; the table of
/// descriptors comes last, when all of them are open.
fn set_up(place: &Place) -> io::Result<Vec<Box<dyn Witness>>> {
    signals::block_all().context("block signals")?;
    identity::set_up(place).context("set attributes of the process")?;
    let child = child::Child::start(place).context("start the child")?;
    let pipes = pipes::Pipes::new(place).context("make pipes")?;
    let unix = unix::Unix::new(place).context("make unix sockets")?;
    let inet = inet::Inet::new().context("make internet sockets")?;
    let timers = timers::Timers::new().context("arm timers")?;
    let counters = events::Counters::new().context("make event counters")?;
    let sources = [
        ("pipe", pipes.reader()),
        ("unix stream", unix.stream()),
        ("tcp", inet.server()),
        ("event counter", counters.plain()),
        ("timer", timers.descriptor()),
    ];
    let watch = events::Watch::new(&sources).context("watch descriptors")?;
    let mut witnesses: Vec<Box<dyn Witness>> = vec![
        Box::new(clocks::Clocks::new()?),
        Box::new(watch),
        Box::new(pipes),
        Box::new(unix),
        Box::new(inet),
        Box::new(counters),
        Box::new(timers),
        Box::new(files::Files::new(place).context("open files")?),
        Box::new(locks::Locks::new(place).context("lock files")?),
        Box::new(sysv::SystemV::new().context("make System V objects")?),
        Box::new(maps::Maps::new(place).context("map small memory")?),
        Box::new(signals::Signals::new().context("queue signals")?),
        Box::new(threads::Threads::start().context("start threads")?),
        Box::new(memory::Memory::start(place).context("map memory")?),
        Box::new(child),
    ];
    witnesses.push(Box::new(identity::Identity::record().context("record the identity")?));
    witnesses.push(Box::new(descriptors::Descriptors::record().context("list descriptors")?));
    Ok(witnesses)
}

fn check(witnesses: &mut [Box<dyn Witness>], findings: &mut Findings) {
    for witness in witnesses {
        let name = witness.name();
        witness.check(findings.about(name));
    }
}

/// Prints what was lost, and the verdict.
fn tell(findings: &Findings) -> io::Result<usize> {
    for (name, lost) in findings.lost() {
        say(&format!("lost: {name}: {lost}"))?;
    }
    match findings.lost().len() {
        0 => say("verdict: intact")?,
        lost => say(&format!("verdict: {lost} lost"))?,
    }
    Ok(findings.lost().len())
}

fn say(line: &str) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    writeln!(stdout, "{line}").and_then(|()| stdout.flush()).context("write to standard output")
}
