//! Letting a pod run on that was held for a checkpoint, also when CRIU died over it.

use std::path::PathBuf;

use model::pod::{Namespace, PodStatus};

use crate::checkpoint::proc;
use crate::error::{About, Error};
use crate::host::{Descriptor, Host};
use crate::store::{Places, Record};
use crate::{cgroup, freeze, sandbox};

/// Lets a pod run on after a checkpoint that may have failed in any way. A CRIU that was killed
/// leaves the network locked and connections in repair mode, in which they send nothing; both are
/// taken back while the pod is still frozen.
pub(crate) fn release(host: &dyn Host, places: &Places, record: &Record) -> Result<(), Error> {
    let reusing = record.checkpoint.as_ref().map(|note| note.reusing.clone()).unwrap_or_default();
    let healed = heal(host, places, &record.status(places), &reusing);
    healed.and(resume(host, places, record))
}

/// Lets a frozen and gated pod run. The link is opened last: a frozen pod answers nobody.
pub(crate) fn resume(host: &dyn Host, places: &Places, record: &Record) -> Result<(), Error> {
    let thawed = freeze::thaw(host, &record.status(places));
    thawed.and(sandbox::gate(host, places, &record.spec, true))
}

fn heal(
    host: &dyn Host,
    places: &Places,
    status: &PodStatus,
    reusing: &[Descriptor],
) -> Result<(), Error> {
    for net in networks(places, status) {
        host.remove_locks(&net).about("unlock", &net)?;
    }
    for pid in tasks(host, status)? {
        host.end_repair(pid, reusing).about("heal connections of", proc(pid))?;
    }
    Ok(())
}

/// The network namespace of a pod, or those of its containers.
pub(crate) fn networks(places: &Places, status: &PodStatus) -> Vec<PathBuf> {
    if status.namespaces.contains_key(&Namespace::Net) {
        return vec![places.pin(Namespace::Net)];
    }
    status.containers.iter().map(|container| proc(container.pid).join("ns/net")).collect()
}

/// Node pids of all tasks of a pod.
pub(crate) fn tasks(host: &dyn Host, status: &PodStatus) -> Result<Vec<i32>, Error> {
    let mut pids = Vec::new();
    for container in &status.containers {
        pids.extend(cgroup::tasks(host, &container.cgroup)?.into_iter().map(|(pid, _)| pid));
    }
    Ok(pids)
}
