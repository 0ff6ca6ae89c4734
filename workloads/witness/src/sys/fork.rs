//! A second process.
#![expect(unsafe_code, reason = "forks")]

use std::io;

use nix::unistd::{ForkResult, Pid};

/// Starts a process that runs `work` and ends with its exit code. Must be called before any
/// thread is started.
pub fn fork(work: impl FnOnce() -> i32) -> io::Result<Pid> {
    // SAFETY: there is one thread, so no lock is held by another one that the child lacks.
    match unsafe { nix::unistd::fork() }? {
        ForkResult::Parent { child } => Ok(child),
        ForkResult::Child => std::process::exit(work()),
    }
}

/// The same, and the process has its descriptors in common with this one: what one opens or closes
/// is open or closed for the other.
pub fn fork_sharing_files(work: impl FnOnce() -> i32) -> io::Result<Pid> {
    let flags = libc::CLONE_FILES | libc::SIGCHLD;
    // SAFETY: as for fork: without CLONE_VM the child has memory of its own.
    match unsafe { libc::syscall(libc::SYS_clone, flags, 0, 0, 0, 0) } {
        -1 => Err(io::Error::last_os_error()),
        0 => std::process::exit(work()),
        pid => i32::try_from(pid).map(Pid::from_raw).map_err(io::Error::other),
    }
}
