//! Queueing disciplines, their classes and their filters.

use crate::error::Result;
use crate::facts::Facts;
use crate::netlink::Shape::{Flag, Number, Opaque, Text};
use crate::netlink::{Field, Links, Netlink, Scribe, field, u32_at};

/// Length of `struct tcmsg`.
const HEADER: usize = 20;

const TCA_DUMP_INVISIBLE: u16 = 10;

/// Parents that are no class of a qdisc: include/uapi/linux/pkt_sched.h.
const INGRESS: u32 = 0xffff_fff1;
const CLSACT_INGRESS: u32 = 0xffff_fff2;
const CLSACT_EGRESS: u32 = 0xffff_fff3;
const ROOT: u32 = 0xffff_ffff;

/// `TCA_*` in include/uapi/linux/rtnetlink.h. What has been counted is left out.
const QUEUEING: &[Field] = &[
    field(1, "kind", Text),
    field(2, "options", Opaque),
    field(5, "rate", Opaque),
    field(6, "fcnt", Opaque),
    field(8, "stab", Opaque),
    field(TCA_DUMP_INVISIBLE, "invisible", Flag),
    field(11, "chain", Number),
    field(12, "hw_offload", Number),
    field(13, "ingress_block", Number),
    field(14, "egress_block", Number),
];

const STATS: [u16; 3] = [3, 4, 7];

/// Everything of this kind. Who has not given a qdisc a handle has neither classes nor filters.
pub(super) fn pod(netlink: &mut Netlink, links: &Links, facts: &mut Facts) -> Result<()> {
    let mut request = header(0, 0);
    request.extend([4u16.to_ne_bytes(), TCA_DUMP_INVISIBLE.to_ne_bytes()].concat());
    let qdiscs =
        netlink.table(libc::RTM_GETQDISC, &request, &["pod.qdisc.*"], facts)?.unwrap_or_default();
    for told in &qdiscs {
        one("qdisc", told, links, facts);
        let (link, handle) = (u32_at(told, 4), u32_at(told, 8));
        if handle == 0 {
            continue;
        }
        let below = header(link, 0);
        for told in
            netlink.table(libc::RTM_GETTCLASS, &below, &["pod.class.*"], facts)?.unwrap_or_default()
        {
            if u32_at(&told, 8) & 0xffff_0000 == handle {
                one("class", &told, links, facts);
            }
        }
        let parents = match u32_at(told, 12) {
            INGRESS => vec![CLSACT_INGRESS, CLSACT_EGRESS],
            _ => vec![handle],
        };
        for parent in parents {
            let below = header(link, parent);
            let filters = netlink
                .table(libc::RTM_GETTFILTER, &below, &["pod.filter.*"], facts)?
                .unwrap_or_default();
            filters.iter().for_each(|told| one("filter", told, links, facts));
        }
    }
    Ok(())
}

/// A `struct tcmsg`: of a link, below a parent.
fn header(link: u32, parent: u32) -> Vec<u8> {
    [0, link, 0, parent, 0].map(u32::to_ne_bytes).concat()
}

/// A `struct tcmsg` and its attributes.
fn one(list: &str, told: &[u8], links: &Links, facts: &mut Facts) {
    let link = links.get(&u32_at(told, 4)).map_or("", String::as_str);
    let parent = handle(u32_at(told, 12));
    let mut row = Scribe::row(&format!("pod.{list}.{link} {parent}"), links, facts);
    row.put("dev", link);
    row.put("parent", parent);
    row.put("handle", handle(u32_at(told, 8)));
    match list {
        "qdisc" => row.put("refcnt", u32_at(told, 16)),
        _ => row.put("info", format!("{:#x}", u32_at(told, 16))),
    }
    row.attributes_but(&STATS, told.get(HEADER..).unwrap_or_default(), QUEUEING);
}

fn handle(number: u32) -> String {
    match number {
        ROOT => "root".to_owned(),
        INGRESS => "ingress".to_owned(),
        CLSACT_INGRESS => "clsact ingress".to_owned(),
        CLSACT_EGRESS => "clsact egress".to_owned(),
        _ if number & 0xffff == 0 => format!("{:x}:", number >> 16),
        _ => format!("{:x}:{:x}", number >> 16, number & 0xffff),
    }
}
