//! Handing a checkpoint over from one node to another, which share no disk.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::pin::pin;

use futures::stream::{self, Stream, StreamExt};
use model::Activity;
use model::message::{Event as GuestEvent, GIVING_PORT, HandOver, Reply, Request};
use tokio::time::{Instant, sleep_until};
use vm::Operation;

use super::files::ARCHIVE;
use super::{GRACE, NodeName, OPERATION, Reached, Stage, Stop, millis, unexpected};
use crate::event::Event;

/// What one side of a hand-over tells.
pub(super) enum Told {
    Event(GuestEvent),
    Over(Reply),
}

impl Stage {
    /// Moves the pod's archive over the wire between two nodes. From then on it is the other node's,
    /// and no copy of it stays that anybody would restore.
    ///
    /// # Errors
    /// When one of the nodes is not sound, or the archive does not come over in time.
    pub async fn hand_over(&mut self, from: NodeName, to: NodeName) -> Result<(), Stop> {
        if self.reached == Reached::Restored || self.archived_on == Some(to) {
            return Ok(());
        }
        let began = Instant::now();
        let address = self.address(from)?;
        let before = self.carried(from, to)?;
        let archive = PathBuf::from(ARCHIVE);
        self.arm(from, Activity::Give).await?;
        let give = HandOver::Give { archive: archive.clone(), port: GIVING_PORT };
        let mut gives = self.begin(from, give).await?;
        // Whoever comes before it listens is turned away.
        match gives.next().await? {
            Some(event) => self.told_by(from, event).await?,
            None => return Err(Stop::broken("the giver ended before it listened")),
        }
        self.arm(to, Activity::Take).await?;
        let takes = self.begin(to, HandOver::Take { from: address, archive }).await?;
        self.until_over([(from, gives), (to, takes)]).await?;
        self.archived_on = Some(to);
        self.times.set("transfer", began.elapsed());
        let bytes = self.carried(from, to)? - before;
        let (from, to, ms) = (from.to_string(), to.to_string(), millis(began.elapsed()));
        self.emit(Event::HandedOver { cell: self.cell(), from, to, bytes, ms });
        Ok(())
    }

    pub(super) async fn begin(&self, node: NodeName, side: HandOver) -> Result<Operation, Stop> {
        let request = Request::HandOver { side, deadline_ms: millis(OPERATION) };
        Ok(self.guest(node)?.begin(request, OPERATION + GRACE).await?)
    }

    /// Listens to both sides until both are done; heals in time what a fault has cut.
    pub(super) async fn until_over(
        &mut self,
        sides: [(NodeName, Operation); 2],
    ) -> Result<(), Stop> {
        let sides = sides.map(|(name, operation)| Box::pin(told(name, operation)));
        let mut all = pin!(stream::select_all(sides));
        loop {
            let heals_at = self.heals_at;
            let heal = async {
                match heals_at {
                    Some(at) => sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            let next = tokio::select! {
                next = all.next() => next,
                () = heal => {
                    self.heal()?;
                    continue;
                }
            };
            match next {
                None => return self.heal(),
                Some((name, Ok(Told::Event(event)))) => self.told_by(name, event).await?,
                Some((_, Ok(Told::Over(Reply::Gave { .. } | Reply::Took { .. })))) => {}
                Some((_, Ok(Told::Over(other)))) => return Err(unexpected("a hand-over", &other)),
                Some((_, Err(error))) => return Err(error.into()),
            }
        }
    }

    pub(super) async fn told_by(&mut self, name: NodeName, event: GuestEvent) -> Result<(), Stop> {
        match event {
            GuestEvent::Step { name, at_ns } => {
                self.emit(Event::Step { cell: self.cell(), name, at_ns });
                Ok(())
            }
            GuestEvent::Waits { mark, engine } => self.strike(name, mark, engine).await,
            other => Err(Stop::broken(format!("a hand-over tells {other:?}"))),
        }
    }

    /// Where the other nodes reach a node's hand-over.
    pub(super) fn address(&mut self, node: NodeName) -> Result<SocketAddr, Stop> {
        let unwired = || Stop::broken(format!("node {node} is on no wire"));
        let address = self.lab()?.address(node.0).ok_or_else(unwired)?;
        let address = address.parse().map_err(|_| unwired())?;
        Ok(SocketAddr::new(address, GIVING_PORT))
    }
}

/// All that an operation tells, and its answer as the last. It waits where it waits until the next is
/// asked for.
pub(super) fn told(
    name: NodeName,
    operation: Operation,
) -> impl Stream<Item = (NodeName, Result<Told, vm::Error>)> {
    stream::unfold(Some(operation), move |operation| async move {
        let mut operation = operation?;
        match operation.next().await {
            Ok(Some(event)) => Some(((name, Ok(Told::Event(event))), Some(operation))),
            Ok(None) => Some(((name, operation.finish().map(Told::Over)), None)),
            Err(error) => Some(((name, Err(error)), None)),
        }
    })
}
