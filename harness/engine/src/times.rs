//! The times of a pod's files, kept so that nobody in the pod sees that CRIU has worked there: it
//! makes deleted files and sockets again, and a folder of its own in `/tmp`, at a dump as at a
//! restore.

use std::collections::BTreeMap;
use std::fs::Metadata;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use model::pod::PodSpec;
use nix::fcntl::AT_FDCWD;
use nix::sys::stat::{UtimensatFlags, utimensat};
use nix::sys::time::TimeSpec;

use crate::error::{About, Error};
use crate::store::Places;

/// Access and modification time.
type Pair = (TimeSpec, TimeSpec);

/// The times of all files of a pod at one moment.
pub(crate) struct Times(Vec<Tree>);

/// One folder. For an upper layer, with the image that lies below it.
struct Tree {
    folder: PathBuf,
    image: Option<PathBuf>,
    files: BTreeMap<PathBuf, Pair>,
}

impl Times {
    /// Writes down the times of a pod that does not run.
    ///
    /// # Errors
    /// What cannot be looked at.
    pub(crate) fn of(places: &Places, spec: &PodSpec) -> Result<Times, Error> {
        let shm = Tree::of(places.shm.clone(), None);
        let roots = spec.containers.iter().map(|container| {
            Tree::of(places.container(&container.name).upper, Some(container.image.clone()))
        });
        [shm].into_iter().chain(roots).collect::<Result<_, _>>().map(Times)
    }

    /// Keeps to these files of the pod's `/dev/shm`: others may be changed by whoever runs in the pod.
    pub(crate) fn keep_shared(&mut self, files: &[PathBuf]) {
        if let Some(shm) = self.0.first_mut() {
            shm.files.retain(|path, _| files.contains(path));
        }
    }

    /// Gives the files that are still there their times again. A folder that is new, because the
    /// overlay has copied it up, gets those of the image's.
    ///
    /// # Errors
    /// What the kernel says.
    pub(crate) fn put_back(&self) -> Result<(), Error> {
        self.0.iter().try_for_each(Tree::put_back)
    }
}

impl Tree {
    fn of(folder: PathBuf, image: Option<PathBuf>) -> Result<Tree, Error> {
        let mut files = BTreeMap::new();
        let walked = walk(&folder, Path::new(""), &mut |path, metadata| {
            files.insert(path.to_path_buf(), times(metadata));
            Ok(())
        });
        walked.about("look through", &folder)?;
        Ok(Tree { folder, image, files })
    }

    fn put_back(&self) -> Result<(), Error> {
        let walked = walk(&self.folder, Path::new(""), &mut |path, metadata| {
            let before = self.files.get(path).copied().or_else(|| self.of_image(path, metadata));
            match before.filter(|before| *before != times(metadata)) {
                Some((accessed, modified)) => {
                    let flags = UtimensatFlags::NoFollowSymlink;
                    let path = self.folder.join(path);
                    Ok(utimensat(AT_FDCWD, &path, &accessed, &modified, flags)?)
                }
                None => Ok(()),
            }
        });
        walked.about("put back times in", &self.folder)
    }

    fn of_image(&self, path: &Path, metadata: &Metadata) -> Option<Pair> {
        let below = std::fs::symlink_metadata(self.image.as_ref()?.join(path)).ok()?;
        (metadata.is_dir() && below.is_dir()).then(|| times(&below))
    }
}

fn times(metadata: &Metadata) -> Pair {
    let accessed = TimeSpec::new(metadata.atime(), metadata.atime_nsec());
    (accessed, TimeSpec::new(metadata.mtime(), metadata.mtime_nsec()))
}

/// Shows every file at and below `path` in `folder`, what is in a folder before the folder.
fn walk(
    folder: &Path,
    path: &Path,
    each: &mut dyn FnMut(&Path, &Metadata) -> io::Result<()>,
) -> io::Result<()> {
    let place = folder.join(path);
    let metadata = fs_err::symlink_metadata(&place)?;
    if metadata.is_dir() {
        for entry in fs_err::read_dir(&place)? {
            walk(folder, &path.join(entry?.file_name()), each)?;
        }
    }
    each(path, &metadata)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn modified(path: &Path) -> i64 {
        fs_err::symlink_metadata(path).expect("there").mtime()
    }

    fn set(path: &Path, seconds: i64) {
        let time = TimeSpec::new(seconds, 5);
        utimensat(AT_FDCWD, path, &time, &time, UtimensatFlags::NoFollowSymlink).expect("set");
    }

    #[test]
    fn times_come_back_and_a_copied_up_folder_gets_those_of_the_image() {
        let (upper, image) =
            (tempfile::tempdir().expect("folder"), tempfile::tempdir().expect("folder"));
        let kept = upper.path().join("kept");
        std::fs::create_dir(&kept).expect("made");
        std::fs::create_dir(image.path().join("tmp")).expect("made");
        std::os::unix::fs::symlink("/nowhere", kept.join("link")).expect("made");
        for (path, seconds) in
            [(image.path().join("tmp"), 7), (kept.join("link"), 8), (kept.clone(), 9)]
        {
            set(&path, seconds);
        }
        let tree = Tree::of(upper.path().into(), Some(image.path().into())).expect("looked");
        std::fs::write(kept.join("new"), "x").expect("written");
        std::fs::create_dir(upper.path().join("tmp")).expect("made");
        set(&kept.join("link"), 100);
        tree.put_back().expect("put back");
        assert_eq!(modified(&kept), 9);
        assert_eq!(modified(&kept.join("link")), 8);
        assert_eq!(modified(&upper.path().join("tmp")), 7);
        assert!(modified(&kept.join("new")) > 1000);
    }
}
