//! What the host says to a program while it runs.

use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Mutex;

use model::message::Input;
use nix::sys::eventfd::{EfdFlags, EventFd};

use crate::sync::lock;

/// Holds what was said until the request's thread takes it. Who puts something in never waits:
/// the host keeps to what was granted, and what it sends beyond that ends the request.
#[derive(Debug)]
pub(crate) struct Mailbox {
    inputs: Mutex<Vec<Input>>,
    arrived: EventFd,
}

impl Mailbox {
    /// An empty one.
    pub(crate) fn new() -> nix::Result<Mailbox> {
        let flags = EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK;
        Ok(Mailbox { inputs: Mutex::default(), arrived: EventFd::from_flags(flags)? })
    }

    /// Puts something in.
    pub(crate) fn put(&self, input: Input) {
        lock(&self.inputs).push(input);
        // It fails when the counter is full: then it is readable all the same.
        let _ = self.arrived.write(1);
    }

    /// Takes all that is there.
    pub(crate) fn take(&self) -> Vec<Input> {
        // It fails when nothing has arrived since the last time.
        let _ = self.arrived.read();
        std::mem::take(&mut lock(&self.inputs))
    }
}

/// Readable when something has arrived.
impl AsFd for Mailbox {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.arrived.as_fd()
    }
}
