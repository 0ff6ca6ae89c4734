//! A kernel ready to boot: the image, its modules as a disk, and those needed before any disk.

use std::path::{Path, PathBuf};

use fs_err as fs;

use super::erofs;
use super::modules::{self, Modules};
use super::signatures;
use crate::{Error, command};

/// Version of the steps below; part of the key of what they make.
pub(crate) const RECIPE: u32 = 2;

/// The bootable image in an entry.
pub(crate) const IMAGE: &str = "vmlinuz";
/// The disk of modules in an entry: `RELEASE/...`, to be mounted on `/lib/modules`.
pub(crate) const MODULES: &str = "modules.erofs";
/// The folder in an entry with modules for the initramfs, in load order.
pub(crate) const EARLY: &str = "early";
/// The file in an entry that holds the kernel's release.
pub(crate) const RELEASE: &str = "release";

/// Makes an entry from the `.deb`s of a kernel.
///
/// Nobody vouches for those that are `unlisted`: of them nothing is taken but modules, only such as
/// were signed by the build of the kernel that the others hold, and the lists beside modules.
pub(crate) fn from_packages(
    debs: &[PathBuf],
    unlisted: &[PathBuf],
    release: &str,
    entry: &Path,
) -> Result<(), Error> {
    let (listed, others) = (tempfile::tempdir_in(entry)?, tempfile::tempdir_in(entry)?);
    for deb in debs {
        super::debian::unpack(deb, listed.path())?;
    }
    for deb in unlisted {
        super::debian::unpack(deb, others.path())?;
    }
    let image = image_in(listed.path(), release)?;
    let tree = if unlisted.is_empty() { listed.path() } else { others.path() };
    let modules = modules_in(tree, release)?;
    if !unlisted.is_empty() {
        if let Ok(vouched) = modules_in(listed.path(), release) {
            command::run(command::tool("cp").args(["-rT", "--"]).arg(vouched).arg(&modules))?;
        }
        signatures::verify(&image, &modules)?;
    }
    fs::rename(image, entry.join(IMAGE))?;
    let staged = stage(tree, release)?;
    if modules != staged {
        fs::rename(&modules, &staged)?;
    }
    finish(tree, release, entry)
}

/// Until 6.18 the image lies in `/boot`, since then beside the modules, or in `/boot` again.
fn image_in(tree: &Path, release: &str) -> Result<PathBuf, Error> {
    let boot = tree.join(format!("boot/vmlinuz-{release}"));
    let beside = module_folders(tree, release).map(|folder| folder.join("vmlinuz"));
    let image = [boot].into_iter().chain(beside).find(|path| path.is_file());
    image.ok_or_else(|| Error::content(&release, &"the packages hold no vmlinuz"))
}

fn modules_in(tree: &Path, release: &str) -> Result<PathBuf, Error> {
    let modules = module_folders(tree, release).into_iter().find(|folder| folder.is_dir());
    modules.ok_or_else(|| Error::content(&release, &"the packages hold no modules"))
}

fn module_folders(tree: &Path, release: &str) -> [PathBuf; 2] {
    ["lib/modules", "usr/lib/modules"].map(|folder| tree.join(folder).join(release))
}

/// Makes an entry from a kernel that the user built; without `modules`, all must be built in.
pub(crate) fn from_files(image: &Path, modules: Option<&Path>, entry: &Path) -> Result<(), Error> {
    let release = release_of_image(image)?;
    fs::copy(image, entry.join(IMAGE))?;
    let tree = tempfile::tempdir_in(entry)?;
    let staged = stage(tree.path(), &release)?;
    match modules {
        Some(modules) => {
            let folder = modules_of(modules, &release)?;
            command::run(command::tool("cp").args(["-rT", "--"]).arg(folder).arg(&staged))?;
            finish(tree.path(), &release, entry)
        }
        None => {
            fs::create_dir_all(&staged)?;
            fs::create_dir(entry.join(EARLY))?;
            write_disk(tree.path(), &release, entry)
        }
    }
}

/// The folder of a release below what the user gave: itself, or a tree that holds it.
pub(crate) fn modules_of(given: &Path, release: &str) -> Result<PathBuf, Error> {
    let places = [
        given.to_owned(),
        given.join(release),
        given.join("lib/modules").join(release),
        given.join("usr/lib/modules").join(release),
    ];
    let is_it = |place: &PathBuf| place.join("kernel").is_dir() && place.ends_with(release);
    places.into_iter().find(is_it).ok_or_else(|| Error::BadPath {
        what: "modules",
        path: given.to_owned(),
        why: format!("holds no modules of the kernel's release {release}"),
    })
}

/// The folder of modules in a tree whose `/lib` leads to `/usr/lib`: `depmod` looks in either.
fn stage(tree: &Path, release: &str) -> Result<PathBuf, Error> {
    let folder = tree.join("staged/usr/lib/modules");
    fs::create_dir_all(&folder)?;
    fs_err::os::unix::fs::symlink("usr/lib", tree.join("staged/lib"))?;
    Ok(folder.join(release))
}

fn finish(tree: &Path, release: &str, entry: &Path) -> Result<(), Error> {
    let staged = tree.join("staged");
    command::run(command::tool("depmod").arg("-b").arg(&staged).arg(release))?;
    let folder = staged.join("usr/lib/modules").join(release);
    let modules = Modules::read(&folder)?;
    let early = entry.join(EARLY);
    fs::create_dir(&early)?;
    for (number, file) in modules.early()?.iter().enumerate() {
        let name = format!("{number:03}-{}.ko", modules::name(file));
        fs::write(early.join(name), modules.load(file)?)?;
    }
    for link in ["build", "source"] {
        if fs::symlink_metadata(folder.join(link)).is_ok_and(|meta| meta.is_symlink()) {
            fs::remove_file(folder.join(link))?;
        }
    }
    write_disk(tree, release, entry)
}

fn write_disk(tree: &Path, release: &str, entry: &Path) -> Result<(), Error> {
    erofs::of_root_owned(&tree.join("staged/usr/lib/modules"), &entry.join(MODULES))?;
    Ok(fs::write(entry.join(RELEASE), release)?)
}

/// The release in the header of a bzImage: a pointer at 0x20e to the version string, less 0x200
/// (the kernel's `Documentation/arch/x86/boot.rst`).
pub(crate) fn release_of_image(image: &Path) -> Result<String, Error> {
    let wrong =
        |why: &str| Error::BadPath { what: "kernel", path: image.to_owned(), why: why.to_owned() };
    let bytes = fs::read(image)?;
    if bytes.len() < 0x210 || &bytes[0x202..0x206] != b"HdrS" {
        return Err(wrong("is no bzImage"));
    }
    let start = 0x200 + usize::from(u16::from_le_bytes([bytes[0x20e], bytes[0x20f]]));
    let text = bytes.get(start..bytes.len().min(start + 128)).unwrap_or_default();
    let word = text.split(|&byte| byte == b' ' || byte == 0).next().unwrap_or_default();
    match std::str::from_utf8(word) {
        Ok(release) if !release.is_empty() && !release.contains('/') => Ok(release.to_owned()),
        _ => Err(wrong("the header of this bzImage tells no release")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_release_is_read_from_the_header() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("bzImage");
        let mut image = vec![0; 0x300];
        image[0x202..0x206].copy_from_slice(b"HdrS");
        image[0x20e..0x210].copy_from_slice(&0x80u16.to_le_bytes());
        image[0x280..0x28e].copy_from_slice(b"6.12.1-x (a@b)");
        fs::write(&path, &image).unwrap();
        assert_eq!(release_of_image(&path).unwrap(), "6.12.1-x");
        for length in [0, 0x203, 0x20f] {
            fs::write(&path, &image[..length]).unwrap();
            assert!(release_of_image(&path).is_err());
        }
    }
}
