//! Handing a pod over before its pages: it runs on the other node while most of them are still here.
//!
//! ```text
//!  giver                                         taker, which draws a word W
//!  NAME                  <- Copy
//!                        -> a thin archive       NAME.lazy-W, flushed
//!                        <- Pages { container }  restored, and frozen; pages come by a connection of
//!                        -> Pages                their own, to CRIU's page server
//!                        <- Own { W }
//!  NAME becomes NAME.given-W, flushed            from here on it is the taker's
//!                        -> Yours
//!                                                it runs, and the last pages come
//!                        <- Done { W }           all are there
//!  NAME.given-W is removed
//! ```
//!
//! The file moves its name before the pod runs, as in the other hand-over, so there is never a pod and
//! a NAME. NAME.given-W is a whole checkpoint, on its disk, until the taker has every page: who knows
//! the word can take it like any other ([`super::take`]) when the taker's pod had to be ended.

use std::io;
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

use criu::image::Schema;
use model::Step;
use model::pod::PodSpec;
use nix::sys::socket::{setsockopt, sockopt};

use super::{
    AboutPeer, FromGiver, FromTaker, GIVEN, Gave, Talk, beside, copy, draw_word, is_word, nothing,
    out_of_place, parents, refused,
};
use crate::archive::{self, flush_folder};
use crate::engine::Engine;
use crate::error::{About, Error};
use crate::host::PageProgram;
use crate::remove::remove_tree;
use crate::watch::{Steps, Watch};

/// What stands between an archive's name and the word of who runs its pod on pages to come.
const LAZY: &str = ".lazy-";

/// How long nothing may come from the other node until its pages are given up. A wire that is cut for
/// less loses nothing: TCP sends again, though after a pause that doubles each time.
const SILENCE: Duration = Duration::from_secs(90);

/// So often a silent connection is tried out, in seconds.
const PROBE: u32 = 10;

/// How long a connection or an answer may take.
const ANSWER: Duration = Duration::from_secs(20);

/// How long a page server whose connection has ended may take to end.
const END_LIMIT: Duration = Duration::from_secs(20);

/// A checkpoint of which pages are given away. Dropping it ends the page servers.
#[derive(Debug)]
pub struct Serving<'a> {
    engine: &'a Engine,
    archive: PathBuf,
    file: PathBuf,
    sha256: String,
    folder: PathBuf,
    thin: PathBuf,
    containers: Vec<String>,
    servers: Vec<i32>,
}

impl<'a> Serving<'a> {
    /// Unpacks a checkpoint, that of this name or the one that was given to somebody who may not have
    /// all of its pages, and makes its thin archive.
    ///
    /// # Errors
    /// [`Error::Unsupported`] when it was taken in rounds: CRIU's page server does not look into
    /// images before (criu/page-xfer.c, `fill_page_pipe`).
    pub fn begin(engine: &'a Engine, archive: &Path, schema: &Schema) -> Result<Self, Error> {
        let file = owned_or_given(archive)?;
        let refused = |source| Error::Archive { path: file.clone(), source };
        let opened = archive::open(&file).map_err(refused)?;
        if !opened.manifest.parents.is_empty() {
            let why = "its checkpoint was taken in rounds: CRIU's page server does not look into the \
                       images of rounds, so its pages cannot come later";
            let container = opened.manifest.containers[0].name.clone();
            return Err(Error::Unsupported { container, why: why.to_owned() });
        }
        let folder = engine.config().state.join("serving");
        let (whole, scratch) = (folder.join("whole"), folder.join("scratch"));
        remove_tree(&folder)?;
        fs_err::create_dir_all(&whole).about("make", &whole)?;
        archive::check_space(&opened, &whole)?;
        let mut read = std::fs::File::open(&file).about("open", &file)?;
        let sha256 = archive::sha256(&mut read).about("read", &file)?;
        let manifest = archive::unpack(opened, &whole).map_err(refused)?;
        let thin = folder.join("thin.tar.zst");
        archive::write_thin(&thin, (&manifest, &sha256), (&whole, &scratch), schema)?;
        let containers = manifest.containers.into_iter().map(|it| it.name).collect();
        let archive = archive.to_owned();
        Ok(Serving { engine, archive, file, sha256, folder, thin, containers, servers: Vec::new() })
    }

    /// Serves one connection. Steps: `send`, `give` (the pod is the taker's when that is done),
    /// `forget`.
    ///
    /// # Errors
    /// What failed. As long as there is a file called as the archive, it is ours.
    pub fn answer(&mut self, peer: TcpStream, watch: &mut dyn Watch) -> Result<Gave, Error> {
        let copy_of = peer.try_clone().about_peer("talk to")?;
        let (mut talk, mut steps) = (Talk::with(peer), Steps::default());
        match parents::hear(&mut talk, &self.archive, "the taker's question")? {
            FromTaker::Copy => {
                steps.begin(Step::Send, watch);
                copy::give_copy(&mut talk, &self.thin)?;
                steps.end(watch);
                Ok(Gave::Served)
            }
            FromTaker::Pages { container } => {
                self.serve(&mut talk, copy_of, &container)?;
                Ok(Gave::Served)
            }
            FromTaker::Own { word, sha256 } if is_word(&word) => {
                self.give(&mut talk, &word, &sha256, &mut steps, watch)?;
                Ok(Gave::Given)
            }
            FromTaker::Done { word } if is_word(&word) => {
                let given = beside(&self.archive, GIVEN, &word);
                steps.begin(Step::Forget, watch);
                if given.exists() {
                    parents::forget(&self.archive, &given)?;
                }
                steps.end(watch);
                // It asks again when it does not hear that, or is told later.
                let _ = talk.say(&FromGiver::Same);
                Ok(Gave::Thanked)
            }
            said => Err(out_of_place(&said)),
        }
    }

    /// Leaves the connection to a page server.
    fn serve(
        &mut self,
        talk: &mut Talk<TcpStream>,
        socket: TcpStream,
        container: &str,
    ) -> Result<(), Error> {
        if !self.containers.iter().any(|name| name == container) {
            talk.say(&FromGiver::Nothing)?;
            return Err(refused(&self.file, "serve pages of", "it has no such container"));
        }
        let images = self.folder.join("whole").join(archive::image_folder(container));
        let work = images.parent().unwrap_or(&images).to_path_buf();
        for_pages(&socket).about_peer("set up the connection to")?;
        talk.say(&FromGiver::Pages)?;
        let program = self.engine.config().criu.clone();
        let pages = PageProgram { program, images, work, socket };
        let server = self.engine.host().serve_pages(pages);
        self.servers.push(server.about("start the page server of", &self.file)?);
        Ok(())
    }

    fn give(
        &self,
        talk: &mut Talk<TcpStream>,
        word: &str,
        sha256: &str,
        steps: &mut Steps,
        watch: &mut dyn Watch,
    ) -> Result<(), Error> {
        let given = beside(&self.archive, GIVEN, word);
        let is_given = given.exists();
        if sha256 != self.sha256 || !(is_given || self.archive.exists()) {
            talk.say(&FromGiver::Nothing)?;
            return Err(refused(&self.archive, "give", "it is not here, or is another one by now"));
        }
        steps.begin(Step::Give, watch);
        if !is_given {
            fs_err::rename(&self.archive, &given).about("rename", &self.archive)?;
            flush_folder(&self.archive)?;
        }
        steps.end(watch);
        talk.say(&FromGiver::Yours)
    }
}

impl Drop for Serving<'_> {
    fn drop(&mut self) {
        let host = self.engine.host();
        for server in &self.servers {
            // Each ends with its connection; nothing depends on one any more.
            let ended = host.await_exit(*server, Duration::ZERO);
            if !matches!(ended, Ok(Some(_))) {
                let _ = host.signal(*server, libc::SIGKILL);
                let _ = host.await_exit(*server, END_LIMIT);
            }
        }
        let _ = remove_tree(&self.folder);
    }
}

/// The checkpoint of this name, or what was given of it and may not have arrived as a whole.
fn owned_or_given(archive: &Path) -> Result<PathBuf, Error> {
    if archive.exists() {
        return Ok(archive.to_owned());
    }
    let given = super::named(archive, GIVEN)?.map(|(_, path)| path);
    given.ok_or_else(|| refused(archive, "give", "it is not here"))
}

/// The thin archive that is here, with its word.
pub(crate) fn thin_of(archive: &Path) -> Result<Option<(String, PathBuf)>, Error> {
    super::named(archive, LAZY)
}

/// The pod that can run before its pages, of which a thin archive is here.
#[must_use]
pub fn pod_to_come(archive: &Path) -> Option<PodSpec> {
    let (_, thin) = thin_of(archive).ok().flatten()?;
    archive::show(&thin).ok().map(|manifest| manifest.pod)
}

/// Gets the thin archive of a checkpoint from whoever gives its pod over. Steps: `receive`, `keep`.
/// Its length.
///
/// # Errors
/// What failed; a word that was drawn before stays the word.
pub fn take_thin(archive: &Path, peer: TcpStream, watch: &mut dyn Watch) -> Result<u64, Error> {
    if archive.exists() {
        return Err(refused(archive, "take", "there is an archive of this name already"));
    }
    let word = thin_of(archive)?.map_or_else(draw_word, |(word, _)| Ok(word))?;
    let fresh = beside(archive, ".thin.partial", "");
    archive::remove_file(&fresh)?;
    let bytes = copy::copy(&fresh, peer, watch)?;
    let thin = beside(archive, LAZY, &word);
    fs_err::rename(&fresh, &thin).about("rename", &fresh)?;
    flush_folder(archive)?;
    Ok(bytes)
}

/// A connection by which pages of a container come.
pub(crate) fn pages(from: SocketAddr, container: &str) -> Result<TcpStream, Error> {
    let mut talk = connect(from)?;
    talk.say(&FromTaker::Pages { container: container.to_owned() })?;
    match talk.hear("that pages come")? {
        FromGiver::Pages => {}
        said => return Err(out_of_place(&said)),
    }
    let Talk { peer } = talk;
    let socket = peer.into_inner();
    for_pages(&socket).about_peer("set up the connection to")?;
    Ok(socket)
}

/// Asks until the pod is ours. When this fails it may be ours nevertheless: nobody else's, then.
pub(crate) fn own(from: SocketAddr, archive: &Path, word: &str, sha256: &str) -> Result<(), Error> {
    let mut talk = connect(from)?;
    talk.say(&FromTaker::Own { word: word.to_owned(), sha256: sha256.to_owned() })?;
    match talk.hear("that it is ours")? {
        FromGiver::Yours => Ok(()),
        FromGiver::Nothing => Err(nothing(archive)),
        said => Err(out_of_place(&said)),
    }
}

/// Tells that all pages are here.
pub(crate) fn done(from: SocketAddr, word: &str) -> Result<(), Error> {
    let mut talk = connect(from)?;
    talk.say(&FromTaker::Done { word: word.to_owned() })?;
    talk.hear::<FromGiver>("that it was heard").map(drop)
}

fn connect(from: SocketAddr) -> Result<Talk<TcpStream>, Error> {
    let socket = TcpStream::connect_timeout(&from, ANSWER).about_peer("reach")?;
    socket.set_read_timeout(Some(ANSWER)).about_peer("reach")?;
    socket.set_write_timeout(Some(ANSWER)).about_peer("reach")?;
    Ok(Talk::with(socket))
}

/// Lets a connection wait for as long as it takes, unless the other node is silent for too long.
fn for_pages(socket: &TcpStream) -> io::Result<()> {
    socket.set_read_timeout(None)?;
    socket.set_write_timeout(None)?;
    setsockopt(socket, sockopt::KeepAlive, &true)?;
    setsockopt(socket, sockopt::TcpKeepIdle, &PROBE)?;
    setsockopt(socket, sockopt::TcpKeepInterval, &PROBE)?;
    let limit = u32::try_from(SILENCE.as_millis()).unwrap_or(u32::MAX);
    Ok(setsockopt(socket, sockopt::TcpUserTimeout, &limit)?)
}
