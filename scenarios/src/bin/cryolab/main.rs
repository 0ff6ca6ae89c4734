//! `cryolab`: does a container come back exactly as it was?
//!
//! `cargo xtask e2e` builds what runs in guests and then becomes this program.

mod archive;
mod arguments;
mod bench;
mod detach;
mod e2e;
mod facts;
mod folder;
mod images;
mod lab;
mod mutants;
mod news;
mod places;
mod report;
mod rerun;
mod selection;
mod status;
mod supply;

use std::io::Write as _;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::Parser as _;

use self::arguments::{Arguments, Command};
use self::status::Exit;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let done = match arguments.command {
        Command::E2e(wanted) => e2e::run(&wanted),
        Command::Report(wanted) => report::run(&wanted),
        Command::Archive(wanted) => archive::run(&wanted.command),
        Command::Images(wanted) => images::run(&wanted.command),
        Command::Lab(wanted) => lab::run(&wanted.command),
        Command::Mutants(wanted) => mutants::run(&wanted),
        Command::Facts { json } => facts::run(json),
        Command::Bench { name, json } => bench::run(name, json),
    };
    match done {
        Ok(code) => ExitCode::from(code),
        Err(Exit { code, error }) => {
            eprintln!("error: {error:#}");
            ExitCode::from(code)
        }
    }
}

/// Prints a result. A reader that has left early is no error.
fn print(text: &str) -> anyhow::Result<()> {
    let mut stdout = std::io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        written => written.context("standard output"),
    }
}
