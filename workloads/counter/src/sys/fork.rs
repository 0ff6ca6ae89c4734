//! A second process.
#![expect(unsafe_code, reason = "forks")]

use std::io;

use nix::unistd::{ForkResult, Pid};

/// Starts a process that runs `work` and ends with its exit code. Must be called before any
/// thread is started.
pub(crate) fn fork(work: impl FnOnce() -> i32) -> io::Result<Pid> {
    // SAFETY: there is one thread, so no lock is held by another one that the child lacks.
    match unsafe { nix::unistd::fork() }? {
        ForkResult::Parent { child } => Ok(child),
        ForkResult::Child => std::process::exit(work()),
    }
}
