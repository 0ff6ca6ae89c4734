//! What goes to one command, by a task of its own: whoever has something to say waits only when
//! the command does not read.

use model::message::Stream;
use tokio::sync::mpsc::{self, Permit, Sender};
use tokio::task::{JoinHandle, spawn_local};

use crate::lab::connection::Outgoing;
use crate::lab::protocol::ToCommand;

/// Messages that may wait.
const WAITING: usize = 4;

/// Leads to a command. What comes after the command has gone goes nowhere.
#[derive(Clone, Debug)]
pub(super) struct Outbox {
    sender: Sender<ToCommand>,
}

impl Outbox {
    /// Opens it; the task ends when every clone is dropped and all was sent.
    pub(super) fn open(mut outgoing: Outgoing<ToCommand>) -> (Self, JoinHandle<()>) {
        let (sender, mut receiver) = mpsc::channel(WAITING);
        let writer = spawn_local(async move {
            while let Some(message) = receiver.recv().await {
                if outgoing.send(&message).await.is_err() {
                    return;
                }
            }
        });
        (Outbox { sender }, writer)
    }

    /// Where nobody listens.
    pub(super) fn nowhere() -> Self {
        Outbox { sender: mpsc::channel(WAITING).0 }
    }

    /// Sends a message.
    pub(super) async fn send(&self, message: ToCommand) {
        let _ = self.sender.send(message).await;
    }

    /// Says what begins.
    pub(super) async fn doing(&self, what: impl Into<String>) {
        self.send(ToCommand::Doing(what.into())).await;
    }

    /// Says how it went.
    pub(super) async fn did(&self, result: impl Into<String>) {
        self.send(ToCommand::Did(result.into())).await;
    }

    /// Waits until there is room for output of a program; nothing, when nobody reads.
    pub(super) async fn room(&self) -> Option<Permit<'_, ToCommand>> {
        self.sender.reserve().await.ok()
    }
}

/// What a program wrote, as a message.
pub(super) fn output(stream: Stream, bytes: Vec<u8>) -> ToCommand {
    ToCommand::Output { stream, bytes }
}
