//! What the programs share that stand outside a container and know its service.
//!
//! A *client* fills the service and checks it after the event: what it finds is a [`Lost`], and
//! [`finish`] tells it as all witnesses do. An *observer* keeps one raw [`Connection`] from before
//! the event to after it: [`observe`] speaks with whoever started it, a [`Watch`] does the work and
//! counts into a [`Report`]. Most services can keep [`tokens`], and share all but their language.

mod connection;
mod finish;
mod lost;
mod observe;
mod report;
pub mod tokens;

use std::time::Duration;

pub use connection::Connection;
pub use finish::finish;
pub use lost::Lost;
pub use observe::{Watch, observe};
pub use report::Report;

/// How long a service may take to answer.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Why an observer cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// What was given is no address of a service.
    #[error("`{0}` is no ADDRESS:PORT")]
    Address(String),
    /// Nobody takes a connection.
    #[error("connect to {address}: {source}")]
    Connect {
        /// The service.
        address: std::net::SocketAddr,
        /// Why.
        source: std::io::Error,
    },
    /// The service says what is no answer.
    #[error("{found} instead of {expected}")]
    Answer {
        /// What had to come.
        expected: &'static str,
        /// What came.
        found: String,
    },
    /// The connection, or the own standard streams.
    #[error(transparent)]
    Io(#[from] std::io::Error),
}

impl Error {
    /// An answer that is none.
    #[must_use]
    pub fn answer(expected: &'static str, found: &[u8]) -> Error {
        const LONGEST: usize = 160;
        let found = &found[..found.len().min(LONGEST)];
        Error::Answer { expected, found: format!("`{}`", found.trim_ascii_end().escape_ascii()) }
    }
}
