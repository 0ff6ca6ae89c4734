//! A folder with all its metadata as a tar.
//!
//! Owners, modes, times to the nanosecond, links of both kinds, extended attributes, and the
//! overlay's whiteouts (character devices 0, 0). What tar cannot say stands in pax records:
//! attributes as `SCHILY.xattr.NAME`, a socket as `CRYOLAB.kind`, holes of a file as `CRYOLAB.data`.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::{self, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use tar::{Builder, EntryType, Header};

use super::sparse;
use crate::error::{About, Error};

/// Record of an extended attribute, followed by its name.
pub(crate) const XATTR: &str = "SCHILY.xattr.";

/// Record of the kind of file that tar does not know.
pub(crate) const KIND: &str = "CRYOLAB.kind";

/// Writes everything below `folder`, and the folder itself as `.`, in the order of names.
pub(crate) fn pack(folder: &Path, output: impl Write) -> Result<(), Error> {
    let mut packer = Packer { tar: Builder::new(output), linked: BTreeMap::new() };
    packer.add(folder, Path::new("."))?;
    packer.tar.into_inner().about("end tar of", folder)?.flush().about("write tar of", folder)
}

struct Packer<W: Write> {
    tar: Builder<W>,
    /// First name of each file that has several.
    linked: BTreeMap<(u64, u64), PathBuf>,
}

impl<W: Write> Packer<W> {
    fn add(&mut self, path: &Path, name: &Path) -> Result<(), Error> {
        let metadata = fs_err::symlink_metadata(path).about("look at", path)?;
        let kind = kind_of(&metadata).about("pack", path)?;
        self.add_one(path, name, &metadata, kind).about("pack", path)?;
        if !metadata.is_dir() {
            return Ok(());
        }
        for child in children(path).about("list", path)? {
            self.add(&path.join(&child), &name.join(&child))?;
        }
        Ok(())
    }

    fn add_one(
        &mut self,
        path: &Path,
        name: &Path,
        metadata: &std::fs::Metadata,
        mut kind: EntryType,
    ) -> io::Result<()> {
        let id = (metadata.dev(), metadata.ino());
        let several = metadata.nlink() > 1 && !metadata.is_dir();
        let first = self.linked.get(&id).filter(|_| several).cloned();
        if first.is_some() {
            kind = EntryType::Link;
        } else if several {
            self.linked.insert(id, name.to_path_buf());
        }
        let target = match kind {
            EntryType::Link => first,
            EntryType::Symlink => Some(fs_err::read_link(path)?),
            _ => None,
        };
        let records = records(path, name, metadata, kind, target.as_deref())?;
        let pairs = records.iter().map(|(key, value)| (key.as_str(), value.as_slice()));
        self.tar.append_pax_extensions(pairs)?;
        let mut header = header(metadata, kind);
        if kind == EntryType::Regular && metadata.is_file() {
            header.set_size(metadata.len());
            header.set_cksum();
            let exactly = fs_err::File::open(path)?.take(metadata.len());
            return self.tar.append(&header, exactly);
        }
        if kind == EntryType::Char {
            header.set_device_major(0)?;
            header.set_device_minor(0)?;
        }
        header.set_cksum();
        self.tar.append(&header, io::empty())
    }
}

fn children(folder: &Path) -> io::Result<Vec<OsString>> {
    let names = fs_err::read_dir(folder)?.map(|entry| Ok(entry?.file_name()));
    let mut names = names.collect::<io::Result<Vec<_>>>()?;
    names.sort();
    Ok(names)
}

fn kind_of(metadata: &std::fs::Metadata) -> io::Result<EntryType> {
    let kind = metadata.file_type();
    if kind.is_file() || kind.is_socket() {
        Ok(EntryType::Regular)
    } else if kind.is_dir() {
        Ok(EntryType::Directory)
    } else if kind.is_symlink() {
        Ok(EntryType::Symlink)
    } else if kind.is_fifo() {
        Ok(EntryType::Fifo)
    } else if kind.is_char_device() && metadata.rdev() == 0 {
        Ok(EntryType::Char)
    } else {
        Err(io::Error::other("a device node, which no container can have made"))
    }
}

/// The header. Names and times stand in pax records, which have no limits.
fn header(metadata: &std::fs::Metadata, kind: EntryType) -> Header {
    let mut header = Header::new_ustar();
    header.set_entry_type(kind);
    header.set_mode(metadata.mode() & 0o7777);
    header.set_uid(u64::from(metadata.uid()));
    header.set_gid(u64::from(metadata.gid()));
    header.set_mtime(u64::try_from(metadata.mtime()).unwrap_or(0));
    header.set_size(0);
    header
}

fn records(
    path: &Path,
    name: &Path,
    metadata: &std::fs::Metadata,
    kind: EntryType,
    target: Option<&Path>,
) -> io::Result<Vec<(String, Vec<u8>)>> {
    let text = |value: String| value.into_bytes();
    let mut records = vec![
        ("path".to_owned(), name.as_os_str().as_bytes().to_vec()),
        ("mtime".to_owned(), text(format!("{}.{:09}", metadata.mtime(), metadata.mtime_nsec()))),
        ("atime".to_owned(), text(format!("{}.{:09}", metadata.atime(), metadata.atime_nsec()))),
    ];
    if let Some(target) = target {
        records.push(("linkpath".to_owned(), target.as_os_str().as_bytes().to_vec()));
    }
    if metadata.file_type().is_socket() && kind != EntryType::Link {
        records.push((KIND.to_owned(), b"socket".to_vec()));
    }
    if kind == EntryType::Regular && metadata.is_file() {
        let data = sparse::record(path, metadata.len())?;
        records.extend(data.map(|data| (sparse::DATA.to_owned(), text(data))));
    }
    if kind != EntryType::Link {
        let mut names: Vec<_> = xattr::list(path)?.collect();
        names.sort();
        for name in names {
            let value = xattr::get(path, &name)?.unwrap_or_default();
            let name = name.to_str().ok_or_else(|| io::Error::other("attribute's name"))?;
            records.push((format!("{XATTR}{name}"), value));
        }
    }
    Ok(records)
}
