//! What CRIU's images say about a pod.

use std::path::Path;
use std::time::Duration;

use anyhow::Context;
use criu::image::Schema;
use engine::Engine;
use model::Capture;
use model::message::{ImagesOf, Part};

/// Descriptors of the messages of the CRIU under test.
const SCHEMA: &str = "/criu/schema.binpb";

/// Reads the images; those of a dump made for this only are gone afterwards.
pub(super) fn images(engine: &Engine, pod: &Part, of: ImagesOf) -> anyhow::Result<Capture> {
    let schema = schema()?;
    Ok(match of {
        ImagesOf::Checkpoint => state::images::read(&engine.images(&pod.pod)?, &schema)?,
        ImagesOf::AnotherDump { deadline_ms } => {
            let deadline = Duration::from_millis(deadline_ms);
            let dump = engine.dump_again(&pod.pod, &pod.containers, deadline)?;
            state::images::read(dump.containers(), &schema)?
        }
    })
}

/// The schema of the CRIU under test.
pub(super) fn schema() -> anyhow::Result<Schema> {
    let bytes = fs_err::read(Path::new(SCHEMA))?;
    Schema::from_descriptor_set(&bytes).with_context(|| format!("schema {SCHEMA}"))
}
