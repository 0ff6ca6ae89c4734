//! Netlink sockets: whom they talk to, and which groups they listen to.

use super::put_words;
use crate::facts::Facts;
use crate::netlink::{find, hex, u32_at};

/// Facts that only a kernel with these diagnostics offers.
pub(super) const NAMES: &[&str] = &["task.*.fd.*.socket.netlink.*"];

/// Where `struct netlink_diag_msg` has the inode.
pub(super) const INODE: usize = 16;

const MESSAGE: usize = 28;

/// `NETLINK_DIAG_*` in include/uapi/linux/netlink_diag.h.
const GROUPS: u16 = 1;
const FLAGS: u16 = 4;

/// A `struct netlink_diag_req`: of every protocol, with groups and flags. How much memory a socket
/// holds is an option of it.
pub(super) fn request() -> [u8; 20] {
    const EVERY_PROTOCOL: u8 = 0xff;
    const SHOW_GROUPS_AND_FLAGS: u8 = 2 | 8;
    let mut request = [0; 20];
    request[0] = libc::AF_NETLINK as u8;
    request[1] = EVERY_PROTOCOL;
    request[8] = SHOW_GROUPS_AND_FLAGS;
    request
}

pub(super) fn put(name: &str, told: Option<&[u8]>, facts: &mut Facts) {
    let name = format!("{name}.netlink");
    let Some(told) = told else {
        facts.put(format!("{name}.netns"), "not the pod's");
        return;
    };
    facts.put(format!("{name}.netns"), "the pod's");
    facts.put(format!("{name}.state"), told.get(3).copied().unwrap_or_default());
    let words = ["portid", "dst_portid", "dst_group"];
    put_words(&name, &words, told.get(4..).unwrap_or_default(), facts);
    let own = told.get(MESSAGE..).unwrap_or_default();
    if let Some(groups) = find(own, GROUPS) {
        // The kernel's room for them grows with what others listen to.
        let end = groups.iter().rposition(|&byte| byte != 0).map_or(0, |last| last + 1);
        facts.put(format!("{name}.groups"), hex(&groups[..end]));
    }
    if let Some(flags) = find(own, FLAGS) {
        facts.put(format!("{name}.flags"), format!("{:#x}", u32_at(flags, 0)));
    }
}
