//! Working in the foreground for as long as the user waits, and then living on without him.
//!
//! Machines are children of the process that started them, so a lab that outlives its command must
//! have been started by a process that can do the same. The command therefore runs itself again, in
//! a session of its own, before it does anything else. That second process does all the work. It
//! writes to the terminal that it has inherited, is told every signal, and ends with its parent:
//!
//! ```text
//!  shell ── cryolab (waits, passes signals on) ── cryolab (works, owns the machines)
//!                       │                                    │
//!                       │ <──────── the exit code ────────── │  Handle::stand
//!                     exits                            lives on, alone
//! ```
//!
//! A parent that dies before it was told the exit code (not even a SIGKILL is an exception) takes
//! the second process down by SIGTERM (`PR_SET_PDEATHSIG`, prctl(2)).

use std::fs::File;
use std::io::Write as _;
use std::os::fd::{AsFd as _, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::ExitStatus;

use anyhow::{Context as _, ensure};
use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::{self, Pid, getpgrp, getpid, getppid};
use runner::perform::Interrupts;
use tokio::io::AsyncReadExt as _;
use tokio::process::{Child, Command};

use crate::status::Exit;

/// Tells the second process that it is one, and whose.
const MARK: &str = "CRYOLAB_FOREGROUND";

/// The exit code of a command that was interrupted.
const INTERRUPTED: u8 = 130;

/// The tie to the process that the user has started.
#[derive(Debug)]
pub(crate) struct Handle {
    bond: UnixStream,
}

/// Does `work` in a second process, and returns its exit code as soon as it ends, or
/// [stands](Handle::stand).
///
/// To be called before anything is opened and any thread is started: the program begins anew.
///
/// # Errors
/// Those of `work`, where it is done; where it is waited for, only that it could not be started.
pub(crate) fn foreground(work: impl FnOnce(Handle) -> Result<u8, Exit>) -> Result<u8, Exit> {
    if let Ok(parent) = std::env::var(MARK) {
        let handle = Handle::tie(&parent).context("begin a session").map_err(Exit::lab)?;
        let done = work(handle);
        if let Ok(INTERRUPTED) | Err(Exit { code: INTERRUPTED, .. }) = done {
            // Helpers that build something. Whoever was interrupted minds no other signal.
            let _ = killpg(getpgrp(), Signal::SIGTERM);
        }
        return done;
    }
    // This thread must live as long as the process: the child dies with it.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let code = runtime.map_err(Exit::lab)?.block_on(attend());
    code.context("run in a session of its own").map_err(Exit::lab)
}

impl Handle {
    /// In the second process: leaves the session of its parent, and keeps nothing of it but
    /// standard output and error.
    fn tie(parent: &str) -> anyhow::Result<Self> {
        set_pdeathsig(Signal::SIGTERM)?;
        // A parent that died before that will never be told of.
        ensure!(getppid().to_string() == parent, "who started this has gone");
        close_strays()?;
        unistd::setsid()?;
        let bond = std::io::stdin().as_fd().try_clone_to_owned()?;
        unistd::dup2_stdin(File::open("/dev/null")?)?;
        Ok(Handle { bond: bond.into() })
    }

    /// Lets the command end with this exit code, and this process live on. From now on it has no
    /// standard input, and what it says goes to `log`.
    ///
    /// # Errors
    /// When the command has been killed meanwhile, or the log cannot be written.
    pub(crate) fn stand(self, log: &Path, code: u8) -> anyhow::Result<()> {
        let log = File::options().create(true).append(true).open(log);
        let log = log.context("open the supervisor's log")?;
        std::io::stdout().flush().context("standard output")?;
        unistd::dup2_stdout(&log)?;
        unistd::dup2_stderr(&log)?;
        set_pdeathsig(None)?;
        (&self.bond).write_all(&[code]).context("the command has gone")
    }
}

/// Closes what was inherited beside the standard descriptors: a lock or a pipe of the user's shell
/// must not be held for as long as a lab stands.
fn close_strays() -> anyhow::Result<()> {
    let open = std::fs::read_dir("/proc/self/fd").context("list open descriptors")?;
    let open: Vec<RawFd> =
        open.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok()).collect();
    for fd in open.into_iter().filter(|&fd| fd > 2) {
        // One of them was that of the list itself, which is closed already.
        let _ = unistd::close(fd);
    }
    Ok(())
}

/// In the first process: starts the second one and waits for what it says.
async fn attend() -> anyhow::Result<u8> {
    let mut interrupts = Interrupts::listen()?;
    let (bond, theirs) = UnixStream::pair()?;
    bond.set_nonblocking(true)?;
    let mut bond = tokio::net::UnixStream::from_std(bond)?;
    let mut child = again(theirs.into())?;
    let pid = Pid::from_raw(child.id().context("it ended at once")?.cast_signed());
    let (mut code, mut tied) = ([0], true);
    let status = loop {
        tokio::select! {
            biased;
            told = bond.read(&mut code), if tied => match told {
                Ok(1..) => return Ok(code[0]),
                _ => tied = false,
            },
            status = child.wait() => break status?,
            // It may just have ended.
            signal = interrupts.next() => drop(kill(pid, signal.parse::<Signal>()?)),
        }
    };
    if status.signal().is_some() {
        // It could not end its helpers, which are of its group.
        let _ = killpg(pid, Signal::SIGTERM);
    }
    Ok(code_of(status))
}

/// This program with the same words.
fn again(bond: OwnedFd) -> anyhow::Result<Child> {
    let mut words = std::env::args_os();
    let mut command = Command::new(std::env::current_exe().context("find this program")?);
    if let Some(name) = words.next() {
        command.arg0(name);
    }
    command.args(words).env(MARK, getpid().to_string()).stdin(bond);
    Ok(command.spawn()?)
}

/// As a shell would tell it.
fn code_of(status: ExitStatus) -> u8 {
    let code = status.code().or_else(|| status.signal().map(|signal| 128 + signal));
    code.and_then(|code| u8::try_from(code).ok()).unwrap_or(u8::MAX)
}
