//! What can go wrong while looking at a pod.

use std::io;
use std::path::{Path, PathBuf};

/// A capture fails as a whole rather than leave something out in silence.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file of the kernel, or of the pod, could not be read.
    #[error("cannot read {path}: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// A system call about a task or a descriptor failed.
    #[error("{call} of {subject}: {source}")]
    Call {
        /// Name of the call.
        call: &'static str,
        /// What it was asked about.
        subject: String,
        /// What the kernel said.
        source: io::Error,
    },
    /// A file does not look as its manual page says.
    #[error("{path} does not read as expected: {what}")]
    Form {
        /// The file.
        path: PathBuf,
        /// What is odd.
        what: String,
    },
    /// A program of the node failed.
    #[error("{command}: {what}")]
    Tool {
        /// The command line.
        command: String,
        /// How it ended.
        what: String,
    },
}

impl Error {
    pub(crate) fn read(path: &Path, source: io::Error) -> Self {
        Error::Read { path: path.to_owned(), source }
    }

    pub(crate) fn form(path: &Path, what: impl Into<String>) -> Self {
        Error::Form { path: path.to_owned(), what: what.into() }
    }

    pub(crate) fn call(
        call: &'static str,
        subject: impl Into<String>,
        source: impl Into<io::Error>,
    ) -> Self {
        Error::Call { call, subject: subject.into(), source: source.into() }
    }
}

/// Result of this room.
pub(crate) type Result<T, E = Error> = std::result::Result<T, E>;
