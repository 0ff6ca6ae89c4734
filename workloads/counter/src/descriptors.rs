//! The table of descriptors: exactly those that are expected, of the right kind, with their flags.

use std::collections::BTreeMap;
use std::fs;
use std::io;

use witness::proc;
use witness::{Findings, Witness};

/// Kind and flags of descriptors by number.
type Table = BTreeMap<i32, (String, String)>;

/// The witness.
#[derive(Debug)]
pub(crate) struct Descriptors {
    recorded: Table,
}

impl Descriptors {
    /// Records all that are open.
    pub(crate) fn record() -> io::Result<Self> {
        Ok(Descriptors { recorded: now()? })
    }
}

impl Witness for Descriptors {
    fn name(&self) -> &'static str {
        "descriptors"
    }

    fn check(&mut self, findings: &mut Findings) {
        let Some(found) = findings.tried("list", now()) else { return };
        let numbers = |table: &Table| table.keys().copied().collect::<Vec<_>>();
        findings.equal("numbers", numbers(&self.recorded), numbers(&found));
        for (number, expected) in &self.recorded {
            if let Some(found) = found.get(number) {
                findings.equal(&number.to_string(), expected, found);
            }
        }
    }

    fn finish(&mut self, findings: &mut Findings) {
        let opened = fs::File::open("/proc/self/status");
        findings.tried("open", opened);
    }
}

fn now() -> io::Result<Table> {
    let mut table = Table::new();
    for entry in fs::read_dir("/proc/self/fd")? {
        let entry = entry?;
        let target = fs::read_link(entry.path())?.to_string_lossy().into_owned();
        let Some(number) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else {
            continue;
        };
        // The listing itself is open while it is read.
        if target.starts_with("/proc/") && target.ends_with("/fd") {
            continue;
        }
        table.insert(number, (kind(&target), flags(number)?));
    }
    Ok(table)
}

/// What a link says without what the kernel is free to choose: inodes, and names of deleted files.
fn kind(target: &str) -> String {
    if target.ends_with(" (deleted)") && !target.starts_with("/memfd:") {
        return "deleted file".to_owned();
    }
    match target.split_once(":[") {
        Some((kind @ ("pipe" | "socket"), _)) => kind.to_owned(),
        _ => target.to_owned(),
    }
}

/// Flags in octal, but for one without a meaning on 64-bit machines: the kernel adds it whenever
/// something is opened by its path, and a restored standard stream is opened by `/proc/self/fd`.
fn flags(number: i32) -> io::Result<String> {
    const LARGE_FILE: i32 = 0o100_000;
    let info = proc::text(&format!("/proc/self/fdinfo/{number}"))?;
    let octal = info.lines().find_map(|line| line.strip_prefix("flags:")).unwrap_or_default();
    let flags = i32::from_str_radix(octal.trim(), 8).map_err(io::Error::other)?;
    Ok(format!("{:#o}", flags & !LARGE_FILE))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_kernel_chooses_is_left_out_of_a_kind() {
        assert_eq!(kind("pipe:[4711]"), "pipe");
        assert_eq!(kind("anon_inode:[eventpoll]"), "anon_inode:[eventpoll]");
        assert_eq!(kind("/data/x (deleted)"), "deleted file");
        assert_eq!(kind("/memfd:counter (deleted)"), "/memfd:counter (deleted)");
        assert_eq!(kind("/data/x"), "/data/x");
    }
}
