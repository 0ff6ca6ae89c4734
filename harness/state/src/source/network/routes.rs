//! Routes, rules, neighbours, nexthops and the labels of addresses.

use super::words::{
    FAMILIES, PREFERENCES, PROTOCOLS, ROUTE_TYPES, RULE_ACTIONS, SCOPES, TABLES, flags,
};
use crate::error::Result;
use crate::facts::Facts;
use crate::netlink::Shape::{
    Address, Bits, Flag, Link, Named, Nested, Network, Number, Opaque, Signed, Text,
};
use crate::netlink::{Field, Links, Netlink, Scribe, address, field, find, named, u16_at, u32_at};

const RTM_GETNEXTHOP: u16 = 106;

/// Everything of this kind, of all families.
pub(super) fn pod(netlink: &mut Netlink, links: &Links, facts: &mut Facts) -> Result<()> {
    let mut each = |kind, body: &[u8], names, row: fn(&[u8], &Links, &mut Facts)| -> Result<()> {
        let told = netlink.table(kind, body, &[names], facts)?.unwrap_or_default();
        told.iter().for_each(|told| row(told, links, facts));
        Ok(())
    };
    each(libc::RTM_GETROUTE, &[0; 12], "pod.route.*", route)?;
    each(libc::RTM_GETRULE, &[0; 12], "pod.rule*", rule)?;
    each(libc::RTM_GETNEIGH, &[0; 12], "pod.neigh*", neighbour)?;
    each(libc::RTM_GETNEIGH, &proxies(), "pod.neigh_proxy.*", neighbour)?;
    each(RTM_GETNEXTHOP, &[0; 8], "pod.nexthop.*", nexthop)?;
    each(libc::RTM_GETADDRLABEL, &labels(), "pod.addrlabel.*", label)
}

/// A `struct ifaddrlblmsg`: all labels, which only IPv6 has.
fn labels() -> [u8; 12] {
    let mut request = [0; 12];
    request[0] = libc::AF_INET6 as u8;
    request
}

/// `RTAX_*` in include/uapi/linux/rtnetlink.h.
const METRICS: &[Field] = &[
    field(1, "lock", Bits),
    field(2, "mtu", Number),
    field(3, "window", Number),
    field(4, "rtt", Number),
    field(5, "rttvar", Number),
    field(6, "ssthresh", Number),
    field(7, "cwnd", Number),
    field(8, "advmss", Number),
    field(9, "reordering", Number),
    field(10, "hoplimit", Number),
    field(11, "initcwnd", Number),
    field(12, "features", Bits),
    field(13, "rto_min", Number),
    field(14, "initrwnd", Number),
    field(15, "quickack", Number),
    field(16, "congctl", Text),
    field(17, "fastopen_no_cookie", Number),
];

/// `RTA_*` in include/uapi/linux/rtnetlink.h.
const ROUTE: &[Field] = &[
    field(2, "src", Address),
    field(3, "iif", Link),
    field(4, "dev", Link),
    field(5, "gateway", Address),
    field(6, "metric", Number),
    field(7, "prefsrc", Address),
    field(8, "metrics", Nested(METRICS)),
    field(10, "protoinfo", Opaque),
    field(11, "flow", Bits),
    field(12, "cacheinfo", Opaque),
    field(16, "mark", Bits),
    field(17, "mfc_stats", Opaque),
    field(18, "via", Opaque),
    field(19, "newdst", Opaque),
    field(20, "pref", Named(PREFERENCES)),
    field(21, "encap_type", Number),
    field(22, "encap", Opaque),
    field(23, "expires", Number),
    field(25, "uid", Number),
    field(26, "ttl_propagate", Number),
    field(30, "nhid", Number),
    field(31, "flowlabel", Bits),
];

const RTA_DST: u16 = 1;
const RTA_OIF: u16 = 4;
const RTA_PRIORITY: u16 = 6;
const RTA_MULTIPATH: u16 = 9;
const RTA_TABLE: u16 = 15;

const NEXTHOP_FLAGS: &[&str] =
    &["dead", "pervasive", "onlink", "offload", "linkdown", "unresolved", "trap"];

/// A `struct rtmsg` and its attributes.
fn route(told: &[u8], links: &Links, facts: &mut Facts) {
    let Some((&[family, to, from, tos, table, protocol, scope, kind, ..], own)) =
        told.split_first_chunk::<12>()
    else {
        return;
    };
    let table = find(own, RTA_TABLE).map_or(table.into(), |value| u32_at(value, 0));
    let (table, kind) = (named(TABLES, table), named(ROUTE_TYPES, kind.into()));
    let destination = destination(family, find(own, RTA_DST), to);
    let device = find(own, RTA_OIF).map(|value| u32_at(value, 0));
    let device = device.and_then(|index| links.get(&index)).map_or("", String::as_str);
    let metric = find(own, RTA_PRIORITY).map(|value| format!(" {}", u32_at(value, 0)));
    let key = format!("{table} {kind} {destination} {device}{}", metric.unwrap_or_default());
    let mut row = Scribe::row(&format!("pod.route.{}", key.trim_end()), links, facts);
    row.put("family", named(FAMILIES, family.into()));
    row.put("table", table);
    row.put("type", kind);
    row.put("dst", destination);
    row.put("protocol", named(PROTOCOLS, protocol.into()));
    row.put("scope", named(SCOPES, scope.into()));
    row.put("tos", tos);
    row.put("src_len", from);
    row.put("flags", flags(NEXTHOP_FLAGS, u32_at(told, 8)).join(" "));
    row.attributes_but(&[RTA_DST, RTA_TABLE, RTA_MULTIPATH], own, ROUTE);
    hops(&mut row, find(own, RTA_MULTIPATH).unwrap_or_default());
}

/// `default`, `10.0.0.0/8`, or the address alone.
fn destination(family: u8, bytes: Option<&[u8]>, length: u8) -> String {
    let bits = if i32::from(family) == libc::AF_INET { 32 } else { 128 };
    match bytes {
        None if length == 0 => "default".to_owned(),
        bytes if length == bits => address(bytes.unwrap_or_default()),
        bytes => format!("{}/{length}", address(bytes.unwrap_or_default())),
    }
}

/// Each a `struct rtnexthop` and its attributes.
fn hops(row: &mut Scribe<'_>, mut bytes: &[u8]) {
    let route = row.name.clone();
    for index in 0.. {
        let length = usize::from(u16_at(bytes, 0));
        let Some(hop) = bytes.get(..length).filter(|hop| hop.len() >= 8) else { break };
        row.name = format!("{route}.nexthops.{index}");
        row.put("dev", row.link(u32_at(hop, 4)));
        row.put("flags", flags(NEXTHOP_FLAGS, hop[2].into()).join(" "));
        row.put("weight", u32::from(hop[3]) + 1);
        row.attributes(&hop[8..], ROUTE);
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    row.name = route;
}

/// `FRA_*` in include/uapi/linux/fib_rules.h.
const RULE: &[Field] = &[
    field(1, "dst", Address),
    field(2, "src", Address),
    field(3, "iif", Text),
    field(4, "goto", Number),
    field(6, "priority", Number),
    field(10, "fwmark", Bits),
    field(11, "flow", Bits),
    field(12, "tun_id", Network),
    field(13, "suppress_ifgroup", Signed),
    field(14, "suppress_prefixlength", Signed),
    field(15, "table", Named(TABLES)),
    field(16, "fwmask", Bits),
    field(17, "oif", Text),
    field(19, "l3mdev", Number),
    field(20, "uid_range", Opaque),
    field(21, "protocol", Named(PROTOCOLS)),
    field(22, "ipproto", Number),
    field(23, "sport", Opaque),
    field(24, "dport", Opaque),
    field(25, "dscp", Number),
    field(26, "flowlabel", Network),
    field(27, "flowlabel_mask", Network),
];

const FRA_PRIORITY: u16 = 6;

/// A `struct fib_rule_hdr` and its attributes.
fn rule(told: &[u8], links: &Links, facts: &mut Facts) {
    let Some((&[family, to, from, tos, _, _, _, action, ..], own)) = told.split_first_chunk::<12>()
    else {
        return;
    };
    let list = match i32::from(family) {
        libc::AF_INET => "rule".to_owned(),
        libc::AF_INET6 => "rule6".to_owned(),
        _ => format!("rule_{}", named(FAMILIES, family.into())),
    };
    let priority = find(own, FRA_PRIORITY).map_or(0, |value| u32_at(value, 0));
    let mut row = Scribe::row(&format!("pod.{list}.{priority}"), links, facts);
    row.put("dst_len", to);
    row.put("src_len", from);
    row.put("tos", tos);
    row.put("action", named(RULE_ACTIONS, action.into()));
    row.put("flags", format!("{:#x}", u32_at(told, 8)));
    if priority == 0 {
        row.put("priority", 0);
    }
    let zero: &[u16] = if priority == 0 { &[FRA_PRIORITY] } else { &[] };
    row.attributes_but(zero, own, RULE);
}

/// `NDA_*` in include/uapi/linux/neighbour.h.
const NEIGHBOUR: &[Field] = &[
    field(1, "dst", Address),
    field(2, "lladdr", Address),
    field(3, "cacheinfo", Opaque),
    field(4, "probes", Number),
    field(5, "vlan", Number),
    field(6, "port", Network),
    field(7, "vni", Number),
    field(8, "via", Link),
    field(9, "master", Link),
    field(10, "link_netnsid", Signed),
    field(11, "src_vni", Number),
    field(12, "protocol", Named(PROTOCOLS)),
    field(13, "nhid", Number),
    field(14, "fdb_ext_attrs", Opaque),
    field(15, "flags_ext", Bits),
    field(16, "ndm_state_mask", Bits),
    field(17, "ndm_flags_mask", Bits),
];

const NTF_PROXY: u8 = 8;

const NEIGHBOUR_STATES: &[&str] =
    &["INCOMPLETE", "REACHABLE", "STALE", "DELAY", "PROBE", "FAILED", "NOARP", "PERMANENT"];

/// Proxies are a list of their own.
fn proxies() -> [u8; 12] {
    let mut request = [0; 12];
    request[10] = NTF_PROXY;
    request
}

/// A `struct ndmsg` and its attributes. What is not permanent is a cache, which fills and ages.
fn neighbour(told: &[u8], links: &Links, facts: &mut Facts) {
    let Some((&[family, .., flag, kind], own)) = told.split_first_chunk::<12>() else { return };
    let states = flags(NEIGHBOUR_STATES, u16_at(told, 8).into()).join(" ");
    let list = match states.as_str() {
        _ if flag & NTF_PROXY != 0 => "neigh_proxy",
        "PERMANENT" => "neigh",
        _ => "neigh_cache",
    };
    let device = links.get(&u32_at(told, 4)).map_or("", String::as_str);
    let destination = address(find(own, 1).or_else(|| find(own, 2)).unwrap_or_default());
    let mut row = Scribe::row(&format!("pod.{list}.{device} {destination}"), links, facts);
    row.put("family", named(FAMILIES, family.into()));
    row.put("dev", device);
    row.put("state", states);
    row.put("flags", format!("{flag:#x}"));
    row.put("type", named(ROUTE_TYPES, kind.into()));
    row.attributes(own, NEIGHBOUR);
}

/// `NHA_*` in include/uapi/linux/nexthop.h.
const NEXTHOP: &[Field] = &[
    field(1, "id", Number),
    field(2, "group", Opaque),
    field(3, "group_type", Number),
    field(4, "blackhole", Flag),
    field(5, "dev", Link),
    field(6, "gateway", Address),
    field(7, "encap_type", Number),
    field(8, "encap", Opaque),
    field(11, "fdb", Flag),
    field(12, "resilient", Opaque),
];

/// A `struct nhmsg` and its attributes.
fn nexthop(told: &[u8], links: &Links, facts: &mut Facts) {
    let Some((&[family, scope, protocol, ..], own)) = told.split_first_chunk::<8>() else { return };
    let id = find(own, 1).map_or(0, |value| u32_at(value, 0));
    let mut row = Scribe::row(&format!("pod.nexthop.{id}"), links, facts);
    row.put("family", named(FAMILIES, family.into()));
    row.put("scope", named(SCOPES, scope.into()));
    row.put("protocol", named(PROTOCOLS, protocol.into()));
    row.put("flags", flags(NEXTHOP_FLAGS, u32_at(told, 4)).join(" "));
    row.attributes(own, NEXTHOP);
}

/// A `struct ifaddrlblmsg` and its attributes: which addresses RFC 6724 prefers.
fn label(told: &[u8], links: &Links, facts: &mut Facts) {
    const ADDRESS: u16 = 1;
    const LABEL: u16 = 2;
    let Some((&[_, _, prefix, ..], own)) = told.split_first_chunk::<12>() else { return };
    let of = address(find(own, ADDRESS).unwrap_or_default());
    let device = links.get(&u32_at(told, 4)).map_or(String::new(), |link| format!(" {link}"));
    let mut row = Scribe::row(&format!("pod.addrlabel.{of}/{prefix}{device}"), links, facts);
    row.put("label", find(own, LABEL).map_or(0, |value| u32_at(value, 0)));
    row.attributes_but(&[ADDRESS, LABEL], own, &[]);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observed::Seen;

    fn attribute(number: u16, value: &[u8]) -> Vec<u8> {
        let header = [(4 + value.len() as u16).to_ne_bytes(), number.to_ne_bytes()].concat();
        [&header, value].concat()
    }

    #[test]
    fn a_route_is_known_by_where_it_leads_and_all_its_hops_are_told() {
        let links = Links::from([(2, "eth0".to_owned())]);
        let hop = [&[16, 0, 0, 4, 2, 0, 0, 0][..], &attribute(5, &[10, 0, 0, 9])].concat();
        let header = [2, 8, 0, 0, 254, 3, 0, 1, 0, 0, 0, 0].to_vec();
        let told =
            [header, attribute(1, &[10, 0, 0, 0]), attribute(9, &[hop.clone(), hop].concat())];
        let mut facts = Facts::default();
        route(&told.concat(), &links, &mut facts);
        let value = |name: &str| {
            let name = format!("pod.route.main unicast 10.0.0.0/8.{name}");
            facts.facts.get(&name).cloned()
        };
        let exact = |text: &str| Some(Seen::Text(text.to_owned()));
        assert_eq!(value("protocol"), exact("boot"));
        assert_eq!(value("nexthops.1.gateway"), exact("10.0.0.9"));
        assert_eq!(
            (value("nexthops.0.dev"), value("nexthops.0.weight")),
            (exact("eth0"), exact("5"))
        );
    }
}
