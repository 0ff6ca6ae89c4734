//! What waits in a pipe or a socket, compared with what was written.

use std::io::{self, Read};
use std::os::fd::{AsFd, AsRawFd};

use nix::sys::socket::{MsgFlags, recv};

use crate::Findings;

/// Reads as many bytes as are expected, and compares.
pub fn receive(name: &str, from: &mut impl Read, expected: &[u8], findings: &mut Findings) {
    let mut found = vec![0; expected.len()];
    if findings.tried(name, from.read_exact(&mut found)).is_some() {
        findings.bytes(name, expected, &found);
    }
}

/// Looks at what waits in a socket without taking it.
pub fn peek(name: &str, socket: &impl AsFd, expected: &[u8], findings: &mut Findings) {
    let mut found = vec![0; expected.len() + 1];
    let flags = MsgFlags::MSG_PEEK | MsgFlags::MSG_DONTWAIT;
    let bytes = recv(socket.as_fd().as_raw_fd(), &mut found, flags).map_err(io::Error::from);
    if let Some(bytes) = findings.tried(name, bytes) {
        findings.bytes(name, expected, &found[..bytes]);
    }
}
