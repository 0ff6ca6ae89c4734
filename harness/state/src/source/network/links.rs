//! Links and their addresses.

use super::words::{
    ADDRESS_FLAGS, ADDRESS_MODES, ADDRESS_PROTOCOLS, FAMILIES, LINK_FLAGS, LINK_MODES, LINK_TYPES,
    OPERSTATES, SCOPES, flags,
};
use crate::error::Result;
use crate::facts::Facts;
use crate::netlink::Shape::{Address, Bits, Link, Named, Nested, Number, Opaque, Signed, Text};
use crate::netlink::{Field, Links, Netlink, Scribe, address, field, find, named, u16_at, u32_at};

/// Length of `struct ifinfomsg`.
const LINK_HEADER: usize = 16;

/// Length of `struct ifaddrmsg`.
const ADDRESS_HEADER: usize = 8;

const INFO: &[Field] = &[
    field(1, "info_kind", Text),
    field(2, "info_data", Opaque),
    field(3, "info_xstats", Opaque),
    field(4, "info_slave_kind", Text),
    field(5, "info_slave_data", Opaque),
];

const INET6: &[Field] = &[
    field(1, "flags", Bits),
    field(2, "conf", Opaque),
    field(3, "stats", Opaque),
    field(5, "cacheinfo", Opaque),
    field(6, "icmp6stats", Opaque),
    field(7, "token", Address),
    field(8, "addr_gen_mode", Named(ADDRESS_MODES)),
    field(9, "ra_mtu", Number),
];

const OF_FAMILIES: &[Field] = &[
    field(2, "inet", Nested(&[field(1, "conf", Opaque)])),
    field(7, "bridge", Opaque),
    field(10, "inet6", Nested(INET6)),
];

const XDP: &[Field] = &[
    field(1, "fd", Number),
    field(2, "attached", Number),
    field(3, "flags", Bits),
    field(4, "prog_id", Number),
    field(5, "drv_prog_id", Number),
    field(6, "skb_prog_id", Number),
    field(7, "hw_prog_id", Number),
];

/// `IFLA_*` in include/uapi/linux/if_link.h.
const LINK: &[Field] = &[
    field(1, "address", Address),
    field(2, "broadcast", Address),
    field(3, "ifname", Text),
    field(4, "mtu", Number),
    field(5, "link_index", Number),
    field(6, "qdisc", Text),
    field(7, "stats", Opaque),
    field(10, "master", Link),
    field(12, "protinfo", Opaque),
    field(13, "txqlen", Number),
    field(14, "map", Opaque),
    field(15, "weight", Number),
    field(16, "operstate", Named(OPERSTATES)),
    field(17, "linkmode", Named(LINK_MODES)),
    field(18, "linkinfo", Nested(INFO)),
    field(20, "ifalias", Text),
    field(21, "num_vf", Number),
    field(22, "vfinfo_list", Opaque),
    field(23, "stats64", Opaque),
    field(24, "vf_ports", Opaque),
    field(26, "af_spec", Nested(OF_FAMILIES)),
    field(27, "group", Number),
    field(30, "promiscuity", Number),
    field(31, "num_tx_queues", Number),
    field(32, "num_rx_queues", Number),
    field(33, "carrier", Number),
    field(34, "phys_port_id", Address),
    field(35, "carrier_changes", Number),
    field(36, "phys_switch_id", Address),
    field(37, "link_netnsid", Signed),
    field(38, "phys_port_name", Text),
    field(39, "proto_down", Number),
    field(40, "gso_max_segs", Number),
    field(41, "gso_max_size", Number),
    field(43, "xdp", Nested(XDP)),
    field(47, "carrier_up_count", Number),
    field(48, "carrier_down_count", Number),
    field(50, "min_mtu", Number),
    field(51, "max_mtu", Number),
    field(52, "altnames", Nested(&[field(53, "altname", Text)])),
    field(54, "permaddr", Address),
    field(55, "proto_down_reason", Opaque),
    field(56, "parentdev", Text),
    field(57, "parentbus", Text),
    field(58, "gro_max_size", Number),
    field(59, "tso_max_size", Number),
    field(60, "tso_max_segs", Number),
    field(61, "allmulti", Number),
    field(62, "devlink_port", Opaque),
    field(63, "gso_ipv4_max_size", Number),
    field(64, "gro_ipv4_max_size", Number),
    field(65, "dpll_pin", Opaque),
    field(66, "max_pacing_offload_horizon", Number),
    field(67, "netns_immutable", Number),
];

/// Links and addresses; the names of the links by their numbers.
pub(super) fn pod(route: &mut Netlink, facts: &mut Facts) -> Result<Links> {
    let told =
        route.table(libc::RTM_GETLINK, &request(), &["pod.link.*"], facts)?.unwrap_or_default();
    let name = |link: &Vec<u8>| {
        let ifname = find(link.get(LINK_HEADER..)?, libc::IFLA_IFNAME)?;
        let ifname = ifname.strip_suffix(&[0]).unwrap_or(ifname);
        Some((u32_at(link, 4), String::from_utf8_lossy(ifname).into_owned()))
    };
    let links: Links = told.iter().filter_map(name).collect();
    told.iter().for_each(|told| link(told, &links, facts));
    for told in route
        .table(libc::RTM_GETADDR, &[0; ADDRESS_HEADER], &["pod.addr.*"], facts)?
        .unwrap_or_default()
    {
        of_link(&told, &links, facts);
    }
    Ok(links)
}

/// All links with all that they have, but for what they have counted.
fn request() -> Vec<u8> {
    const EXT_MASK: u16 = 29;
    const VF: u32 = 1;
    const SKIP_STATS: u32 = 8;
    let mut request = vec![0; LINK_HEADER];
    request.extend([8u16.to_ne_bytes(), EXT_MASK.to_ne_bytes()].concat());
    request.extend((VF | SKIP_STATS).to_ne_bytes());
    request
}

/// A `struct ifinfomsg` and its attributes.
fn link(told: &[u8], links: &Links, facts: &mut Facts) {
    let index = u32_at(told, 4);
    let name = links.get(&index).cloned().unwrap_or_else(|| index.to_string());
    let mut row = Scribe::row(&format!("pod.link.{name}"), links, facts);
    row.put("ifindex", index);
    row.put("link_type", named(LINK_TYPES, u16_at(told, 2).into()));
    row.put("flags", flags(LINK_FLAGS, u32_at(told, 8)).join(" "));
    row.attributes(told.get(LINK_HEADER..).unwrap_or_default(), LINK);
}

/// `IFA_*` in include/uapi/linux/if_addr.h. What is left of its lifetime stands in a struct.
const ADDRESS: &[Field] = &[
    field(1, "address", Address),
    field(3, "label", Text),
    field(4, "broadcast", Address),
    field(5, "anycast", Address),
    field(7, "multicast", Address),
    field(9, "metric", Number),
    field(11, "protocol", Named(ADDRESS_PROTOCOLS)),
];

const IFA_FLAGS: u16 = 8;

/// A `struct ifaddrmsg` and its attributes.
fn of_link(told: &[u8], links: &Links, facts: &mut Facts) {
    let [family, prefix, flag, scope, ..] = *told else { return };
    let own = told.get(ADDRESS_HEADER..).unwrap_or_default();
    let local = find(own, libc::IFA_LOCAL).or_else(|| find(own, libc::IFA_ADDRESS));
    let local = address(local.unwrap_or_default());
    let link = links.get(&u32_at(told, 4)).map_or("", String::as_str);
    let mut row = Scribe::row(&format!("pod.addr.{link} {local}/{prefix}"), links, facts);
    row.put("family", named(FAMILIES, family.into()));
    row.put("prefixlen", prefix);
    row.put("scope", named(SCOPES, scope.into()));
    let bits = find(own, IFA_FLAGS).map_or(flag.into(), |value| u32_at(value, 0));
    flags(ADDRESS_FLAGS, bits).iter().for_each(|flag| row.put(flag, true));
    if let Some(times) = find(own, libc::IFA_CACHEINFO) {
        row.put("preferred_life_time", u32_at(times, 0));
        row.put("valid_life_time", u32_at(times, 4));
    }
    row.put("local", local);
    let told = [libc::IFA_LOCAL, IFA_FLAGS, libc::IFA_CACHEINFO];
    row.attributes_but(&told, own, ADDRESS);
}
