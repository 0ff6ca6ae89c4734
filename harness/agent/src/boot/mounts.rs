//! What is mounted where.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use anyhow::Context;
use fs_err as fs;
use nix::errno::Errno;
use nix::mount::MsFlags;

use super::disks;
use crate::kmsg;

const NONE: MsFlags = MsFlags::empty();
const PSEUDO: MsFlags = MsFlags::MS_NOSUID.union(MsFlags::MS_NODEV).union(MsFlags::MS_NOEXEC);
const VOLATILE: MsFlags = MsFlags::MS_NOSUID.union(MsFlags::MS_NODEV);

/// A file system to mount.
struct Mount {
    source: &'static str,
    target: &'static str,
    kind: &'static str,
    flags: MsFlags,
    data: &'static str,
}

const fn mount(
    source: &'static str,
    target: &'static str,
    kind: &'static str,
    flags: MsFlags,
    data: &'static str,
) -> Mount {
    Mount { source, target, kind, flags, data }
}

/// Needed before anything else; they move along into the node's root.
pub(super) const KERNEL: [&str; 3] = ["/proc", "/sys", "/dev"];

const KERNEL_MOUNTS: [Mount; 3] = [
    mount("proc", "/proc", "proc", PSEUDO, ""),
    mount("sysfs", "/sys", "sysfs", PSEUDO, ""),
    mount("devtmpfs", "/dev", "devtmpfs", MsFlags::MS_NOSUID, "mode=0755"),
];

const NODE_MOUNTS: [Mount; 6] = [
    mount("tmpfs", "/run", "tmpfs", VOLATILE, "mode=0755"),
    mount("tmpfs", "/tmp", "tmpfs", VOLATILE, "mode=1777"),
    mount("tmpfs", "/dev/shm", "tmpfs", VOLATILE, "mode=1777"),
    mount("devpts", "/dev/pts", "devpts", MsFlags::MS_NOSUID, "gid=5,mode=620,ptmxmode=666"),
    mount("cgroup2", "/sys/fs/cgroup", "cgroup2", PSEUDO, ""),
    mount("securityfs", "/sys/kernel/security", "securityfs", PSEUDO, ""),
];

/// Where disks are mounted, by serial. The root is usr-merged: `/lib/modules` leads there too.
const DISK_MOUNTS: [(&str, &str); 2] = [("modules", "/usr/lib/modules"), ("criu", "/criu")];

/// What serials of disks with an image of a container begin with.
const IMAGE: &str = "workload";

/// Where these are mounted, each by its serial.
const IMAGES: &str = "/run/cryolab/images";

/// Serial of the disk that survives reboots.
const DATA: &str = "data";

/// Where it is mounted.
const DATA_TARGET: &str = "/data";

/// How often ext4 writes its journal by itself, in seconds. Its own 5 seconds would flush the disk
/// between any two steps of a test: what a power cut takes would depend on the host's speed.
const DATA_OPTIONS: &str = "commit=60";

/// Mounts what the kernel shows itself by.
pub(super) fn kernel_filesystems() -> anyhow::Result<()> {
    KERNEL_MOUNTS.iter().try_for_each(Mount::make)
}

/// Mounts the rest of a node's pseudo file systems, and makes the links that programs expect.
pub(super) fn node_filesystems() -> anyhow::Result<()> {
    nix::mount::mount(
        None::<&str>,
        "/",
        None::<&str>,
        MsFlags::MS_REC | MsFlags::MS_PRIVATE,
        None::<&str>,
    )
    .context("cannot make all mounts private")?;
    NODE_MOUNTS.iter().try_for_each(Mount::make)?;
    for (name, target) in [("fd", ""), ("stdin", "/0"), ("stdout", "/1"), ("stderr", "/2")] {
        let link = Path::new("/dev").join(name);
        std::os::unix::fs::symlink(format!("/proc/self/fd{target}"), &link)
            .with_context(|| format!("cannot make {}", link.display()))?;
    }
    Ok(())
}

/// Mounts the read-only disks that the node has.
pub(super) fn disks(disks: &BTreeMap<String, PathBuf>) -> anyhow::Result<()> {
    for (serial, target) in DISK_MOUNTS {
        if let Some(device) = disks.get(serial) {
            mount_at(device, Path::new(target), "erofs", MsFlags::MS_RDONLY, "")?;
        }
    }
    for (serial, device) in disks.iter().filter(|(serial, _)| serial.starts_with(IMAGE)) {
        mount_at(device, &Path::new(IMAGES).join(serial), "erofs", MsFlags::MS_RDONLY, "")?;
    }
    Ok(())
}

/// What [`find_data`] has found.
static DATA_DEVICE: OnceLock<Option<PathBuf>> = OnceLock::new();

/// Looks once for the disk that survives reboots, so that no fork has to: each disk is asked for
/// its serial, which takes longer than all else that makes a fork a node.
pub(crate) fn find_data() {
    let _ = DATA_DEVICE.set(disks::find(DATA));
}

/// Mounts the disk that survives reboots, if the node has one and it is not mounted yet.
///
/// Not at boot: in a template it must not be mounted, since each fork has a disk of its own.
pub(crate) fn data() -> anyhow::Result<()> {
    let known = DATA_DEVICE.get().cloned();
    let Some(device) = known.unwrap_or_else(|| disks::find(DATA)) else { return Ok(()) };
    let mounted = mount_at(&device, Path::new(DATA_TARGET), "ext4", NONE, DATA_OPTIONS);
    unless_mounted(mounted)
}

/// Mounts one file system, its folder made if need be.
pub(super) fn mount_at(
    source: &Path,
    target: &Path,
    kind: &str,
    flags: MsFlags,
    data: &str,
) -> anyhow::Result<()> {
    fs::create_dir_all(target)?;
    nix::mount::mount(Some(source), target, Some(kind), flags, Some(data)).with_context(|| {
        format!("cannot mount {kind} {} on {}", source.display(), target.display())
    })
}

impl Mount {
    fn make(&self) -> anyhow::Result<()> {
        let (source, target) = (Path::new(self.source), Path::new(self.target));
        // The kernel's own folders cannot be made: a kernel built without the feature lacks them.
        if self.target.starts_with("/sys/kernel/") && !target.exists() {
            kmsg::info(&format!("{} is not offered", self.target));
            return Ok(());
        }
        // The kernel itself may have mounted it (CONFIG_DEVTMPFS_MOUNT).
        unless_mounted(mount_at(source, target, self.kind, self.flags, self.data))
    }
}

/// EBUSY: the same file system is mounted there already.
fn unless_mounted(result: anyhow::Result<()>) -> anyhow::Result<()> {
    match result {
        Err(error) if error.downcast_ref() == Some(&Errno::EBUSY) => Ok(()),
        other => other,
    }
}
