//! Unpacking a tar with all its metadata into a folder, and nowhere else.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};
use std::time::Duration;

use nix::fcntl::{AT_FDCWD, AtFlags, OFlag};
use nix::sys::stat::{FchmodatFlags, Mode, SFlag, UtimensatFlags};
use nix::sys::time::TimeSpec;
use nix::unistd::{Gid, Uid};
use tar::{Archive, EntryType};

use super::pack::{KIND, XATTR};
use super::read::ArchiveError;
use super::sparse;
use crate::within::{self, Links};

/// Most bytes of the records of one entry.
const MAX_RECORDS: u64 = 1 << 20;

/// Unpacks a tree into a folder that is there.
///
/// # Errors
/// An entry that is of no expected kind, comes twice, or would lead out of the folder is refused
/// by name.
pub(crate) fn unpack(folder: &Path, input: impl Read) -> Result<(), ArchiveError> {
    unpack_but(folder, input, &BTreeSet::new())
}

/// Unpacks a tree but for what has one of these paths; the root has an empty one.
///
/// # Errors
/// As [`unpack`].
pub(crate) fn unpack_but(
    folder: &Path,
    input: impl Read,
    others: &BTreeSet<PathBuf>,
) -> Result<(), ArchiveError> {
    let root = within::open_folder(folder).map_err(ArchiveError::Read)?;
    let mut archive = Archive::new(input);
    let mut folders = Vec::new();
    let mut records = None;
    for entry in archive.entries().map_err(ArchiveError::Read)?.raw(true) {
        let mut entry = entry.map_err(ArchiveError::Read)?;
        let kind = entry.header().entry_type();
        if kind == EntryType::XHeader && records.is_none() {
            records = Some(Records::read(&mut entry)?);
            continue;
        }
        let found = Entry::new(records.take().unwrap_or_default(), entry.header())?;
        if others.contains(&plain(&found.path)) {
            continue;
        }
        found.make(&root, &mut entry).map_err(|error| found.refused(&error.to_string()))?;
        match kind {
            EntryType::Directory => folders.push(found),
            EntryType::Link => {}
            _ => found.dress(&root).map_err(|error| found.refused(&error.to_string()))?,
        }
    }
    // What is put into a folder changes its times, so they come last, the deepest first.
    for found in folders.iter().rev() {
        found.dress(&root).map_err(|error| found.refused(&error.to_string()))?;
    }
    Ok(())
}

/// A path below the tree's root without the root's own dot: of the root itself nothing is left.
fn plain(path: &Path) -> PathBuf {
    path.components().filter(|part| *part != Component::CurDir).collect()
}

/// One file of a tree, as it is listed.
pub(crate) struct Listed {
    /// Path below the tree's root.
    pub(crate) path: PathBuf,
    /// What it is, in words; `deleted` for a whiteout.
    pub(crate) kind: &'static str,
    /// Length of its content.
    pub(crate) bytes: u64,
    /// Permissions.
    pub(crate) mode: u32,
    /// Owner.
    pub(crate) uid: u64,
    /// Group.
    pub(crate) gid: u64,
    /// When it was last written to, in seconds since 1970.
    pub(crate) modified_s: i64,
    /// Where a link leads.
    pub(crate) target: Option<PathBuf>,
}

/// Lists a tree without unpacking it, until `each` wants no more.
///
/// # Errors
/// What is damaged.
pub(crate) fn list(
    input: impl Read,
    mut each: impl FnMut(Listed) -> bool,
) -> Result<(), ArchiveError> {
    let mut archive = Archive::new(input);
    let mut records = None;
    for entry in archive.entries().map_err(ArchiveError::Read)?.raw(true) {
        let mut entry = entry.map_err(ArchiveError::Read)?;
        if entry.header().entry_type() == EntryType::XHeader && records.is_none() {
            records = Some(Records::read(&mut entry)?);
            continue;
        }
        let found = Entry::new(records.take().unwrap_or_default(), entry.header())?;
        if !each(found.listed(entry.size())) {
            break;
        }
    }
    Ok(())
}

/// The pax records of an entry.
#[derive(Default)]
struct Records(BTreeMap<String, Vec<u8>>);

impl Records {
    fn read(input: &mut impl Read) -> Result<Records, ArchiveError> {
        let mut bytes = Vec::new();
        input.take(MAX_RECORDS + 1).read_to_end(&mut bytes).map_err(ArchiveError::Read)?;
        if bytes.len() as u64 > MAX_RECORDS {
            return Err(ArchiveError::TooLong { name: "pax records".into(), limit: MAX_RECORDS });
        }
        let mut records = BTreeMap::new();
        let mut rest = bytes.as_slice();
        while !rest.is_empty() {
            let (key, value, next) = split_record(rest).ok_or_else(|| {
                let near = String::from_utf8_lossy(&rest[..rest.len().min(32)]).into_owned();
                ArchiveError::Read(io::Error::other(format!("damaged pax record near `{near}`")))
            })?;
            records.insert(key.to_owned(), value.to_vec());
            rest = next;
        }
        Ok(Records(records))
    }

    fn path(&self, key: &str) -> Option<PathBuf> {
        self.0.get(key).map(|bytes| PathBuf::from(OsStr::from_bytes(bytes)))
    }

    /// Seconds and nanoseconds since the epoch; a time before it is taken for it.
    fn time(&self, key: &str) -> TimeSpec {
        let text = self.0.get(key).and_then(|bytes| std::str::from_utf8(bytes).ok());
        let (seconds, nanos) = text.and_then(|text| text.split_once('.')).unwrap_or(("0", "0"));
        let seconds = seconds.parse().unwrap_or(0);
        let nanos = nanos.parse().ok().filter(|nanos| *nanos < 1_000_000_000).unwrap_or(0);
        TimeSpec::from(Duration::new(seconds, nanos))
    }
}

/// Takes a record, `LENGTH KEY=VALUE` and a line feed, off the front: key, value and the rest.
/// The value may hold any byte, so the length alone says where it ends.
fn split_record(bytes: &[u8]) -> Option<(&str, &[u8], &[u8])> {
    let space = bytes.iter().position(|byte| *byte == b' ')?;
    let length: usize = std::str::from_utf8(&bytes[..space]).ok()?.parse().ok()?;
    let (record, rest) = bytes.split_at_checked(length)?;
    let pair = record.get(space + 1..)?.strip_suffix(b"\n")?;
    let equals = pair.iter().position(|byte| *byte == b'=')?;
    Some((std::str::from_utf8(&pair[..equals]).ok()?, &pair[equals + 1..], rest))
}

/// One file of a tree, still to be made.
struct Entry {
    path: PathBuf,
    kind: EntryType,
    is_whiteout: bool,
    mode: Mode,
    owner: (Uid, Gid),
    records: Records,
}

impl Entry {
    fn new(records: Records, header: &tar::Header) -> Result<Entry, ArchiveError> {
        let read = |number: io::Result<u64>| {
            number.and_then(|number| u32::try_from(number).map_err(io::Error::other))
        };
        let path = records.path("path");
        let path = path.map_or_else(|| header.path().map(|path| path.into_owned()), Ok);
        let entry = || -> io::Result<Entry> {
            Ok(Entry {
                path: path?,
                kind: header.entry_type(),
                is_whiteout: is_whiteout(header)?,
                mode: Mode::from_bits_truncate(header.mode()? & 0o7777),
                owner: (Uid::from_raw(read(header.uid())?), Gid::from_raw(read(header.gid())?)),
                records,
            })
        };
        entry().map_err(ArchiveError::Read)
    }

    fn refused(&self, why: &str) -> ArchiveError {
        ArchiveError::Refused { name: self.path.display().to_string(), why: why.to_owned() }
    }

    fn listed(&self, bytes: u64) -> Listed {
        Listed {
            path: self.path.clone(),
            kind: self.kind_in_words(),
            bytes,
            mode: self.mode.bits(),
            uid: self.owner.0.as_raw().into(),
            gid: self.owner.1.as_raw().into(),
            modified_s: self.records.time("mtime").tv_sec(),
            target: self.records.path("linkpath"),
        }
    }

    fn kind_in_words(&self) -> &'static str {
        match self.kind {
            EntryType::Regular if self.records.0.contains_key(KIND) => "socket",
            EntryType::Regular => "regular",
            EntryType::Directory if self.is_opaque() => {
                "directory, all below it in the image deleted"
            }
            EntryType::Directory => "directory",
            EntryType::Symlink => "symbolic link",
            EntryType::Link => "hard link",
            EntryType::Fifo => "fifo",
            EntryType::Char if self.is_whiteout => "deleted",
            _ => "unexpected",
        }
    }

    /// Whether the overlay hides what the image has there.
    fn is_opaque(&self) -> bool {
        let mark = self.records.0.get(&format!("{XATTR}trusted.overlay.opaque"));
        mark.is_some_and(|value| value == b"y")
    }

    fn is_root(&self) -> bool {
        self.path.components().all(|part| part == Component::CurDir)
    }

    fn place(&self, root: &OwnedFd) -> io::Result<(OwnedFd, &OsStr)> {
        within::parent_of(root, &self.path, Links::Refused)
    }

    /// Makes the file with its content.
    fn make(&self, root: &OwnedFd, content: &mut impl Read) -> io::Result<()> {
        if self.is_root() && self.kind == EntryType::Directory {
            return Ok(());
        }
        let (folder, name) = self.place(root)?;
        let private = Mode::S_IRWXU;
        let node = |kind| nix::sys::stat::mknodat(&folder, name, kind, Mode::S_IRUSR, 0);
        match self.kind {
            EntryType::Regular if self.records.0.contains_key(KIND) => node(SFlag::S_IFSOCK)?,
            EntryType::Regular => return self.fill(&folder, name, content),
            EntryType::Directory => nix::sys::stat::mkdirat(&folder, name, private)?,
            EntryType::Symlink => {
                let target = self.records.path("linkpath").unwrap_or_default();
                nix::unistd::symlinkat(&target, &folder, name)?;
            }
            EntryType::Link => self.link(root, &folder, name)?,
            EntryType::Fifo => node(SFlag::S_IFIFO)?,
            EntryType::Char if self.is_whiteout => node(SFlag::S_IFCHR)?,
            kind => return Err(io::Error::other(format!("unexpected kind {kind:?}"))),
        }
        Ok(())
    }

    /// Makes a plain file.
    fn fill(&self, folder: &OwnedFd, name: &OsStr, content: &mut impl Read) -> io::Result<()> {
        let flags = OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_WRONLY | OFlag::O_NOFOLLOW;
        let flags = flags | OFlag::O_CLOEXEC;
        let file = nix::fcntl::openat(folder, name, flags, Mode::S_IRUSR | Mode::S_IWUSR)?;
        let data = self.records.0.get(sparse::DATA).map(Vec::as_slice);
        sparse::fill(content, &mut File::from(file), data)
    }

    fn link(&self, root: &OwnedFd, folder: &OwnedFd, name: &OsStr) -> io::Result<()> {
        let target = self.records.path("linkpath").unwrap_or_default();
        let (from, first) = within::parent_of(root, &target, Links::Refused)?;
        Ok(nix::unistd::linkat(from, first, folder, name, AtFlags::empty())?)
    }

    /// Gives the file its owner, mode, attributes and times: in this order, as a change of the
    /// owner drops bits of the mode and capabilities, and everything changes times.
    fn dress(&self, root: &OwnedFd) -> io::Result<()> {
        let (folder, name) =
            if self.is_root() { (root.try_clone()?, OsStr::new(".")) } else { self.place(root)? };
        let (uid, gid) = self.owner;
        let nofollow = AtFlags::AT_SYMLINK_NOFOLLOW;
        nix::unistd::fchownat(&folder, name, Some(uid), Some(gid), nofollow)?;
        if self.kind != EntryType::Symlink {
            nix::sys::stat::fchmodat(&folder, name, self.mode, FchmodatFlags::FollowSymlink)?;
        }
        let path = Path::new("/proc/self/fd").join(folder.as_raw_fd().to_string()).join(name);
        for (key, value) in &self.records.0 {
            if let Some(attribute) = key.strip_prefix(XATTR) {
                xattr::set(&path, attribute, value)?;
            }
        }
        let (accessed, modified) = (self.records.time("atime"), self.records.time("mtime"));
        let flags = UtimensatFlags::NoFollowSymlink;
        Ok(nix::sys::stat::utimensat(AT_FDCWD, &path, &accessed, &modified, flags)?)
    }
}

/// The overlay's sign for a file of the image that is gone.
fn is_whiteout(header: &tar::Header) -> io::Result<bool> {
    let is_zero = |number: io::Result<Option<u32>>| number.map(|number| number == Some(0));
    Ok(header.entry_type() == EntryType::Char
        && is_zero(header.device_major())?
        && is_zero(header.device_minor())?)
}
