//! What is asked of a terminal by ioctl, and what nix does not wrap.
#![expect(unsafe_code, reason = "calls ioctl")]

use std::io;
use std::os::fd::{AsFd, AsRawFd};

use super::checked;

/// Rows and columns.
pub type Size = (u16, u16);

/// Makes a terminal the controlling one of the calling process, which leads a session without one.
pub fn take(terminal: impl AsFd) -> io::Result<()> {
    // SAFETY: takes a number only; 0 takes it from nobody.
    checked(unsafe { libc::ioctl(terminal.as_fd().as_raw_fd(), libc::TIOCSCTTY, 0) }).map(drop)
}

/// Sets the size of the window.
pub fn set_size(terminal: impl AsFd, (rows, columns): Size) -> io::Result<()> {
    let size = libc::winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
    let fd = terminal.as_fd().as_raw_fd();
    // SAFETY: the kernel reads one winsize.
    checked(unsafe { libc::ioctl(fd, libc::TIOCSWINSZ, &raw const size) }).map(drop)
}

/// Size of the window.
pub fn size(terminal: impl AsFd) -> io::Result<Size> {
    let mut size = libc::winsize { ws_row: 0, ws_col: 0, ws_xpixel: 0, ws_ypixel: 0 };
    let fd = terminal.as_fd().as_raw_fd();
    // SAFETY: the kernel writes one winsize.
    checked(unsafe { libc::ioctl(fd, libc::TIOCGWINSZ, &raw mut size) })?;
    Ok((size.ws_row, size.ws_col))
}

/// Lets reads of a master tell in a first byte what befell the slave, or not.
pub fn set_packets(master: impl AsFd, on: bool) -> io::Result<()> {
    let on = libc::c_int::from(on);
    // SAFETY: the kernel reads one int.
    let set = unsafe { libc::ioctl(master.as_fd().as_raw_fd(), libc::TIOCPKT, &raw const on) };
    checked(set).map(drop)
}

/// Whether reads of a master tell that.
pub fn packets(master: impl AsFd) -> io::Result<bool> {
    get(master, libc::TIOCGPKT).map(|on| on != 0)
}

/// Whether the slave cannot be opened yet.
pub fn locked(master: impl AsFd) -> io::Result<bool> {
    get(master, libc::TIOCGPTLCK).map(|locked| locked != 0)
}

/// Lets nobody without a right to it open a terminal again.
pub fn set_exclusive(terminal: impl AsFd) -> io::Result<()> {
    // SAFETY: takes nothing.
    checked(unsafe { libc::ioctl(terminal.as_fd().as_raw_fd(), libc::TIOCEXCL) }).map(drop)
}

/// Whether nobody may.
pub fn exclusive(terminal: impl AsFd) -> io::Result<bool> {
    get(terminal, libc::TIOCGEXCL).map(|exclusive| exclusive != 0)
}

fn get(terminal: impl AsFd, request: libc::Ioctl) -> io::Result<libc::c_int> {
    let mut value: libc::c_int = 0;
    // SAFETY: these requests write one int.
    checked(unsafe { libc::ioctl(terminal.as_fd().as_raw_fd(), request, &raw mut value) })?;
    Ok(value)
}
