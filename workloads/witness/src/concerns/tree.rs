//! Processes: zombies, stopped ones, sessions and groups whose leader is gone, orphans, and processes
//! of other users, roots and limits; each looks at itself, too.
//!
//! Left out: processes that share memory but not all (CLONE_VM without CLONE_THREAD) or the file
//! system's view of another root, which CRIU refuses.

mod member;

use std::io;

use member::{Ends, Member};
use nix::sys::prctl;
use nix::sys::resource::{Resource, setrlimit};
use nix::sys::signal::{Signal, kill, raise};
use nix::sys::stat::{Mode, umask};
use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid, waitpid};
use nix::unistd::{Gid, Pid, Uid, setgroups, setpgid, setresgid, setresuid, setsid};
use witness::place::Place;
use witness::sys::{fork, process};
use witness::{Context, Findings, Seen, Subject, Witness, io as as_io, record};

pub(super) fn set_up(place: &Place) -> io::Result<Vec<Box<dyn Witness>>> {
    // In a container it is pid 1, to whom orphans come anyway; elsewhere they shall come as well.
    prctl::set_child_subreaper(true)?;
    let ended = record(Ended::new().context("processes that ended or stopped")?);
    let family = record(Family::new(place).context("processes")?);
    Ok(vec![family, ended])
}

const EXIT: i32 = 7;
const AFTER_STOP: i32 = 21;

/// Children that nobody has waited for.
struct Ended {
    exited: Pid,
    killed: Pid,
    stopped: Pid,
    stopped_and_told: Pid,
}

impl Ended {
    fn new() -> io::Result<Self> {
        let exited = fork::fork(|| EXIT)?;
        let killed = fork::fork(|| {
            process::wait_for_ever();
            0
        })?;
        kill(killed, Signal::SIGKILL)?;
        for zombie in [exited, killed] {
            waitid(Id::Pid(zombie), WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT)?;
        }
        let (stopped, stopped_and_told) = (stopping()?, stopping()?);
        waitid(Id::Pid(stopped), WaitPidFlag::WSTOPPED | WaitPidFlag::WNOWAIT)?;
        waitid(Id::Pid(stopped_and_told), WaitPidFlag::WSTOPPED)?;
        Ok(Ended { exited, killed, stopped, stopped_and_told })
    }
}

/// A process that stops itself, and ends when it goes on.
fn stopping() -> io::Result<Pid> {
    fork::fork(|| {
        let stopped = prctl::set_pdeathsig(Signal::SIGKILL).and_then(|()| raise(Signal::SIGSTOP));
        stopped.map_or(1, |()| AFTER_STOP)
    })
}

impl Subject for Ended {
    fn name(&self) -> &'static str {
        "ended"
    }

    fn look(&mut self, seen: &mut Seen) {
        let all = WaitPidFlag::WEXITED | WaitPidFlag::WSTOPPED | WaitPidFlag::WCONTINUED;
        let look = all | WaitPidFlag::WNOWAIT | WaitPidFlag::WNOHANG;
        let children = [
            ("exited", self.exited),
            ("killed", self.killed),
            ("stopped", self.stopped),
            ("stopped_and_told", self.stopped_and_told),
        ];
        for (name, pid) in children {
            seen.note(name, waitid(Id::Pid(pid), look));
        }
    }

    fn go_on(&mut self, findings: &mut Findings) {
        let exited = WaitStatus::Exited(self.exited, EXIT);
        findings.gives("exited.wait", exited, as_io(waitpid(self.exited, None)));
        let killed = WaitStatus::Signaled(self.killed, Signal::SIGKILL, false);
        findings.gives("killed.wait", killed, as_io(waitpid(self.killed, None)));
        for (name, pid) in [("stopped", self.stopped), ("stopped_and_told", self.stopped_and_told)]
        {
            findings.tried(&format!("{name}.continue"), as_io(kill(pid, Signal::SIGCONT)));
            let exited = WaitStatus::Exited(pid, AFTER_STOP);
            findings.gives(&format!("{name}.wait"), exited, as_io(waitpid(pid, None)));
        }
        // All others were waited for before.
        let nobody = waitpid(None, Some(WaitPidFlag::WNOHANG)).err();
        findings.equal("nobody_else", Some(nix::errno::Errno::ECHILD), nobody);
    }
}

/// Processes that live, in the order in which they end: children before their parents.
struct Family {
    members: Vec<Member>,
}

impl Family {
    fn new(place: &Place) -> io::Result<Self> {
        let mut members = session()?;
        members.push(orphan()?);
        members.extend(reaper()?);
        members.push(Member::start("lowly", 31, lowly)?);
        let folder = place.folder("limited")?;
        members.push(Member::start("limited", 32, move || limited(&folder))?);
        let root = place.folder("root")?;
        members.push(Member::start("rooted", 33, move || {
            as_io(nix::unistd::chroot(&root))?;
            as_io(nix::unistd::chdir("/"))
        })?);
        members.push(Member::sharing_files("sharing", 34)?);
        for member in &mut members {
            member.begin().context(member.name)?;
        }
        Ok(Family { members })
    }
}

/// A session with two groups of processes and a zombie.
fn session() -> io::Result<Vec<Member>> {
    let (member, member_ends) = Ends::pair("member", 11)?;
    let (group, group_ends) = Ends::pair("group", 12)?;
    let leader = Member::start("leader", 13, move || {
        as_io(setsid())?;
        process::set_nice(5)?;
        let zombie = fork::fork(|| 3)?;
        waitid(Id::Pid(zombie), WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT)?;
        fork::fork(|| member_ends.live(|| Ok(())))?;
        let own = Pid::from_raw(0);
        fork::fork(|| group_ends.live(|| as_io(setpgid(own, own))))?;
        Ok(())
    })?;
    Ok(vec![member, group, leader.reaping(&[3, 11, 12])])
}

/// A process whose session and group have the number of a process that is gone.
fn orphan() -> io::Result<Member> {
    let (orphan, ends) = Ends::pair("orphan", 14)?;
    let main = nix::unistd::getpid();
    let leader = fork::fork(|| {
        let started = as_io(setsid()).and_then(|_| fork::fork(|| ends.live(|| adopted_by(main))));
        i32::from(started.is_err())
    })?;
    waitpid(leader, None)?;
    Ok(orphan)
}

/// A process to which orphans come, and one that came.
fn reaper() -> io::Result<[Member; 2]> {
    let (adopted, ends) = Ends::pair("adopted", 15)?;
    let reaper = Member::start("reaper", 16, move || {
        prctl::set_child_subreaper(true)?;
        let own = nix::unistd::getpid();
        let between =
            fork::fork(|| i32::from(fork::fork(|| ends.live(|| adopted_by(own))).is_err()))?;
        waitpid(between, None)?;
        Ok(())
    })?;
    Ok([adopted, reaper.reaping(&[15])])
}

/// Waits until the parent is that one.
fn adopted_by(parent: Pid) -> io::Result<()> {
    while nix::unistd::getppid() != parent {
        std::thread::yield_now();
    }
    Ok(())
}

/// Another user, with groups, without a right to anything.
fn lowly() -> io::Result<()> {
    setgroups(&[Gid::from_raw(10), Gid::from_raw(20), Gid::from_raw(3000)])?;
    prctl::set_keepcaps(true)?;
    let gid = Gid::from_raw;
    setresgid(gid(1000), gid(1001), gid(1002))?;
    let uid = Uid::from_raw;
    setresuid(uid(2000), uid(2001), uid(2002))?;
    prctl::set_no_new_privs()?;
    // Whose ids change is not told of the death of its parent any more.
    as_io(prctl::set_pdeathsig(Signal::SIGTERM))
}

/// With limits, a folder and habits of its own.
fn limited(folder: &std::path::Path) -> io::Result<()> {
    setrlimit(Resource::RLIMIT_NOFILE, 200, 300)?;
    setrlimit(Resource::RLIMIT_CORE, 0, 4096)?;
    setrlimit(Resource::RLIMIT_FSIZE, 1 << 30, 1 << 40)?;
    std::fs::write("/proc/self/oom_score_adj", "123")?;
    umask(Mode::from_bits_truncate(0o137));
    prctl::set_dumpable(false)?;
    as_io(nix::unistd::chdir(folder))
}

impl Subject for Family {
    fn name(&self) -> &'static str {
        "family"
    }

    fn look(&mut self, seen: &mut Seen) {
        for member in &mut self.members {
            let name = member.name;
            match member.look() {
                Ok(lost) => seen.note(name, io::Result::Ok(lost)),
                Err(error) => seen.note(name, io::Result::<()>::Err(error)),
            }
        }
    }

    fn go_on(&mut self, findings: &mut Findings) {
        let own = nix::unistd::getpid();
        for member in &mut self.members {
            let name = member.name;
            findings.gives(&format!("{name}.reaped"), member.reaps.clone(), member.end());
            if member.parent == own.as_raw() {
                let pid = Pid::from_raw(member.pid);
                let exited = WaitStatus::Exited(pid, member.code);
                findings.gives(&format!("{name}.wait"), exited, as_io(waitpid(pid, None)));
            }
        }
    }
}
