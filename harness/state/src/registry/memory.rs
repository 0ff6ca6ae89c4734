//! Lines for mappings and memory.

use super::Kind::{Exact, Identity, Moment};
use super::Rule;
use super::lines::{CHOSEN, STATE, lines};

const SMAPS_FILE: &str = "/proc/PID/smaps";

pub(super) const MAPS: &[Rule] = lines!("task.*.map.*.", SMAPS_FILE;
    Identity("inode"), "", CHOSEN => "inode";
    Exact, "", "counts against the commit limit (VmFlags `ac`)" => "accounted";
    Exact, "", STATE => "perms", "pathname", "offset", "vmflags";
    Exact, "4.6", STATE => "protectionkey";
    Moment, "", "written to since somebody asked (VmFlags `sd`): history" => "softdirty";
);

pub(super) const GUARDS: &[Rule] = lines!("task.*.map.*.", "ioctl PAGEMAP_SCAN";
    Exact, "6.15", "guard pages of a shared mapping" => "guards";
);

pub(super) const MEMORY: &[Rule] = lines!("task.*.", "/proc/PID/mem";
    Exact, "", "guard pages, and pages past the end of a file" =>
        "memory.unreadable", "shared.*.unreadable";
);

/// Flags of a mapping in `VmFlags` (proc_pid_smaps(5), `show_smap_vma_flags()` in
/// fs/proc/task_mmu.c) and the kernel since which there are: all are compared, as `vmflags`, but
/// for `ac` and `sd`, which have facts of their own.
pub const VM_FLAGS: &[(&str, &str)] = &[
    ("rd", ""),
    ("wr", ""),
    ("ex", ""),
    ("sh", ""),
    ("mr", ""),
    ("mw", ""),
    ("me", ""),
    ("ms", ""),
    ("gd", ""),
    ("pf", ""),
    ("dw", ""),
    ("lo", ""),
    ("io", ""),
    ("sr", ""),
    ("rr", ""),
    ("dc", ""),
    ("de", ""),
    ("ac", ""),
    ("nr", ""),
    ("ht", ""),
    ("ar", ""),
    ("dd", ""),
    ("sd", ""),
    ("mm", ""),
    ("hg", ""),
    ("nh", ""),
    ("mg", ""),
    ("um", "4.3"),
    ("uw", "4.3"),
    ("sf", "4.15"),
    ("wf", "4.14"),
    ("ui", "5.13"),
    ("mt", "5.10"),
    ("bt", "5.8"),
    ("ss", "6.6"),
    ("sl", "6.10"),
    ("dp", "6.11"),
    ("lf", "6.14"),
    ("gu", "6.19"),
];
