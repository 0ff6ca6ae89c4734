//! `cargo xtask`: what a developer or a user of Cryolab runs from a checkout.
//!
//! Tests and lints are done here. Everything else is the `cryolab` command's: it is built, with
//! the programs that run in guests, and takes over with all arguments as they are.

mod fuzz;
mod lint;
mod programs;
mod run;
mod tally;
mod test;

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};
use xshell::Shell;

/// Exit code of `cryolab` when the lab or the host is broken; so it is when it cannot be built.
const BROKEN: u8 = 3;

/// Build Cryolab and run it, or test it.
#[derive(Debug, Parser)]
#[command(
    name = "cargo xtask",
    bin_name = "cargo xtask",
    disable_help_subcommand = true,
    subcommand_required = true,
    arg_required_else_help = true,
    max_term_width = 100,
    after_help = "\
All other commands are those of `cryolab`; ask them with --help:
  e2e      run cells: kernel x CRIU x runtime x scenario x workload
  report   draw the reports of a run again from its record
  lab      nodes on wires that stand until they are taken down
  archive  look into a checkpoint's archive
  images   kernels, root filesystems and CRIU builds
  mutants  spoil restored pods on purpose: the verifier must notice
  facts    what is captured, from which source, compared how
  bench    ratios against a peer run beside it"
)]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Run all tests: the fast ones first, then those that boot machines
    Test(test::Options),
    /// Check formatting, clippy's lints and the documentation
    Lint,
    /// Anything else goes to `cryolab` as it is
    #[command(external_subcommand)]
    Cryolab(Vec<OsString>),
}

fn main() -> ExitCode {
    let (done, on_error) = match Arguments::parse().task {
        Task::Test(options) => (shell().and_then(|shell| test::test(&shell, &options)), 1),
        Task::Lint => (shell().and_then(|shell| lint::lint(&shell)), 1),
        Task::Cryolab(arguments) => (run::run(&arguments), BROKEN),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::from(on_error)
        }
    }
}

/// A shell in the root of the repository.
fn shell() -> Result<Shell> {
    let shell = Shell::new()?;
    shell.change_dir(repository());
    Ok(shell)
}

/// The root of the repository.
fn repository() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here).to_owned()
}
