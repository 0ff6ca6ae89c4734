//! The one thing that needs `unsafe`: taking ownership of descriptors that another process sent.

#![expect(unsafe_code, reason = "descriptors from a control message come as bare numbers")]

use std::os::fd::{FromRawFd, OwnedFd, RawFd};

use nix::sys::socket::{ControlMessageOwned, RecvMsg};

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
    // SAFETY: the kernel has just made this descriptor for us while receiving the message, and
    // `descriptors` hands every one out once: nobody else has it.
    unsafe { OwnedFd::from_raw_fd(number) }
}
