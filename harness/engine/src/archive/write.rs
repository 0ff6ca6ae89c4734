//! Writing an archive, so that it is there whole or not at all.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufWriter, Read, Seek, Write};
use std::path::{Path, PathBuf};

use model::Digest;
use sha2::{Digest as _, Sha256};
use tar::{Builder, EntryType, Header};
use xxhash_rust::xxh64::Xxh64;

use super::manifest::{MANIFEST, Manifest, Member};
use crate::error::{About, Error};

/// One of zstd's fast levels: little is gained by more, and a guest under emulation pays for it.
const COMPRESSION_LEVEL: i32 = -3;

/// An archive that is written and on its disk, but does not have its name yet.
#[derive(Debug)]
pub(crate) struct Written {
    partial: PathBuf,
    path: PathBuf,
    /// Length.
    pub(crate) bytes: u64,
    /// SHA-256, in hexadecimal.
    pub(crate) sha256: String,
}

impl Written {
    /// Gives the archive another name than the one that it was written for, and none yet.
    pub(crate) fn called(self, path: PathBuf) -> Self {
        Written { path, ..self }
    }

    /// Gives the archive its name, durably: from here on it exists.
    ///
    /// # Errors
    /// What failed; nothing stays then.
    pub(crate) fn commit(&self) -> Result<(), Error> {
        let committed = self.rename();
        if committed.is_err() {
            // The first failure is the one to tell.
            let _ = fs_err::remove_file(&self.path);
            let _ = fs_err::remove_file(&self.partial);
        }
        committed
    }

    fn rename(&self) -> Result<(), Error> {
        fs_err::rename(&self.partial, &self.path).about("rename", &self.partial)?;
        flush_folder(&self.path)
    }
}

/// The folder that a file is in.
pub(crate) fn folder_of(path: &Path) -> &Path {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    folder.unwrap_or(Path::new("."))
}

/// Makes what befell a file's name durable.
pub(crate) fn flush_folder(path: &Path) -> Result<(), Error> {
    let folder = folder_of(path);
    let opened = File::open(folder).about("open", folder)?;
    opened.sync_all().about("flush", folder)
}

/// Digests of the members that stand in `folder` under their names.
pub(crate) fn digest_members(
    folder: &Path,
    names: impl IntoIterator<Item = String>,
) -> Result<BTreeMap<String, Member>, Error> {
    let members = names.into_iter().map(|name| {
        let member = digest_file(&folder.join(&name))?;
        Ok((name, member))
    });
    members.collect()
}

/// Length and digest of a file.
pub(crate) fn digest_file(path: &Path) -> Result<Member, Error> {
    let mut file = fs_err::File::open(path).about("open", path)?;
    let mut digest = Xxh64::new(0);
    let mut sink = Passing::new(io::sink(), |bytes| digest.update(bytes));
    let bytes = io::copy(&mut file, &mut sink).about("read", path)?;
    Ok(Member { bytes, xxh64: Digest(digest.digest()) })
}

/// Writes an archive of the manifest and its members, which stand in `folder`, beside `path`.
///
/// # Errors
/// What failed; nothing stays then.
pub(crate) fn write(path: &Path, manifest: &Manifest, folder: &Path) -> Result<Written, Error> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let partial = path.with_file_name(format!(".{name}.partial"));
    let written = write_partial(&partial, manifest, folder);
    match written {
        Ok((bytes, sha256)) => Ok(Written { partial, path: path.to_path_buf(), bytes, sha256 }),
        Err(error) => {
            // The first failure is the one to tell.
            let _ = fs_err::remove_file(&partial);
            Err(error)
        }
    }
}

fn write_partial(
    partial: &Path,
    manifest: &Manifest,
    folder: &Path,
) -> Result<(u64, String), Error> {
    let file = File::create(partial).about("create", partial)?;
    let mut digest = Sha256::new();
    let output = BufWriter::with_capacity(1 << 20, file);
    let output = Passing::new(output, |bytes| digest.update(bytes));
    let Passing { inner, bytes, .. } = stream(output, manifest, folder).about("write", partial)?;
    let file = inner.into_inner().map_err(io::IntoInnerError::into_error);
    file.about("write", partial)?.sync_all().about("flush", partial)?;
    Ok((bytes, hex(&digest.finalize())))
}

/// SHA-256 of what a file holds from its begin, in hexadecimal.
pub(crate) fn sha256(file: &mut File) -> io::Result<String> {
    file.rewind()?;
    let mut digest = Sha256::new();
    io::copy(file, &mut digest)?;
    Ok(hex(&digest.finalize()))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The archive as a stream.
fn stream<W: Write>(output: W, manifest: &Manifest, folder: &Path) -> io::Result<W> {
    let mut frame = zstd::Encoder::new(output, COMPRESSION_LEVEL)?;
    frame.include_checksum(true)?;
    let mut tar = Builder::new(frame);
    let text = serde_json::to_vec_pretty(manifest)?;
    append(&mut tar, MANIFEST, text.len() as u64, text.as_slice())?;
    for (name, member) in &manifest.members {
        let content = fs_err::File::open(folder.join(name))?.take(member.bytes);
        append(&mut tar, name, member.bytes, content)?;
    }
    tar.into_inner()?.finish()
}

fn append<W: Write>(
    tar: &mut Builder<W>,
    name: &str,
    bytes: u64,
    content: impl Read,
) -> io::Result<()> {
    let mut header = Header::new_ustar();
    header.set_entry_type(EntryType::Regular);
    header.set_path(name)?;
    header.set_mode(0o600);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header.set_size(bytes);
    header.set_cksum();
    tar.append(&header, content)
}

/// Counts what passes through, and shows it to somebody.
pub(super) struct Passing<W, F> {
    inner: W,
    each: F,
    bytes: u64,
}

impl<W: Write, F: FnMut(&[u8])> Passing<W, F> {
    pub(super) fn new(inner: W, each: F) -> Self {
        Passing { inner, each, bytes: 0 }
    }
}

impl<W: Write, F: FnMut(&[u8])> Write for Passing<W, F> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.inner.write(bytes)?;
        (self.each)(&bytes[..written]);
        self.bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}
