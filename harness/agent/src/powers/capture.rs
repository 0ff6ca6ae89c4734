//! Observing a frozen pod, by what the kernel shows or by its images.

use std::time::Duration;

use anyhow::bail;
use model::message::Reply;

use crate::child::{FromEngine, Operation, Order};
use crate::serve::Call;

/// How long a capture may take until something of it comes.
const DEADLINE: Duration = Duration::from_secs(300);

/// Sends the capture in chunks.
pub(super) fn capture(call: &Call<'_>, order: Order) -> anyhow::Result<Reply> {
    let node = call.node;
    node.await_modules()?;
    let mut operation = Operation::begin(&node.reaper, &node.bell, order, DEADLINE)?;
    operation.finish(|_, message| match message {
        FromEngine::Chunk(bytes) => {
            call.send_chunk(bytes);
            Ok(None)
        }
        other => bail!("the engine said {other:?}"),
    })
}
