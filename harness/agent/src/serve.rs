//! Reads what the host asks, and lets each request be answered by a thread of its own.

use std::any::Any;
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::fs::File;
use std::io::Read;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::sync::{Arc, Mutex};

use anyhow::{Context, bail, ensure};
use model::frame::Decoder;
use model::message::{Decision, Event, Failure, Input, Reply, Request, RequestId, ToGuest, ToHost};

use crate::mailbox::Mailbox;
use crate::node::Node;
use crate::powers;
use crate::sync::lock;
use crate::{failure, kmsg, port};

/// So many chunks of a file may wait for the disk; then the host waits.
const WAITING_CHUNKS: usize = 8;

/// Requests under way, by their number.
#[derive(Debug, Default)]
pub(crate) struct Requests {
    lines: Mutex<BTreeMap<RequestId, Line>>,
}

/// How what the host says later reaches a request's thread.
#[derive(Clone, Debug)]
enum Line {
    Chunks(SyncSender<Vec<u8>>),
    Inputs(Arc<Mailbox>),
    Decisions(Sender<Decision>),
}

/// The other end of a [`Line`].
#[derive(Debug)]
enum Inbox {
    Chunks(Receiver<Vec<u8>>),
    Inputs(Arc<Mailbox>),
    Decisions(Receiver<Decision>),
}

/// A request while it is being answered.
#[derive(Debug)]
pub(crate) struct Call<'a> {
    /// The node.
    pub(crate) node: &'a Node,
    id: RequestId,
    inbox: Inbox,
}

impl Call<'_> {
    /// The request's number, unique among those under way.
    pub(crate) fn id(&self) -> RequestId {
        self.id
    }

    /// Sends bytes of the answer.
    pub(crate) fn send_chunk(&self, bytes: Vec<u8>) {
        self.node.outbox.send(ToHost::Chunk { id: self.id, bytes });
    }

    /// Tells an event.
    pub(crate) fn send_event(&self, event: Event) {
        self.node.outbox.send(ToHost::Event { id: self.id, event });
    }

    /// The next bytes that belong to the request.
    pub(crate) fn chunks(&self) -> anyhow::Result<&Receiver<Vec<u8>>> {
        match &self.inbox {
            Inbox::Chunks(chunks) => Ok(chunks),
            _ => bail!("this request takes no bytes"),
        }
    }

    /// What the host says to the program of the request.
    pub(crate) fn mailbox(&self) -> anyhow::Result<Arc<Mailbox>> {
        match &self.inbox {
            Inbox::Inputs(mailbox) => Ok(Arc::clone(mailbox)),
            _ => bail!("this request takes no input"),
        }
    }

    /// Waits for the host's decision at a phase.
    pub(crate) fn decision(&self) -> anyhow::Result<Decision> {
        match &self.inbox {
            Inbox::Decisions(decisions) => Ok(decisions.recv()?),
            _ => bail!("this request has no phases"),
        }
    }
}

/// Serves for ever.
pub(crate) fn serve(node: &Arc<Node>, mut port: File) -> anyhow::Result<Infallible> {
    let presence = port::Presence::of(&port)?;
    let mut decoder = Decoder::default();
    let mut buffer = vec![0; 64 << 10];
    loop {
        let count = port.read(&mut buffer).context("cannot read from the host's port")?;
        if count == 0 {
            presence.wait()?;
        }
        for message in decoder.push(&buffer[..count]) {
            match message {
                Ok(message) => take(node, message),
                Err(error) => kmsg::error(&format!("from the host: {error}")),
            }
        }
    }
}

fn take(node: &Arc<Node>, message: ToGuest) {
    match message {
        ToGuest::Hello { .. } => {
            node.requests.abandon();
            node.outbox.send(ToHost::Hello(node.hello.clone()));
        }
        ToGuest::Request { id, request } => begin(node, id, request),
        // What belongs to no request under way came too late: its answer says why.
        ToGuest::Chunk { id, bytes } => {
            if let Some(Line::Chunks(chunks)) = node.requests.line(id) {
                let _ = chunks.send(bytes);
            }
        }
        ToGuest::Input { id, input } => {
            if let Some(Line::Inputs(mailbox)) = node.requests.line(id) {
                mailbox.put(input);
            }
        }
        ToGuest::Proceed { id, decision } => {
            if let Some(Line::Decisions(decisions)) = node.requests.line(id) {
                let _ = decisions.send(decision);
            }
        }
    }
}

fn begin(node: &Arc<Node>, id: RequestId, request: Request) {
    let inbox = match node.requests.open(id, &request) {
        Ok(inbox) => inbox,
        Err(error) => return done(node, id, Err(failure::from_error(error))),
    };
    let worker = Arc::clone(node);
    let answer = move || answer(&worker, id, inbox, request);
    if let Err(error) = std::thread::Builder::new().name(format!("request {id}")).spawn(answer) {
        node.requests.close(id);
        done(node, id, Err(Failure::broken(format!("cannot start a thread: {error}"))));
    }
}

fn answer(node: &Arc<Node>, id: RequestId, inbox: Inbox, request: Request) {
    let leaving = if let Request::Shutdown { how } = request { Some(how) } else { None };
    let call = Call { node, id, inbox };
    let result = catch_unwind(AssertUnwindSafe(|| powers::carry_out(&call, request)));
    let outcome = match result {
        Ok(result) => result.map_err(failure::from_error),
        Err(panic) => Err(Failure::broken(format!("the agent panicked: {}", words(&*panic)))),
    };
    node.requests.close(id);
    let succeeded = outcome.is_ok();
    done(node, id, outcome);
    if let (Some(how), true) = (leaving, succeeded) {
        node.outbox.flush();
        powers::shutdown::leave(how);
    }
    // The host has its answer, and thinks about it.
    node.engines.refill();
}

fn done(node: &Node, id: RequestId, outcome: Result<Reply, Failure>) {
    node.outbox.send(ToHost::Done { id, outcome });
}

fn words(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("no words")
}

impl Requests {
    /// Opens a line to a new request, whose number must not be taken.
    fn open(&self, id: RequestId, request: &Request) -> anyhow::Result<Inbox> {
        let mut lines = lock(&self.lines);
        ensure!(!lines.contains_key(&id), "request {id} is under way already");
        let (line, inbox) = match request {
            Request::Put { .. } => {
                let (sender, receiver) = sync_channel(WAITING_CHUNKS);
                (Line::Chunks(sender), Inbox::Chunks(receiver))
            }
            Request::Exec { .. } => {
                let mailbox = Arc::new(Mailbox::new().context("cannot make a mailbox")?);
                (Line::Inputs(Arc::clone(&mailbox)), Inbox::Inputs(mailbox))
            }
            _ => {
                let (sender, receiver) = channel();
                (Line::Decisions(sender), Inbox::Decisions(receiver))
            }
        };
        lines.insert(id, line);
        Ok(inbox)
    }

    /// Ends the programs that belong to a host who is gone: whoever greets knows nothing of them.
    fn abandon(&self) {
        for line in lock(&self.lines).values() {
            if let Line::Inputs(mailbox) = line {
                mailbox.put(Input::Signal(libc::SIGKILL));
            }
        }
    }

    fn line(&self, id: RequestId) -> Option<Line> {
        lock(&self.lines).get(&id).cloned()
    }

    fn close(&self, id: RequestId) {
        lock(&self.lines).remove(&id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_under_way_is_taken_until_it_is_closed() {
        let requests = Requests::default();
        let inbox = requests.open(3, &Request::Panic);
        assert!(inbox.is_ok());
        let error = requests.open(3, &Request::Ping).expect_err("taken");
        assert_eq!(error.to_string(), "request 3 is under way already");
        requests.close(3);
        assert!(requests.open(3, &Request::Ping).is_ok());
    }

    #[test]
    fn a_new_host_ends_the_programs_of_the_old_one() {
        let requests = Requests::default();
        let (command, env) = Default::default();
        let exec = Request::Exec { command, env, terminal: None };
        let Ok(Inbox::Inputs(mailbox)) = requests.open(3, &exec) else { panic!("no mailbox") };
        requests.abandon();
        assert_eq!(mailbox.take(), [Input::Signal(libc::SIGKILL)]);
    }
}
