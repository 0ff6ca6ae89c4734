//! What becomes of a pod that was checkpointed.

use serde::{Deserialize, Serialize};

/// What becomes of a pod whose checkpoint is committed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Afterwards {
    /// It is removed: its archive is the pod from then on.
    Remove,
    /// It runs on: its archive is a copy.
    Run,
}
