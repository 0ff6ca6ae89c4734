//! What changed between two checkpoints of the same pod.
//!
//! Things are matched by what they are for the pod (a process by its pid, an open file by process and
//! descriptor, a mapping by its addresses), and compared field by field as their JSON has them, so
//! that a new field is compared from the first day on.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::{Map, Value};

use super::analysis::{Analysis, Change, Differences, Mapping, Socket};

/// Most changes that are listed.
const MOST_CHANGES: usize = 20_000;

/// Longest value that is told.
const LONGEST_VALUE: usize = 400;

/// What changed from one analysis to a later one.
#[must_use]
pub fn differences(before: &Analysis, after: &Analysis) -> Differences {
    let mut changes = Changes::default();
    changes.list("process", [&before.processes, &after.processes], |it| {
        format!("{}: process {}", it.container, it.pid)
    });
    changes.list("file", [&before.files, &after.files], |it| {
        format!("{}: fd {} of process {}", it.container, it.fd, it.pid)
    });
    changes.list("deleted file", [&before.deleted, &after.deleted], |it| {
        format!("{}: {}", it.container, it.path)
    });
    changes.list("changed file", [&before.changed, &after.changed], |it| {
        format!("{}: {}", it.container.as_deref().unwrap_or("pod"), it.path)
    });
    changes.list("socket", [&before.sockets, &after.sockets], socket);
    changes.list("mapping", [&before.mappings, &after.mappings], mapping);
    changes.pages(before, after);
    let Changes { listed, more } = changes;
    Differences { from: before.source.clone(), changes: listed, more }
}

fn mapping(mapping: &Mapping) -> String {
    let Mapping { container, start, end, pid, name, .. } = mapping;
    format!("{container}: {start}-{end} of process {pid} {name}")
}

/// A socket by who has it and its ends: its inode is another one in another kernel.
fn socket(socket: &Socket) -> String {
    let Socket { container, family, kind, local, .. } = socket;
    let holder = socket.holders.first();
    let holder = holder.map(|it| format!(" fd {} of process {}", it.fd, it.pid));
    let peer = socket.peer.as_deref().unwrap_or("nobody");
    format!("{container}:{} {family} {kind} {local} to {peer}", holder.unwrap_or_default())
}

#[derive(Default)]
struct Changes {
    listed: Vec<Change>,
    more: u64,
}

impl Changes {
    /// Compares two lists, whose items have names.
    fn list<T: Serialize>(&mut self, of: &str, lists: [&Vec<T>; 2], name: impl Fn(&T) -> String) {
        let [before, after] = lists.map(|list| named(list, &name));
        let mut names: Vec<&(String, usize)> = before.keys().chain(after.keys()).collect();
        names.sort();
        names.dedup();
        for name in names {
            match (before.get(name), after.get(name)) {
                (Some(old), Some(new)) => self.fields(of, &name.0, old, new),
                (old, new) => self.add(of, &name.0, None, old.map(whole), new.map(whole)),
            }
        }
    }

    fn fields(&mut self, of: &str, what: &str, old: &Map<String, Value>, new: &Map<String, Value>) {
        let mut fields: Vec<&String> = old.keys().chain(new.keys()).collect();
        fields.sort();
        fields.dedup();
        for field in fields.into_iter().filter(|field| old.get(*field) != new.get(*field)) {
            let [before, after] = [old, new].map(|it| it.get(field).map(text));
            self.add(of, what, Some(field.clone()), before, after);
        }
    }

    /// How many pages of mappings that are on both sides differ.
    fn pages(&mut self, before: &Analysis, after: &Analysis) {
        let old: BTreeMap<String, &Mapping> =
            before.mappings.iter().map(|it| (mapping(it), it)).collect();
        for new in &after.mappings {
            let name = mapping(new);
            let Some(old) = old.get(&name).filter(|old| old.xxh64 != new.xxh64) else { continue };
            if let Some(count) = differing(&old.page_digests, &new.page_digests) {
                let (field, count) = (Some("differing pages".to_owned()), count.to_string());
                self.add("mapping", &name, field, Some("0".to_owned()), Some(count));
            }
        }
    }

    fn add(
        &mut self,
        of: &str,
        what: &str,
        field: Option<String>,
        before: Option<String>,
        after: Option<String>,
    ) {
        if self.listed.len() >= MOST_CHANGES {
            self.more += 1;
            return;
        }
        let (of, what) = (of.to_owned(), what.to_owned());
        self.listed.push(Change { of, what, field, before, after });
    }
}

/// How many pages are not on both sides with the same digest; nothing when that is not known.
fn differing(old: &[(u64, u64)], new: &[(u64, u64)]) -> Option<usize> {
    if old.is_empty() || new.is_empty() {
        return None;
    }
    let [old, new] = [old, new].map(|pages| pages.iter().copied().collect::<BTreeMap<_, _>>());
    let changed = new.iter().filter(|(place, digest)| old.get(place) != Some(digest)).count();
    let gone = old.keys().filter(|place| !new.contains_key(place)).count();
    Some(changed + gone)
}

/// Items by name, those of the same name numbered.
fn named<T: Serialize>(
    list: &[T],
    name: impl Fn(&T) -> String,
) -> BTreeMap<(String, usize), Map<String, Value>> {
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    let mut named = BTreeMap::new();
    for item in list {
        let name = name(item);
        let count = counts.entry(name.clone()).or_default();
        if let Ok(Value::Object(fields)) = serde_json::to_value(item) {
            named.insert((name, *count), fields);
        }
        *count += 1;
    }
    named
}

/// All of an item in a line.
fn whole(fields: &Map<String, Value>) -> String {
    let is_told = |value: &Value| !value.is_null() && value != "" && value != &Value::Array(vec![]);
    let told = fields.iter().filter(|(_, value)| is_told(value));
    let told: Vec<String> = told.map(|(name, value)| format!("{name} {}", text(value))).collect();
    short(told.join(", "))
}

fn text(value: &Value) -> String {
    short(value.as_str().map_or_else(|| value.to_string(), str::to_owned))
}

fn short(text: String) -> String {
    match text.char_indices().nth(LONGEST_VALUE) {
        Some((end, _)) => format!("{} ...", &text[..end]),
        None => text,
    }
}
