//! Files of `/dev/shm` that come into a pod which has one.
//!
//! What is there already stays: where a container that comes has a file of the same name, it must be
//! the same file. CRIU would look at its length alone.

use std::collections::BTreeSet;
use std::fs::{File, Metadata};
use std::io::{self, BufReader, Read};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::unistd::{UnlinkatFlags, unlinkat};

use crate::archive;
use crate::error::{About, Error};
use crate::within::{self, Links};

/// What an archive has of `/dev/shm`, held against that of a pod.
pub(super) struct Shared {
    /// The tar.
    tar: PathBuf,
    /// Paths that the pod has, the same in both.
    there: BTreeSet<PathBuf>,
    /// Paths that are to come, what is in a folder after the folder.
    pub(super) new: Vec<PathBuf>,
}

impl Shared {
    /// Looks what is there. The tar is unpacked in `scratch` for that, which is to be removed.
    ///
    /// # Errors
    /// The first file that is another in the pod: `Ok(Err(path))`.
    pub(super) fn of(
        tar: &Path,
        scratch: &Path,
        shm: &Path,
    ) -> Result<Result<Shared, PathBuf>, Error> {
        fs_err::create_dir_all(scratch).about("make", scratch)?;
        let refused = |source| Error::Archive { path: tar.to_path_buf(), source };
        let input = BufReader::new(File::open(tar).about("open", tar)?);
        archive::unpack_tree(scratch, input).map_err(refused)?;
        let (ours, theirs) = (within::open_folder(scratch), within::open_folder(shm));
        let (ours, theirs) = (ours.about("open", scratch)?, theirs.about("open", shm)?);
        let (mut there, mut new) = (BTreeSet::new(), Vec::new());
        for path in paths(scratch, Path::new("")).about("look through", scratch)? {
            match is_same(&ours, &theirs, &path).about("compare with", shm.join(&path))? {
                None => new.push(path),
                Some(true) => drop(there.insert(path)),
                Some(false) => return Ok(Err(path)),
            }
        }
        // The folder itself.
        there.insert(PathBuf::new());
        Ok(Ok(Shared { tar: tar.to_path_buf(), there, new }))
    }

    /// Puts the new files into the pod's.
    pub(super) fn put(&self, shm: &Path) -> Result<(), Error> {
        let input = BufReader::new(File::open(&self.tar).about("open", &self.tar)?);
        let unpacked = archive::unpack_tree_but(shm, input, &self.there);
        unpacked.map_err(|source| Error::Archive { path: self.tar.clone(), source })
    }
}

/// Takes files out of a pod's `/dev/shm` again, as far as they are there, and with them what a CRIU that
/// was killed has left. A folder in which the pod has put something stays.
pub(super) fn take_back(shm: &Path, files: &[PathBuf]) -> Result<(), Error> {
    let folder = within::open_folder(shm).about("open", shm)?;
    let mut ghosts = paths(shm, Path::new("")).about("look through", shm)?;
    ghosts.retain(|path| is_ghost(path));
    for path in ghosts.iter().chain(files.iter().rev()) {
        match remove(&folder, path) {
            Err(Errno::ENOENT | Errno::ENOTEMPTY) => {}
            other => other.about("remove", shm.join(path))?,
        }
    }
    Ok(())
}

/// Whether this is the name under which CRIU makes a deleted file again, until it is open
/// (criu/files-reg.c, `open_remap_ghost`): nobody else calls files so.
fn is_ghost(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let number = name.strip_suffix(".ghost").and_then(|name| name.rsplit_once(".cr."));
    number.is_some_and(|(_, number)| u32::from_str_radix(number, 16).is_ok())
}

fn remove(folder: &OwnedFd, path: &Path) -> Result<(), Errno> {
    let parent = within::parent_of(folder, path, Links::Refused);
    let errno = |error: io::Error| Errno::from_raw(error.raw_os_error().unwrap_or_default());
    let (parent, name) = parent.map_err(errno)?;
    match unlinkat(&parent, name, UnlinkatFlags::NoRemoveDir) {
        Err(Errno::EISDIR) => unlinkat(&parent, name, UnlinkatFlags::RemoveDir),
        other => other,
    }
}

/// Everything below a folder, what is in a folder after the folder.
fn paths(root: &Path, below: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(root.join(below))? {
        let entry = entry?;
        let path = below.join(entry.file_name());
        found.push(path.clone());
        if entry.file_type()?.is_dir() {
            found.extend(paths(root, &path)?);
        }
    }
    Ok(found)
}

/// Whether a file is the same in both folders; nothing when it is in the first only.
fn is_same(ours: &OwnedFd, theirs: &OwnedFd, path: &Path) -> io::Result<Option<bool>> {
    let look =
        |folder| within::open(folder, path, OFlag::O_PATH | OFlag::O_NOFOLLOW, Links::Refused);
    let their = match look(theirs) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        other => File::from(other?).metadata()?,
    };
    let our = File::from(look(ours)?).metadata()?;
    let (kind, other) = (our.file_type(), their.file_type());
    if kind.is_dir() {
        return Ok(Some(other.is_dir()));
    }
    let rights = |it: &Metadata| (it.mode(), it.uid(), it.gid(), it.len());
    let alike = rights(&our) == rights(&their);
    match alike && kind.is_file() {
        true => {
            let flags = OFlag::O_RDONLY | OFlag::O_NONBLOCK | OFlag::O_NOFOLLOW;
            let open = |folder| within::open(folder, path, flags, Links::Refused).map(File::from);
            have_same_content(open(ours)?, open(theirs)?).map(Some)
        }
        false => Ok(Some(alike && (kind.is_fifo() || kind.is_socket()))),
    }
}

fn have_same_content(one: File, other: File) -> io::Result<bool> {
    let (mut one, mut other) = (BufReader::new(one), BufReader::new(other));
    let (mut page, mut other_page) = ([0; 4096], [0; 4096]);
    loop {
        let (read, other_read) = (fill(&mut one, &mut page)?, fill(&mut other, &mut other_page)?);
        if page[..read] != other_page[..other_read] {
            return Ok(false);
        }
        if read == 0 {
            return Ok(true);
        }
    }
}

/// Reads until the page is full, or the file ends.
fn fill(input: &mut impl Read, page: &mut [u8]) -> io::Result<usize> {
    let mut length = 0;
    while length < page.len() {
        match input.read(&mut page[length..])? {
            0 => break,
            read => length += read,
        }
    }
    Ok(length)
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;

    fn folder() -> TempDir {
        tempfile::tempdir().expect("a folder")
    }

    /// A tar of a folder with these files, beside it.
    fn packed(files: &[(&str, &str)]) -> TempDir {
        let folder = folder();
        let tree = folder.path().join("tree");
        for (name, content) in files {
            let path = tree.join(name);
            fs_err::create_dir_all(path.parent().expect("a parent")).expect("made");
            fs_err::write(path, content).expect("written");
        }
        let file = File::create(folder.path().join("shm.tar")).expect("created");
        archive::pack(&tree, io::BufWriter::new(file)).expect("packed");
        folder
    }

    fn held(packed: &TempDir, shm: &Path) -> Result<Shared, PathBuf> {
        let tar = packed.path().join("shm.tar");
        Shared::of(&tar, &packed.path().join("scratch"), shm).expect("held against the pod's")
    }

    #[test]
    fn what_the_pod_has_stays_and_what_is_new_can_be_taken_back() {
        let packed = packed(&[("a/new", "1"), ("a/same", "2"), ("b/new", "3")]);
        let shm = folder();
        fs_err::create_dir(shm.path().join("a")).expect("made");
        fs_err::write(shm.path().join("a/same"), "2").expect("written");
        fs_err::write(shm.path().join("own"), "4").expect("written");
        let before = std::fs::metadata(shm.path().join("a/same")).expect("there").ino();
        let shared = held(&packed, shm.path()).expect("nothing is another");
        shared.put(shm.path()).expect("put");
        let text = |name: &str| std::fs::read_to_string(shm.path().join(name)).expect(name);
        assert_eq!([text("a/new"), text("b/new"), text("own")], ["1", "3", "4"]);
        assert_eq!(std::fs::metadata(shm.path().join("a/same")).expect("there").ino(), before);
        fs_err::write(shm.path().join("b/of the pod"), "5").expect("written");
        fs_err::write(shm.path().join("b/new.cr.1f.ghost"), "6").expect("written");
        take_back(shm.path(), &shared.new).expect("taken back");
        take_back(shm.path(), &shared.new).expect("once more, for nothing");
        for name in ["a/new", "b/new", "b/new.cr.1f.ghost"] {
            assert!(!shm.path().join(name).exists(), "{name}");
        }
        assert_eq!([text("a/same"), text("own"), text("b/of the pod")], ["2", "4", "5"]);
    }

    #[test]
    fn a_file_of_the_same_length_and_other_content_is_another() {
        let packed = packed(&[("named", "one")]);
        let shm = folder();
        fs_err::write(shm.path().join("named"), "two").expect("written");
        assert_eq!(held(&packed, shm.path()).err(), Some(PathBuf::from("named")));
    }

    #[test]
    fn a_link_in_the_pod_leads_nowhere() {
        let (packed, outside) = (packed(&[("folder/file", "x")]), folder());
        let shm = folder();
        std::os::unix::fs::symlink(outside.path(), shm.path().join("folder")).expect("linked");
        assert_eq!(held(&packed, shm.path()).err(), Some(PathBuf::from("folder")));
        assert_eq!(std::fs::read_dir(outside.path()).expect("read").count(), 0);
    }
}
