//! What agent and engine child say to each other. Both are the same binary: there is no version.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;

use model::Mark;
use model::message::{
    Afterwards, Decision, Destination, Event, Failure, HandOver, ImagesOf, Part, Reply, Sought,
    WantedPage,
};
use model::pod::PodSpec;
use serde::{Deserialize, Serialize};

/// What one engine child is for.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum Order {
    /// Ask CRIU for its version.
    Version,
    /// Let CRIU find out what the kernel offers.
    Features,
    /// Make a pod and start its containers.
    Start {
        /// The pod.
        pod: PodSpec,
    },
    /// Checkpoint a pod.
    Checkpoint {
        /// Name of the pod.
        pod: String,
        /// The archive to write.
        archive: PathBuf,
        /// What becomes of the pod.
        afterwards: Afterwards,
        /// For the whole operation.
        deadline_ms: u64,
    },
    /// Take memory of a running pod ahead of its checkpoint.
    PreDump {
        /// Name of the pod.
        pod: String,
        /// The checkpoint's archive.
        archive: PathBuf,
        /// For the round.
        deadline_ms: u64,
    },
    /// Restore a pod.
    Restore {
        /// The archive.
        archive: PathBuf,
        /// Where it goes.
        destination: Destination,
        /// For the whole operation.
        deadline_ms: u64,
    },
    /// Restore a pod whose pages come later.
    RestoreLazily {
        /// What the archive of its checkpoint would be called here.
        archive: PathBuf,
        /// Where its pages come from.
        from: SocketAddr,
        /// For the whole operation.
        deadline_ms: u64,
    },
    /// Bring order into what engines that died have left.
    Recover {
        /// The folder of the archives.
        archives: PathBuf,
    },
    /// Remove a pod.
    Remove {
        /// Name of the pod.
        pod: String,
    },
    /// Move an archive between two nodes.
    HandOver {
        /// This node's side of it.
        side: HandOver,
        /// How long the other node is waited for.
        deadline_ms: u64,
    },
    /// Capture a frozen pod.
    Capture {
        /// The pod.
        pod: Part,
    },
    /// Look into images of a frozen pod.
    Images {
        /// The pod.
        pod: Part,
        /// Which images.
        of: ImagesOf,
    },
    /// Look into pages of a pod that is restored and frozen.
    Pages {
        /// The pod.
        pod: Part,
        /// Which pages.
        wanted: Vec<WantedPage>,
    },
    /// Look into an archive.
    Analyse {
        /// The archive.
        archive: PathBuf,
        /// An earlier one of the same pod.
        against: Option<PathBuf>,
        /// What to search memory for.
        wanted: Sought,
    },
    /// Run a program in a container.
    Exec {
        /// Name of the pod.
        pod: String,
        /// Name of the container.
        container: String,
        /// Program and arguments.
        command: Vec<String>,
        /// Environment.
        env: BTreeMap<String, String>,
        /// It is killed when it takes longer.
        deadline_ms: u64,
    },
}

/// From agent to engine child.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) enum ToEngine {
    /// The first message.
    Order {
        /// What to do.
        order: Order,
        /// Where to wait.
        wait_at: Option<Mark>,
    },
    /// Go on from a phase or a mark.
    Proceed(Decision),
}

/// From engine child to agent.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum FromEngine {
    /// CRIU's version.
    Version(String),
    /// The node's ends of a container's standard streams come along: input, output, error.
    Streams {
        /// Name of the container.
        container: String,
    },
    /// A step, a phase that waits for a decision, or that a pod was looked at.
    Event(Event),
    /// What was looked at, packed, in a file that comes along.
    Seen,
    /// The order was carried out, or not.
    Done(Result<Reply, Failure>),
}
