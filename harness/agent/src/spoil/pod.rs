//! Who is in the pod, found without asking the verifier.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::Context;
use fs_err as fs;
use model::pod::PodStatus;

/// The tasks of a pod's main container.
#[derive(Debug)]
pub(super) struct Pod {
    pub(super) status: PodStatus,
    pub(super) tasks: Vec<Task>,
}

/// A process.
#[derive(Debug)]
pub(super) struct Task {
    /// The node's number.
    pub(super) pid: i32,
    /// `task.1`: by its number in the container.
    pub(super) name: String,
    pub(super) zombie: bool,
    pub(super) threads: Vec<Thread>,
}

/// A thread.
#[derive(Debug)]
pub(super) struct Thread {
    /// The node's number.
    pub(super) tid: i32,
    /// `task.1`, or `task.1.thread.7`.
    pub(super) name: String,
}

impl Pod {
    pub(super) fn find(status: PodStatus) -> anyhow::Result<Pod> {
        let main = status.containers.first().context("the pod has no container")?;
        let text = fs::read_to_string(main.cgroup.join("cgroup.procs"))?;
        let mut pids: BTreeSet<i32> = text.lines().filter_map(|line| line.parse().ok()).collect();
        for pid in pids.clone() {
            pids.extend(children(pid));
        }
        let tasks = pids.into_iter().map(Task::find).collect::<anyhow::Result<_>>()?;
        Ok(Pod { status, tasks })
    }

    /// The tasks that have not ended.
    pub(super) fn living(&self) -> impl Iterator<Item = &Task> {
        self.tasks.iter().filter(|task| !task.zombie)
    }

    /// The node's number of the container's first process.
    pub(super) fn init(&self) -> anyhow::Result<i32> {
        Ok(self.status.containers.first().context("the pod has no container")?.pid)
    }
}

impl Task {
    fn find(pid: i32) -> anyhow::Result<Task> {
        let folder = format!("/proc/{pid}");
        let name = format!("task.{}", number_within(Path::new(&folder))?);
        let mut threads = Vec::new();
        for entry in fs::read_dir(format!("{folder}/task"))? {
            let entry = entry?;
            let tid = entry.file_name().to_string_lossy().parse()?;
            let inner = number_within(&entry.path())?;
            let name = if tid == pid { name.clone() } else { format!("{name}.thread.{inner}") };
            threads.push(Thread { tid, name });
        }
        threads.sort_by_key(|thread| thread.tid);
        let zombie = field(Path::new(&folder), "State:")?.starts_with('Z');
        Ok(Task { pid, name, zombie, threads })
    }
}

/// Zombies are in no list but that of their parent.
fn children(pid: i32) -> Vec<i32> {
    let text = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    text.split_whitespace().filter_map(|child| child.parse().ok()).collect()
}

fn number_within(folder: &Path) -> anyhow::Result<i32> {
    let numbers = field(folder, "NSpid:")?;
    numbers.split_whitespace().last().context("no NSpid")?.parse().context("NSpid")
}

/// A line of `status`.
pub(super) fn field(folder: &Path, key: &str) -> anyhow::Result<String> {
    let path = folder.join("status");
    let text = fs::read_to_string(&path)?;
    let line = text.lines().find_map(|line| line.strip_prefix(key));
    let line = line.with_context(|| format!("{} has no line {key}", path.display()))?;
    Ok(line.trim().to_owned())
}
