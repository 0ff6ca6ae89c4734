//! Which names a pod and its parts may have, and what is called after them.

use model::pod::{ContainerSpec, Namespace, PodSpec};
use sha2::{Digest, Sha256};

use crate::error::Error;

/// Longest name of a pod or container. It becomes a folder, a cgroup and part of a device's name.
const MAX_NAME: usize = 63;

/// Longest name of a network device (`IFNAMSIZ` with its end).
const MAX_DEVICE: usize = 15;

/// Checks what the rest of the engine takes for granted about a pod's description.
///
/// # Errors
/// The first field that cannot be.
pub(crate) fn check(spec: &PodSpec) -> Result<(), Error> {
    let wrong = |field: String, why: &str| {
        Err(Error::Spec { pod: spec.name.clone(), field, why: why.to_owned() })
    };
    if !is_name(&spec.name) {
        return wrong("name".into(), "must be letters, digits and dashes, at most 63");
    }
    if spec.containers.is_empty() {
        return wrong("containers".into(), "a pod has at least one container");
    }
    if spec.link.is_some() && !spec.share.contains(&Namespace::Net) {
        return wrong(
            "link".into(),
            "is in the network namespace of the pod, which has none to share",
        );
    }
    for (index, container) in spec.containers.iter().enumerate() {
        let field = |name: &str| format!("containers[{index}].{name}");
        if !is_name(&container.name) {
            return wrong(field("name"), "must be letters, digits and dashes, at most 63");
        }
        if spec.containers[..index].iter().any(|other| other.name == container.name) {
            return wrong(field("name"), "is taken by another container of the pod");
        }
        let shared = [Namespace::Net, Namespace::Ipc, Namespace::Uts];
        if container.security.user_namespace.is_some() && spec.share != shared.into() {
            return wrong(
                field("security.user_namespace"),
                "goes with a pod that shares net, ipc and uts, and no pids",
            );
        }
        let image = container.image.to_string_lossy();
        if !is_absolute(&image) || image.contains([',', '\\']) {
            return wrong(field("image"), "must be an absolute path without `,`, `:` and `\\`");
        }
        if container.command.is_empty() {
            return wrong(field("command"), "is empty");
        }
        let covered = container.tmpfs.keys().chain(&container.masked);
        if let Some(path) = covered.chain([&container.directory]).find(|path| !is_absolute(path)) {
            return wrong(field("paths"), &format!("`{path}` is no absolute plain path"));
        }
    }
    Ok(())
}

/// The hostname of a container that has a uts namespace of its own.
pub(crate) fn own_hostname(pod: &PodSpec, container: &ContainerSpec) -> String {
    format!("{}-{}", pod.hostname, container.name)
}

/// Whether a text may name a pod or container.
pub(crate) fn is_name(text: &str) -> bool {
    let first = text.chars().next().is_some_and(|first| first.is_ascii_alphanumeric());
    first
        && text.len() <= MAX_NAME
        && text.chars().all(|letter| letter.is_ascii_alphanumeric() || letter == '-')
}

fn is_absolute(path: &str) -> bool {
    path.starts_with('/') && !path.split('/').any(|part| part == "..") && !path.contains(':')
}

/// Name of the node's end of a pod's link: `veth-` and the pod's name, where that fits; otherwise
/// the beginning of the name and some of its digest.
pub(crate) fn node_end(pod: &str) -> String {
    let whole = format!("veth-{pod}");
    if whole.len() <= MAX_DEVICE {
        return whole;
    }
    let digest = Sha256::digest(pod);
    format!("veth-{}-{:02x}{:02x}", &pod[..5], digest[0], digest[1])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_safe_as_folders() {
        for name in ["a", "redis-1", "9", "A-b"] {
            assert!(is_name(name), "{name}");
        }
        for name in ["", "-a", ".", "..", "a/b", "a b", "a.b", "ä", &"a".repeat(64)] {
            assert!(!is_name(name), "{name}");
        }
    }

    #[test]
    fn devices_of_long_names_fit_and_differ() {
        assert_eq!(node_end("counter"), "veth-counter");
        let (one, other) = (node_end("a-long-pod-name-1"), node_end("a-long-pod-name-2"));
        assert_eq!(one.len(), MAX_DEVICE);
        assert_ne!(one, other);
    }
}
