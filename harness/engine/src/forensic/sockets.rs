//! Sockets, each once, with those who have it open.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use criu::image::field::{bytes, number, numbers};
use prost_reflect::DynamicMessage;

use super::analysis::{Holder, Socket};
use super::container::Images;
use super::processes::Task;
use super::table::{Known, Table, lossy};

/// Most holders of a socket that are listed.
const MOST_HOLDERS: usize = 1000;

/// Lists the sockets of a container.
pub(super) fn read(images: &mut Images<'_, '_>, table: &Table, tasks: &[Task]) {
    let holders = holders(images, table, tasks);
    let queues = queues(images);
    let names = unix_names(table);
    for (id, known) in table.iter().filter(|(_, known)| known.kind.ends_with("socket")) {
        if !images.row() {
            return;
        }
        let mut socket = match known.kind.as_str() {
            "unix socket" => unix(&known.message, &names),
            "internet socket" => internet(images, &known.message),
            _ => other(known),
        };
        socket.container = images.name.clone();
        socket.receive_queue += queues.get(&id).copied().unwrap_or(0);
        socket.holders = holders.get(&id).cloned().unwrap_or_default();
        images.looker.sockets.push(socket);
    }
}

/// Who has which open file.
fn holders(
    images: &mut Images<'_, '_>,
    table: &Table,
    tasks: &[Task],
) -> BTreeMap<u64, Vec<Holder>> {
    let mut holders: BTreeMap<u64, Vec<Holder>> = BTreeMap::new();
    for task in tasks {
        let Some(id) = task.descriptors else { continue };
        for entry in images.entries(&format!("fdinfo-{id}.img")) {
            let of = |field| number(&entry.message, field);
            if table.get(of("id")).is_some_and(|known| known.kind.ends_with("socket")) {
                let list = holders.entry(of("id")).or_default();
                if list.len() < MOST_HOLDERS {
                    list.push(Holder { pid: task.pid, fd: of("fd") });
                }
            }
        }
    }
    holders
}

/// Bytes of packets that wait, by the number of the socket.
fn queues(images: &mut Images<'_, '_>) -> BTreeMap<u64, u64> {
    let mut queues = BTreeMap::new();
    for entry in images.entries("sk-queues.img") {
        let waiting: &mut u64 = queues.entry(number(&entry.message, "id_for")).or_default();
        *waiting = waiting.saturating_add(number(&entry.message, "length"));
    }
    queues
}

/// Names of unix sockets by inode.
fn unix_names(table: &Table) -> BTreeMap<u64, String> {
    let sockets = table.iter().filter(|(_, known)| known.kind == "unix socket");
    let named = sockets.map(|(_, known)| {
        (number(&known.message, "ino"), unix_name(&bytes(&known.message, "name")))
    });
    named.collect()
}

/// A name in the abstract namespace begins with `@`, as `ss` shows it.
fn unix_name(name: &[u8]) -> String {
    match name.split_first() {
        Some((0, rest)) => format!("@{}", lossy(rest)),
        _ => lossy(name).trim_end_matches('\0').to_owned(),
    }
}

fn unix(socket: &DynamicMessage, names: &BTreeMap<u64, String>) -> Socket {
    let peer = Some(number(socket, "peer")).filter(|peer| *peer != 0);
    Socket {
        family: "unix".to_owned(),
        local: unix_name(&bytes(socket, "name")),
        peer: peer.and_then(|peer| names.get(&peer).cloned()).filter(|name| !name.is_empty()),
        peer_inode: peer,
        state: unix_state(number(socket, "state")).to_owned(),
        ..common(socket)
    }
}

/// Unix sockets borrow TCP's numbers.
fn unix_state(state: u64) -> &'static str {
    match state {
        1 => "connected",
        10 => "listen",
        _ => "unconnected",
    }
}

fn internet(images: &mut Images<'_, '_>, socket: &DynamicMessage) -> Socket {
    let of = |field| number(socket, field);
    let is_tcp = of("proto") == 6;
    let address = |words, port| endpoint(of("family"), &numbers(socket, words), of(port));
    let peer = (of("dst_port") != 0).then(|| address("dst_addr", "dst_port"));
    let image = format!("tcp-stream-{:x}.img", of("ino"));
    let stream = if is_tcp { images.entries(&image) } else { Vec::new() };
    let queue = |field| stream.first().map_or(0, |entry| number(&entry.message, field));
    Socket {
        family: if of("family") == 10 { "inet6" } else { "inet" }.to_owned(),
        protocol: protocol(of("proto")),
        state: if is_tcp { tcp_state(of("state")) } else { datagram_state(of("state")) },
        local: address("src_addr", "src_port"),
        peer,
        receive_queue: queue("inq_len"),
        send_queue: queue("outq_len"),
        ..common(socket)
    }
}

/// Packet, netlink and whatever comes.
fn other(known: &Known) -> Socket {
    let family = known.kind.trim_end_matches(" socket");
    Socket {
        family: family.to_owned(),
        protocol: number(&known.message, "protocol").to_string(),
        ..common(&known.message)
    }
}

fn common(socket: &DynamicMessage) -> Socket {
    Socket {
        container: String::new(),
        inode: number(socket, "ino"),
        family: String::new(),
        kind: kind(number(socket, "type")),
        protocol: String::new(),
        state: String::new(),
        local: String::new(),
        peer: None,
        peer_inode: None,
        receive_queue: 0,
        send_queue: 0,
        holders: Vec::new(),
    }
}

fn kind(number: u64) -> String {
    match number {
        1 => "stream".to_owned(),
        2 => "datagram".to_owned(),
        3 => "raw".to_owned(),
        5 => "seqpacket".to_owned(),
        other => other.to_string(),
    }
}

fn protocol(number: u64) -> String {
    match number {
        1 => "icmp".to_owned(),
        6 => "tcp".to_owned(),
        17 => "udp".to_owned(),
        58 => "icmpv6".to_owned(),
        136 => "udplite".to_owned(),
        other => other.to_string(),
    }
}

/// By their numbers in the kernel (`include/net/tcp_states.h`).
fn tcp_state(state: u64) -> String {
    const STATES: [&str; 12] = [
        "established",
        "syn-sent",
        "syn-received",
        "fin-wait-1",
        "fin-wait-2",
        "time-wait",
        "closed",
        "close-wait",
        "last-ack",
        "listen",
        "closing",
        "new-syn-received",
    ];
    let index = usize::try_from(state).unwrap_or(usize::MAX).wrapping_sub(1);
    STATES.get(index).map_or_else(|| state.to_string(), |state| (*state).to_owned())
}

fn datagram_state(state: u64) -> String {
    if state == 1 { "connected" } else { "unconnected" }.to_owned()
}

/// Addresses are words of 32 bits as they stand in memory, so their bytes are in the order of the
/// network.
fn endpoint(family: u64, words: &[u64], port: u64) -> String {
    let mut octets = [0; 16];
    for (index, word) in words.iter().take(4).enumerate() {
        let word = u32::try_from(*word).unwrap_or(0);
        octets[4 * index..4 * index + 4].copy_from_slice(&word.to_le_bytes());
    }
    let [a, b, c, d, ..] = octets;
    let address = match family {
        10 => IpAddr::V6(Ipv6Addr::from(octets)),
        _ => IpAddr::V4(Ipv4Addr::new(a, b, c, d)),
    };
    match address {
        IpAddr::V6(address) => format!("[{address}]:{port}"),
        IpAddr::V4(address) => format!("{address}:{port}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_in_the_order_of_the_network() {
        assert_eq!(endpoint(2, &[16_777_343], 6379), "127.0.0.1:6379");
        assert_eq!(endpoint(10, &[0, 0, 0, 1 << 24], 80), "[::1]:80");
        assert_eq!(endpoint(2, &[u64::MAX], 1), "0.0.0.0:1", "no address is that wide");
    }

    #[test]
    fn names_of_unix_sockets_are_as_ss_shows_them() {
        assert_eq!(unix_name(b"\0abstract"), "@abstract");
        assert_eq!(unix_name(b"/run/socket\0"), "/run/socket");
        assert_eq!(unix_name(b""), "");
    }
}
