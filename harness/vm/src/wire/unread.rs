//! How much of what was written to a socket its other end has not read: the one unsafe call of the
//! wires.
#![expect(unsafe_code, reason = "the ioctl has no safe wrapper")]

use std::os::fd::{AsRawFd, BorrowedFd};

use nix::libc::{TIOCOUTQ, c_int};

nix::ioctl_read_bad!(outgoing_queue, TIOCOUTQ, c_int);

/// Bytes that the other end of a unix socket has not read, as the kernel accounts for them
/// (`SIOCOUTQ`, unix(7)); 0 says that it has read all.
pub(super) fn unread(socket: BorrowedFd<'_>) -> usize {
    let mut bytes: c_int = 0;
    // SAFETY: the descriptor is open, and the kernel writes one int to a place that is one.
    let asked = unsafe { outgoing_queue(socket.as_raw_fd(), &raw mut bytes) };
    asked.ok().and_then(|_| usize::try_from(bytes).ok()).unwrap_or(0)
}
