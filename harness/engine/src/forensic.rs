//! A look into a checkpoint without restoring it and without CRIU: what ran, what it had open, whom
//! it spoke to, what stood in its memory.
//!
//! [`analyse`] unpacks an archive into a scratch folder, reads CRIU's images there by the schema of
//! the CRIU that wrote them, and makes an [`Analysis`]: plain data, whose JSON is `forensic.json`.
//! [`html`] draws it as a page for people, [`differences`] says what changed between two checkpoints
//! of the same pod, and a [`Chain`] shows whether archives are still what they were when they were
//! taken.
//!
//! Nobody vouches for an archive. One that is not whole is refused by the member's name. What is whole
//! and yet makes no sense is told in [`Analysis::unread`], by the image's name, and the rest is
//! analysed all the same. What is kept of it is bounded: rows, texts and matches are counted, and
//! what is beyond a bound is told.

use std::path::Path;

use crate::archive::{self, Manifest};
use crate::error::{About, Error};
use crate::remove::remove_tree;

mod analysis;
mod chain;
mod container;
mod deleted;
mod differences;
mod digest;
mod files;
mod html;
mod mappings;
mod memory;
mod pages;
mod processes;
mod root;
mod search;
mod sockets;
mod table;
#[cfg(test)]
mod tests;
mod tree;

pub use analysis::{
    Analysis, Change, ChangedFile, Content, DeletedFile, Differences, Found, Holder, Mapping,
    Memory, OpenFile, Process, Searched, Socket, Sought, Source, Thread, Unread,
};
pub use chain::{Chain, ChainError, Link};
pub use criu::image::Schema;
pub use differences::differences;
pub use html::html;
pub use search::{LONGEST_MATCH, Wanted};

/// Looks into an archive. `scratch` is a folder in which there is room for all that the archive
/// holds; nothing stays there.
///
/// # Errors
/// [`Error::Archive`] when the archive is refused, [`Error::Pattern`] when something wanted cannot
/// be searched for, and [`Error::File`] when the scratch folder cannot take it.
pub fn analyse(
    archive: &Path,
    schema: &Schema,
    scratch: &Path,
    wanted: &Wanted,
) -> Result<Analysis, Error> {
    let patterns = search::Patterns::new(wanted)?;
    let refused = |source| Error::Archive { path: archive.to_path_buf(), source };
    let opened = archive::open(archive).map_err(refused)?;
    let folder = scratch.join("members");
    remove_tree(&folder)?;
    fs_err::create_dir_all(&folder).about("make", &folder)?;
    let analysis = (|| {
        archive::check_space(&opened, &folder)?;
        let manifest = archive::unpack(opened, &folder).map_err(refused)?;
        let source = Source::new(archive, &manifest)?;
        Ok(look(source, &manifest, &folder, schema, patterns))
    })();
    let removed = remove_tree(&folder);
    let analysis = analysis?;
    removed.map(|()| analysis)
}

impl Analysis {
    /// This analysis with what changed since an earlier checkpoint of the same pod, whose archive
    /// comes before this one in the chain.
    #[must_use]
    pub fn since(mut self, earlier: &Analysis) -> Analysis {
        self.differences = Some(differences(earlier, &self));
        let mut chain = Chain::default();
        chain.add(&earlier.source);
        chain.add(&self.source);
        self.chain = chain.links;
        self
    }
}

impl Source {
    /// Which archive it is. Of its members, only the manifest is looked at.
    ///
    /// # Errors
    /// [`Error::Archive`] when it is refused, [`Error::File`] when it cannot be read.
    pub fn of(archive: &Path) -> Result<Source, Error> {
        let manifest = archive::show(archive);
        let refused = |source| Error::Archive { path: archive.to_path_buf(), source };
        Source::new(archive, &manifest.map_err(refused)?)
    }

    fn new(archive: &Path, manifest: &Manifest) -> Result<Source, Error> {
        let file = digest::file(archive).about("read", archive)?;
        let name = archive.file_name().unwrap_or_default().to_string_lossy().into_owned();
        Ok(Source {
            archive: name,
            bytes: file.bytes,
            sha256: file.sha256,
            modified_s: file.modified_s,
            pod: manifest.pod.name.clone(),
            hostname: manifest.pod.hostname.clone(),
            kernel: manifest.origin.kernel.clone(),
            arch: manifest.origin.arch.clone(),
            criu: manifest.origin.criu.clone(),
        })
    }
}

/// Looks at members that were unpacked and verified.
fn look(
    source: Source,
    manifest: &Manifest,
    folder: &Path,
    schema: &Schema,
    patterns: search::Patterns,
) -> Analysis {
    let mut looker = container::Looker::new(schema, patterns);
    for record in &manifest.containers {
        looker.container(&record.name, folder);
    }
    looker.shm(folder);
    let mut analysis = looker.done(source);
    let mut chain = Chain::default();
    chain.add(&analysis.source);
    analysis.chain = chain.links;
    analysis
}
