//! Locks of all sorts, somebody who waits for one, and a lease.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::fcntl::{FcntlArg, Flock, FlockArg, fcntl};
use witness::place::Place;
use witness::sys::{descriptor, signal};
use witness::waiting::Waiting;
use witness::{Context, Findings, PATIENCE, Seen, Subject, io as as_io};

/// Ranges that the process has locked: sort, start, length (0: to the end).
const RECORDS: [(i32, i64, i64); 3] =
    [(libc::F_RDLCK, 0, 10), (libc::F_WRLCK, 20, 10), (libc::F_RDLCK, 1000, 0)];

pub(super) struct Locks {
    whole: [Flock<File>; 2],
    records: File,
    held: File,
    probe: File,
    waiter: Waiting<()>,
}

impl Locks {
    pub(super) fn new(place: &Place) -> io::Result<Self> {
        let whole = |file| Flock::lock(file, FlockArg::LockSharedNonblock).map_err(|(_, it)| it);
        let one = whole(place.file("shared-lock", b"")?)?;
        let other = whole(reopen(&place.path("shared-lock"))?)?;
        let records = place.file("record-locks", b"")?;
        for (kind, start, length) in RECORDS {
            fcntl(&records, FcntlArg::F_SETLK(&range(kind, start, length))).context("record")?;
        }
        let held = place.file("held", b"")?;
        fcntl(&held, FcntlArg::F_OFD_SETLK(&range(libc::F_WRLCK, 5, 5)))?;
        fcntl(&held, FcntlArg::F_OFD_SETLK(&range(libc::F_RDLCK, 50, 5)))?;
        let waits = reopen(&place.path("held"))?;
        let waiter = Waiting::start("lock-waiter", libc::SYS_fcntl, move || {
            let lock = range(libc::F_WRLCK, 0, 8);
            as_io(fcntl(&waits, FcntlArg::F_OFD_SETLKW(&lock)).map(drop))
        })?;
        let probe = reopen(&place.path("held"))?;
        Ok(Locks { whole: [one, other], records, held, probe, waiter })
    }
}

impl Subject for Locks {
    fn name(&self) -> &'static str {
        "locks"
    }

    fn look(&mut self, seen: &mut Seen) {
        // A lock of an open file is in the way of those of its process, too.
        for (_, start, _) in RECORDS {
            let met =
                met(&self.records, start).map(|it| (it.l_type, it.l_start, it.l_len, it.l_pid));
            seen.note(format!("record.{start}"), met);
        }
        for start in [5, 10, 50] {
            let met = met(&self.probe, start).map(|it| (it.l_type, it.l_start, it.l_len, it.l_pid));
            seen.note(format!("open_file.{start}"), met);
        }
    }

    fn go_on(&mut self, findings: &mut Findings) {
        self.waiter.still(findings);
        let [one, other] = &self.whole;
        let refused = one.relock(FlockArg::LockExclusiveNonblock).err();
        findings.equal("whole.both_hold", Some(nix::errno::Errno::EWOULDBLOCK), refused);
        // A lock that could not be made exclusive was given up.
        findings.tried("whole.other", as_io(other.relock(FlockArg::LockExclusiveNonblock)));
        let free = fcntl(&self.held, FcntlArg::F_OFD_SETLK(&range(libc::F_UNLCK, 0, 0)));
        findings.tried("open_file.unlock", as_io(free));
        findings.tried("waiter.woken", self.waiter.woken());
        findings.gives(
            "waiter.holds",
            (libc::F_WRLCK as i16, 0, 8),
            met(&self.probe, 0).map(|it| (it.l_type, it.l_start, it.l_len)),
        );
    }
}

/// A file that nobody may open for writing before this process has been told.
pub(super) struct Lease {
    file: File,
    path: PathBuf,
}

/// The signal that tells of a lease to be given back.
pub(super) const BREAKS: i32 = 5;

impl Lease {
    pub(super) fn new(place: &Place) -> io::Result<Self> {
        let path = place.path("leased");
        place.file("leased", b"leased")?;
        let file = File::open(&path)?;
        descriptor::set_signal(&file, signal::real_time(BREAKS))?;
        descriptor::set_lease(&file, libc::F_RDLCK)?;
        Ok(Lease { file, path })
    }
}

impl Subject for Lease {
    fn name(&self) -> &'static str {
        "lease"
    }

    fn look(&mut self, seen: &mut Seen) {
        seen.note("lease", descriptor::lease(&self.file));
        seen.note("signal", descriptor::signal(&self.file));
        seen.note("owner", descriptor::owner(&self.file));
    }

    fn go_on(&mut self, findings: &mut Findings) {
        let none = signal::take(&[signal::real_time(BREAKS)], Duration::ZERO);
        findings.gives("not_told", None, none);
        let opened = OpenOptions::new().write(true).custom_flags(libc::O_NONBLOCK).open(&self.path);
        let refused = opened.err().and_then(|it| it.raw_os_error());
        findings.equal("breaks", Some(libc::EWOULDBLOCK), refused);
        let told = signal::take(&[signal::real_time(BREAKS)], PATIENCE);
        findings.gives("told", true, told.map(|it| it.is_some()));
        findings.tried("give_back", descriptor::set_lease(&self.file, libc::F_UNLCK));
        findings.tried("open", OpenOptions::new().write(true).open(&self.path));
    }
}

fn reopen(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).open(path).context(path.display())
}

/// The lock that is in the way of one for writing from here on, by another open file.
fn met(probe: &File, start: i64) -> io::Result<libc::flock> {
    let mut lock = range(libc::F_WRLCK, start, 1);
    fcntl(probe, FcntlArg::F_OFD_GETLK(&mut lock))?;
    Ok(lock)
}

fn range(kind: i32, start: i64, length: i64) -> libc::flock {
    libc::flock {
        l_type: kind as libc::c_short,
        l_whence: libc::SEEK_SET as libc::c_short,
        l_start: start,
        l_len: length,
        l_pid: 0,
    }
}
