//! Sockets of the pod's network namespace by `sock_diag(7)`: what no option of a socket tells.

mod netlink;
mod packet;
mod unix;

use std::collections::BTreeMap;

use crate::error::Result;
use crate::facts::Facts;
use crate::netlink::{Netlink, u32_at};

const SOCK_DIAG_BY_FAMILY: u16 = 20;

/// What the kernel says about sockets.
#[derive(Debug, Default)]
pub(crate) struct Sockets {
    unix: Told,
    netlink: Told,
    packet: Told,
}

/// The kernel's message of each socket, by its inode; nothing from a kernel that tells none.
type Told = Option<BTreeMap<u64, Vec<u8>>>;

impl Sockets {
    /// Asks for all sockets of the network namespace that the calling thread is in.
    pub(crate) fn here(facts: &mut Facts) -> Result<Self> {
        let names = [unix::NAMES, netlink::NAMES, packet::NAMES].concat();
        let diag = Netlink::open(libc::NETLINK_SOCK_DIAG, "sock_diag", &names, facts)?;
        let Some(mut diag) = diag else { return Ok(Sockets::default()) };
        let mut ask = |request: &[u8], names, inode_at| -> Result<Told> {
            let told = diag.table(SOCK_DIAG_BY_FAMILY, request, names, facts)?;
            let by_inode = |told: Vec<u8>| (u32_at(&told, inode_at).into(), told);
            Ok(told.map(|told| told.into_iter().map(by_inode).collect()))
        };
        Ok(Sockets {
            unix: ask(&unix::request(), unix::NAMES, unix::INODE)?,
            netlink: ask(&netlink::request(), netlink::NAMES, netlink::INODE)?,
            packet: ask(&packet::request(), packet::NAMES, packet::INODE)?,
        })
    }

    /// Takes in those of another network namespace.
    pub(crate) fn join(&mut self, others: Sockets) {
        let add = |all: &mut Told, more: Told| match (all, more) {
            (Some(all), Some(more)) => all.extend(more),
            (all @ None, more) => *all = more,
            (Some(_), None) => {}
        };
        add(&mut self.unix, others.unix);
        add(&mut self.netlink, others.netlink);
        add(&mut self.packet, others.packet);
    }

    /// Writes down what is known of a socket of one of these families.
    pub(crate) fn put(&self, domain: i32, name: &str, inode: u64, facts: &mut Facts) {
        type Put = fn(&str, Option<&[u8]>, &mut Facts);
        let (told, put): (&Told, Put) = match domain {
            libc::AF_UNIX => (&self.unix, unix::put),
            libc::AF_NETLINK => (&self.netlink, netlink::put),
            libc::AF_PACKET => (&self.packet, packet::put),
            _ => return,
        };
        if let Some(told) = told {
            put(name, told.get(&inode).map(Vec::as_slice), facts);
        }
    }
}

/// Names the words of a structure, one after the other.
fn put_words(name: &str, words: &[&str], bytes: &[u8], facts: &mut Facts) {
    for (index, word) in words.iter().enumerate() {
        facts.put(format!("{name}.{word}"), u32_at(bytes, 4 * index));
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::{AsFd, AsRawFd};

    use nix::sys::socket::{AddressFamily, NetlinkAddr, SockFlag, SockProtocol, SockType};
    use nix::sys::socket::{bind, socket};

    use super::*;

    #[test]
    fn a_netlink_socket_is_told_with_its_groups_where_the_kernel_has_diagnostics() {
        const LINKS_AND_ADDRESSES: u32 = 1 | 1 << 4;
        let own = socket(
            AddressFamily::Netlink,
            SockType::Raw,
            SockFlag::SOCK_CLOEXEC,
            SockProtocol::NetlinkRoute,
        );
        let own = own.expect("a socket");
        bind(own.as_raw_fd(), &NetlinkAddr::new(0, LINKS_AND_ADDRESSES)).expect("bound");
        let inode = nix::sys::stat::fstat(own.as_fd()).expect("fstat").st_ino;
        let mut facts = Facts::default();
        let sockets = Sockets::here(&mut facts).expect("an answer");
        sockets.put(libc::AF_NETLINK, "s", inode, &mut facts);
        let told: Vec<&str> = facts.facts.keys().map(String::as_str).collect();
        let words = ["dst_group", "dst_portid", "flags", "groups", "netns", "portid", "state"];
        let all = words.map(|word| format!("s.netlink.{word}"));
        let not_offered = facts.not_offered.keys().any(|names| names.contains("netlink"));
        assert!(told == all || told.is_empty() && not_offered, "{told:?} {:?}", facts.not_offered);
    }
}
