//! Programs on nodes, between a command and the node's agent.

use model::message::{INPUT_BYTES, Input, Stream};
use tokio::sync::mpsc::{self, UnboundedReceiver, UnboundedSender};
use tokio::task::spawn_local;
use vm::Error;
use vm::exec::{Exec, Output, Running, RunningInput};

use super::fates::headline;
use super::outbox::{Outbox, output};
use crate::lab::connection::Incoming;
use crate::lab::protocol::{Refusal, Reply, ToCommand, ToSupervisor};

/// The exit code of a command that a shell does not find.
const NOT_FOUND: u8 = 127;

/// Runs a program to its end; when the command goes before, the program goes, too.
pub(super) async fn exec(
    guest: &vm::Guest,
    program: Exec,
    incoming: &mut Incoming<ToSupervisor>,
    outbox: &Outbox,
) -> Result<Reply, Refusal> {
    let mut running = guest.exec(program).await?;
    let mut input = ProgramInput::open(running.input(), outbox.clone());
    loop {
        tokio::select! {
            message = incoming.next() => match message {
                Ok(Some(ToSupervisor::Input(said))) => input.say(said).await?,
                Ok(Some(other)) => return Err(Refusal::lab(format!("{other:?} out of place"))),
                // Nobody is there to be told. Dropped, the program is killed.
                Ok(None) | Err(_) => return Ok(Reply::Done),
            },
            next = next(&mut running, outbox) => {
                if let Some(code) = next.map_err(|error| refusal(&error))? {
                    return Ok(Reply::Exited(code));
                }
            }
        }
    }
}

/// Passes on what the program writes next, once there is room for it; its exit code at its end.
async fn next(running: &mut Running, outbox: &Outbox) -> Result<Option<i32>, Error> {
    let Some(room) = outbox.room().await else { return std::future::pending().await };
    match running.next().await? {
        Output::Stdout(bytes) => room.send(output(Stream::Stdout, bytes)),
        Output::Stderr(bytes) => room.send(output(Stream::Stderr, bytes)),
        Output::Exited(code) => return Ok(Some(code)),
    }
    Ok(None)
}

/// A program that cannot be started is told as a shell tells it; a node that ended meanwhile, by
/// how it did.
fn refusal(error: &Error) -> Refusal {
    match error {
        Error::Failure { failure, .. } => {
            Refusal { code: NOT_FOUND, message: failure.message.clone() }
        }
        Error::Panicked { node, .. } | Error::Exited { node, .. } => {
            let how = headline(error);
            Refusal::lab(format!("{node}: {how}; `cargo xtask lab logs {node}` shows its console"))
        }
        other => Refusal::lab(other.to_string()),
    }
}

/// What a command says to its program. Input waits for the program, all else does not.
struct ProgramInput {
    to: RunningInput,
    pieces: UnboundedSender<Option<Vec<u8>>>,
    /// Bytes that the command may still send.
    credit: usize,
    taken: UnboundedReceiver<usize>,
}

impl ProgramInput {
    fn open(to: RunningInput, outbox: Outbox) -> Self {
        let (pieces, waiting) = mpsc::unbounded_channel();
        let (tell, taken) = mpsc::unbounded_channel();
        spawn_local(feed(to.clone(), waiting, tell, outbox));
        ProgramInput { to, pieces, credit: INPUT_BYTES as usize, taken }
    }

    async fn say(&mut self, input: Input) -> Result<(), Refusal> {
        match input {
            Input::Bytes(bytes) => self.push(bytes)?,
            // A program that has ended reads nothing any more.
            Input::End => drop(self.pieces.send(None)),
            Input::Resize(size) => self.to.resize(size).await?,
            Input::Signal(signal) => self.to.signal(signal).await?,
            // Output is bounded by what the command reads.
            Input::Grant(_) => {}
        }
        Ok(())
    }

    /// What waits is bounded by what the command was granted.
    fn push(&mut self, bytes: Vec<u8>) -> Result<(), Refusal> {
        while let Ok(taken) = self.taken.try_recv() {
            self.credit += taken;
        }
        let left = self.credit.checked_sub(bytes.len());
        self.credit = left.ok_or_else(|| Refusal::lab("more input than was granted"))?;
        // As above.
        let _ = self.pieces.send(Some(bytes));
        Ok(())
    }
}

/// Writes input to the program as it takes it.
async fn feed(
    input: RunningInput,
    mut waiting: UnboundedReceiver<Option<Vec<u8>>>,
    tell: UnboundedSender<usize>,
    outbox: Outbox,
) -> Result<(), Error> {
    while let Some(piece) = waiting.recv().await {
        let Some(bytes) = piece else { return input.end().await };
        input.write(&bytes).await?;
        // Whoever was told has gone with the program.
        let _ = tell.send(bytes.len());
        outbox.send(ToCommand::Taken(u32::try_from(bytes.len()).unwrap_or(u32::MAX))).await;
    }
    Ok(())
}
