//! `cryolab archive chain`: whether archives are still what they were.

use std::path::Path;

use anyhow::{Context as _, anyhow};
use engine::forensic::{Chain, Source};

use super::REFUSED;
use crate::arguments::archive::ChainOf;
use crate::print;
use crate::status::Exit;

/// Verifies a chain with its archives, after one was added where that is asked for.
pub(crate) fn run(wanted: &ChainOf) -> Result<(), Exit> {
    let path = &wanted.file;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let folder = folder.unwrap_or(Path::new("."));
    if wanted.add.is_none() && !path.exists() {
        return Err(Exit::usage(anyhow!("{}: there is no such file", path.display())));
    }
    let refused = |error: anyhow::Error| Exit {
        code: REFUSED,
        error: anyhow!("{}: {error}", path.display()),
    };
    let mut chain = Chain::load(path).map_err(|error| refused(error.into()))?;
    chain.verify(wanted.head.as_deref()).map_err(|error| refused(error.into()))?;
    if let Some(archive) = &wanted.add {
        chain.add(&beside(archive, folder)?);
    }
    chain.verify_archives(folder).map_err(|error| refused(error.into()))?;
    if wanted.add.is_some() {
        chain.save(path).context("write the chain")?;
    }
    let (links, head) = (chain.links.len(), chain.head().unwrap_or("nothing"));
    print(&format!("{}: whole: {links} archives, ends with {head}\n", path.display()))?;
    Ok(())
}

/// An archive that stands in the folder of its chain.
fn beside(archive: &Path, folder: &Path) -> Result<Source, Exit> {
    let usage = |why: String| Exit::usage(anyhow!("{}: {why}", archive.display()));
    let source = Source::of(archive).map_err(|error| usage(error.to_string()))?;
    let place = |path: &Path| path.canonicalize().map_err(|error| usage(error.to_string()));
    if place(&folder.join(&source.archive))? != place(archive)? {
        return Err(usage(format!("it does not stand in {}", folder.display())));
    }
    Ok(source)
}
