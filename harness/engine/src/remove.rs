//! Removing a pod, whatever there is of it.

use crate::engine::Engine;
use crate::error::{About, Error};
use crate::host::Host;
use crate::store::{Places, Record};
use crate::{archive, cgroup, names, sandbox};

use std::time::Duration;

/// How long a killed process may take to end.
const END_LIMIT: Duration = Duration::from_secs(20);

impl Engine {
    /// Kills a pod and removes all that the engine has made for it, also what an engine that died
    /// has left half made. CRIU's logs and images of the pod go too.
    ///
    /// # Errors
    /// What could not be removed; [`Error::NoPod`] when nothing is known of it.
    pub fn remove(&self, pod: &str) -> Result<(), Error> {
        let places = self.places(pod)?;
        if !places.folder.exists() {
            return Err(Error::NoPod(pod.to_owned()));
        }
        if let Ok(record) = Record::load(&places, pod) {
            for round in &record.rounds {
                archive::remove_file(&archive::round_beside(&round.of, &round.sha256))?;
            }
        }
        self.remove_all(&places)
    }

    /// Removes the pod, and CRIU's logs and images of it.
    pub(crate) fn remove_all(&self, places: &Places) -> Result<(), Error> {
        clear(self.host(), places)?;
        remove_tree(&places.work)
    }
}

/// Removes the pod but leaves CRIU's logs and images.
pub(crate) fn clear(host: &dyn Host, places: &Places) -> Result<(), Error> {
    cgroup::kill(host, &places.cgroup)?;
    let pod = places.folder.file_name().unwrap_or_default().to_string_lossy();
    let pids = Record::load(places, &pod).map(|record| record.pids).unwrap_or_default();
    for pid in pids.into_iter().filter(|pid| *pid > 0) {
        host.await_exit(pid, END_LIMIT).about("wait for pid of", &places.folder)?;
    }
    let containers = container_names(places)?;
    for name in &containers {
        let root = places.container(name).root;
        host.unmount(&root).about("unmount", &root)?;
    }
    sandbox::remove(host, places)?;
    cgroup::remove(host, &places.cgroup, &containers)?;
    remove_tree(&places.folder)
}

fn container_names(places: &Places) -> Result<Vec<String>, Error> {
    let roots = places.roots();
    if !roots.exists() {
        return Ok(Vec::new());
    }
    let mut found = Vec::new();
    for entry in fs_err::read_dir(&roots).about("list", &roots)? {
        found.push(entry.about("list", &roots)?.file_name().to_string_lossy().into_owned());
    }
    found.retain(|name| names::is_name(name));
    found.sort();
    Ok(found)
}

/// Removes a folder with all in it; it may be missing.
pub(crate) fn remove_tree(folder: &std::path::Path) -> Result<(), Error> {
    match fs_err::remove_dir_all(folder) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        other => other.about("remove", folder),
    }
}
