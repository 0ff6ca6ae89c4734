//! Folders of entries and the files in them.

use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use fs_err as fs;

/// The file of an entry that is locked by whoever uses it. Its time, or the folder's where that is
/// later, says when the entry was last used.
pub(super) const LOCK: &str = "lock";

/// What the name of a folder has that is being made or removed: `.NAME.partial-RANDOM`.
pub(super) const PARTIAL: &str = ".partial-";

/// The finished entries in a folder, sorted.
pub(super) fn finished(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let hidden = |path: &PathBuf| name(path).starts_with('.');
    Ok(folders(folder)?.into_iter().filter(|path| !hidden(path)).collect())
}

/// The folders in a folder, sorted.
pub(super) fn folders(path: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            found.push(entry.path());
        }
    }
    found.sort();
    Ok(found)
}

/// The last part of a path, for people and for names beside it.
pub(super) fn name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// When an entry was last used.
pub(super) fn last_used(entry: &Path) -> io::Result<SystemTime> {
    let of_folder = fs::metadata(entry)?.modified()?;
    let of_lock = fs::metadata(entry.join(LOCK)).and_then(|lock| lock.modified());
    Ok(of_lock.map_or(of_folder, |time| time.max(of_folder)))
}

/// The entry's own time says when it was last used; a cache that is read-only still serves.
pub(super) fn mark_used(entry: &Path) {
    let _ = fs::File::open(entry).and_then(|folder| folder.file().set_modified(SystemTime::now()));
}

/// Bytes on disk of all files below `path`: less than their lengths where they have holes.
pub(crate) fn size(path: &Path) -> io::Result<u64> {
    let metadata = fs::symlink_metadata(path)?;
    if !metadata.is_dir() {
        return Ok(metadata.blocks() * 512);
    }
    fs::read_dir(path)?.map(|entry| size(&entry?.path())).sum()
}

/// All files below a folder, sorted.
pub(crate) fn files(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            found.extend(files(&entry.path())?);
        } else {
            found.push(entry.path());
        }
    }
    found.sort();
    Ok(found)
}

/// Writes all files and folders below `path` to the disk.
pub(super) fn flush(path: &Path) -> io::Result<()> {
    let metadata = fs::symlink_metadata(path)?;
    if metadata.is_dir() {
        for entry in fs::read_dir(path)? {
            flush(&entry?.path())?;
        }
    }
    if metadata.is_dir() || metadata.is_file() {
        fs::File::open(path)?.sync_all()?;
    }
    Ok(())
}
