//! Locks on files: of a whole file, of a range by the process, of a range by the open file.
//!
//! A process loses its record locks on a file when it closes any descriptor of it, so the
//! descriptors that probe the locks stay open.

use std::fs::{File, OpenOptions};
use std::io;
use std::path::Path;

use nix::fcntl::{FcntlArg, Flock, FlockArg, fcntl};

use witness::place::Place;
use witness::{Context, Findings, Witness};

/// Name of the file with the record lock, which the child asks for as well.
pub(crate) const RECORD: &str = "locked-record";

const START: i64 = 10;
const LENGTH: i64 = 20;

/// A locked file, and another opening of it that meets the lock.
#[derive(Debug)]
struct Locked {
    holder: File,
    probe: File,
}

/// The witness.
#[derive(Debug)]
pub(crate) struct Locks {
    whole: Flock<File>,
    whole_probe: Option<File>,
    record: Locked,
    open_file: Locked,
}

impl Locks {
    /// Locks them.
    pub(crate) fn new(place: &Place) -> io::Result<Self> {
        let whole = place.file("locked-whole", b"whole")?;
        let whole = Flock::lock(whole, FlockArg::LockExclusiveNonblock)
            .map_err(|(_, error)| error)
            .context("flock")?;
        let record = Locked::new(place, RECORD)?;
        fcntl(&record.holder, FcntlArg::F_SETLK(&range(libc::F_WRLCK))).context("record lock")?;
        let open_file = Locked::new(place, "locked-open-file")?;
        let lock = range(libc::F_RDLCK);
        fcntl(&open_file.holder, FcntlArg::F_OFD_SETLK(&lock)).context("open file lock")?;
        let whole_probe = Some(reopen(&place.path("locked-whole"))?);
        Ok(Locks { whole, whole_probe, record, open_file })
    }

    fn check_whole(&mut self, findings: &mut Findings) {
        let Some(probe) = self.whole_probe.take() else { return };
        match Flock::lock(probe, FlockArg::LockSharedNonblock) {
            Err((probe, _)) => self.whole_probe = Some(probe),
            Ok(_) => findings.equal("whole", "held", "free"),
        }
    }
}

impl Witness for Locks {
    fn name(&self) -> &'static str {
        "locks"
    }

    fn check(&mut self, findings: &mut Findings) {
        self.check_whole(findings);
        self.record.check("record", libc::F_WRLCK, std::process::id() as i32, findings);
        self.open_file.check("open_file", libc::F_RDLCK, -1, findings);
    }

    fn finish(&mut self, findings: &mut Findings) {
        findings.tried(
            "whole.relock",
            self.whole.relock(FlockArg::LockSharedNonblock).map_err(io::Error::from),
        );
        let free = fcntl(&self.record.holder, FcntlArg::F_SETLK(&range(libc::F_UNLCK)));
        findings.tried("record.unlock", free.map_err(io::Error::from));
        if let Some(found) = findings.tried("record", met(&self.record.probe)) {
            findings.equal("record.unlocked", libc::F_UNLCK, i32::from(found.l_type));
        }
    }
}

impl Locked {
    fn new(place: &Place, name: &str) -> io::Result<Self> {
        let holder = place.file(name, &[b'.'; 64])?;
        Ok(Locked { holder, probe: reopen(&place.path(name))? })
    }

    fn check(&self, name: &str, kind: i32, pid: i32, findings: &mut Findings) {
        let Some(found) = findings.tried(name, met(&self.probe)) else { return };
        let found = (i32::from(found.l_type), found.l_start, found.l_len, found.l_pid);
        findings.equal(name, (kind, START, LENGTH, pid), found);
    }
}

fn reopen(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).open(path).context(path.display())
}

/// The lock that stands in the way of one by this open file, or `F_UNLCK`.
fn met(probe: &File) -> io::Result<libc::flock> {
    let mut lock = wanted();
    fcntl(probe, FcntlArg::F_OFD_GETLK(&mut lock))?;
    Ok(lock)
}

/// A lock for writing on the range that is locked.
pub(crate) fn wanted() -> libc::flock {
    range(libc::F_WRLCK)
}

fn range(kind: i32) -> libc::flock {
    libc::flock {
        l_type: kind as libc::c_short,
        l_whence: libc::SEEK_SET as libc::c_short,
        l_start: START,
        l_len: LENGTH,
        l_pid: 0,
    }
}
