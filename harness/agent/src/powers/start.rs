//! Starting a pod.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use model::message::Reply;
use model::pod::PodSpec;

use crate::child::{FromEngine, Operation, Order};
use crate::node::Node;
use crate::output::Output;
use crate::pods::Streams;
use crate::serve::Call;

/// How long a pod may take to start.
const DEADLINE: Duration = Duration::from_secs(120);

/// Makes a pod and starts its containers.
pub(super) fn start(call: &Call<'_>, pod: PodSpec) -> anyhow::Result<Reply> {
    let node = call.node;
    node.await_modules()?;
    let address = pod.link.as_ref().and_then(|link| link.address.split('/').next());
    let address = address.map(str::to_owned);
    let order = Order::Start { pod };
    let mut operation = node.engines.begin(order, DEADLINE)?;
    let mut streams = BTreeMap::new();
    let reply = operation.finish(|operation, message| {
        if let FromEngine::Streams { container } = message {
            streams.insert(container, take_streams(node, operation, false)?);
        }
        Ok(None)
    })?;
    if let Reply::Pod(status) = &reply {
        node.pods.insert(status, address.as_deref(), streams, &node.reaper);
    }
    Ok(reply)
}

/// Takes the node's ends of a container's streams over.
pub(super) fn take_streams(
    node: &Node,
    operation: &mut Operation,
    paused: bool,
) -> anyhow::Result<Streams> {
    let [stdin, stdout, stderr] = operation.take_streams()?;
    let output = Output::collect(stdout, stderr, paused, Arc::clone(&node.bell))?;
    Ok(Streams { output, _stdin: Arc::new(stdin) })
}
