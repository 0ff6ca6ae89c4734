//! Namespaces as topology: who is in which one, together with the pod's own and the node's; and the
//! node's kernel.

use std::os::linux::fs::MetadataExt;
use std::path::Path;

use crate::error::{Error, Result};
use crate::facts::Facts;
use crate::kernel::{self, KERNEL};
use crate::pod::{Pod, Task};
use crate::read;

pub(crate) fn task(_: &Pod<'_>, task: &Task, facts: &mut Facts) -> Result<()> {
    of_process(&task.proc(), &task.name, facts)
}

/// The files that pin the pod's namespaces, and the namespaces that the node itself is in.
pub(crate) fn pod(pod: &Pod<'_>, facts: &mut Facts) -> Result<()> {
    for (kind, path) in &pod.status.namespaces {
        let meta = path.metadata().map_err(|source| Error::read(path, source))?;
        let kind = kind.name();
        facts.put(format!("pod.ns.{kind}"), format!("{kind}:[{}]", meta.st_ino()));
    }
    facts.put(KERNEL, kernel::running()?);
    of_process(Path::new("/proc/self"), "node", facts)
}

fn of_process(proc: &Path, name: &str, facts: &mut Facts) -> Result<()> {
    for kind in read::names(proc.join("ns"))? {
        facts.put(format!("{name}.ns.{kind}"), read::link(proc.join("ns").join(&kind))?);
    }
    Ok(())
}
