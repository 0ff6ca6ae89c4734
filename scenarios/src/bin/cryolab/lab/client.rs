//! A command's end of the connection to the supervisor.

use std::future::Future;
use std::sync::Arc;

use anyhow::{Context as _, anyhow};
use tokio::net::UnixStream;
use vm_images::{Bars, Progress as _, Step};

use super::connection::{Incoming, Outgoing, split};
use super::home::{Found, Home};
use super::protocol::{NodeFate, PROTOCOL, Reply, Request, Status, ToCommand, ToSupervisor};
use crate::status::Exit;

/// A connection on which one thing may be asked.
#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) incoming: Incoming<ToCommand>,
    pub(crate) outgoing: Outgoing<ToSupervisor>,
}

/// Does what a command does.
pub(crate) fn wait_for<T>(work: impl Future<Output = Result<T, Exit>>) -> Result<T, Exit> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(Exit::lab)?.block_on(work)
}

/// Asks for one thing, waits for the answer, and shows what takes a while.
pub(crate) async fn ask(request: Request) -> Result<Reply, Exit> {
    Client::connect(request).await?.answer().await
}

/// Lets something befall a node.
pub(crate) async fn let_befall(node: &str, fate: NodeFate) -> Result<(), Exit> {
    ask(Request::Node { node: node.to_owned(), fate }).await.map(drop)
}

/// Asks for the lab as it is.
pub(crate) async fn status() -> Result<Status, Exit> {
    match ask(Request::Status).await? {
        Reply::Status(status) => Ok(status),
        other => Err(unexpected(&other)),
    }
}

impl Client {
    /// Connects to the lab of this checkout and asks.
    pub(crate) async fn connect(request: Request) -> Result<Self, Exit> {
        let stream = match Home::here().find()? {
            Found::Lab(stream) => stream,
            none => return Err(missing(&none)),
        };
        Self::over(stream, request).await
    }

    /// Asks the supervisor at the other end.
    pub(crate) async fn over(
        stream: std::os::unix::net::UnixStream,
        request: Request,
    ) -> Result<Self, Exit> {
        stream.set_nonblocking(true).map_err(Exit::lab)?;
        let stream = UnixStream::from_std(stream).map_err(Exit::lab)?;
        let (incoming, mut outgoing) = split(stream);
        // One that is being killed still takes connections for a moment.
        let died = |_| Exit::lab(gone());
        outgoing.send(&ToSupervisor::Hello { protocol: PROTOCOL }).await.map_err(died)?;
        outgoing.send(&ToSupervisor::Ask(request)).await.map_err(died)?;
        Ok(Client { incoming, outgoing })
    }

    /// Waits for the answer and shows what takes a while.
    pub(crate) async fn answer(mut self) -> Result<Reply, Exit> {
        let bars = Arc::new(Bars::default());
        let mut step: Option<Box<dyn Step>> = None;
        loop {
            match self.next().await? {
                ToCommand::Doing(what) => step = Some(bars.begin(&what)),
                ToCommand::Did(result) => match step.take() {
                    Some(step) => step.finish(&result),
                    None => bars.note(&result),
                },
                ToCommand::Done(answer) => {
                    drop(step);
                    return answer.map_err(refused);
                }
                ToCommand::Output { .. } | ToCommand::Taken(_) | ToCommand::Consoles(_) => {}
            }
        }
    }

    /// The next message.
    pub(crate) async fn next(&mut self) -> Result<ToCommand, Exit> {
        let message = self.incoming.next().await.context("the lab's supervisor")?;
        message.ok_or_else(|| Exit::lab(gone()))
    }
}

/// An answer that was no success.
pub(crate) fn refused(refusal: super::protocol::Refusal) -> Exit {
    Exit { code: refusal.code, error: anyhow!(refusal.message) }
}

pub(crate) fn unexpected(reply: &Reply) -> Exit {
    Exit::lab(anyhow!("the lab's supervisor gave an unexpected answer: {reply:?}"))
}

pub(crate) fn gone() -> anyhow::Error {
    let log = Home::here().log();
    let log = log.display();
    anyhow!("the lab has gone ({log} may say why); `cargo xtask lab down` clears what may be left")
}

/// Why there is no lab to be asked.
pub(crate) fn missing(found: &Found) -> Exit {
    match found {
        Found::Nothing | Found::Lab(_) => {
            Exit::usage(anyhow!("no lab stands here; `cargo xtask lab up` starts one"))
        }
        Found::Busy => Exit::usage(anyhow!("the lab is coming up or going down: wait for that")),
        Found::Ruin(_) => Exit::lab(anyhow!(
            "the lab's supervisor has died ({} may say why); `cargo xtask lab down` clears what is \
             left",
            Home::here().log().display()
        )),
    }
}
