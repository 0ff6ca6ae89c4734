//! Giving an archive to another node, and taking one.

use std::time::Duration;

use model::message::{HandOver, Reply};

use super::checkpoint::{MARGIN, hear};
use crate::child::Order;
use crate::serve::Call;

/// Carries out one side of a hand-over.
pub(super) fn hand_over(
    call: &Call<'_>,
    side: HandOver,
    deadline_ms: u64,
) -> anyhow::Result<Reply> {
    let order = Order::HandOver { side, deadline_ms };
    let silence = Duration::from_millis(deadline_ms) + MARGIN;
    let mut operation = call.node.engines.begin(order, silence)?;
    operation.finish(|_, message| hear(call, message))
}
