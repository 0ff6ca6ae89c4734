//! Cgroups: who is where, as seen from outside and from inside, and the knobs.

use std::fs::File;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::thread;

use nix::sched::{CloneFlags, setns};

use crate::error::{Error, Result};
use crate::facts::Facts;
use crate::pod::{Container, Pod, Task};
use crate::read;

pub(crate) fn container(_: &Pod<'_>, container: &Container<'_>, facts: &mut Facts) -> Result<()> {
    let home = below_mount(&container.status.cgroup);
    for task in container.tasks.iter().filter(|task| !task.zombie) {
        let path = task.proc().join("cgroup");
        let text = read::text(&path)?;
        let path = text.lines().find_map(|line| line.strip_prefix("0::")).unwrap_or_default();
        let place = path.strip_prefix(&home).map(|rest| if rest.is_empty() { "/" } else { rest });
        facts.put(format!("{}.cgroup.path", task.name), place.unwrap_or(path));
        facts.put(format!("{}.cgroup.path_inside", task.name), seen_inside(task)?);
    }
    knobs(&container.status.cgroup, &format!("{}cgroup", container.prefix), facts)
}

/// The knobs of the pod's own cgroup, without those of the containers below it.
pub(crate) fn pod(pod: &Pod<'_>, facts: &mut Facts) -> Result<()> {
    files(&pod.status.cgroup, "pod.cgroup", facts)
}

fn below_mount(cgroup: &Path) -> String {
    let path = cgroup.strip_prefix("/sys/fs/cgroup").unwrap_or(cgroup);
    format!("/{}", path.display())
}

/// What the task itself reads in `/proc/self/cgroup`: relative to its cgroup namespace.
fn seen_inside(task: &Task) -> Result<String> {
    let namespace = task.proc().join("ns/cgroup");
    let file = File::open(&namespace).map_err(|source| Error::read(&namespace, source))?;
    let look = move || {
        setns(&file, CloneFlags::CLONE_NEWCGROUP)
            .map_err(|errno| Error::call("setns", namespace.display().to_string(), errno))?;
        read::text(task.proc().join("cgroup"))
    };
    // The namespace is left by leaving the thread.
    let text = thread::scope(|scope| scope.spawn(look).join()).unwrap_or_else(|panic| {
        std::panic::resume_unwind(panic);
    })?;
    Ok(text.lines().find_map(|line| line.strip_prefix("0::")).unwrap_or_default().to_owned())
}

fn knobs(cgroup: &Path, prefix: &str, facts: &mut Facts) -> Result<()> {
    files(cgroup, prefix, facts)?;
    for name in read::names(cgroup)? {
        let below = cgroup.join(&name);
        if below.is_dir() {
            knobs(&below, &format!("{prefix}./{name}"), facts)?;
        }
    }
    Ok(())
}

fn files(cgroup: &Path, prefix: &str, facts: &mut Facts) -> Result<()> {
    for name in read::names(cgroup)? {
        let path = cgroup.join(&name);
        let Ok(meta) = path.metadata() else { continue };
        if !meta.is_file() || meta.permissions().mode() & 0o444 == 0 {
            continue;
        }
        if let Some(text) = read::text_if_shown(&path)? {
            facts.put(format!("{prefix}.{name}"), text.trim_end().replace('\n', ", "));
        }
    }
    Ok(())
}
