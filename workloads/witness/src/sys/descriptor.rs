//! What is asked of a descriptor by ioctl and fcntl.
#![expect(unsafe_code, reason = "calls ioctl and fcntl")]

use std::io;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};

/// Two commands of fcntl(2) that libc does not name.
const F_SETSIG: i32 = 10;
const F_GETSIG: i32 = 11;

/// Bytes that wait to be read.
pub fn unread(fd: impl AsFd) -> io::Result<usize> {
    let mut bytes: libc::c_int = 0;
    // SAFETY: FIONREAD writes one int.
    super::checked(unsafe { libc::ioctl(fd.as_fd().as_raw_fd(), libc::FIONREAD, &mut bytes) })?;
    Ok(usize::try_from(bytes).unwrap_or_default())
}

/// Bytes that a socket has not sent, or that nobody has acknowledged.
pub fn unsent(fd: impl AsFd) -> io::Result<usize> {
    let mut bytes: libc::c_int = 0;
    // SAFETY: TIOCOUTQ writes one int.
    super::checked(unsafe { libc::ioctl(fd.as_fd().as_raw_fd(), libc::TIOCOUTQ, &mut bytes) })?;
    Ok(usize::try_from(bytes).unwrap_or_default())
}

/// State of a TCP socket, by the numbers of the kernel (`TCP_ESTABLISHED` is 1).
pub fn tcp_state(fd: impl AsFd) -> io::Result<u8> {
    // The state is the first byte of tcp_info, and the kernel gives as much as is asked for.
    let mut state = 0u8;
    let mut length: libc::socklen_t = 1;
    // SAFETY: one byte is given, and its size.
    super::checked(unsafe {
        libc::getsockopt(
            fd.as_fd().as_raw_fd(),
            libc::IPPROTO_TCP,
            libc::TCP_INFO,
            (&raw mut state).cast(),
            &raw mut length,
        )
    })?;
    Ok(state)
}

/// Takes a lease: `F_RDLCK`, `F_WRLCK`, or `F_UNLCK` to give it back.
pub fn set_lease(fd: impl AsFd, lease: i32) -> io::Result<()> {
    control(fd, libc::F_SETLEASE, lease).map(drop)
}

/// The lease that is held.
pub fn lease(fd: impl AsFd) -> io::Result<i32> {
    control(fd, libc::F_GETLEASE, 0)
}

/// The signal that tells what happens to a descriptor; 0 stands for SIGIO.
pub fn signal(fd: impl AsFd) -> io::Result<i32> {
    control(fd, F_GETSIG, 0)
}

/// Sets that signal.
pub fn set_signal(fd: impl AsFd, signal: i32) -> io::Result<()> {
    control(fd, F_SETSIG, signal).map(drop)
}

/// Who is told: a process, a process group as a negative number, or nobody.
pub fn owner(fd: impl AsFd) -> io::Result<i32> {
    control(fd, libc::F_GETOWN, 0)
}

/// Sets who is told.
pub fn set_owner(fd: impl AsFd, owner: i32) -> io::Result<()> {
    control(fd, libc::F_SETOWN, owner).map(drop)
}

fn control(fd: impl AsFd, command: i32, argument: i32) -> io::Result<i32> {
    // SAFETY: these commands take and give numbers only.
    super::checked(unsafe { libc::fcntl(fd.as_fd().as_raw_fd(), command, argument) })
}

/// A descriptor that has just come in a message, and nobody has taken yet.
#[must_use]
pub fn received(raw: i32) -> OwnedFd {
    // SAFETY: the kernel has opened it for the message, and the message is read once.
    unsafe { OwnedFd::from_raw_fd(raw) }
}
