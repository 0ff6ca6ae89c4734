//! What a CRIU that fails leaves on a node outside the pod.

use std::path::Path;
use std::time::Duration;

use crate::error::{About, Error};
use crate::host::Host;

/// How long a killed process may take to end.
const END_LIMIT: Duration = Duration::from_secs(20);

/// The node before CRIU was at work: what is there afterwards and was not before is CRIU's.
pub(crate) struct Scene {
    yards: Vec<String>,
    children: Vec<i32>,
}

impl Scene {
    pub(crate) fn before(host: &dyn Host) -> Result<Scene, Error> {
        Ok(Scene { yards: yards(host)?, children: children(host)? })
    }

    /// Ends tasks that CRIU had begun to make, which are children of this process, and removes the
    /// folders in which it built mount namespaces.
    pub(crate) fn clear(&self, host: &dyn Host) -> Result<(), Error> {
        for pid in children(host)?.into_iter().filter(|pid| !self.children.contains(pid)) {
            let process = Path::new("/proc").join(pid.to_string());
            host.signal(pid, libc::SIGKILL).about("kill", &process)?;
            host.await_exit(pid, END_LIMIT).about("wait for", &process)?;
        }
        clear_yards(host, &self.yards)
    }
}

/// Removes folders in which CRIUs built mount namespaces, but for these.
pub(crate) fn clear_yards(host: &dyn Host, others: &[String]) -> Result<(), Error> {
    for name in yards(host)?.iter().filter(|name| !others.contains(name)) {
        let yard = Path::new("/tmp").join(name);
        host.unmount(&yard).about("unmount", &yard)?;
        host.remove_folder(&yard).about("remove", &yard)?;
    }
    Ok(())
}

fn yards(host: &dyn Host) -> Result<Vec<String>, Error> {
    let folder = Path::new("/tmp");
    let mut names = host.list(folder).about("list", folder)?;
    names.retain(|name| name.starts_with(".criu.mntns."));
    Ok(names)
}

/// Children of this process, which has one thread.
fn children(host: &dyn Host) -> Result<Vec<i32>, Error> {
    let path = Path::new("/proc/thread-self/children");
    let text = String::from_utf8_lossy(&host.read(path).about("read", path)?).into_owned();
    Ok(text.split_whitespace().filter_map(|pid| pid.parse().ok()).collect())
}
