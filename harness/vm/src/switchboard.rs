//! Brings each message from the guest to whoever waits for it.
//!
//! The guest is not trusted. What it may send for a request is capped when the request is made;
//! what nobody waits for is counted and dropped; what is no message at all is counted, too.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use model::frame::{Decoder, FrameError};
use model::message::{Event, Failure, Hello, INPUT_BYTES, Reply, RequestId, ToHost};
use tokio::sync::{Semaphore, mpsc, watch};

/// Most bytes of the events of one operation: steps and phases are a few dozen, and small.
const EVENT_BYTES: usize = 4 << 20;

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
    event_bytes_left: usize,
    /// For programs whose input and output are streams.
    streams: Option<Streams>,
}

/// What may be under way between a program and its caller.
#[derive(Debug)]
struct Streams {
    /// Bytes of output that the guest may still send.
    output_left: usize,
    input: Arc<InputWindow>,
}

/// Bytes of input that may be sent to a program; closed when the request is over.
#[derive(Debug)]
pub(crate) struct InputWindow {
    free: Semaphore,
    under_way: AtomicU32,
}

impl InputWindow {
    fn new() -> Arc<InputWindow> {
        let free = Semaphore::new(INPUT_BYTES as usize);
        Arc::new(InputWindow { free, under_way: AtomicU32::new(0) })
    }

    /// Waits until so many bytes may be sent, which are under way from then on. False when the
    /// program has ended.
    pub(crate) async fn take(&self, bytes: u32) -> bool {
        let Ok(permit) = self.free.acquire_many(bytes).await else { return false };
        permit.forget();
        self.under_way.fetch_add(bytes, Ordering::Relaxed);
        true
    }

    /// The program took so many bytes; false when there were not so many under way.
    fn taken(&self, bytes: u32) -> bool {
        let less = |under_way: u32| under_way.checked_sub(bytes);
        let known = self.under_way.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less).is_ok();
        if known {
            self.free.add_permits(bytes as usize);
        }
        known
    }
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

impl Call {
    /// The guest may send so many bytes of output more.
    pub(crate) fn grant(&self, bytes: usize) {
        if let Some(line) = self.board.lock().lines.get_mut(&self.id)
            && let Some(streams) = &mut line.streams
        {
            streams.output_left += bytes;
        }
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        self.board.lock().lines.remove(&self.id);
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        if let Some(streams) = &self.streams {
            streams.input.free.close();
        }
    }
}

impl Switchboard {
    /// The numbers of requests begin anywhere: in a guest that was forked in the middle of
    /// something, requests of another host are still under way.
    pub(crate) fn new() -> Arc<Switchboard> {
        let last_id = RandomState::new().hash_one(0) as RequestId;
        let state = Mutex::new(State { last_id, ..State::default() });
        Arc::new(Switchboard { state, hello: watch::Sender::new(None) })
    }

    /// A request is about to be made, whose answer may have so many bytes of bulk data.
    pub(crate) fn open(self: &Arc<Self>, most_bytes: usize) -> Call {
        self.connect(most_bytes, None)
    }

    /// The same for a program whose input and output are streams.
    pub(crate) fn open_streams(self: &Arc<Self>) -> (Call, Arc<InputWindow>) {
        let input = InputWindow::new();
        let streams = Streams { output_left: 0, input: Arc::clone(&input) };
        (self.connect(0, Some(streams)), input)
    }

    /// A request without bulk data that was made through another switchboard, of a guest that was
    /// forked since.
    pub(crate) fn take_over(self: &Arc<Self>, id: RequestId) -> Call {
        let (line, inbox) = Line::new(0, None);
        self.lock().lines.insert(id, line);
        Call { id, inbox, board: Arc::clone(self) }
    }

    fn connect(self: &Arc<Self>, bytes_left: usize, streams: Option<Streams>) -> Call {
        let (line, inbox) = Line::new(bytes_left, streams);
        let mut state = self.lock();
        let mut id = state.last_id.wrapping_add(1);
        while state.lines.contains_key(&id) {
            id = id.wrapping_add(1);
        }
        state.last_id = id;
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
        let Some(incoming) = line.admit(incoming) else { return };
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
    fn new(
        bytes_left: usize,
        streams: Option<Streams>,
    ) -> (Line, mpsc::UnboundedReceiver<Incoming>) {
        let (inbox, outbox) = mpsc::unbounded_channel();
        (Line { inbox, bytes_left, event_bytes_left: EVENT_BYTES, streams }, outbox)
    }

    /// Takes what is left of the caps, or says that it was too much. What concerns the streams
    /// alone is done with.
    fn admit(&mut self, incoming: Incoming) -> Option<Incoming> {
        let within = |left: &mut usize, count: usize| {
            left.checked_sub(count).map(|less| *left = less).is_some()
        };
        let (fits, what) = match (&incoming, &mut self.streams) {
            // Even an empty piece costs something here, and below.
            (Incoming::Chunk(bytes), _) => {
                (within(&mut self.bytes_left, bytes.len().max(1)), "bytes")
            }
            (Incoming::Event(Event::Taken { bytes }), Some(streams)) => {
                if streams.input.taken(*bytes) {
                    return None;
                }
                (false, "bytes taken")
            }
            (Incoming::Event(Event::Output { bytes, .. }), Some(streams)) => {
                (within(&mut streams.output_left, bytes.len().max(1)), "bytes of output")
            }
            (Incoming::Event(event), _) => {
                (within(&mut self.event_bytes_left, weight(event)), "bytes of events")
            }
            (Incoming::Done(_) | Incoming::Excess(_), _) => (true, ""),
        };
        Some(if fits { incoming } else { Incoming::Excess(what) })
    }
}

/// About what an event costs as long as nobody takes it.
fn weight(event: &Event) -> usize {
    let more = match event {
        Event::Step { name, .. } => name.len(),
        Event::Phase { pids, images, .. } => {
            size_of_val(pids.as_slice()) + images.as_ref().map_or(0, |path| path.as_os_str().len())
        }
        Event::Output { bytes, .. } => bytes.len(),
        Event::Taken { .. } | Event::Looked | Event::Waits { .. } => 0,
    };
    size_of::<Incoming>() + more
}

#[cfg(test)]
mod tests {
    use model::frame::encode;
    use model::message::Stream;

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

    #[tokio::test]
    async fn events_that_nobody_takes_cost_bounded_memory() {
        let board = Switchboard::new();
        let mut call = board.open(0);
        let event = Event::Step { name: "x".repeat(100 << 10), at_ns: 0 };
        push(&board, &vec![ToHost::Event { id: call.id, event }; 100]);
        for _ in 0..EVENT_BYTES / (101 << 10) {
            assert!(matches!(call.next().await, Incoming::Event(_)));
        }
        assert!(matches!(call.next().await, Incoming::Excess("bytes of events")));
    }

    fn output(id: RequestId, bytes: usize) -> ToHost {
        let event = Event::Output { stream: Stream::Stdout, bytes: vec![7; bytes] };
        ToHost::Event { id, event }
    }

    #[tokio::test]
    async fn output_that_was_not_granted_ends_the_request() {
        let board = Switchboard::new();
        let (mut call, input) = board.open_streams();
        call.grant(5);
        push(&board, &[output(call.id, 4), output(call.id, 1), output(call.id, 0)]);
        for _ in 0..2 {
            assert!(matches!(call.next().await, Incoming::Event(Event::Output { .. })));
        }
        assert!(matches!(call.next().await, Incoming::Excess("bytes of output")));
        assert!(!input.take(1).await);
    }

    #[tokio::test]
    async fn input_is_sent_as_far_as_it_was_taken() {
        let board = Switchboard::new();
        let (mut call, input) = board.open_streams();
        assert!(input.take(INPUT_BYTES).await);
        let taken = |bytes| ToHost::Event { id: call.id, event: Event::Taken { bytes } };
        push(&board, &[taken(INPUT_BYTES - 1), taken(1)]);
        assert!(input.take(INPUT_BYTES).await);
        push(&board, &[taken(INPUT_BYTES), taken(1)]);
        assert!(matches!(call.next().await, Incoming::Excess("bytes taken")));
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
