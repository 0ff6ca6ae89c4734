//! The protocol of a witness: it sets up, says `ready`, and on SIGTERM tells what was lost.

use std::io::{self, Write};
use std::process::ExitCode;
use std::time::Duration;

use crate::sys::signal;
use crate::{Context, Findings, Witness};

/// Sets up, says `ready`, and waits for SIGTERM, which must be blocked when `set_up` returns.
///
/// With `between`, everything is checked so often meanwhile; without, nothing moves until then.
/// Then everything is checked once more and used once more. Each invariant that broke is told in a
/// line `lost: NAME: expected X, found Y`; the last line is `verdict: intact` or `verdict: N lost`.
/// The exit code is 0 when intact, 1 when something was lost, 2 when it could not be set up.
pub fn run(
    program: &str,
    between: Option<Duration>,
    set_up: impl FnOnce() -> io::Result<Vec<Box<dyn Witness>>>,
) -> ExitCode {
    match attest(between, set_up) {
        Ok(0) => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("{program}: {error}");
            ExitCode::from(2)
        }
    }
}

/// How many invariants were lost.
fn attest(
    between: Option<Duration>,
    set_up: impl FnOnce() -> io::Result<Vec<Box<dyn Witness>>>,
) -> io::Result<usize> {
    let mut witnesses = set_up()?;
    say("ready")?;
    let mut findings = Findings::default();
    match between {
        None => signal::wait(libc::SIGTERM)?,
        Some(between) => {
            while signal::take(&[libc::SIGTERM], between)?.is_none() {
                check(&mut witnesses, &mut findings);
            }
        }
    }
    check(&mut witnesses, &mut findings);
    for witness in &mut witnesses {
        let name = witness.name();
        witness.finish(findings.about(name));
    }
    tell(&findings)
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
