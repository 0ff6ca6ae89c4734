//! Packet sockets: their links, multicast addresses, rings and owners.

use super::put_words;
use crate::facts::Facts;
use crate::netlink::{address, find, u16_at, u32_at};

/// Facts that only a kernel with these diagnostics offers.
pub(super) const NAMES: &[&str] = &["task.*.fd.*.socket.packet.*"];

/// Where `struct packet_diag_msg` has the inode.
pub(super) const INODE: usize = 4;

const MESSAGE: usize = 16;

/// `PACKET_DIAG_*` in include/uapi/linux/packet_diag.h.
const INFO: u16 = 0;
const MULTICAST: u16 = 1;
const FANOUT: u16 = 4;
const UID: u16 = 5;

const RINGS: [(u16, &str); 2] = [(2, "rx_ring"), (3, "tx_ring")];

/// Of `struct packet_diag_info`.
const INFO_WORDS: &[&str] = &["ifindex", "version", "reserve", "copy_thresh", "tstamp", "flags"];

/// Of `struct packet_diag_ring`.
const RING_WORDS: &[&str] =
    &["block_size", "block_nr", "frame_size", "frame_nr", "retire_tmo", "sizeof_priv", "features"];

/// A `struct packet_diag_req`. The filter and the memory of a socket are options of it.
pub(super) fn request() -> [u8; 20] {
    const SHOW_INFO_MULTICAST_RINGS_FANOUT: u8 = 1 | 2 | 4 | 8;
    let mut request = [0; 20];
    request[0] = libc::AF_PACKET as u8;
    request[8] = SHOW_INFO_MULTICAST_RINGS_FANOUT;
    request
}

pub(super) fn put(name: &str, told: Option<&[u8]>, facts: &mut Facts) {
    let name = format!("{name}.packet");
    let Some(told) = told else {
        facts.put(format!("{name}.netns"), "not the pod's");
        return;
    };
    facts.put(format!("{name}.netns"), "the pod's");
    facts.put(format!("{name}.num"), u16_at(told, 2));
    let own = told.get(MESSAGE..).unwrap_or_default();
    if let Some(info) = find(own, INFO) {
        put_words(&name, INFO_WORDS, info, facts);
    }
    for (word, number) in [("fanout", FANOUT), ("uid", UID)] {
        if let Some(value) = find(own, number) {
            facts.put(format!("{name}.{word}"), u32_at(value, 0));
        }
    }
    for (number, word) in RINGS {
        if let Some(ring) = find(own, number) {
            put_words(&format!("{name}.{word}"), RING_WORDS, ring, facts);
        }
    }
    multicast(&name, find(own, MULTICAST).unwrap_or_default(), facts);
}

/// Each a `struct packet_diag_mclist`: link, count, kind, length and address. They are told in the
/// reverse of the order in which they were added, which nobody can see.
fn multicast(name: &str, told: &[u8], facts: &mut Facts) {
    const LENGTH: usize = 44;
    const ADDRESS: usize = 12;
    let one = |entry: &[u8]| {
        let length = usize::from(u16_at(entry, 10)).min(LENGTH - ADDRESS);
        let (kind, count) = (u16_at(entry, 8), u32_at(entry, 4));
        (address(&entry[ADDRESS..ADDRESS + length]), kind, u32_at(entry, 0), count)
    };
    let mut all: Vec<_> = told.chunks_exact(LENGTH).map(one).collect();
    all.sort();
    for (index, (address, kind, link, count)) in all.into_iter().enumerate() {
        let name = format!("{name}.mclist.{index}");
        facts.put(format!("{name}.address"), address);
        facts.put(format!("{name}.type"), kind);
        facts.put(format!("{name}.ifindex"), link);
        facts.put(format!("{name}.count"), count);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rings_and_multicast_addresses_are_told_word_by_word() {
        let words = |words: &[u32]| words.iter().flat_map(|word| word.to_ne_bytes()).collect();
        let attribute = |number: u16, value: Vec<u8>| {
            let length = (4 + value.len() as u16).to_ne_bytes();
            [length.to_vec(), number.to_ne_bytes().to_vec(), value].concat()
        };
        let entry = |last: u8| {
            let mut entry: Vec<u8> = words(&[2, 1]);
            entry.extend([0u16.to_ne_bytes(), 6u16.to_ne_bytes()].concat());
            entry.extend([1, 0, 0x5e, 0, 0, last]);
            entry.resize(44, 0);
            entry
        };
        let told = [
            vec![17, 3, 3, 0],
            words(&[4711, 0, 0]),
            attribute(INFO, words(&[2, 2, 0, 0, 0, 1])),
            attribute(MULTICAST, [entry(9), entry(1)].concat()),
            attribute(RINGS[0].0, words(&[4096, 4, 2048, 8, 60, 0, 0])),
        ];
        let mut facts = Facts::default();
        put("s", Some(&told.concat()), &mut facts);
        let names: Vec<&str> = facts.facts.keys().map(String::as_str).collect();
        assert_eq!(names.len(), 2 + INFO_WORDS.len() + RING_WORDS.len() + 8, "{names:?}");
        let first = facts.facts.get("s.packet.mclist.0.address");
        assert!(format!("{first:?}").contains("01:00:5e:00:00:01"), "{first:?}");
    }
}
