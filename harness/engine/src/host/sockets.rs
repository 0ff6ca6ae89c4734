//! TCP sockets of other tasks: a copy of a descriptor leads to the same socket.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use super::{Descriptor, sys};

/// Takes a connection out of repair mode without a probe of its peer's window (linux/tcp.h).
const REPAIR_OFF_NO_PROBE: i32 = -1;

/// Those of a task that may be bound where others are.
pub(super) fn reusing(pid: i32) -> io::Result<Vec<Descriptor>> {
    let mut reusing = Vec::new();
    for (descriptor, socket) in tcp(pid)? {
        if sys::socket_option(socket.as_fd(), libc::SOL_SOCKET, libc::SO_REUSEADDR)? != 0 {
            reusing.push(descriptor);
        }
    }
    Ok(reusing)
}

/// Takes those of a task out of repair mode that are in it.
pub(super) fn end_repair(pid: i32, reusing: &[Descriptor]) -> io::Result<()> {
    for (descriptor, socket) in tcp(pid)? {
        let socket = socket.as_fd();
        if sys::socket_option(socket, libc::IPPROTO_TCP, libc::TCP_REPAIR)? != 1 {
            continue;
        }
        sys::set_socket_option(socket, libc::IPPROTO_TCP, libc::TCP_REPAIR, REPAIR_OFF_NO_PROBE)?;
        let reuses = i32::from(reusing.contains(&descriptor));
        sys::set_socket_option(socket, libc::SOL_SOCKET, libc::SO_REUSEADDR, reuses)?;
    }
    Ok(())
}

/// Copies of a task's TCP sockets. A task that has ended has none.
fn tcp(pid: i32) -> io::Result<Vec<(Descriptor, OwnedFd)>> {
    let pidfd = match sys::pidfd_open(pid) {
        Err(error) if error.raw_os_error() == Some(libc::ESRCH) => return Ok(Vec::new()),
        other => other?,
    };
    let mut sockets = Vec::new();
    for entry in fs_err::read_dir(format!("/proc/{pid}/fd"))? {
        let entry = entry?;
        let target = fs_err::read_link(entry.path())?;
        let number = entry.file_name().to_str().and_then(|name| name.parse().ok());
        let (Some(fd), true) = (number, target.to_string_lossy().starts_with("socket:")) else {
            continue;
        };
        let socket = sys::pidfd_getfd(pidfd.as_fd(), fd)?;
        let protocol = sys::socket_option(socket.as_fd(), libc::SOL_SOCKET, libc::SO_PROTOCOL)?;
        if protocol == libc::IPPROTO_TCP {
            sockets.push((Descriptor { pid, fd }, socket));
        }
    }
    Ok(sockets)
}
