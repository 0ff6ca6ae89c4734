//! Acting within the namespaces of a task.

use std::fs::File;
use std::thread;

use anyhow::Context;
use nix::sched::{CloneFlags, setns, unshare};

/// Net, IPC and UTS: what the containers of a pod share.
pub(super) const SHARED: CloneFlags =
    CloneFlags::CLONE_NEWNET.union(CloneFlags::CLONE_NEWIPC).union(CloneFlags::CLONE_NEWUTS);

const KINDS: [(&str, CloneFlags); 4] = [
    ("net", CloneFlags::CLONE_NEWNET),
    ("ipc", CloneFlags::CLONE_NEWIPC),
    ("uts", CloneFlags::CLONE_NEWUTS),
    ("mnt", CloneFlags::CLONE_NEWNS),
];

/// Does something in the namespaces of a process, in a thread that ends afterwards.
pub(super) fn inside<T: Send>(
    pid: i32,
    namespaces: CloneFlags,
    act: impl FnOnce() -> anyhow::Result<T> + Send,
) -> anyhow::Result<T> {
    let there = || {
        enter(pid, namespaces)?;
        act()
    };
    thread::scope(|scope| scope.spawn(there).join())
        .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

fn enter(pid: i32, namespaces: CloneFlags) -> anyhow::Result<()> {
    let mut files = Vec::new();
    for (kind, flag) in KINDS.into_iter().filter(|(_, flag)| namespaces.contains(*flag)) {
        let path = format!("/proc/{pid}/ns/{kind}");
        files.push((File::open(&path).context(path)?, flag));
    }
    if namespaces.contains(CloneFlags::CLONE_NEWNS) {
        // A mount namespace cannot be entered by one of several who share a root.
        unshare(CloneFlags::CLONE_FS).context("unshare the root")?;
    }
    for (file, flag) in files {
        setns(file, flag).with_context(|| format!("enter {flag:?} of {pid}"))?;
    }
    Ok(())
}
