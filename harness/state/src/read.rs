//! Reading files of the kernel, with errors that name them.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};

/// The bytes of a file.
pub(crate) fn bytes(path: impl AsRef<Path>) -> Result<Vec<u8>> {
    let path = path.as_ref();
    whole(path).map_err(|source| Error::read(path, source))
}

/// What `fs::read` does, with half of its system calls: files of the kernel have no size that is
/// worth asking for, and a capture reads a thousand of them.
fn whole(path: &Path) -> io::Result<Vec<u8>> {
    const MOST_ARE_SHORTER: usize = 4096;
    let mut bytes = Vec::with_capacity(MOST_ARE_SHORTER);
    File::open(path)?.take(u64::MAX).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// The text of a file.
pub(crate) fn text(path: impl AsRef<Path>) -> Result<String> {
    bytes(path).map(|bytes| lossless(&bytes))
}

/// The text of a file, or nothing when the kernel has no such file or refuses to show it.
pub(crate) fn text_if_shown(path: impl AsRef<Path>) -> Result<Option<String>> {
    let path = path.as_ref();
    let bytes = shown(whole(path)).map_err(|error| Error::read(path, error))?;
    Ok(bytes.map(|bytes| lossless(&bytes)))
}

/// What was read, or nothing when the kernel has no such file or refuses to show it.
pub(crate) fn shown<T>(read: io::Result<T>) -> io::Result<Option<T>> {
    match read {
        Ok(read) => Ok(Some(read)),
        Err(error) if not_shown(&error) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Where a link leads.
pub(crate) fn link(path: impl AsRef<Path>) -> Result<String> {
    use std::os::unix::ffi::OsStrExt;
    let path = path.as_ref();
    let target = fs::read_link(path).map_err(|source| Error::read(path, source))?;
    Ok(lossless(target.as_os_str().as_bytes()))
}

/// Names in a folder, in order; none when the folder does not exist.
pub(crate) fn names(path: impl AsRef<Path>) -> Result<Vec<String>> {
    let path = path.as_ref();
    let entries = match fs::read_dir(path) {
        Ok(entries) => entries,
        Err(error) if not_shown(&error) => return Ok(Vec::new()),
        Err(error) => return Err(Error::read(path, error)),
    };
    let mut names = Vec::new();
    for entry in entries {
        let entry = entry.map_err(|source| Error::read(path, source))?;
        names.push(entry.file_name().to_string_lossy().into_owned());
    }
    names.sort();
    Ok(names)
}

/// The folders in a folder, in order, as far as its entries say so themselves: those of the kernel's
/// own file systems do.
pub(crate) fn folders(path: impl AsRef<Path>) -> Result<Vec<PathBuf>> {
    let path = path.as_ref();
    let failed = |source| Error::read(path, source);
    let mut folders = Vec::new();
    for entry in fs::read_dir(path).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        if entry.file_type().map_err(failed)?.is_dir() {
            folders.push(entry.path());
        }
    }
    folders.sort();
    Ok(folders)
}

/// Names in a folder that are numbers, in the order of the numbers.
pub(crate) fn numbers(path: impl AsRef<Path>) -> Result<Vec<i32>> {
    let mut numbers: Vec<i32> = names(path)?.iter().filter_map(|name| name.parse().ok()).collect();
    numbers.sort_unstable();
    Ok(numbers)
}

/// Bytes as a text from which they can be told: what is not plain text is escaped.
pub(crate) fn lossless(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) => text.to_owned(),
        Err(_) => bytes.escape_ascii().to_string(),
    }
}

/// A text on one line, as part of a name or as a value.
pub(crate) fn one_line(bytes: &[u8]) -> String {
    lossless(bytes).chars().map(escaped).collect()
}

fn escaped(c: char) -> String {
    if c.is_control() || c == '\\' { c.escape_default().to_string() } else { c.to_string() }
}

fn not_shown(error: &io::Error) -> bool {
    let code = error.raw_os_error().unwrap_or(0);
    error.kind() == io::ErrorKind::NotFound
        || [libc::EINVAL, libc::EACCES, libc::EPERM, libc::EIO, libc::EOPNOTSUPP, libc::ENODEV]
            .contains(&code)
}
