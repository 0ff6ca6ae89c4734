//! Who is in the pod: containers, tasks and threads, and how their pids translate.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use model::pod::{ContainerStatus, PodStatus};

use crate::error::{Error, Result};
use crate::read;
use crate::vma::{self, Vma};

/// A pod with all its tasks, as found in its cgroups.
#[derive(Debug)]
pub(crate) struct Pod<'a> {
    pub(crate) status: &'a PodStatus,
    pub(crate) containers: Vec<Container<'a>>,
    pids: BTreeMap<i32, String>,
}

/// A container of the pod.
#[derive(Debug)]
pub(crate) struct Container<'a> {
    pub(crate) status: &'a ContainerStatus,
    /// What its facts begin with: nothing for the main container, `NAME.` for another.
    pub(crate) prefix: String,
    pub(crate) tasks: Vec<Task>,
}

/// A task (thread group).
#[derive(Debug)]
pub(crate) struct Task {
    /// Its pid on the node.
    pub(crate) pid: i32,
    /// Its pid in the container.
    pub(crate) inner: i32,
    /// What its facts begin with, such as `task.1`.
    pub(crate) name: String,
    /// How deep the container's pid namespace is: an index into `NSpid`.
    pub(crate) level: usize,
    /// Ended, but not yet waited for: has no memory and no descriptors.
    pub(crate) zombie: bool,
    pub(crate) threads: Vec<Thread>,
    mappings: OnceLock<Vec<Vma>>,
}

/// A thread. The first of a task bears the task's own name.
#[derive(Debug)]
pub(crate) struct Thread {
    /// Its id on the node.
    pub(crate) tid: i32,
    /// What its facts begin with: `task.1`, or `task.1.thread.5`.
    pub(crate) name: String,
    /// Its folder in `/proc`.
    pub(crate) proc: PathBuf,
}

impl<'a> Pod<'a> {
    /// Finds everybody who is in the pod.
    pub(crate) fn find(status: &'a PodStatus) -> Result<Self> {
        let mut containers = Vec::new();
        for (index, container) in status.containers.iter().enumerate() {
            let prefix = if index == 0 { String::new() } else { format!("{}.", container.name) };
            containers.push(Container::find(container, prefix)?);
        }
        let mut pids = BTreeMap::new();
        for container in &containers {
            for task in &container.tasks {
                let place = container.prefix.replace('.', ":");
                pids.insert(task.pid, format!("{place}{}", task.inner));
            }
        }
        Ok(Pod { status, containers, pids })
    }

    /// All tasks, container by container.
    pub(crate) fn tasks(&self) -> impl Iterator<Item = &Task> {
        self.containers.iter().flat_map(|container| &container.tasks)
    }

    /// A pid of the node as the container numbers it.
    pub(crate) fn inner(&self, pid: i32) -> String {
        match self.pids.get(&pid) {
            Some(inner) => inner.clone(),
            None if pid == 0 => "0".to_owned(),
            None => "outside".to_owned(),
        }
    }
}

impl<'a> Container<'a> {
    fn find(status: &'a ContainerStatus, prefix: String) -> Result<Self> {
        let level = pids_in_namespaces(Path::new(&format!("/proc/{}", status.pid)))?.len() - 1;
        let mut pids = BTreeSet::new();
        members(&status.cgroup, &mut pids)?;
        pids.insert(status.pid);
        for pid in pids.clone() {
            descendants(pid, &mut pids)?;
        }
        let mut tasks = Vec::new();
        for pid in pids {
            tasks.extend(Task::find(pid, level, &prefix)?);
        }
        tasks.sort_by_key(|task| task.inner);
        Ok(Container { status, prefix, tasks })
    }
}

impl Task {
    /// Looks at a process; nothing when it is not in the container's pid namespace.
    fn find(pid: i32, level: usize, prefix: &str) -> Result<Option<Self>> {
        let proc = PathBuf::from(format!("/proc/{pid}"));
        let Some(&inner) = pids_in_namespaces(&proc)?.get(level) else {
            return Ok(None);
        };
        let name = format!("{prefix}task.{inner}");
        let mut threads = Vec::new();
        for tid in read::numbers(proc.join("task"))? {
            threads.push(Thread::find(pid, tid, level, &name)?);
        }
        let zombie = state(&proc)? == 'Z';
        Ok(Some(Task { pid, inner, name, level, zombie, threads, mappings: OnceLock::new() }))
    }

    /// The folder of the task in `/proc`.
    pub(crate) fn proc(&self) -> PathBuf {
        PathBuf::from(format!("/proc/{}", self.pid))
    }

    /// Its mappings, in the order of their addresses. They are read once: for what is resident,
    /// the kernel walks over all pages.
    pub(crate) fn mappings(&self) -> Result<&[Vma]> {
        if let Some(mappings) = self.mappings.get() {
            return Ok(mappings);
        }
        let mappings = vma::read(self)?;
        Ok(self.mappings.get_or_init(|| mappings))
    }
}

impl Thread {
    /// Whether it is the thread that the task is named after.
    pub(crate) fn is_first(&self) -> bool {
        !self.name.contains(".thread.")
    }

    fn find(pid: i32, tid: i32, level: usize, task: &str) -> Result<Self> {
        let proc = PathBuf::from(format!("/proc/{pid}/task/{tid}"));
        let name = if pid == tid {
            task.to_owned()
        } else {
            let inner = pids_in_namespaces(&proc)?;
            format!("{task}.thread.{}", inner.get(level).copied().unwrap_or_default())
        };
        Ok(Thread { tid, name, proc })
    }
}

/// The processes of a cgroup and of all cgroups below it.
fn members(cgroup: &Path, pids: &mut BTreeSet<i32>) -> Result<()> {
    let text = read::text(cgroup.join("cgroup.procs"))?;
    pids.extend(text.lines().filter_map(|line| line.parse::<i32>().ok()));
    read::folders(cgroup)?.iter().try_for_each(|below| members(below, pids))
}

/// Children of children: `cgroup.procs` does not list zombies.
fn descendants(pid: i32, pids: &mut BTreeSet<i32>) -> Result<()> {
    for tid in read::numbers(format!("/proc/{pid}/task"))? {
        let children = read::text_if_shown(format!("/proc/{pid}/task/{tid}/children"))?;
        for child in children.unwrap_or_default().split_whitespace() {
            if let Ok(child) = child.parse()
                && pids.insert(child)
            {
                descendants(child, pids)?;
            }
        }
    }
    Ok(())
}

/// The line `NSpid`: the pid in each namespace, the reader's own first.
fn pids_in_namespaces(proc: &Path) -> Result<Vec<i32>> {
    let path = proc.join("status");
    let text = read::text(&path)?;
    let line = text.lines().find_map(|line| line.strip_prefix("NSpid:"));
    let line = line.ok_or_else(|| Error::form(&path, "no line NSpid"))?;
    Ok(line.split_whitespace().filter_map(|pid| pid.parse().ok()).collect())
}

fn state(proc: &Path) -> Result<char> {
    let path = proc.join("stat");
    let text = read::text(&path)?;
    let state = text.rsplit_once(") ").and_then(|(_, rest)| rest.chars().next());
    state.ok_or_else(|| Error::form(&path, "no state after the name"))
}
