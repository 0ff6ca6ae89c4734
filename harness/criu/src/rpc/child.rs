//! The unsafe corner: what happens between fork and exec, and descriptors as bare numbers.

#![expect(unsafe_code, reason = "pre_exec, pidfd_open and received descriptors have no safe form")]

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::process::CommandExt;
use std::process::Command;

/// One thing that the child does before it becomes CRIU.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Have this signal sent when the parent's thread dies; check that it is still there.
    DieWithParent { signal: i32, parent: libc::pid_t },
    /// Enter the namespace of this file.
    Enter(RawFd),
    /// Move into the control group of this `cgroup.procs`.
    JoinCgroup(RawFd),
    /// Make a cgroup namespace, rooted where the child is.
    NewCgroupNamespace,
    /// Keep this descriptor open across exec.
    Keep(RawFd),
}

/// Lets the child of `command` do these steps. Before each, and before exec, it writes the step's
/// number as one byte to `progress`, so that the parent knows where it failed.
pub(super) fn prepare(command: &mut Command, steps: Vec<Step>, progress: OwnedFd) {
    let run = move || {
        let mut number: u8 = 0;
        for step in &steps {
            write_all(progress.as_raw_fd(), &[number])?;
            perform(*step)?;
            number = number.wrapping_add(1);
        }
        write_all(progress.as_raw_fd(), &[number])
    };
    // SAFETY: the closure makes system calls only: it neither allocates nor takes a lock, and
    // `io::Error::last_os_error` holds nothing but the number.
    unsafe { command.pre_exec(run) };
}

fn perform(step: Step) -> io::Result<()> {
    match step {
        Step::DieWithParent { signal, parent } => {
            // SAFETY: PR_SET_PDEATHSIG takes a signal number and touches no memory.
            check(unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, signal) })?;
            // SAFETY: getppid cannot fail.
            match unsafe { libc::getppid() } == parent {
                true => Ok(()),
                false => Err(io::Error::from_raw_os_error(libc::ESRCH)),
            }
        }
        // SAFETY: the descriptor was open at fork; the child has one thread.
        Step::Enter(fd) => check(unsafe { libc::setns(fd, 0) }),
        Step::JoinCgroup(fd) => write_all(fd, b"0"),
        // SAFETY: unshare takes flags and touches no memory.
        Step::NewCgroupNamespace => check(unsafe { libc::unshare(libc::CLONE_NEWCGROUP) }),
        // SAFETY: F_SETFD changes a flag of a descriptor and touches no memory.
        Step::Keep(fd) => check(unsafe { libc::fcntl(fd, libc::F_SETFD, 0) }),
    }
}

fn write_all(fd: RawFd, bytes: &[u8]) -> io::Result<()> {
    // SAFETY: pointer and length are those of a slice.
    let written = unsafe { libc::write(fd, bytes.as_ptr().cast(), bytes.len()) };
    if written < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

fn check(result: libc::c_int) -> io::Result<()> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// A descriptor that becomes readable when the child `pid`, not reaped yet, has ended.
pub(super) fn pidfd(pid: u32) -> io::Result<OwnedFd> {
    // SAFETY: pidfd_open takes a pid and flags and touches no memory.
    let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) };
    let fd = RawFd::try_from(fd).map_err(io::Error::other)?;
    if fd < 0 { Err(io::Error::last_os_error()) } else { Ok(own(fd)) }
}

/// Takes over a descriptor that the kernel has just made for this process.
pub(super) fn own(fd: RawFd) -> OwnedFd {
    // SAFETY: the callers pass descriptors that were just received and that nobody else knows.
    unsafe { OwnedFd::from_raw_fd(fd) }
}
