//! In place: checkpoint and restore on the same boot. The quick one, for spoiling things often.

use model::Activity;
use model::Phase;
use runner::scenario::{Scenario, Variant, Wants};
use runner::stage::{Befall, NodeName, Stage, Stop};

use crate::{DATA_MIB, judge};

/// Where faults can strike.
const ACTIVITIES: &[Activity] = &[Activity::Checkpoint, Activity::Restore];

/// The scenario.
pub const IN_PLACE: Scenario = Scenario {
    name: "in-place",
    summary: "checkpoint, then restore on the same boot",
    has_target: false,
    variants: &[ONCE, WIRE_CUT],
};

const ONCE: Variant = Variant {
    name: "once",
    summary: "one checkpoint, one restore",
    wants: Wants::Nothing,
    activities: ACTIVITIES,
    story: |stage| Box::pin(once(stage)),
};

const WIRE_CUT: Variant = Variant {
    name: "wire-cut",
    summary: "the same, with a client on another node whose wire is cut meanwhile",
    wants: Wants::Observer,
    activities: ACTIVITIES,
    story: |stage| Box::pin(wire_cut(stage)),
};

const NODE: NodeName = NodeName("node");
const CLIENT: NodeName = NodeName("client");

async fn once(stage: &mut Stage) -> Result<(), Stop> {
    stage.node(NODE, DATA_MIB)?;
    stage.fork(NODE).await?;
    stage.start(NODE).await?;
    stage.checkpoint(NODE).await?;
    stage.restore(NODE).await?;
    judge(stage, NODE).await
}

async fn wire_cut(stage: &mut Stage) -> Result<(), Stop> {
    stage.node(NODE, DATA_MIB)?;
    stage.node(CLIENT, DATA_MIB)?;
    stage.wire(NODE, CLIENT)?;
    stage.fork(NODE).await?;
    stage.fork(CLIENT).await?;
    stage.route(CLIENT, NODE).await?;
    stage.start(NODE).await?;
    stage.observe(CLIENT).await?;
    stage.when(Phase::Frozen, Befall::Cut(NODE, CLIENT));
    stage.when(Phase::PostResume, Befall::Heal(NODE, CLIENT));
    stage.checkpoint(NODE).await?;
    stage.restore(NODE).await?;
    judge(stage, NODE).await
}
