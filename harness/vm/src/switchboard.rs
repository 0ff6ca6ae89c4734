//! Brings each message from the guest to whoever waits for it.
//!
//! The guest is not trusted. What it may send for a request is capped when the request is made;
//! what nobody waits for is counted and dropped; what is no message at all is counted, too.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use model::frame::{Decoder, FrameError};
use model::message::{Event, Failure, Hello, Reply, RequestId, ToHost};
use tokio::sync::{mpsc, watch};

/// Most events of one operation: steps and phases are a few dozen.
const MAX_EVENTS: usize = 10_000;

/// Bytes that are kept of what came before the first message.
const SAMPLE_BYTES: usize = 64;

/// What came from a guest that was not an answer to anything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Noise {
    /// Frames that were no messages.
    pub damaged_frames: u64,
    /// Messages for requests that nobody had made, or nobody waited for any more.
    pub unknown_ids: u64,
}

/// Something for a request.
#[derive(Debug)]
pub(crate) enum Incoming {
    Event(Event),
    Chunk(Vec<u8>),
    Done(Box<Result<Reply, Failure>>),
    /// More came than was allowed, of this.
    Excess(&'static str),
}

/// Who waits for what.
#[derive(Debug)]
pub(crate) struct Switchboard {
    state: Mutex<State>,
    hello: watch::Sender<Option<Hello>>,
}

#[derive(Debug, Default)]
struct State {
    last_id: RequestId,
    lines: HashMap<RequestId, Line>,
    noise: Noise,
    heard: Heard,
}

/// What came before the first message.
#[derive(Clone, Debug, Default)]
pub(crate) struct Heard {
    pub(crate) bytes: u64,
    pub(crate) sample: Vec<u8>,
}

#[derive(Debug)]
struct Line {
    inbox: mpsc::UnboundedSender<Incoming>,
    bytes_left: usize,
    events_left: usize,
}

/// The waiting end of a request; nothing more is delivered once it is dropped.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) id: RequestId,
    inbox: mpsc::UnboundedReceiver<Incoming>,
    board: Arc<Switchboard>,
}

impl Call {
    /// What comes next for this request. Waits for ever when the connection is lost.
    pub(crate) async fn next(&mut self) -> Incoming {
        match self.inbox.recv().await {
            Some(incoming) => incoming,
            None => std::future::pending().await,
        }
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        self.board.lock().lines.remove(&self.id);
    }
}

impl Switchboard {
    pub(crate) fn new() -> Arc<Switchboard> {
        let hello = watch::Sender::new(None);
        Arc::new(Switchboard { state: Mutex::default(), hello })
    }

    /// A request is about to be made, whose answer may have so many bytes of bulk data.
    pub(crate) fn open(self: &Arc<Self>, most_bytes: usize) -> Call {
        let (sender, inbox) = mpsc::unbounded_channel();
        let mut state = self.lock();
        let mut id = state.last_id.wrapping_add(1);
        while state.lines.contains_key(&id) {
            id = id.wrapping_add(1);
        }
        state.last_id = id;
        let line = Line { inbox: sender, bytes_left: most_bytes, events_left: MAX_EVENTS };
        state.lines.insert(id, line);
        Call { id, inbox, board: Arc::clone(self) }
    }

    /// Takes in bytes from the guest.
    pub(crate) fn push(&self, decoder: &mut Decoder, bytes: &[u8]) {
        self.listen(bytes);
        for message in decoder.push::<ToHost>(bytes) {
            match message {
                Ok(message) => self.deliver(message),
                Err(FrameError::TooLong | FrameError::Damaged { .. }) => {
                    self.lock().noise.damaged_frames += 1;
                }
            }
        }
    }

    fn listen(&self, bytes: &[u8]) {
        let heard = &mut self.lock().heard;
        heard.bytes += bytes.len() as u64;
        let wanted = SAMPLE_BYTES.saturating_sub(heard.sample.len()).min(bytes.len());
        heard.sample.extend_from_slice(&bytes[..wanted]);
    }

    fn deliver(&self, message: ToHost) {
        match message {
            ToHost::Hello(hello) => {
                self.hello.send_replace(Some(hello));
            }
            ToHost::Event { id, event } => self.forward(id, Incoming::Event(event)),
            ToHost::Chunk { id, bytes } => self.forward(id, Incoming::Chunk(bytes)),
            ToHost::Done { id, outcome } => self.forward(id, Incoming::Done(Box::new(outcome))),
        }
    }

    fn forward(&self, id: RequestId, incoming: Incoming) {
        let mut state = self.lock();
        let Some(line) = state.lines.get_mut(&id) else {
            state.noise.unknown_ids += 1;
            return;
        };
        let incoming = line.admit(incoming);
        let last = matches!(incoming, Incoming::Done(_) | Incoming::Excess(_));
        // A caller that is just giving up needs nothing more.
        let _ = line.inbox.send(incoming);
        if last {
            state.lines.remove(&id);
        }
    }

    /// Who greeted, once somebody has.
    pub(crate) fn hello(&self) -> watch::Receiver<Option<Hello>> {
        self.hello.subscribe()
    }

    /// What came so far, whatever it is, with its first bytes.
    pub(crate) fn heard(&self) -> Heard {
        self.lock().heard.clone()
    }

    pub(crate) fn noise(&self) -> Noise {
        self.lock().noise.clone()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Line {
    /// Takes what is left of the caps, or says that it was too much.
    fn admit(&mut self, incoming: Incoming) -> Incoming {
        match &incoming {
            Incoming::Chunk(bytes) => match self.bytes_left.checked_sub(bytes.len()) {
                Some(left) => self.bytes_left = left,
                None => return Incoming::Excess("bytes"),
            },
            Incoming::Event(_) => match self.events_left.checked_sub(1) {
                Some(left) => self.events_left = left,
                None => return Incoming::Excess("events"),
            },
            Incoming::Done(_) | Incoming::Excess(_) => {}
        }
        incoming
    }
}

#[cfg(test)]
mod tests {
    use model::frame::encode;

    use super::*;

    fn push(board: &Switchboard, messages: &[ToHost]) {
        let mut decoder = Decoder::default();
        for message in messages {
            board.push(&mut decoder, &encode(message).expect("small"));
        }
    }

    fn done(id: RequestId) -> ToHost {
        ToHost::Done { id, outcome: Ok(Reply::Done) }
    }

    #[tokio::test]
    async fn answers_find_their_requests_in_any_order() {
        let board = Switchboard::new();
        let (mut one, mut two) = (board.open(8), board.open(8));
        let chunk = ToHost::Chunk { id: one.id, bytes: vec![7; 8] };
        push(&board, &[done(two.id), chunk, done(one.id)]);
        assert!(matches!(one.next().await, Incoming::Chunk(bytes) if bytes == [7; 8]));
        assert!(matches!(one.next().await, Incoming::Done(_)));
        assert!(matches!(two.next().await, Incoming::Done(_)));
        assert_eq!(board.noise(), Noise::default());
    }

    #[tokio::test]
    async fn more_than_allowed_ends_the_request() {
        let board = Switchboard::new();
        let mut call = board.open(9);
        let chunk = ToHost::Chunk { id: call.id, bytes: vec![7; 5] };
        push(&board, &[chunk.clone(), chunk.clone(), chunk]);
        assert!(matches!(call.next().await, Incoming::Chunk(_)));
        assert!(matches!(call.next().await, Incoming::Excess("bytes")));
        assert_eq!(board.noise().unknown_ids, 1);
    }

    #[test]
    fn what_nobody_waits_for_is_counted_and_dropped() {
        let board = Switchboard::new();
        let id = board.open(0).id;
        push(&board, &[done(id), done(77)]);
        board.push(&mut Decoder::default(), b"rubbish\0rubbish\0");
        assert_eq!(board.noise(), Noise { damaged_frames: 2, unknown_ids: 2 });
        assert!(board.lock().lines.is_empty());
    }
}
