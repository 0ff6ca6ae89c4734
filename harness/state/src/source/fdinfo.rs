//! `/proc/PID/fdinfo/FD`: every line, with the structured ones taken apart.

use std::collections::BTreeMap;

use crate::facts::Facts;
use crate::inode;
use crate::pod::Pod;

/// Writes down every line but `ino`, which means nothing without its device.
pub(crate) fn put(pod: &Pod<'_>, name: &str, info: &str, facts: &mut Facts) {
    let mut locks = Vec::new();
    let mut epoll = BTreeMap::<u64, u32>::new();
    for line in info.lines().filter(|line| !line.is_empty()) {
        let (key, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.trim();
        match key {
            "ino" => {}
            "lock" => locks.push(lock(pod, value)),
            "tfd" => epoll_item(name, line, &mut epoll, facts),
            "it_value" | "it_interval" => facts.put(format!("{name}.{key}"), nanoseconds(value)),
            "Pid" => facts.put(format!("{name}.pid"), pidfd(pod, value)),
            // The reader's pids; `Pid` above is translated.
            "NSpid" => {}
            _ if key.starts_with("inotify") || key.starts_with("fanotify") => {
                watch(name, line, facts);
            }
            _ => facts.put(format!("{name}.{}", key.to_lowercase().replace(' ', "_")), value),
        }
    }
    put_locks(name, locks, facts);
}

/// The items of an epoll that were written down: number, which of several with that number, and
/// the name of its facts.
pub(crate) fn epoll_items(name: &str, facts: &Facts) -> Vec<(u32, u32, String)> {
    let head = format!("{name}.tfd.");
    let from_head = facts.facts.range(head.clone()..);
    let items = from_head.take_while(|(fact, _)| fact.starts_with(&head));
    items
        .filter_map(|(fact, _)| {
            let item = fact.strip_suffix(".events")?;
            let key = item.strip_prefix(&head)?;
            let (tfd, offset) = key.split_once('#').unwrap_or((key, "0"));
            Some((tfd.parse().ok()?, offset.parse().ok()?, item.to_owned()))
        })
        .collect()
}

/// `tfd: 5 events: 19 data: 5 pos:0 ino:61 sdev:a`
fn epoll_item(name: &str, line: &str, seen: &mut BTreeMap<u64, u32>, facts: &mut Facts) {
    let fields = fields(line);
    let number = |key: &str| fields.get(key).and_then(|text| text.parse::<u64>().ok());
    let tfd = number("tfd").unwrap_or_default();
    let count = seen.entry(tfd).or_default();
    let item = match *count {
        0 => format!("{name}.tfd.{tfd}"),
        again => format!("{name}.tfd.{tfd}#{again}"),
    };
    *count += 1;
    for key in ["events", "data", "pos"] {
        facts.put(format!("{item}.{key}"), fields.get(key).copied().unwrap_or_default());
    }
    facts.put(format!("{item}.ino"), inode_in(&fields));
}

/// `inotify wd:1 ino:3f3 sdev:800013 mask:fce ignored_mask:0 fhandle-bytes:8 ..`
fn watch(name: &str, line: &str, facts: &mut Facts) {
    let (kind, rest) = line.split_once(' ').unwrap_or((line, ""));
    let fields = fields(rest);
    let place = match fields.get("wd") {
        Some(wd) => format!("{name}.{kind}.{wd}"),
        None => facts.unused(&format!("{name}.{kind}"), "line"),
    };
    for (key, value) in fields.iter().filter(|(key, _)| !["wd", "ino", "sdev"].contains(key)) {
        facts.put(format!("{place}.{}", key.replace('-', "_")), value);
    }
    if fields.contains_key("ino") {
        facts.put(format!("{place}.ino"), inode_in(&fields));
    }
    if !fields.contains_key("wd") {
        facts.put(format!("{place}.line"), kind);
    }
}

/// `key: value key:value`, with or without blanks after the colon.
pub(crate) fn fields(line: &str) -> BTreeMap<&str, &str> {
    let mut fields = BTreeMap::new();
    let mut open = None;
    for word in line.split_whitespace() {
        match (word.split_once(':'), open.take()) {
            (Some((key, "")), _) => open = Some(key),
            (Some((key, value)), _) => _ = fields.insert(key, value),
            (None, Some(key)) => _ = fields.insert(key, word),
            (None, None) => {}
        }
    }
    fields
}

/// `ino` and `sdev`, both in hexadecimal.
pub(crate) fn inode_in(fields: &BTreeMap<&str, &str>) -> String {
    let hex = |key: &str| {
        let text = fields.get(key).copied().unwrap_or_default();
        u64::from_str_radix(text, 16).unwrap_or_default()
    };
    inode::from_kernel_device(hex("sdev"), hex("ino"))
}

/// `(1, 500)`: seconds and nanoseconds.
fn nanoseconds(value: &str) -> String {
    let inner = value.trim_matches(['(', ')']);
    let parsed = inner.split_once(", ").and_then(|(seconds, ns)| {
        Some(seconds.parse::<i64>().ok()? * 1_000_000_000 + ns.parse::<i64>().ok()?)
    });
    parsed.map_or_else(|| value.to_owned(), |ns| ns.to_string())
}

fn pidfd(pod: &Pod<'_>, value: &str) -> String {
    match value.parse::<i32>() {
        Ok(pid) if pid > 0 => pod.inner(pid),
        _ => value.to_owned(),
    }
}

/// `1: POSIX  ADVISORY  WRITE 29562 fe:00:10010714 0 EOF` as kind, owner and inode.
fn lock(pod: &Pod<'_>, value: &str) -> (String, String, String) {
    let words: Vec<&str> = value.split_whitespace().skip(1).collect();
    // `->` marks one that waits; then all words stand one further.
    let at = usize::from(words.first() == Some(&"->"));
    let owner = words.get(at + 3).copied().unwrap_or_default();
    let owner = owner.parse().map_or_else(
        |_| owner.to_owned(),
        |pid: i32| match pid {
            // Open file description locks belong to no task.
            -1 => "-1".to_owned(),
            pid => pod.inner(pid),
        },
    );
    let inode = words.get(at + 4).copied().unwrap_or_default().to_owned();
    let kind: Vec<&str> = words
        .iter()
        .enumerate()
        .filter(|(index, _)| ![at + 3, at + 4].contains(index))
        .map(|(_, word)| *word)
        .collect();
    (kind.join(" "), owner, inode)
}

/// Locks in an order of their own: the kernel lists them as they came.
fn put_locks(name: &str, mut locks: Vec<(String, String, String)>, facts: &mut Facts) {
    locks.sort();
    for (index, (kind, owner, inode)) in locks.into_iter().enumerate() {
        facts.put(format!("{name}.lock.{index}.kind"), kind);
        facts.put(format!("{name}.lock.{index}.owner"), owner);
        facts.put(format!("{name}.lock.{index}.ino"), inode);
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("tfd:        5 events:       19 data:  5  pos:0 ino:61 sdev:a", "events", "19")]
    #[case("wd:1 ino:3f3 sdev:800013 mask:fce ignored_mask:0", "mask", "fce")]
    fn fields_are_found_with_and_without_blanks(
        #[case] line: &str,
        #[case] key: &str,
        #[case] value: &str,
    ) {
        assert_eq!(fields(line).get(key), Some(&value));
    }

    #[test]
    fn times_are_nanoseconds() {
        assert_eq!(nanoseconds("(1, 500)"), "1000000500");
        assert_eq!(nanoseconds("odd"), "odd");
    }
}
