//! Reboot: a pod is checkpointed, its node reboots for real, and the pod comes back.
//!
//! Nothing but the data disk survives: a new QEMU runs firmware, kernel and init again.

use model::Activity;
use model::message::Shutdown;
use runner::scenario::{Scenario, Variant, Wants};
use runner::stage::{NodeName, Stage, Stop};

use crate::{DATA_MIB, judge};

/// Where faults can strike.
const ACTIVITIES: &[Activity] = &[Activity::Checkpoint, Activity::Restore];

/// The scenario.
pub const REBOOT: Scenario = Scenario {
    name: "reboot",
    summary: "checkpoint, reboot the node, restore",
    has_target: true,
    variants: &[ORDERLY, POWER_CUT, PROFILE_MISSING],
};

const ORDERLY: Variant = Variant {
    name: "orderly",
    summary: "the node flushes and unmounts before it goes down",
    wants: Wants::Nothing,
    activities: ACTIVITIES,
    story: |stage| Box::pin(orderly(stage)),
};

const POWER_CUT: Variant = Variant {
    name: "power-cut",
    summary: "the power goes as soon as the checkpoint is done; what was not flushed is lost",
    wants: Wants::Nothing,
    activities: ACTIVITIES,
    story: |stage| Box::pin(power_cut(stage)),
};

const PROFILE_MISSING: Variant = Variant {
    name: "profile-missing",
    summary: "nobody loads the AppArmor profile again: the restore is refused",
    wants: Wants::Profile,
    activities: &[],
    story: |stage| Box::pin(profile_missing(stage)),
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

async fn profile_missing(stage: &mut Stage) -> Result<(), Stop> {
    stage.node(NODE, DATA_MIB)?;
    stage.fork(NODE).await?;
    stage.start(NODE).await?;
    stage.checkpoint(NODE).await?;
    stage.shut_down(NODE, Shutdown::Reboot).await?;

    stage.boot(NODE).await?;
    stage.load_no_profile();
    stage.restore(NODE).await?;
    judge(stage, NODE).await
}
