//! Rules of the older iptables, which no netlink message tells.
//!
//! A table is only asked for when the network namespace has it: asking for another one would make
//! it. Its rules come in the form of `struct ipt_entry` (include/uapi/linux/netfilter_ipv4/
//! ip_tables.h, and the same for IPv6): packets that it is for, matches, a target, and counters.

use std::io;
use std::os::fd::AsFd;
use std::path::Path;

use nix::sys::socket::{AddressFamily, SockFlag, SockProtocol, SockType, socket};

use crate::error::{Error, Result};
use crate::facts::Facts;
use crate::netlink::{u16_at, u32_at};
use crate::read;
use crate::sys;

/// `IPT_SO_GET_INFO` and `IP6T_SO_GET_INFO`, with `struct ipt_getinfo`.
const GET_INFO: i32 = 64;

/// `IPT_SO_GET_ENTRIES` and `IP6T_SO_GET_ENTRIES`, with `struct ipt_get_entries`.
const GET_ENTRIES: i32 = 65;

/// `XT_TABLE_MAXNAMELEN`: what both questions begin with.
const NAME: usize = 32;

/// Length of `struct ipt_getinfo`: a name, hooks, five entries of chains and five ends of them, the
/// count of entries and their length.
const INFO: usize = NAME + 13 * 4;

/// Where the entries begin after a name and their length, aligned.
const ENTRIES: usize = NAME + 8;

/// What is particular to a family.
struct Family {
    name: &'static str,
    family: AddressFamily,
    level: i32,
    /// Length of the description of packets, `nfcache` included: then come the lengths.
    packet: usize,
    /// Where the counters are: packets and bytes.
    counters: usize,
}

const FAMILIES: [Family; 2] = [
    Family {
        name: "ip",
        family: AddressFamily::Inet,
        level: libc::SOL_IP,
        packet: 88,
        counters: 96,
    },
    Family {
        name: "ip6",
        family: AddressFamily::Inet6,
        level: libc::SOL_IPV6,
        packet: 140,
        counters: 152,
    },
];

/// Tables of the network namespace that the calling thread is in, and their rules.
pub(super) fn pod(facts: &mut Facts) -> Result<()> {
    for kind in ["ip", "ip6", "arp"] {
        let names = names(kind)?;
        if names.is_empty() {
            continue;
        }
        facts.put(format!("pod.iptables.{kind}"), names.join(" "));
        if let Some(family) = FAMILIES.iter().find(|family| family.name == kind) {
            names.iter().try_for_each(|table| rules(family, table, facts))?;
        }
    }
    Ok(())
}

/// Names of the tables of a kind, in order.
fn names(kind: &str) -> Result<Vec<String>> {
    let names = read::text_if_shown(format!("/proc/thread-self/net/{kind}_tables_names"))?;
    let names = names.unwrap_or_default();
    let mut names: Vec<String> = names.split_whitespace().map(str::to_owned).collect();
    names.sort_unstable();
    Ok(names)
}

fn rules(family: &Family, table: &str, facts: &mut Facts) -> Result<()> {
    let failed = |call| move |error: io::Error| Error::call(call, table, error);
    let (kind, flags, protocol) = (SockType::Raw, SockFlag::SOCK_CLOEXEC, SockProtocol::Raw);
    let socket = socket(family.family, kind, flags, protocol).map_err(io::Error::from);
    let socket = socket.map_err(failed("socket"))?;
    let mut info = question(table, INFO);
    let asked = sys::ask_socket(socket.as_fd(), family.level, GET_INFO, &mut info);
    asked.map_err(failed("IPT_SO_GET_INFO"))?;
    let bytes = u32_at(&info, INFO - 4);
    let mut entries = question(table, ENTRIES + bytes as usize);
    entries[NAME..NAME + 4].copy_from_slice(&bytes.to_ne_bytes());
    let asked = sys::ask_socket(socket.as_fd(), family.level, GET_ENTRIES, &mut entries);
    asked.map_err(failed("IPT_SO_GET_ENTRIES"))?;
    entries_to_facts(family, table, &mut entries[ENTRIES..], facts)
}

/// What the kernel is given when it is asked about a table; the answer comes in its place.
fn question(table: &str, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    let name = &table.as_bytes()[..table.len().min(NAME - 1)];
    bytes[..name.len()].copy_from_slice(name);
    bytes
}

fn entries_to_facts(
    family: &Family,
    table: &str,
    mut entries: &mut [u8],
    facts: &mut Facts,
) -> Result<()> {
    let name = format!("pod.iptables.{}.{table}", family.name);
    let head = family.counters + 16;
    let mut number = 0;
    while !entries.is_empty() {
        let length = u16_at(entries, family.packet + 2) as usize;
        if length < head || length > entries.len() {
            let what = format!("an entry of {length} bytes where {} are left", entries.len());
            return Err(Error::form(Path::new(&name), what));
        }
        let (entry, rest) = entries.split_at_mut(length);
        entries = rest;
        for (counter, at) in [("packets", family.counters), ("bytes", family.counters + 8)] {
            let (low, high) = (u32_at(entry, at), u32_at(entry, at + 4));
            facts.put(format!("{name}.{number}.{counter}"), u64::from(high) << 32 | u64::from(low));
        }
        // Also what the kernel notes there when it takes a table in: which hooks lead here.
        entry[family.packet + 4..head].fill(0);
        facts.content(format!("{name}.{number}.content"), entry);
        number += 1;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An entry with so many bytes after its counters.
    fn entry(family: &Family, more: usize, packets: u64, byte: u8) -> Vec<u8> {
        let length = family.counters + 16 + more;
        let mut entry = vec![byte; length];
        let at = family.packet + 2;
        entry[at..at + 2].copy_from_slice(&(length as u16).to_ne_bytes());
        entry[family.counters..family.counters + 8].copy_from_slice(&packets.to_ne_bytes());
        entry
    }

    fn seen(family: &Family, bytes: &mut [u8]) -> Result<Facts> {
        let mut facts = Facts::default();
        entries_to_facts(family, "filter", bytes, &mut facts).map(|()| facts)
    }

    #[test]
    fn counters_are_told_apart_from_what_a_rule_does() {
        for family in &FAMILIES {
            let of = |packets, byte| {
                let mut bytes = entry(family, 40, 7, 1);
                bytes.extend(entry(family, 56, packets, byte));
                seen(family, &mut bytes).expect("two entries").facts
            };
            let name = format!("pod.iptables.{}.filter.1", family.name);
            let [packets, content] = ["packets", "content"].map(|word| format!("{name}.{word}"));
            let (one, counted, other) = (of(3, 1), of(4 << 32, 1), of(3, 2));
            assert_ne!(one[&packets], counted[&packets]);
            assert_eq!(one[&content], counted[&content]);
            assert_ne!(one[&content], other[&content]);
            assert_eq!(one.len(), 6);
        }
    }

    #[test]
    fn an_entry_that_cannot_be_is_an_error() {
        let family = &FAMILIES[0];
        for length in [0, 10, 5000] {
            let mut bytes = entry(family, 40, 7, 1);
            bytes[90..92].copy_from_slice(&u16::to_ne_bytes(length));
            assert!(seen(family, &mut bytes).is_err(), "{length}");
        }
    }
}
