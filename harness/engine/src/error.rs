//! What can go wrong, each naming the thing; and as the failure that the wire carries.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use model::Phase;
use model::message::{Cause, Failure};

use crate::archive::ArchiveError;

/// A failure of the engine.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A named step of an operation failed.
    #[error("{step}: {source}")]
    Step {
        /// The step's name.
        step: &'static str,
        /// The phase that was passed last.
        phase: Option<Phase>,
        /// Folder of CRIU's log and images.
        work: PathBuf,
        /// What happened.
        source: Box<Error>,
    },
    /// The kernel refused something about a file, mount, cgroup, process or device.
    #[error("cannot {action} {}: {source}", path.display())]
    File {
        /// What was tried, such as `read`.
        action: &'static str,
        /// What it was tried on.
        path: PathBuf,
        /// The kernel's answer.
        source: io::Error,
    },
    /// A container's first process could not be set up.
    #[error("container {container}: cannot {doing}: {source}")]
    Setup {
        /// Name of the container.
        container: String,
        /// What was being done.
        doing: String,
        /// The kernel's answer.
        source: io::Error,
    },
    /// The description of a pod holds something that cannot be.
    #[error("pod {pod}: {field}: {why}")]
    Spec {
        /// Name of the pod.
        pod: String,
        /// Where in the description.
        field: String,
        /// What is wrong there.
        why: String,
    },
    /// There is no such pod on this node.
    #[error("no pod {0}")]
    NoPod(String),
    /// There is no such container in the pod.
    #[error("no container {container} in pod {pod}")]
    NoContainer {
        /// Name of the pod.
        pod: String,
        /// Name of the container.
        container: String,
    },
    /// A pod of this name is there already.
    #[error("pod {0} exists already")]
    PodExists(String),
    /// Something did not happen in time.
    #[error("{what} took longer than {limit:?}; last seen: {seen}")]
    Deadline {
        /// What was awaited.
        what: String,
        /// The time it had.
        limit: Duration,
        /// What was seen last.
        seen: String,
    },
    /// The watcher gave up at a phase.
    #[error("given up at {0}")]
    Aborted(Phase),
    /// The state of the pod cannot be carried faithfully, although CRIU would not say so.
    #[error("container {container}: {why}")]
    Unfaithful {
        /// Name of the container.
        container: String,
        /// What would be lost or split.
        why: String,
    },
    /// The pod holds state that no CRIU can carry.
    #[error("container {container}: {why}")]
    Unsupported {
        /// Name of the container.
        container: String,
        /// What it is.
        why: String,
    },
    /// What a container has is there already in the pod into which it is to come.
    #[error("container {container}: {what} is taken in pod {pod}")]
    Taken {
        /// Name of the container.
        container: String,
        /// Name of the pod.
        pod: String,
        /// What it is.
        what: String,
    },
    /// A container has ended.
    #[error("container {0} does not run")]
    NotRunning(String),
    /// The archive was refused.
    #[error("archive {}: {source}", path.display())]
    Archive {
        /// The archive.
        path: PathBuf,
        /// Why.
        source: ArchiveError,
    },
    /// Something cannot be searched for.
    #[error("cannot search for `{pattern}`: {why}")]
    Pattern {
        /// The text or regular expression.
        pattern: String,
        /// Why.
        why: String,
    },
    /// The other node of a hand-over, or the way to it, failed.
    #[error("cannot {action} the other node: {source}")]
    Peer {
        /// What was tried, such as `hear`.
        action: &'static str,
        /// The kernel's answer, or what was wrong.
        source: io::Error,
    },
    /// The pod ran, and not all of its pages came.
    #[error(
        "container {container}: its pages did not all come: {why}. The pod was ended before it could \
         read zeroes in their place: it ran here for {} ms, and what it did then is lost. Its \
         checkpoint is whole on the node that it came from, for this node alone",
        ran.as_millis()
    )]
    Pages {
        /// Name of the container.
        container: String,
        /// Why they did not.
        why: String,
        /// How long the pod ran.
        ran: Duration,
    },
    /// CRIU failed.
    #[error("container {container}: {source}")]
    Criu {
        /// Name of the container.
        container: String,
        /// CRIU's own words.
        source: criu::rpc::Error,
    },
}

impl Error {
    /// The step's inner failure, or this one.
    #[must_use]
    pub fn root(&self) -> &Error {
        match self {
            Error::Step { source, .. } => source.root(),
            other => other,
        }
    }

    fn errno(&self) -> Option<i32> {
        match self.root() {
            Error::File { source, .. } | Error::Setup { source, .. } => source.raw_os_error(),
            Error::Archive { source: ArchiveError::Write { source, .. }, .. } => {
                source.raw_os_error()
            }
            Error::Criu { source, .. } => source.report().and_then(|report| report.errno),
            _ => None,
        }
    }

    fn cause(&self) -> Cause {
        match self.root() {
            Error::Unsupported { .. } => Cause::Unsupported,
            Error::Archive { source: ArchiveError::Write { .. }, .. } => Cause::Broken,
            Error::Unfaithful { .. }
            | Error::Taken { .. }
            | Error::NotRunning(_)
            | Error::Deadline { .. }
            | Error::Aborted(_)
            | Error::Archive { .. }
            | Error::Pattern { .. }
            | Error::Peer { .. }
            | Error::Pages { .. }
            | Error::Criu { .. } => Cause::Failed,
            _ => Cause::Broken,
        }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Failure {
        let mut failure = Failure::broken(error.root().to_string());
        failure.cause = error.cause();
        failure.errno = error.errno();
        if let Error::Criu { source, .. } = error.root() {
            let log = source.report().and_then(|report| report.log.as_ref());
            failure.log_tail = log.map(|log| log.tail.clone()).unwrap_or_default();
        }
        if let Error::Step { step, phase, work, .. } = error {
            failure.step = Some(step.to_owned());
            failure.phase = phase;
            failure.work = Some(work);
        }
        failure
    }
}

/// Names the file that an I/O error is about.
pub(crate) trait About<T> {
    /// Turns the error into [`Error::File`].
    fn about(self, action: &'static str, path: impl AsRef<Path>) -> Result<T, Error>;
}

impl<T, E: Into<io::Error>> About<T> for Result<T, E> {
    fn about(self, action: &'static str, path: impl AsRef<Path>) -> Result<T, Error> {
        self.map_err(|error| Error::File {
            action,
            path: path.as_ref().to_path_buf(),
            source: error.into(),
        })
    }
}
