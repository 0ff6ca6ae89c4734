//! A checkpoint as one file.
//!
//! A tar in one zstd frame with a checksum. The first member, `manifest.json`, says what the
//! checkpoint is of, and names every other member with its length and digest; the members follow
//! in the order of their names. All are plain files: what has owners, modes, links and attributes
//! (a root's upper layer, the pod's `/dev/shm`) is a tar of its own, so that its metadata stands
//! under a digest too.
//!
//! ```text
//! manifest.json
//! containers/NAME/images/FILE     CRIU's images
//! containers/NAME/root.tar        upper layer of the container's root
//! containers/NAME/stdin, stdout, stderr      bytes that waited unread
//! shm.tar                         the pod's /dev/shm
//! ```
//!
//! The archive of a checkpoint that was taken in rounds builds on those of the [`rounds`], which are
//! archives of their own beside it: it names each by its SHA-256, and without them it is refused.
//!
//! A [`thin`] archive is one without the pages that can come later. By itself it is nothing: it names
//! the checkpoint that has them, and nobody restores it but with a connection to who has that.
//!
//! An archive may come from a stranger. It is unpacked into a fresh folder, member by member; what
//! is not expected is refused by name, and nothing is written outside that folder.
//!
//! Versions: a reader refuses a manifest of another format, so a new kind of member or a field
//! whose absence would lose state is a new format. Unknown fields are ignored.

use std::path::Path;

use model::pod::PodStatus;

use crate::error::{About, Error};
use crate::remove::remove_tree;

mod manifest;
mod pack;
mod read;
mod rounds;
mod sparse;
#[cfg(test)]
pub(crate) mod tests;
mod thin;
mod tree;
mod write;

pub use manifest::{ContainerRecord, Holds, Manifest, Member, Origin};
pub(crate) use manifest::{FORMAT, PARENT, SHM, image_folder, root_member, stream_member};
pub(crate) use pack::pack;
pub use read::{ArchiveError, show, verify};
pub(crate) use read::{Opened, open, open_thin, unpack};
pub(crate) use rounds::{
    ROUNDS, beside as round_beside, clear_strays, is_sha256, link_before, parents,
};
pub(crate) use thin::write as write_thin;
pub(crate) use tree::{
    Listed, list as list_tree, unpack as unpack_tree, unpack_but as unpack_tree_but,
};
#[cfg(test)]
pub(crate) use write::Written;
pub(crate) use write::{digest_file, digest_members, flush_folder, folder_of, sha256, write};

/// Drops the members that were gathered or unpacked in a work folder, and the rounds below it; CRIU's
/// logs stay.
pub(crate) fn forget_members(work: &Path, pod: &PodStatus) -> Result<(), Error> {
    remove_file(&work.join(SHM))?;
    remove_tree(&work.join(ROUNDS))?;
    for container in &pod.containers {
        remove_tree(&work.join(image_folder(&container.name)))?;
        remove_file(&work.join(root_member(&container.name)))?;
    }
    Ok(())
}

/// Removes a file; it may be missing.
pub(crate) fn remove_file(path: &Path) -> Result<(), Error> {
    match fs_err::remove_file(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        other => other.about("remove", path),
    }
}

/// An archive that says it holds more than there is room for is not even begun.
pub(crate) fn check_space(opened: &Opened, folder: &Path) -> Result<(), Error> {
    let space = nix::sys::statvfs::statvfs(folder).about("look at", folder)?;
    let free = space.blocks_available().saturating_mul(space.fragment_size());
    if opened.bytes() <= free {
        return Ok(());
    }
    let why = format!("{} bytes to unpack, {free} bytes free", opened.bytes());
    Err(std::io::Error::new(std::io::ErrorKind::StorageFull, why)).about("unpack into", folder)
}
