//! Ties a child process to this one. The only unsafe code of the room.
#![expect(unsafe_code, reason = "what a child does between fork and exec can only be set this way")]

use std::io;
use std::os::fd::{BorrowedFd, RawFd};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::Signal;
use nix::unistd::{Pid, getpid, getppid};
use tokio::process::Command;

/// Makes `command` inherit `fds` under their numbers, and die by SIGKILL together with the
/// **thread** that spawns it (`PR_SET_PDEATHSIG`, prctl(2)): not even a SIGKILL of this process
/// leaves it behind.
pub(crate) fn tie(command: &mut Command, fds: Vec<RawFd>) {
    let parent = getpid();
    let prepare = move || prepare(parent, &fds);
    // SAFETY: `prepare` runs in the forked child and makes system calls only: it allocates
    // nothing, takes no lock and does not touch the runtime.
    unsafe { command.pre_exec(prepare) };
}

fn prepare(parent: Pid, fds: &[RawFd]) -> io::Result<()> {
    set_pdeathsig(Signal::SIGKILL)?;
    if getppid() != parent {
        // The parent died before the signal was asked for, so that it will never come.
        return Err(Errno::ESRCH.into());
    }
    for &fd in fds {
        // SAFETY: the parent keeps the descriptor open until the spawn is over.
        let fd = unsafe { BorrowedFd::borrow_raw(fd) };
        fcntl(fd, FcntlArg::F_SETFD(FdFlag::empty()))?;
    }
    Ok(())
}
