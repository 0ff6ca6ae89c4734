//! A timer that ticks all the time, and the clocks at each tick.

use std::io;
use std::os::fd::AsFd;
use std::time::Duration;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, poll};
use nix::sys::timerfd::{
    ClockId as TimerClock, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags,
};
use nix::time::{ClockId, clock_gettime};
use nix::unistd::read;

use crate::{Look, Seen};

/// Between two ticks.
const TICK: Duration = Duration::from_millis(10);

/// A timer that is silent for so long has stopped. While the container stands still it goes on: it is
/// due afterwards, however long that was.
const SILENCE_MS: u16 = 5000;

/// Clocks that must never go back, by name.
const STEADY: [(&str, ClockId); 3] = [
    ("CLOCK_MONOTONIC", ClockId::CLOCK_MONOTONIC),
    ("CLOCK_BOOTTIME", ClockId::CLOCK_BOOTTIME),
    ("CLOCK_MONOTONIC_RAW", ClockId::CLOCK_MONOTONIC_RAW),
];

/// What was seen at ticks.
#[derive(Debug)]
pub(crate) struct Ticks {
    timer: TimerFd,
    clocks: [Duration; 3],
    real: Duration,
    ticks: u64,
    worst: Duration,
    most_at_once: u64,
    /// How far the time of day moved against the monotonic clock, at most within a tick.
    jump: Duration,
    back: Vec<(&'static str, String)>,
}

impl Ticks {
    pub(crate) fn start() -> io::Result<Self> {
        let timer = TimerFd::new(TimerClock::CLOCK_MONOTONIC, TimerFlags::TFD_CLOEXEC)?;
        timer.set(Expiration::Interval(TICK.into()), TimerSetTimeFlags::empty())?;
        Ok(Ticks {
            timer,
            clocks: now()?,
            real: clock(ClockId::CLOCK_REALTIME)?,
            ticks: 0,
            worst: Duration::ZERO,
            most_at_once: 0,
            jump: Duration::ZERO,
            back: Vec::new(),
        })
    }

    fn tick(&mut self) -> io::Result<()> {
        let mut timer = [PollFd::new(self.timer.as_fd(), PollFlags::POLLIN)];
        match poll(&mut timer, SILENCE_MS) {
            Ok(0) => return Err(io::Error::other(format!("no tick for {SILENCE_MS} ms"))),
            // That waits are interrupted is looked for elsewhere.
            Err(Errno::EINTR) => return Ok(()),
            other => other?,
        };
        let mut count = [0; 8];
        read(&self.timer, &mut count)?;
        let count = u64::from_ne_bytes(count);
        let (clocks, real) = (now()?, clock(ClockId::CLOCK_REALTIME)?);
        self.ticks += count;
        self.most_at_once = self.most_at_once.max(count);
        for ((name, _), (was, is)) in STEADY.iter().zip(self.clocks.iter().zip(&clocks)) {
            if is < was {
                self.back.push((name, format!("went back from {was:?} to {is:?}")));
            }
        }
        let passed = clocks[0].saturating_sub(self.clocks[0]);
        self.worst = self.worst.max(passed);
        self.jump = self.jump.max(real.abs_diff(self.real + passed));
        (self.clocks, self.real) = (clocks, real);
        Ok(())
    }
}

impl Look for Ticks {
    fn look(&mut self) {
        match self.tick() {
            // What was told once is not told again and again.
            Err(error) if self.back.is_empty() => self.back.push(("timer", error.to_string())),
            _ => {}
        }
    }

    fn seen(&self) -> Seen {
        let (ticks, most) = (self.ticks, self.most_at_once);
        let noticed = vec![
            ("stall", format!("{} ms at worst between two ticks of 10 ms", self.worst.as_millis())),
            ("timer", format!("{most} expirations at once, of {ticks}")),
            (
                "clocks",
                format!("time of day moved {} ms against CLOCK_MONOTONIC", self.jump.as_millis()),
            ),
        ];
        Seen { noticed, lost: self.back.clone() }
    }
}

fn now() -> io::Result<[Duration; 3]> {
    let [(_, a), (_, b), (_, c)] = STEADY;
    Ok([clock(a)?, clock(b)?, clock(c)?])
}

fn clock(id: ClockId) -> io::Result<Duration> {
    Ok(clock_gettime(id)?.into())
}
