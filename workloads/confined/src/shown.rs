//! What the kernel shows of the calling thread's confinement.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use caps::{CapSet, CapsHashSet};

use crate::sys;

/// Lines of `status`.
const STATUS: [&str; 8] =
    ["Uid", "Gid", "Groups", "CapBnd", "CapAmb", "NoNewPrivs", "Seccomp", "Seccomp_filters"];

/// Sets that capget(2) tells: without those that AppArmor denies, which `status` has.
const SETS: [CapSet; 3] = [CapSet::Inheritable, CapSet::Permitted, CapSet::Effective];

/// Files of one value.
const FILES: [&str; 4] = ["attr/current", "uid_map", "gid_map", "setgroups"];

/// All that is shown, by name. What may not be read is shown as the reason.
pub(crate) fn now() -> BTreeMap<String, String> {
    let mut shown = BTreeMap::new();
    let status = text("status");
    for (name, value) in status.lines().filter_map(|line| line.split_once(':')) {
        if STATUS.contains(&name) {
            shown.insert(name.to_lowercase(), value.trim().to_owned());
        }
    }
    for set in SETS {
        let value = match caps::read(None, set) {
            Ok(held) => names(held),
            Err(error) => error.to_string(),
        };
        shown.insert(format!("{set:?}").to_lowercase(), value);
    }
    for name in FILES {
        let value = text(name);
        shown.insert(name.to_owned(), value.trim_end_matches(['\0', '\n']).to_owned());
    }
    shown.insert("securebits".to_owned(), sys::securebits().to_string());
    shown
}

/// Capabilities in the order of their names.
fn names(held: CapsHashSet) -> String {
    let names: BTreeSet<String> = held.into_iter().map(|it| it.to_string()).collect();
    names.into_iter().collect::<Vec<_>>().join(" ")
}

/// A file of this thread, or of its process where a thread has none.
fn text(name: &str) -> String {
    let thread = format!("/proc/thread-self/{name}");
    let read = fs::read_to_string(thread);
    let read = read.or_else(|_| fs::read_to_string(format!("/proc/self/{name}")));
    read.unwrap_or_else(|error| error.to_string())
}
