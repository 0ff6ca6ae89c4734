//! Restoring a pod.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use model::Phase;
use model::message::{Destination, Event, Reply};

use super::checkpoint::{MARGIN, hear};
use super::recover;
use super::start::take_streams;
use crate::child::{FromEngine, Order};
use crate::output::Output;
use crate::pods::Streams;
use crate::serve::Call;

/// Makes the archive's pod again, with new pipes, wherever it goes.
///
/// Nothing is read from them until the pod runs: what was unread when it was frozen is still
/// unread when it is observed before its resumption.
pub(super) fn restore(
    call: &Call<'_>,
    archive: PathBuf,
    destination: Destination,
    deadline_ms: u64,
) -> anyhow::Result<Reply> {
    let link = match &destination {
        Destination::As(identity) => identity.link.as_ref(),
        Destination::Same | Destination::Into(_) => None,
    };
    let address = link.and_then(|link| link.address.split('/').next()).map(str::to_owned);
    let archives = folder_of(&archive);
    let order = Order::Restore { archive, destination, deadline_ms };
    revive(call, order, (archives, address), deadline_ms)
}

/// Makes a pod again whose pages come later, with new pipes.
pub(super) fn restore_lazily(
    call: &Call<'_>,
    archive: PathBuf,
    from: SocketAddr,
    deadline_ms: u64,
) -> anyhow::Result<Reply> {
    let archives = folder_of(&archive);
    let order = Order::RestoreLazily { archive, from, deadline_ms };
    revive(call, order, (archives, None), deadline_ms)
}

fn folder_of(archive: &Path) -> PathBuf {
    archive.parent().unwrap_or(Path::new("/")).to_path_buf()
}

/// Lets the engine carry out an order that makes a pod again, which is found there under an address.
fn revive(
    call: &Call<'_>,
    order: Order,
    (archives, address): (PathBuf, Option<String>),
    deadline_ms: u64,
) -> anyhow::Result<Reply> {
    let node = call.node;
    node.await_modules()?;
    let _operating = node.engines.operate();
    let silence = Duration::from_millis(deadline_ms) + MARGIN;
    let mut operation = node.engines.begin(order, silence)?;
    let mut streams: BTreeMap<String, Streams> = BTreeMap::new();
    let reply = operation.finish(|operation, message| match message {
        FromEngine::Streams { container } => {
            streams.insert(container, take_streams(node, operation, true)?);
            Ok(None)
        }
        other => {
            if runs_again(&other) {
                each(&streams, Output::resume);
            }
            hear(call, other)
        }
    });
    match &reply {
        Ok(Reply::Restore(report)) => {
            each(&streams, Output::resume);
            node.pods.insert(&report.pod, address.as_deref(), streams, &node.reaper);
        }
        Err(_) if operation.is_dead() => {
            recover::after_restore(node, archives, address.as_deref(), streams)?;
        }
        _ => each(&streams, Output::abandon),
    }
    reply
}

fn runs_again(message: &FromEngine) -> bool {
    matches!(message, FromEngine::Event(Event::Phase { phase: Phase::PostResume, .. }))
}

fn each(streams: &BTreeMap<String, Streams>, act: fn(&Output)) {
    streams.values().for_each(|streams| act(&streams.output));
}
