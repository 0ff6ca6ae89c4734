//! Scenarios: short stories about what befalls a pod, in the harness's words.
//!
//! Each story is a module and a value in [`ALL`]. It plays on a [`runner::stage::Stage`], which
//! brings hooks, captures, logs, times and evidence along, so that a story says only what happens.

pub mod forensic;
pub mod in_place;
pub mod migration;
pub mod quick_start;
pub mod reboot;

use runner::scenario::Scenario;
use runner::stage::{NodeName, Stage, Stop};

/// All scenarios.
pub const ALL: &[Scenario] = &[
    reboot::REBOOT,
    quick_start::QUICK_START,
    migration::MIGRATION,
    forensic::FORENSIC,
    in_place::IN_PLACE,
];

/// The scenarios that run when the user names none.
pub const DEFAULT: &[&str] = &["reboot", "quick-start", "migration", "forensic"];

/// Size of the disk that survives; its file is sparse.
pub(crate) const DATA_MIB: u64 = 2048;

/// What every story ends with: was all the same, does it still work, and was nothing left behind?
///
/// # Errors
/// When a level could not be judged, or something was left.
pub async fn judge(stage: &mut Stage, node: NodeName) -> Result<(), Stop> {
    stage.compare()?;
    stage.compare_images()?;
    // The workload proves itself when nobody asks it for anything else.
    stage.outside().await?;
    stage.prove(node).await?;
    stage.check_hygiene().await
}
