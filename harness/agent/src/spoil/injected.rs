//! What only a task can do to itself: a timer less, another interval, a thread less.
//!
//! All threads of the container are held by a tracer while its cgroup is thawed, so that none of
//! them runs. One makes a single system call, from the kernel's own code in its memory, and gets
//! its registers back. Then the cgroup is frozen again and everybody is let go: into the freezer.

use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail};
use fs_err as fs;
use nix::poll::{PollTimeout, poll};
use nix::sys::ptrace::{self, Options};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use serde::{Deserialize, Serialize};

use super::act::{Act, Offers};
use super::outcome::refused;
use super::pod::{Pod, Task};
use crate::clock;

/// How long a thread may take to reach its next stop.
const DEADLINE: Duration = Duration::from_secs(10);

/// A system call that a thread is made to do.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Injected {
    pid: i32,
    tid: i32,
    cgroup: PathBuf,
    call: Call,
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Call {
    TimerGone {
        id: u32,
    },
    /// It is armed anew, with an interval of its own.
    TimerInterval {
        id: u32,
    },
    ThreadGone,
}

pub(super) fn offer(pod: &Pod, offers: &mut Offers) -> anyhow::Result<()> {
    let main = pod.status.containers.first().context("the pod has no container")?;
    for task in pod.living() {
        let mut offer = |name: String, what: String, tid: i32, call: Call| {
            let cgroup = main.cgroup.clone();
            let act = Act::Injected(Injected { pid: task.pid, tid, cgroup, call });
            offers.live(name, what, &act);
        };
        for id in timers(task.pid)? {
            let (timer, of) =
                (format!("{}/{id}", task.name), format!("timer {id} of {}", task.name));
            offer(
                format!("timer-less/{timer}"),
                format!("{of} is gone"),
                task.pid,
                Call::TimerGone { id },
            );
            offer(
                format!("timer-interval/{timer}"),
                format!("{of} has another interval"),
                task.pid,
                Call::TimerInterval { id },
            );
        }
        for thread in others(task) {
            let what = format!("{} ends", thread.1);
            offer(format!("thread-less/{}", thread.1), what, thread.0, Call::ThreadGone);
        }
    }
    Ok(())
}

fn others(task: &Task) -> impl Iterator<Item = (i32, &str)> {
    let others = task.threads.iter().filter(|thread| thread.tid != task.pid);
    others.map(|thread| (thread.tid, thread.name.as_str()))
}

/// Ids of a task's POSIX timers.
fn timers(pid: i32) -> anyhow::Result<Vec<u32>> {
    let text = fs::read_to_string(format!("/proc/{pid}/timers")).unwrap_or_default();
    let ids = text.lines().filter_map(|line| line.strip_prefix("ID: "));
    ids.map(|id| id.trim().parse().context("the id of a timer")).collect()
}

impl Injected {
    pub(super) fn carry_out(&self) -> anyhow::Result<()> {
        let threads = fs::read_to_string(self.cgroup.join("cgroup.threads"))?;
        let threads: Vec<i32> = threads.lines().map(str::parse).collect::<Result<_, _>>()?;
        let mut held = Vec::new();
        let done = threads
            .iter()
            .try_for_each(|&tid| hold(tid, &mut held))
            .and_then(|()| freeze(&self.cgroup, false))
            .and_then(|()| self.within_thaw());
        let frozen = freeze(&self.cgroup, true);
        for tid in held {
            // The one that has ended is no longer there.
            let _ = ptrace::detach(tid, None);
        }
        done.and(frozen).and_then(|()| until_frozen(&self.cgroup))
    }

    fn within_thaw(&self) -> anyhow::Result<()> {
        let place = syscall_instruction(self.pid)?;
        match self.call {
            Call::TimerGone { id } => {
                self.call(place, libc::SYS_timer_delete, [id.into(), 0, 0, 0])?;
                gone(!timers(self.pid)?.contains(&id), "the timer")
            }
            Call::TimerInterval { id } => self.with_interval(|address| {
                self.call(place, libc::SYS_timer_settime, [id.into(), 0, address, 0])
            }),
            Call::ThreadGone => {
                self.call(place, libc::SYS_exit, [0; 4])?;
                let folder = format!("/proc/{}/task/{}", self.pid, self.tid);
                gone(!Path::new(&folder).exists(), "the thread")
            }
        }
    }

    /// Lends some of the thread's stack to a `struct itimerspec`: 7,777 s, and so long again.
    fn with_interval(&self, act: impl FnOnce(u64) -> anyhow::Result<()>) -> anyhow::Result<()> {
        const BELOW_THE_RED_ZONE: u64 = 512;
        let address = ptrace::getregs(self.thread())?.rsp - BELOW_THE_RED_ZONE;
        let path = format!("/proc/{}/mem", self.pid);
        let memory = std::fs::OpenOptions::new().read(true).write(true).open(path)?;
        let mut before = [0; 32];
        memory.read_exact_at(&mut before, address)?;
        let setting = [7777u64, 0, 7777, 0].map(u64::to_ne_bytes).concat();
        memory.write_all_at(&setting, address)?;
        let done = act(address);
        memory.write_all_at(&before, address)?;
        done
    }

    /// Makes the thread do one system call, which has to succeed or end it.
    fn call(&self, place: u64, number: i64, arguments: [u64; 4]) -> anyhow::Result<()> {
        let before = ptrace::getregs(self.thread())?;
        let mut registers = before;
        registers.rip = place;
        registers.rax = number.cast_unsigned();
        // In no system call, so that none is begun anew.
        registers.orig_rax = u64::MAX;
        (registers.rdi, registers.rsi) = (arguments[0], arguments[1]);
        (registers.rdx, registers.r10) = (arguments[2], arguments[3]);
        ptrace::setregs(self.thread(), registers)?;
        for _ in ["into the call", "out of it"] {
            ptrace::syscall(self.thread(), None)?;
            if let WaitStatus::Exited(..) | WaitStatus::Signaled(..) = stopped(self.thread())? {
                return Ok(());
            }
        }
        let answer = ptrace::getregs(self.thread())?.rax.cast_signed();
        ptrace::setregs(self.thread(), before)?;
        match i32::try_from(-answer) {
            Ok(errno) if errno > 0 => {
                let error = std::io::Error::from_raw_os_error(errno);
                Err(refused("the system call", error))
            }
            _ => Ok(()),
        }
    }

    fn thread(&self) -> Pid {
        Pid::from_raw(self.tid)
    }
}

fn gone(is_gone: bool, what: &str) -> anyhow::Result<()> {
    if !is_gone {
        bail!("{what} is still there");
    }
    Ok(())
}

/// Seizes a frozen thread and brings it into the tracer's trap.
fn hold(tid: i32, held: &mut Vec<Pid>) -> anyhow::Result<()> {
    let tid = Pid::from_raw(tid);
    ptrace::seize(tid, Options::PTRACE_O_TRACESYSGOOD).context("ptrace seize")?;
    held.push(tid);
    ptrace::interrupt(tid).context("ptrace interrupt")?;
    stopped(tid).map(drop)
}

/// Waits for the next stop of a traced thread, or its end.
fn stopped(tid: Pid) -> anyhow::Result<WaitStatus> {
    let end = clock::monotonic_ns() + DEADLINE.as_nanos() as u64;
    loop {
        match waitpid(tid, Some(WaitPidFlag::__WALL | WaitPidFlag::WNOHANG))? {
            WaitStatus::StillAlive => {}
            status => return Ok(status),
        }
        if clock::monotonic_ns() > end {
            bail!("{tid} does not stop for its tracer");
        }
        poll(&mut [], PollTimeout::from(1u8))?;
    }
}

fn freeze(cgroup: &Path, frozen: bool) -> anyhow::Result<()> {
    Ok(fs::write(cgroup.join("cgroup.freeze"), if frozen { "1" } else { "0" })?)
}

fn until_frozen(cgroup: &Path) -> anyhow::Result<()> {
    let end = clock::monotonic_ns() + DEADLINE.as_nanos() as u64;
    while !fs::read_to_string(cgroup.join("cgroup.events"))?.contains("frozen 1") {
        if clock::monotonic_ns() > end {
            bail!("{} does not freeze again", cgroup.display());
        }
        poll(&mut [], PollTimeout::from(1u8))?;
    }
    Ok(())
}

/// Where a task has an instruction `syscall`: in the code that the kernel maps into each.
fn syscall_instruction(pid: i32) -> anyhow::Result<u64> {
    let maps = fs::read_to_string(format!("/proc/{pid}/maps"))?;
    let range = maps.lines().find(|line| line.ends_with("[vdso]")).context("no [vdso]")?;
    let (start, rest) = range.split_once('-').context("a range")?;
    let end = rest.split(' ').next().unwrap_or_default();
    let (start, end) = (u64::from_str_radix(start, 16)?, u64::from_str_radix(end, 16)?);
    let mut code = vec![0; usize::try_from(end - start)?];
    std::fs::File::open(format!("/proc/{pid}/mem"))?.read_exact_at(&mut code, start)?;
    let at = code.windows(2).position(|bytes| bytes == [0x0f, 0x05]);
    Ok(start + at.context("no `syscall` in [vdso]")? as u64)
}
