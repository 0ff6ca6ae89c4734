//! Where facts come from: one small file a source, each sees a part of the pod and says what it
//! sees. Of what kind a fact is, and so how it is compared, is the registry's business.

mod cgroup;
pub(crate) mod clock;
mod diag;
mod fd;
mod fdinfo;
mod files;
mod guards;
mod holes;
mod inside;
mod ipc;
mod limits;
mod maps;
mod mounts;
mod multicast;
mod namespaces;
mod network;
mod open_file;
mod pid_namespace;
mod pipe;
mod process;
mod registers;
mod sched;
pub(crate) mod sharing;
mod socket;
mod socket_options;
mod stat;
mod status;
mod sysctl;
mod tables;
mod terminal;
mod timers;
mod tool;
pub(crate) mod traced;
mod uts;
pub(crate) mod watches;

pub use socket_options::option_name;

use crate::error::Result;
use crate::facts::Facts;
use crate::pod::{Container, Pod, Task, Thread};
use traced::RseqArea;

type OfThread = fn(&Pod<'_>, &Task, &Thread, &mut Facts) -> Result<()>;
type OfTask = fn(&Pod<'_>, &Task, &mut Facts) -> Result<()>;
type OfContainer = fn(&Pod<'_>, &Container<'_>, &mut Facts) -> Result<()>;
type OfPod = fn(&Pod<'_>, &mut Facts) -> Result<()>;

/// Asked about tasks that have ended, too.
const ENDED: &[OfThread] = &[status::thread, stat::thread];

const THREAD: &[OfThread] = &[process::thread, sched::thread];

const TASK: &[OfTask] = &[process::task, limits::task, timers::task, namespaces::task, maps::task];

const CONTAINER: &[OfContainer] = &[clock::container, cgroup::container, pid_namespace::container];

const POD: &[OfPod] = &[namespaces::pod, sharing::pod, mounts::pod, cgroup::pod];

/// Asks every source, and returns the rseq areas that tracing found.
pub(crate) fn all(pod: &Pod<'_>, facts: &mut Facts) -> Result<Vec<RseqArea>> {
    for container in &pod.containers {
        CONTAINER.iter().try_for_each(|source| source(pod, container, facts))?;
    }
    for task in pod.tasks() {
        let sources = if task.zombie { [ENDED, &[]] } else { [ENDED, THREAD] };
        for thread in &task.threads {
            let mut sources = sources.into_iter().flatten();
            sources.try_for_each(|source| source(pod, task, thread, facts))?;
        }
        if !task.zombie {
            TASK.iter().try_for_each(|source| source(pod, task, facts))?;
        }
    }
    POD.iter().try_for_each(|source| source(pod, facts))?;
    let watches = watches::Watches::find(pod)?;
    for container in &pod.containers {
        files::container(pod, container, &watches, facts)?;
    }
    files::pod(pod, &watches, facts)?;
    let sockets = inside::pod(pod, facts)?;
    fd::pod(pod, &sockets, facts)?;
    traced::pod(pod, facts)
}
