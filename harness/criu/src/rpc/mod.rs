//! CRIU's RPC: one CRIU process, one request.
//!
//! A [`Command`] says how CRIU is started (`criu swrk FD` on a socket pair of
//! `SOCK_SEQPACKET`): its environment, the namespaces it enters first, the descriptors it
//! inherits. [`Command::spawn`] gives a [`Session`], whose methods each send one request, answer
//! CRIU's notifications through a callback, and see the process off. Every one has a deadline of
//! the caller's own: CRIU can hang for ever, for instance on a cgroup that somebody else froze,
//! and its own `timeout` covers only the stopping of tasks.
//!
//! ```no_run
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use std::fs::File;
//! use std::os::fd::AsFd;
//! use std::time::{Duration, Instant};
//!
//! use criu::rpc::{Answer, Command, DumpOptions};
//!
//! let images = File::open("/var/lib/images")?;
//! let mut options = DumpOptions::new(4711, images.as_fd());
//! options.shared.tcp_established = true;
//!
//! let deadline = Instant::now() + Duration::from_secs(60);
//! Command::new("criu").spawn()?.dump(&options, deadline, &mut |notification| {
//!     eprintln!("CRIU says {}", notification.kind);
//!     Answer::Go
//! })?;
//! # Ok(())
//! # }
//! ```
//!
//! Errors carry what can be known: the request, CRIU's errno and message, its exit status, what it
//! wrote to standard error, and a summary of its log.

mod answer;
mod child;
mod command;
mod error;
mod notification;
mod options;
mod process;
mod session;
mod socket;
mod wire;

#[cfg(test)]
mod tests;

pub use answer::{Features, Version};
pub use command::Command;
pub use error::{Error, Report, Request};
pub use notification::{Answer, Notification, NotificationKind};
pub use options::{
    CgroupRoot, CheckOptions, DumpOptions, InheritFd, JoinNamespace, ManageCgroups, NetworkLock,
    PreDumpMode, RestoreOptions, SharedOptions,
};
pub use session::Session;
