//! Builds the programs: static ones that run in guests, and `cryolab` that runs on the host.

use std::ffi::OsString;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};

use crate::repository;

/// The variable that tells `cryolab` where the static programs are.
pub(crate) const GUEST_PROGRAMS: &str = "CRYOLAB_GUEST_BIN";

/// Every program of a guest is built for this target by name: then flags for it do not reach
/// build scripts and procedural macros, which cannot be static.
const TARGET: &str = "x86_64-unknown-linux-gnu";

/// Packages whose programs run in guests.
const GUEST_PACKAGES: [&str; 9] = [
    "agent",
    "confined",
    "counter",
    "http-client",
    "lossy",
    "postgresql-client",
    "probe",
    "redis-client",
    "witness",
];

/// The programs, built.
#[derive(Debug)]
pub(crate) struct Programs {
    /// The command that runs on the host.
    pub(crate) cryolab: PathBuf,
    /// The folder of static programs for guests.
    pub(crate) guest: PathBuf,
}

impl Programs {
    /// Builds them all, silently where nothing is to be done.
    pub(crate) fn build() -> Result<Self> {
        let packages = GUEST_PACKAGES.iter().flat_map(|package| ["--package", package]);
        let guest = build_static(packages)?;
        let mut host = cargo();
        host.args(["build", "--package", "scenarios", "--bin", "cryolab"]);
        host.arg("--target-dir").arg(target());
        run_quietly(host)?;
        Ok(Programs { cryolab: target().join("debug/cryolab"), guest })
    }
}

/// Builds static programs for guests; the folder where they are.
pub(crate) fn build_static<'a>(what: impl IntoIterator<Item = &'a str>) -> Result<PathBuf> {
    let folder = target().join("static");
    let mut build = cargo();
    build.args(["build", "--profile", "guest", "--target", TARGET]).args(what);
    build.arg("--target-dir").arg(&folder);
    // The variable, and not `--config`: a variable of the caller would win over that.
    build.env_remove("CARGO_ENCODED_RUSTFLAGS").env("RUSTFLAGS", "-Ctarget-feature=+crt-static");
    run_quietly(build)?;
    Ok(folder.join(TARGET).join("guest"))
}

/// The cargo that runs this.
pub(crate) fn cargo() -> Command {
    let program = std::env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo"));
    let mut command = Command::new(program);
    command.current_dir(repository());
    command
}

fn target() -> PathBuf {
    repository().join("target")
}

/// Runs cargo and passes on what it says; when it had nothing to build, it says nothing.
fn run_quietly(mut command: Command) -> Result<()> {
    let mut child = command.stderr(Stdio::piped()).spawn().context("start cargo")?;
    if let Some(stderr) = child.stderr.take() {
        let mut said = false;
        for line in BufReader::new(stderr).split(b'\n') {
            let line = line.context("read what cargo says")?;
            let line = String::from_utf8_lossy(&line);
            // The line of the end, with the time that it took.
            if said || !line.trim_start().starts_with("Finished ") {
                eprintln!("{line}");
                said = true;
            }
        }
    }
    let status = child.wait().context("wait for cargo")?;
    ensure!(status.success(), "{}: {status}", shown(&command));
    Ok(())
}

/// A command as one would type it, with paths relative to the repository.
fn shown(command: &Command) -> String {
    let root = repository();
    let words = command.get_args().map(|word| {
        let path = Path::new(word);
        path.strip_prefix(&root).unwrap_or(path).display().to_string()
    });
    ["cargo".to_owned()].into_iter().chain(words).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_shown_as_one_would_type_it() {
        let mut command = cargo();
        command.args(["build", "--target-dir"]).arg(target());
        assert_eq!(shown(&command), "cargo build --target-dir target");
    }

    #[test]
    fn a_command_that_fails_is_named() {
        let mut command = cargo();
        command.args(["no-such-command-of-cargo"]);
        let error = run_quietly(command).expect_err("it fails");
        assert!(format!("{error:#}").starts_with("cargo no-such-command-of-cargo: exit status"));
    }
}
