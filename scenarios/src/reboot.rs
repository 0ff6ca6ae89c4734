//! Reboot: a pod is checkpointed, its node reboots for real, and the pod comes back.
//!
//! Nothing but the data disk survives: a new QEMU runs firmware, kernel and init again.

use model::Activity;
use model::message::Shutdown;
use runner::scenario::{Scenario, Variant};
use runner::stage::{NodeName, Stage, Stop};

use crate::{DATA_MIB, judge};

/// Where faults can strike.
const ACTIVITIES: &[Activity] = &[Activity::Checkpoint, Activity::Restore];

/// The scenario.
pub const REBOOT: Scenario = Scenario {
    name: "reboot",
    summary: "checkpoint, reboot the node, restore",
    has_target: true,
    variants: &[ORDERLY, POWER_CUT],
};

const ORDERLY: Variant = Variant {
    name: "orderly",
    summary: "the node flushes and unmounts before it goes down",
    observed: false,
    activities: ACTIVITIES,
    story: |stage| Box::pin(orderly(stage)),
};

const POWER_CUT: Variant = Variant {
    name: "power-cut",
    summary: "the power goes as soon as the checkpoint is done; what was not flushed is lost",
    observed: false,
    activities: ACTIVITIES,
    story: |stage| Box::pin(power_cut(stage)),
};

const NODE: NodeName = NodeName("node");

async fn orderly(stage: &mut Stage) -> Result<(), Stop> {
    stage.node(NODE, DATA_MIB)?;
    stage.fork(NODE).await?;
    stage.start(NODE).await?;
    stage.checkpoint(NODE).await?;
    stage.shut_down(NODE, Shutdown::Reboot).await?;

    stage.target(NODE)?;
    stage.boot(NODE).await?;
    stage.restore(NODE).await?;
    judge(stage, NODE).await
}

async fn power_cut(stage: &mut Stage) -> Result<(), Stop> {
    stage.node(NODE, DATA_MIB)?;
    stage.fork(NODE).await?;
    stage.start(NODE).await?;
    stage.checkpoint(NODE).await?;
    stage.cut_power(NODE).await?;

    stage.target(NODE)?;
    stage.boot(NODE).await?;
    stage.restore(NODE).await?;
    judge(stage, NODE).await
}
