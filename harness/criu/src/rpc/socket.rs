//! Packets of CRIU's RPC: one protobuf message each, with descriptors beside some.

use std::io::{self, IoSliceMut};
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::time::{Duration, Instant};

use nix::cmsg_space;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{
    AddressFamily, ControlMessageOwned, MsgFlags, SockFlag, SockType, recv, recvmsg, send,
    socketpair,
};
use prost::Message;

use super::child;
use super::wire::{Request, Response};

/// Longest packet that is taken from CRIU.
const MAX_PACKET_BYTES: usize = 1 << 20;
/// Most descriptors beside one packet.
const MAX_FDS: usize = 16;

/// What came from CRIU.
pub(super) enum Received {
    Packet(Response, Vec<OwnedFd>),
    /// The other end is closed.
    End,
    /// A packet that is no message.
    Nonsense(String),
}

/// Both ends of a new connection, closed on exec.
pub(super) fn pair() -> io::Result<(OwnedFd, OwnedFd)> {
    Ok(socketpair(AddressFamily::Unix, SockType::SeqPacket, None, SockFlag::SOCK_CLOEXEC)?)
}

/// Sends a message. It does not wait: CRIU reads one before it expects another.
pub(super) fn send_request(socket: BorrowedFd<'_>, request: &Request) -> io::Result<()> {
    let flags = MsgFlags::MSG_NOSIGNAL | MsgFlags::MSG_DONTWAIT;
    send(socket.as_raw_fd(), &request.encode_to_vec(), flags)?;
    Ok(())
}

/// Receives a packet that is there.
pub(super) fn receive(socket: BorrowedFd<'_>) -> io::Result<Received> {
    let peek = MsgFlags::MSG_PEEK | MsgFlags::MSG_TRUNC | MsgFlags::MSG_DONTWAIT;
    let size = match recv(socket.as_raw_fd(), &mut [], peek) {
        Err(Errno::ECONNRESET) => return Ok(Received::End),
        size => size?,
    };
    if size > MAX_PACKET_BYTES {
        return Ok(Received::Nonsense(format!("a packet of {size} bytes")));
    }
    let mut bytes = vec![0; size];
    let fds = receive_into(socket, &mut bytes)?;
    if size == 0 {
        return Ok(Received::End);
    }
    Ok(match Response::decode(bytes.as_slice()) {
        Ok(response) => Received::Packet(response, fds),
        Err(error) => Received::Nonsense(error.to_string()),
    })
}

fn receive_into(socket: BorrowedFd<'_>, bytes: &mut [u8]) -> io::Result<Vec<OwnedFd>> {
    let mut parts = [IoSliceMut::new(bytes)];
    let mut control = cmsg_space!([RawFd; MAX_FDS]);
    let flags = MsgFlags::MSG_CMSG_CLOEXEC | MsgFlags::MSG_DONTWAIT;
    let message = recvmsg::<()>(socket.as_raw_fd(), &mut parts, Some(&mut control), flags)?;
    let mut fds = Vec::new();
    for part in message.cmsgs()? {
        if let ControlMessageOwned::ScmRights(numbers) = part {
            fds.extend(numbers.into_iter().map(child::own));
        }
    }
    Ok(fds)
}

/// Waits until one of these is readable or closed; which, or none in time.
pub(super) fn wait<const N: usize>(
    fds: [BorrowedFd<'_>; N],
    deadline: Instant,
) -> io::Result<Option<[bool; N]>> {
    let mut polled = fds.map(|fd| PollFd::new(fd, PollFlags::POLLIN));
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        match poll(&mut polled, timeout(left)) {
            Ok(0) if left.is_zero() => return Ok(None),
            Ok(0) | Err(Errno::EINTR) => {}
            Ok(_) => return Ok(Some(polled.map(|fd| fd.any().unwrap_or(true)))),
            Err(errno) => return Err(errno.into()),
        }
    }
}

/// Rounded up, so that a short rest does not become a busy loop.
fn timeout(left: Duration) -> PollTimeout {
    let ms = left.as_millis() + u128::from(!left.is_zero());
    PollTimeout::try_from(ms).unwrap_or(PollTimeout::MAX)
}
