//! The answer to a request that did not succeed.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::Phase;

/// A request that did not succeed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{message}")]
pub struct Failure {
    /// Whose fault it is.
    pub cause: Cause,
    /// What happened, naming the thing; for CRIU with its first error line.
    pub message: String,
    /// The phase that was passed last, if any.
    pub phase: Option<Phase>,
    /// The engine's step that failed, if any.
    pub step: Option<String>,
    /// The error number of CRIU or of the kernel, if any.
    pub errno: Option<i32>,
    /// The last lines of CRIU's log, if CRIU was at work.
    pub log_tail: Vec<String>,
    /// The folder of CRIU's log and images on the node, if there is one.
    pub work: Option<PathBuf>,
}

impl Failure {
    /// A failure of the node itself.
    #[must_use]
    pub fn broken(message: impl Into<String>) -> Self {
        Failure {
            cause: Cause::Broken,
            message: message.into(),
            phase: None,
            step: None,
            errno: None,
            log_tail: Vec::new(),
            work: None,
        }
    }
}

/// Whose fault a failure is; becomes the outcome of the cell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Cause {
    /// Checkpoint or restore failed.
    Failed,
    /// It cannot work here: a feature is missing, as was found by asking.
    Unsupported,
    /// The node itself: disk full, no such file, a bad request.
    Broken,
}
