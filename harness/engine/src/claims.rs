//! What a container has that can be there only once in a pod: pids, names of sockets, System V
//! objects, locks on shared files.
//!
//! They are written down at the checkpoint, and looked for in a pod that runs before the container
//! comes into it. CRIU would fail over them half-way, in words that name none of them, and for a lock
//! it would wait for ever.

mod locks;
mod objects;
mod sockets;

use std::path::Path;

use model::pod::{ContainerStatus, Namespace, PodSpec};
use serde::{Deserialize, Serialize};

pub use self::locks::Lock;
pub use self::objects::{Object, ObjectKind};
pub(crate) use self::objects::{Settings, remove as remove_objects};
pub use self::sockets::SocketName;
use crate::archive::ContainerRecord;
use crate::cgroup;
use crate::error::{About, Error};
use crate::host::Host;
use crate::store::Places;

/// What a container has that can be there only once in a pod.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claims {
    /// Ids of its threads but for the first of each task, where the pod shares its pids.
    pub threads: Vec<i32>,
    /// Names of its sockets, where the pod shares its network.
    pub sockets: Vec<SocketName>,
    /// System V objects that come with it, where the pod shares them.
    pub objects: Vec<Object>,
    /// Its locks on files of the pod's `/dev/shm`.
    pub locks: Vec<Lock>,
}

/// What a container of a frozen pod has. `carries_objects`: it is the one with which the System V
/// objects of the pod go.
pub(crate) fn of_container(
    host: &dyn Host,
    places: &Places,
    spec: &PodSpec,
    container: &ContainerStatus,
    carries_objects: bool,
) -> Result<Claims, Error> {
    let shares = |kind| spec.share.contains(&kind);
    let mut claims =
        Claims { locks: locks::of(host, &places.shm, container)?, ..Claims::default() };
    if shares(Namespace::Pid) {
        claims.threads = threads(host, container)?;
    }
    if shares(Namespace::Net) {
        claims.sockets = sockets::of(host, &places.pin(Namespace::Net), container)?;
    }
    if shares(Namespace::Ipc) && carries_objects {
        claims.objects = objects::all(host, &places.pin(Namespace::Ipc))?;
    }
    Ok(claims)
}

/// Nothing that these containers have is there already in a pod that runs.
///
/// # Errors
/// [`Error::Taken`] with the first that is.
pub(crate) fn check(
    host: &dyn Host,
    places: &Places,
    spec: &PodSpec,
    containers: &[ContainerRecord],
) -> Result<(), Error> {
    for container in containers {
        let taken = |what: String| Error::Taken {
            container: container.name.clone(),
            pod: spec.name.clone(),
            what,
        };
        if spec.containers.iter().any(|other| other.name == container.name) {
            return Err(taken(format!("the name {}", container.name)));
        }
        if let Some(what) = first_taken(host, places, spec, container)? {
            return Err(taken(what));
        }
    }
    Ok(())
}

fn first_taken(
    host: &dyn Host,
    places: &Places,
    spec: &PodSpec,
    container: &ContainerRecord,
) -> Result<Option<String>, Error> {
    let claims = &container.claims;
    if spec.share.contains(&Namespace::Pid) {
        let pids: Vec<i32> = container.tasks.iter().chain(&claims.threads).copied().collect();
        let pin = places.pin(Namespace::Pid);
        if let Some(pid) = host.taken_pids(&pin, &pids).about("look for pids in", &pin)?.first() {
            return Ok(Some(format!("pid {pid}")));
        }
    }
    if spec.share.contains(&Namespace::Net) {
        let taken = sockets::taken(host, &places.pin(Namespace::Net), &claims.sockets)?;
        if taken.is_some() {
            return Ok(taken);
        }
    }
    if spec.share.contains(&Namespace::Ipc) {
        let taken = objects::taken(host, &places.pin(Namespace::Ipc), &claims.objects)?;
        if taken.is_some() {
            return Ok(taken);
        }
    }
    locks::taken(host, &places.shm, &claims.locks)
}

/// Ids of threads that are not the first of their task, as the container numbers them.
fn threads(host: &dyn Host, container: &ContainerStatus) -> Result<Vec<i32>, Error> {
    let mut threads = Vec::new();
    for (pid, _) in cgroup::tasks(host, &container.cgroup)? {
        let folder = Path::new("/proc").join(pid.to_string()).join("task");
        let first = pid.to_string();
        for thread in host.list(&folder).about("list", &folder)?.iter().filter(|it| **it != first) {
            let status = folder.join(thread).join("status");
            let text = host.read(&status).about("read", &status)?;
            threads.extend(cgroup::inner_pid(&String::from_utf8_lossy(&text)));
        }
    }
    Ok(threads)
}
