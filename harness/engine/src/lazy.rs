//! Pages that come later: a pod runs here while most of its memory is still on the node that it came
//! from.
//!
//! Whoever touches a page that is not here waits, and the daemon of its container brings it; the others
//! it brings by and by. A wire that is cut for a while makes them wait longer, no more. When the pages
//! cannot come any more, the pod must not run on: the kernel would fill in zeroes and nobody would be
//! told (see [`crate::host::PageDaemon`]). So it is ended, and that is told: what it did since it ran
//! here is lost, and its checkpoint is whole where it came from.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use model::pod::ContainerStatus;
use serde::{Deserialize, Serialize};

use crate::archive::{self, ArchiveError, Opened};
use crate::engine::Engine;
use crate::error::{About, Error};
use crate::handover::lazy;
use crate::host::{Host, PageDaemon, PageProgram};
use crate::watch::Progress;

/// How long a guard may take to end once its daemon is told to.
const END_LIMIT: Duration = Duration::from_secs(20);

/// What of a pod on pages to come stands in its record.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Awaiting {
    /// The daemons that bring them.
    pub(crate) daemons: Vec<PageDaemon>,
}

/// Pages of a pod that are on their way.
pub(crate) struct Lazily<'a> {
    engine: &'a Engine,
    from: SocketAddr,
    archive: PathBuf,
    thin: PathBuf,
    word: String,
    sha256: String,
    daemons: Vec<(String, PageDaemon)>,
}

impl<'a> Lazily<'a> {
    /// Opens the thin archive that was taken for an archive of this name.
    pub(crate) fn open(
        engine: &'a Engine,
        archive: &Path,
        from: SocketAddr,
    ) -> Result<(Lazily<'a>, Opened), Error> {
        let refused = |path: &Path, source| Error::Archive { path: path.to_owned(), source };
        let missing = || ArchiveError::Manifest("no thin archive of it is here".to_owned());
        let thin = lazy::thin_of(archive)?.ok_or_else(|| refused(archive, missing()))?;
        let (word, thin) = thin;
        let opened = archive::open_thin(&thin);
        let (opened, sha256) = opened.map_err(|source| refused(&thin, source))?;
        check_kernel(engine, &opened.manifest.containers[0].name)?;
        let (archive, daemons) = (archive.to_owned(), Vec::new());
        Ok((Lazily { engine, from, archive, thin, word, sha256, daemons }, opened))
    }

    /// Lets the pages of a container come.
    pub(crate) fn bring(
        &mut self,
        container: &ContainerStatus,
        images: &Path,
        work: &Path,
    ) -> Result<(), Error> {
        let socket = lazy::pages(self.from, &container.name)?;
        let program = self.engine.config().criu.clone();
        let (images, work) = (images.to_owned(), work.to_owned());
        let pages = PageProgram { program, images, work: work.clone(), socket };
        let daemon = self.engine.host().bring_pages(pages, &container.cgroup);
        self.daemons.push((container.name.clone(), daemon.about("bring pages in", &work)?));
        Ok(())
    }

    /// What is noted about them.
    pub(crate) fn note(&self) -> Awaiting {
        Awaiting { daemons: self.daemons.iter().map(|(_, daemon)| *daemon).collect() }
    }

    /// Makes the pod ours: nobody else's, whatever is lost of what is said.
    pub(crate) fn own(&self) -> Result<(), Error> {
        lazy::own(self.from, &self.archive, &self.word, &self.sha256)
    }

    /// Waits until all pages are here.
    pub(crate) fn await_all(&mut self, progress: &Progress<'_>) -> Result<(), Error> {
        let (host, began) = (self.engine.host(), progress.elapsed());
        while let Some((container, daemon)) = self.daemons.first().cloned() {
            let waited = host.await_exit(daemon.guard, progress.left().unwrap_or_default());
            let ended = waited.about("wait for the daemon that brings pages of", &self.thin)?;
            if ended != Some(0) {
                let ran = progress.elapsed().saturating_sub(began);
                let why = match ended {
                    Some(code) => format!("CRIU's lazy-pages daemon ended with {code}"),
                    None => "they took too long".to_owned(),
                };
                return Err(Error::Pages { container, why, ran });
            }
            self.daemons.remove(0);
        }
        Ok(())
    }

    /// Tells that all are here; then nothing of the thin archive is needed any more. Whoever had the
    /// checkpoint keeps it when that is not heard.
    pub(crate) fn finish(self) -> Result<(), Error> {
        let _ = lazy::done(self.from, &self.word);
        archive::remove_file(&self.thin)
    }
}

impl Drop for Lazily<'_> {
    fn drop(&mut self) {
        for (_, daemon) in &self.daemons {
            // What failed before is the one to tell.
            let _ = end(self.engine.host(), *daemon);
        }
    }
}

/// Ends a daemon and whoever waits for its pages.
pub(crate) fn end(host: &dyn Host, daemon: PageDaemon) -> Result<(), Error> {
    let process = Path::new("/proc").join(daemon.daemon.to_string());
    host.end_pages(daemon).about("kill", &process)?;
    host.await_exit(daemon.guard, END_LIMIT).about("wait for the guard of", &process)?;
    Ok(())
}

/// Ends a daemon whose engine is gone, when nobody waits for its pages any more.
pub(crate) fn end_orphan(
    host: &dyn Host,
    daemon: PageDaemon,
    limit: Duration,
) -> Result<(), Error> {
    let process = Path::new("/proc").join(daemon.daemon.to_string());
    host.end_pages(daemon).about("kill", &process)?;
    for pid in [daemon.daemon, daemon.guard] {
        host.await_gone(pid, limit).about("wait for", &process)?;
    }
    Ok(())
}

/// Whether this kernel lets somebody else put pages in, and tells him what becomes of their place.
fn check_kernel(engine: &Engine, container: &str) -> Result<(), Error> {
    let named = |source| Error::Criu { container: container.to_owned(), source };
    if engine.host().criu_features(&engine.criu()).map_err(named)?.lazy_pages {
        return Ok(());
    }
    let why = "this kernel does not let CRIU put pages in later (userfaultfd with its events of fork, \
               remap, remove and unmap; CRIU's feature `lazy_pages`)";
    Err(Error::Unsupported { container: container.to_owned(), why: why.to_owned() })
}
