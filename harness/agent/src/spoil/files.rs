//! Files of the pod: its root as it was changed, its tmpfs mounts, its `/dev/shm`.

use std::collections::BTreeSet;
use std::ffi::CString;
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use anyhow::Context;
use fs_err as fs;
use nix::sys::stat::{Mode, SFlag, UtimensatFlags, mknod, utimensat};
use nix::sys::time::TimeSpec;
use serde::{Deserialize, Serialize};

use super::act::{Act, Offers};
use super::outcome::{changed, refused};
use super::pod::Pod;

/// Files of one place that are offered; more of them would show nothing new.
const MOST: usize = 12;

/// A change of a file.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Spoiled {
    path: PathBuf,
    change: Change,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Change {
    Mode,
    SetUid,
    Owner,
    Group,
    Modified,
    ModifiedNs,
    Accessed,
    Xattr,
    Acl,
    Longer,
    Shorter,
    Byte,
    Hole,
    Gone,
    Linked,
    Renamed,
    /// The rest makes something new in a folder.
    File,
    Folder,
    Symlink,
    Fifo,
    Device,
}

const OF_ALL: [Change; 5] =
    [Change::Mode, Change::Owner, Change::Group, Change::Modified, Change::ModifiedNs];

const OF_FILES: [Change; 9] = [
    Change::SetUid,
    Change::Xattr,
    Change::Acl,
    Change::Longer,
    Change::Shorter,
    Change::Byte,
    Change::Hole,
    Change::Linked,
    Change::Renamed,
];

const OF_FOLDERS: [Change; 5] =
    [Change::File, Change::Folder, Change::Symlink, Change::Fifo, Change::Device];

pub(super) fn offer(pod: &Pod, offers: &mut Offers) -> anyhow::Result<()> {
    let main = pod.status.containers.first().context("the pod has no container")?;
    let mut changed = Vec::new();
    walk(&main.upper, &mut changed)?;
    let below = changed.iter().filter_map(|path| path.strip_prefix(&main.upper).ok());
    let root: Vec<PathBuf> = below.map(|path| main.root.join(path)).collect();
    of_place("root", &main.root, &root, offers);
    let mut shm = Vec::new();
    walk(&pod.status.shm, &mut shm)?;
    of_place("shm", &pod.status.shm, &shm, offers);
    for point in tmpfs(pod.init()?)? {
        let folder = PathBuf::from(format!("/proc/{}/root{point}", pod.init()?));
        let mut found = Vec::new();
        walk(&folder, &mut found)?;
        of_place(&format!("tmpfs{point}"), &folder, &found, offers);
    }
    Ok(())
}

/// Mount points of tmpfs, but for what is `/dev/shm`.
fn tmpfs(init: i32) -> anyhow::Result<BTreeSet<String>> {
    let text = fs::read_to_string(format!("/proc/{init}/mountinfo"))?;
    let points = text.lines().filter_map(|line| {
        let (head, tail) = line.split_once(" - ")?;
        let point = head.split(' ').nth(4)?;
        (tail.starts_with("tmpfs ") && point != "/dev/shm").then(|| point.to_owned())
    });
    Ok(points.collect())
}

/// Everything below a folder on the same filesystem, in order.
fn walk(folder: &Path, found: &mut Vec<PathBuf>) -> anyhow::Result<()> {
    let device = fs::metadata(folder)?.dev();
    let mut entries: Vec<PathBuf> =
        fs::read_dir(folder)?.filter_map(|entry| Some(entry.ok()?.path())).collect();
    entries.sort();
    for path in entries {
        let meta = fs::symlink_metadata(&path)?;
        if meta.dev() != device {
            continue;
        }
        found.push(path.clone());
        if meta.is_dir() {
            walk(&path, found)?;
        }
    }
    Ok(())
}

fn of_place(place: &str, root: &Path, paths: &[PathBuf], offers: &mut Offers) {
    let mut folders = vec![root.to_owned()];
    let (mut files, mut others) = (0, 0);
    for path in paths {
        let Ok(meta) = fs::symlink_metadata(path) else { continue };
        let changes: Vec<Change> = match () {
            () if meta.is_dir() => {
                folders.push(path.clone());
                OF_ALL.to_vec()
            }
            () if meta.is_file() && files < MOST => {
                files += 1;
                OF_ALL.iter().chain(&OF_FILES).chain(&[Change::Gone]).copied().collect()
            }
            () if !meta.is_file() && others < MOST => {
                others += 1;
                vec![Change::Owner, Change::Modified, Change::Gone]
            }
            () => continue,
        };
        of_path(place, root, path, &changes, offers);
    }
    for folder in folders.iter().take(2) {
        of_path(place, root, folder, &OF_FOLDERS, offers);
    }
}

fn of_path(place: &str, root: &Path, path: &Path, changes: &[Change], offers: &mut Offers) {
    let below = path.strip_prefix(root).unwrap_or(path).display().to_string();
    for change in changes {
        let word = format!("{change:?}").to_lowercase();
        let what = format!("{place}/{below}: {}", words(*change));
        let act = Act::File(Spoiled { path: path.to_owned(), change: *change });
        offers.live(format!("file/{place}/{below}/{word}"), what, &act);
    }
}

fn words(change: Change) -> &'static str {
    match change {
        Change::Mode => "a bit of the mode",
        Change::SetUid => "runs as its owner",
        Change::Owner => "another owner",
        Change::Group => "another group",
        Change::Modified => "modified a second later",
        Change::ModifiedNs => "modified a nanosecond later",
        Change::Accessed => "read a second later",
        Change::Xattr => "an extended attribute more",
        Change::Acl => "an access control list",
        Change::Longer => "a byte more",
        Change::Shorter => "a byte less",
        Change::Byte => "a byte is another",
        Change::Hole => "a hole more at the end",
        Change::Gone => "is gone",
        Change::Linked => "has a second name",
        Change::Renamed => "has another name",
        Change::File => "a file more in it",
        Change::Folder => "a folder more in it",
        Change::Symlink => "a symbolic link more in it",
        Change::Fifo => "a fifo more in it",
        Change::Device => "a device more in it",
    }
}

/// What an unprivileged list of access rights for user 7 looks like, see acl(5): version 2, then
/// tag, rights and id of each entry.
const ACL: [u8; 44] = [
    2, 0, 0, 0, 1, 0, 6, 0, 255, 255, 255, 255, 2, 0, 4, 0, 7, 0, 0, 0, 4, 0, 4, 0, 255, 255, 255,
    255, 16, 0, 4, 0, 255, 255, 255, 255, 32, 0, 0, 0, 255, 255, 255, 255,
];

impl Spoiled {
    pub(super) fn carry_out(&self) -> anyhow::Result<()> {
        let before = self.seen();
        self.change()?;
        changed("the file", &before, &self.seen())
    }

    /// Everything about the file, in words.
    fn seen(&self) -> Vec<String> {
        let Ok(meta) = fs::symlink_metadata(&self.path) else { return Vec::new() };
        let plain = [meta.mode(), meta.uid(), meta.gid()].map(|number| number.to_string());
        let times = [meta.mtime(), meta.mtime_nsec(), meta.atime(), meta.atime_nsec()];
        let mut seen = plain.to_vec();
        seen.extend(times.map(|number| number.to_string()));
        seen.extend([meta.nlink(), meta.len()].map(|number| number.to_string()));
        seen.push(format!("{} bytes of attributes", attributes_bytes(&self.path)));
        if meta.is_file() {
            seen.push(format!("{:?}", std::fs::read(&self.path)));
        }
        let inside = std::fs::read_dir(&self.path).map(Iterator::count).unwrap_or_default();
        seen.push(format!("{inside} files inside"));
        seen
    }

    fn change(&self) -> anyhow::Result<()> {
        let (path, meta) = (&self.path, fs::symlink_metadata(&self.path)?);
        let new = path.join("spoiled");
        match self.change {
            Change::Mode => mode(path, meta.mode() ^ 0o010)?,
            Change::SetUid => mode(path, meta.mode() ^ 0o4000)?,
            Change::Owner => std::os::unix::fs::lchown(path, Some(meta.uid() ^ 1), None)?,
            Change::Group => std::os::unix::fs::lchown(path, None, Some(meta.gid() ^ 1))?,
            Change::Modified => times(path, (0, 0), (1, 0))?,
            Change::ModifiedNs => times(path, (0, 0), (0, 1))?,
            Change::Accessed => times(path, (1, 0), (0, 0))?,
            Change::Xattr => attribute(path, c"user.spoiled", b"yes")?,
            Change::Acl => attribute(path, c"system.posix_acl_access", &ACL)?,
            Change::Gone if meta.is_dir() => fs::remove_dir_all(path)?,
            Change::Gone => fs::remove_file(path)?,
            Change::Linked => fs::hard_link(path, path.with_extension("spoiled"))?,
            Change::Renamed => fs::rename(path, path.with_extension("spoiled"))?,
            Change::File => fs::write(new, "spoiled")?,
            Change::Folder => fs::create_dir(new)?,
            Change::Symlink => symlink("/nowhere", new)?,
            Change::Fifo => nix::unistd::mkfifo(&new, Mode::S_IRUSR)?,
            Change::Device => {
                let null = nix::sys::stat::makedev(1, 3);
                mknod(&new, SFlag::S_IFCHR, Mode::S_IRUSR, null)?;
            }
            Change::Longer | Change::Shorter | Change::Byte | Change::Hole => {
                self.content(&meta)?;
            }
        }
        Ok(())
    }

    /// Times are put back, so that the content alone is another.
    fn content(&self, meta: &std::fs::Metadata) -> anyhow::Result<()> {
        let longer = self.change == Change::Longer;
        let mut options = fs::OpenOptions::new();
        let options = options.read(true).write(true).append(longer);
        let mut file = options.open(&self.path).map_err(|error| refused("open", error))?;
        match self.change {
            Change::Longer => file.write_all(b"!")?,
            Change::Shorter if meta.len() > 0 => file.set_len(meta.len() - 1)?,
            Change::Byte if meta.len() > 0 => {
                let mut byte = [0u8; 1];
                file.file().read_exact_at(&mut byte, meta.len() / 2)?;
                file.file().write_all_at(&[byte[0] ^ 1], meta.len() / 2)?;
            }
            Change::Hole => file.set_len(meta.len() + (1 << 20))?,
            _ => return Err(refused("the content", "there is none")),
        }
        let time = |seconds, ns| TimeSpec::new(seconds, ns);
        let accessed = time(meta.atime(), meta.atime_nsec());
        let modified = time(meta.mtime(), meta.mtime_nsec());
        nix::sys::stat::futimens(file.file(), &accessed, &modified)?;
        Ok(())
    }
}

fn mode(path: &Path, mode: u32) -> std::io::Result<()> {
    fs::set_permissions(path, std::fs::Permissions::from_mode(mode & 0o7777))
}

/// Moves the times of a file by seconds and nanoseconds.
fn times(path: &Path, accessed: (i64, i64), modified: (i64, i64)) -> anyhow::Result<()> {
    let meta = fs::symlink_metadata(path)?;
    let moved = |seconds: i64, ns: i64, by: (i64, i64)| {
        TimeSpec::new(seconds + by.0, (ns + by.1).rem_euclid(1_000_000_000))
    };
    utimensat(
        nix::fcntl::AT_FDCWD,
        path,
        &moved(meta.atime(), meta.atime_nsec(), accessed),
        &moved(meta.mtime(), meta.mtime_nsec(), modified),
        UtimensatFlags::NoFollowSymlink,
    )?;
    Ok(())
}

fn attribute(path: &Path, name: &std::ffi::CStr, value: &[u8]) -> anyhow::Result<()> {
    let path = CString::new(path.as_os_str().as_bytes())?;
    super::sys::set_attribute(&path, name, value).map_err(|error| refused("the attribute", error))
}

fn attributes_bytes(path: &Path) -> usize {
    CString::new(path.as_os_str().as_bytes()).map_or(0, |path| super::sys::attributes_bytes(&path))
}
