//! Checkpointing a pod.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::bail;
use model::message::{Afterwards, Decision, Event, Reply};

use crate::child::{FromEngine, Order};
use crate::serve::Call;

/// What the engine may need beyond its own deadline until the agent gives it up.
pub(super) const MARGIN: Duration = Duration::from_secs(20);

/// Checkpoints a pod; afterwards it is gone from this node, or runs on.
///
/// From before the freeze on nothing more is read from the containers, so that what they wrote
/// and nobody read is either in the answer of a later `Stop` or in the archive.
pub(super) fn checkpoint(
    call: &Call<'_>,
    pod: &str,
    archive: PathBuf,
    afterwards: Afterwards,
    deadline_ms: u64,
) -> anyhow::Result<Reply> {
    let node = call.node;
    node.await_modules()?;
    let _operating = node.engines.operate();
    node.pods.pause(pod);
    let order = Order::Checkpoint { pod: pod.to_owned(), archive, afterwards, deadline_ms };
    let silence = Duration::from_millis(deadline_ms) + MARGIN;
    let reply = node
        .engines
        .begin(order, silence)
        .and_then(|mut operation| operation.finish(|_, message| hear(call, message)));
    match reply {
        Ok(_) if afterwards == Afterwards::Remove => node.pods.remove(pod),
        _ => node.pods.resume(pod),
    }
    reply
}

/// Takes memory of a pod, which runs on, ahead of its checkpoint.
pub(super) fn pre_dump(
    call: &Call<'_>,
    pod: String,
    archive: PathBuf,
    deadline_ms: u64,
) -> anyhow::Result<Reply> {
    call.node.await_modules()?;
    let _operating = call.node.engines.operate();
    let order = Order::PreDump { pod, archive, deadline_ms };
    let silence = Duration::from_millis(deadline_ms) + MARGIN;
    let mut operation = call.node.engines.begin(order, silence)?;
    operation.finish(|_, message| hear(call, message))
}

/// Passes an event on, and waits for the host's decision where the operation waits.
pub(super) fn hear(call: &Call<'_>, message: FromEngine) -> anyhow::Result<Option<Decision>> {
    let FromEngine::Event(event) = message else { bail!("the engine said {message:?}") };
    let waits = matches!(event, Event::Phase { .. } | Event::Waits { .. });
    call.send_event(event);
    if waits { call.decision().map(Some) } else { Ok(None) }
}
