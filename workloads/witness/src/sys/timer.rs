//! POSIX timers on any clock, without the C library's own book-keeping.
#![expect(unsafe_code, reason = "nix knows neither all clocks nor signals of real time here")]

use std::io;

use super::checked;

/// Whom a timer tells that it has expired.
#[derive(Clone, Copy, Debug)]
pub enum Tell {
    /// Nobody: it must be asked.
    Nobody,
    /// The process, by a signal with a value.
    Process {
        /// Number of the signal.
        signal: i32,
        /// What comes with it.
        value: usize,
    },
}

/// A timer of this process.
#[derive(Debug)]
pub struct Timer(libc::timer_t);

// SAFETY: a timer is a number of the process, whatever type it has.
unsafe impl Send for Timer {}

impl Timer {
    /// Makes a timer on a clock.
    pub fn new(clock: libc::clockid_t, tell: Tell) -> io::Result<Self> {
        // SAFETY: all-zero is a valid sigevent.
        let mut event: libc::sigevent = unsafe { std::mem::zeroed() };
        event.sigev_notify = libc::SIGEV_NONE;
        if let Tell::Process { signal, value } = tell {
            event.sigev_notify = libc::SIGEV_SIGNAL;
            event.sigev_signo = signal;
            event.sigev_value = libc::sigval { sival_ptr: value as *mut libc::c_void };
        }
        let mut timer = std::ptr::null_mut();
        // SAFETY: the event lives through the call, and the timer is written.
        checked(unsafe { libc::timer_create(clock, &raw mut event, &raw mut timer) })?;
        Ok(Timer(timer))
    }

    /// Sets the nanoseconds until it expires, and those between.
    pub fn arm(&self, first_ns: i64, interval_ns: i64) -> io::Result<()> {
        let new = libc::itimerspec { it_interval: time(interval_ns), it_value: time(first_ns) };
        // SAFETY: `new` lives through the call, and the old value is not asked for.
        checked(unsafe { libc::timer_settime(self.0, 0, &raw const new, std::ptr::null_mut()) })
            .map(drop)
    }

    /// The nanoseconds until it expires, and those between.
    pub fn left(&self) -> io::Result<(i64, i64)> {
        let mut now = libc::itimerspec { it_interval: time(0), it_value: time(0) };
        // SAFETY: the kernel writes one itimerspec.
        checked(unsafe { libc::timer_gettime(self.0, &raw mut now) })?;
        let of = |time: libc::timespec| time.tv_sec * 1_000_000_000 + time.tv_nsec;
        Ok((of(now.it_value), of(now.it_interval)))
    }

    /// Takes it away.
    pub fn remove(self) -> io::Result<()> {
        // SAFETY: the timer is this process's, and nobody has its number afterwards.
        checked(unsafe { libc::timer_delete(self.0) }).map(drop)
    }
}

fn time(ns: i64) -> libc::timespec {
    libc::timespec { tv_sec: ns / 1_000_000_000, tv_nsec: ns % 1_000_000_000 }
}
