//! `cryolab archive analyse`: what a checkpoint holds, without restoring it.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, anyhow};
use engine::Error;
use engine::archive;
use engine::forensic::{self, Analysis, Schema, Wanted};
use vm_images::{Bars, Cache, Images};

use super::page::Page;
use super::{read, refused};
use crate::arguments::archive::Analyse;
use crate::print;
use crate::status::Exit;

/// Analyses an archive, and what changed since another one.
pub(crate) fn run(wanted: &Analyse) -> Result<(), Exit> {
    let sought = Wanted { texts: wanted.search.clone(), regexes: wanted.regex.clone() };
    let mut analysis = analyse(&wanted.file, &sought, wanted.schema.as_deref())?;
    if let Some(earlier) = &wanted.against {
        let earlier = analyse(earlier, &Wanted::default(), wanted.schema.as_deref())?;
        analysis = analysis.since(&earlier);
    }
    if let Some(path) = &wanted.html {
        fs_err::write(path, forensic::html(&analysis)).context("write the page")?;
    }
    let text = match wanted.json {
        true => serde_json::to_string_pretty(&analysis).context("write JSON")? + "\n",
        false => Page(&analysis).to_string(),
    };
    print(&text)?;
    Ok(())
}

fn analyse(file: &Path, wanted: &Wanted, schema: Option<&Path>) -> Result<Analysis, Exit> {
    let manifest = read(file, archive::show)?;
    let schema = self::schema(schema, &manifest.origin.criu)?;
    let scratch = tempfile::tempdir().context("make a scratch folder")?;
    let analysis = forensic::analyse(file, &schema, scratch.path(), wanted);
    analysis.map_err(|error| match &error {
        Error::Archive { source, .. } => refused(file, source),
        Error::Pattern { .. } => Exit::usage(anyhow!("{error}")),
        _ => Exit::from(anyhow!("{error}")),
    })
}

/// The descriptors of the CRIU that made the archive.
fn schema(path: Option<&Path>, version: &str) -> Result<Schema, Exit> {
    let bytes = match path {
        Some(path) => fs_err::read(path).map_err(Exit::usage)?,
        None => {
            let cache = Cache::open().context("open the cache of images")?;
            let images = Images::new(cache, Arc::new(Bars::default()));
            images.nearest_schema(version).context("look for the schema of its CRIU")?
        }
    };
    Ok(Schema::from_descriptor_set(&bytes).context("read the schema")?)
}
