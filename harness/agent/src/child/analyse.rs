//! What an archive holds, as JSON.

use std::path::Path;

use anyhow::Context;
use engine::forensic::{self, Wanted};
use model::message::Sought;

use super::images::schema;

/// Where archives are unpacked for a look into them: beside them, as there is room for one.
const SCRATCH: &str = "analysis";

/// Looks into an archive, and says what changed since an earlier one.
pub(super) fn analyse(
    archive: &Path,
    against: Option<&Path>,
    wanted: Sought,
) -> anyhow::Result<String> {
    let schema = schema()?;
    let scratch = archive.with_file_name(SCRATCH);
    fs_err::create_dir_all(&scratch)?;
    let wanted = Wanted { texts: wanted.texts, regexes: wanted.regexes };
    let analysis = forensic::analyse(archive, &schema, &scratch, &wanted).and_then(|analysis| {
        let Some(earlier) = against else { return Ok(analysis) };
        let earlier = forensic::analyse(earlier, &schema, &scratch, &Wanted::default())?;
        Ok(analysis.since(&earlier))
    });
    fs_err::remove_dir(&scratch)?;
    serde_json::to_string(&analysis?).context("what was found as JSON")
}
