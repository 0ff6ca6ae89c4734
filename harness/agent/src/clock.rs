//! The node's clock.

use nix::time::{ClockId, clock_gettime};

/// Nanoseconds of the monotonic clock, which begins when the kernel starts.
pub(crate) fn monotonic_ns() -> u64 {
    // The call fails for clocks that do not exist only.
    clock_gettime(ClockId::CLOCK_MONOTONIC).map_or(0, |time| {
        time.tv_sec().cast_unsigned() * 1_000_000_000 + time.tv_nsec().cast_unsigned()
    })
}
