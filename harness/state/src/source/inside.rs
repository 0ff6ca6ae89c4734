//! Work that is done inside network, IPC and UTS namespaces: the pod's, and those that a container has
//! of its own.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::PathBuf;
use std::thread;

use model::pod::Namespace;
use nix::sched::{CloneFlags, setns};

use crate::error::{Error, Result};
use crate::facts::Facts;
use crate::pod::{Container, Pod};
use crate::source::diag::Sockets;
use crate::source::{ipc, multicast, network, sysctl, tables, uts};

/// Namespaces by the files that lead to them.
type Ways = BTreeMap<Namespace, PathBuf>;

/// Looks around in the namespaces that the first container is in, and then in those that others do
/// not share with it. What is told of these has the container's name in front.
pub(crate) fn pod(pod: &Pod<'_>, facts: &mut Facts) -> Result<Sockets> {
    let mut sockets = Sockets::default();
    for (index, container) in pod.containers.iter().enumerate() {
        let mut ways = own(pod, container);
        if index == 0 {
            ways.extend(pod.status.namespaces.clone());
        }
        let mut seen = Facts::default();
        sockets.join(within(pod, &ways, &mut seen)?);
        facts.join(seen, &container.prefix);
    }
    Ok(sockets)
}

/// Namespaces that a container has of its own.
fn own(pod: &Pod<'_>, container: &Container<'_>) -> Ways {
    let kinds = [Namespace::Net, Namespace::Ipc, Namespace::Uts].into_iter();
    let kinds = kinds.filter(|kind| !pod.status.namespaces.contains_key(kind));
    let way = |kind: Namespace| format!("/proc/{}/ns/{}", container.status.pid, kind.name()).into();
    kinds.map(|kind| (kind, way(kind))).collect()
}

/// Enters these namespaces in a thread of its own and looks around there. The thread's end is the
/// way back.
fn within(pod: &Pod<'_>, ways: &Ways, facts: &mut Facts) -> Result<Sockets> {
    let there = || {
        ways.iter().try_for_each(|(kind, path)| enter(*kind, path))?;
        if ways.contains_key(&Namespace::Uts) {
            uts::pod(facts)?;
        }
        if ways.contains_key(&Namespace::Ipc) {
            ipc::pod(pod, facts)?;
            sysctl::ipc(facts)?;
        }
        if !ways.contains_key(&Namespace::Net) {
            return Ok(Sockets::default());
        }
        sysctl::net(facts)?;
        tables::pod(facts)?;
        multicast::pod(facts)?;
        network::pod(facts)?;
        Sockets::here(facts)
    };
    thread::scope(|scope| scope.spawn(there).join())
        .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

fn enter(kind: Namespace, path: &PathBuf) -> Result<()> {
    let flag = match kind {
        Namespace::Net => CloneFlags::CLONE_NEWNET,
        Namespace::Ipc => CloneFlags::CLONE_NEWIPC,
        Namespace::Uts => CloneFlags::CLONE_NEWUTS,
        // Whoever enters it is not in it, but its children.
        Namespace::Pid => return Ok(()),
    };
    let file = File::open(path).map_err(|source| Error::read(path, source))?;
    setns(file, flag).map_err(|errno| Error::call("setns", path.display().to_string(), errno))
}
