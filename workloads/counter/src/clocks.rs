//! Clocks that may not go backwards.

use std::io;
use std::time::Duration;

use nix::time::{ClockId, clock_gettime};

use witness::{Findings, Witness};

/// The time since boot that a pod sees: it goes on over a checkpoint, also on another machine.
pub(crate) fn monotonic() -> io::Result<Duration> {
    Ok(clock_gettime(ClockId::CLOCK_MONOTONIC)?.into())
}

/// The clocks as they were read last.
#[derive(Debug)]
pub(crate) struct Clocks {
    monotonic: Duration,
    boot_time: Duration,
}

impl Clocks {
    /// Reads them for the first time.
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Clocks {
            monotonic: monotonic()?,
            boot_time: clock_gettime(ClockId::CLOCK_BOOTTIME)?.into(),
        })
    }
}

impl Witness for Clocks {
    fn name(&self) -> &'static str {
        "clock"
    }

    fn check(&mut self, findings: &mut Findings) {
        let Some(now) = findings.tried("read", Clocks::new()) else { return };
        advances(findings, "monotonic", self.monotonic, now.monotonic);
        advances(findings, "boottime", self.boot_time, now.boot_time);
        *self = now;
    }

    fn finish(&mut self, findings: &mut Findings) {
        self.check(findings);
    }
}

fn advances(findings: &mut Findings, name: &str, before: Duration, now: Duration) {
    findings.within(name, nanoseconds(before)..=i128::MAX, nanoseconds(now));
}

/// A duration as a number that may be subtracted.
pub(crate) fn nanoseconds(duration: Duration) -> i128 {
    i128::try_from(duration.as_nanos()).unwrap_or(i128::MAX)
}
