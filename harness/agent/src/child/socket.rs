//! One end of the socket pair between agent and engine child.

use std::collections::VecDeque;
use std::io::{self, ErrorKind, IoSlice, IoSliceMut, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use model::frame::{self, Decoder};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{ControlMessage, MsgFlags, recvmsg, sendmsg};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::sys;

/// Most descriptors that come with one message: the streams of a container.
const MOST_DESCRIPTORS: usize = 3;

/// What was received.
#[derive(Debug)]
pub(super) enum Received<M> {
    /// A message.
    Message(M),
    /// The other end is closed.
    Closed,
    /// Nothing came in time.
    TimedOut,
}

/// Sends and receives messages of one kind, and descriptors beside them.
#[derive(Debug)]
pub(super) struct Socket<M> {
    stream: UnixStream,
    decoder: Decoder,
    messages: VecDeque<M>,
    descriptors: VecDeque<OwnedFd>,
}

impl<M: DeserializeOwned> Socket<M> {
    /// Speaks over this stream.
    pub(super) fn new(stream: UnixStream) -> Socket<M> {
        let (messages, descriptors) = Default::default();
        Socket { stream, decoder: Decoder::default(), messages, descriptors }
    }

    /// Sends a message; the descriptors arrive no later than it does.
    pub(super) fn send(
        &self,
        message: &impl Serialize,
        descriptors: &[BorrowedFd<'_>],
    ) -> io::Result<()> {
        let frame = frame::encode(message).map_err(io::Error::other)?;
        let numbers: Vec<RawFd> = descriptors.iter().map(AsRawFd::as_raw_fd).collect();
        let rights = [ControlMessage::ScmRights(&numbers)];
        let control = if numbers.is_empty() { &[][..] } else { &rights[..] };
        let (fd, parts) = (self.stream.as_raw_fd(), [IoSlice::new(&frame)]);
        let sent = sendmsg::<()>(fd, &parts, control, MsgFlags::MSG_NOSIGNAL, None)?;
        (&self.stream).write_all(&frame[sent..])
    }

    /// Waits for the next message.
    pub(super) fn receive(&mut self, timeout: Option<Duration>) -> io::Result<Received<M>> {
        let timeout = timeout.map_or(PollTimeout::NONE, |timeout| {
            PollTimeout::try_from(timeout).unwrap_or(PollTimeout::MAX)
        });
        loop {
            if let Some(message) = self.messages.pop_front() {
                return Ok(Received::Message(message));
            }
            if poll(&mut [PollFd::new(self.stream.as_fd(), PollFlags::POLLIN)], timeout)? == 0 {
                return Ok(Received::TimedOut);
            }
            if !self.read()? {
                return Ok(Received::Closed);
            }
        }
    }

    /// The next descriptor that came along.
    pub(super) fn take_descriptor(&mut self) -> io::Result<OwnedFd> {
        self.descriptors.pop_front().ok_or_else(|| {
            io::Error::new(ErrorKind::InvalidData, "a message came without its descriptors")
        })
    }

    /// False when the other end is closed.
    fn read(&mut self) -> io::Result<bool> {
        let mut buffer = vec![0; 64 << 10];
        let mut space = nix::cmsg_space!([RawFd; MOST_DESCRIPTORS]);
        let fd = self.stream.as_raw_fd();
        let mut parts = [IoSliceMut::new(&mut buffer)];
        let received = recvmsg::<()>(fd, &mut parts, Some(&mut space), MsgFlags::MSG_CMSG_CLOEXEC);
        let count = match received {
            Ok(message) => {
                self.descriptors.extend(sys::descriptors(&message)?);
                message.bytes
            }
            Err(Errno::ECONNRESET) => 0,
            Err(Errno::EINTR) => return Ok(true),
            Err(error) => return Err(error.into()),
        };
        for message in self.decoder.push(&buffer[..count]) {
            self.messages.push_back(message.map_err(io::Error::other)?);
        }
        Ok(count > 0)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    fn pair() -> (Socket<String>, Socket<String>) {
        let (here, there) = UnixStream::pair().expect("a pair");
        (Socket::new(here), Socket::new(there))
    }

    #[test]
    fn descriptors_arrive_with_their_message_and_in_order() {
        let (here, mut there) = pair();
        let (mut reader, writer) = io::pipe().expect("a pipe");
        let (other, _) = io::pipe().expect("a pipe");
        here.send(&"plain", &[]).expect("sent");
        here.send(&"pipes", &[writer.as_fd(), other.as_fd()]).expect("sent");
        drop(writer);
        for expected in ["plain", "pipes"] {
            let Received::Message(message) = there.receive(None).expect("received") else {
                panic!("no message");
            };
            assert_eq!(message, expected);
        }
        let mut passed = std::fs::File::from(there.take_descriptor().expect("the first"));
        passed.write_all(b"through").expect("written");
        drop(passed);
        let mut text = String::new();
        reader.read_to_string(&mut text).expect("read");
        assert_eq!(text, "through");
        there.take_descriptor().expect("the second");
        assert!(there.take_descriptor().is_err());
    }

    #[test]
    fn silence_and_the_end_are_told_apart() {
        let (here, mut there) = pair();
        let brief = Some(Duration::from_millis(5));
        assert!(matches!(there.receive(brief), Ok(Received::TimedOut)));
        drop(here);
        assert!(matches!(there.receive(brief), Ok(Received::Closed)));
    }
}
