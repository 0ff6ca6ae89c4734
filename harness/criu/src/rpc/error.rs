//! Why CRIU did not do what it was asked for.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::process::ExitStatus;

use super::notification::NotificationKind;
use crate::log::{self, Summary};

/// What CRIU was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Request {
    /// Its version.
    Version,
    /// A few features of the kernel.
    FeatureCheck,
    /// Whether the kernel has what CRIU needs.
    Check,
    /// Write down the processor's abilities.
    CpuinfoDump,
    /// Compare the processor with what was written down.
    CpuinfoCheck,
    /// A dump of memory alone, to make a later dump short.
    PreDump,
    /// A dump.
    Dump,
    /// A restore.
    Restore,
}

impl fmt::Display for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Request::Version => "version",
            Request::FeatureCheck => "feature check",
            Request::Check => "check",
            Request::CpuinfoDump => "cpuinfo dump",
            Request::CpuinfoCheck => "cpuinfo check",
            Request::PreDump => "pre-dump",
            Request::Dump => "dump",
            Request::Restore => "restore",
        })
    }
}

/// A session failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// CRIU could not be started.
    #[error("cannot start {program}: {step}: {source}", program = program.display())]
    Spawn {
        /// The program.
        program: PathBuf,
        /// What was being done, such as `enter namespace 2`.
        step: String,
        /// Why it failed.
        source: io::Error,
    },
    /// The socket to CRIU failed.
    #[error("{request}: talking to CRIU: {source}")]
    Socket {
        /// The request.
        request: Request,
        /// Why it failed.
        source: io::Error,
    },
    /// CRIU answered something that makes no sense.
    #[error("{request}: CRIU answered nonsense: {why}")]
    Protocol {
        /// The request.
        request: Request,
        /// What does not fit.
        why: String,
    },
    /// CRIU said that it failed.
    #[error("{0}")]
    Failed(Box<Report>),
    /// CRIU ended without an answer.
    #[error("{report}, CRIU died without an answer ({status})", report = .0, status = .0.ended())]
    Died(Box<Report>),
    /// CRIU did not answer in time and was killed. What it had begun to restore may still be
    /// there.
    #[error("{report}, no answer within the deadline", report = .0)]
    Deadline(Box<Report>),
}

impl Error {
    /// What is known about a CRIU that ran.
    #[must_use]
    pub fn report(&self) -> Option<&Report> {
        match self {
            Error::Failed(report) | Error::Died(report) | Error::Deadline(report) => Some(report),
            _ => None,
        }
    }
}

/// All that is known about an operation that CRIU did not complete.
#[derive(Clone, Debug)]
pub struct Report {
    /// What was asked for.
    pub request: Request,
    /// The last notification before the end.
    pub last: Option<NotificationKind>,
    /// The notification that the caller answered with [`Fail`](super::Answer::Fail).
    pub refused: Option<NotificationKind>,
    /// CRIU's `cr_errno`: few values are ever set.
    pub errno: Option<i32>,
    /// CRIU's `cr_errmsg`: reliable since CRIU 4.2, often a harmless line before.
    pub message: Option<String>,
    /// How CRIU ended, where that is known.
    pub status: Option<ExitStatus>,
    /// The end of what CRIU wrote to standard error, unless the caller had it.
    pub stderr: String,
    /// Its log; CRIU may fail before it opens one.
    pub log: Option<Summary>,
}

impl Report {
    /// The best single line about the cause: the log's first error, else CRIU's message, else its
    /// standard error, else its errno.
    #[must_use]
    pub fn reason(&self) -> String {
        let logged = self.log.as_ref().and_then(|log| log.first_error.clone());
        let message = self.message.as_deref().map(log::plain);
        let said = self.stderr.lines().rev().map(str::trim).find(|line| !line.is_empty());
        let errno = self.errno.map(|errno| io::Error::from_raw_os_error(errno).to_string());
        logged
            .or_else(|| {
                message
                    .filter(|text| !text.is_empty() && !log::is_harmless(text))
                    .map(str::to_owned)
            })
            .or_else(|| said.map(str::to_owned))
            .or(errno)
            .unwrap_or_else(|| "no reason given".to_owned())
    }

    fn ended(&self) -> String {
        self.status.map_or_else(|| "status unknown".to_owned(), |status| status.to_string())
    }
}

impl fmt::Display for Report {
    /// One line: request, reason, errno, last notification.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} failed: {}", self.request, self.reason())?;
        if let Some(errno) = self.errno {
            write!(f, " (errno {errno})")?;
        }
        match (&self.refused, &self.last) {
            (Some(refused), _) => write!(f, ", refused at {refused}"),
            (None, Some(last)) => write!(f, ", last notification {last}"),
            (None, None) => f.write_str(", no notification"),
        }
    }
}
