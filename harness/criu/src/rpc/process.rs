//! A CRIU process that cannot be left behind.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::process::{Child, ExitStatus};
use std::time::Instant;

use super::{child, socket};

/// A child that is killed and reaped when it is dropped.
#[derive(Debug)]
pub(super) struct Process {
    child: Child,
    pidfd: OwnedFd,
}

impl Process {
    pub(super) fn new(mut child: Child) -> io::Result<Self> {
        match child::pidfd(child.id()) {
            Ok(pidfd) => Ok(Process { child, pidfd }),
            Err(error) => {
                let _ = child.kill();
                let _ = child.wait();
                Err(error)
            }
        }
    }

    pub(super) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Becomes readable when the process has ended.
    pub(super) fn pidfd(&self) -> BorrowedFd<'_> {
        self.pidfd.as_fd()
    }

    /// Waits for the end until `deadline`; then kills. The status is unknown when somebody else
    /// reaped the child.
    pub(super) fn ended(&mut self, deadline: Instant) -> Option<ExitStatus> {
        match socket::wait([self.pidfd.as_fd()], deadline) {
            Ok(Some(_)) => self.child.wait().ok(),
            _ => {
                self.kill();
                None
            }
        }
    }

    pub(super) fn kill(&mut self) {
        // Neither fails but for a child that is gone already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}
