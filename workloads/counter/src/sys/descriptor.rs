//! What is asked of a descriptor by ioctl.
#![expect(unsafe_code, reason = "calls ioctl")]

use std::io;
use std::os::fd::{AsFd, AsRawFd};

/// Bytes that wait to be read.
pub(crate) fn unread(fd: impl AsFd) -> io::Result<usize> {
    let mut bytes: libc::c_int = 0;
    // SAFETY: FIONREAD writes one int.
    super::checked(unsafe { libc::ioctl(fd.as_fd().as_raw_fd(), libc::FIONREAD, &mut bytes) })?;
    Ok(usize::try_from(bytes).unwrap_or_default())
}
