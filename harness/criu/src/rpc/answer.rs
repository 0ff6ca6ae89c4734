//! What CRIU tells about itself and the kernel.

use std::fmt;

use super::wire;

/// The version of a CRIU.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Version {
    /// 4 of 4.1.1.
    pub major: i32,
    /// 1 of 4.1.1.
    pub minor: i32,
    /// The last 1 of 4.1.1; absent is none.
    pub sublevel: Option<i32>,
    /// The commit it was built from, if it was built from one.
    pub git_id: Option<String>,
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)?;
        self.sublevel.map_or(Ok(()), |sublevel| write!(f, ".{sublevel}"))
    }
}

/// The features that CRIU tells by RPC.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Features {
    /// Changes of memory can be tracked.
    pub mem_track: bool,
    /// Pages can be brought in later.
    pub lazy_pages: bool,
    /// Pids can be kept apart by pidfds between pre-dumps.
    pub pidfd_store: bool,
}

impl From<wire::Version> for Version {
    fn from(version: wire::Version) -> Self {
        Version {
            major: version.major_number,
            minor: version.minor_number,
            sublevel: version.sublevel,
            git_id: version.gitid.filter(|id| !id.is_empty()),
        }
    }
}

impl From<wire::Features> for Features {
    fn from(found: wire::Features) -> Self {
        Features {
            mem_track: found.mem_track.unwrap_or(false),
            lazy_pages: found.lazy_pages.unwrap_or(false),
            pidfd_store: found.pidfd_store.unwrap_or(false),
        }
    }
}
