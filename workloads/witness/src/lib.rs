//! What every witness needs: a program that holds state and attests it when it is asked.
//!
//! [`run`] is the protocol, a [`Witness`] is one subject, and [`Findings`] tell what was lost. The
//! rest is small: where files are kept, reading `/proc`, looking into queues, and [`sys`], the
//! calls that neither std nor nix offers.

mod findings;
pub mod place;
pub mod proc;
mod protocol;
mod seen;
pub mod streams;
pub mod sys;
pub mod waiting;

use std::time::Duration;

pub use findings::{Context, Findings, Lost, Witness};
pub use protocol::run;
pub use seen::{Seen, Subject, io, record};

/// How long what must come may take.
pub const PATIENCE: Duration = Duration::from_secs(20);
