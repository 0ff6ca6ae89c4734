//! Moving an archive between two nodes.

use std::net::SocketAddr;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// Where a node gives archives away.
pub const GIVING_PORT: u16 = 7_077;

/// A node's side of a hand-over.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum HandOver {
    /// Let another node take an archive. The step `listen` is told when it may come.
    Give {
        /// The archive.
        archive: PathBuf,
        /// The TCP port on which takers are waited for.
        port: u16,
    },
    /// Take an archive from another node.
    Take {
        /// Where the other node waits.
        from: SocketAddr,
        /// What the archive is called here.
        archive: PathBuf,
    },
    /// Let another node have a copy of an archive, which stays here. The step `listen` is told when
    /// it may come.
    Lend {
        /// The archive.
        archive: PathBuf,
        /// The TCP port on which the other is waited for.
        port: u16,
    },
    /// Give a pod to another node before its pages: it runs there while most of its memory is still
    /// here. The step `listen` is told when the other may come.
    Serve {
        /// The archive of its checkpoint.
        archive: PathBuf,
        /// The TCP port on which the other is waited for.
        port: u16,
    },
    /// Take what a pod needs to run before its pages.
    TakeThin {
        /// Where the other node waits.
        from: SocketAddr,
        /// What the archive of its checkpoint would be called here.
        archive: PathBuf,
    },
    /// Get a copy of another node's archive.
    Copy {
        /// Where the other node waits.
        from: SocketAddr,
        /// What the copy is called here.
        copy: PathBuf,
    },
}
