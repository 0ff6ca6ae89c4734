//! Packet filters of nftables, among them those of `iptables-nft`.
//!
//! Whether there are any is asked of the kernel. Only then `nft` is started, which has words for
//! them; what it has none for is in the digests of the kernel's own messages.

use std::collections::BTreeMap;

use serde_json::Value as Json;

use crate::error::Result;
use crate::facts::Facts;
use crate::netlink::{Netlink, attributes, find};
use crate::source::tool;

/// `NFNL_SUBSYS_NFTABLES`.
const NFTABLES: u16 = 10 << 8;
const GET_TABLE: u16 = NFTABLES | 1;
const GET_RULE: u16 = NFTABLES | 7;

/// Length of `struct nfgenmsg`.
const HEADER: usize = 4;

/// The whole ruleset of the network namespace that the calling thread is in.
pub(super) fn pod(facts: &mut Facts) -> Result<()> {
    let netlink = Netlink::open(libc::NETLINK_NETFILTER, "nftables", &["pod.nft.*"], facts)?;
    let Some(mut netlink) = netlink else { return Ok(()) };
    let tables = netlink.table(GET_TABLE, &[0; HEADER], &["pod.nft.*"], facts)?.unwrap_or_default();
    if tables.is_empty() {
        return Ok(());
    }
    let ruleset = tool::json("nft", &["-j", "list", "ruleset"])?;
    let entries = ruleset.get("nftables").and_then(Json::as_array);
    entries.into_iter().flatten().for_each(|entry| element(entry, facts));
    let rules = netlink
        .table(GET_RULE, &[0; HEADER], &["pod.nft.expressions *"], facts)?
        .unwrap_or_default();
    expressions(&rules, facts);
    Ok(())
}

/// One element of nft's list: `{"table": {...}}`, `{"rule": {...}}` and so on.
fn element(entry: &Json, facts: &mut Facts) {
    for (kind, body) in entry.as_object().into_iter().flatten().filter(|(k, _)| *k != "metainfo") {
        let keys = ["family", "table", "chain", "name"];
        let keys: Vec<String> = keys.iter().filter_map(|key| body.get(key)).map(scalar).collect();
        let name = facts.unused(&format!("pod.nft.{kind} {}", keys.join(" ")), "row");
        facts.put(format!("{name}.row"), "there");
        flatten(&name, body, facts);
    }
}

/// What the rules of each chain do, in the kernel's own words: also what nft has none for, such
/// as the matches of iptables.
fn expressions(rules: &[Vec<u8>], facts: &mut Facts) {
    const TABLE: u16 = 1;
    const CHAIN: u16 = 2;
    const EXPRESSIONS: u16 = 4;
    let mut chains: BTreeMap<String, Vec<u8>> = BTreeMap::new();
    for rule in rules {
        let own = rule.get(HEADER..).unwrap_or_default();
        let name = |number| {
            let name = find(own, number).unwrap_or_default();
            String::from_utf8_lossy(name.strip_suffix(&[0]).unwrap_or(name)).into_owned()
        };
        let family = rule.first().copied().unwrap_or_default();
        let of = attributes(own).filter(|attribute| attribute.number == EXPRESSIONS);
        let chain = chains.entry(format!("{family} {} {}", name(TABLE), name(CHAIN))).or_default();
        of.for_each(|attribute| chain.extend_from_slice(attribute.value));
    }
    for (chain, bytes) in chains {
        facts.content(format!("pod.nft.expressions {chain}.content"), &bytes);
    }
}

/// Objects become paths; lists of plain values one value, lists of objects numbered paths.
fn flatten(name: &str, value: &Json, facts: &mut Facts) {
    match value {
        Json::Object(fields) => {
            for (key, value) in fields {
                flatten(&format!("{name}.{}", key.to_lowercase()), value, facts);
            }
        }
        Json::Array(items) if items.iter().any(|item| item.is_object() || item.is_array()) => {
            for (index, item) in items.iter().enumerate() {
                flatten(&format!("{name}.{index}"), item, facts);
            }
        }
        Json::Array(items) => {
            facts.put(name, items.iter().map(scalar).collect::<Vec<_>>().join(" "));
        }
        plain => facts.put(name, scalar(plain)),
    }
}

fn scalar(value: &Json) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_are_flattened_under_their_keys() {
        let rule = serde_json::json!({"rule": {
            "family": "inet", "table": "filter", "chain": "input", "handle": 4,
            "expr": [{"counter": {"packets": 0, "bytes": 0}}, {"drop": null}]
        }});
        let mut facts = Facts::default();
        element(&rule, &mut facts);
        element(&rule, &mut facts);
        let names: Vec<&str> = facts.facts.keys().map(String::as_str).collect();
        assert!(names.contains(&"pod.nft.rule inet filter input.expr.0.counter.packets"));
        assert!(names.contains(&"pod.nft.rule inet filter input#2.expr.1.drop"), "{names:?}");
    }
}
