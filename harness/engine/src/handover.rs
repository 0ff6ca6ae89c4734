//! Moving an archive to another node, so that at every moment at most one node may restore its pod,
//! even when the last message is lost.
//!
//! ```text
//!  giver                                         taker, which draws a word W
//!  NAME                  <- Ask { W }
//!                        -> Archive, its bytes
//!                                                NAME.arriving-W, flushed
//!                        <- Have { digest }
//!  NAME becomes NAME.given-W, flushed            from here on it is the taker's
//!                        -> Yours
//!                                                NAME.arriving-W becomes NAME, flushed
//!                        <- Thanks
//!  NAME.given-W is removed
//! ```
//!
//! Only a file that is called NAME is ever restored. Who gives renames first, so there is never a
//! NAME on both sides; when `Yours` is lost there is none on either, until the taker, which has all
//! of it, asks again by its word and is told `Yours` again. Nobody else is: the word stands in the
//! name of what was given. What was given once is in nobody's way: an archive that is called NAME
//! later is another one. The rounds on which a checkpoint builds ([`parents`]) go over before it is
//! the taker's, those that the taker does not have. Until `Thanks` has come the giver keeps its file, so that two nodes of
//! which one is lost still have one whole archive between them.

use std::fmt::Debug;
use std::fs::File;
use std::io::{self, BufRead, BufReader, ErrorKind, Read, Write};
use std::path::{Path, PathBuf};

use model::Step;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::archive::{Member, digest_file, flush_folder, folder_of, remove_file};
use crate::error::{About, Error};
use crate::watch::{Steps, Watch};

/// Longest message.
const MESSAGE_BYTES: u64 = 4096;

/// Bytes that are passed on at once.
const PIECE: usize = 256 << 10;

mod copy;
pub(crate) mod lazy;
mod parents;

pub use copy::{copy, lend};
pub use lazy::{Serving, pod_to_come, take_thin};

/// What the taker says.
#[derive(Debug, Serialize, Deserialize)]
enum FromTaker {
    /// Give me the archive; or, where I have all of it, say that it is mine.
    Ask { word: String, have: Option<Member> },
    /// Give me a round on which the archive builds.
    Parent { sha256: String },
    /// This has arrived and is flushed, with all on which it builds.
    Have { content: Member },
    /// It is called NAME now.
    Thanks,
    /// Let me have a copy: it stays yours.
    Copy,
    /// Let the pages of a container come by this connection.
    Pages { container: String },
    /// All but its pages is here, and ready to run: let the pod of this checkpoint be mine.
    Own { word: String, sha256: String },
    /// All of its pages are here.
    Done { word: String },
}

/// What the giver says.
#[derive(Debug, Serialize, Deserialize)]
enum FromGiver {
    /// So many bytes follow.
    Archive { bytes: u64 },
    /// What you have is yours: it is not restored here any more.
    Yours,
    /// The archive of this name is here, and is not what you have: that was never given.
    Other,
    /// There is no archive of this name here for you.
    Nothing,
    /// What you have is the same as what is here.
    Same,
    /// From here on it is CRIU's page server that speaks.
    Pages,
}

/// How far giving came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gave {
    /// It is the taker's, who said so.
    Thanked,
    /// It is the taker's, who may not know.
    Given,
    /// The taker got something by which nobody owns a pod.
    Served,
}

const GIVEN: &str = ".given-";
const ARRIVING: &str = ".arriving-";

/// Digits of a word.
const WORD: usize = 32;

/// The archive's name with something after it.
fn beside(archive: &Path, what: &str, word: &str) -> PathBuf {
    let mut name = archive.file_name().unwrap_or_default().to_owned();
    name.push(what);
    name.push(word);
    archive.with_file_name(name)
}

/// The archive that has arrived and was not claimed yet, with its word, if there is one.
fn arrived(archive: &Path) -> Result<Option<(String, PathBuf)>, Error> {
    named(archive, ARRIVING)
}

/// The file called as an archive with something and a word after it, if there is one.
fn named(archive: &Path, what: &str) -> Result<Option<(String, PathBuf)>, Error> {
    let folder = folder_of(archive);
    let head = beside(Path::new(archive.file_name().unwrap_or_default()), what, "");
    let head = head.to_string_lossy();
    for entry in fs_err::read_dir(folder).about("list", folder)? {
        let entry = entry.about("list", folder)?;
        let name = entry.file_name();
        let word = name.to_str().and_then(|name| name.strip_prefix(&*head));
        if let Some(word) = word.filter(|word| is_word(word)) {
            return Ok(Some((word.to_owned(), entry.path())));
        }
    }
    Ok(None)
}

/// Whether a file of this name is an archive that was given to another node.
pub(crate) fn is_given(name: &str) -> bool {
    name.rsplit_once(GIVEN).is_some_and(|(_, word)| is_word(word))
}

/// It becomes part of a file's name.
fn is_word(word: &str) -> bool {
    word.len() == WORD && word.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

fn draw_word() -> Result<String, Error> {
    let source = Path::new("/dev/urandom");
    let mut bytes = [0; WORD / 2];
    File::open(source).and_then(|mut file| file.read_exact(&mut bytes)).about("read", source)?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// Serves one taker. Steps: `send`, `give` (the archive is the taker's when that is done), `forget`.
///
/// # Errors
/// What failed. As long as there is a file called `archive`, it is ours.
pub fn give(archive: &Path, peer: impl Read + Write, watch: &mut dyn Watch) -> Result<Gave, Error> {
    let (mut talk, mut steps) = (Talk::with(peer), Steps::default());
    let (word, have) = match parents::hear(&mut talk, archive, "the taker's question")? {
        FromTaker::Ask { word, have } if is_word(&word) => (word, have),
        said => return Err(out_of_place(&said)),
    };
    let given = beside(archive, GIVEN, &word);
    // Who knows the word is who it was given to, and may have lost what it had.
    let is_given = given.exists();
    if !is_given && !archive.exists() {
        talk.say(&FromGiver::Nothing)?;
        return Err(refused(archive, "give", "it is not here, or was given to another node"));
    }
    let have = match have {
        Some(have) => have,
        None => {
            steps.begin(Step::Send, watch);
            talk.send_file(if is_given { &given } else { archive })?;
            match parents::hear(&mut talk, archive, "that all has arrived")? {
                FromTaker::Have { content } => content,
                said => return Err(out_of_place(&said)),
            }
        }
    };
    if have != digest_file(if is_given { &given } else { archive })? {
        talk.say(&FromGiver::Other)?;
        return Err(refused(archive, "give", "what the taker has is another archive"));
    }
    steps.begin(Step::Give, watch);
    if !is_given {
        fs_err::rename(archive, &given).about("rename", archive)?;
        flush_folder(archive)?;
    }
    steps.end(watch);
    // From here on the archive is the taker's, whatever happens to the messages.
    match talk.say(&FromGiver::Yours).and_then(|()| talk.hear("thanks")) {
        Ok(FromTaker::Thanks) => {}
        _ => return Ok(Gave::Given),
    }
    steps.begin(Step::Forget, watch);
    parents::forget(archive, &given)?;
    steps.end(watch);
    Ok(Gave::Thanked)
}

/// Takes an archive from whoever gives it, and returns its length in bytes. Steps: `receive`,
/// `claim` (it is ours, and called so, when that is done). When the way there is broken this can be
/// called again, and goes on from what has arrived as a whole.
///
/// # Errors
/// What failed, or that there is a file called `archive` before: that is an archive of our own.
/// As long as there is none, the giver's is not ours.
pub fn take(archive: &Path, peer: impl Read + Write, watch: &mut dyn Watch) -> Result<u64, Error> {
    if archive.exists() {
        return Err(refused(archive, "take", "there is an archive of this name already"));
    }
    let (mut talk, mut steps) = (Talk::with(peer), Steps::default());
    let (arriving, content) = match arrived(archive)? {
        Some((word, arriving)) => {
            let content = digest_file(&arriving)?;
            parents::complete(&mut talk, archive, &arriving)?;
            talk.say(&FromTaker::Ask { word, have: Some(content.clone()) })?;
            (arriving, content)
        }
        None => {
            // A pod that ran on pages to come, and had to be ended, was given by its word.
            let word = lazy::thin_of(archive)?.map_or_else(draw_word, |(word, _)| Ok(word))?;
            let arriving = beside(archive, ARRIVING, &word);
            talk.say(&FromTaker::Ask { word, have: None })?;
            steps.begin(Step::Receive, watch);
            let content = receive(&mut talk, archive, &arriving)?;
            parents::complete(&mut talk, archive, &arriving)?;
            steps.end(watch);
            talk.say(&FromTaker::Have { content: content.clone() })?;
            (arriving, content)
        }
    };
    match talk.hear("that it is ours")? {
        FromGiver::Yours => {}
        FromGiver::Other => {
            fs_err::remove_file(&arriving).about("remove", &arriving)?;
            return Err(refused(archive, "take", "the giver has another archive by now"));
        }
        // Nobody else may have what has arrived: it stays.
        FromGiver::Nothing => return Err(nothing(archive)),
        said @ (FromGiver::Archive { .. } | FromGiver::Same | FromGiver::Pages) => {
            return Err(out_of_place(&said));
        }
    }
    steps.begin(Step::Claim, watch);
    fs_err::rename(&arriving, archive).about("rename", &arriving)?;
    flush_folder(archive)?;
    steps.end(watch);
    if let Some((_, thin)) = lazy::thin_of(archive)? {
        remove_file(&thin)?;
    }
    // It is ours: that the giver does not hear it costs a file there.
    let _ = talk.say(&FromTaker::Thanks);
    Ok(content.bytes)
}

/// Receives a file, which has its name when it is whole and flushed; nothing stays otherwise.
fn receive(
    talk: &mut Talk<impl Read + Write>,
    archive: &Path,
    arriving: &Path,
) -> Result<Member, Error> {
    let bytes = match talk.hear("the archive")? {
        FromGiver::Archive { bytes } => bytes,
        FromGiver::Nothing => return Err(nothing(archive)),
        said => return Err(out_of_place(&said)),
    };
    let partial = beside(archive, ".partial", "");
    let received = talk.receive_file(bytes, &partial).and_then(|()| digest_file(&partial));
    if received.is_err() {
        // The first failure is the one to tell.
        let _ = fs_err::remove_file(&partial);
    }
    let content = received?;
    fs_err::rename(&partial, arriving).about("rename", &partial)?;
    flush_folder(archive)?;
    Ok(content)
}

/// Messages, one a line, and bytes.
struct Talk<P> {
    peer: BufReader<P>,
}

impl<P: Read + Write> Talk<P> {
    fn with(peer: P) -> Self {
        Talk { peer: BufReader::with_capacity(PIECE, peer) }
    }

    fn say(&mut self, message: &impl Serialize) -> Result<(), Error> {
        let mut line = serde_json::to_vec(message).map_err(io::Error::from).about_peer("tell")?;
        line.push(b'\n');
        let peer = self.peer.get_mut();
        peer.write_all(&line).and_then(|()| peer.flush()).about_peer("tell")
    }

    fn hear<T: DeserializeOwned>(&mut self, what: &'static str) -> Result<T, Error> {
        let mut line = Vec::new();
        self.peer.by_ref().take(MESSAGE_BYTES).read_until(b'\n', &mut line).about_peer("hear")?;
        if line.last() != Some(&b'\n') {
            let why = format!("the connection ended before {what}");
            return Err(io::Error::new(ErrorKind::UnexpectedEof, why)).about_peer("hear");
        }
        serde_json::from_slice(&line).map_err(io::Error::from).about_peer("understand")
    }

    fn send_file(&mut self, path: &Path) -> Result<(), Error> {
        let file = File::open(path).about("open", path)?;
        let bytes = file.metadata().about("look at", path)?.len();
        self.say(&FromGiver::Archive { bytes })?;
        let sent = io::copy(&mut file.take(bytes), self.peer.get_mut());
        sent.and_then(|_| self.peer.get_mut().flush()).about_peer("send the archive to")
    }

    fn receive_file(&mut self, bytes: u64, path: &Path) -> Result<(), Error> {
        let mut file = File::create(path).about("create", path)?;
        let copied = io::copy(&mut self.peer.by_ref().take(bytes), &mut file);
        let copied = copied.about("receive", path)?;
        if copied != bytes {
            let why = format!("{} bytes of {bytes} are missing", bytes - copied);
            return Err(io::Error::new(ErrorKind::UnexpectedEof, why)).about("receive", path);
        }
        file.sync_all().about("flush", path)
    }
}

fn refused(archive: &Path, action: &'static str, why: &str) -> Error {
    let source = io::Error::new(ErrorKind::InvalidData, why);
    Error::File { action, path: archive.to_owned(), source }
}

fn nothing(archive: &Path) -> Error {
    refused(archive, "take", "the giver does not have it, or has given it to another node")
}

fn out_of_place(said: &impl Debug) -> Error {
    let source = io::Error::new(ErrorKind::InvalidData, format!("{said:?} is out of place"));
    Error::Peer { action: "understand", source }
}

/// Says that it was the other node.
trait AboutPeer<T> {
    fn about_peer(self, action: &'static str) -> Result<T, Error>;
}

impl<T> AboutPeer<T> for io::Result<T> {
    fn about_peer(self, action: &'static str) -> Result<T, Error> {
        self.map_err(|source| Error::Peer { action, source })
    }
}

#[cfg(test)]
mod tests;
