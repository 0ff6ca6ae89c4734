//! Files: the writable layer of a container's root, and the pod's `/dev/shm`.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{File, Metadata, OpenOptions};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use nix::sys::stat::{SFlag, major, minor};

use crate::error::{Error, Result};
use crate::facts::Facts;
use crate::pod::{Container, Pod};
use crate::source::watches::Watches;
use crate::source::{holes, open_file};
use crate::{inode, read, sys};

/// What was changed in the container's root, whiteouts included, and its own tmpfs mounts.
pub(crate) fn container(
    pod: &Pod<'_>,
    container: &Container<'_>,
    watches: &Watches,
    facts: &mut Facts,
) -> Result<()> {
    let prefix = &container.prefix;
    let proc = PathBuf::from(format!("/proc/{}", container.status.pid));
    let mut upper = Tree::new(&container.status.upper, format!("{prefix}root."))?;
    upper.image = image(&proc)?;
    upper.walk(watches, facts)?;
    let shm = Tree::new(&pod.status.shm, String::new())?.device;
    let mut seen = BTreeSet::from([shm]);
    for (point, device) in tmpfs_mounts(&proc)? {
        let below = point.trim_end_matches('/');
        let inside = proc.join("root").join(&point[1..]);
        let tree = Tree::new(&inside, format!("{prefix}tmpfs.{below}"))?;
        // Another mount may cover it.
        if tree.device == device && seen.insert(device) {
            tree.walk(watches, facts)?;
        }
    }
    Ok(())
}

/// What is in the pod's `/dev/shm`.
pub(crate) fn pod(pod: &Pod<'_>, watches: &Watches, facts: &mut Facts) -> Result<()> {
    Tree::new(&pod.status.shm, "pod.shm.".to_owned())?.walk(watches, facts)
}

/// Device numbers, major and minor.
type Device = (u64, u64);

/// The lower layer of the container's root, as the node calls it.
fn image(proc: &Path) -> Result<Option<PathBuf>> {
    let text = read::text(proc.join("mountinfo"))?;
    let lower = |line: &str| {
        let (head, tail) = line.split_once(" - overlay ")?;
        let options = tail.rsplit(' ').next().filter(|_| head.split(' ').nth(4) == Some("/"))?;
        options.split(',').find_map(|option| option.strip_prefix("lowerdir=")).map(unescaped)
    };
    Ok(text.lines().find_map(lower).map(PathBuf::from))
}

/// Mount points of type tmpfs, and their devices.
fn tmpfs_mounts(proc: &Path) -> Result<Vec<(String, Device)>> {
    let text = read::text(proc.join("mountinfo"))?;
    let mount = |line: &str| {
        let (head, tail) = line.split_once(" - ")?;
        let words: Vec<&str> = head.split(' ').collect();
        let (major, minor) = words.get(2)?.split_once(':')?;
        let point = unescaped(words.get(4)?);
        let found = tail.starts_with("tmpfs ") && point.starts_with('/');
        found.then_some((point, (major.parse().ok()?, minor.parse().ok()?)))
    };
    Ok(text.lines().filter_map(mount).collect())
}

/// A mount point as `mountinfo` writes it, with blanks and the like in octal.
fn unescaped(point: &str) -> String {
    let signs = [("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")];
    signs.iter().fold(point.to_owned(), |text, (octal, sign)| text.replace(octal, sign))
}

/// A tree of files on one device.
#[derive(Debug)]
struct Tree<'a> {
    root: &'a Path,
    prefix: String,
    device: Device,
    /// What the overlay has below this tree.
    image: Option<PathBuf>,
}

impl<'a> Tree<'a> {
    fn new(root: &'a Path, prefix: String) -> Result<Self> {
        let meta = root.metadata().map_err(|source| Error::read(root, source))?;
        Ok(Tree { root, prefix, device: (major(meta.dev()), minor(meta.dev())), image: None })
    }

    fn walk(&self, watches: &Watches, facts: &mut Facts) -> Result<()> {
        let mut walk = Walk { tree: self, links: BTreeMap::new(), watches, facts };
        walk.entry(self.root)
    }
}

/// A tree while it is walked.
#[derive(Debug)]
struct Walk<'a> {
    tree: &'a Tree<'a>,
    /// The first path of each file that has several.
    links: BTreeMap<u64, String>,
    watches: &'a Watches,
    facts: &'a mut Facts,
}

impl Walk<'_> {
    /// Writes down an entry, and what is below it in the order of the names.
    fn entry(&mut self, path: &Path) -> Result<()> {
        let meta = path.symlink_metadata().map_err(|source| Error::read(path, source))?;
        let device = (major(meta.dev()), minor(meta.dev()));
        if device != self.tree.device {
            return Ok(());
        }
        let name = self.name(path);
        if self.is_copy(path, &meta)? {
            return self.body(path, &name, &meta);
        }
        let mut put = |key: &str, value: String| self.facts.put(format!("{name}.{key}"), value);
        put("type", kind(&meta).to_owned());
        put("mode", format!("{:o}", meta.mode() & 0o7777));
        put("uid", meta.uid().to_string());
        put("gid", meta.gid().to_string());
        put("mtime", format!("{}.{:09}", meta.mtime(), meta.mtime_nsec()));
        put("ctime", format!("{}.{:09}", meta.ctime(), meta.ctime_nsec()));
        put("ino", inode::name(device.0, device.1, meta.ino()));
        if !meta.is_dir() {
            put("size", meta.size().to_string());
            put("nlink", meta.nlink().to_string());
        }
        if meta.rdev() != 0 {
            put("rdev", format!("{}:{}", major(meta.rdev()), minor(meta.rdev())));
        }
        self.attributes(path, &name)?;
        self.body(path, &name, &meta)
    }

    /// Whether this is a folder of the image that the overlay has copied up, and nobody changed:
    /// the container sees no difference.
    fn is_copy(&self, path: &Path, meta: &Metadata) -> Result<bool> {
        let Some(image) = self.tree.image.as_ref().filter(|_| meta.is_dir()) else {
            return Ok(false);
        };
        let below = image.join(path.strip_prefix(self.tree.root).unwrap_or(path));
        let Ok(below) = below.symlink_metadata() else { return Ok(false) };
        let seen = |meta: &Metadata| {
            (meta.mode(), meta.uid(), meta.gid(), meta.mtime(), meta.mtime_nsec())
        };
        let attributes =
            sys::attributes::of_path(path).map_err(|source| Error::read(path, source))?;
        let own = attributes.iter().all(|(key, _)| key.starts_with("trusted.overlay."));
        let opaque = attributes.iter().any(|(key, _)| key == "trusted.overlay.opaque");
        Ok(seen(meta) == seen(&below) && own && !opaque)
    }

    fn name(&self, path: &Path) -> String {
        let below = path.strip_prefix(self.tree.root).unwrap_or(path);
        format!("{}/{}", self.tree.prefix, read::one_line(below.as_os_str().as_bytes()))
    }

    fn attributes(&mut self, path: &Path, name: &str) -> Result<()> {
        for (key, value) in
            sys::attributes::of_path(path).map_err(|source| Error::read(path, source))?
        {
            self.facts.put(format!("{name}.xattr.{key}"), value.escape_ascii());
        }
        Ok(())
    }

    fn body(&mut self, path: &Path, name: &str, meta: &Metadata) -> Result<()> {
        let watched = self.watches.on(self.tree.device, meta.ino());
        if meta.is_symlink() {
            self.facts.put(format!("{name}.target"), read::link(path)?);
        } else if watched && (meta.is_dir() || meta.is_file()) {
            self.facts.not_offered(format!("{name}*"), "an inotify watch of the pod would tell");
            return Ok(());
        } else if meta.is_dir() {
            for below in read::names(path)? {
                self.entry(&path.join(below))?;
            }
        } else if meta.nlink() > 1 {
            let first = self.links.entry(meta.ino()).or_insert(name.to_owned()).clone();
            self.facts.put(format!("{name}.same_file"), &first);
            if first != name {
                return Ok(());
            }
        }
        if meta.is_file() { self.content(path, name, meta.len()) } else { Ok(()) }
    }

    fn content(&mut self, path: &Path, name: &str, size: u64) -> Result<()> {
        let failed = |source| Error::read(path, source);
        let file = without_a_trace(path).map_err(failed)?;
        // First: what was read may count as data from then on.
        holes::put(name, &file, size, self.facts).map_err(failed)?;
        let (digest, length) = open_file::digest(&file, size).map_err(failed)?;
        self.facts.digest(format!("{name}.content"), digest, length);
        Ok(())
    }
}

fn without_a_trace(path: &Path) -> std::io::Result<File> {
    let flags = libc::O_NOATIME | libc::O_NOFOLLOW | libc::O_NONBLOCK;
    OpenOptions::new().read(true).custom_flags(flags).open(path)
}

fn kind(meta: &Metadata) -> &'static str {
    let kind = meta.file_type();
    match SFlag::from_bits_truncate(meta.mode()) & SFlag::S_IFMT {
        // How overlayfs marks a deleted file of a lower layer.
        SFlag::S_IFCHR if meta.rdev() == 0 => "whiteout",
        _ if kind.is_dir() => "directory",
        _ if kind.is_symlink() => "symlink",
        _ if kind.is_fifo() => "fifo",
        _ if kind.is_socket() => "socket",
        _ if kind.is_char_device() => "character device",
        _ if kind.is_block_device() => "block device",
        _ => "file",
    }
}
