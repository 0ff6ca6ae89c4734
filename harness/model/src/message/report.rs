//! What the guest tells of operations that it has carried out.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::pod::PodStatus;

/// What there is on a node when no operation is under way.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recovered {
    /// Pods that run.
    pub pods: Vec<PodStatus>,
    /// Archives that are whole and this node's.
    pub archives: Vec<PathBuf>,
    /// Archives that were given to another node, of which it is not known whether that knows.
    pub given: Vec<PathBuf>,
    /// What was found and brought into order, in words.
    pub told: Vec<String>,
}

/// What a checkpoint did. Times in microseconds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckpointReport {
    /// From the order to freeze until the whole pod was frozen.
    pub freeze_us: u64,
    /// CRIU's dump, without the waits of phases.
    pub dump_us: u64,
    /// Files, archive, fsync and rename.
    pub archive_us: u64,
    /// Bytes of CRIU's images.
    pub images_bytes: u64,
    /// Bytes of the archive.
    pub archive_bytes: u64,
    /// SHA-256 of the archive, in hexadecimal.
    pub archive_sha256: String,
    /// Pids in the main container at the dump.
    pub tasks: Vec<i32>,
    /// The folder of CRIU's log and images on the node.
    pub work: PathBuf,
}

/// What a round of a pre-copy did. Times in microseconds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoundReport {
    /// Which round, from 1.
    pub number: u32,
    /// Pages of memory in it.
    pub pages: u64,
    /// CRIU's pre-dump. The pod stands still for a part of it.
    pub dump_us: u64,
    /// Archive, fsync and rename, while the pod runs.
    pub archive_us: u64,
    /// Bytes of the round's archive.
    pub archive_bytes: u64,
    /// The round's archive.
    pub archive: PathBuf,
    /// Why there is to be no further round, if so.
    pub last: Option<String>,
    /// The folder of CRIU's log on the node.
    pub work: PathBuf,
}

/// What a restore did. Times in microseconds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RestoreReport {
    /// Verifying and unpacking the archive, sandbox and roots.
    pub unpack_us: u64,
    /// CRIU's restore, without the waits of phases.
    pub restore_us: u64,
    /// The pod as it runs now.
    pub pod: PodStatus,
    /// Pids in the main container.
    pub tasks: Vec<i32>,
    /// The folder of CRIU's log and images on the node.
    pub work: PathBuf,
}
