//! Loads the modules without which neither disks nor the host's port can be reached.

use std::path::{Path, PathBuf};

use fs_err as fs;
use nix::errno::Errno;
use nix::kmod::{ModuleInitFlags, finit_module};

use crate::kmsg;

/// Loads every `*.ko` of a folder in the order of their names, and returns how many there were.
///
/// A module that is built in or loaded already is fine. One that fails is named, and the boot
/// goes on: what is missing without it will be named too.
pub(super) fn load_all(folder: &Path) -> usize {
    let modules = in_order(folder);
    for path in &modules {
        if let Err(error) = load(path) {
            kmsg::error(&format!("cannot load module {}: {error}", path.display()));
        }
    }
    modules.len()
}

fn load(path: &Path) -> anyhow::Result<()> {
    let file = fs::File::open(path)?;
    match finit_module(file.file(), c"", ModuleInitFlags::empty()) {
        Ok(()) | Err(Errno::EEXIST) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

fn in_order(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let is_module = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "ko");
    let mut modules: Vec<_> = entries.map(|entry| entry.path()).filter(is_module).collect();
    modules.sort();
    modules
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modules_come_in_the_order_of_their_names() {
        let folder = tempfile::tempdir().expect("a folder");
        for name in ["010-virtio.ko", "002-crc.ko", "notes.txt", "100-erofs.ko"] {
            fs::write(folder.path().join(name), "").expect("written");
        }
        let names: Vec<_> = in_order(folder.path())
            .iter()
            .filter_map(|p| p.file_name()?.to_str().map(str::to_owned))
            .collect();
        assert_eq!(names, ["002-crc.ko", "010-virtio.ko", "100-erofs.ko"]);
    }

    #[test]
    fn a_kernel_that_needs_no_modules_has_no_folder() {
        assert!(in_order(Path::new("/nonexistent")).is_empty());
    }
}
