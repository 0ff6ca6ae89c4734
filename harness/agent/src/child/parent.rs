//! The agent's side of an operation: starts the engine child, listens to it, and outlives it.

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use model::message::{Decision, Event, Failure, Reply};
use model::{Mark, Phase};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

use super::order::{FromEngine, Order, ToEngine};
use super::socket::{Received, Socket};
use crate::command::command;
use crate::kmsg;
use crate::output::{Output, Stream};
use crate::reaper::{Exit, Reaper};
use crate::sync::Bell;

/// How long a child whose socket is closed may take to die.
const DEATH: Duration = Duration::from_secs(5);

/// Bytes of the engine's standard error that are told.
const QUOTED_BYTES: usize = 4000;

/// An engine child. Dropping it lets it end.
#[derive(Debug)]
pub(super) struct Child {
    socket: Socket<FromEngine>,
    exit: Arc<Exit>,
    output: Arc<Output>,
}

/// An engine child at work.
///
/// The child stays until this is dropped, also after its last word: processes that it started
/// become the agent's own children only when it ends, and so their ends cannot be missed.
pub(crate) struct Operation {
    child: Child,
    bell: Arc<Bell>,
    silence: Duration,
    reached: Reached,
}

/// How far the engine has come, by its own words.
#[derive(Debug, Default)]
struct Reached {
    step: Option<String>,
    phase: Option<Phase>,
}

impl Child {
    /// Starts one, which waits for its order.
    pub(super) fn start(reaper: &Reaper, bell: &Arc<Bell>) -> anyhow::Result<Child> {
        let (here, there) = UnixStream::pair()?;
        let mut child = command("/proc/self/exe");
        child.arg("engine").stdin(OwnedFd::from(there));
        child.stdout(Stdio::piped()).stderr(Stdio::piped());
        let (mut process, exit) = reaper.spawn(&mut child).context("cannot start the engine")?;
        let (stdout, stderr) = process.stdout.take().zip(process.stderr.take()).context("pipes")?;
        let output = Output::collect(stdout.into(), stderr.into(), false, Arc::clone(bell))?;
        Ok(Child { socket: Socket::new(here), exit, output })
    }

    /// Its end.
    pub(super) fn exit(&self) -> &Arc<Exit> {
        &self.exit
    }

    /// Whether it has not ended yet.
    pub(super) fn lives(&self) -> bool {
        self.exit.code().is_none()
    }
}

impl Operation {
    /// Gives a child its order. `silence` is how long it may say nothing.
    pub(super) fn begin(
        child: Child,
        bell: &Arc<Bell>,
        order: Order,
        wait_at: Option<Mark>,
        silence: Duration,
    ) -> anyhow::Result<Operation> {
        let (bell, reached) = (Arc::clone(bell), Reached::default());
        child
            .socket
            .send(&ToEngine::Order { order, wait_at }, &[])
            .context("cannot order the engine")?;
        Ok(Operation { child, bell, silence, reached })
    }

    /// Listens until the engine is done. `hear` gets all else that it says, and decides at phases.
    pub(crate) fn finish(
        &mut self,
        mut hear: impl FnMut(&mut Operation, FromEngine) -> anyhow::Result<Option<Decision>>,
    ) -> anyhow::Result<Reply> {
        loop {
            match self.child.socket.receive(Some(self.silence)).context("cannot hear the engine")? {
                Received::Message(FromEngine::Done(outcome)) => return Ok(outcome?),
                Received::Message(message) => {
                    self.reached.note(&message);
                    if let Some(decision) = hear(self, message)? {
                        self.proceed(decision)?;
                    }
                }
                Received::Closed => return Err(self.died()),
                Received::TimedOut => return Err(self.hangs()),
            }
        }
    }

    /// Whether the engine is dead: it said no last word, or will not say it any more.
    pub(crate) fn is_dead(&self) -> bool {
        !self.child.lives()
    }

    /// The node's ends of a container's streams, after [`FromEngine::Streams`]: in, out, error.
    pub(crate) fn take_streams(&mut self) -> io::Result<[OwnedFd; 3]> {
        let mut next = || self.child.socket.take_descriptor();
        Ok([next()?, next()?, next()?])
    }

    /// The file that comes with [`FromEngine::Seen`].
    pub(crate) fn take_file(&mut self) -> io::Result<OwnedFd> {
        self.child.socket.take_descriptor()
    }

    fn proceed(&self, decision: Decision) -> anyhow::Result<()> {
        self.child.socket.send(&ToEngine::Proceed(decision), &[]).map_err(|error| {
            match error.kind() {
                io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset => self.died(),
                _ => error.into(),
            }
        })
    }

    fn died(&self) -> anyhow::Error {
        let end = self.await_end();
        self.child.output.drain();
        let words = match self.child.output.text(Stream::Stderr, QUOTED_BYTES) {
            words if words.is_empty() => "it left no word".to_owned(),
            words => words,
        };
        let manner = match end {
            Some(code @ 129..) => format!("was killed by signal {}", code - 128),
            Some(code) => format!("ended with code {code}"),
            None => "closed its socket".to_owned(),
        };
        self.lost(format!("the engine {manner}: {words}"))
    }

    fn hangs(&self) -> anyhow::Error {
        self.kill();
        self.lost(format!("the engine said nothing for {:?} and was killed", self.silence))
    }

    /// What the engine cannot say itself any more.
    fn lost(&self, message: String) -> anyhow::Error {
        let Reached { step, phase } = &self.reached;
        Failure { step: step.clone(), phase: *phase, ..Failure::broken(message) }.into()
    }

    /// Kills the child with all that it started and did not put into a group of its own.
    fn kill(&self) {
        if self.child.lives() {
            // It may end at this moment: there is nothing else that could go wrong.
            let _ = killpg(Pid::from_raw(self.child.exit.pid()), Signal::SIGKILL);
        }
    }

    fn await_end(&self) -> Option<i32> {
        self.bell.until(DEATH, DEATH, || self.child.exit.code())
    }
}

impl Reached {
    fn note(&mut self, message: &FromEngine) {
        match message {
            FromEngine::Event(Event::Step { name, .. }) => self.step = Some(name.clone()),
            FromEngine::Event(Event::Phase { phase, .. }) => self.phase = Some(*phase),
            _ => {}
        }
    }
}

impl Drop for Operation {
    fn drop(&mut self) {
        self.child.output.drain();
        let words = self.child.output.text(Stream::Stderr, QUOTED_BYTES);
        if !words.is_empty() {
            kmsg::info(&format!("engine: {words}"));
        }
    }
}
