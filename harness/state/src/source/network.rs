//! Links, addresses, routes, rules, neighbours, queueing and packet filters of the pod.
//!
//! iproute2 and nft are asked for JSON, which is flattened as it is: what a newer kernel or a
//! newer tool shows is captured without a change here.

use serde_json::Value as Json;

use crate::error::{Error, Result};
use crate::facts::Facts;
use crate::source::tool::Tool;

/// A list that a program prints, the name of its facts, and the fields that tell its rows apart.
#[derive(Debug)]
struct List {
    command: &'static str,
    name: &'static str,
    keys: &'static [&'static str],
}

const fn list(command: &'static str, name: &'static str, keys: &'static [&'static str]) -> List {
    List { command, name, keys }
}

const ROUTE: &[&str] = &["table", "type", "dst", "dev", "metric"];

/// Lists that one process prints: program, options, commands. A process costs more than a list.
const BATCHES: &[(&str, &[&str], &[List])] = &[
    (
        "ip",
        &["-j", "-d", "-batch", "-"],
        &[
            list("link show", "link", &["ifname"]),
            list("addr show", "addr", &["ifname"]),
            list("route show table all", "route", ROUTE),
            list("rule show", "rule", &["priority"]),
            list("neigh show nud all", "neigh", &["dev", "dst"]),
        ],
    ),
    (
        "ip",
        &["-6", "-j", "-d", "-batch", "-"],
        &[list("route show table all", "route6", ROUTE), list("rule show", "rule6", &["priority"])],
    ),
    ("tc", &["-j", "-batch", "-"], &[list("qdisc show", "qdisc", &["dev", "parent", "root"])]),
];

/// The tools, started and at work.
#[derive(Debug)]
pub(crate) struct Tools {
    batches: Vec<(Tool, &'static [List])>,
    nft: Tool,
}

impl Tools {
    /// Starts them in the network namespace of the calling thread, which can look at other things
    /// meanwhile.
    pub(crate) fn start() -> Result<Self> {
        let mut batches = Vec::new();
        for &(program, options, lists) in BATCHES {
            let commands: String = lists.iter().map(|list| format!("{}\n", list.command)).collect();
            batches.push((Tool::start(program, options, &commands)?, lists));
        }
        Ok(Tools { batches, nft: Tool::start("nft", &["-j", "list", "ruleset"], "")? })
    }

    /// Writes down what they show.
    pub(crate) fn put(self, facts: &mut Facts) -> Result<()> {
        for (tool, lists) in self.batches {
            let command = tool.command.clone();
            let answers = tool.values()?;
            if answers.len() != lists.len() {
                let what = format!("{} lists instead of {}", answers.len(), lists.len());
                return Err(Error::Tool { command, what });
            }
            lists.iter().zip(&answers).for_each(|(list, answer)| rows(list, answer, facts));
        }
        let ruleset = self.nft.values()?;
        let entries = ruleset.iter().filter_map(|answer| answer.get("nftables")?.as_array());
        entries.flatten().for_each(|entry| filter(entry, facts));
        Ok(())
    }
}

fn rows(list: &List, answer: &Json, facts: &mut Facts) {
    if list.name == "addr" {
        return addresses(answer, facts);
    }
    for row in answer.as_array().into_iter().flatten().filter(|row| !is_empty(row)) {
        let keys: Vec<String> =
            list.keys.iter().filter_map(|key| row.get(key)).map(scalar).collect();
        let lasting = list.name != "neigh" || permanent(row);
        let list_name = if lasting { list.name } else { "neigh_cache" };
        let name = facts.unused(&format!("pod.{list_name}.{}", keys.join(" ")), "row");
        facts.put(format!("{name}.row"), "there");
        flatten(&name, row, facts);
    }
}

/// Addresses by their link; what else is in that list is in the list of links.
fn addresses(answer: &Json, facts: &mut Facts) {
    for link in answer.as_array().into_iter().flatten() {
        let name = link.get("ifname").map(scalar).unwrap_or_default();
        let addresses = link.get("addr_info").and_then(Json::as_array);
        for address in addresses.into_iter().flatten().filter(|row| !is_empty(row)) {
            let keys: Vec<String> = ["local", "prefixlen"]
                .iter()
                .filter_map(|key| address.get(key))
                .map(scalar)
                .collect();
            let name = facts.unused(&format!("pod.addr.{name} {}", keys.join("/")), "row");
            facts.put(format!("{name}.row"), "there");
            flatten(&name, address, facts);
        }
    }
}

/// Rows of a link that has nothing to tell are empty objects.
fn is_empty(row: &Json) -> bool {
    row.as_object().is_some_and(serde_json::Map::is_empty)
}

/// Other neighbours are a cache, which fills and ages by itself.
fn permanent(row: &Json) -> bool {
    row.get("state").is_some_and(|state| state.to_string().contains("PERMANENT"))
}

/// One element of nft's list: `{"table": {...}}`, `{"rule": {...}}` and so on.
fn filter(entry: &Json, facts: &mut Facts) {
    for (kind, body) in entry.as_object().into_iter().flatten().filter(|(k, _)| *k != "metainfo") {
        let keys = ["family", "table", "chain", "name"];
        let keys: Vec<String> = keys.iter().filter_map(|key| body.get(key)).map(scalar).collect();
        let name = facts.unused(&format!("pod.nft.{kind} {}", keys.join(" ")), "row");
        facts.put(format!("{name}.row"), "there");
        flatten(&name, body, facts);
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
            for (index, item) in items.iter().filter(|item| !is_empty(item)).enumerate() {
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
    fn rows_are_flattened_under_their_keys() {
        let answer = serde_json::json!([
            {},
            {"ifname": "eth0", "mtu": 1500, "flags": ["UP", "LOWER_UP"],
             "addr_info": [{"local": "10.0.0.2", "prefixlen": 24}]}
        ]);
        let mut facts = Facts::default();
        rows(&list("link show", "link", &["ifname"]), &answer, &mut facts);
        rows(&list("addr show", "addr", &["ifname"]), &answer, &mut facts);
        let names: Vec<&str> = facts.facts.keys().map(String::as_str).collect();
        assert_eq!(
            names,
            [
                "pod.addr.eth0 10.0.0.2/24.local",
                "pod.addr.eth0 10.0.0.2/24.prefixlen",
                "pod.addr.eth0 10.0.0.2/24.row",
                "pod.link.eth0.addr_info.0.local",
                "pod.link.eth0.addr_info.0.prefixlen",
                "pod.link.eth0.flags",
                "pod.link.eth0.ifname",
                "pod.link.eth0.mtu",
                "pod.link.eth0.row",
            ]
        );
    }
}
