//! A pod that comes back on another kernel: what the other one cannot show is not lost.

use std::collections::BTreeMap;
use std::ops::Range;

use model::{Capture, Value};
use nix::sys::utsname::uname;

use crate::error::{Error, Result};
use crate::registry;

/// The fact that says which kernel was asked.
pub(crate) const KERNEL: &str = "node.kernel.release";

/// The release of the kernel that runs here.
pub(crate) fn running() -> Result<String> {
    let names = uname().map_err(|errno| Error::call("uname", "the node", errno))?;
    Ok(names.release().to_string_lossy().into_owned())
}

/// Facts that a kernel shows or does not show whatever the pod does, each with what they are of. What
/// a kernel shows only sometimes does not belong here: that can be lost.
const BY_KERNEL: &[(&str, &str)] = &[
    ("pod.sysctl.*", "sysctl"),
    ("pod.link.*.*", "attribute of a device"),
    ("pod.cgroup.*", "file of a cgroup"),
    ("cgroup.*", "file of a cgroup"),
    ("task.*.fd.*.socket.ip_router_alert", "socket option"),
    ("task.*.fd.*.socket.so_peek_off", "socket option of this protocol"),
    ("task.*.status.*", "line of /proc/PID/status"),
    ("task.*.map.*.vmflags", "flag of a mapping"),
    ("pidns.*", "sysctl of a pid namespace"),
];

/// Why a fact is missing from a capture although another kernel shows it; nothing when that is no
/// reason for it to be missing.
pub(crate) fn cannot_show(fact: &str, without: &Capture, with: &Capture) -> Option<String> {
    let (here, there) = (release(without)?, release(with)?);
    if here == there {
        return None;
    }
    let since = registry::rule(fact).since;
    if let (Some(since), Some(number)) = (version(since), version(here))
        && number < since
    {
        return Some(format!("shown since Linux {}.{}, this is {here}", since.0, since.1));
    }
    let fact = registry::within_container(fact);
    let (_, what) = BY_KERNEL.iter().find(|(pattern, _)| registry::matches(pattern, fact))?;
    Some(format!("a {what} that Linux {here} does not have"))
}

/// Why pages may differ that a kernel gives to each process.
pub(crate) const REPLACED: &str = "[vdso] and [vvar] are the kernel's own: on another kernel CRIU puts the \
                                   new ones beside the old, whose functions then lead there";

/// Pages that belong to a kernel and are others on another one, by the object that has them.
#[derive(Debug, Default)]
pub(crate) struct Replaced(BTreeMap<String, Vec<Range<u64>>>);

impl Replaced {
    /// Of two captures of different kernels, the pages that are the kernel's own in either.
    pub(crate) fn between(before: &Capture, after: &Capture) -> Replaced {
        let mut replaced = Replaced::default();
        if !differs(before, after) {
            return replaced;
        }
        for capture in [before, after] {
            for (task, bytes) in own_mappings(capture) {
                let page = u64::from(capture.memory.page_bytes.max(1));
                let pages = bytes.start / page..bytes.end / page;
                replaced.0.entry(format!("{task}.memory")).or_default().push(pages);
            }
        }
        replaced
    }

    /// Ranges of pages of an object.
    pub(crate) fn of(&self, object: &str) -> &[Range<u64>] {
        self.0.get(object).map(Vec::as_slice).unwrap_or_default()
    }
}

/// Mappings that the kernel has given to each task, with the task's name.
pub(crate) fn own_mappings(capture: &Capture) -> impl Iterator<Item = (&str, Range<u64>)> {
    capture.facts.iter().filter_map(|(fact, value)| {
        let (task, range) = fact.strip_suffix(".pathname")?.split_once(".map.")?;
        let (start, end) = range.split_once('-')?;
        let address = |text| u64::from_str_radix(text, 16).ok();
        is_own(value).then_some((task, address(start)?..address(end)?))
    })
}

/// Whether a mapping of this name is the kernel's own.
pub(crate) fn is_own(name: &Value) -> bool {
    let Value::Exact(name) = name else { return false };
    name == "[vdso]" || name.starts_with("[vvar")
}

/// Whether two captures are of different kernels.
pub(crate) fn differs(one: &Capture, other: &Capture) -> bool {
    match (release(one), release(other)) {
        (Some(one), Some(other)) => one != other,
        _ => false,
    }
}

/// Whether a capture is of a kernel before this one.
pub(crate) fn is_before(capture: &Capture, wanted: (u32, u32)) -> bool {
    release(capture).and_then(version).is_some_and(|number| number < wanted)
}

fn release(capture: &Capture) -> Option<&str> {
    match capture.facts.get(KERNEL)? {
        Value::Moment(release) => Some(release),
        _ => None,
    }
}

/// Major and minor number at the beginning of a release.
fn version(text: &str) -> Option<(u32, u32)> {
    let mut numbers = text.split(|letter: char| !letter.is_ascii_digit()).map(str::parse);
    match (numbers.next(), numbers.next()) {
        (Some(Ok(major)), Some(Ok(minor))) => Some((major, minor)),
        _ => None,
    }
}
