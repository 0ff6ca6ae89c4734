//! Timers of every sort, far away, expired and with a thread that sleeps; and clocks.
//!
//! Left out: what goes by itself while nobody looks (a timer with a short interval) and clocks that
//! wake a machine, which a container may not use.

use std::io;
use std::os::fd::AsFd;
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::time::{TimeSpec, TimeValLike};
use nix::sys::timer::Expiration;
use nix::sys::timerfd::{ClockId, TimerFd, TimerFlags, TimerSetTimeFlags};
use nix::time::{ClockNanosleepFlags, clock_gettime, clock_nanosleep};
use witness::place::Place;
use witness::sys::{process, signal, timer};
use witness::waiting::Waiting;
use witness::{Context, Findings, PATIENCE, Seen, Subject, Witness, io as as_io, record};

const HOUR_NS: i64 = 3_600_000_000_000;

/// How far what is left may be from what is expected: a freeze, and whoever looks, take their time.
const TOLERANCE_NS: i128 = 120_000_000_000;

pub(super) fn set_up(_: &Place) -> io::Result<Vec<Box<dyn Witness>>> {
    signal::block(&[signal::real_time(6), signal::real_time(7), libc::SIGUSR1])?;
    Ok(vec![
        record(Descriptors::new().context("timers with a descriptor")?),
        record(Posix::new().context("POSIX timers")?),
        Box::new(Intervals::new().context("interval timers")?),
        record(Sleepers::new().context("threads that sleep")?),
    ])
}

fn now(clock: nix::time::ClockId) -> io::Result<i64> {
    Ok(clock_gettime(clock)?.num_nanoseconds())
}

/// Timers with a descriptor: a name, the hours until they expire, and hours between.
struct Descriptors {
    timers: Vec<(&'static str, TimerFd, i64)>,
    expired: TimerFd,
    off: TimerFd,
    began: i64,
}

impl Descriptors {
    fn new() -> io::Result<Self> {
        let began = now(nix::time::ClockId::CLOCK_MONOTONIC)?;
        let none = TimerSetTimeFlags::empty();
        let absolute = TimerSetTimeFlags::TFD_TIMER_ABSTIME;
        let at = |clock| Ok::<_, io::Error>(now(clock)? + 7 * HOUR_NS);
        let real = at(nix::time::ClockId::CLOCK_REALTIME)?;
        let monotonic = at(nix::time::ClockId::CLOCK_MONOTONIC)?;
        let plans = [
            ("monotonic", ClockId::CLOCK_MONOTONIC, none, 5 * HOUR_NS, 0, 5),
            ("boottime", ClockId::CLOCK_BOOTTIME, none, 6 * HOUR_NS, 2 * HOUR_NS, 6),
            ("absolute", ClockId::CLOCK_MONOTONIC, absolute, monotonic, 3 * HOUR_NS, 7),
            ("realtime", ClockId::CLOCK_REALTIME, absolute, real, 0, 7),
        ];
        let mut timers = Vec::new();
        for (name, clock, flags, first, interval, hours) in plans {
            let timer = timer_fd(clock)?;
            timer.set(expiration(first, interval), flags)?;
            timers.push((name, timer, hours));
        }
        let expired = timer_fd(ClockId::CLOCK_MONOTONIC)?;
        expired.set(Expiration::OneShot(TimeSpec::nanoseconds(1)), none)?;
        readable(&expired)?;
        Ok(Descriptors { timers, expired, off: timer_fd(ClockId::CLOCK_REALTIME)?, began })
    }
}

fn timer_fd(clock: ClockId) -> io::Result<TimerFd> {
    as_io(TimerFd::new(clock, TimerFlags::TFD_NONBLOCK | TimerFlags::TFD_CLOEXEC))
}

fn expiration(first: i64, interval: i64) -> Expiration {
    let first = TimeSpec::nanoseconds(first);
    match interval {
        0 => Expiration::OneShot(first),
        _ => Expiration::IntervalDelayed(first, TimeSpec::nanoseconds(interval)),
    }
}

fn readable(timer: &TimerFd) -> io::Result<()> {
    let mut wanted = [PollFd::new(timer.as_fd(), PollFlags::POLLIN)];
    let patience = u16::try_from(PATIENCE.as_millis()).unwrap_or(u16::MAX);
    match poll(&mut wanted, PollTimeout::from(patience))? {
        0 => Err(io::ErrorKind::TimedOut.into()),
        _ => Ok(()),
    }
}

/// Nanoseconds that are left, and between; 0 and 0 for a timer that is off.
fn left(timer: &TimerFd) -> io::Result<(i64, i64)> {
    Ok(match timer.get()? {
        None => (0, 0),
        Some(Expiration::OneShot(left)) => (left.num_nanoseconds(), 0),
        Some(Expiration::IntervalDelayed(left, interval)) => {
            (left.num_nanoseconds(), interval.num_nanoseconds())
        }
        Some(Expiration::Interval(interval)) => {
            (interval.num_nanoseconds(), interval.num_nanoseconds())
        }
    })
}

impl Subject for Descriptors {
    fn name(&self) -> &'static str {
        "descriptors"
    }

    fn look(&mut self, seen: &mut Seen) {
        for (name, timer, _) in &self.timers {
            seen.note(format!("{name}.interval"), left(timer).map(|(_, interval)| interval));
        }
        seen.note("off", left(&self.off));
        seen.note("expired", left(&self.expired));
    }

    fn go_on(&mut self, findings: &mut Findings) {
        let Some(now) = findings.tried("clock", now(nix::time::ClockId::CLOCK_MONOTONIC)) else {
            return;
        };
        for (name, timer, hours) in &self.timers {
            let expected = i128::from(hours * HOUR_NS - (now - self.began));
            let range = expected - TOLERANCE_NS..=expected + TOLERANCE_NS;
            if let Some((found, _)) = findings.tried(name, left(timer)) {
                findings.within(&format!("{name}.left"), range, i128::from(found));
            }
        }
        let mut ticks = [0; 8];
        let read = as_io(nix::unistd::read(&self.expired, &mut ticks));
        findings.gives("expired.read", 8, read);
        findings.equal("expired.ticks", 1, u64::from_ne_bytes(ticks));
        let soon = Expiration::OneShot(TimeSpec::milliseconds(1));
        findings.tried("off.set", as_io(self.off.set(soon, TimerSetTimeFlags::empty())));
        findings.tried("off.expires", readable(&self.off));
    }
}

/// POSIX timers, with numbers of which one is free.
struct Posix {
    timers: Vec<(&'static str, timer::Timer, i64)>,
    expired: timer::Timer,
    began: i64,
}

/// The value of the signal of a timer that has expired.
const EXPIRED: usize = 0x0e11;

impl Posix {
    fn new() -> io::Result<Self> {
        let began = now(nix::time::ClockId::CLOCK_MONOTONIC)?;
        let (six, seven) = (signal::real_time(6), signal::real_time(7));
        let quiet = timer::Timer::new(libc::CLOCK_MONOTONIC, timer::Tell::Nobody)?;
        let gone = timer::Timer::new(libc::CLOCK_MONOTONIC, timer::Tell::Nobody)?;
        let process = timer::Tell::Process { signal: six, value: 0xabc };
        let plans = [
            ("process", timer::Timer::new(libc::CLOCK_REALTIME, process)?, 3, 0),
            ("boottime", timer::Timer::new(libc::CLOCK_BOOTTIME, process)?, 4, 9),
            ("quiet", quiet, 5, 1),
        ];
        let mut timers = Vec::new();
        for (name, timer, hours, interval) in plans {
            timer.arm(hours * HOUR_NS, interval * HOUR_NS)?;
            timers.push((name, timer, hours));
        }
        gone.remove()?;
        let tell = timer::Tell::Process { signal: seven, value: EXPIRED };
        let expired = timer::Timer::new(libc::CLOCK_MONOTONIC, tell)?;
        expired.arm(1, 0)?;
        await_pending(seven)?;
        Ok(Posix { timers, expired, began })
    }
}

/// Waits until a signal waits.
fn await_pending(number: i32) -> io::Result<()> {
    let until = now(nix::time::ClockId::CLOCK_MONOTONIC)? + PATIENCE.as_nanos() as i64;
    while signal::pending()? & signal::bits(&[number]) == 0 {
        if now(nix::time::ClockId::CLOCK_MONOTONIC)? > until {
            return Err(io::ErrorKind::TimedOut.into());
        }
        std::thread::yield_now();
    }
    Ok(())
}

impl Subject for Posix {
    fn name(&self) -> &'static str {
        "posix"
    }

    fn look(&mut self, seen: &mut Seen) {
        for (name, timer, _) in &self.timers {
            seen.note(format!("{name}.interval"), timer.left().map(|(_, interval)| interval));
        }
        seen.note("expired", self.expired.left());
        let waiting = signal::pending().map(|it| it & !signal::bits(&[libc::SIGTERM]));
        seen.note("pending", waiting);
    }

    fn go_on(&mut self, findings: &mut Findings) {
        let Some(now) = findings.tried("clock", now(nix::time::ClockId::CLOCK_MONOTONIC)) else {
            return;
        };
        for (name, timer, hours) in &self.timers {
            let expected = i128::from(hours * HOUR_NS - (now - self.began));
            let range = expected - TOLERANCE_NS..=expected + TOLERANCE_NS;
            if let Some((found, _)) = findings.tried(name, timer.left()) {
                findings.within(&format!("{name}.left"), range, i128::from(found));
            }
        }
        let seven = signal::real_time(7);
        let taken = signal::take(&[seven], Duration::ZERO);
        let taken = taken.map(|it| it.map(|it| (it.code, it.value)));
        findings.gives("expired.signal", Some((libc::SI_TIMER, EXPIRED)), taken);
        findings.tried("expired.arm", self.expired.arm(1, 0));
        let taken = signal::take(&[seven], PATIENCE).map(|it| it.map(|it| (it.code, it.value)));
        findings.gives("expired.again", Some((libc::SI_TIMER, EXPIRED)), taken);
    }
}

/// The three timers that every process has.
struct Intervals {
    began: i64,
}

/// Seconds to go, and between; of SIGALRM, SIGVTALRM and SIGPROF.
const INTERVALS: [(i32, u64, u64); 3] =
    [(libc::ITIMER_REAL, 4000, 50), (libc::ITIMER_VIRTUAL, 5000, 0), (libc::ITIMER_PROF, 6000, 70)];

impl Intervals {
    fn new() -> io::Result<Self> {
        for (which, first, interval) in INTERVALS {
            let (first, interval) = (Duration::from_secs(first), Duration::from_secs(interval));
            process::set_interval_timer(which, first, interval)?;
        }
        Ok(Intervals { began: now(nix::time::ClockId::CLOCK_MONOTONIC)? })
    }
}

impl Witness for Intervals {
    fn name(&self) -> &'static str {
        "intervals"
    }

    fn check(&mut self, findings: &mut Findings) {
        let passed = now(nix::time::ClockId::CLOCK_MONOTONIC).map(|now| now - self.began);
        let Some(passed) = findings.tried("clock", passed) else { return };
        for (which, first, interval) in INTERVALS {
            let name = which.to_string();
            let Some((left, found)) = findings.tried(&name, process::interval_timer(which)) else {
                continue;
            };
            findings.equal(&format!("{name}.interval"), Duration::from_secs(interval), found);
            let gone = if which == libc::ITIMER_REAL { i128::from(passed) } else { 0 };
            let expected = i128::from(first) * 1_000_000_000 - gone;
            let range = expected - TOLERANCE_NS..=expected + TOLERANCE_NS;
            let left = i128::try_from(left.as_nanos()).unwrap_or(i128::MAX);
            findings.within(&format!("{name}.left"), range, left);
        }
    }

    fn finish(&mut self, findings: &mut Findings) {
        for (which, ..) in INTERVALS {
            let off = process::set_interval_timer(which, Duration::ZERO, Duration::ZERO);
            findings.tried("off", off);
        }
    }
}

/// A thread that sleeps until a moment, which comes soon after it is asked.
struct Sleepers {
    absolute: Waiting<()>,
    monotonic: i64,
    boottime: i64,
}

impl Sleepers {
    fn new() -> io::Result<Self> {
        let clock = nix::time::ClockId::CLOCK_MONOTONIC;
        let until = TimeSpec::nanoseconds(now(clock)? + 20 * HOUR_NS);
        let absolute = Waiting::start("sleeper", libc::SYS_clock_nanosleep, move || {
            let flags = ClockNanosleepFlags::TIMER_ABSTIME;
            as_io(clock_nanosleep(clock, flags, &until).map(drop))
        })?;
        let boottime = now(nix::time::ClockId::CLOCK_BOOTTIME)?;
        Ok(Sleepers { absolute, monotonic: now(clock)?, boottime })
    }
}

impl Subject for Sleepers {
    fn name(&self) -> &'static str {
        "sleepers"
    }

    fn look(&mut self, seen: &mut Seen) {
        let forward = |clock, before| now(clock).map(|now| now >= before);
        let monotonic = nix::time::ClockId::CLOCK_MONOTONIC;
        seen.note("monotonic.forward", forward(monotonic, self.monotonic));
        let boottime = nix::time::ClockId::CLOCK_BOOTTIME;
        seen.note("boottime.forward", forward(boottime, self.boottime));
    }

    fn go_on(&mut self, findings: &mut Findings) {
        self.absolute.still(findings);
    }
}
