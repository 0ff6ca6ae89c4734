//! A program on a node whose input and output are streams.
//!
//! Both directions are under way only as far as the receiver has room: output waits in the
//! program's own pipe until the caller takes it, input waits here until the program reads it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use model::message::{
    CHUNK_BYTES, Event, INPUT_BYTES, Input, Reply, RequestId, Stream, WindowSize,
};
use nix::libc::SIGKILL;
use tokio::runtime::Handle;

use crate::switchboard::{Call, Incoming, InputWindow};
use crate::{Error, Guest};

/// Bytes of output that may be under way.
const WINDOW: usize = 256 << 10;

/// Most bytes of output that [`Guest::run`] collects.
pub const RAN_BYTES: usize = 16 << 20;

/// How long a node may take to hear that nobody wants its program any more.
const GOODBYE: Duration = Duration::from_secs(30);

/// There is no limit to the life of a program: only its node's death ends the wait for it.
const FOR_EVER: Duration = Duration::MAX;

/// What to run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Exec {
    /// Program and arguments.
    pub command: Vec<String>,
    /// Environment, added to the agent's own.
    pub env: BTreeMap<String, String>,
    /// With a size, the program gets a terminal of its own, on which standard error is output
    /// like any other.
    pub terminal: Option<WindowSize>,
}

impl Exec {
    /// A program on pipes, with nothing in its environment but the agent's own.
    pub fn new<W: Into<String>>(command: impl IntoIterator<Item = W>) -> Exec {
        let command = command.into_iter().map(Into::into).collect();
        Exec { command, ..Exec::default() }
    }
}

/// What a program did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// It wrote to standard output, or to its terminal.
    Stdout(Vec<u8>),
    /// It wrote to standard error.
    Stderr(Vec<u8>),
    /// It ended, by this exit code or 128 + signal; it had written all that came before.
    Exited(i32),
}

/// How a program went.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ran {
    /// Exit code, or 128 + signal.
    pub code: i32,
    /// What it wrote to standard output.
    pub stdout: Vec<u8>,
    /// What it wrote to standard error.
    pub stderr: Vec<u8>,
}

/// A program that runs. It is killed when this is dropped.
///
/// ```no_run
/// # async fn example(guest: &vm::Guest) -> Result<(), vm::Error> {
/// use vm::exec::{Exec, Output};
///
/// let mut sort = guest.exec(Exec::new(["sort"])).await?;
/// let input = sort.input();
/// input.write(b"b\na\n").await?;
/// input.end().await?;
/// while let Output::Stdout(bytes) = sort.next().await? {
///     eprint!("{}", String::from_utf8_lossy(&bytes));
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Running {
    call: Call,
    input: RunningInput,
    /// Bytes that the guest may send and does not know of yet.
    owed: usize,
    exited: Option<i32>,
    over: bool,
}

impl Running {
    pub(crate) fn new(
        guest: Guest,
        call: Call,
        window: Arc<InputWindow>,
        during: String,
    ) -> Running {
        call.grant(WINDOW);
        let input = RunningInput { guest, id: call.id, window, during: during.into() };
        Running { call, input, owed: WINDOW, exited: None, over: false }
    }

    /// What the program does next; when it has ended, its end again. May be dropped and asked
    /// again.
    ///
    /// # Errors
    /// When the program cannot be started, or the guest breaks the rules or dies.
    pub async fn next(&mut self) -> Result<Output, Error> {
        if let Some(code) = self.exited {
            return Ok(Output::Exited(code));
        }
        if self.owed >= WINDOW / 2 {
            self.input.say(Input::Grant(self.owed as u32)).await?;
            self.owed = 0;
        }
        let RunningInput { guest, during, .. } = &self.input;
        let next = async { Ok(self.call.next().await) };
        match guest.life().within(during, FOR_EVER, next).await? {
            Incoming::Event(Event::Output { stream, bytes }) => {
                self.call.grant(bytes.len());
                self.owed += bytes.len();
                Ok(match stream {
                    Stream::Stdout => Output::Stdout(bytes),
                    Stream::Stderr => Output::Stderr(bytes),
                })
            }
            Incoming::Event(event) => Err(guest.wrong(during, format!("{event:?} out of place"))),
            incoming => self.conclude(incoming).map(Output::Exited),
        }
    }

    fn conclude(&mut self, incoming: Incoming) -> Result<i32, Error> {
        let RunningInput { guest, during, .. } = &self.input;
        self.over = matches!(incoming, Incoming::Done(_));
        match guest.conclude(incoming, during)? {
            Reply::Exited { code, .. } => Ok(*self.exited.insert(code)),
            other => Err(guest.wrong(during, format!("{other:?}"))),
        }
    }

    /// What leads to the program: to be used beside [`Running::next`].
    #[must_use]
    pub fn input(&self) -> RunningInput {
        self.input.clone()
    }

    /// The program in the words of an error.
    pub(crate) fn during(&self) -> &str {
        &self.input.during
    }

    /// Waits for the program's end, and collects what it writes until then.
    pub(crate) async fn collect(&mut self) -> Result<Ran, Error> {
        let mut ran = Ran::default();
        self.input.end().await?;
        loop {
            match self.next().await? {
                Output::Stdout(bytes) => ran.stdout.extend(bytes),
                Output::Stderr(bytes) => ran.stderr.extend(bytes),
                Output::Exited(code) => return Ok(Ran { code, ..ran }),
            }
            if ran.stdout.len() + ran.stderr.len() > RAN_BYTES {
                let why = format!("more than {RAN_BYTES} bytes of output");
                return Err(self.input.guest.wrong(&self.input.during, why));
            }
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let input = self.input.clone();
        let kill = async move {
            let RunningInput { guest, id, during, .. } = &input;
            let kill = guest.say(*id, Input::Signal(SIGKILL), during);
            // A node that does not hear it is gone, or broken in a way that others notice.
            let _ = guest.life().within(during, GOODBYE, kill).await;
        };
        // Without a runtime there is nobody who could tell the guest.
        if let (false, Ok(runtime)) = (self.over, Handle::try_current()) {
            runtime.spawn(kill);
        }
    }
}

/// Leads to a program that runs. Cheap to clone; what comes after the program's end goes nowhere.
#[derive(Clone, Debug)]
pub struct RunningInput {
    guest: Guest,
    id: RequestId,
    window: Arc<InputWindow>,
    during: Arc<str>,
}

impl RunningInput {
    /// Writes to the program's standard input, and waits while it does not read. Not to be given
    /// up: what was not written then is lost, and its room with it.
    ///
    /// # Errors
    /// When the guest dies.
    pub async fn write(&self, bytes: &[u8]) -> Result<(), Error> {
        const { assert!(CHUNK_BYTES <= INPUT_BYTES as usize, "a chunk must fit the window") };
        for chunk in bytes.chunks(CHUNK_BYTES) {
            let room = async { Ok(self.window.take(chunk.len() as u32).await) };
            if !self.guest.life().within(&self.during, FOR_EVER, room).await? {
                return Ok(());
            }
            self.say(Input::Bytes(chunk.to_vec())).await?;
        }
        Ok(())
    }

    /// Ends the program's standard input, as Ctrl-D does on a terminal.
    ///
    /// # Errors
    /// When the guest dies.
    pub async fn end(&self) -> Result<(), Error> {
        self.say(Input::End).await
    }

    /// Gives the program's terminal another size.
    ///
    /// # Errors
    /// When the guest dies.
    pub async fn resize(&self, size: WindowSize) -> Result<(), Error> {
        self.say(Input::Resize(size)).await
    }

    /// Sends a signal to the program's process group, and on a terminal to the one in the
    /// foreground, too.
    ///
    /// # Errors
    /// When the guest dies.
    pub async fn signal(&self, number: i32) -> Result<(), Error> {
        self.say(Input::Signal(number)).await
    }

    async fn say(&self, input: Input) -> Result<(), Error> {
        let say = self.guest.say(self.id, input, &self.during);
        self.guest.life().within(&self.during, FOR_EVER, say).await
    }
}
