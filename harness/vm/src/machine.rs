//! A machine as a value: everything that decides how it boots, apart from booting it.

use std::path::PathBuf;
use std::time::Duration;

use serde::Serialize;

use crate::{Accel, Qemu};

/// A machine to boot: a q35 with a serial console, the agent's port, and no other defaults.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Machine {
    /// What runs it.
    pub qemu: Qemu,
    /// How its instructions are carried out.
    pub accel: Accel,
    /// A bzImage, or a `vmlinux` with a PVH entry.
    pub kernel: PathBuf,
    /// The initramfs whose `/init` is the agent.
    pub initramfs: PathBuf,
    /// Words that come after the usual ones on the kernel's command line, so that they win.
    pub command_line: Vec<String>,
    /// Memory, in MiB.
    pub memory_mib: u32,
    /// Number of CPUs.
    pub cpus: u32,
    /// Disks, in the order in which the guest finds them.
    pub disks: Vec<Disk>,
    /// Whether there is a network card behind which QEMU plays a router to the outside.
    pub user_network: bool,
    /// Seeds what QEMU gives the guest as random; without it each boot is different.
    pub seed: Option<u64>,
    /// How long the agent may take to say hello, in seconds.
    pub boot_deadline_s: u64,
}

impl Machine {
    /// A machine with two CPUs, a gibibyte of memory and no disks.
    ///
    /// Two, because one CPU would hide what depends on affinity and SMP state.
    #[must_use]
    pub fn new(
        qemu: Qemu,
        accel: Accel,
        kernel: impl Into<PathBuf>,
        initramfs: impl Into<PathBuf>,
    ) -> Machine {
        Machine {
            qemu,
            accel,
            kernel: kernel.into(),
            initramfs: initramfs.into(),
            command_line: Vec::new(),
            memory_mib: 1024,
            cpus: 2,
            disks: Vec::new(),
            user_network: false,
            seed: None,
            boot_deadline_s: accel.boot_deadline().as_secs(),
        }
    }

    pub(crate) fn boot_deadline(&self) -> Duration {
        Duration::from_secs(self.boot_deadline_s)
    }
}

/// A virtio disk.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Disk {
    /// By this the guest recognises it: `/sys/block/*/serial`, at most 20 bytes.
    pub serial: String,
    /// The file on the host.
    pub path: PathBuf,
    /// How the file is to be read.
    pub format: DiskFormat,
    /// Whether the guest may write to it; a file that nobody writes can serve many machines.
    pub read_only: bool,
}

impl Disk {
    /// A raw image that the guest only reads.
    #[must_use]
    pub fn read_only(serial: impl Into<String>, path: impl Into<PathBuf>) -> Disk {
        let (serial, path) = (serial.into(), path.into());
        Disk { serial, path, format: DiskFormat::Raw, read_only: true }
    }

    /// A raw image that the guest reads and writes.
    #[must_use]
    pub fn writable(serial: impl Into<String>, path: impl Into<PathBuf>) -> Disk {
        Disk { read_only: false, ..Disk::read_only(serial, path) }
    }
}

/// Format of a disk's file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum DiskFormat {
    /// The bytes of the disk, one after the other.
    Raw,
    /// QEMU's own format.
    Qcow2,
}

impl DiskFormat {
    /// The name of QEMU's block driver.
    pub(crate) fn driver(self) -> &'static str {
        match self {
            DiskFormat::Raw => "raw",
            DiskFormat::Qcow2 => "qcow2",
        }
    }
}
