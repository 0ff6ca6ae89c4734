//! What needs `unsafe`: descriptors that come as bare numbers, calls without a safe wrapper, and
//! what a child does before it becomes another program.

#![expect(unsafe_code, reason = "see each function")]

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::process::CommandExt;
use std::process::Command;

use model::message::WindowSize;
use nix::errno::Errno;
use nix::sys::socket::{ControlMessageOwned, RecvMsg};
use nix::unistd::setsid;

/// Owns the descriptors that came with a message.
pub(crate) fn descriptors<S>(message: &RecvMsg<'_, '_, S>) -> nix::Result<Vec<OwnedFd>> {
    let mut received = Vec::new();
    for control in message.cmsgs()? {
        if let ControlMessageOwned::ScmRights(numbers) = control {
            received.extend(numbers.into_iter().map(own));
        }
    }
    Ok(received)
}

fn own(number: RawFd) -> OwnedFd {
    // SAFETY: the kernel has just made this descriptor for us, and every caller hands each one out
    // once: nobody else has it.
    unsafe { OwnedFd::from_raw_fd(number) }
}

/// A descriptor that becomes readable when the process ends (pidfd_open(2)).
pub(crate) fn pidfd(pid: i32) -> nix::Result<OwnedFd> {
    // SAFETY: the call takes two numbers and touches no memory.
    let number = Errno::result(unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) })?;
    RawFd::try_from(number).map(own).map_err(|_| Errno::EBADF)
}

/// Gives a terminal its size; the kernel tells the processes in its foreground.
pub(crate) fn set_window_size(terminal: BorrowedFd<'_>, size: WindowSize) -> nix::Result<()> {
    let WindowSize { rows: ws_row, columns: ws_col } = size;
    let size = libc::winsize { ws_row, ws_col, ws_xpixel: 0, ws_ypixel: 0 };
    // SAFETY: TIOCSWINSZ reads one `winsize`, which lives until the call returns.
    Errno::result(unsafe { libc::ioctl(terminal.as_raw_fd(), libc::TIOCSWINSZ, &raw const size) })?;
    Ok(())
}

/// Makes the program the leader of a session of its own, whose terminal is its standard input.
pub(crate) fn lead_session(command: &mut Command) {
    let prepare = || {
        setsid()?;
        // SAFETY: TIOCSCTTY takes a number and touches no memory.
        let taken = unsafe { libc::ioctl(libc::STDIN_FILENO, libc::TIOCSCTTY, 0) };
        Ok(Errno::result(taken).map(drop)?)
    };
    // SAFETY: `prepare` makes two system calls: it allocates nothing and takes no lock.
    unsafe { command.pre_exec(prepare) };
}

/// Most bytes of entropy that one call takes.
pub(crate) const ENTROPY_BYTES: usize = 64;

/// `struct rand_pool_info` of random(4), with room.
#[repr(C)]
struct RandomPool {
    entropy_bits: libc::c_int,
    bytes: libc::c_int,
    buffer: [u8; ENTROPY_BYTES],
}

/// Adds at most [`ENTROPY_BYTES`] to the kernel's entropy (RNDADDENTROPY of random(4)).
pub(crate) fn add_entropy(random: impl AsFd, entropy: &[u8]) -> nix::Result<()> {
    const ADD: libc::c_ulong = nix::request_code_write!(b'R', 3, 2 * size_of::<libc::c_int>());
    let mut pool = RandomPool { entropy_bits: 0, bytes: 0, buffer: [0; ENTROPY_BYTES] };
    for (place, byte) in pool.buffer.iter_mut().zip(entropy) {
        (*place, pool.bytes) = (*byte, pool.bytes + 1);
    }
    pool.entropy_bits = 8 * pool.bytes;
    // SAFETY: the call reads two numbers and `bytes` bytes behind them, all within `pool`.
    Errno::result(unsafe { libc::ioctl(random.as_fd().as_raw_fd(), ADD, &raw const pool) })?;
    Ok(())
}

/// Lets the kernel draw new keys for its random numbers at once (RNDRESEEDCRNG of random(4)).
pub(crate) fn reseed(random: impl AsFd) -> nix::Result<()> {
    const RESEED: libc::c_ulong = nix::request_code_none!(b'R', 7);
    // SAFETY: the call takes nothing and touches no memory of this process.
    Errno::result(unsafe { libc::ioctl(random.as_fd().as_raw_fd(), RESEED) })?;
    Ok(())
}
