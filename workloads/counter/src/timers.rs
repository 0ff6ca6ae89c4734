//! Timers that run for hours: what is left of them and what has passed must add up.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use nix::sys::signal::{SigEvent, SigevNotify, Signal};
use nix::sys::time::{TimeSpec, TimeValLike};
use nix::sys::timer::{Expiration, Timer, TimerSetTimeFlags};
use nix::sys::timerfd::{ClockId, TimerFd, TimerFlags};
use nix::time::ClockId as Clock;

use crate::clocks::{monotonic, nanoseconds};
use witness::sys::{process, signal};
use witness::{Context, Findings, Witness};

/// How far a timer may be from where it should be: the time that a restore takes.
const TOLERANCE_NS: i128 = 60_000_000_000;

/// What comes with the signal of the timer that has one.
const VALUE: isize = 0x7157;

/// A timer's name, first expiration, and interval.
#[derive(Clone, Copy, Debug)]
struct Setting {
    name: &'static str,
    first: Duration,
    interval: Duration,
}

const fn hours(name: &'static str, first: u64, interval: u64) -> Setting {
    Setting {
        name,
        first: Duration::from_secs(first * 3600),
        interval: Duration::from_secs(interval * 3600),
    }
}

const DESCRIPTOR: Setting = hours("timerfd.monotonic", 30, 10);
const DESCRIPTOR_REAL: Setting = hours("timerfd.realtime", 50, 0);
const POSIX: Setting = hours("posix.monotonic", 20, 5);
const POSIX_REAL: Setting = hours("posix.realtime", 40, 0);
const INTERVAL: Setting = hours("itimer", 60, 2);

/// The witness.
#[derive(Debug)]
pub(crate) struct Timers {
    armed: Duration,
    descriptor: TimerFd,
    descriptor_real: TimerFd,
    posix: Timer,
    posix_real: Timer,
}

impl Timers {
    /// Arms them.
    pub(crate) fn new() -> io::Result<Self> {
        let flags = TimerFlags::TFD_NONBLOCK | TimerFlags::TFD_CLOEXEC;
        let event = SigevNotify::SigevSignal { signal: Signal::SIGUSR2, si_value: VALUE };
        let mut timers = Timers {
            armed: monotonic()?,
            descriptor: TimerFd::new(ClockId::CLOCK_MONOTONIC, flags)?,
            descriptor_real: TimerFd::new(ClockId::CLOCK_REALTIME, flags)?,
            posix: Timer::new(Clock::CLOCK_MONOTONIC, SigEvent::new(event))?,
            posix_real: Timer::new(Clock::CLOCK_REALTIME, SigEvent::new(SigevNotify::SigevNone))?,
        };
        timers.arm().context("arm")?;
        Ok(timers)
    }

    fn arm(&mut self) -> io::Result<()> {
        let none = nix::sys::timerfd::TimerSetTimeFlags::empty();
        self.descriptor.set(DESCRIPTOR.expiration(), none)?;
        self.descriptor_real.set(DESCRIPTOR_REAL.expiration(), none)?;
        arm(&mut self.posix, POSIX.expiration())?;
        arm(&mut self.posix_real, POSIX_REAL.expiration())?;
        process::set_interval_timer(libc::ITIMER_REAL, INTERVAL.first, INTERVAL.interval)
    }

    /// The timer that an epoll may watch.
    pub(crate) fn descriptor(&self) -> BorrowedFd<'_> {
        self.descriptor.as_fd()
    }

    /// All of them, as they are now.
    fn left(&self) -> [(Setting, io::Result<(Duration, Duration)>); 5] {
        [
            (DESCRIPTOR, left(self.descriptor.get())),
            (DESCRIPTOR_REAL, left(self.descriptor_real.get())),
            (POSIX, left(self.posix.get())),
            (POSIX_REAL, left(self.posix_real.get())),
            (INTERVAL, process::interval_timer(libc::ITIMER_REAL)),
        ]
    }
}

impl Witness for Timers {
    fn name(&self) -> &'static str {
        "timers"
    }

    fn check(&mut self, findings: &mut Findings) {
        let Some(now) = findings.tried("clock", monotonic()) else { return };
        let passed = nanoseconds(now) - nanoseconds(self.armed);
        for (setting, left) in self.left() {
            let Some((left, interval)) = findings.tried(setting.name, left) else { continue };
            let expected = nanoseconds(setting.first) - passed;
            let range = expected - TOLERANCE_NS..=expected + TOLERANCE_NS;
            findings.within(&format!("{}.left", setting.name), range, nanoseconds(left));
            findings.equal(&format!("{}.interval", setting.name), setting.interval, interval);
        }
    }

    fn finish(&mut self, findings: &mut Findings) {
        let soon = Expiration::OneShot(TimeSpec::milliseconds(20));
        findings.tried("posix.arm", arm(&mut self.posix, soon));
        let taken = signal::take(&[libc::SIGUSR2], Duration::from_secs(20));
        if let Some(found) = findings.tried("posix.expire", taken) {
            let found = found.map(|taken| (taken.code, taken.value as isize));
            findings.equal("posix.expire", Some((libc::SI_TIMER, VALUE)), found);
        }
        let flags = nix::sys::timerfd::TimerSetTimeFlags::empty();
        let armed = self.descriptor_real.set(soon, flags).map_err(io::Error::from);
        findings.tried("timerfd.arm", armed.and_then(|()| await_expiry(&self.descriptor_real)));
    }
}

impl Setting {
    fn expiration(self) -> Expiration {
        let first = TimeSpec::from_duration(self.first);
        if self.interval.is_zero() {
            return Expiration::OneShot(first);
        }
        Expiration::IntervalDelayed(first, TimeSpec::from_duration(self.interval))
    }
}

fn arm(timer: &mut Timer, expiration: Expiration) -> io::Result<()> {
    Ok(timer.set(expiration, TimerSetTimeFlags::empty())?)
}

fn left(found: nix::Result<Option<Expiration>>) -> io::Result<(Duration, Duration)> {
    Ok(match found? {
        None => (Duration::ZERO, Duration::ZERO),
        Some(Expiration::OneShot(left)) => (left.into(), Duration::ZERO),
        Some(Expiration::IntervalDelayed(left, interval)) => (left.into(), interval.into()),
        Some(Expiration::Interval(interval)) => (interval.into(), interval.into()),
    })
}

fn await_expiry(timer: &TimerFd) -> io::Result<()> {
    use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
    let mut wanted = [PollFd::new(timer.as_fd(), PollFlags::POLLIN)];
    match poll(&mut wanted, PollTimeout::from(20_000u16))? {
        0 => Err(io::ErrorKind::TimedOut.into()),
        _ => Ok(timer.wait()?),
    }
}
