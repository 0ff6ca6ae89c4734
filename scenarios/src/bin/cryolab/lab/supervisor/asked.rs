//! A connection: one command, one request, one answer.

use std::rc::Rc;

use anyhow::bail;
use tokio::net::UnixStream;
use vm::exec::Exec;

use super::Supervisor;
use super::outbox::Outbox;
use super::programs;
use crate::lab::connection::{Incoming, Outgoing, split};
use crate::lab::protocol::{
    Ends, PROTOCOL, Refusal, Reply, Request, Status, ToCommand, ToSupervisor, WireFate, WireStatus,
};

/// A command that waits for the end of the lab.
#[derive(Debug)]
pub(super) struct Asker(pub(super) Outgoing<ToCommand>);

/// Serves a command. One that goes before it has its answer gets none; what it has asked for is
/// done to the end.
pub(super) async fn serve(supervisor: Rc<Supervisor>, stream: UnixStream) {
    let (mut incoming, mut outgoing) = split(stream);
    match request(&mut incoming).await {
        // Whoever takes the lab down already will tell the end of all connections.
        Ok(Request::Down) => drop(supervisor.end.try_send(Asker(outgoing))),
        Ok(request) => {
            let (outbox, sent) = Outbox::open(outgoing);
            let answer = supervisor.answer(request, &mut incoming, &outbox).await;
            outbox.send(ToCommand::Done(answer)).await;
            drop(outbox);
            // A writer that is gone has nobody to write to.
            let _ = sent.await;
        }
        Err(error) => {
            let refusal = Refusal::usage(format!("{error:#}"));
            let _ = outgoing.send(&ToCommand::Done(Err(refusal))).await;
        }
    }
}

async fn request(incoming: &mut Incoming<ToSupervisor>) -> anyhow::Result<Request> {
    match incoming.next().await? {
        Some(ToSupervisor::Hello { protocol: PROTOCOL }) => {}
        _ => bail!(
            "this lab was started by another build of cryolab; `cargo xtask lab down` takes it down"
        ),
    }
    match incoming.next().await? {
        Some(ToSupervisor::Ask(request)) => Ok(request),
        _ => bail!("nothing was asked"),
    }
}

impl Supervisor {
    async fn answer(
        self: &Rc<Self>,
        request: Request,
        incoming: &mut Incoming<ToSupervisor>,
        outbox: &Outbox,
    ) -> Result<Reply, Refusal> {
        match request {
            Request::Status => {}
            Request::Exec { node, command, env, terminal } => {
                let running = self.table.borrow().running(&node)?;
                let program = Exec { command, env: env.into_iter().collect(), terminal };
                return programs::exec(&running.guest, program, incoming, outbox).await;
            }
            Request::Logs { node, follow } => {
                self.table.borrow().is_running(&node)?;
                self.tell_consoles(follow, incoming, outbox).await;
                return Ok(Reply::Done);
            }
            Request::Wire { wire, fate } => self.wire(&wire, &fate)?,
            Request::Node { node, fate } => self.befall(&node, fate, outbox).await?,
            Request::Snapshot { name } => self.snapshot(&name, outbox).await?,
            Request::Fork { name, replace: true } => self.go_back(&name, outbox).await?,
            Request::Fork { name, replace: false } => self.fork(&name, outbox).await?,
            Request::Down => return Err(Refusal::lab("the lab is being taken down")),
        }
        Ok(Reply::Status(self.status()))
    }

    /// Says in which folders consoles are, whenever there is another one.
    async fn tell_consoles(
        &self,
        follow: bool,
        incoming: &mut Incoming<ToSupervisor>,
        outbox: &Outbox,
    ) {
        let mut folders = self.consoles.subscribe();
        loop {
            let known = folders.borrow_and_update().clone();
            outbox.send(ToCommand::Consoles(known)).await;
            if !follow {
                return;
            }
            tokio::select! {
                changed = folders.changed() => if changed.is_err() { return },
                // It says nothing any more: it has gone.
                _ = incoming.next() => return,
            }
        }
    }

    fn wire(&self, wire: &Ends, fate: &WireFate) -> Result<(), Refusal> {
        for node in [&wire.from, &wire.to] {
            self.table.borrow().is_running(node)?;
        }
        let switch = self.switch.borrow();
        let there = (wire.from.as_str(), wire.to.as_str());
        let back = (!wire.one_way).then_some((there.1, there.0));
        for (from, to) in [Some(there), back].into_iter().flatten() {
            let done = match fate {
                WireFate::Cut => switch.cut(from, to),
                WireFate::Heal => switch.heal(from, to),
                WireFate::Shape(shape, seed) => {
                    let seeded = seed.map_or(Ok(()), |seed| switch.reseed(from, to, seed));
                    seeded.and_then(|()| switch.shape(from, to, *shape))
                }
            };
            done.map_err(|error| Refusal::usage(error.to_string()))?;
        }
        Ok(())
    }

    fn status(&self) -> Status {
        let wires = self.switch.borrow().directions().into_iter().map(|it| WireStatus {
            from: it.from,
            to: it.to,
            cut: it.cut,
            shape: it.shape,
            frames: it.traffic.frames,
            bytes: it.traffic.bytes,
            delivered: it.traffic.delivered,
        });
        let mut wires: Vec<WireStatus> = wires.collect();
        wires.sort_by(|a, b| (&a.from, &a.to).cmp(&(&b.from, &b.to)));
        Status {
            nodes: self.table.borrow().status(),
            wires,
            snapshots: self.branches.borrow().keys().cloned().collect(),
            seed: self.seed,
            supervisor: std::process::id(),
        }
    }
}
