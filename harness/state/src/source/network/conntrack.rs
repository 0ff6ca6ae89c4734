//! Connections that the kernel tracks.

use crate::error::Result;
use crate::facts::Facts;
use crate::netlink::Shape::{Address, Bits, Nested, Network, Opaque, Text};
use crate::netlink::{Field, Links, Netlink, Scribe, address, field, find};

/// `NFNL_SUBSYS_CTNETLINK` and `IPCTNL_MSG_CT_GET`.
const GET: u16 = 1 << 8 | 1;

/// Length of `struct nfgenmsg`.
const HEADER: usize = 4;

const ADDRESSES: &[Field] = &[
    field(1, "src", Address),
    field(2, "dst", Address),
    field(3, "src", Address),
    field(4, "dst", Address),
];

const PROTOCOL: &[Field] = &[
    field(1, "num", Network),
    field(2, "sport", Network),
    field(3, "dport", Network),
    field(4, "icmp_id", Network),
    field(5, "icmp_type", Network),
    field(6, "icmp_code", Network),
];

const TUPLE: &[Field] = &[
    field(1, "ip", Nested(ADDRESSES)),
    field(2, "proto", Nested(PROTOCOL)),
    field(3, "zone", Network),
];

const HELPER: &[Field] = &[field(1, "name", Text), field(2, "info", Opaque)];

/// `CTA_*` in include/uapi/linux/netfilter/nfnetlink_conntrack.h.
const TRACKED: &[Field] = &[
    field(1, "original", Nested(TUPLE)),
    field(2, "reply", Nested(TUPLE)),
    field(3, "status", Bits),
    field(4, "protoinfo", Opaque),
    field(5, "help", Nested(HELPER)),
    field(7, "timeout", Network),
    field(8, "mark", Network),
    field(9, "counters_original", Opaque),
    field(10, "counters_reply", Opaque),
    field(11, "use", Network),
    field(12, "id", Network),
    field(14, "master", Nested(TUPLE)),
    field(15, "seq_adj_original", Opaque),
    field(16, "seq_adj_reply", Opaque),
    field(18, "zone", Network),
    field(19, "secmark", Network),
    field(20, "timestamp", Opaque),
    field(21, "secctx", Opaque),
    field(22, "labels", Opaque),
];

/// All connections; asking would load the tracker where it is not.
pub(super) fn pod(links: &Links, facts: &mut Facts) -> Result<()> {
    if !std::path::Path::new("/proc/sys/net/netfilter/nf_conntrack_max").exists() {
        facts.not_offered("pod.conntrack.*", "connection tracking is not loaded");
        return Ok(());
    }
    let netlink = Netlink::open(libc::NETLINK_NETFILTER, "conntrack", &["pod.conntrack.*"], facts)?;
    let Some(mut netlink) = netlink else { return Ok(()) };
    for told in netlink.table(GET, &[0; HEADER], &["pod.conntrack.*"], facts)?.unwrap_or_default() {
        let own = told.get(HEADER..).unwrap_or_default();
        let name = format!("pod.conntrack.{}", key(own));
        Scribe::row(&name, links, facts).attributes(own, TRACKED);
    }
    Ok(())
}

/// Protocol, source and destination of its first packet.
fn key(own: &[u8]) -> String {
    let tuple = find(own, 1).unwrap_or_default();
    let (ip, proto) = (find(tuple, 1).unwrap_or_default(), find(tuple, 2).unwrap_or_default());
    let of = |v4, v6| address(find(ip, v4).or_else(|| find(ip, v6)).unwrap_or_default());
    let number = |what| {
        let bytes = find(proto, what).unwrap_or_default();
        bytes.iter().fold(0u32, |number, byte| number << 8 | u32::from(*byte))
    };
    format!("{} {}:{}-{}:{}", number(1), of(1, 3), number(2), of(2, 4), number(3))
}
