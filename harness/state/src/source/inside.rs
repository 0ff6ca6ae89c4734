//! Work that is done inside the pod's network, IPC and UTS namespaces.

use std::fs::File;
use std::thread;

use nix::sched::{CloneFlags, setns};

use crate::error::{Error, Result};
use crate::facts::Facts;
use crate::pod::Pod;
use crate::source::diag::Sockets;
use crate::source::{ipc, multicast, network, sysctl, tables, uts};

/// Enters the pod's namespaces in a thread of its own and looks around there. The thread's end
/// is the way back.
pub(crate) fn pod(pod: &Pod<'_>, facts: &mut Facts) -> Result<Sockets> {
    let there = || {
        enter(pod)?;
        uts::pod(facts)?;
        ipc::pod(pod, facts)?;
        sysctl::pod(facts)?;
        tables::pod(facts)?;
        multicast::pod(facts)?;
        network::pod(facts)?;
        Sockets::here(facts)
    };
    thread::scope(|scope| scope.spawn(there).join())
        .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

fn enter(pod: &Pod<'_>) -> Result<()> {
    for (kind, path) in &pod.status.namespaces {
        let flag = match kind.as_str() {
            "net" => CloneFlags::CLONE_NEWNET,
            "ipc" => CloneFlags::CLONE_NEWIPC,
            "uts" => CloneFlags::CLONE_NEWUTS,
            _ => continue,
        };
        let file = File::open(path).map_err(|source| Error::read(path, source))?;
        setns(file, flag)
            .map_err(|errno| Error::call("setns", path.display().to_string(), errno))?;
    }
    Ok(())
}
