//! The pod's network beside the sockets of its tasks: links, addresses, routes, rules, neighbours,
//! nexthops, queueing, transforms, tracked connections and packet filters.
//!
//! All of it is asked for by netlink. Starting `ip`, `tc` and `nft` would cost more than all the
//! rest of a capture under emulation, and show less.

mod conntrack;
mod links;
mod nftables;
mod queueing;
mod routes;
mod words;
mod xfrm;

use crate::error::Result;
use crate::facts::Facts;
use crate::netlink::Netlink;
use crate::read;

/// What the network namespace has that the calling thread is in.
pub(crate) fn pod(facts: &mut Facts) -> Result<()> {
    let mut route = Netlink::open(libc::NETLINK_ROUTE, "rtnetlink")?;
    let links = links::pod(&mut route, facts)?;
    routes::pod(&mut route, &links, facts)?;
    queueing::pod(&mut route, &links, facts)?;
    let families = families()?;
    if families.contains(&libc::NETLINK_XFRM) {
        xfrm::pod(&links, facts)?;
    } else {
        facts.not_offered("pod.xfrm_*", "transforms are not loaded");
    }
    if families.contains(&libc::NETLINK_NETFILTER) {
        conntrack::pod(&links, facts)?;
        nftables::pod(facts)?;
    } else {
        facts.not_offered("pod.nft.*", "packet filters are not loaded");
    }
    legacy_tables(facts)
}

/// Which tables of the older iptables the network namespace has.
fn legacy_tables(facts: &mut Facts) -> Result<()> {
    for family in ["ip", "ip6", "arp"] {
        let names = read::text_if_shown(format!("/proc/thread-self/net/{family}_tables_names"))?;
        let names = names.unwrap_or_default();
        let mut names: Vec<&str> = names.split_whitespace().collect();
        names.sort_unstable();
        if !names.is_empty() {
            facts.put(format!("pod.iptables.{family}"), names.join(" "));
        }
    }
    Ok(())
}

/// Which families of netlink the kernel has loaded: it has a socket of its own for each. Opening
/// one that is not would load it.
fn families() -> Result<Vec<i32>> {
    let table = read::text("/proc/thread-self/net/netlink")?;
    let family = |line: &str| line.split_whitespace().nth(1)?.parse().ok();
    Ok(table.lines().filter_map(family).collect())
}
