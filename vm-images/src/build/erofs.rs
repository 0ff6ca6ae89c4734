//! Read-only images by `mkfs.erofs`: uncompressed, because pages are read faster than they are
//! unpacked by an emulated processor.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use fs_err as fs;

use crate::{Error, command};

/// What every call has: one fixed time and identity, so that equal trees make equal images.
const FIXED: [&str; 3] = ["--quiet", "-T0", "-U6372796f-6c61-4b62-8000-000000000000"];

/// An image of a folder in which everything belongs to root.
pub(crate) fn of_root_owned(folder: &Path, image: &Path) -> Result<(), Error> {
    fs::set_permissions(folder, PermissionsExt::from_mode(0o755))?;
    let mut command = command::tool("mkfs.erofs");
    command::run(command.args(FIXED).args(["--all-root", "-x-1"]).arg(image).arg(folder))
}

/// Unpacks the tar on standard input, completes it to the root of a container, and writes its
/// image to standard output.
///
/// Owners must be kept, so this runs as root, or as root of a user namespace. `/tmp` is used there,
/// because the home of the user cannot be entered from there. Nothing is made through a symbolic link: the tar
/// comes from anywhere.
const IMAGE_OF_TAR: &str = r#"
set -eu
umask 022
scratch=$(mktemp -d "${TMPDIR:-/tmp}/cryolab.XXXXXX")
trap 'rm -rf "$scratch"' EXIT
trap 'exit 1' HUP INT TERM
mkdir "$scratch/root"
tar --extract --file=- --directory="$scratch/root" --numeric-owner --same-permissions \
    --xattrs --xattrs-include='*' --exclude='./dev/*' --exclude='dev/*'
cd "$scratch/root"
absent() { [ ! -e "$1" ] && [ ! -L "$1" ]; }
for folder in $FOLDERS; do
    if absent "$folder"; then mkdir "$folder"; fi
done
if absent tmp; then mkdir tmp; chmod 1777 tmp; fi
if [ -d etc ] && [ ! -L etc ]; then
    if absent etc/passwd; then echo 'root:x:0:0:root:/root:/bin/sh' > etc/passwd; fi
    if absent etc/group; then echo 'root:x:0:' > etc/group; fi
    if absent etc/hosts; then echo '127.0.0.1 localhost' > etc/hosts; fi
fi
cd "$scratch"
"$MKFS" $FIXED image root >&2
cat image
"#;

/// Folders that the root of a container or node has, to be mounted on or written to.
pub(crate) const FOLDERS: [&str; 8] = ["proc", "sys", "dev", "run", "etc", "var", "data", "root"];

/// An image of the tree in a tar, with its owners kept and the usual folders there.
pub(crate) fn of_tar(tar: &Path, image: &Path) -> Result<(), Error> {
    let mut command = as_root(image.parent().unwrap_or(Path::new(".")));
    command
        .args(["-c", IMAGE_OF_TAR])
        .env("FOLDERS", FOLDERS.join(" "))
        .env("FIXED", FIXED.join(" "))
        .env("MKFS", command::find("mkfs.erofs").unwrap_or_else(|| "mkfs.erofs".into()))
        .stdin(fs::File::open(tar)?.into_parts().0)
        .stdout(fs::File::create(image)?.into_parts().0);
    command::finish(&mut command, &mut |_| ())
}

/// A shell as root, or as root of a user namespace with all ids of this user. Real root can use
/// the folder `scratch`, which is swept when the build is interrupted.
fn as_root(scratch: &Path) -> Command {
    if crate::host::is_root() {
        let mut command = command::tool("sh");
        command.env("TMPDIR", scratch);
        return command;
    }
    let mut command = command::tool("mmdebstrap");
    command.args(["--unshare-helper", "sh"]);
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    fn has_tools() -> bool {
        crate::host::is_root()
            && command::find("mkfs.erofs").is_some()
            && command::find("dump.erofs").is_some()
    }

    #[test]
    fn a_tar_with_links_out_of_it_makes_nothing_outside() {
        if !has_tools() {
            return;
        }
        let folder = tempfile::tempdir().unwrap();
        let outside = folder.path().join("outside");
        fs::create_dir(&outside).unwrap();
        let tree = folder.path().join("tree");
        fs::create_dir(&tree).unwrap();
        for name in ["etc", "tmp", "data"] {
            fs_err::os::unix::fs::symlink(&outside, tree.join(name)).unwrap();
        }
        let tar = folder.path().join("root.tar");
        command::run(command::tool("tar").arg("-cf").arg(&tar).arg("-C").arg(&tree).arg("."))
            .unwrap();
        let image = folder.path().join("root.erofs");
        of_tar(&tar, &image).unwrap();
        assert_eq!(fs::read_dir(&outside).unwrap().count(), 0);
        let told = command::output(command::tool("dump.erofs").args(["--path=/proc"]).arg(&image))
            .unwrap();
        assert!(told.contains("directory"), "{told}");
    }

    #[test]
    fn a_broken_tar_is_an_error() {
        if !has_tools() {
            return;
        }
        let folder = tempfile::tempdir().unwrap();
        let tar = folder.path().join("root.tar");
        fs::write(&tar, "this is no tar").unwrap();
        let error = of_tar(&tar, &folder.path().join("image")).unwrap_err().to_string();
        assert!(error.contains("tar"), "{error}");
    }
}
