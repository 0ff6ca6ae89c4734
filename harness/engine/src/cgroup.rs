//! Cgroups of pods and containers, in the unified hierarchy.

use std::path::{Path, PathBuf};
use std::time::Duration;

use model::pod::ContainerSpec;

use crate::error::{About, Error};
use crate::host::Host;

/// Controllers that the containers' cgroups have, where the kernel offers them.
const CONTROLLERS: [&str; 2] = ["memory", "pids"];

/// How long the kernel may take to kill what is left in a cgroup.
const KILL_LIMIT: Duration = Duration::from_secs(20);

/// Makes a pod's cgroup, so that its containers' cgroups below it have their controllers.
pub(crate) fn make_pod(host: &dyn Host, cgroup: &Path) -> Result<(), Error> {
    host.make_folder(cgroup).about("make cgroup", cgroup)?;
    let engine = cgroup.parent().unwrap_or(cgroup);
    for level in [engine.parent().unwrap_or(engine), engine, cgroup] {
        enable(host, level)?;
    }
    Ok(())
}

fn enable(host: &dyn Host, cgroup: &Path) -> Result<(), Error> {
    let offered = cgroup.join("cgroup.controllers");
    let offered = words(host, &offered)?;
    let control = cgroup.join("cgroup.subtree_control");
    let enabled = words(host, &control)?;
    for controller in CONTROLLERS {
        let has = |list: &[String]| list.iter().any(|word| word == controller);
        if has(&offered) && !has(&enabled) {
            host.write(&control, &format!("+{controller}")).about("write", &control)?;
        }
    }
    Ok(())
}

fn words(host: &dyn Host, path: &Path) -> Result<Vec<String>, Error> {
    Ok(text(host, path)?.split_whitespace().map(str::to_owned).collect())
}

fn text(host: &dyn Host, path: &Path) -> Result<String, Error> {
    Ok(String::from_utf8_lossy(&host.read(path).about("read", path)?).into_owned())
}

/// Makes a container's cgroup with its limits.
pub(crate) fn make_container(
    host: &dyn Host,
    cgroup: &Path,
    spec: &ContainerSpec,
) -> Result<(), Error> {
    host.make_folder(cgroup).about("make cgroup", cgroup)?;
    if let Some(mib) = spec.memory_mib {
        let limit = cgroup.join("memory.max");
        let bytes = u64::from(mib) << 20;
        host.write(&limit, &bytes.to_string()).about("write", &limit)?;
    }
    Ok(())
}

/// The cgroup in which this process is.
pub(crate) fn own(host: &dyn Host) -> Result<PathBuf, Error> {
    let mounts = text(host, Path::new("/proc/self/mountinfo"))?;
    let groups = text(host, Path::new("/proc/self/cgroup"))?;
    find_own(&mounts, &groups).ok_or_else(|| Error::File {
        action: "find the unified hierarchy in",
        path: "/proc/self/mountinfo".into(),
        source: std::io::ErrorKind::NotFound.into(),
    })
}

fn find_own(mounts: &str, groups: &str) -> Option<PathBuf> {
    let unified = mounts.lines().find(|line| line.contains(" - cgroup2 "))?;
    let mount = unified.split(' ').nth(4)?;
    let group = groups.lines().find_map(|line| line.strip_prefix("0::/"))?;
    Some(Path::new(mount).join(group))
}

/// Moves a process into a cgroup.
pub(crate) fn place(host: &dyn Host, cgroup: &Path, pid: i32) -> Result<(), Error> {
    let procs = cgroup.join("cgroup.procs");
    host.write(&procs, &pid.to_string()).about("write", &procs)
}

/// Pids on the node of the processes in a container's cgroup, in the order of their pids in the
/// container; with those.
pub(crate) fn tasks(host: &dyn Host, cgroup: &Path) -> Result<Vec<(i32, i32)>, Error> {
    let procs = text(host, &cgroup.join("cgroup.procs"))?;
    let mut tasks = Vec::new();
    for pid in procs.lines().filter_map(|line| line.parse::<i32>().ok()) {
        let status = text(host, &Path::new("/proc").join(pid.to_string()).join("status"))?;
        tasks.push((inner_pid(&status).unwrap_or(pid), pid));
    }
    tasks.sort_unstable();
    Ok(tasks.into_iter().map(|(inner, pid)| (pid, inner)).collect())
}

/// The pid in the innermost namespace, out of `/proc/PID/status`.
pub(crate) fn inner_pid(status: &str) -> Option<i32> {
    let line = status.lines().find_map(|line| line.strip_prefix("NSpid:"))?;
    line.split_whitespace().last()?.parse().ok()
}

/// Kills everything in a cgroup and below it, frozen or not, and waits until it is gone.
pub(crate) fn kill(host: &dyn Host, cgroup: &Path) -> Result<(), Error> {
    let kill = cgroup.join("cgroup.kill");
    match host.write(&kill, "1") {
        Err(error) if error.raw_os_error() == Some(libc::ENOENT) => return Ok(()),
        other => other.about("write", &kill)?,
    }
    let events = cgroup.join("cgroup.events");
    match host.await_line(&events, "populated 0", KILL_LIMIT).about("watch", &events)? {
        Ok(()) => Ok(()),
        Err(seen) => Err(Error::Deadline {
            what: format!("the end of all in {}", cgroup.display()),
            limit: KILL_LIMIT,
            seen: seen.trim().replace('\n', ", "),
        }),
    }
}

/// Removes a cgroup with those below it; they may be missing.
pub(crate) fn remove(host: &dyn Host, cgroup: &Path, containers: &[String]) -> Result<(), Error> {
    for container in containers {
        let cgroup = cgroup.join(container);
        host.remove_folder(&cgroup).about("remove cgroup", &cgroup)?;
    }
    host.remove_folder(cgroup).about("remove cgroup", cgroup)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_own_group_is_below_the_mount() {
        let mounts = "30 23 0:26 / /sys/fs/cgroup rw shared:4 - cgroup2 cgroup2 rw,nsdelegate\n";
        let own = |groups| find_own(mounts, groups);
        assert_eq!(own("0::/\n"), Some("/sys/fs/cgroup/".into()));
        assert_eq!(own("1:cpu:/x\n0::/a/b\n"), Some("/sys/fs/cgroup/a/b".into()));
    }

    #[test]
    fn the_pid_in_the_container_is_the_last_one() {
        assert_eq!(inner_pid("Name:\tcounter\nNSpid:\t812\t1\nNSsid:\t812\t1\n"), Some(1));
        assert_eq!(inner_pid("Name:\tcounter\n"), None);
    }
}
