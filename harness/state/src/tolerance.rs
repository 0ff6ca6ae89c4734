//! The one table of permitted differences. A tolerance is for what is *right* to differ; what is
//! lost is no tolerance.

mod devices;
mod images;
mod kernels;
mod registers;

use model::{Capture, Value};

use crate::registry;

/// What a tolerance is asked.
#[derive(Clone, Copy, Debug)]
pub struct Question<'a> {
    /// The fact, without the name of its container.
    pub fact: &'a str,
    /// Its name as it stands in the captures.
    pub full_name: &'a str,
    /// Its value before, if it was there.
    pub before: Option<&'a Value>,
    /// Its value after, if it is there.
    pub after: Option<&'a Value>,
    /// The whole of the capture before.
    pub capture_before: &'a Capture,
    /// The whole of the capture after.
    pub capture_after: &'a Capture,
    /// The time that may have passed in the pod between the captures.
    pub passed_ns: u64,
}

/// A permitted difference.
#[derive(Clone, Copy)]
pub struct Tolerance {
    /// Facts that may differ so, as patterns of the registry.
    pub pattern: &'static str,
    /// Whether this difference is the permitted one.
    pub permits: fn(&Question<'_>) -> bool,
    /// Why it is right.
    pub reason: &'static str,
    /// Where that can be looked up.
    pub source: &'static str,
}

impl std::fmt::Debug for Tolerance {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tolerance").field("pattern", &self.pattern).finish_non_exhaustive()
    }
}

/// The table.
pub const TOLERANCES: &[Tolerance] = &[
    Tolerance {
        pattern: "task.*.map.*.pathname",
        permits: shared_anonymous_renamed,
        reason: "shared anonymous memory is made again as a memfd: the name differs, content and \
                 sharing are compared",
        source: "CRIU criu/shmem.c; mmap(2)",
    },
    Tolerance {
        pattern: "task.*.map.*.accounted",
        permits: file_mapping_accounted,
        reason: "a private mapping of a file is made writable to fill it, and is accounted as such \
                 (VmFlags `ac`) from then on, also where it is read-only again",
        source: "mm/mprotect.c mprotect_fixup(); CRIU criu/mem.c",
    },
    Tolerance {
        pattern: "task.*.ns.time*",
        permits: time_namespace_made,
        reason: "CRIU restores into a time namespace so that the clocks go on; what they read is \
                 compared as `clock`",
        source: "CRIU criu/timens.c; time_namespaces(7)",
    },
    Tolerance {
        pattern: "task.*.fd.*.ticks",
        permits: timerfd_ticked,
        reason: "a timer goes on while its task is held: at most one tick for each interval that \
                 passed",
        source: "timerfd_create(2)",
    },
    Tolerance {
        pattern: "task.*.fd.*.it_value",
        permits: timerfd_went_round,
        reason: "what is left of a periodic timer begins again with each interval",
        source: "timerfd_create(2)",
    },
    Tolerance {
        pattern: "task.*.status.*pnd",
        permits: timer_signal_came,
        reason: "a timer of the task expired while it was held or looked at: its signal waits. What \
                 waited before is told by its siginfo, and compared",
        source: "timer_create(2), setitimer(2); ptrace(2) PTRACE_PEEKSIGINFO",
    },
    Tolerance {
        pattern: "task.*.status.sigblk",
        permits: mask_of_a_call,
        reason: "a task is frozen in a call that blocks other signals for as long as it lasts; what \
                 it blocks otherwise is compared, and is blocked until the call is begun anew",
        source: "sigsuspend(2), ppoll(2); kernel/ptrace.c, PTRACE_GETSIGMASK",
    },
    Tolerance {
        pattern: "task.*.traced.pending*",
        permits: timer_signal_queued,
        reason: "a timer of the task expired while it was held: its signal waits. Of a POSIX timer it \
                 has the code SI_TIMER; of ITIMER_REAL, which the kernel shows to its owner only, \
                 it is a SIGALRM by the kernel itself: such a timer is compared by the images",
        source: "timer_create(2), setitimer(2); kernel/time/itimer.c, it_real_fn()",
    },
    Tolerance {
        pattern: "task.*.traced.regs.r*",
        permits: registers::restarted,
        reason: "a system call that was interrupted is begun anew: the instruction pointer is back \
                 at it, with its number in rax",
        source: "CRIU compel/arch/x86/src/lib/infect.c, compel_get_task_regs(); signal(7)",
    },
    Tolerance {
        pattern: "task.*.traced.regs.orig_rax",
        permits: registers::in_no_call,
        reason: "a task that comes back from a signal frame is in no system call",
        source: "arch/x86/kernel/signal_64.c, restore_sigcontext()",
    },
    Tolerance {
        pattern: "task.*.mount.*.super_options",
        permits: devices::limits_of_another_boot,
        reason: "how much the node's devtmpfs may hold is what its kernel made of the memory that it \
                 found when it booted; the container has single devices of it",
        source: "mm/shmem.c, shmem_default_max_blocks()",
    },
];

/// Why a page of memory that the kernel may drop may read as zero.
pub const DROPPABLE: &str = "MAP_DROPPABLE memory (the C library's getrandom state): the kernel may \
                             drop it at any time, it then reads as zero";

/// All tolerances: of what the kernel shows, and of what images show.
pub fn all() -> impl Iterator<Item = &'static Tolerance> {
    TOLERANCES.iter().chain(images::TOLERANCES).chain(kernels::TOLERANCES)
}

/// The tolerance that permits a difference, if there is one.
#[must_use]
pub fn find(question: &Question<'_>) -> Option<&'static Tolerance> {
    all().find(|tolerance| {
        registry::matches(tolerance.pattern, question.fact) && (tolerance.permits)(question)
    })
}

impl Question<'_> {
    fn exact(&self) -> Option<(&str, &str)> {
        match (self.before, self.after) {
            (Some(Value::Exact(before)), Some(Value::Exact(after))) => Some((before, after)),
            _ => None,
        }
    }

    /// Another fact of the same thing, in one of the captures.
    fn beside<'c>(&self, capture: &'c Capture, word: &str) -> Option<&'c Value> {
        let (thing, _) = self.full_name.rsplit_once('.')?;
        capture.facts.get(&format!("{thing}.{word}"))
    }

    /// Nanoseconds between two expirations of a timerfd.
    fn interval_ns(&self) -> Option<u64> {
        match self.beside(self.capture_before, "it_interval")? {
            Value::Exact(text) => text.parse().ok().filter(|&interval| interval > 0),
            _ => None,
        }
    }
}

fn shared_anonymous_renamed(question: &Question<'_>) -> bool {
    question.exact() == Some(("/dev/zero (deleted)", "/memfd:/dev/zero (deleted)"))
}

/// Of a file, in part or not at all before, and as a whole after.
fn file_mapping_accounted(question: &Question<'_>) -> bool {
    question.exact().is_some_and(|(_, after)| after == "all")
        && question.beside(question.capture_before, "inode").is_some()
}

/// From the node's own time namespace into another one.
fn time_namespace_made(question: &Question<'_>) -> bool {
    let node = |capture: &Capture| capture.facts.get("node.ns.time").cloned();
    let (before, after) = (node(question.capture_before), node(question.capture_after));
    question.before == before.as_ref()
        && question.after.is_some()
        && question.after != after.as_ref()
}

fn timerfd_ticked(question: &Question<'_>) -> bool {
    let Some((before, after)) = question.exact() else { return false };
    let (Ok(before), Ok(after)) = (before.parse::<u64>(), after.parse::<u64>()) else {
        return false;
    };
    let intervals = question.interval_ns().map_or(0, |interval| question.passed_ns / interval);
    after > before && after - before <= intervals.saturating_add(1)
}

fn timerfd_went_round(question: &Question<'_>) -> bool {
    let (Some(Value::Clock { ns: before }), Some(Value::Clock { ns: after })) =
        (question.before, question.after)
    else {
        return false;
    };
    let Some(interval) = question.interval_ns().map(u64::cast_signed) else {
        return false;
    };
    let went = before.wrapping_sub(*after).rem_euclid(interval).cast_unsigned();
    (0..=interval).contains(after) && went <= question.passed_ns
}

/// The mask is back to what it was before the call, and that is the same.
fn mask_of_a_call(question: &Question<'_>) -> bool {
    let Some(thread) = question.full_name.strip_suffix(".status.sigblk") else { return false };
    let lasting = |capture: &Capture| match capture.facts.get(&format!("{thread}.traced.sigmask")) {
        Some(Value::Exact(mask)) => Some(mask.clone()),
        _ => None,
    };
    let (before, after) = (lasting(question.capture_before), lasting(question.capture_after));
    before.is_some()
        && before == after
        && question.exact().is_some_and(|(_, now)| Some(now) == after.as_deref())
}

/// Every signal that waits now and did not before is one of the task's timers, or waited before by
/// its siginfo, which is read a moment after the mask.
fn timer_signal_came(question: &Question<'_>) -> bool {
    let Some((before, after)) = question.exact() else { return false };
    let (Ok(before), Ok(after)) = (u64::from_str_radix(before, 16), u64::from_str_radix(after, 16))
    else {
        return false;
    };
    let task = question.full_name.split(".thread.").next().unwrap_or_default();
    let task = task.split(".status.").next().unwrap_or_default();
    let thread = question.full_name.split(".status.").next().unwrap_or_default();
    let capture = question.capture_before;
    let mut expected = timer_signals(capture, task) | waiting_signals(capture, thread);
    let pending = format!("{thread}.traced.pending");
    let queued = question.capture_after.facts.range(pending.clone()..);
    let mut queued = queued.map(|(fact, _)| fact).take_while(|fact| fact.starts_with(&pending));
    if queued.any(|fact| is_alarm(question.capture_after, fact)) {
        expected |= 1 << (libc::SIGALRM - 1);
    }
    before & !after == 0 && after & !before & !expected == 0
}

/// Signals that wait for a thread or its process by their siginfo, as a mask.
fn waiting_signals(capture: &Capture, thread: &str) -> u64 {
    signals(capture, &format!("{thread}.traced.pending"), ".si_signo")
}

/// A new entry at the end of the queue, by a timer.
fn timer_signal_queued(question: &Question<'_>) -> bool {
    let code = question.beside(question.capture_after, "si_code");
    let is_of_timer = code == Some(&Value::Exact("-2".to_owned()))
        || is_alarm(question.capture_after, question.full_name);
    question.before.is_none() && is_of_timer
}

/// Whether the queued signal to which a fact belongs is the kernel's own SIGALRM (SI_KERNEL). No
/// process can send such a one.
fn is_alarm(capture: &Capture, fact: &str) -> bool {
    let Some((entry, _)) = fact.rsplit_once('.') else { return false };
    let is = |word: &str, number: i32| {
        let value = capture.facts.get(&format!("{entry}.{word}"));
        value == Some(&Value::Exact(number.to_string()))
    };
    is("si_signo", libc::SIGALRM) && is("si_code", 0x80)
}

/// Signals of a task's POSIX timers, as a mask; `signal` is `NUMBER/VALUE`.
fn timer_signals(capture: &Capture, task: &str) -> u64 {
    signals(capture, &format!("{task}.timer."), ".signal")
}

/// The numbers of signals at the beginning of facts with this head and tail, as a mask.
fn signals(capture: &Capture, head: &str, tail: &str) -> u64 {
    let facts = capture.facts.range(head.to_owned()..);
    let of_head = facts.take_while(|(fact, _)| fact.starts_with(head));
    of_head
        .filter(|(fact, _)| fact.ends_with(tail))
        .filter_map(|(_, value)| match value {
            Value::Exact(text) => text.split('/').next()?.trim().parse::<u32>().ok(),
            _ => None,
        })
        .filter(|number| (1..=64).contains(number))
        .fold(0, |mask, number| mask | 1 << (number - 1))
}
