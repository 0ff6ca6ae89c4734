//! The process of a program, on pipes or on a terminal of its own.

use std::collections::BTreeMap;
use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::process::{Child, Stdio};
use std::sync::Arc;

use anyhow::Context;
use model::message::{Stream, WindowSize};
use nix::fcntl::{FcntlArg, OFlag, fcntl, open};
use nix::pty::{PtyMaster, grantpt, posix_openpt, ptsname_r, unlockpt};
use nix::sys::signal::{Signal, killpg};
use nix::sys::stat::Mode;
use nix::unistd::{Pid, tcgetpgrp};

use super::input::ProgramInput;
use super::output::ProgramOutput;
use crate::command::{command, on_terminal};
use crate::reaper::{Exit, Reaper};
use crate::{kmsg, sys};

/// A program that runs. Readable when it has ended.
#[derive(Debug)]
pub(super) struct Program {
    exit: Arc<Exit>,
    pidfd: OwnedFd,
    terminal: Option<OwnedFd>,
}

/// Starts a program, and returns with it what leads to it and from it.
pub(super) fn start(
    reaper: &Reaper,
    words: &[String],
    env: &BTreeMap<String, String>,
    terminal: Option<WindowSize>,
) -> anyhow::Result<(Program, ProgramInput, ProgramOutput)> {
    let [name, arguments @ ..] = words else { anyhow::bail!("the command is empty") };
    let Some(size) = terminal else {
        let mut command = command(name);
        command.args(arguments).envs(env);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let (child, exit) = reaper.spawn(&mut command)?;
        let (input, output) = on_pipes(child)?;
        return Ok((Program::new(exit, None)?, input, output));
    };
    let (master, slave) = open_terminal().context("cannot open a terminal")?;
    sys::set_window_size(master.as_fd(), size).context("cannot set the terminal's size")?;
    let mut command = on_terminal(name, &slave)?;
    let (_, exit) = reaper.spawn(command.args(arguments).envs(env))?;
    let input = ProgramInput::new(non_blocking(master.try_clone()?)?, true);
    let output = ProgramOutput::new([(Stream::Stdout, non_blocking(master.try_clone()?)?)]);
    Ok((Program::new(exit, Some(master))?, input, output))
}

fn on_pipes(child: Child) -> anyhow::Result<(ProgramInput, ProgramOutput)> {
    let Child { stdin, stdout, stderr, .. } = child;
    let stdin = non_blocking(stdin.context("no pipe")?.into())?;
    let stdout = non_blocking(stdout.context("no pipe")?.into())?;
    let stderr = non_blocking(stderr.context("no pipe")?.into())?;
    let output = ProgramOutput::new([(Stream::Stdout, stdout), (Stream::Stderr, stderr)]);
    Ok((ProgramInput::new(stdin, false), output))
}

/// The two ends of a new terminal: ours, and the one that is the program's own.
fn open_terminal() -> nix::Result<(OwnedFd, OwnedFd)> {
    let flags = OFlag::O_RDWR | OFlag::O_NOCTTY | OFlag::O_CLOEXEC;
    let master: PtyMaster = posix_openpt(flags)?;
    grantpt(&master)?;
    unlockpt(&master)?;
    let slave = open(ptsname_r(&master)?.as_str(), flags, Mode::empty())?;
    Ok((master.into(), slave))
}

fn non_blocking(fd: OwnedFd) -> nix::Result<File> {
    fcntl(&fd, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
    Ok(fd.into())
}

impl Program {
    fn new(exit: Arc<Exit>, terminal: Option<OwnedFd>) -> anyhow::Result<Program> {
        let pidfd = sys::pidfd(exit.pid()).context("cannot watch the process")?;
        Ok(Program { exit, pidfd, terminal })
    }

    /// Its end.
    pub(super) fn exit(&self) -> &Exit {
        &self.exit
    }

    /// Sends a signal to its group, and on a terminal to the one in the foreground, too.
    pub(super) fn signal(&self, number: i32) {
        let Ok(signal) = Signal::try_from(number) else {
            return kmsg::error(&format!("the host sent signal {number}, which does not exist"));
        };
        let own = Pid::from_raw(self.exit.pid());
        let foreground = self.terminal.as_ref().and_then(|terminal| tcgetpgrp(terminal).ok());
        for group in [Some(own), foreground.filter(|group| *group != own)].into_iter().flatten() {
            // It may have ended at this moment.
            let _ = killpg(group, signal);
        }
    }

    /// Tells the terminal its size.
    pub(super) fn resize(&self, size: WindowSize) {
        if let Some(terminal) = &self.terminal
            && let Err(error) = sys::set_window_size(terminal.as_fd(), size)
        {
            kmsg::error(&format!("cannot set the terminal's size: {error}"));
        }
    }
}

impl AsFd for Program {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.pidfd.as_fd()
    }
}
