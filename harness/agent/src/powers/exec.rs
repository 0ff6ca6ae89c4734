//! Running a program whose input and output are streams.
//!
//! One thread moves everything: it waits for what can be moved and never for one thing alone.
//! Output is read only as far as the host has granted, so that it waits in the program's own pipe;
//! input is held until the program takes it, and the host sends no more than was granted.

mod input;
mod output;
mod program;

use std::collections::BTreeMap;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use model::message::{Event, Input, Reply, WindowSize};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::exited;
use crate::mailbox::Mailbox;
use crate::serve::Call;
use input::ProgramInput;
use output::ProgramOutput;
use program::Program;

/// How long the end of a process may take to be known after the kernel told it.
const REAPED: Duration = Duration::from_secs(30);

/// Runs a program until it has ended and all that it wrote is on its way.
///
/// Processes that it left behind and that keep its pipes open are not waited for.
pub(super) fn exec(
    call: &Call<'_>,
    command: &[String],
    env: &BTreeMap<String, String>,
    terminal: Option<WindowSize>,
) -> anyhow::Result<Reply> {
    let mailbox = call.mailbox()?;
    let (program, input, output) = program::start(&call.node.reaper, command, env, terminal)
        .with_context(|| format!("cannot run {}", command.join(" ")))?;
    let mut session = Session { call, mailbox, program, input, output, granted: 0, over: false };
    while !session.finished() {
        session.wait()?;
        session.obey()?;
        session.feed();
        session.pass_on();
    }
    Ok(exited(session.code()?, None))
}

/// A program and the host at its other end.
struct Session<'a> {
    call: &'a Call<'a>,
    mailbox: Arc<Mailbox>,
    program: Program,
    input: ProgramInput,
    output: ProgramOutput,
    /// Bytes of output that may still be sent.
    granted: usize,
    /// The program has ended.
    over: bool,
}

impl Session<'_> {
    fn finished(&self) -> bool {
        self.over && self.output.is_drained()
    }

    /// Waits until something can be moved, or the program ends.
    fn wait(&mut self) -> anyhow::Result<()> {
        let readable = |fd| PollFd::new(fd, PollFlags::POLLIN);
        let mut fds = vec![readable(self.mailbox.as_fd())];
        let ending = (!self.over).then(|| self.program.as_fd());
        fds.extend(ending.map(readable));
        fds.extend(self.input.wants().map(|fd| PollFd::new(fd, PollFlags::POLLOUT)));
        let outputs: Vec<BorrowedFd<'_>> =
            if self.granted > 0 { self.output.sources().collect() } else { Vec::new() };
        fds.extend(outputs.into_iter().map(readable));
        // Once the program has ended its pipes are read dry: others may hold them open for ever.
        let dry = self.over && self.granted > 0;
        match poll(&mut fds, if dry { PollTimeout::ZERO } else { PollTimeout::NONE }) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(error) => return Err(error).context("cannot wait for the program"),
        }
        let ended = ending.is_some() && fds[1].any().unwrap_or(true);
        drop(fds);
        if ended {
            self.over = true;
            self.output.end();
        }
        Ok(())
    }

    /// Does what the host said meanwhile.
    fn obey(&mut self) -> anyhow::Result<()> {
        for input in self.mailbox.take() {
            match input {
                Input::Bytes(bytes) => self.input.push(&bytes)?,
                Input::End => self.input.end(),
                Input::Resize(size) => self.program.resize(size),
                Input::Grant(bytes) => self.granted = self.granted.saturating_add(bytes as usize),
                Input::Signal(libc::SIGKILL | libc::SIGHUP) if self.over => self.output.abandon(),
                Input::Signal(_) if self.over => {}
                Input::Signal(signal) => self.program.signal(signal),
            }
        }
        Ok(())
    }

    fn feed(&mut self) {
        let bytes = self.input.feed();
        if bytes > 0 {
            self.call.send_event(Event::Taken { bytes });
        }
    }

    fn pass_on(&mut self) {
        for (stream, bytes) in self.output.read(&mut self.granted) {
            self.call.send_event(Event::Output { stream, bytes });
        }
    }

    fn code(&self) -> anyhow::Result<i32> {
        let (bell, exit) = (&self.call.node.bell, self.program.exit());
        bell.until(REAPED, REAPED, || exit.code()).context("nobody knows how the program ended")
    }
}

/// Whatever ends the request ends the program.
impl Drop for Session<'_> {
    fn drop(&mut self) {
        if !self.over {
            self.program.signal(libc::SIGKILL);
        }
    }
}
