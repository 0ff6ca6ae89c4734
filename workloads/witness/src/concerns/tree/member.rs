//! A process of the tree: it looks at itself when it is asked, and ends when it is told.

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read, Write};

use nix::fcntl::OFlag;
use nix::sys::prctl;
use nix::sys::resource::{Resource, getrlimit};
use nix::sys::signal::Signal;
use nix::sys::stat::{Mode, umask};
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{self, pipe2};
use witness::sys::{fork, process};
use witness::{Context, Seen, io as as_io};

const LOOK: u8 = b'l';
const END: u8 = b'e';

/// The last line of an answer.
const DONE: &str = "done";

/// A member as the first process has it.
pub(super) struct Member {
    pub(super) name: &'static str,
    /// The exit code with which it will end.
    pub(super) code: i32,
    /// Its pid.
    pub(super) pid: i32,
    /// Its parent's pid.
    pub(super) parent: i32,
    /// Exit codes of the children for which it will have waited.
    pub(super) reaps: Vec<i32>,
    orders: File,
    answers: BufReader<File>,
}

/// A member's own ends.
pub(super) struct Ends {
    name: &'static str,
    code: i32,
    orders: File,
    answers: File,
}

impl Ends {
    /// Ends for a member that somebody else starts.
    pub(super) fn pair(name: &'static str, code: i32) -> io::Result<(Member, Ends)> {
        let (asked, orders) = pipe2(OFlag::O_CLOEXEC)?;
        let (answers, answered) = pipe2(OFlag::O_CLOEXEC)?;
        let answers = BufReader::new(File::from(answers));
        let (pid, parent, reaps, orders) = (0, 0, Vec::new(), File::from(orders));
        let member = Member { name, code, pid, parent, reaps, orders, answers };
        Ok((member, Ends { name, code, orders: asked.into(), answers: answered.into() }))
    }

    /// The life of a member; its exit code.
    pub(super) fn live(mut self, set_up: impl FnOnce() -> io::Result<()>) -> i32 {
        match self.serve(set_up) {
            Ok(()) => self.code,
            Err(error) => {
                eprintln!("{}: {error}", self.name);
                1
            }
        }
    }

    fn serve(&mut self, set_up: impl FnOnce() -> io::Result<()>) -> io::Result<()> {
        prctl::set_name(&std::ffi::CString::new(self.name)?)?;
        set_up()?;
        if as_io(prctl::get_pdeathsig())?.is_none() {
            prctl::set_pdeathsig(Signal::SIGKILL)?;
        }
        let before = about();
        self.answer(&[unistd::getpid().to_string(), unistd::getppid().to_string()])?;
        loop {
            let mut order = [0];
            self.orders.read_exact(&mut order)?;
            if order == [LOOK] {
                let lost = before.differences(&about());
                let tell = |(name, before, after)| format!("{name} was {before}, is {after}");
                self.answer(&lost.into_iter().map(tell).collect::<Vec<_>>())?;
            } else {
                return self.answer(&reap()?);
            }
        }
    }

    fn answer(&mut self, lines: &[String]) -> io::Result<()> {
        let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
        self.answers.write_all(format!("{text}{DONE}\n").as_bytes())
    }
}

/// Waits for all children: their exit codes.
fn reap() -> io::Result<Vec<String>> {
    let mut codes = Vec::new();
    loop {
        match waitpid(None, None) {
            Ok(WaitStatus::Exited(_, code)) => codes.push(code.to_string()),
            Ok(other) => codes.push(format!("{other:?}")),
            Err(nix::errno::Errno::ECHILD) => return Ok(codes),
            Err(error) => return Err(error.into()),
        }
    }
}

impl Member {
    /// Starts a child of the calling process.
    pub(super) fn start(
        name: &'static str,
        code: i32,
        set_up: impl FnOnce() -> io::Result<()>,
    ) -> io::Result<Self> {
        let (member, ends) = Ends::pair(name, code)?;
        fork::fork(|| ends.live(set_up))?;
        Ok(member)
    }

    /// Starts one that has its descriptors in common with the calling process.
    pub(super) fn sharing_files(name: &'static str, code: i32) -> io::Result<Self> {
        let (member, ends) = Ends::pair(name, code)?;
        let mut ends = std::mem::ManuallyDrop::new(ends);
        fork::fork_sharing_files(|| match ends.serve(|| Ok(())) {
            Ok(()) => code,
            Err(_) => 1,
        })?;
        Ok(member)
    }

    /// The same, and it will have waited for children with these exit codes.
    pub(super) fn reaping(self, codes: &[i32]) -> Self {
        Member { reaps: codes.to_vec(), ..self }
    }

    /// Hears that it has begun.
    pub(super) fn begin(&mut self) -> io::Result<()> {
        let lines = self.answer()?;
        let [pid, parent] = lines.as_slice() else {
            return Err(io::Error::other(format!("it said {lines:?}")));
        };
        self.pid = pid.parse().map_err(io::Error::other)?;
        self.parent = parent.parse().map_err(io::Error::other)?;
        Ok(())
    }

    /// What it has lost, by its own words.
    pub(super) fn look(&mut self) -> io::Result<Vec<String>> {
        self.orders.write_all(&[LOOK])?;
        self.answer()
    }

    /// Tells it to end: the exit codes of the children for which it waited.
    pub(super) fn end(&mut self) -> io::Result<Vec<i32>> {
        self.orders.write_all(&[END])?;
        let lines = self.answer()?;
        let codes: Result<Vec<i32>, _> = lines.iter().map(|line| line.parse()).collect();
        let mut codes = codes.map_err(io::Error::other).context(lines.join(", "))?;
        codes.sort_unstable();
        Ok(codes)
    }

    fn answer(&mut self) -> io::Result<Vec<String>> {
        let mut lines = Vec::new();
        loop {
            let mut line = String::new();
            if self.answers.read_line(&mut line)? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            match line.trim_end() {
                DONE => return Ok(lines),
                other => lines.push(other.to_owned()),
            }
        }
    }
}

/// What a process sees of itself.
fn about() -> Seen {
    let mut seen = Seen::default();
    let pids = [unistd::getpid(), unistd::getppid(), unistd::getpgrp()].map(unistd::Pid::as_raw);
    seen.note("pids", io::Result::Ok(pids));
    seen.note("session", unistd::getsid(None).map(unistd::Pid::as_raw));
    seen.note(
        "uids",
        unistd::getresuid().map(|it| [it.real, it.effective, it.saved].map(|it| it.as_raw())),
    );
    seen.note(
        "gids",
        unistd::getresgid().map(|it| [it.real, it.effective, it.saved].map(|it| it.as_raw())),
    );
    seen.note("groups", unistd::getgroups());
    seen.note("folder", unistd::getcwd());
    seen.note("nice", io::Result::Ok(process::nice()));
    let mask = umask(Mode::empty());
    umask(mask);
    seen.note("umask", io::Result::Ok(mask));
    seen.note("name", prctl::get_name());
    seen.note("dumpable", prctl::get_dumpable());
    seen.note("keepcaps", prctl::get_keepcaps());
    seen.note("no_new_privs", prctl::get_no_new_privs());
    seen.note("subreaper", prctl::get_child_subreaper());
    seen.note("pdeathsig", prctl::get_pdeathsig());
    for resource in [Resource::RLIMIT_NOFILE, Resource::RLIMIT_CORE, Resource::RLIMIT_FSIZE] {
        seen.note(format!("{resource:?}"), getrlimit(resource));
    }
    seen.note("oom_score_adj", fs::read_to_string("/proc/self/oom_score_adj"));
    let status = witness::proc::text("/proc/self/status");
    let rights = |text: String| {
        text.lines().filter(|it| it.starts_with("Cap")).map(str::to_owned).collect::<Vec<_>>()
    };
    seen.note("rights", status.map(rights));
    seen
}
