//! What a line of the console says of the kernel.

/// The meaning of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sign {
    /// The kernel is about to run init.
    Init,
    /// A trace begins that may lead to the end.
    Alarm,
    /// An oops begins, with the line that says what happened.
    Oops,
    /// `Oops: 0002 [#1] SMP`: the line that every oops has (`__die_header`, arch/x86/kernel/dumpstack.c).
    Die,
    /// The kernel panics.
    Panic,
    /// It panics because of the oops before (`oops=panic`), and has no words of its own for it.
    FatalException,
    /// It could not even be unpacked (arch/x86/boot/compressed/error.c); why stands before it.
    Halted,
    /// The kernel looks for somebody to kill: for lack of memory, or of what a cgroup may have.
    OomReport,
    /// It killed somebody for lack of memory. In a cgroup with a limit that is the workload's own
    /// affair, and has no sign.
    OomKill,
    /// A CPU or a task has not moved for long: under TCG for minutes, see `EMULATED_WORDS` in
    /// `command.rs`. Its trace follows.
    Lockup,
}

/// The kernel's own words when it hands over to user space (`run_init_process`, init/main.c).
const INIT: &str = "Run /init as init process";

/// What [`Sign::Halted`] is known by. The line is never ended.
pub(super) const HALTED: &str = " -- System halted";

/// What is certain whatever else the line says, in order.
const CERTAIN: [(&str, Sign); 4] = [
    (INIT, Sign::Init),
    ("Kernel panic - not syncing: Fatal exception", Sign::FatalException),
    ("Kernel panic", Sign::Panic),
    (HALTED, Sign::Halted),
];

/// Soft and hard lockups (kernel/watchdog.c), stalls (kernel/rcu/tree_stall.h, in older kernels
/// `INFO: rcu_sched`), tasks that hang (kernel/hung_task.c), queues (kernel/workqueue.c).
const LOCKUPS: [&str; 6] = [
    "BUG: soft lockup",
    "hard LOCKUP on cpu",
    "detected stall",
    "detected expedited stalls",
    " blocked for more than ",
    "BUG: workqueue lockup",
];

const OOPSES: [&str; 4] = [
    "BUG: unable to handle",
    "BUG: kernel NULL pointer dereference",
    "kernel BUG at",
    "stack guard page was hit",
];

/// A program's fault is logged in some of these words, too: what follows decides.
const ALARMS: [&str; 4] = ["BUG: ", "Oops: ", "general protection fault", "invalid opcode"];

impl Sign {
    /// The meaning of a line, if it has one.
    pub(super) fn of(line: &str) -> Option<Sign> {
        let has = |words: &&str| line.contains(words);
        if let Some((_, sign)) = CERTAIN.iter().find(|(words, _)| has(words)) {
            return Some(*sign);
        }
        if line.contains("invoked oom-killer") {
            return Some(Sign::OomReport);
        }
        if line.contains("Out of memory") && line.contains("Killed process") {
            return Some(Sign::OomKill);
        }
        if LOCKUPS.iter().any(has) {
            return Some(Sign::Lockup);
        }
        if is_die(line) {
            return Some(Sign::Die);
        }
        if OOPSES.iter().any(has) {
            return Some(Sign::Oops);
        }
        ALARMS.iter().any(has).then_some(Sign::Alarm)
    }
}

/// Whether the line is like `general protection fault, maybe for address 0x0: 0000 [#1] PREEMPT`.
fn is_die(line: &str) -> bool {
    let parts = || {
        let (before, after) = line.split_once(" [#")?;
        let (_, code) = before.rsplit_once(": ")?;
        Some((code, after.split_once(']')?.0))
    };
    let number = |text: &str, radix| u32::from_str_radix(text, radix).is_ok();
    parts().is_some_and(|(code, count)| code.len() == 4 && number(code, 16) && number(count, 10))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_real_kernels_are_known_for_what_they_are() {
        let lines = [
            ("[    1.1] Run /init as init process", Some(Sign::Init)),
            ("[    1.2] BUG: kernel NULL pointer dereference, address: 08", Some(Sign::Oops)),
            ("[    1.2] BUG: unable to handle page fault for address: ffff", Some(Sign::Oops)),
            ("[    1.2] kernel BUG at mm/slub.c:448!", Some(Sign::Oops)),
            ("[    1.2] Oops: Oops: 0002 [#1] PREEMPT SMP NOPTI", Some(Sign::Die)),
            ("[    1.2] invalid opcode: 0000 [#12] SMP PTI", Some(Sign::Die)),
            ("[    1.2] divide error: 0000 [#1] SMP", Some(Sign::Die)),
            ("[    1.2] traps: a[9] general protection fault ip:4 sp:7", Some(Sign::Alarm)),
            ("[    1.2] BUG: Bad page state in process a  pfn:1", Some(Sign::Alarm)),
            (
                "[    1.3] Kernel panic - not syncing: Fatal exception in interrupt",
                Some(Sign::FatalException),
            ),
            ("[    1.3] Kernel panic - not syncing: Out of memory: x", Some(Sign::Panic)),
            ("[    2.1] a invoked oom-killer: gfp_mask=0x1", Some(Sign::OomReport)),
            ("[    2.2] Out of memory: Killed process 9 (a) total-vm:1kB", Some(Sign::OomKill)),
            ("[    2.2] Memory cgroup out of memory: Killed process 9 (a)", None),
            ("[    3.1] watchdog: BUG: soft lockup - CPU#0 stuck for 26s!", Some(Sign::Lockup)),
            (
                "[    3.1] watchdog: CPU1: Watchdog detected hard LOCKUP on cpu 1",
                Some(Sign::Lockup),
            ),
            ("[    3.1] rcu: INFO: rcu_preempt self-detected stall on CPU", Some(Sign::Lockup)),
            ("[    3.1] rcu: INFO: rcu_sched detected stalls on CPUs/tasks:", Some(Sign::Lockup)),
            ("[    3.1] INFO: task a:9 blocked for more than 120 seconds.", Some(Sign::Lockup)),
            ("[    4.1] a[9]: segfault at 0 ip 4 sp 7 error 4 in a[4+1]", None),
            ("[    4.1] usb 1-1: device [#1] of 2", None),
        ];
        for (line, sign) in lines {
            assert_eq!(Sign::of(line), sign, "{line}");
        }
    }
}
