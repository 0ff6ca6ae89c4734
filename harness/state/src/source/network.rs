//! The pod's network beside the sockets of its tasks: links, addresses, routes, rules, neighbours,
//! nexthops, queueing, transforms, tracked connections and packet filters.
//!
//! All of it is asked for by netlink. Starting `ip`, `tc` and `nft` would cost more than all the
//! rest of a capture under emulation, and show less.

mod conntrack;
mod iptables;
mod links;
mod nftables;
mod queueing;
mod routes;
mod words;
mod xfrm;

use crate::error::Result;
use crate::facts::Facts;
use crate::netlink::{Links, Netlink};

const OF_ROUTE: &[&str] = &[
    "pod.link.*",
    "pod.addr.*",
    "pod.route.*",
    "pod.rule*",
    "pod.neigh*",
    "pod.nexthop.*",
    "pod.addrlabel.*",
    "pod.qdisc.*",
    "pod.class.*",
    "pod.filter.*",
];

/// What the network namespace has that the calling thread is in.
pub(crate) fn pod(facts: &mut Facts) -> Result<()> {
    let mut links = Links::default();
    if let Some(mut route) = Netlink::open(libc::NETLINK_ROUTE, "rtnetlink", OF_ROUTE, facts)? {
        links = links::pod(&mut route, facts)?;
        routes::pod(&mut route, &links, facts)?;
        queueing::pod(&mut route, &links, facts)?;
    }
    xfrm::pod(&links, facts)?;
    conntrack::pod(&links, facts)?;
    nftables::pod(facts)?;
    iptables::pod(facts)
}
