//! Quick start: a pod is checkpointed when its long beginning is over, and started again from there,
//! as many times as one likes.
//!
//! The copies are pods of their own, with other names, hostnames and addresses, and all of them run
//! at the same time.

use runner::scenario::{Scenario, Variant, Wants};
use runner::stage::{NodeName, Stage, Stop};

use crate::DATA_MIB;

/// The scenario.
pub const QUICK_START: Scenario = Scenario {
    name: "quick-start",
    summary: "copies of a pod start from one checkpoint of it",
    has_target: false,
    variants: &[COPIES],
};

const COPIES: Variant = Variant {
    name: "copies",
    summary: "all at once, each in a pod of its own",
    wants: Wants::Nothing,
    activities: &[],
    story: |stage| Box::pin(copies(stage)),
};

const NODE: NodeName = NodeName("node");
const CLIENT: NodeName = NodeName("client");

async fn copies(stage: &mut Stage) -> Result<(), Stop> {
    let is_observed = stage.workload().observer.is_some();
    stage.node(NODE, DATA_MIB)?;
    if is_observed {
        stage.node(CLIENT, DATA_MIB)?;
        stage.wire(CLIENT, NODE)?;
        stage.fork(CLIENT).await?;
    }
    stage.fork(NODE).await?;
    if is_observed {
        stage.route(CLIENT, NODE).await?;
        stage.time_answers(CLIENT);
    }
    stage.start(NODE).await?;
    stage.checkpoint(NODE).await?;

    let copies = stage.copies();
    stage.time_copies(NODE, &copies).await?;
    for copy in &copies {
        stage.restore_copy(NODE, copy).await?;
        stage.compare()?;
        stage.compare_images()?;
        if is_observed {
            stage.observe(CLIENT).await?;
        }
    }
    stage.compare_copies(NODE).await?;
    stage.outside().await?;
    for copy in &copies {
        stage.turn_to(copy)?;
        stage.prove(NODE).await?;
    }
    stage.check_hygiene().await
}
