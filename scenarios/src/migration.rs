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
    has_target: true,
    variants: &[STOP_COPY, PRE_COPY, POST_COPY],
};

const STOP_COPY: Variant = Variant {
    name: "stop-copy",
    summary: "the pod stands still while all of it goes over the wire",
    wants: Wants::Nothing,
    activities: &[Activity::Checkpoint, Activity::Give, Activity::Take, Activity::Restore],
    story: |stage| Box::pin(stop_copy(stage)),
};

const PRE_COPY: Variant = Variant {
    name: "pre-copy",
    summary: "memory goes over the wire in rounds while the pod runs; it stands still for the rest",
    wants: Wants::Nothing,
    activities: &[
        Activity::PreDump,
        Activity::Checkpoint,
        Activity::Give,
        Activity::Take,
        Activity::Restore,
    ],
    story: |stage| Box::pin(pre_copy(stage)),
};

const POST_COPY: Variant = Variant {
    name: "post-copy",
    summary: "the pod runs on the target while its pages still come, on demand and by and by",
    wants: Wants::Nothing,
    activities: &[Activity::Checkpoint, Activity::Give, Activity::Take, Activity::Restore],
    story: |stage| Box::pin(post_copy(stage)),
};

const SOURCE: NodeName = NodeName("source");
const TARGET: NodeName = NodeName("target");
const CLIENT: NodeName = NodeName("client");

async fn stop_copy(stage: &mut Stage) -> Result<(), Stop> {
    set_out(stage).await?;
    move_over(stage).await
}

async fn pre_copy(stage: &mut Stage) -> Result<(), Stop> {
    set_out(stage).await?;
    stage.pre_copy(SOURCE, TARGET).await?;
    move_over(stage).await
}

async fn post_copy(stage: &mut Stage) -> Result<(), Stop> {
    set_out(stage).await?;
    stage.checkpoint(SOURCE).await?;
    if stage.workload().observer.is_some() {
        stage.route(CLIENT, TARGET).await?;
    }
    stage.post_copy(SOURCE, TARGET).await?;
    judge(stage, TARGET).await
}

/// The pod runs on the source; from a third node, a client watches it if there is one.
async fn set_out(stage: &mut Stage) -> Result<(), Stop> {
    let is_observed = stage.workload().observer.is_some();
    stage.node(SOURCE, DATA_MIB)?;
    stage.node(TARGET, DATA_MIB)?;
    stage.target(TARGET)?;
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
    Ok(())
}

/// The pod stands still, goes over and runs on the target, with its address.
async fn move_over(stage: &mut Stage) -> Result<(), Stop> {
    stage.checkpoint(SOURCE).await?;
    stage.hand_over(SOURCE, TARGET).await?;
    if stage.workload().observer.is_some() {
        stage.route(CLIENT, TARGET).await?;
    }
    stage.restore(TARGET).await?;
    judge(stage, TARGET).await
}
