//! Paths below a folder whose content nobody trusts: no `..` and no symbolic link leads out of it.

use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Component, Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{OFlag, OpenHow, ResolveFlag, openat2};
use nix::sys::stat::{Mode, mkdirat};

/// How symbolic links below the folder are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Links {
    /// Followed as if the folder were `/`: the way a container sees its root.
    InRoot,
    /// Refused: what is being unpacked must not go through a link that it has brought itself.
    Refused,
}

/// Opens the folder itself.
pub(crate) fn open_folder(path: &Path) -> io::Result<OwnedFd> {
    let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    Ok(nix::fcntl::open(path, flags, Mode::empty())?)
}

/// Opens what a path below the folder leads to.
pub(crate) fn open(
    folder: impl AsFd,
    path: &Path,
    flags: OFlag,
    links: Links,
) -> io::Result<OwnedFd> {
    let resolve = match links {
        Links::InRoot => ResolveFlag::RESOLVE_IN_ROOT,
        Links::Refused => ResolveFlag::RESOLVE_BENEATH | ResolveFlag::RESOLVE_NO_SYMLINKS,
    };
    let how = OpenHow::new().flags(flags | OFlag::O_CLOEXEC).resolve(resolve);
    let relative = path.strip_prefix("/").unwrap_or(path);
    let relative = if relative.as_os_str().is_empty() { Path::new(".") } else { relative };
    Ok(openat2(folder, relative, how)?)
}

/// Opens the folder in which a path's last name stands, and says that name.
pub(crate) fn parent_of(
    folder: impl AsFd,
    path: &Path,
    links: Links,
) -> io::Result<(OwnedFd, &OsStr)> {
    let name = path.file_name().ok_or(Errno::EINVAL)?;
    let parent = path.parent().unwrap_or(Path::new(""));
    Ok((open(folder, parent, OFlag::O_PATH | OFlag::O_DIRECTORY, links)?, name))
}

/// Makes a folder and those above it, as the container would.
pub(crate) fn make_folders(folder: impl AsFd, path: &Path) -> io::Result<()> {
    let mut made = PathBuf::new();
    for part in path.components().filter(|part| matches!(part, Component::Normal(_))) {
        made.push(part);
        if open(&folder, &made, OFlag::O_PATH | OFlag::O_DIRECTORY, Links::InRoot).is_ok() {
            continue;
        }
        let (parent, name) = parent_of(&folder, &made, Links::InRoot)?;
        mkdirat(parent, name, Mode::from_bits_truncate(0o755))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_lead_nowhere_outside() {
        let outside = tempfile::tempdir().expect("temporary folder");
        let inside = tempfile::tempdir().expect("temporary folder");
        std::os::unix::fs::symlink(outside.path(), inside.path().join("out")).expect("symlink");
        let folder = open_folder(inside.path()).expect("open");
        make_folders(&folder, Path::new("/a/../b/c")).expect("made");
        assert!(inside.path().join("a/b/c").exists() || inside.path().join("b/c").exists());
        make_folders(&folder, Path::new("out/folder")).expect_err("dangling within the root");
        assert_eq!(std::fs::read_dir(outside.path()).expect("read").count(), 0);
        parent_of(&folder, Path::new("out/file"), Links::Refused).expect_err("a link");
        parent_of(&folder, Path::new("../file"), Links::Refused).expect_err("outside");
    }
}
