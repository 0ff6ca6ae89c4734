//! A client of PostgreSQL that stands outside the container.
//!
//! `postgresql-client fill ADDRESS:PORT` writes a table, prepares a transaction and leaves it open,
//! and remembers what must stay as it is about the server and its log. `postgresql-client check
//! ADDRESS:PORT` looks at all of it, commits what was prepared and goes on working.
//! `postgresql-client watch ADDRESS:PORT` keeps one connection with a transaction always open, see
//! [`watch`]. Like all witnesses it prints one line `lost: NAME: expected X, found Y` for each thing
//! that is not as it was, and as its last line `verdict: intact` or `verdict: N lost`; it ends with
//! 0 or 1, or with 2 when the server cannot be reached or was never filled.

mod check;
mod database;
mod fill;
mod watch;

use std::process::ExitCode;

use anyhow::{Result, bail};
use observer::Lost;

use crate::database::Database;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    observer::finish("postgresql-client", run(&arguments))
}

/// Does what the arguments say; what was lost, if that was looked at.
fn run(arguments: &[String]) -> Result<Option<Lost>> {
    let [verb, address] = arguments else {
        bail!("usage: postgresql-client fill|check|watch ADDRESS:PORT");
    };
    match verb.as_str() {
        "fill" => fill::fill(&mut Database::at(address)?).map(|()| None),
        "check" => check::check(&mut Database::at(address)?).map(Some),
        "watch" => Ok(watch::watch(address).map(|()| None)?),
        other => bail!("unknown command `{other}`: use fill, check or watch"),
    }
}
