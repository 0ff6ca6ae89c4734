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
    variants: &[ORDERLY, POWER_CUT, INTO_POD, WHOLE_NODE, PROFILE_MISSING],
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

const INTO_POD: Variant = Variant {
    name: "into-pod",
    summary: "the container comes back into another pod, which runs already",
    wants: Wants::Neighbours,
    activities: &[],
    story: |stage| Box::pin(into_pod(stage)),
};

const WHOLE_NODE: Variant = Variant {
    name: "node",
    summary: "a whole node with several pods goes down and comes back",
    wants: Wants::Nothing,
    activities: &[],
    story: |stage| Box::pin(whole_node(stage)),
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

async fn into_pod(stage: &mut Stage) -> Result<(), Stop> {
    stage.node(NODE, DATA_MIB)?;
    stage.fork(NODE).await?;
    stage.start(NODE).await?;
    stage.checkpoint(NODE).await?;
    stage.shut_down(NODE, Shutdown::Reboot).await?;

    stage.target(NODE)?;
    stage.boot(NODE).await?;
    stage.start_neighbour(NODE).await?;
    stage.restore_into_neighbour(NODE).await?;
    stage.compare()?;
    stage.compare_images()?;
    stage.outside().await?;
    stage.prove(NODE).await?;
    stage.prove_neighbour(NODE).await?;
    stage.check_hygiene().await
}

async fn whole_node(stage: &mut Stage) -> Result<(), Stop> {
    stage.node(NODE, DATA_MIB)?;
    stage.fork(NODE).await?;
    let pods = stage.pods();
    for pod in &pods {
        stage.start_pod_of(NODE, pod).await?;
    }
    for pod in &pods {
        stage.checkpoint_of(NODE, pod).await?;
    }
    stage.shut_down(NODE, Shutdown::Reboot).await?;

    stage.target(NODE)?;
    stage.boot(NODE).await?;
    for pod in &pods {
        stage.restore_of(NODE, pod).await?;
        stage.compare()?;
        stage.compare_images()?;
    }
    stage.outside().await?;
    for pod in &pods {
        stage.turn_to(pod)?;
        stage.prove(NODE).await?;
    }
    stage.check_hygiene().await
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
