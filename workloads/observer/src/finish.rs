//! How a client ends.

use std::fmt::Display;
use std::io::{self, Write};
use std::process::ExitCode;

use crate::Lost;

/// Says what was lost, the verdict last, and ends with 0 or 1; or says on standard error why
/// nothing could be looked at, and ends with 2. Without a [`Lost`] nothing was to be looked at.
pub fn finish<E: Display>(program: &str, outcome: Result<Option<Lost>, E>) -> ExitCode {
    match outcome.map(|lost| lost.map_or(Ok(0), |lost| tell(&lost))) {
        Ok(Ok(0)) => ExitCode::SUCCESS,
        Ok(Ok(_)) => ExitCode::FAILURE,
        Ok(Err(error)) => failed(program, &error),
        Err(error) => failed(program, &error),
    }
}

fn tell(lost: &Lost) -> io::Result<usize> {
    let mut out = io::stdout().lock();
    for line in lost.lines() {
        writeln!(out, "{line}")?;
    }
    Ok(lost.count())
}

fn failed(program: &str, error: &dyn Display) -> ExitCode {
    // Where nobody listens, the exit code still tells.
    let _ = writeln!(io::stderr().lock(), "{program}: {error:#}");
    ExitCode::from(2)
}
