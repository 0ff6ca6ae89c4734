//! The roots of containers.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use fs_err as fs;

use super::erofs;
use crate::{Error, Suite, Unknown};

/// Version of the steps below; part of the key of what they make.
pub(crate) const RECIPE: u32 = 3;

/// Where the root of a container comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WorkloadImage {
    /// A static executable, placed at `/NAME`, in a root with nothing else.
    Binary {
        /// Its name in the root.
        name: String,
        /// The executable on the host.
        path: PathBuf,
    },
    /// Debian's essential packages and these.
    Packages {
        /// The suite they are taken from.
        suite: Suite,
        /// Names of packages.
        packages: Vec<String>,
        /// Files of the host that are put there as well, by their absolute path in the root.
        files: BTreeMap<String, PathBuf>,
    },
    /// A tree in a tar (not compressed).
    Tar {
        /// The tar on the host.
        path: PathBuf,
    },
}

/// Refuses what apt would not take as a name: options, patterns, paths.
pub(crate) fn check_names(packages: &[&str]) -> Result<(), Error> {
    let is_name = |name: &&&str| {
        name.starts_with(|c: char| c.is_ascii_alphanumeric())
            && name.chars().all(|c| c.is_ascii_alphanumeric() || "+-.:".contains(c))
    };
    match packages.iter().find(|name| !is_name(name)) {
        Some(name) => Err(Unknown::new("package", name, [""; 0]).into()),
        None => Ok(()),
    }
}

/// Makes the image of a static binary.
pub(crate) fn of_binary(name: &str, path: &Path, image: &Path) -> Result<(), Error> {
    if name.is_empty()
        || name.starts_with('.')
        || name.contains('/')
        || erofs::FOLDERS.contains(&name)
        || name == "tmp"
    {
        return Err(Error::content(&name, &"is no name for a program in the root of a container"));
    }
    let root = tempfile::tempdir_in(image.parent().unwrap_or(Path::new(".")))?;
    let folder = |name: &str, mode| -> Result<(), Error> {
        fs::create_dir(root.path().join(name))?;
        set_mode(&root.path().join(name), mode)
    };
    for name in erofs::FOLDERS {
        folder(name, 0o755)?;
    }
    folder("tmp", 0o1777)?;
    fs::write(root.path().join("etc/passwd"), "root:x:0:0:root:/root:/bin/sh\n")?;
    fs::write(root.path().join("etc/group"), "root:x:0:\n")?;
    fs::write(root.path().join("etc/hosts"), "127.0.0.1 localhost\n")?;
    fs::copy(path, root.path().join(name))?;
    set_mode(&root.path().join(name), 0o755)?;
    erofs::of_root_owned(root.path(), image)
}

fn set_mode(path: &Path, mode: u32) -> Result<(), Error> {
    Ok(fs::set_permissions(path, PermissionsExt::from_mode(mode))?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_name_of_a_package_is_refused() {
        assert!(check_names(&["redis-server", "libstdc++6", "libc6:amd64"]).is_ok());
        for name in ["", "-oDir=/", "?essential", "./x.deb", "a b"] {
            assert!(check_names(&[name]).unwrap_err().is_usage(), "{name}");
        }
    }

    #[test]
    fn a_program_does_not_take_the_place_of_a_folder() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["", "a/b", "etc", "tmp", "..", "."] {
            let image = folder.path().join("image");
            assert!(of_binary(name, Path::new("/bin/true"), &image).is_err(), "{name}");
        }
    }
}
