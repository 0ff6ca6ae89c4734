//! What an archive says about itself.

use std::collections::BTreeMap;

use model::Digest;
use model::pod::PodSpec;
use serde::{Deserialize, Serialize};

use crate::claims::Claims;

/// Format that this engine writes, and the only one that it reads.
pub(crate) const FORMAT: u32 = 5;

/// Name of the manifest in the archive.
pub(crate) const MANIFEST: &str = "manifest.json";

/// Name of the pod's `/dev/shm` in the archive.
pub(crate) const SHM: &str = "shm.tar";

/// The link in a folder of images by which CRIU finds those before them.
pub(crate) const PARENT: &str = "parent";

/// Names of standard streams in the archive.
const STREAMS: [&str; 3] = ["stdin", "stdout", "stderr"];

/// Most rounds that a checkpoint builds on.
pub(crate) const MOST_PARENTS: usize = 32;

/// What an archive holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Holds {
    /// A pod.
    Checkpoint,
    /// A round: memory alone, on which a later round or a checkpoint builds.
    Round,
    /// A pod without the pages that can come later: they are in the checkpoint of which it was made,
    /// which it names as its only parent.
    Thin,
}

/// What an archive is of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// Format of the archive: 5.
    pub format: u32,
    /// What it holds.
    pub holds: Holds,
    /// Where it was made.
    pub origin: Origin,
    /// The pod.
    pub pod: PodSpec,
    /// Its containers, in the order of the pod's description.
    pub containers: Vec<ContainerRecord>,
    /// Sockets that are bound to the address of the pod's link, in words: with another address it
    /// cannot have them.
    pub bound: Vec<String>,
    /// The rounds on which it builds, in their order, by the SHA-256 of their archives in hexadecimal:
    /// what did not change since stands there.
    pub parents: Vec<String>,
    /// Every other member, by name.
    pub members: BTreeMap<String, Member>,
}

impl Manifest {
    /// Bytes of all members.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.members.values().fold(0, |sum, member| sum.saturating_add(member.bytes))
    }
}

/// The node on which a checkpoint was made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    /// `uname -r`.
    pub kernel: String,
    /// `uname -m`.
    pub arch: String,
    /// CRIU's version, such as `4.1.1`.
    pub criu: String,
}

/// What is known of a container beside CRIU's images.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContainerRecord {
    /// Its name.
    pub name: String,
    /// Pids in the container.
    pub tasks: Vec<i32>,
    /// The pipes that were its standard streams, by the kernel's names at the checkpoint.
    pub streams: [Option<String>; 3],
    /// Files that were masked, each by a mount from outside.
    pub masked: Vec<String>,
    /// Files of its image that its tasks have open or mapped: they must be the same where it comes
    /// back. CRIU checks only their lengths. By path in the container.
    pub image_files: BTreeMap<String, Member>,
    /// AppArmor profiles that confine its tasks, with the SHA-256 of their policies: they must be
    /// loaded where it comes back. CRIU knows their names only.
    pub profiles: BTreeMap<String, String>,
    /// What it has that can be there only once in a pod.
    pub claims: Claims,
}

/// The content of a file, or of a member of the archive.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// Length.
    pub bytes: u64,
    /// Digest. It finds what was damaged, not what was forged: for that, keep the SHA-256 of the
    /// archive.
    pub xxh64: Digest,
}

/// Folder of a container's CRIU images.
pub(crate) fn image_folder(container: &str) -> String {
    format!("containers/{container}/images")
}

/// The upper layer of a container's root.
pub(crate) fn root_member(container: &str) -> String {
    format!("containers/{container}/root.tar")
}

/// Unread bytes of a standard stream (0, 1, 2).
pub(crate) fn stream_member(container: &str, stream: usize) -> String {
    format!("containers/{container}/{}", STREAMS[stream])
}

/// Whether a member of this name may be in an archive of these containers. No such name can lead
/// out of the folder into which it is unpacked.
pub(crate) fn is_member(name: &str, containers: &[ContainerRecord]) -> bool {
    name == SHM
        || containers.iter().any(|container| {
            let container = container.name.as_str();
            name == root_member(container)
                || (0..STREAMS.len()).any(|stream| name == stream_member(container, stream))
                || is_image(name, &image_folder(container))
        })
}

fn is_image(name: &str, folder: &str) -> bool {
    let file = name.strip_prefix(folder).and_then(|rest| rest.strip_prefix('/'));
    // CRIU finds the images before these by a link of that name, which is no member.
    file.is_some_and(|file| {
        file != PARENT
            && file.starts_with(|first: char| first.is_ascii_alphanumeric())
            && file.chars().all(|letter| letter.is_ascii_alphanumeric() || "-_.".contains(letter))
    })
}

/// Members that an archive of these containers cannot do without.
pub(crate) fn needed(holds: Holds, containers: &[ContainerRecord]) -> Vec<String> {
    let inventory = |name: &str| format!("{}/inventory.img", image_folder(name));
    let inventories = containers.iter().map(|container| inventory(&container.name));
    match holds {
        Holds::Round => inventories.collect(),
        Holds::Checkpoint | Holds::Thin => {
            let roots = containers.iter().map(|container| root_member(&container.name));
            roots.chain(inventories).chain([SHM.to_owned()]).collect()
        }
    }
}
