//! Unix sockets of the pod's network namespace, by `sock_diag(7)`: who is connected to whom.

use std::collections::BTreeMap;
use std::os::fd::{AsRawFd, OwnedFd};

use nix::sys::socket::{
    AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, recv, send, socket,
};

use crate::error::{Error, Result};

/// Unix sockets by their inode.
#[derive(Debug, Default)]
pub(crate) struct UnixSockets(BTreeMap<u64, UnixSocket>);

/// What the kernel says about a unix socket.
#[derive(Debug, Default)]
pub(crate) struct UnixSocket {
    pub(crate) state: u8,
    /// Inode of the connected socket; 0 is a peer that was never accepted.
    pub(crate) peer: Option<u32>,
    /// Bytes to read, or connections to accept.
    pub(crate) receive_queue: u32,
    /// Bytes sent and not yet read.
    pub(crate) send_queue: u32,
    pub(crate) shutdown: u8,
    pub(crate) uid: Option<u32>,
    /// Device and inode of the socket's file.
    pub(crate) file: Option<(u32, u32)>,
    /// How many connections wait to be accepted.
    pub(crate) waiting: usize,
}

impl UnixSockets {
    pub(crate) fn get(&self, inode: u64) -> Option<&UnixSocket> {
        self.0.get(&inode)
    }

    /// Asks for all sockets of the network namespace that the calling thread is in.
    pub(crate) fn here() -> Result<Self> {
        let failed = |errno| Error::call("sock_diag", "unix sockets", errno);
        let diag = socket(
            AddressFamily::Netlink,
            SockType::Raw,
            SockFlag::SOCK_CLOEXEC,
            SockProtocol::NetlinkSockDiag,
        )
        .map_err(failed)?;
        send(diag.as_raw_fd(), &request(), MsgFlags::empty()).map_err(failed)?;
        let mut sockets = UnixSockets::default();
        while sockets.take(&diag)? {}
        Ok(sockets)
    }

    /// Takes one packet; false after the last.
    fn take(&mut self, diag: &OwnedFd) -> Result<bool> {
        const HEADER: usize = 16;
        const NLMSG_ERROR: u16 = 2;
        const NLMSG_DONE: u16 = 3;
        let failed = |errno| Error::call("sock_diag", "unix sockets", errno);
        let mut packet = vec![0u8; 64 << 10];
        let got = recv(diag.as_raw_fd(), &mut packet, MsgFlags::empty()).map_err(failed)?;
        let mut rest = &packet[..got];
        while rest.len() >= HEADER {
            let length = (u32_at(rest, 0) as usize).clamp(HEADER, rest.len());
            let (body, kind) = (&rest[HEADER..length], u16_at(rest, 4));
            match kind {
                NLMSG_DONE => return Ok(false),
                NLMSG_ERROR => {
                    let errno = -u32_at(body, 0).cast_signed();
                    return Err(failed(nix::errno::Errno::from_raw(errno)));
                }
                _ => self.add(body),
            }
            rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
        }
        Ok(true)
    }

    /// A `struct unix_diag_msg` and its attributes.
    fn add(&mut self, body: &[u8]) {
        const MESSAGE: usize = 16;
        let mut socket = UnixSocket { state: byte_at(body, 2), ..UnixSocket::default() };
        let mut rest = body.get(MESSAGE..).unwrap_or_default();
        while rest.len() >= 4 {
            let length = usize::from(u16_at(rest, 0)).clamp(4, rest.len());
            socket.attribute(u16_at(rest, 2), &rest[4..length]);
            rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
        }
        self.0.insert(u32_at(body, 4).into(), socket);
    }
}

impl UnixSocket {
    /// Numbers of `UNIX_DIAG_*` in include/uapi/linux/unix_diag.h.
    fn attribute(&mut self, kind: u16, value: &[u8]) {
        match kind {
            1 => self.file = Some((u32_at(value, 4), u32_at(value, 0))),
            2 => self.peer = Some(u32_at(value, 0)),
            3 => self.waiting = value.len() / 4,
            4 => (self.receive_queue, self.send_queue) = (u32_at(value, 0), u32_at(value, 4)),
            6 => self.shutdown = byte_at(value, 0),
            7 => self.uid = Some(u32_at(value, 0)),
            _ => {}
        }
    }
}

/// A dump of all unix sockets with everything that the kernel offers.
fn request() -> Vec<u8> {
    const SOCK_DIAG_BY_FAMILY: u16 = 20;
    const NLM_F_REQUEST_DUMP: u16 = 0x301;
    const SHOW_ALL: u32 = 0x7f;
    let mut request = Vec::with_capacity(40);
    request.extend(40u32.to_ne_bytes());
    request.extend(SOCK_DIAG_BY_FAMILY.to_ne_bytes());
    request.extend(NLM_F_REQUEST_DUMP.to_ne_bytes());
    request.extend([0; 8]);
    request.extend([libc::AF_UNIX as u8, 0, 0, 0]);
    request.extend(u32::MAX.to_ne_bytes());
    request.extend(0u32.to_ne_bytes());
    request.extend(SHOW_ALL.to_ne_bytes());
    request.extend([0xff; 8]);
    request
}

fn byte_at(bytes: &[u8], at: usize) -> u8 {
    bytes.get(at).copied().unwrap_or_default()
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_ne_bytes([byte_at(bytes, at), byte_at(bytes, at + 1)])
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_ne_bytes(std::array::from_fn(|index| byte_at(bytes, at + index)))
}
