//! The engine child itself: one order, carried out by the engine in a process of one thread.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Seek, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use engine::{Engine, EngineConfig, LinuxHost, PhaseReached, StdioSet, Watch};
use model::message::{Decision, Destination, Event, OUTPUT_BYTES, Reply};
use model::pod::{ContainerSpec, PodSpec, Stdio};
use model::{Mark, Step};
use nix::sys::memfd::{MFdFlags, memfd_create};
use serde::Serialize;

use super::analyse::analyse;
use super::handover;
use super::images::images;
use super::order::{FromEngine, Order, ToEngine};
use super::pages::pages;
use super::socket::{Received, Socket};
use crate::command::PATH;
use crate::output::last;
use crate::{clock, failure};

/// How long CRIU may take to look at the kernel.
const FEATURES_DEADLINE: Duration = Duration::from_secs(60);

/// Carries out the order that comes over the standard input.
pub(crate) fn main() -> anyhow::Result<()> {
    let mut agent = Agent { socket: take_socket()?, wait_at: None };
    let order = match agent.socket.receive(None)? {
        Received::Message(ToEngine::Order { order, wait_at }) => {
            agent.wait_at = wait_at;
            order
        }
        Received::Closed => return Ok(()),
        _ => bail!("the first message is no order"),
    };
    let engine = Engine::new(EngineConfig::default(), Box::new(LinuxHost));
    let outcome = agent.carry_out(&engine, order).map_err(failure::from_error);
    agent.say(&FromEngine::Done(outcome))?;
    // The agent closes its end when it knows all processes that become its children now.
    while let Received::Message(_) = agent.socket.receive(None)? {}
    Ok(())
}

/// Moves the socket away from the standard input, which others inherit.
fn take_socket() -> anyhow::Result<Socket<ToEngine>> {
    let socket = io::stdin().as_fd().try_clone_to_owned()?;
    let null = fs_err::File::open("/dev/null")?;
    nix::unistd::dup2_stdin(null.file())?;
    Ok(Socket::new(UnixStream::from(socket)))
}

/// The agent, as the engine child sees it.
pub(super) struct Agent {
    socket: Socket<ToEngine>,
    wait_at: Option<Mark>,
}

impl Agent {
    fn say(&self, message: &FromEngine) -> io::Result<()> {
        self.socket.send(message, &[])
    }

    fn carry_out(&mut self, engine: &Engine, order: Order) -> anyhow::Result<Reply> {
        match order {
            Order::Version => {
                self.say(&FromEngine::Version(engine.criu_version()?))?;
                Ok(Reply::Done)
            }
            Order::Features => features(),
            Order::Start { pod } => {
                let streams = self.connect(&pod)?;
                Ok(Reply::Pod(engine.start(&pod, streams)?))
            }
            Order::Checkpoint { pod, archive, afterwards, deadline_ms } => {
                let deadline = Duration::from_millis(deadline_ms);
                let report = engine.checkpoint(&pod, &archive, afterwards, deadline, self)?;
                Ok(Reply::Checkpoint(report))
            }
            Order::PreDump { pod, archive, deadline_ms } => {
                let deadline = Duration::from_millis(deadline_ms);
                Ok(Reply::Round(engine.pre_dump(&pod, &archive, deadline, self)?))
            }
            Order::Restore { archive, destination, deadline_ms } => {
                self.restore(engine, &archive, &destination, deadline_ms)
            }
            Order::RestoreLazily { archive, from, deadline_ms } => {
                let streams = match engine::handover::pod_to_come(&archive) {
                    Some(pod) => self.connect(&pod)?,
                    // The restore itself says better what is wrong.
                    None => StdioSet::default(),
                };
                let deadline = Duration::from_millis(deadline_ms);
                let report = engine.restore_lazily(&archive, from, deadline, streams, self)?;
                Ok(Reply::Restore(report))
            }
            Order::Recover { archives } => Ok(Reply::Recovered(engine.recover(&archives)?)),
            Order::Remove { pod } => {
                engine.remove(&pod)?;
                Ok(Reply::Done)
            }
            Order::HandOver { side, deadline_ms } => {
                handover::hand_over(self, engine, side, Duration::from_millis(deadline_ms))
            }
            Order::Capture { pod } => {
                let seen = state::observe(&engine.status_of(&pod.pod, &pod.containers)?)?;
                let packed = in_file(&seen)?;
                self.say(&FromEngine::Event(Event::Looked))?;
                self.show(&packed)
            }
            Order::Images { pod, of } => self.tell(&images(engine, &pod, of)?),
            Order::Pages { pod, wanted } => self.tell(&pages(engine, &pod, &wanted)?),
            Order::Analyse { archive, against, wanted } => {
                self.tell(&analyse(&archive, against.as_deref(), wanted)?)
            }
            Order::Exec { pod, container, command, env, deadline_ms } => {
                exec(engine, [&pod, &container], &command, env, deadline_ms)
            }
        }
    }

    fn restore(
        &mut self,
        engine: &Engine,
        archive: &Path,
        destination: &Destination,
        deadline_ms: u64,
    ) -> anyhow::Result<Reply> {
        let streams = match engine::archive::show(archive) {
            Ok(manifest) => self.connect(&manifest.pod)?,
            // The restore itself says better what is wrong with the archive.
            Err(_) => StdioSet::default(),
        };
        let deadline = Duration::from_millis(deadline_ms);
        let report = match destination {
            Destination::Same => engine.restore(archive, None, deadline, streams, self),
            Destination::As(identity) => {
                engine.restore(archive, Some(identity), deadline, streams, self)
            }
            Destination::Into(pod) => engine.restore_into(archive, pod, deadline, streams, self),
        };
        Ok(Reply::Restore(report?))
    }

    /// Makes pipes for the containers that want some, and gives the node's ends to the agent.
    fn connect(&self, pod: &PodSpec) -> io::Result<StdioSet> {
        let mut streams = StdioSet::default();
        let piped = |container: &&ContainerSpec| container.stdio == Stdio::Pipe;
        for container in pod.containers.iter().filter(piped) {
            let (input, node_input) = io::pipe()?;
            let (node_output, output) = io::pipe()?;
            let (node_error, error) = io::pipe()?;
            let message = FromEngine::Streams { container: container.name.clone() };
            let ends = [node_input.as_fd(), node_output.as_fd(), node_error.as_fd()];
            self.socket.send(&message, &ends)?;
            streams.give(&container.name, input.into(), output.into(), error.into());
        }
        Ok(streams)
    }

    /// Does nothing for a while, unless the agent is gone.
    pub(super) fn pause(&mut self, time: Duration) -> anyhow::Result<()> {
        match self.socket.receive(Some(time))? {
            Received::TimedOut => Ok(()),
            _ => bail!("the agent is gone"),
        }
    }

    /// Gives the agent what was seen.
    fn tell(&self, seen: &impl Serialize) -> anyhow::Result<Reply> {
        self.show(&in_file(seen)?)
    }

    /// Gives the agent a file with what was seen.
    fn show(&self, seen: &File) -> anyhow::Result<Reply> {
        self.socket.send(&FromEngine::Seen, &[seen.as_fd()])?;
        Ok(Reply::Done)
    }
}

/// What was seen, in a file: it is too much for messages.
fn in_file(seen: &impl Serialize) -> anyhow::Result<File> {
    let packed = model::pack::pack(seen).context("cannot pack what was seen")?;
    let mut file = File::from(memfd_create(c"seen", MFdFlags::MFD_CLOEXEC)?);
    file.write_all(&packed)?;
    file.rewind()?;
    Ok(file)
}

impl Watch for Agent {
    fn step(&mut self, step: Step) {
        let step = Event::Step { name: step.name().to_owned(), at_ns: clock::monotonic_ns() };
        // An agent that is gone is noticed at the next phase.
        let _ = self.say(&FromEngine::Event(step));
    }

    fn mark(&mut self, mark: Mark) {
        if self.wait_at.take_if(|wanted| *wanted == mark).is_none() {
            return;
        }
        let waits = Event::Waits { mark, engine: std::process::id().cast_signed() };
        if self.say(&FromEngine::Event(waits)).is_ok() {
            // Whatever is said, it goes on; an agent that is gone is noticed at the next phase.
            let _ = self.socket.receive(None);
        }
    }

    fn phase(&mut self, reached: PhaseReached<'_>) -> Decision {
        let phase = Event::Phase {
            phase: reached.phase,
            at_ns: clock::monotonic_ns(),
            pids: reached.pids.to_vec(),
            images: reached.images.map(Path::to_path_buf),
        };
        if self.say(&FromEngine::Event(phase)).is_err() {
            return Decision::Abort;
        }
        match self.socket.receive(None) {
            Ok(Received::Message(ToEngine::Proceed(decision))) => decision,
            _ => Decision::Abort,
        }
    }
}

/// A session beside the engine: the answer itself is of no interest, only what CRIU keeps of it.
fn features() -> anyhow::Result<Reply> {
    let mut criu = criu::rpc::Command::new(EngineConfig::default().criu);
    criu.env_clear().env("PATH", PATH);
    criu.spawn()?.features(Instant::now() + FEATURES_DEADLINE)?;
    Ok(Reply::Done)
}

fn exec(
    engine: &Engine,
    [pod, container]: [&str; 2],
    command: &[String],
    env: BTreeMap<String, String>,
    deadline_ms: u64,
) -> anyhow::Result<Reply> {
    let env: Vec<_> = env.into_iter().collect();
    let deadline = Duration::from_millis(deadline_ms);
    let exited = engine.exec(pod, container, command, &env, deadline)?;
    Ok(Reply::Exited {
        code: exited.code,
        stdout: last(exited.stdout, OUTPUT_BYTES),
        stderr: last(exited.stderr, OUTPUT_BYTES),
    })
}
