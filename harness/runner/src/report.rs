//! Reports: pure functions of the events of a run.

mod hexdump;
mod junit;
mod progress;
mod side_by_side;
mod table;
mod tally;

use std::io;
use std::path::Path;

pub use self::junit::junit;
pub use self::progress::Progress;
pub use self::side_by_side::{SideBySideError, side_by_side};
pub use self::table::table;
pub use self::tally::Tally;
use crate::event::Recorded;
use crate::results::Results;

/// Draws the reports that a run's folder holds: `results.json` and `junit.xml`.
///
/// # Errors
/// When a file could not be written.
pub fn write(folder: &Path, events: &[Recorded]) -> io::Result<Results> {
    let results = Results::of(events);
    fs_err::write(folder.join("results.json"), json(&results)?)?;
    fs_err::write(folder.join("junit.xml"), junit(&results).map_err(io::Error::other)?)?;
    Ok(results)
}

/// `results.json` as text.
///
/// # Errors
/// Never for results that were drawn from events.
pub fn json(results: &Results) -> io::Result<String> {
    let mut text = serde_json::to_string_pretty(results)?;
    text.push('\n');
    Ok(text)
}
