//! Bringing order into what engines that died have left.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::bail;
use model::message::{Recovered, Reply};
use model::pod::PodStatus;

use crate::child::Order;
use crate::node::Node;
use crate::output::Output;
use crate::pods::Streams;
use crate::serve::Call;
use crate::sync::lock;

/// How long that may take: a CRIU that has lost its engine undoes what it did.
const DEADLINE: Duration = Duration::from_secs(120);

/// Ends whatever operation is under way, and brings order into what is left.
pub(super) fn recover(call: &Call<'_>, archives: PathBuf) -> anyhow::Result<Reply> {
    let node = call.node;
    node.engines.end_all();
    let recovered = order(node, archives)?;
    node.pods.keep(&recovered.pods);
    Ok(Reply::Recovered(recovered))
}

/// An engine has died over a restore. What was its node's already, a pod or some containers of one, is
/// taken in with the streams that it has; what was not is gone.
pub(super) fn after_restore(
    node: &Node,
    archives: PathBuf,
    address: Option<&str>,
    streams: BTreeMap<String, Streams>,
) -> anyhow::Result<()> {
    let recovered = order(node, archives)?;
    let is_new = |pod: &PodStatus, name: &str| !node.pods.knows(&pod.name, name);
    let has_new = |pod: &PodStatus| pod.containers.iter().any(|it| is_new(pod, &it.name));
    match recovered.pods.into_iter().find(has_new) {
        Some(mut pod) => {
            let known = pod.clone();
            pod.containers.retain(|container| is_new(&known, &container.name));
            streams.values().for_each(|streams| streams.output.resume());
            node.pods.insert(&pod, address, streams, &node.reaper);
        }
        None => streams.values().for_each(|streams| Output::abandon(&streams.output)),
    }
    Ok(())
}

fn order(node: &Node, archives: PathBuf) -> anyhow::Result<Recovered> {
    let _alone = lock(&node.recovering);
    let mut operation = node.engines.begin(Order::Recover { archives }, DEADLINE)?;
    match operation.finish(|_, _| Ok(None))? {
        Reply::Recovered(recovered) => Ok(recovered),
        other => bail!("the engine answers {other:?} to the order to recover"),
    }
}
