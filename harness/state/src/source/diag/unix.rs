//! Unix sockets: who is connected to whom.

use crate::facts::Facts;
use crate::inode;
use crate::netlink::{attributes, u32_at};

/// Facts that only a kernel with these diagnostics offers.
pub(super) const NAMES: &[&str] = &[
    "task.*.fd.*.socket.netns",
    "task.*.fd.*.socket.state",
    "task.*.fd.*.socket.peer",
    "task.*.fd.*.socket.rqueue",
    "task.*.fd.*.socket.wqueue",
    "task.*.fd.*.socket.shutdown",
    "task.*.fd.*.socket.icons",
    "task.*.fd.*.socket.uid",
    "task.*.fd.*.socket.vfs",
];

/// Where `struct unix_diag_msg` has the inode.
pub(super) const INODE: usize = 4;

const MESSAGE: usize = 16;

/// `UNIX_DIAG_*` in include/uapi/linux/unix_diag.h.
const VFS: u16 = 1;
const PEER: u16 = 2;
const WAITING: u16 = 3;
const QUEUES: u16 = 4;
const SHUTDOWN: u16 = 6;
const UID: u16 = 7;

/// A `struct unix_diag_req`: in every state, and everything that the kernel offers.
pub(super) fn request() -> [u8; 24] {
    let mut request = [0; 24];
    request[0] = libc::AF_UNIX as u8;
    request[4..8].fill(0xff);
    request[12] = 0x7f;
    request[16..24].fill(0xff);
    request
}

pub(super) fn put(name: &str, told: Option<&[u8]>, facts: &mut Facts) {
    let Some(told) = told else {
        facts.put(format!("{name}.netns"), "not the pod's");
        return;
    };
    facts.put(format!("{name}.netns"), "the pod's");
    facts.put(format!("{name}.state"), told.get(2).copied().unwrap_or_default());
    let mut waiting = 0;
    for attribute in attributes(told.get(MESSAGE..).unwrap_or_default()) {
        let value = attribute.value;
        let mut put = |word: &str, value: u32| facts.put(format!("{name}.{word}"), value);
        match attribute.number {
            VFS => {
                let file =
                    inode::from_kernel_device(u32_at(value, 4).into(), u32_at(value, 0).into());
                facts.put(format!("{name}.vfs"), file);
            }
            // Zero is a peer that was never accepted.
            PEER if u32_at(value, 0) != 0 => put("peer", u32_at(value, 0)),
            WAITING => waiting = value.len() / 4,
            QUEUES => {
                put("rqueue", u32_at(value, 0));
                put("wqueue", u32_at(value, 4));
            }
            SHUTDOWN => put("shutdown", value.first().copied().unwrap_or_default().into()),
            UID => put("uid", u32_at(value, 0)),
            _ => {}
        }
    }
    facts.put(format!("{name}.icons"), waiting);
}
