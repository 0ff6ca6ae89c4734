//! Where a program runs.

use serde::{Deserialize, Serialize};

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
