//! Rounds: what of a pod's memory was taken ahead of its checkpoint, while it ran on.
//!
//! ```text
//! NAME                     the checkpoint, which names its rounds by their SHA-256
//! NAME.round-SHA256        the archive of a round
//! ```
//!
//! Such a name is never that of another content, so a round is there or it is not; nobody writes over
//! one on which an older checkpoint builds. By itself it is nothing: a round on which no checkpoint
//! builds that is on the node is removed when order is brought into it.
//!
//! Unpacked, the rounds stand below the checkpoint. CRIU finds the images before some others by a link
//! in their folder; the engine makes it, no archive can bring one along.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};

use fs_err::os::unix::fs::symlink;

use super::manifest::{Holds, Manifest, PARENT, image_folder};
use super::read::show;
use crate::error::{About, Error};

/// Folder of the rounds, below that of the checkpoint.
pub(crate) const ROUNDS: &str = "rounds";

/// What stands between an archive's name and the SHA-256 of a round of it.
const ROUND: &str = ".round-";

/// Digits of a SHA-256.
const DIGITS: usize = 64;

/// The archive of a round of this archive.
pub(crate) fn beside(archive: &Path, sha256: &str) -> PathBuf {
    let mut name = archive.file_name().unwrap_or_default().to_owned();
    name.push(ROUND);
    name.push(sha256);
    archive.with_file_name(name)
}

/// Folder of a round, from 1, below that of the checkpoint.
pub(crate) fn folder(number: usize) -> String {
    format!("{ROUNDS}/{number}")
}

/// It becomes part of a file's name.
pub(crate) fn is_sha256(text: &str) -> bool {
    text.len() == DIGITS && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// Where the images of a container before some others stand, seen from these: those of round `before`
/// seen from the next round, or from the checkpoint.
pub(crate) fn link_before(container: &str, before: usize, is_round: bool) -> String {
    let images = image_folder(container);
    match is_round {
        true => format!("../../../../{before}/{images}"),
        false => format!("../../../{}/{images}", folder(before)),
    }
}

/// Links the images of a checkpoint that was unpacked to those of its rounds.
pub(super) fn link(manifest: &Manifest, unpacked: &Path) -> io::Result<()> {
    if manifest.holds == Holds::Thin {
        return Ok(());
    }
    let last = manifest.parents.len();
    for container in &manifest.containers {
        let images = Path::new(&image_folder(&container.name)).join(PARENT);
        for number in 2..=last {
            let before = link_before(&container.name, number - 1, true);
            symlink(before, unpacked.join(folder(number)).join(&images))?;
        }
        if last > 0 {
            symlink(link_before(&container.name, last, false), unpacked.join(&images))?;
        }
    }
    Ok(())
}

/// Removes archives of rounds on which no checkpoint in this folder builds: those of one checkpoint to
/// be, or all. How many there were.
pub(crate) fn clear_strays(archives: &Path, of: Option<&Path>) -> Result<usize, Error> {
    let entries = fs_err::read_dir(archives).about("list", archives)?;
    let paths = entries.map(|entry| entry.map(|entry| entry.path()).about("list", archives));
    let (rounds, others): (Vec<_>, Vec<_>) =
        paths.collect::<Result<Vec<_>, Error>>()?.into_iter().partition(|path| is_round(path));
    if rounds.is_empty() {
        return Ok(0);
    }
    let files = others.iter().filter(|path| path.is_file());
    let built_on: BTreeSet<String> = files.flat_map(|path| parents(path)).collect();
    let sha256 = |path: &&PathBuf| sha256_of(path).is_some_and(|it| built_on.contains(it));
    let is_of = |path: &&PathBuf| of.is_none_or(|of| of.file_name() == checkpoint_of(path));
    let strays: Vec<&PathBuf> = rounds.iter().filter(|it| is_of(it) && !sha256(it)).collect();
    for stray in &strays {
        fs_err::remove_file(stray).about("remove", stray)?;
    }
    Ok(strays.len())
}

/// The rounds on which a file builds, if it is an archive.
pub(crate) fn parents(file: &Path) -> Vec<String> {
    let shown = show(file).ok().filter(|manifest| manifest.holds != Holds::Thin);
    shown.map(|manifest| manifest.parents).unwrap_or_default()
}

/// Whether this is the archive of a round, or was to become one.
fn is_round(path: &Path) -> bool {
    sha256_part(path).is_some_and(|rest| rest.get(..DIGITS).is_some_and(is_sha256))
}

fn sha256_of(path: &Path) -> Option<&str> {
    sha256_part(path).filter(|rest| is_sha256(rest))
}

/// What the checkpoint is called whose round this is.
fn checkpoint_of(path: &Path) -> Option<&OsStr> {
    path.file_name()?.to_str()?.rsplit_once(ROUND).map(|(name, _)| OsStr::new(name))
}

fn sha256_part(path: &Path) -> Option<&str> {
    path.file_name()?.to_str()?.rsplit_once(ROUND).map(|(_, rest)| rest)
}
