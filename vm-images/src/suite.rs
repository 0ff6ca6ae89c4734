//! The Debian suites that kernels and CRIUs are taken from.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::Unknown;

/// A suite of Debian's archive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Suite {
    /// Debian 12.
    Bookworm,
    /// Newer packages built for Debian 12.
    BookwormBackports,
    /// Debian 13.
    Trixie,
    /// Newer packages built for Debian 13.
    TrixieBackports,
    /// The next release.
    Forky,
    /// Unstable.
    Sid,
    /// What is not yet fit for unstable.
    Experimental,
}

impl Suite {
    /// All suites, oldest first.
    pub const ALL: [Suite; 7] = [
        Suite::Bookworm,
        Suite::BookwormBackports,
        Suite::Trixie,
        Suite::TrixieBackports,
        Suite::Forky,
        Suite::Sid,
        Suite::Experimental,
    ];

    /// The name users and the archive write, such as `trixie-backports`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Suite::Bookworm => "bookworm",
            Suite::BookwormBackports => "bookworm-backports",
            Suite::Trixie => "trixie",
            Suite::TrixieBackports => "trixie-backports",
            Suite::Forky => "forky",
            Suite::Sid => "sid",
            Suite::Experimental => "experimental",
        }
    }

    /// The suite that this one lies on top of, for dependencies that are not in itself.
    pub(crate) fn base(self) -> Option<Suite> {
        match self {
            Suite::BookwormBackports => Some(Suite::Bookworm),
            Suite::TrixieBackports => Some(Suite::Trixie),
            Suite::Experimental => Some(Suite::Sid),
            Suite::Bookworm | Suite::Trixie | Suite::Forky | Suite::Sid => None,
        }
    }
}

impl fmt::Display for Suite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Suite {
    type Err = Unknown;

    fn from_str(text: &str) -> Result<Self, Unknown> {
        Suite::ALL
            .into_iter()
            .find(|suite| suite.name() == text)
            .ok_or_else(|| Unknown::new("suite", text, Suite::ALL.map(Suite::name)))
    }
}
