//! What is mounted where.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::Context;
use fs_err as fs;
use nix::errno::Errno;
use nix::mount::MsFlags;

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
const DISK_MOUNTS: [(&str, &str, &str, MsFlags); 4] = [
    ("modules", "/usr/lib/modules", "erofs", MsFlags::MS_RDONLY),
    ("criu", "/criu", "erofs", MsFlags::MS_RDONLY),
    ("workload", "/run/cryolab/images/workload", "erofs", MsFlags::MS_RDONLY),
    ("data", "/data", "ext4", NONE),
];

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

/// Mounts the disks that the node has.
pub(super) fn disks(disks: &BTreeMap<String, PathBuf>) -> anyhow::Result<()> {
    for (serial, target, kind, flags) in DISK_MOUNTS {
        if let Some(device) = disks.get(serial) {
            mount_at(device, Path::new(target), kind, flags, "")?;
        }
    }
    Ok(())
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
        let made = mount_at(source, target, self.kind, self.flags, self.data);
        match made {
            // Mounted by the kernel itself (CONFIG_DEVTMPFS_MOUNT).
            Err(error) if error.downcast_ref() == Some(&Errno::EBUSY) => Ok(()),
            other => other,
        }
    }
}
