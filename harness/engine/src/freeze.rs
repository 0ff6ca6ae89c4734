//! Stopping a pod at one instant, in two levels.
//!
//! The pod's cgroup is frozen, which stops all of it at once; then each container's own cgroup; then
//! the pod's is thawed. CRIU waits for ever on tasks below a frozen ancestor, but copes with those
//! whose own cgroup is frozen, given as `freeze_cgroup`. A cgroup is frozen when `cgroup.freeze`
//! asks for it and `cgroup.events` says so.

use std::path::Path;
use std::time::Duration;

use model::pod::PodStatus;

use crate::error::{About, Error};
use crate::host::Host;

/// Freezes all containers of a pod at one instant.
///
/// # Errors
/// What the kernel says, or that it took longer than `limit`; what was frozen is thawed again.
pub(crate) fn freeze(host: &dyn Host, pod: &PodStatus, limit: Duration) -> Result<(), Error> {
    let frozen = freeze_levels(host, pod, limit);
    if frozen.is_err() {
        // The first failure is the one to tell.
        let _ = thaw(host, pod);
    }
    frozen
}

fn freeze_levels(host: &dyn Host, pod: &PodStatus, limit: Duration) -> Result<(), Error> {
    set(host, &pod.cgroup, true)?;
    settle(host, &pod.cgroup, true, limit)?;
    for container in &pod.containers {
        set(host, &container.cgroup, true)?;
        settle(host, &container.cgroup, true, limit)?;
    }
    set(host, &pod.cgroup, false)?;
    settle(host, &pod.cgroup, false, limit)
}

/// Lets a pod run again.
pub(crate) fn thaw(host: &dyn Host, pod: &PodStatus) -> Result<(), Error> {
    for container in &pod.containers {
        set(host, &container.cgroup, false)?;
    }
    set(host, &pod.cgroup, false)
}

/// Asks for a cgroup to be frozen or thawed.
pub(crate) fn set(host: &dyn Host, cgroup: &Path, frozen: bool) -> Result<(), Error> {
    let path = cgroup.join("cgroup.freeze");
    host.write(&path, if frozen { "1" } else { "0" }).about("write", &path)
}

/// Waits until a cgroup is what was asked for.
pub(crate) fn settle(
    host: &dyn Host,
    cgroup: &Path,
    frozen: bool,
    limit: Duration,
) -> Result<(), Error> {
    let path = cgroup.join("cgroup.events");
    let wanted = if frozen { "frozen 1" } else { "frozen 0" };
    match host.await_line(&path, wanted, limit).about("watch", &path)? {
        Ok(()) => Ok(()),
        Err(seen) => Err(Error::Deadline {
            what: format!("`{wanted}` in {}", path.display()),
            limit,
            seen: seen.trim().replace('\n', ", "),
        }),
    }
}
