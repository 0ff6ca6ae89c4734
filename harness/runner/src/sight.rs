//! Captures of a pod: it may go on as soon as it was looked at, and what was seen comes home
//! meanwhile.

use std::time::Duration;

use model::message::{Part, Request};
use model::{Capture, pack};
use state::Observed;
use thiserror::Error;
use vm::{Guest, Sight};

/// Most bytes of a capture.
const MOST_BYTES: usize = 512 << 20;

/// What a look may take, and then the way home of what was seen.
const PATIENCE: Duration = Duration::from_secs(180);

/// Why what was seen did not come home.
#[derive(Debug, Error)]
pub enum Lost {
    /// The guest did not tell it.
    #[error(transparent)]
    Guest(#[from] vm::Error),
    /// The guest told something else.
    #[error("the capture cannot be read: {0}")]
    Form(#[from] pack::PackError),
    /// The guest told nothing.
    #[error("the capture is empty")]
    Empty,
    /// Reading it broke off.
    #[error("reading the capture: {0}")]
    Read(#[from] tokio::task::JoinError),
}

/// Looks at a frozen pod, which may go on when this returns.
///
/// # Errors
/// When the guest cannot look.
pub async fn look(guest: &Guest, pod: &Part) -> Result<Sight, vm::Error> {
    guest.look(Request::Capture { pod: pod.clone() }, MOST_BYTES, PATIENCE).await
}

/// Waits for what was seen.
///
/// # Errors
/// When it does not come whole.
pub async fn come_home(sight: Sight) -> Result<Capture, Lost> {
    let bytes = sight.bytes().await?;
    // Reading it takes a while: the machines beside are served meanwhile.
    let read = move || pack::unpack(&bytes, MOST_BYTES).map(Observed::into_capture);
    let capture = tokio::task::spawn_blocking(read).await??;
    if capture.facts.is_empty() { Err(Lost::Empty) } else { Ok(capture) }
}
