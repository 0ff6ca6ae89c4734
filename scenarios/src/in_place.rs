//! In place: checkpoint and restore on the same boot. The quick one, for spoiling things often.

use runner::scenario::{Scenario, Variant};
use runner::stage::{NodeName, Stage, Stop};

use crate::{DATA_MIB, judge};

/// The scenario.
pub const IN_PLACE: Scenario = Scenario {
    name: "in-place",
    summary: "checkpoint, then restore on the same boot",
    variants: &[Variant {
        name: "once",
        summary: "one checkpoint, one restore",
        story: |stage| Box::pin(once(stage)),
    }],
};

const NODE: NodeName = NodeName("node");

async fn once(stage: &mut Stage) -> Result<(), Stop> {
    stage.node(NODE, DATA_MIB)?;
    stage.fork(NODE).await?;
    stage.start(NODE).await?;
    stage.checkpoint(NODE).await?;
    stage.restore(NODE).await?;
    judge(stage, NODE).await
}
