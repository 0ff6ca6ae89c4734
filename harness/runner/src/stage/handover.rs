//! Handing a checkpoint over from one node to another, which share no disk.

use std::net::SocketAddr;
use std::path::PathBuf;

use model::message::{Event as GuestEvent, GIVING_PORT, HandOver, Reply, Request};
use tokio::time::Instant;
use vm::Operation;

use super::files::ARCHIVE;
use super::{GRACE, NodeName, OPERATION, Stage, Stop, millis, unexpected};
use crate::event::Event;

impl Stage {
    /// Moves the pod's archive over the wire between two nodes. From then on it is the other node's,
    /// and no copy of it stays that anybody would restore.
    ///
    /// # Errors
    /// When one of the nodes is not sound, or the archive does not come over in time.
    pub async fn hand_over(&mut self, from: NodeName, to: NodeName) -> Result<(), Stop> {
        let began = Instant::now();
        let address = self.address(from)?;
        let before = self.carried(from, to)?;
        let (archive, deadline_ms) = (PathBuf::from(ARCHIVE), millis(OPERATION));
        let give = HandOver::Give { archive: archive.clone(), port: GIVING_PORT };
        let give = Request::HandOver { side: give, deadline_ms };
        let mut gives = self.guest(from)?.begin(give, OPERATION + GRACE).await?;
        // Whoever comes before it listens is turned away.
        self.step_of(&mut gives).await?;
        let take = HandOver::Take { from: address, archive };
        let take = Request::HandOver { side: take, deadline_ms };
        let mut takes = self.guest(to)?.begin(take, OPERATION + GRACE).await?;
        let ((), ()) = tokio::try_join!(self.steps_of(&mut gives), self.steps_of(&mut takes))?;
        match gives.finish()? {
            Reply::Gave { .. } => {}
            other => return Err(unexpected("giving", &other)),
        }
        match takes.finish()? {
            Reply::Took { .. } => {}
            other => return Err(unexpected("taking", &other)),
        }
        self.archived_on = Some(to);
        self.times.set("transfer", began.elapsed());
        let bytes = self.carried(from, to)? - before;
        let (from, to, ms) = (from.to_string(), to.to_string(), millis(began.elapsed()));
        self.emit(Event::HandedOver { cell: self.cell(), from, to, bytes, ms });
        Ok(())
    }

    /// Tells steps until the operation is done.
    async fn steps_of(&self, operation: &mut Operation) -> Result<(), Stop> {
        while self.step_of(operation).await? {}
        Ok(())
    }

    /// Tells the next step; false when the operation is done.
    async fn step_of(&self, operation: &mut Operation) -> Result<bool, Stop> {
        match operation.next().await? {
            Some(GuestEvent::Step { name, at_ns }) => {
                self.emit(Event::Step { cell: self.cell(), name, at_ns });
                Ok(true)
            }
            Some(other) => Err(Stop::broken(format!("a hand-over tells {other:?}"))),
            None => Ok(false),
        }
    }

    /// Where the other nodes reach a node's hand-over.
    fn address(&mut self, node: NodeName) -> Result<SocketAddr, Stop> {
        let unwired = || Stop::broken(format!("node {node} is on no wire"));
        let address = self.lab()?.address(node.0).ok_or_else(unwired)?;
        let address = address.parse().map_err(|_| unwired())?;
        Ok(SocketAddr::new(address, GIVING_PORT))
    }
}
