//! Removing a pod.

use std::time::Duration;

use model::message::Reply;

use crate::child::Order;
use crate::serve::Call;

/// How long that may take.
const DEADLINE: Duration = Duration::from_secs(60);

/// Kills a pod and removes all of it from this node.
pub(super) fn remove(call: &Call<'_>, pod: String) -> anyhow::Result<Reply> {
    let node = call.node;
    node.pods.remove(&pod);
    node.engines.begin(Order::Remove { pod }, DEADLINE)?.finish(|_, _| Ok(None))
}
