//! Pages of a pod that came back, and what they were.

use anyhow::ensure;
use engine::Engine;
use model::message::{FoundPage, MOST_PAGES, Part, WantedPage};

use super::images::schema;

/// Looks into pages of a pod that is restored and frozen.
pub(super) fn pages(
    engine: &Engine,
    pod: &Part,
    wanted: &[WantedPage],
) -> anyhow::Result<Vec<FoundPage>> {
    let count = wanted.len();
    ensure!(count <= MOST_PAGES, "{count} pages at once, at most {MOST_PAGES} are told");
    let images = engine.restored_images(&pod.pod, &pod.containers)?;
    let status = engine.status_of(&pod.pod, &pod.containers)?;
    Ok(state::pages(&status, &images, &schema()?, wanted)?)
}
