//! The times of a cell. What the verifier itself takes while the pod is down is not downtime.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;

use super::millis;

/// Times of a cell, by their name in `results.json`.
#[derive(Debug)]
pub(super) struct Times {
    began: Instant,
    frozen: Option<Instant>,
    captures: Option<(Instant, Instant)>,
    verifier: Duration,
    named: BTreeMap<String, Duration>,
}

impl Times {
    pub(super) fn start() -> Self {
        Times {
            began: Instant::now(),
            frozen: None,
            captures: None,
            verifier: Duration::ZERO,
            named: BTreeMap::new(),
        }
    }

    pub(super) fn set(&mut self, name: &str, time: Duration) {
        self.named.insert(name.to_owned(), time);
    }

    pub(super) fn of(&self, name: &str) -> Duration {
        self.named.get(name).copied().unwrap_or_default()
    }

    pub(super) fn set_us(&mut self, name: &str, us: u64) {
        self.set(name, Duration::from_micros(us));
    }

    pub(super) fn add(&mut self, name: &str, time: Duration) {
        *self.named.entry(name.to_owned()).or_default() += time;
    }

    /// A capture was taken from then until now.
    pub(super) fn captured(&mut self, began: Instant) {
        let first = self.captures.map_or(began, |(first, _)| first);
        self.captures = Some((first, Instant::now()));
        self.add("capture", began.elapsed());
    }

    /// From the beginning of the first capture to the end of the last: no clock of the pod may
    /// have gone on for longer.
    pub(super) fn between_captures_ns(&self) -> u64 {
        let passed = self.captures.map_or(Duration::ZERO, |(first, last)| last - first);
        u64::try_from(passed.as_nanos()).unwrap_or(u64::MAX)
    }

    /// The pod is frozen from now on.
    pub(super) fn froze(&mut self) {
        self.frozen = Some(Instant::now());
        self.verifier = Duration::ZERO;
    }

    /// The verifier (captures, hooks, transfers) has held up the story for so long.
    pub(super) fn held_up(&mut self, time: Duration) {
        self.verifier += time;
    }

    /// How long it has held up the story since the pod was frozen, in milliseconds.
    pub(super) fn verifier_ms(&self) -> u64 {
        millis(self.verifier)
    }

    /// The pod comes back in other ways than by going on: it has no downtime.
    pub(super) fn has_no_downtime(&mut self) {
        self.frozen = None;
    }

    /// The pod runs again.
    pub(super) fn resumed(&mut self) {
        if let Some(frozen) = self.frozen.take() {
            self.set("downtime", frozen.elapsed().saturating_sub(self.verifier));
        }
    }

    /// Everything, with the time since the start as `total`, in milliseconds.
    pub(super) fn in_ms(&self) -> BTreeMap<String, u64> {
        let total = ("total".to_owned(), millis(self.began.elapsed()));
        let named = self.named.iter().map(|(name, time)| (name.clone(), millis(*time)));
        named.chain([total]).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_the_verifier_takes_is_no_downtime() {
        let mut times = Times::start();
        times.froze();
        tokio::time::advance(Duration::from_secs(9)).await;
        times.held_up(Duration::from_secs(4));
        times.resumed();
        assert_eq!((times.in_ms()["downtime"], times.in_ms()["total"]), (5_000, 9_000));
    }
}
