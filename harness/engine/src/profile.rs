//! AppArmor profiles: CRIU carries their names only, and its error tells none.
//!
//! A restored task gets the policy that is loaded under the name then, and an equal name says
//! nothing about it; without a policy CRIU fails with `can't write lsm profile -2`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use model::pod::ContainerStatus;

use crate::archive::ContainerRecord;
use crate::cgroup;
use crate::error::{About, Error};
use crate::host::Host;

/// The profiles that are loaded, each in a folder with its name and its digest.
const LOADED: &str = "/sys/kernel/security/apparmor/policy/profiles";

/// Profiles that confine a container's threads, with the SHA-256 of their policies.
///
/// # Errors
/// When a profile is not among the loaded ones, which includes that nobody has mounted securityfs:
/// CRIU would carry no profile then, and say nothing.
pub(crate) fn of_container(
    host: &dyn Host,
    container: &ContainerStatus,
) -> Result<BTreeMap<String, String>, Error> {
    let mut names = BTreeSet::new();
    for (pid, _) in cgroup::tasks(host, &container.cgroup)? {
        let folder = Path::new("/proc").join(pid.to_string()).join("task");
        for thread in host.list(&folder).about("list", &folder)? {
            let label = host.read(&folder.join(thread).join("attr/apparmor/current"));
            // A kernel without AppArmor has none, and another LSM's is not asked for here.
            names.extend(label.iter().flat_map(|label| profiles(&String::from_utf8_lossy(label))));
        }
    }
    if names.is_empty() {
        return Ok(BTreeMap::new());
    }
    let loaded = loaded(host)?;
    let digest = |name: String| match loaded.get(&name) {
        Some(digest) => Ok((name, digest.clone())),
        None => Err(missing(&container.name, &name)),
    };
    names.into_iter().map(digest).collect()
}

/// The profiles of all containers are loaded here, each with the policy that it had.
///
/// # Errors
/// The first that is not.
pub(crate) fn check(host: &dyn Host, containers: &[ContainerRecord]) -> Result<(), Error> {
    if containers.iter().all(|container| container.profiles.is_empty()) {
        return Ok(());
    }
    let loaded = loaded(host)?;
    for container in containers {
        for (name, digest) in &container.profiles {
            match loaded.get(name) {
                None => return Err(missing(&container.name, name)),
                Some(other) if other != digest => {
                    let why = format!(
                        "AppArmor profile {name} is loaded with another policy: sha256 {other}, \
                         and it was {digest}"
                    );
                    return Err(Error::Unfaithful { container: container.name.clone(), why });
                }
                Some(_) => {}
            }
        }
    }
    Ok(())
}

fn missing(container: &str, profile: &str) -> Error {
    let why = format!("AppArmor profile {profile} is not loaded on this node");
    Error::Unfaithful { container: container.to_owned(), why }
}

/// Digests of all loaded policies, by the names of their profiles.
fn loaded(host: &dyn Host) -> Result<BTreeMap<String, String>, Error> {
    let folder = Path::new(LOADED);
    // Without AppArmor, and where securityfs is not mounted, no profile is loaded.
    let Ok(entries) = host.list(folder) else { return Ok(BTreeMap::new()) };
    let text = |path: PathBuf| {
        let bytes = host.read(&path).about("read", &path)?;
        Ok(String::from_utf8_lossy(&bytes).trim().to_owned())
    };
    let mut loaded = BTreeMap::new();
    for entry in entries {
        let name = text(folder.join(&entry).join("name"))?;
        loaded.insert(name, text(folder.join(&entry).join("raw_sha256"))?);
    }
    Ok(loaded)
}

/// Names in a label such as `a//&b (enforce)`.
fn profiles(label: &str) -> Vec<String> {
    let label = label.trim_end_matches(['\0', '\n']);
    let names = label.rsplit_once(" (").map_or(label, |(names, _)| names);
    let confined = names.split("//&").filter(|name| !matches!(*name, "unconfined" | ""));
    confined.map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_names_all_profiles_that_confine() {
        assert_eq!(profiles("a (enforce)\n"), ["a"]);
        assert_eq!(profiles("a//&b (complain)\n"), ["a", "b"]);
        assert_eq!(profiles("unconfined//&b (mixed)"), ["b"]);
        assert!(profiles("unconfined\n").is_empty());
    }
}
