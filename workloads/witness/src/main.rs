//! Witnesses of one concern each: `witness CONCERN [--home DIR] [--shm DIR]`.
//!
//! Each puts itself into a rich state of its concern, says `ready`, and does nothing more until SIGTERM:
//! then it looks at all of that state from the inside, goes on with it, and tells what was lost. What
//! CRIU refuses to dump is in none of them: the comment of each concern says what was left out.

mod concerns;

use std::io;
use std::process::ExitCode;

use concerns::CONCERNS;
use witness::place::Place;
use witness::sys::signal;

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let concern = arguments.next().unwrap_or_default();
    witness::run(&concern, None, || {
        let found = CONCERNS.iter().find(|(name, _)| *name == concern);
        let (name, set_up) = found.ok_or_else(usage)?;
        let place = Place::from_arguments(name, arguments)?;
        signal::block(&[libc::SIGTERM])?;
        set_up(&place)
    })
}

fn usage() -> io::Error {
    let names: Vec<&str> = CONCERNS.iter().map(|(name, _)| *name).collect();
    let message = format!("usage: witness {} [--home DIR] [--shm DIR]", names.join("|"));
    io::Error::new(io::ErrorKind::InvalidInput, message)
}
