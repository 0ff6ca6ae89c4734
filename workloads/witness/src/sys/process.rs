//! Attributes of the calling thread, and the old interval timer.
#![expect(unsafe_code, reason = "calls what nix does not wrap")]

use std::io;
use std::time::Duration;

use super::checked;

/// Sets the nice value of the calling thread.
pub fn set_nice(nice: i32) -> io::Result<()> {
    // SAFETY: takes numbers only; 0 is the calling thread.
    checked(unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, nice) }).map(drop)
}

/// The nice value of the calling thread.
pub fn nice() -> i32 {
    // SAFETY: takes numbers only, and cannot fail for the caller.
    unsafe { libc::getpriority(libc::PRIO_PROCESS, 0) }
}

/// Gives the calling thread the scheduling policy for batch work.
pub fn set_batch() -> io::Result<()> {
    set_policy(libc::SCHED_BATCH)
}

/// Gives the calling thread the scheduling policy for what nobody waits for.
pub fn set_idle() -> io::Result<()> {
    set_policy(libc::SCHED_IDLE)
}

fn set_policy(policy: i32) -> io::Result<()> {
    let none = libc::sched_param { sched_priority: 0 };
    // SAFETY: `none` lives through the call; 0 is the calling thread.
    checked(unsafe { libc::sched_setscheduler(0, policy, &raw const none) }).map(drop)
}

/// Scheduling policy of the calling thread.
pub fn policy() -> io::Result<i32> {
    // SAFETY: takes a number only.
    checked(unsafe { libc::sched_getscheduler(0) })
}

/// Arms one of the three timers of a process, such as ITIMER_REAL, which sends SIGALRM.
pub fn set_interval_timer(which: i32, first: Duration, interval: Duration) -> io::Result<()> {
    let new = libc::itimerval { it_interval: timeval(interval), it_value: timeval(first) };
    // SAFETY: `new` lives through the call, and the old value is not asked for.
    checked(unsafe { libc::setitimer(which, &raw const new, std::ptr::null_mut()) }).map(drop)
}

/// What is left of such a timer, and its interval.
pub fn interval_timer(which: i32) -> io::Result<(Duration, Duration)> {
    let mut now =
        libc::itimerval { it_interval: timeval(Duration::ZERO), it_value: timeval(Duration::ZERO) };
    // SAFETY: the kernel writes one itimerval.
    checked(unsafe { libc::getitimer(which, &raw mut now) })?;
    Ok((duration(now.it_value), duration(now.it_interval)))
}

fn timeval(duration: Duration) -> libc::timeval {
    libc::timeval {
        tv_sec: libc::time_t::try_from(duration.as_secs()).unwrap_or(libc::time_t::MAX),
        tv_usec: libc::suseconds_t::from(duration.subsec_micros()),
    }
}

fn duration(time: libc::timeval) -> Duration {
    Duration::from_secs(time.tv_sec.unsigned_abs())
        + Duration::from_micros(time.tv_usec.unsigned_abs())
}

/// Sleeps until a signal ends the process.
pub fn wait_for_ever() {
    loop {
        // SAFETY: takes nothing.
        unsafe { libc::pause() };
    }
}

/// Takes all capabilities from the calling thread, but not from the others.
pub fn drop_rights() -> io::Result<()> {
    // A header of version 3 for the calling thread, and three sets of 64 bits, all of them empty.
    let header = [0x2008_0522u32, 0];
    let sets = [0u32; 6];
    // SAFETY: capset reads a header of two words and data of six.
    match unsafe { libc::syscall(libc::SYS_capset, header.as_ptr(), sets.as_ptr()) } {
        -1 => Err(io::Error::last_os_error()),
        _ => Ok(()),
    }
}

/// Makes the calling thread, but not the others, that of another user and group.
pub fn become_user(user: u32, group: u32) -> io::Result<()> {
    for (call, id) in [(libc::SYS_setresgid, group), (libc::SYS_setresuid, user)] {
        // SAFETY: takes numbers only.
        if unsafe { libc::syscall(call, id, id, id) } == -1 {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(())
}
