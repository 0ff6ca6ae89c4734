//! Where programs run, where the pod of an archive goes, and what of a pod is meant.

use serde::{Deserialize, Serialize};

use crate::pod::{PodIdentity, PodStatus};

/// Where a program runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Place {
    /// In the node's own namespaces.
    Node,
    /// In all namespaces of a container, below its root.
    Container {
        /// Name of the pod.
        pod: String,
        /// Name of the container.
        container: String,
    },
}

/// Where the pod of an archive goes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Destination {
    /// It becomes a pod again, and is who it was.
    Same,
    /// It becomes a pod again, and is somebody else.
    As(PodIdentity),
    /// Its containers come into the pod of this name, which runs.
    Into(String),
}

/// A pod, or some of its containers with what is the pod's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    /// Name of the pod.
    pub pod: String,
    /// Names of the containers; all of them when none is named.
    pub containers: Vec<String>,
}

impl Part {
    /// A whole pod.
    #[must_use]
    pub fn whole(pod: impl Into<String>) -> Part {
        Part { pod: pod.into(), containers: Vec::new() }
    }

    /// Those containers of a pod that a status tells.
    #[must_use]
    pub fn of(status: &PodStatus) -> Part {
        let names = status.containers.iter().map(|container| container.name.clone());
        Part { pod: status.name.clone(), containers: names.collect() }
    }
}
