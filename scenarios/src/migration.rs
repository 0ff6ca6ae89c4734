//! Migration: a pod goes from one node to another; the two share no disk.
//!
//! Its address moves with it, so that a connection from a third node goes on.

use model::Activity;
use runner::scenario::{Scenario, Variant, Wants};
use runner::stage::{NodeName, Stage, Stop};

use crate::{DATA_MIB, judge};

/// The scenario.
pub const MIGRATION: Scenario = Scenario {
    name: "migration",
    summary: "checkpoint on one node, restore on another",
    activities: &[Activity::Checkpoint, Activity::Give, Activity::Take, Activity::Restore],
    variants: &[STOP_COPY],
};

const STOP_COPY: Variant = Variant {
    name: "stop-copy",
    summary: "the pod stands still while all of it goes over the wire",
    wants: Wants::Nothing,
    story: |stage| Box::pin(stop_copy(stage)),
};

const SOURCE: NodeName = NodeName("source");
const TARGET: NodeName = NodeName("target");
const CLIENT: NodeName = NodeName("client");

async fn stop_copy(stage: &mut Stage) -> Result<(), Stop> {
    let is_observed = stage.workload().observer.is_some();
    stage.node(SOURCE, DATA_MIB)?;
    stage.node(TARGET, DATA_MIB)?;
    stage.wire(SOURCE, TARGET)?;
    if is_observed {
        stage.node(CLIENT, DATA_MIB)?;
        stage.wire(CLIENT, SOURCE)?;
        stage.wire(CLIENT, TARGET)?;
        stage.fork(CLIENT).await?;
    }
    stage.fork(SOURCE).await?;
    stage.fork(TARGET).await?;
    if is_observed {
        stage.route(CLIENT, SOURCE).await?;
    }
    stage.start(SOURCE).await?;
    if is_observed {
        stage.observe(CLIENT).await?;
    }
    stage.checkpoint(SOURCE).await?;
    stage.hand_over(SOURCE, TARGET).await?;
    if is_observed {
        stage.route(CLIENT, TARGET).await?;
    }
    stage.restore(TARGET).await?;
    judge(stage, TARGET).await
}
