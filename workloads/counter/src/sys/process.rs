//! Attributes of the calling thread, and the old interval timer.
#![expect(unsafe_code, reason = "calls what nix does not wrap")]

use std::io;
use std::time::Duration;

use super::checked;

/// Sets the nice value of the calling thread.
pub(crate) fn set_nice(nice: i32) -> io::Result<()> {
    // SAFETY: takes numbers only; 0 is the calling thread.
    checked(unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, nice) }).map(drop)
}

/// The nice value of the calling thread.
pub(crate) fn nice() -> i32 {
    // SAFETY: takes numbers only, and cannot fail for the caller.
    unsafe { libc::getpriority(libc::PRIO_PROCESS, 0) }
}

/// Gives the calling thread the scheduling policy for batch work.
pub(crate) fn set_batch() -> io::Result<()> {
    let none = libc::sched_param { sched_priority: 0 };
    // SAFETY: `none` lives through the call; 0 is the calling thread.
    checked(unsafe { libc::sched_setscheduler(0, libc::SCHED_BATCH, &raw const none) }).map(drop)
}

/// Scheduling policy of the calling thread.
pub(crate) fn policy() -> io::Result<i32> {
    // SAFETY: takes a number only.
    checked(unsafe { libc::sched_getscheduler(0) })
}

/// Arms the timer that sends SIGALRM.
pub(crate) fn set_interval_timer(first: Duration, interval: Duration) -> io::Result<()> {
    let new = libc::itimerval { it_interval: timeval(interval), it_value: timeval(first) };
    // SAFETY: `new` lives through the call, and the old value is not asked for.
    checked(unsafe { libc::setitimer(libc::ITIMER_REAL, &raw const new, std::ptr::null_mut()) })
        .map(drop)
}

/// What is left of the timer that sends SIGALRM, and its interval.
pub(crate) fn interval_timer() -> io::Result<(Duration, Duration)> {
    let mut now =
        libc::itimerval { it_interval: timeval(Duration::ZERO), it_value: timeval(Duration::ZERO) };
    // SAFETY: the kernel writes one itimerval.
    checked(unsafe { libc::getitimer(libc::ITIMER_REAL, &raw mut now) })?;
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
