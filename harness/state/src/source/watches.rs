//! Who would be told when a file is read: inotify watches of the pod.
//!
//! A capture must not put events into a task's queue, so it does not read what is watched for
//! being opened, read or closed.

use std::collections::BTreeSet;

use crate::error::Result;
use crate::inode;
use crate::pod::Pod;
use crate::read;
use crate::source::fdinfo;

/// IN_ACCESS, IN_CLOSE_NOWRITE and IN_OPEN, see inotify(7).
const TOLD_OF_READING: u64 = 0x1 | 0x10 | 0x20;

/// Inodes that are watched for being read.
#[derive(Debug, Default)]
pub(crate) struct Watches(BTreeSet<String>);

impl Watches {
    /// Finds the watches of all tasks.
    pub(crate) fn find(pod: &Pod<'_>) -> Result<Self> {
        let mut watches = Watches::default();
        for task in pod.tasks().filter(|task| !task.zombie) {
            for fd in read::numbers(task.proc().join("fd"))? {
                if read::link(task.proc().join(format!("fd/{fd}")))?.contains("inotify") {
                    watches.take(&read::text(task.proc().join(format!("fdinfo/{fd}")))?);
                }
            }
        }
        Ok(watches)
    }

    fn take(&mut self, info: &str) {
        for line in info.lines().filter(|line| line.starts_with("inotify ")) {
            let fields = fdinfo::fields(line);
            let mask = fields.get("mask").and_then(|mask| u64::from_str_radix(mask, 16).ok());
            if mask.is_some_and(|mask| mask & TOLD_OF_READING != 0) {
                self.0.insert(fdinfo::inode_in(&fields));
            }
        }
    }

    /// Whether somebody would be told when a file, or one in this folder, is read.
    pub(crate) fn on(&self, (major, minor): (u64, u64), inode: u64) -> bool {
        self.0.contains(&inode::name(major, minor, inode))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_watches_that_tell_of_reading_count() {
        let mut watches = Watches::default();
        watches.take("pos:\t0\ninotify wd:2 ino:f sdev:29 mask:100 ignored_mask:0\n");
        watches.take("inotify wd:1 ino:10 sdev:29 mask:20 ignored_mask:0\n");
        assert!(!watches.on((0, 0x29), 15));
        assert!(watches.on((0, 0x29), 16));
    }
}
