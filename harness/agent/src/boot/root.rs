//! From the initramfs into the node's root.
//!
//! The root is an overlay: the read-only image below, a tmpfs above. It becomes the root of the
//! mount namespace itself, as `switch_root` does: CRIU refuses processes whose root is not that.

use std::os::unix::fs::MetadataExt;
use std::path::Path;

use anyhow::Context;
use fs_err as fs;
use nix::mount::{MsFlags, mount};

use super::mounts::{KERNEL, mount_at};

const LOWER: &str = "/lower";
const OVERLAY: &str = "/overlay";
const ROOT: &str = "/newroot";

/// The agent's place in the node, on the PATH of hooks.
const AGENT: &str = "usr/local/bin/cryolab-agent";

/// Makes the root, moves into it, and gives the memory of the initramfs back.
pub(super) fn enter(device: &Path) -> anyhow::Result<()> {
    assemble(device)?;
    let agent = Path::new(ROOT).join(AGENT);
    fs::create_dir_all(agent.parent().unwrap_or(&agent))?;
    fs::copy("/proc/self/exe", &agent)?;
    for path in KERNEL {
        move_mount(Path::new(path), &Path::new(ROOT).join(&path[1..]))?;
    }
    free_initramfs()?;
    switch()
}

fn assemble(device: &Path) -> anyhow::Result<()> {
    mount_at(device, Path::new(LOWER), "erofs", MsFlags::MS_RDONLY, "")?;
    mount_at(Path::new("tmpfs"), Path::new(OVERLAY), "tmpfs", MsFlags::empty(), "mode=0755")?;
    fs::create_dir(format!("{OVERLAY}/upper"))?;
    fs::create_dir(format!("{OVERLAY}/work"))?;
    let layers = format!("lowerdir={LOWER},upperdir={OVERLAY}/upper,workdir={OVERLAY}/work");
    mount_at(Path::new("overlay"), Path::new(ROOT), "overlay", MsFlags::empty(), &layers)
}

fn move_mount(from: &Path, to: &Path) -> anyhow::Result<()> {
    fs::create_dir_all(to)?;
    mount(Some(from), to, None::<&str>, MsFlags::MS_MOVE, None::<&str>)
        .with_context(|| format!("cannot move {} to {}", from.display(), to.display()))
}

/// Deletes every file of the initramfs, without leaving its file system.
fn free_initramfs() -> anyhow::Result<()> {
    let device = fs::metadata("/")?.dev();
    for entry in fs::read_dir("/")? {
        delete(&entry?.path(), device)?;
    }
    Ok(())
}

fn delete(path: &Path, device: u64) -> anyhow::Result<()> {
    let metadata = fs::symlink_metadata(path)?;
    if metadata.dev() != device {
        return Ok(());
    }
    if !metadata.is_dir() {
        return Ok(fs::remove_file(path)?);
    }
    for entry in fs::read_dir(path)? {
        delete(&entry?.path(), device)?;
    }
    // Mount points within stay, and so do the folders that hold them.
    let _ = fs::remove_dir(path);
    Ok(())
}

fn switch() -> anyhow::Result<()> {
    nix::unistd::chdir(ROOT).with_context(|| format!("cannot enter {ROOT}"))?;
    mount(Some("."), "/", None::<&str>, MsFlags::MS_MOVE, None::<&str>)
        .context("cannot move the new root over the old one")?;
    nix::unistd::chroot(".").context("cannot change the root")?;
    nix::unistd::chdir("/").context("cannot enter the new root")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deleting_follows_no_link_and_leaves_other_file_systems_alone() {
        let folder = tempfile::tempdir().expect("a folder");
        let (inner, outside) = (folder.path().join("inner"), folder.path().join("outside"));
        fs::create_dir_all(inner.join("deep")).expect("made");
        fs::write(&outside, "kept").expect("written");
        std::os::unix::fs::symlink(&outside, inner.join("deep/link")).expect("linked");
        let device = fs::metadata(&inner).expect("there").dev();
        delete(&inner, device + 1).expect("nothing to do");
        assert!(inner.join("deep/link").exists());
        delete(&inner, device).expect("deleted");
        assert!(!inner.exists() && outside.exists());
    }
}
