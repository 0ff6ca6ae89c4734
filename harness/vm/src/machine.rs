//! A machine as a value: everything that decides how it boots, apart from booting it.

use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use crate::accel::Pace;
use crate::{Accel, Qemu};

/// How long a boot may take, in seconds.
const BOOT_S: u64 = 120;

/// A machine to boot: a q35 with a serial console, the agent's port, and no other defaults.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Machine {
    /// What runs it.
    pub qemu: Qemu,
    /// How its instructions are carried out.
    pub accel: Accel,
    /// How its time passes.
    pub time: Time,
    /// A bzImage, or a `vmlinux` with a PVH entry.
    pub kernel: PathBuf,
    /// The initramfs whose `/init` is the agent.
    pub initramfs: PathBuf,
    /// Words that come after the usual ones on the kernel's command line, so that they win.
    pub command_line: Vec<String>,
    /// Memory, in MiB.
    pub memory_mib: u32,
    /// Number of CPUs; virtual time allows one.
    pub cpus: u32,
    /// QEMU's word for the CPU model; by default all that the accelerator has.
    pub cpu_model: Option<String>,
    /// Disks that the guest only reads, in the order in which it finds them.
    pub disks: Vec<Disk>,
    /// Bytes of the disk `data`, the one that the guest writes to, if it has one.
    pub data_bytes: Option<u64>,
    /// Number of network cards.
    pub cards: u8,
    /// How long the agent may take to say hello under TCG in real time, in seconds; see [`Pace`].
    pub boot_deadline_s: u64,
}

/// How a machine's time passes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Time {
    /// As everywhere.
    #[default]
    Real,
    /// By instructions: one is one nanosecond; while a machine is idle, its time is the host's.
    /// Times measured in the guest repeat on a noisy host. TCG only, one CPU.
    Virtual,
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
            time: Time::Real,
            kernel: kernel.into(),
            initramfs: initramfs.into(),
            command_line: Vec::new(),
            memory_mib: 1024,
            cpus: 2,
            cpu_model: None,
            disks: Vec::new(),
            data_bytes: None,
            cards: 0,
            boot_deadline_s: BOOT_S,
        }
    }

    /// The time of day that a node starts with, in nanoseconds since 1970, so much behind the host's;
    /// none where time is not that of the day.
    pub(crate) fn time_of_day(&self, behind: Duration) -> Option<u64> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).ok()?.saturating_sub(behind);
        match self.time {
            Time::Real => u64::try_from(now.as_nanos()).ok(),
            Time::Virtual => None,
        }
    }

    /// How fast it is.
    #[must_use]
    pub fn pace(&self) -> Pace {
        match (self.accel, self.time) {
            (Accel::Kvm, _) => Pace::Quick,
            (Accel::Tcg, Time::Real) => Pace::Emulated,
            (Accel::Tcg, Time::Virtual) => Pace::Counted,
        }
    }

    /// How long its agent may take to say hello, before its pace is taken into account.
    pub(crate) fn boot_patience(&self) -> Duration {
        Duration::from_secs(self.boot_deadline_s)
    }

    /// How long its agent may take to say hello.
    #[must_use]
    pub fn boot_deadline(&self) -> Duration {
        self.pace().on_host(self.boot_patience())
    }
}

/// A virtio disk that the guest only reads: its file can serve many machines.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Disk {
    /// By this the guest recognises it: `/sys/block/*/serial`, at most 20 bytes.
    pub serial: String,
    /// A raw image on the host.
    pub path: PathBuf,
}

impl Disk {
    /// A raw image that the guest only reads.
    #[must_use]
    pub fn read_only(serial: impl Into<String>, path: impl Into<PathBuf>) -> Disk {
        Disk { serial: serial.into(), path: path.into() }
    }
}
