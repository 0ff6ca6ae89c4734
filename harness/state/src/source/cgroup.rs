//! Cgroups: who is where, as seen from outside and from inside, and the knobs.

use std::collections::BTreeMap;
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
    let mut namespaces: BTreeMap<String, Vec<&Task>> = BTreeMap::new();
    for task in container.tasks.iter().filter(|task| !task.zombie) {
        let path = path_of(task)?;
        let place = path.strip_prefix(&home).map(|rest| if rest.is_empty() { "/" } else { rest });
        facts.put(format!("{}.cgroup.path", task.name), place.unwrap_or(&path));
        let namespace = read::link(task.proc().join("ns/cgroup"))?;
        namespaces.entry(namespace).or_default().push(task);
    }
    for tasks in namespaces.values() {
        for (task, path) in tasks.iter().zip(seen_inside(tasks)?) {
            facts.put(format!("{}.cgroup.path_inside", task.name), path);
        }
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

fn path_of(task: &Task) -> Result<String> {
    let text = read::text(task.proc().join("cgroup"))?;
    Ok(text.lines().find_map(|line| line.strip_prefix("0::")).unwrap_or_default().to_owned())
}

/// What tasks of one cgroup namespace read in their `/proc/self/cgroup`: relative to it.
fn seen_inside(tasks: &[&Task]) -> Result<Vec<String>> {
    let Some(first) = tasks.first() else { return Ok(Vec::new()) };
    let namespace = first.proc().join("ns/cgroup");
    let file = File::open(&namespace).map_err(|source| Error::read(&namespace, source))?;
    let look = || {
        setns(&file, CloneFlags::CLONE_NEWCGROUP)
            .map_err(|errno| Error::call("setns", namespace.display().to_string(), errno))?;
        tasks.iter().copied().map(path_of).collect()
    };
    // The namespace is left by leaving the thread.
    thread::scope(|scope| scope.spawn(look).join())
        .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

fn knobs(cgroup: &Path, prefix: &str, facts: &mut Facts) -> Result<()> {
    files(cgroup, prefix, facts)?;
    for below in read::folders(cgroup)? {
        let name = below.file_name().unwrap_or_default().display();
        knobs(&below, &format!("{prefix}./{name}"), facts)?;
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
