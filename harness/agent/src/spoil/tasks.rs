//! Tasks: one less, one more, and signals that wait for them.

use std::convert::Infallible;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail};
use fs_err as fs;
use nix::poll::{PollTimeout, poll};
use nix::sched::{CloneFlags, setns};
use serde::{Deserialize, Serialize};

use super::act::{Act, Offers};
use super::outcome::{changed, refused};
use super::pod::{self, Pod};
use super::sys;
use crate::clock;

/// How long a task may take to be there, or to be gone.
const DEADLINE: Duration = Duration::from_secs(10);

/// A change of who is in the pod, or of what waits for them.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Task {
    /// A process ends by SIGKILL, which reaches it in the freezer, too.
    Less { pid: i32 },
    /// A process is born into the container's namespaces and cgroup.
    More { init: i32, cgroup: PathBuf },
    /// A signal that is caught or blocked waits for a process, or for one of its threads.
    Signal { pid: i32, tid: Option<i32>, number: i32 },
}

pub(super) fn offer(pod: &Pod, offers: &mut Offers) -> anyhow::Result<()> {
    let (init, main) = (pod.init()?, pod.status.containers.first());
    for task in pod.living() {
        let folder = PathBuf::from(format!("/proc/{}", task.pid));
        for (word, number) in kept(&folder)? {
            let (pid, name) = (task.pid, &task.name);
            let act = Act::Task(Task::Signal { pid, tid: None, number });
            let what = format!("a {word} signal {number} waits for {name}");
            offers.live(format!("signal/{name}/{number}"), what, &act);
            for thread in &task.threads {
                let act = Act::Task(Task::Signal { pid, tid: Some(thread.tid), number });
                let what = format!("a {word} signal {number} waits for thread {}", thread.name);
                offers.live(format!("thread-signal/{}/{number}", thread.name), what, &act);
            }
        }
        if task.pid != init {
            let act = Act::Task(Task::Less { pid: task.pid });
            offers.live(
                format!("task-less/{}/killed", task.name),
                format!("{} is killed", task.name),
                &act,
            );
        }
    }
    let cgroup = main.context("the pod has no container")?.cgroup.clone();
    let act = Act::Task(Task::More { init, cgroup });
    offers.live("task-more/main/born", "a process more in the container", &act);
    Ok(())
}

/// Signals that stay where they are until the process runs: neither ignored nor deadly. At most
/// one of each manner.
fn kept(folder: &Path) -> anyhow::Result<Vec<(&'static str, i32)>> {
    let mask = |key: &str| -> anyhow::Result<u64> {
        Ok(u64::from_str_radix(&pod::field(folder, key)?, 16)?)
    };
    let (ignored, pending) = (mask("SigIgn:")?, mask("SigPnd:")? | mask("ShdPnd:")?);
    let first = |set: u64| {
        let free = set & !ignored & !pending;
        (free != 0).then(|| free.trailing_zeros() as i32 + 1)
    };
    let caught = first(mask("SigCgt:")?).map(|number| ("caught", number));
    let blocked = first(mask("SigBlk:")?).map(|number| ("blocked", number));
    // SIGSTOP can be neither caught nor ignored, and does not kill.
    Ok([caught, blocked, Some(("stopping", 19))].into_iter().flatten().collect())
}

impl Task {
    pub(super) fn carry_out(&self) -> anyhow::Result<()> {
        match self {
            Task::Less { pid } => {
                sys::signal(*pid, None, libc::SIGKILL)?;
                let folder = PathBuf::from(format!("/proc/{pid}"));
                until(&format!("{pid} to end"), || match pod::field(&folder, "State:") {
                    Ok(state) => state.starts_with(['Z', 'X']),
                    Err(_) => true,
                })
            }
            Task::More { init, cgroup } => more(*init, cgroup),
            Task::Signal { pid, tid, number } => {
                let folder = PathBuf::from(format!("/proc/{pid}/task/{}", tid.unwrap_or(*pid)));
                let waiting = || -> anyhow::Result<(String, String)> {
                    Ok((pod::field(&folder, "SigPnd:")?, pod::field(&folder, "ShdPnd:")?))
                };
                let before = waiting()?;
                sys::signal(*pid, *tid, *number).map_err(|error| refused("the signal", error))?;
                changed("what waits", &before, &waiting()?)
            }
        }
    }
}

/// The child enters the namespaces before it is there, since only its own children are in the
/// pid namespace that it enters.
fn more(init: i32, cgroup: &Path) -> anyhow::Result<()> {
    let mut namespaces = Vec::new();
    for (kind, flag) in [
        ("cgroup", CloneFlags::CLONE_NEWCGROUP),
        ("ipc", CloneFlags::CLONE_NEWIPC),
        ("uts", CloneFlags::CLONE_NEWUTS),
        ("net", CloneFlags::CLONE_NEWNET),
        ("pid", CloneFlags::CLONE_NEWPID),
        ("mnt", CloneFlags::CLONE_NEWNS),
    ] {
        namespaces.push((File::open(format!("/proc/{init}/ns/{kind}"))?, flag));
    }
    let procs = cgroup.join("cgroup.procs");
    let before = fs::read_to_string(&procs)?;
    let middle = sys::fork(|| {
        let entered = namespaces.iter().try_for_each(|(file, flag)| setns(file, *flag));
        let born = entered.map_err(std::io::Error::from).and_then(|()| sys::fork(wait_for_ever));
        std::process::exit(i32::from(born.is_err()))
    })?;
    nix::sys::wait::waitpid(nix::unistd::Pid::from_raw(middle), None)?;
    join(init, &procs)?;
    changed("the cgroup", &before, &fs::read_to_string(&procs)?)
}

/// Puts the one process that is in the pid namespace of `init` and not in its cgroup there.
fn join(init: i32, procs: &Path) -> anyhow::Result<()> {
    let of = |pid: i32| std::fs::read_link(format!("/proc/{pid}/ns/pid")).ok();
    let (wanted, inside) = (of(init), fs::read_to_string(procs)?);
    for entry in fs::read_dir("/proc")? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        let Ok(pid) = name.parse::<i32>() else { continue };
        if of(pid) == wanted && !inside.lines().any(|line| line == name) {
            return fs::write(procs, &name).map_err(|error| refused("the cgroup", error));
        }
    }
    bail!("the process that was born is not there")
}

fn wait_for_ever() -> Infallible {
    loop {
        // Whatever wakes it, it goes on waiting.
        let _ = poll(&mut [], PollTimeout::NONE);
    }
}

fn until(what: &str, mut holds: impl FnMut() -> bool) -> anyhow::Result<()> {
    let end = clock::monotonic_ns() + DEADLINE.as_nanos() as u64;
    while !holds() {
        if clock::monotonic_ns() > end {
            bail!("waited in vain for {what}");
        }
        poll(&mut [], PollTimeout::from(1u8))?;
    }
    Ok(())
}
