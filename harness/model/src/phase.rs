//! The moments of a checkpoint and a restore at which others may step in.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A moment of the story, in CRIU's own words where it has them.
///
/// Hooks, captures, branches and crash points all hang on these six; nothing else invents a
/// moment of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    /// The workload said that it is ready.
    Ready,
    /// The pod's link is gated and every task frozen.
    Frozen,
    /// CRIU has written its images; the archive is not made yet.
    PostDump,
    /// The archive was verified and unpacked; CRIU was not asked yet.
    PreRestore,
    /// Everything is restored and frozen in its cgroup; no task has run an instruction.
    PreResume,
    /// The pod runs again.
    PostResume,
}

impl Phase {
    /// All phases, in the order in which they happen.
    pub const ALL: [Phase; 6] = [
        Phase::Ready,
        Phase::Frozen,
        Phase::PostDump,
        Phase::PreRestore,
        Phase::PreResume,
        Phase::PostResume,
    ];

    /// The name users write, such as `pre-resume`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Phase::Ready => "ready",
            Phase::Frozen => "frozen",
            Phase::PostDump => "post-dump",
            Phase::PreRestore => "pre-restore",
            Phase::PreResume => "pre-resume",
            Phase::PostResume => "post-resume",
        }
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The text names no phase.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown phase `{0}`")]
pub struct UnknownPhase(pub String);

impl FromStr for Phase {
    type Err = UnknownPhase;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Phase::ALL
            .into_iter()
            .find(|phase| phase.name() == text)
            .ok_or_else(|| UnknownPhase(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_phase_is_read_back_from_its_name() {
        for phase in Phase::ALL {
            assert_eq!(phase.name().parse(), Ok(phase));
        }
        assert_eq!("frosen".parse::<Phase>(), Err(UnknownPhase("frosen".to_owned())));
    }
}
