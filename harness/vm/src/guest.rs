//! The client end of the agent: requests over the virtio-serial port, several at once.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use model::frame::{Decoder, encode};
use model::message::{
    CHUNK_BYTES, Decision, Destination, Event, HandOver, Hello, Input, PROTOCOL, Place, Reply,
    Request, RequestId, ToGuest,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::Mutex;
use tokio::time::timeout;

use crate::Error;
use crate::exec::{Exec, Ran, Running};
use crate::life::Life;
use crate::operation::Operation;
use crate::switchboard::{Call, Heard, Incoming, Noise, Switchboard};

/// How often somebody who talks, but has not said hello, is asked who it is.
const ASK_AGAIN: Duration = Duration::from_secs(5);

/// How often at most.
const MOST_ASKED: u32 = 4;

/// How long it may take to hand a message over to QEMU.
const SEND: Duration = Duration::from_secs(60);

/// What a transfer may take: so long, and a second for each mebibyte.
const TRANSFER: Duration = Duration::from_secs(60);

/// The agent of a node, to be asked for things. Cheap to clone; does not keep the node alive.
#[derive(Clone, Debug)]
pub struct Guest {
    life: Life,
    board: Arc<Switchboard>,
    writer: Arc<Mutex<Writer>>,
}

impl Guest {
    pub(crate) fn new(life: Life, stream: UnixStream) -> Guest {
        let (reader, writer) = stream.into_split();
        let board = Switchboard::new();
        tokio::spawn(listen(reader, Arc::clone(&board)));
        Guest { life, board, writer: Arc::new(Mutex::new(Writer { writer, torn: false })) }
    }

    /// Waits until the agent says hello, and checks that it speaks our protocol.
    pub(crate) async fn greeting(&self, patience: Duration) -> Result<Hello, Error> {
        let hello = self.life.within("boot", patience, self.hello());
        let hello = match hello.await {
            Err(Error::Silent { .. }) if self.board.heard().bytes > 0 => return Err(self.rubbish()),
            other => other?,
        };
        if hello.protocol != PROTOCOL {
            let (node, build) = (self.life.node.to_string(), hello.build);
            return Err(Error::Protocol { node, build, theirs: hello.protocol, ours: PROTOCOL });
        }
        Ok(hello)
    }

    /// Waits for hello. The first one may have come damaged: whoever talks is asked again.
    async fn hello(&self) -> Result<Hello, Error> {
        let mut hello = self.board.hello();
        let ask_again = self.life.pace.on_host(ASK_AGAIN);
        let mut asked = 0;
        loop {
            if let Ok(Ok(hello)) = timeout(ask_again, hello.wait_for(Option::is_some)).await
                && let Some(hello) = hello.clone()
            {
                return Ok(hello);
            }
            if self.board.heard().bytes == 0 {
                continue;
            }
            if asked == MOST_ASKED {
                return Err(self.rubbish());
            }
            asked += 1;
            self.send(&ToGuest::Hello { protocol: PROTOCOL }, "hello").await?;
        }
    }

    fn rubbish(&self) -> Error {
        let Heard { bytes, sample } = self.board.heard();
        let sample = sample.escape_ascii().to_string();
        let (node, console) = (self.life.node.to_string(), self.life.console.tail());
        Error::Rubbish { node, bytes, sample, console }
    }

    /// Asks for something and waits for the answer. `patience`, like every deadline that this
    /// room is given, the request's own too, is what it may take under TCG in real time; it is
    /// scaled by the machine's [`Pace`](crate::accel::Pace).
    ///
    /// # Errors
    /// When the agent answers with a failure, does not answer in time, breaks the rules or dies.
    pub async fn request(&self, request: Request, patience: Duration) -> Result<Reply, Error> {
        let during = describe(&request);
        let work = async {
            let call = self.call(request, 0, &during).await?;
            Ok(self.answer(call, &during).await?.0)
        };
        self.life.within(&during, patience, work).await
    }

    /// Asks for something that is answered by bulk data, of which at most `most_bytes` may come.
    ///
    /// # Errors
    /// As [`Guest::request`], and when more comes.
    pub async fn fetch(
        &self,
        request: Request,
        most_bytes: usize,
        patience: Duration,
    ) -> Result<Vec<u8>, Error> {
        let during = describe(&request);
        let work = async {
            let call = self.call(request, most_bytes, &during).await?;
            Ok(self.answer(call, &during).await?.1)
        };
        self.life.within(&during, patience, work).await
    }

    /// Lets a pod be observed, and waits until it may go on: see [`Event::Looked`].
    ///
    /// # Errors
    /// As [`Guest::request`].
    pub async fn look(
        &self,
        request: Request,
        most_bytes: usize,
        patience: Duration,
    ) -> Result<Sight, Error> {
        let during = describe(&request);
        let work = async {
            let mut call = self.call(request, most_bytes, &during).await?;
            match call.next().await {
                Incoming::Event(Event::Looked) => Ok(call),
                incoming => {
                    self.conclude(incoming, &during)?;
                    Err(self.wrong(&during, "it ends before anything was looked at".to_owned()))
                }
            }
        };
        let call = self.life.within(&during, patience, work).await?;
        Ok(Sight { guest: self.clone(), call, during, patience })
    }

    /// Reads a file of the node, of at most `most_bytes`.
    ///
    /// # Errors
    /// As [`Guest::fetch`].
    pub async fn get(&self, path: impl Into<PathBuf>, most_bytes: usize) -> Result<Vec<u8>, Error> {
        self.fetch(Request::Get { path: path.into() }, most_bytes, transfer(most_bytes)).await
    }

    /// Writes a file of the node.
    ///
    /// # Errors
    /// As [`Guest::request`].
    pub async fn put(&self, path: &Path, mode: u32, content: &[u8]) -> Result<(), Error> {
        let bytes = content.len() as u64;
        let request = Request::Put { path: path.to_owned(), mode, bytes };
        let during = describe(&request);
        let work = async {
            let call = self.call(request, 0, &during).await?;
            for chunk in content.chunks(CHUNK_BYTES) {
                let chunk = ToGuest::Chunk { id: call.id, bytes: chunk.to_vec() };
                self.send(&chunk, &during).await?;
            }
            match self.answer(call, &during).await?.0 {
                Reply::Done => Ok(()),
                other => Err(self.wrong(&during, format!("{other:?}"))),
            }
        };
        self.life.within(&during, transfer(content.len()), work).await
    }

    /// Begins an operation that stops at phases; `patience` is for each wait for its next event.
    ///
    /// # Errors
    /// When the request cannot be sent.
    pub async fn begin(&self, request: Request, patience: Duration) -> Result<Operation, Error> {
        let during = describe(&request);
        let call = self.life.within(&during, patience, self.call(request, 0, &during)).await?;
        Ok(Operation::new(self.clone(), call, during, patience))
    }

    /// Starts a program on the node whose input and output are streams.
    ///
    /// # Errors
    /// When the request cannot be sent. That it cannot be started is told by [`Running::next`].
    pub async fn exec(&self, exec: Exec) -> Result<Running, Error> {
        let Exec { command, env, terminal } = exec;
        let request = Request::Exec { command, env, terminal };
        let during = describe(&request);
        let (call, window) = self.board.open_streams();
        let message = ToGuest::Request { id: call.id, request };
        self.life.within(&during, SEND, self.send(&message, &during)).await?;
        Ok(Running::new(self.clone(), call, window, during))
    }

    /// Runs a program on the node to its end, without input, and collects what it writes: at most
    /// [`RAN_BYTES`](crate::exec::RAN_BYTES) of it. It is killed when it takes longer than
    /// `patience`.
    ///
    /// # Errors
    /// As [`Running::next`], and when it writes more or does not end in time.
    pub async fn run<W: Into<String>>(
        &self,
        command: impl IntoIterator<Item = W>,
        patience: Duration,
    ) -> Result<Ran, Error> {
        let mut running = self.exec(Exec::new(command)).await?;
        let during = running.during().to_owned();
        self.life.within(&during, patience, running.collect()).await
    }

    /// Waits until the node has ended, or its kernel has panicked, and tells how.
    pub async fn ended(&self) -> Error {
        self.life.death("its life").await
    }

    /// What came from the guest that answered nothing.
    #[must_use]
    pub fn noise(&self) -> Noise {
        self.board.noise()
    }

    pub(crate) fn life(&self) -> &Life {
        &self.life
    }

    /// Sends a request; a deadline of its own is scaled for the guest as ours is for the host.
    async fn call(
        &self,
        mut request: Request,
        most_bytes: usize,
        during: &str,
    ) -> Result<Call, Error> {
        if let Some(deadline_ms) = own_deadline(&mut request) {
            let scaled = self.life.pace.in_guest(Duration::from_millis(*deadline_ms));
            *deadline_ms = u64::try_from(scaled.as_millis()).unwrap_or(u64::MAX);
        }
        let call = self.board.open(most_bytes);
        self.send(&ToGuest::Request { id: call.id, request }, during).await?;
        Ok(call)
    }

    /// Collects an answer to its end.
    async fn answer(&self, mut call: Call, during: &str) -> Result<(Reply, Vec<u8>), Error> {
        let mut bulk = Vec::new();
        loop {
            match call.next().await {
                Incoming::Chunk(bytes) => bulk.extend(bytes),
                Incoming::Event(event) => {
                    return Err(self.wrong(during, format!("{event:?} out of place")));
                }
                incoming => return Ok((self.conclude(incoming, during)?, bulk)),
            }
        }
    }

    /// What the end of an answer means.
    pub(crate) fn conclude(&self, incoming: Incoming, during: &str) -> Result<Reply, Error> {
        match incoming {
            Incoming::Done(outcome) => outcome.map_err(|failure| Error::Failure {
                node: self.life.node.to_string(),
                during: during.to_owned(),
                failure: Box::new(failure),
            }),
            Incoming::Excess(what) => Err(self.wrong(during, format!("too many {what}"))),
            Incoming::Event(_) | Incoming::Chunk(_) => {
                Err(self.wrong(during, "it does not end".to_owned()))
            }
        }
    }

    /// Waits for the answer to a request that was made of the node that this one was forked from.
    pub(crate) fn take_over(&self, id: RequestId) -> Call {
        self.board.take_over(id)
    }

    pub(crate) async fn proceed(
        &self,
        id: RequestId,
        decision: Decision,
        during: &str,
    ) -> Result<(), Error> {
        self.send(&ToGuest::Proceed { id, decision }, during).await
    }

    /// Says something to a program that runs by [`Guest::exec`].
    pub(crate) async fn say(&self, id: RequestId, input: Input, during: &str) -> Result<(), Error> {
        self.send(&ToGuest::Input { id, input }, during).await
    }

    pub(crate) fn wrong(&self, during: &str, why: String) -> Error {
        Error::Answer { node: self.life.node.to_string(), during: during.to_owned(), why }
    }

    async fn send(&self, message: &ToGuest, during: &str) -> Result<(), Error> {
        let frame = encode(message).map_err(|error| Error::Host {
            what: format!("send {during} to {}", self.life.node),
            source: io::Error::other(error),
        })?;
        match self.writer.lock().await.send(&frame).await {
            Ok(()) => Ok(()),
            // The other end is QEMU: it is dying, and that is noticed and told elsewhere.
            Err(_) => std::future::pending().await,
        }
    }
}

/// What a guest saw of a pod, on its way. The guest can be asked for other things meanwhile.
#[derive(Debug)]
pub struct Sight {
    guest: Guest,
    call: Call,
    during: String,
    patience: Duration,
}

impl Sight {
    /// Waits until all of it has come, for as long again as the look itself might take.
    ///
    /// # Errors
    /// As [`Guest::fetch`].
    pub async fn bytes(self) -> Result<Vec<u8>, Error> {
        let Sight { guest, call, during, patience } = self;
        let answer = guest.answer(call, &during);
        Ok(guest.life.within(&during, patience, answer).await?.1)
    }
}

#[derive(Debug)]
struct Writer {
    writer: OwnedWriteHalf,
    /// A frame was begun and its sender gave up: the guest must not read on into the next one.
    torn: bool,
}

impl Writer {
    async fn send(&mut self, frame: &[u8]) -> io::Result<()> {
        if std::mem::replace(&mut self.torn, true) {
            self.writer.write_all(&[0]).await?;
        }
        self.writer.write_all(frame).await?;
        self.torn = false;
        Ok(())
    }
}

async fn listen(mut reader: OwnedReadHalf, board: Arc<Switchboard>) {
    let mut decoder = Decoder::default();
    let mut buffer = vec![0; 64 << 10];
    while let Ok(count @ 1..) = reader.read(&mut buffer).await {
        board.push(&mut decoder, &buffer[..count]);
    }
}

fn transfer(bytes: usize) -> Duration {
    TRANSFER + Duration::from_secs((bytes >> 20) as u64)
}

/// The deadline that the guest itself keeps, where a request has one.
fn own_deadline(request: &mut Request) -> Option<&mut u64> {
    match request {
        Request::Run { deadline_ms, .. }
        | Request::AwaitReady { deadline_ms, .. }
        | Request::Checkpoint { deadline_ms, .. }
        | Request::Restore { deadline_ms, .. }
        | Request::RestoreLazily { deadline_ms, .. }
        | Request::HandOver { deadline_ms, .. }
        | Request::Stop { deadline_ms, .. } => Some(deadline_ms),
        _ => None,
    }
}

/// One side of a hand-over in the words of an error.
fn describe_side(side: &HandOver) -> String {
    match side {
        HandOver::Give { archive, .. } => format!("giving {} away", archive.display()),
        HandOver::Take { from, .. } => format!("taking an archive from {from}"),
        HandOver::Lend { archive, .. } => format!("lending {}", archive.display()),
        HandOver::Copy { from, .. } => format!("copying an archive from {from}"),
        HandOver::Serve { archive, .. } => format!("serving pages of {}", archive.display()),
        HandOver::TakeThin { from, .. } => format!("taking a pod before its pages from {from}"),
    }
}

/// A request in the words of an error.
fn describe(request: &Request) -> String {
    match request {
        Request::Ping => "ping".to_owned(),
        Request::Put { path, .. } => format!("put {}", path.display()),
        Request::Get { path } => format!("get {}", path.display()),
        Request::List { path } => format!("list {}", path.display()),
        Request::Run { place: Place::Node, command, .. } => format!("`{}`", command.join(" ")),
        Request::Run { place: Place::Container { pod, container }, command, .. } => {
            format!("`{}` in {pod}/{container}", command.join(" "))
        }
        Request::LoadPolicy { .. } => "load of an AppArmor policy".to_owned(),
        Request::Start { pod } => format!("start of pod {}", pod.name),
        Request::AwaitReady { pod, container, .. } => format!("wait for {pod}/{container}"),
        Request::Checkpoint { pod, .. } => format!("checkpoint of pod {pod}"),
        Request::PreDump { pod, .. } => format!("pre-dump of pod {pod}"),
        Request::RestoreLazily { archive, .. } => {
            format!("restore of {} before its pages", archive.display())
        }
        Request::Restore { archive, destination: Destination::Into(pod), .. } => {
            format!("restore of {} into pod {pod}", archive.display())
        }
        Request::Restore { archive, .. } => format!("restore of {}", archive.display()),
        Request::WaitAt { .. } => "order to wait at a mark".to_owned(),
        Request::Recover { .. } => "recovery".to_owned(),
        Request::Remove { pod } => format!("removal of pod {pod}"),
        Request::HandOver { side, .. } => describe_side(side),
        Request::Analyse { archive, .. } => format!("analysis of {}", archive.display()),
        Request::Capture { pod } => format!("capture of pod {}", pod.pod),
        Request::Images { pod, .. } => format!("images of pod {}", pod.pod),
        Request::Pages { pod, .. } => format!("pages of pod {}", pod.pod),
        Request::Stop { pod, container, .. } => format!("stop of {pod}/{container}"),
        Request::Shutdown { .. } => "shutdown".to_owned(),
        Request::Prepare => "getting ready for forks".to_owned(),
        Request::Become { identity } => format!("becoming {}", identity.hostname),
        Request::Exec { command, .. } => format!("`{}`", command.join(" ")),
        Request::Panic => "panic".to_owned(),
    }
}
