//! A program on a node, with this command's standard input and output as its own.
//!
//! Input and output wait for each other nowhere: input goes out only as far as the program has
//! taken some, output comes in only as far as it was written on, and signals always get through.

use std::io::{Read as _, Write as _};
use std::thread;

use model::message::{INPUT_BYTES, Input, Stream};
use nix::libc::{SIGINT, SIGKILL};
use tokio::sync::mpsc::{self, Receiver, Sender};

use super::client::{Client, refused, unexpected};
use super::connection::{CHUNK_BYTES, Incoming};
use super::protocol::{Reply, ToCommand, ToSupervisor};
use super::signals::{Heard, Signals};
use super::terminal::{self, Keys};
use crate::status::Exit;

/// Pieces of a stream that may wait.
const WAITING: usize = 4;

/// The exit code of a program whose reader has gone: 128 + SIGPIPE.
pub(crate) const NO_READER: i32 = 141;

/// The exit code of a session that the user has left, as ssh(1) has it.
pub(crate) const LEFT: i32 = 255;

/// A piece of what a program wrote.
pub(crate) type Written = (Stream, Vec<u8>);

/// What a program reads, and where it writes to.
#[derive(Debug)]
pub(crate) struct Ends {
    /// Pieces of its input; it ends when this does.
    pub(crate) input: Receiver<Vec<u8>>,
    /// Pieces of its output; when nobody takes them any more, the program is ended.
    pub(crate) output: Sender<Written>,
}

/// A program that runs on a node.
#[derive(Debug)]
pub(crate) struct Session {
    client: Client,
    ends: Ends,
    signals: Signals,
    /// Looks for the keys that leave, when the program has the user's terminal.
    keys: Option<Keys>,
    interrupted: bool,
    reading: bool,
    /// Input that the program has no room for yet.
    held: Vec<u8>,
    credit: usize,
}

enum Happened {
    Signal(Heard),
    Read(Option<Vec<u8>>),
    Told(ToCommand),
    NoReader,
}

impl Session {
    /// A program that was just asked for; `raw` when it has the user's terminal.
    pub(crate) fn new(client: Client, ends: Ends, raw: bool) -> Result<Self, Exit> {
        Ok(Session {
            client,
            ends,
            signals: Signals::listen().map_err(Exit::lab)?,
            keys: raw.then(Keys::new),
            interrupted: false,
            reading: true,
            held: Vec::new(),
            credit: INPUT_BYTES as usize,
        })
    }

    /// Goes along with the program to its end; its exit code.
    pub(crate) async fn end(mut self) -> Result<i32, Exit> {
        loop {
            let may_read = self.reading && self.held.is_empty();
            let Session { client, ends, signals, .. } = &mut self;
            let happened = tokio::select! {
                heard = signals.next() => Happened::Signal(heard),
                piece = ends.input.recv(), if may_read => Happened::Read(piece),
                told = told(&mut client.incoming, &ends.output) => told?,
            };
            if let Some(code) = self.go_on(happened).await? {
                return Ok(code);
            }
        }
    }

    async fn go_on(&mut self, happened: Happened) -> Result<Option<i32>, Exit> {
        match happened {
            Happened::Signal(Heard::Resize) => self.send(Input::Resize(terminal::size())).await,
            // The terminal is given back first; who leaves ends the program.
            Happened::Signal(Heard::Signal(signal)) if self.keys.is_some() => {
                return Ok(Some(128 + signal));
            }
            Happened::Signal(Heard::Signal(signal)) => self.pass_on(signal).await,
            Happened::Read(Some(piece)) => return Ok(self.read(piece).await),
            Happened::Read(None) => {
                self.reading = false;
                self.send(Input::End).await;
            }
            Happened::Told(ToCommand::Output { stream, bytes }) => {
                // There is room: nobody else sends, and that there was some has been waited for.
                return Ok(self.ends.output.try_send((stream, bytes)).err().map(|_| NO_READER));
            }
            Happened::Told(ToCommand::Taken(bytes)) => {
                self.credit += bytes as usize;
                self.feed().await;
            }
            Happened::Told(ToCommand::Done(Ok(Reply::Exited(code)))) => return Ok(Some(code)),
            Happened::Told(ToCommand::Done(Ok(other))) => return Err(unexpected(&other)),
            Happened::Told(ToCommand::Done(Err(refusal))) => return Err(refused(refusal)),
            // Nothing else is said about a program.
            Happened::Told(_) => {}
            Happened::NoReader => return Ok(Some(NO_READER)),
        }
        Ok(None)
    }

    /// The user's signals are the program's. Whoever interrupts again wants it to end.
    async fn pass_on(&mut self, signal: i32) {
        let again = signal == SIGINT && std::mem::replace(&mut self.interrupted, true);
        self.send(Input::Signal(if again { SIGKILL } else { signal })).await;
    }

    async fn read(&mut self, piece: Vec<u8>) -> Option<i32> {
        let (piece, leave) = match &mut self.keys {
            Some(keys) => keys.filter(&piece),
            None => (piece, false),
        };
        self.held = piece;
        self.feed().await;
        leave.then_some(LEFT)
    }

    /// Sends as much input as the program has room for.
    async fn feed(&mut self) {
        while !self.held.is_empty() && self.credit > 0 {
            let count = self.held.len().min(self.credit).min(CHUNK_BYTES);
            let rest = self.held.split_off(count);
            let piece = std::mem::replace(&mut self.held, rest);
            self.credit -= count;
            self.send(Input::Bytes(piece)).await;
        }
    }

    async fn send(&mut self, input: Input) {
        // A program that has ended takes nothing; what became of it is on its way to us.
        let _ = self.client.outgoing.send(&ToSupervisor::Input(input)).await;
    }
}

/// The next message, once there is room for what it may bring.
async fn told(
    incoming: &mut Incoming<ToCommand>,
    output: &Sender<Written>,
) -> Result<Happened, Exit> {
    if output.reserve().await.is_err() {
        return Ok(Happened::NoReader);
    }
    let message = incoming.next().await?;
    message.map(Happened::Told).ok_or_else(|| Exit::lab(super::client::gone()))
}

/// Standard input, in pieces. The thread that reads it ends with the process: nothing else wakes
/// a read from a terminal.
pub(crate) fn standard_input() -> Receiver<Vec<u8>> {
    let (sender, receiver) = mpsc::channel(1);
    thread::spawn(move || {
        let (mut stdin, mut buffer) = (std::io::stdin().lock(), vec![0; CHUNK_BYTES]);
        while let Ok(count @ 1..) = stdin.read(&mut buffer)
            && sender.blocking_send(buffer[..count].to_vec()).is_ok()
        {}
    });
    receiver
}

/// Standard output and error, in pieces; the thread ends when all is written, or cannot be.
pub(crate) fn standard_output() -> (Sender<Written>, thread::JoinHandle<()>) {
    let (sender, mut receiver) = mpsc::channel::<Written>(WAITING);
    let writer = thread::spawn(move || {
        while let Some((stream, bytes)) = receiver.blocking_recv() {
            let (mut stdout, mut stderr) = (std::io::stdout(), std::io::stderr());
            let written = match stream {
                Stream::Stdout => stdout.write_all(&bytes).and_then(|()| stdout.flush()),
                Stream::Stderr => stderr.write_all(&bytes),
            };
            if written.is_err() {
                return;
            }
        }
    });
    (sender, writer)
}

#[cfg(test)]
mod tests {
    use tokio::net::UnixStream;

    use super::super::connection::{Outgoing, split};
    use super::*;

    /// A session whose input is `input`, and the supervisor's ends of its connection.
    fn session(
        input: Vec<u8>,
    ) -> (Session, Receiver<Written>, Incoming<ToSupervisor>, Outgoing<ToCommand>) {
        let (ours, theirs) = UnixStream::pair().expect("sockets");
        let (incoming, outgoing) = split(ours);
        let (feeder, fed) = mpsc::channel(1);
        feeder.try_send(input).expect("room");
        let (output, written) = mpsc::channel(1);
        let ends = Ends { input: fed, output };
        let session = Session::new(Client { incoming, outgoing }, ends, false).expect("signals");
        let (incoming, outgoing) = split(theirs);
        (session, written, incoming, outgoing)
    }

    #[tokio::test]
    async fn no_more_input_is_under_way_than_was_granted() {
        let granted = INPUT_BYTES as usize;
        let (session, _written, mut asked, mut answer) = session(vec![7; granted + 5]);
        let supervisor = async {
            let (mut came, mut ended) = (0, false);
            while !ended {
                match asked.next().await.expect("messages") {
                    Some(ToSupervisor::Input(Input::Bytes(bytes))) => came += bytes.len(),
                    Some(ToSupervisor::Input(Input::End)) => ended = true,
                    other => panic!("{other:?}"),
                }
                if came == granted {
                    answer.send(&ToCommand::Taken(5)).await.expect("sent");
                }
                assert!(came <= granted + 5);
            }
            answer.send(&ToCommand::Done(Ok(Reply::Exited(7)))).await.expect("sent");
            came
        };
        let (code, came) = tokio::join!(session.end(), supervisor);
        assert_eq!((code.expect("an end"), came), (7, granted + 5));
    }

    #[tokio::test]
    async fn output_waits_for_its_reader_and_the_end_comes_after_it() {
        let (session, mut written, _asked, mut answer) = session(Vec::new());
        let supervisor = async {
            for number in 0..100_u8 {
                let output = ToCommand::Output { stream: Stream::Stderr, bytes: vec![number] };
                answer.send(&output).await.expect("sent");
            }
            answer.send(&ToCommand::Done(Ok(Reply::Exited(0)))).await.expect("sent");
        };
        let reader = async {
            let mut read = Vec::new();
            while let Some((_, bytes)) = written.recv().await {
                read.extend(bytes);
            }
            read
        };
        let (code, (), read) = tokio::join!(session.end(), supervisor, reader);
        assert_eq!((code.expect("an end"), read.len(), read[99]), (0, 100, 99));
    }

    #[tokio::test]
    async fn a_reader_that_has_gone_ends_the_session() {
        let (session, written, _asked, _answer) = session(Vec::new());
        drop(written);
        assert_eq!(session.end().await.expect("an end"), NO_READER);
    }
}
