//! Doors for the fuzzer (`fuzz/`): each takes any bytes as what a guest sends, and checks what must
//! hold whatever they are. Nothing here belongs to the public face.
//!
//! The corpus in `fuzz/corpus` is replayed by a test, too, which needs no fuzzer.

use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use model::frame::{Decoder, encode};
use model::message::{Event, ToHost};
use tokio::io::AsyncWriteExt;
use tokio::net::UnixStream;

pub use crate::console::fuzzing::console;
pub use crate::disk::fuzzing::disk;
pub use crate::wire::fuzzing::wire;

use crate::qmp::Monitor;
use crate::switchboard::{Call, Incoming, Switchboard};

/// What the requests allow on which [`agent_port`] lets the guest answer.
const ALLOWED: usize = 8;

/// Bytes that decide about something, taken from the front.
#[derive(Debug)]
pub(crate) struct Source<'a>(pub(crate) &'a [u8]);

impl<'a> Source<'a> {
    /// The next bytes; none when there are not so many.
    pub(crate) fn array<const BYTES: usize>(&mut self) -> Option<[u8; BYTES]> {
        let (bytes, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*bytes)
    }

    /// At most so many bytes.
    pub(crate) fn piece(&mut self, most: usize) -> &'a [u8] {
        let (piece, rest) = self.0.split_at(most.min(self.0.len()));
        self.0 = rest;
        piece
    }
}

/// Messages and rubbish on the agent's port, in pieces. A checksum would keep a fuzzer out: so
/// messages come without, are given the number of one of two requests, and are framed here.
pub fn agent_port(data: &[u8]) {
    let board = Switchboard::new();
    let mut decoder = Decoder::default();
    let (mut plain, (mut program, _input)) = (board.open(ALLOWED), board.open_streams());
    program.grant(ALLOWED);
    let ids = [plain.id, program.id, plain.id.wrapping_add(7)];
    let (mut plain_left, mut program_left) = (Some(ALLOWED), Some(ALLOWED));
    let mut source = Source(data);
    while let Some([kind, length]) = source.array() {
        let piece = source.piece(length.into());
        match postcard::from_bytes(piece) {
            Ok(message) if kind & 1 == 0 => {
                let frame = encode(&addressed(message, ids[usize::from(kind >> 1) % 3]));
                frame.iter().for_each(|frame| board.push(&mut decoder, frame));
            }
            _ => board.push(&mut decoder, piece),
        }
        drain(&mut plain, &mut plain_left, false);
        drain(&mut program, &mut program_left, true);
    }
}

fn addressed(mut message: ToHost, number: u32) -> ToHost {
    match &mut message {
        ToHost::Event { id, .. } | ToHost::Chunk { id, .. } | ToHost::Done { id, .. } => {
            *id = number;
        }
        ToHost::Hello(_) => {}
    }
    message
}

/// Takes what has come for a request: no more than was allowed, and nothing after its end.
fn drain(call: &mut Call, left: &mut Option<usize>, is_program: bool) {
    while let Some(incoming) = now(call.next()) {
        let allowed = left.expect("nothing comes after the end");
        *left = match incoming {
            Incoming::Chunk(bytes) => Some(bytes.len().max(1)),
            Incoming::Event(Event::Output { bytes, .. }) if is_program => Some(bytes.len().max(1)),
            // They are bounded, too, but by more than what a fuzzer's input can reach.
            Incoming::Event(_) => Some(0),
            Incoming::Done(_) | Incoming::Excess(_) => None,
        }
        .map(|bytes| allowed.checked_sub(bytes).expect("no more comes than was allowed"));
    }
}

/// The result of a future that is ready.
fn now<T>(future: impl Future<Output = T>) -> Option<T> {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => Some(value),
        Poll::Pending => None,
    }
}

/// Whatever a monitor says, and then it is gone: whoever asks it gets an answer or an error.
///
/// # Panics
/// When the host has no sockets.
pub fn monitor(data: &[u8]) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build();
    runtime.expect("a runtime").block_on(async {
        let (ours, mut theirs) = UnixStream::pair().expect("a socket pair");
        let say = async {
            // The peer may have had enough of it.
            let _ = theirs.write_all(data).await;
            drop(theirs);
        };
        let ask = async {
            let monitor = Monitor::greet("node", ours).await?;
            while monitor.status().await.is_ok() {}
            Ok::<_, crate::Error>(monitor.shutdown_reason())
        };
        let ((), _answer) = tokio::join!(say, ask);
    });
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    type Door = (&'static str, fn(&[u8]));

    #[test]
    fn the_corpus_of_the_fuzzer_does_no_harm() {
        let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus");
        let doors: [Door; 5] = [
            ("agent_port", super::agent_port),
            ("console", super::console),
            ("disk", super::disk),
            ("monitor", super::monitor),
            ("wire", super::wire),
        ];
        for (name, door) in doors {
            let files = std::fs::read_dir(corpus.join(name)).expect("a corpus");
            let inputs = files.map(|it| std::fs::read(it.expect("an entry").path()));
            inputs.for_each(|input| door(&input.expect("a file")));
        }
    }
}
