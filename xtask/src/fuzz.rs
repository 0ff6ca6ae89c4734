//! Fuzzes what comes from strangers, a guest or an image: a minute, shared by all targets.
//!
//! What is found on the way is kept in `target/fuzz/corpus` and is where the next run goes on; the
//! corpus in the repository is small, and replayed by the fast tests, too. An input that does harm
//! is left in `artifacts` beside its target.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};

use crate::programs::cargo;
use crate::repository;

const FOLDERS: [&str; 2] = ["harness/vm/fuzz", "harness/criu/fuzz"];

/// For all targets together.
const SECONDS: usize = 60;

/// Bounds for each input: what a guest sends is taken in less time and memory than that.
const BOUNDS: [&str; 3] = ["-timeout=10", "-rss_limit_mb=512", "-max_len=16384"];

/// Builds the targets; the commands that run them.
pub(crate) fn prepare() -> Result<Vec<Command>> {
    install()?;
    let mut targets = Vec::new();
    for folder in FOLDERS {
        let names = names(folder)?;
        finish(build(folder, "build"))?;
        targets.extend(names.into_iter().map(|name| (folder, name)));
    }
    let seconds = (SECONDS / targets.len()).max(1);
    targets.iter().map(|(folder, name)| run(folder, name, seconds)).collect()
}

/// The targets of a folder.
fn names(folder: &str) -> Result<Vec<String>> {
    let listed = fuzz(folder, "list").output().context("cargo fuzz list")?;
    let names = String::from_utf8_lossy(&listed.stdout).into_owned();
    let names: Vec<String> = names.split_whitespace().map(str::to_owned).collect();
    ensure!(!names.is_empty(), "{folder}: {}", String::from_utf8_lossy(&listed.stderr).trim());
    Ok(names)
}

/// Installs cargo-fuzz where it is missing.
fn install() -> Result<()> {
    let mut ask = cargo();
    ask.args(["fuzz", "--version"]).stdout(Stdio::null()).stderr(Stdio::null());
    if ask.status().context("start cargo")?.success() {
        return Ok(());
    }
    eprintln!("cargo-fuzz is not there; it is installed now: cargo install cargo-fuzz --locked");
    let mut install = cargo();
    install.args(["install", "cargo-fuzz", "--locked"]);
    finish(install)
}

fn run(folder: &str, name: &str, seconds: usize) -> Result<Command> {
    let found = target().join("corpus").join(name);
    std::fs::create_dir_all(&found).with_context(|| format!("create {}", found.display()))?;
    let mut command = build(folder, "run");
    // New inputs go to the first of them.
    command.arg(name).arg(found).arg(repository().join(folder).join("corpus").join(name));
    command.arg("--").arg(format!("-max_total_time={seconds}")).args(BOUNDS);
    command.args(["-verbosity=0", "-print_final_stats=1"]);
    Ok(command)
}

/// A command that builds. Without a sanitizer, since that takes a nightly compiler.
fn build(folder: &str, word: &str) -> Command {
    let mut command = fuzz(folder, word);
    command.args(["--sanitizer", "none", "--target-dir"]).arg(target());
    command
}

fn fuzz(folder: &str, word: &str) -> Command {
    let mut command = cargo();
    command.args(["fuzz", word, "--fuzz-dir", folder]);
    command
}

fn target() -> PathBuf {
    repository().join("target/fuzz")
}

fn finish(mut command: Command) -> Result<()> {
    let status = command.status().context("start cargo")?;
    let words: Vec<_> = command.get_args().map(|word| word.to_string_lossy()).collect();
    ensure!(status.success(), "cargo {}: {status}", words.join(" "));
    Ok(())
}
