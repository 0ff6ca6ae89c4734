//! What may differ because a pod has come back on another kernel, and only then.

use model::{Capture, Value};

use super::{Question, Tolerance};
use crate::kernel;

/// Option of an overlay that kernels show from 6.6 on.
const OVERLAY_UUID: &str = "uuid=on";

/// The kernel that shows the slice of a task which is not a deadline's.
const SLICES: (u32, u32) = (6, 12);

pub(super) const TOLERANCES: &[Tolerance] = &[
    Tolerance {
        pattern: "task.*.map.*",
        permits: own_mapping,
        reason: kernel::REPLACED,
        source: "CRIU criu/pie/parasite-vdso.c, vdso_proxify()",
    },
    Tolerance {
        pattern: "task.*.map.*.accounted",
        permits: on_another_kernel,
        reason: "kernels account memory for overcommitment by rules of their own (VmFlags `ac`); no \
                 process can see it",
        source: "mm/mprotect.c, mprotect_fixup(), as changed in 6.7",
    },
    Tolerance {
        pattern: "task.*.stat.vsize",
        permits: grown_by_own_mappings,
        reason: "the new kernel's [vdso] and [vvar] are there beside the old ones",
        source: "CRIU criu/pie/parasite-vdso.c, vdso_proxify()",
    },
    Tolerance {
        pattern: "task.*.status.vm*",
        permits: grown_by_own_mappings,
        reason: "the new kernel's [vdso] and [vvar] are there beside the old ones",
        source: "CRIU criu/pie/parasite-vdso.c, vdso_proxify()",
    },
    Tolerance {
        pattern: "task.*.sched.sched_runtime",
        permits: slice_not_shown,
        reason: "kernels from 6.12 on show the slice of an ordinary task, older ones 0",
        source: "kernel/sched/syscalls.c, get_params(); sched_setattr(2)",
    },
    Tolerance {
        pattern: "task.*.mount.*.super_options",
        permits: overlay_uuid,
        reason: "kernels from 6.6 on show that an overlay has a UUID of its own",
        source: "fs/overlayfs/params.c, ovl_show_options()",
    },
    Tolerance {
        pattern: "image.mountpoints.*.options",
        permits: overlay_uuid,
        reason: "kernels from 6.6 on show that an overlay has a UUID of its own",
        source: "fs/overlayfs/params.c, ovl_show_options()",
    },
];

fn on_another_kernel(question: &Question<'_>) -> bool {
    kernel::differs(question.capture_before, question.capture_after)
}

/// The mapping is the kernel's own in one of the captures.
fn own_mapping(question: &Question<'_>) -> bool {
    let name = |capture| question.beside(capture, "pathname");
    let names = [name(question.capture_before), name(question.capture_after)];
    on_another_kernel(question) && names.into_iter().flatten().any(kernel::is_own)
}

/// There is just so much more as the new mappings take, or a part of them; in bytes, or in `kB`.
fn grown_by_own_mappings(question: &Question<'_>) -> bool {
    let bytes = |text: &str| match text.split_once(' ') {
        Some((number, "kB")) => number.parse::<u64>().ok()?.checked_mul(1024),
        _ => text.parse().ok(),
    };
    let task = question.full_name.rsplitn(3, '.').nth(2).unwrap_or_default();
    let own = |capture: &Capture| -> u64 {
        let own = kernel::own_mappings(capture).filter(|(of, _)| *of == task);
        own.map(|(_, range)| range.end.saturating_sub(range.start)).sum()
    };
    let Some((before, after)) = question.exact() else { return false };
    let grown = bytes(before).zip(bytes(after)).and_then(|(was, is)| is.checked_sub(was));
    on_another_kernel(question) && grown.is_some_and(|grown| grown <= own(question.capture_after))
}

/// The side that says 0 is of a kernel that knows no slice.
fn slice_not_shown(question: &Question<'_>) -> bool {
    let of_old = |value: Option<&Value>, capture: &Capture| {
        value == Some(&Value::Exact("0".to_owned())) && kernel::is_before(capture, SLICES)
    };
    of_old(question.before, question.capture_before)
        != of_old(question.after, question.capture_after)
}

/// Apart from that option, which one of them has, the options are the same.
fn overlay_uuid(question: &Question<'_>) -> bool {
    let Some((before, after)) = question.exact() else { return false };
    let without = |text: &str| {
        let options = text.split(',').filter(|option| *option != OVERLAY_UUID);
        options.map(str::to_owned).collect::<Vec<_>>()
    };
    on_another_kernel(question) && without(before) == without(after)
}
