//! Locks on files of a pod's `/dev/shm`.
//!
//! What else a container locks is its own. Where a file is there already with a lock that excludes its
//! own, CRIU would wait for it without end.

use std::fmt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use model::pod::ContainerStatus;
use serde::{Deserialize, Serialize};

use crate::cgroup;
use crate::error::{About, Error};
use crate::host::Host;

/// A lock that a container has on a file.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Lock {
    /// The file, below `/dev/shm`.
    pub file: PathBuf,
    /// Whether the whole file is locked by flock(2); those of fcntl(2) are apart from it.
    pub is_flock: bool,
    /// Whether it excludes all others, not only those that do.
    pub is_exclusive: bool,
    /// The first byte.
    pub start: u64,
    /// The last byte; the end of the file when not given.
    pub end: Option<u64>,
}

impl Lock {
    fn excludes(&self, other: &Lock) -> bool {
        let begins_before = |one: &Lock, other: &Lock| other.end.is_none_or(|end| one.start <= end);
        let meet = begins_before(self, other) && begins_before(other, self);
        let exclusive = self.is_exclusive || other.is_exclusive;
        self.is_flock == other.is_flock && exclusive && meet
    }
}

impl fmt::Display for Lock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a lock on /dev/shm/{}", self.file.display())
    }
}

/// The locks that a container has on files below the pod's `/dev/shm`.
pub(super) fn of(
    host: &dyn Host,
    shm: &Path,
    container: &ContainerStatus,
) -> Result<Vec<Lock>, Error> {
    let device = std::fs::metadata(shm).about("look at", shm)?.dev();
    let mut locks = Vec::new();
    for (pid, _) in cgroup::tasks(host, &container.cgroup)? {
        let process = Path::new("/proc").join(pid.to_string());
        let folder = process.join("fdinfo");
        for name in host.list(&folder).about("list", &folder)? {
            let info = folder.join(&name);
            let text = host.read(&info).about("read", &info)?;
            let text = String::from_utf8_lossy(&text).into_owned();
            let found = text.lines().filter_map(|line| line.strip_prefix("lock:")).filter_map(read);
            let mut found = found.filter(|(of, _)| of.device == device).peekable();
            if found.peek().is_none() {
                continue;
            }
            let link = process.join("fd").join(&name);
            let target = host.read_link(&link).about("read link", &link)?;
            // One without a name is nobody else's.
            if let Ok(file) = target.strip_prefix("/dev/shm") {
                locks.extend(found.map(|(_, lock)| Lock { file: file.to_path_buf(), ..lock }));
            }
        }
    }
    locks.sort();
    locks.dedup();
    Ok(locks)
}

/// The first of these locks that somebody excludes, in words.
pub(super) fn taken(host: &dyn Host, shm: &Path, ours: &[Lock]) -> Result<Option<String>, Error> {
    if ours.is_empty() {
        return Ok(None);
    }
    let path = Path::new("/proc/locks");
    let table = host.read(path).about("read", path)?;
    let table = String::from_utf8_lossy(&table).into_owned();
    let theirs: Vec<(File, Lock)> = table.lines().filter_map(read).collect();
    for our in ours {
        // A file that is not there yet is locked by nobody.
        let Ok(metadata) = std::fs::symlink_metadata(shm.join(&our.file)) else { continue };
        let file = File { device: metadata.dev(), inode: metadata.ino() };
        if theirs.iter().any(|(of, their)| *of == file && our.excludes(their)) {
            return Ok(Some(our.to_string()));
        }
    }
    Ok(None)
}

/// A file as the kernel names it in its table of locks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct File {
    device: u64,
    inode: u64,
}

/// A line of `/proc/locks`: `1: FLOCK  ADVISORY  WRITE 812 00:2f:3 0 EOF`.
fn read(line: &str) -> Option<(File, Lock)> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let [_, class, _, access, _, file, start, end] = words[..] else { return None };
    if !matches!(class, "FLOCK" | "POSIX" | "OFDLCK") {
        return None;
    }
    let [first, second, inode] = file.split(':').collect::<Vec<_>>()[..] else { return None };
    let device = |text| u64::from_str_radix(text, 16).ok();
    let device = nix::sys::stat::makedev(device(first)?, device(second)?);
    let lock = Lock {
        file: PathBuf::new(),
        is_flock: class == "FLOCK",
        is_exclusive: access == "WRITE",
        start: start.parse().ok()?,
        end: if end == "EOF" { None } else { Some(end.parse().ok()?) },
    };
    Some((File { device, inode: inode.parse().ok()? }, lock))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lock(line: &str) -> Lock {
        read(line).expect("a lock").1
    }

    #[test]
    fn a_lock_that_is_held_is_told() {
        let record = lock("1: POSIX  ADVISORY  WRITE 812 00:2f:3 10 29");
        for (excludes, other) in [
            (true, "2: OFDLCK ADVISORY  READ -1 00:2f:3 29 EOF"),
            (false, "2: OFDLCK ADVISORY  READ -1 00:2f:3 30 EOF"),
            (false, "2: FLOCK  ADVISORY  WRITE 812 00:2f:3 0 EOF"),
        ] {
            assert_eq!(record.excludes(&lock(other)), excludes, "{other}");
            assert_eq!(lock(other).excludes(&record), excludes, "{other}");
        }
        let shared = lock("1: FLOCK  ADVISORY  READ 812 00:2f:3 0 EOF");
        assert!(
            !shared.excludes(&shared) && read("1: LEASE ACTIVE READ 8 00:2f:3 0 EOF").is_none()
        );
        assert!(read("1: -> POSIX ADVISORY WRITE 9 00:2f:3 0 EOF").is_none(), "one that waits");
    }
}
