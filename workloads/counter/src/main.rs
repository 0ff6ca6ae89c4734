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
mod signals;
mod sysv;
mod threads;
mod timers;
mod unix;

use std::io;
use std::process::ExitCode;
use std::time::Duration;

use witness::place::Place;
use witness::{Context, Witness};

/// How often everything is checked while the program runs.
const BETWEEN_CHECKS: Duration = Duration::from_secs(1);

fn main() -> ExitCode {
    witness::run("counter", Some(BETWEEN_CHECKS), || {
        set_up(&Place::from_arguments("counter", std::env::args().skip(1))?)
    })
}

/// Makes all witnesses. The child comes first, while there is one thread; the table of
/// descriptors comes last, when all of them are open.
fn set_up(place: &Place) -> io::Result<Vec<Box<dyn Witness>>> {
    signals::block_all().context("block signals")?;
    place.folder("work")?;
    place.folder("child")?;
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
