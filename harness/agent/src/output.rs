//! What a process wrote to its standard output and error: the end of it, kept for later.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, ErrorKind, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::sync::{Bell, lock, wait_while};

/// Most bytes that are kept of one stream.
const KEPT_BYTES: usize = 1 << 20;

/// The last bytes of a stream.
#[derive(Debug, Default)]
pub(crate) struct Tail(VecDeque<u8>);

impl Tail {
    /// Adds to the end, and forgets what is too old.
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        let bytes = &bytes[bytes.len().saturating_sub(KEPT_BYTES)..];
        let excess = (self.0.len() + bytes.len()).saturating_sub(KEPT_BYTES);
        self.0.drain(..excess);
        self.0.extend(bytes);
    }

    /// At most the last `bytes` bytes.
    pub(crate) fn last(&self, bytes: usize) -> Vec<u8> {
        self.0.iter().skip(self.0.len().saturating_sub(bytes)).copied().collect()
    }
}

/// At most the last bytes of what was collected elsewhere.
pub(crate) fn last(mut bytes: Vec<u8>, most: usize) -> Vec<u8> {
    bytes.drain(..bytes.len().saturating_sub(most));
    bytes
}

/// Which of the two streams.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// Collects both streams of a process, one thread each.
///
/// Paused, nothing more is taken out of the pipes: what is unread then is the process's state.
#[derive(Debug)]
pub(crate) struct Output {
    stdout: File,
    stderr: File,
    state: Mutex<State>,
    changed: Condvar,
    bell: Arc<Bell>,
}

#[derive(Debug, Default)]
struct State {
    stdout: Tail,
    stderr: Tail,
    paused: bool,
    abandoned: bool,
}

impl Output {
    /// Starts collecting from the reading ends of two pipes.
    pub(crate) fn collect(
        stdout: OwnedFd,
        stderr: OwnedFd,
        paused: bool,
        bell: Arc<Bell>,
    ) -> io::Result<Arc<Output>> {
        for pipe in [&stdout, &stderr] {
            fcntl(pipe, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
        }
        let state = Mutex::new(State { paused, ..State::default() });
        let (stdout, stderr) = (File::from(stdout), File::from(stderr));
        let output = Arc::new(Output { stdout, stderr, state, changed: Condvar::default(), bell });
        for stream in [Stream::Stdout, Stream::Stderr] {
            let collector = Arc::clone(&output);
            let pump = move || collector.pump(stream);
            std::thread::Builder::new().name("output".into()).spawn(pump)?;
        }
        Ok(output)
    }

    /// Takes nothing more out of the pipes from now on.
    pub(crate) fn pause(&self) {
        lock(&self.state).paused = true;
    }

    /// Goes on after a pause.
    pub(crate) fn resume(&self) {
        lock(&self.state).paused = false;
        self.changed.notify_all();
    }

    /// Ends the collecting; what was collected stays, and the pipes close with the last user.
    pub(crate) fn abandon(&self) {
        lock(&self.state).abandoned = true;
        self.changed.notify_all();
    }

    /// Takes what waits in the pipes at this moment: all that a process wrote, once it has ended.
    pub(crate) fn drain(&self) {
        let mut state = lock(&self.state);
        for stream in [Stream::Stdout, Stream::Stderr] {
            while matches!(self.read(stream, &mut state), Ok(1..)) {}
        }
    }

    /// The last bytes of a stream.
    pub(crate) fn last(&self, stream: Stream, bytes: usize) -> Vec<u8> {
        lock(&self.state).tail(stream).last(bytes)
    }

    /// The last bytes of a stream, for people.
    pub(crate) fn text(&self, stream: Stream, bytes: usize) -> String {
        String::from_utf8_lossy(&self.last(stream, bytes)).trim_end().to_owned()
    }

    fn pump(&self, stream: Stream) {
        while self.take(stream) {
            self.bell.ring();
        }
        self.bell.ring();
    }

    /// Waits for bytes and takes them; false at the end. Reading happens under the lock and not
    /// while paused, so that nothing is read any more once [`Output::pause`] has returned.
    fn take(&self, stream: Stream) -> bool {
        let mut waiting = [PollFd::new(self.source(stream).as_fd(), PollFlags::POLLIN)];
        // Whatever poll says: the read below is the judge.
        let _ = poll(&mut waiting, PollTimeout::NONE);
        let mut state = self.running();
        if state.abandoned {
            return false;
        }
        match self.read(stream, &mut state) {
            Ok(count) => count > 0,
            Err(error) => matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted),
        }
    }

    fn read(&self, stream: Stream, state: &mut State) -> io::Result<usize> {
        let mut buffer = [0; 16 << 10];
        let count = self.source(stream).read(&mut buffer)?;
        state.tail(stream).push(&buffer[..count]);
        Ok(count)
    }

    fn source(&self, stream: Stream) -> &File {
        match stream {
            Stream::Stdout => &self.stdout,
            Stream::Stderr => &self.stderr,
        }
    }

    fn running(&self) -> MutexGuard<'_, State> {
        let state = lock(&self.state);
        wait_while(&self.changed, state, |state| state.paused && !state.abandoned)
    }
}

impl State {
    fn tail(&mut self, stream: Stream) -> &mut Tail {
        match stream {
            Stream::Stdout => &mut self.stdout,
            Stream::Stderr => &mut self.stderr,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::time::Duration;

    use super::*;

    struct Fixture {
        bell: Arc<Bell>,
        output: Arc<Output>,
        writer: io::PipeWriter,
    }

    fn fixture() -> Fixture {
        let bell = Arc::new(Bell::default());
        let (stdout, writer) = io::pipe().expect("a pipe");
        let (stderr, _) = io::pipe().expect("a pipe");
        let output = Output::collect(stdout.into(), stderr.into(), false, Arc::clone(&bell))
            .expect("threads");
        Fixture { bell, output, writer }
    }

    impl Fixture {
        fn awaits(&self, text: &str) -> bool {
            let seen = || self.output.text(Stream::Stdout, 99).contains(text).then_some(());
            self.bell.until(Duration::from_secs(30), Duration::from_secs(1), seen).is_some()
        }
    }

    #[test]
    fn the_end_of_a_long_stream_is_kept() {
        let mut tail = Tail::default();
        tail.push(&vec![b'a'; KEPT_BYTES]);
        tail.push(b"end");
        assert_eq!(tail.last(5), b"aaend");
        assert_eq!(tail.last(usize::MAX).len(), KEPT_BYTES);
        tail.push(&vec![b'b'; 2 * KEPT_BYTES]);
        assert_eq!(tail.last(usize::MAX), vec![b'b'; KEPT_BYTES]);
    }

    #[test]
    fn nothing_is_read_while_paused_and_all_of_it_afterwards() {
        let mut fixture = fixture();
        fixture.writer.write_all(b"before").expect("room in the pipe");
        assert!(fixture.awaits("before"));
        fixture.output.pause();
        fixture.writer.write_all(b" after").expect("room in the pipe");
        assert_eq!(fixture.output.text(Stream::Stdout, 99), "before");
        fixture.output.resume();
        assert!(fixture.awaits("before after"));
    }

    #[test]
    fn draining_takes_all_that_was_written() {
        let mut fixture = fixture();
        fixture.output.pause();
        fixture.writer.write_all(&[b'x'; 50_000]).expect("room in the pipe");
        fixture.output.drain();
        assert_eq!(fixture.output.last(Stream::Stdout, usize::MAX).len(), 50_000);
    }

    #[test]
    fn an_abandoned_output_closes_its_pipes() {
        let Fixture { bell, output, mut writer } = fixture();
        output.pause();
        writer.write_all(b"x").expect("room in the pipe");
        output.abandon();
        drop(output);
        let closed = || writer.write_all(b"x").err();
        assert!(bell.until(Duration::from_secs(30), Duration::from_millis(5), closed).is_some());
    }
}
