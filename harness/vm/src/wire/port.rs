//! Our end of a node's netdev: a socket that is never waited for.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;

use nix::errno::Errno;
use nix::sys::socket::{MsgFlags, recv, sendmsg};

use super::frame::{Decoder, Frame, TooLong};
use super::unread::unread;

/// Most frames of one system call.
const BATCH: usize = 256;

/// Our end.
#[derive(Debug)]
pub(super) struct Port {
    /// Shared with the thread while it waits, so that the number stays this socket's.
    socket: Arc<UnixStream>,
    decoder: Decoder,
    /// Bytes of the first waiting frame that the socket took already.
    begun: usize,
    /// The socket is full.
    blocked: bool,
}

/// Why a port is of no more use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// The machine closed its end, or is gone.
    Closed,
    /// What it sends is no stream of frames.
    Absurd(TooLong),
}

impl Port {
    /// A port, and the end that the machine gets.
    pub(super) fn new() -> io::Result<(Port, OwnedFd)> {
        let (socket, theirs) = UnixStream::pair()?;
        let socket = Arc::new(socket);
        Ok((Port { socket, decoder: Decoder::new(), begun: 0, blocked: false }, theirs.into()))
    }

    pub(super) fn socket(&self) -> Arc<UnixStream> {
        Arc::clone(&self.socket)
    }

    /// Whether there is something to write once the socket has room.
    pub(super) fn is_blocked(&self) -> bool {
        self.blocked
    }

    /// Whether a frame was written in part.
    pub(super) fn has_begun(&self) -> bool {
        self.begun > 0
    }

    /// Whether the machine has read all that was written.
    pub(super) fn is_read_empty(&self) -> bool {
        self.begun == 0 && unread(self.fd()) == 0
    }

    /// Reads once, and takes the frames that are whole by then; false when there was nothing.
    pub(super) fn read(&mut self, mut take: impl FnMut(&Frame)) -> Result<bool, End> {
        let fd = self.socket.as_raw_fd();
        match recv(fd, self.decoder.room(), MsgFlags::MSG_DONTWAIT) {
            Ok(0) => return Err(End::Closed),
            Ok(bytes) => self.decoder.filled(bytes),
            Err(Errno::EAGAIN) => return Ok(false),
            Err(Errno::EINTR) => return Ok(true),
            Err(_) => return Err(End::Closed),
        }
        while let Some(frame) = self.decoder.next().map_err(End::Absurd)? {
            take(&frame);
        }
        Ok(true)
    }

    /// Writes as many of the first `most` frames as the socket takes in one go, and says how many
    /// are through.
    pub(super) fn write(&mut self, frames: &VecDeque<Frame>, most: usize) -> Result<usize, End> {
        self.blocked = false;
        let mut parts: Vec<_> = frames.iter().take(most.min(BATCH)).map(Frame::encoded).collect();
        let Some(first) = parts.first_mut() else { return Ok(0) };
        *first = &first[self.begun..];
        let slices: Vec<_> = parts.iter().map(|part| IoSlice::new(part)).collect();
        let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL;
        match sendmsg::<()>(self.socket.as_raw_fd(), &slices, &[], flags, None) {
            Ok(bytes) => Ok(self.note(&parts, bytes)),
            Err(Errno::EAGAIN) => {
                self.blocked = true;
                Ok(0)
            }
            Err(Errno::EINTR) => Ok(0),
            Err(_) => Err(End::Closed),
        }
    }

    /// Counts the frames that so many written bytes complete.
    fn note(&mut self, parts: &[&[u8]], mut bytes: usize) -> usize {
        for (at, part) in parts.iter().enumerate() {
            if bytes < part.len() {
                self.begun = if at == 0 { self.begun + bytes } else { bytes };
                self.blocked = true;
                return at;
            }
            bytes -= part.len();
        }
        self.begun = 0;
        parts.len()
    }

    fn fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}
