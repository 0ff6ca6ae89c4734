//! What the clocks read in a container: the node's, moved by its time namespace.

use nix::time::{ClockId, clock_gettime};

use crate::error::{Error, Result};
use crate::facts::Facts;
use crate::pod::{Container, Pod};
use crate::read;

pub(crate) fn container(_: &Pod<'_>, container: &Container<'_>, facts: &mut Facts) -> Result<()> {
    let path = format!("/proc/{}/timens_offsets", container.status.pid);
    let offsets = read::text_if_shown(path)?.unwrap_or_default();
    for (word, id) in
        [("monotonic", ClockId::CLOCK_MONOTONIC), ("boottime", ClockId::CLOCK_BOOTTIME)]
    {
        let now = now_ns(id)? + offset_ns(&offsets, word);
        facts.put(format!("{}clock.{word}", container.prefix), now);
    }
    Ok(())
}

/// A clock of the node, in nanoseconds.
pub(crate) fn now_ns(id: ClockId) -> Result<i64> {
    let time = clock_gettime(id).map_err(|errno| Error::call("clock_gettime", "clock", errno))?;
    Ok(time.tv_sec() * 1_000_000_000 + time.tv_nsec())
}

/// Lines such as `monotonic  -12  345`: seconds and nanoseconds.
fn offset_ns(offsets: &str, clock: &str) -> i64 {
    let line = offsets.lines().find_map(|line| line.strip_prefix(clock)).unwrap_or_default();
    let mut numbers = line.split_whitespace().filter_map(|word| word.parse::<i64>().ok());
    let seconds = numbers.next().unwrap_or_default();
    seconds * 1_000_000_000 + numbers.next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::offset_ns;

    #[test]
    fn offsets_are_seconds_and_nanoseconds() {
        let text = "monotonic         -12         5\nboottime            3         0\n";
        assert_eq!(offset_ns(text, "monotonic"), -11_999_999_995);
        assert_eq!(offset_ns(text, "boottime"), 3_000_000_000);
    }
}
