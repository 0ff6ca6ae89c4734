//! A session leader at its terminal: a job in front, and a suspended one behind.
//!
//! The leader tells what befalls its jobs on the terminal, in words.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Write};

use nix::sys::prctl;
use nix::sys::signal::{Signal, kill, raise};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{Pid, getpid, setpgid, setsid, tcsetpgrp};
use witness::sys::{fork, signal, terminal};
use witness::{io as as_io, proc};

/// Exit code of a leader that could not do its work.
const BROKEN: i32 = 9;

/// The jobs of a session, each a process group of one process.
pub(super) struct Jobs {
    front: Pid,
    behind: Pid,
}

impl Jobs {
    /// Reads what the leader says first: the two pids.
    pub(super) fn read(master: &mut impl Read) -> io::Result<Jobs> {
        // No byte more than the line is taken.
        let mut line = Vec::new();
        while !line.ends_with(b"\n") {
            let mut byte = [0];
            master.read_exact(&mut byte)?;
            line.push(byte[0]);
        }
        let line = String::from_utf8(line).map_err(io::Error::other)?;
        let pids: Vec<i32> = line.split_whitespace().flat_map(str::parse).collect();
        match pids[..] {
            [front, behind] => {
                Ok(Jobs { front: Pid::from_raw(front), behind: Pid::from_raw(behind) })
            }
            _ => Err(io::Error::other(format!("the leader says: {line}"))),
        }
    }

    /// All processes of the session, by name.
    pub(super) fn all(&self, leader: Pid) -> [(&'static str, Pid); 3] {
        [("leader", leader), ("front", self.front), ("behind", self.behind)]
    }
}

/// Whether a process is stopped; its parent, process group, session, terminal and the terminal's
/// foreground group, as proc_pid_stat(5) has them.
pub(super) fn place_of(pid: Pid) -> io::Result<(bool, Vec<String>)> {
    let stat = proc::text(&format!("/proc/{pid}/stat"))?;
    let (_, rest) = stat.rsplit_once(") ").ok_or_else(|| io::Error::other("no stat"))?;
    let mut fields = rest.split(' ').map(str::to_owned);
    Ok((fields.next().as_deref() == Some("T"), fields.take(5).collect()))
}

/// Starts the leader. It shall have the terminal to itself: this process closes it afterwards.
pub(super) fn start(terminal: &File) -> io::Result<Pid> {
    fork::fork(|| match lead(terminal) {
        Ok(()) => 0,
        Err(error) => {
            let mut to = terminal;
            // Whoever reads the terminal finds it where something else should be.
            writeln!(to, "leader: {error}").ok();
            BROKEN
        }
    })
}

fn lead(terminal: &File) -> io::Result<()> {
    prctl::set_pdeathsig(Signal::SIGKILL)?;
    setsid()?;
    terminal::take(terminal)?;
    // Who changes the foreground group from behind would be stopped.
    signal::ignore(libc::SIGTTOU)?;
    signal::block(&[libc::SIGUSR1])?;
    let behind = job("behind", terminal)?;
    until_stopped(behind)?;
    let front = job("front", terminal)?;
    tcsetpgrp(terminal, front)?;
    let mut to = terminal;
    writeln!(to, "{front} {behind}")?;
    // From now on the job in front may read without being stopped for it.
    kill(front, Signal::SIGUSR1)?;
    control(terminal, front, behind)
}

/// What a shell does when its jobs stop or end.
fn control(terminal: &File, front: Pid, behind: Pid) -> io::Result<()> {
    let mut to = terminal;
    match waitpid(front, Some(WaitPidFlag::WUNTRACED))? {
        WaitStatus::Stopped(_, signal) => writeln!(to, "front: {signal}")?,
        other => return Err(io::Error::other(format!("front: {other:?}"))),
    }
    resume(terminal, behind)?;
    match waitpid(behind, Some(WaitPidFlag::WUNTRACED))? {
        WaitStatus::Exited(_, code) => writeln!(to, "behind: {code}")?,
        other => return Err(io::Error::other(format!("behind: {other:?}"))),
    }
    resume(terminal, front)?;
    match waitpid(front, Some(WaitPidFlag::WUNTRACED))? {
        WaitStatus::Signaled(_, signal, _) => writeln!(to, "front: {signal}"),
        other => Err(io::Error::other(format!("front: {other:?}"))),
    }
}

/// Puts a job in front and lets it go on.
fn resume(terminal: &File, job: Pid) -> io::Result<()> {
    tcsetpgrp(terminal, job)?;
    as_io(kill(job, Signal::SIGCONT))
}

fn until_stopped(job: Pid) -> io::Result<()> {
    match waitpid(job, Some(WaitPidFlag::WUNTRACED))? {
        WaitStatus::Stopped(..) => Ok(()),
        other => Err(io::Error::other(format!("a job did not stop: {other:?}"))),
    }
}

/// A job that shows the lines which are typed for it. The one behind ends after one.
fn job(name: &'static str, terminal: &File) -> io::Result<Pid> {
    let started = fork::fork(|| i32::from(work(name, terminal).is_err()))?;
    // The child does so as well: whoever comes first.
    setpgid(started, started)?;
    Ok(started)
}

fn work(name: &str, terminal: &File) -> io::Result<()> {
    prctl::set_pdeathsig(Signal::SIGKILL)?;
    setpgid(getpid(), getpid())?;
    match name {
        "front" => signal::wait(libc::SIGUSR1)?,
        // As by Ctrl-Z. What reads from behind is stopped by SIGTTIN, which CRIU refuses to dump.
        _ => as_io(raise(Signal::SIGTSTP))?,
    }
    let mut to = terminal;
    let mut lines = BufReader::new(terminal).lines();
    while let Some(line) = lines.next().transpose()? {
        writeln!(to, "{name}: {line}")?;
        if name == "behind" {
            break;
        }
    }
    Ok(())
}
