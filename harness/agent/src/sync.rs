//! Waiting for something that another thread brings about.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Locks, also after a thread panicked with the lock in its hand: every critical section of the
/// agent leaves its data whole.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Waits on `condvar` while `condition` holds.
pub(crate) fn wait_while<'a, T>(
    condvar: &Condvar,
    guard: MutexGuard<'a, T>,
    condition: impl FnMut(&mut T) -> bool,
) -> MutexGuard<'a, T> {
    condvar.wait_while(guard, condition).unwrap_or_else(PoisonError::into_inner)
}

/// Rings whenever a process ended or wrote something, for all who wait for such a change.
#[derive(Debug, Default)]
pub(crate) struct Bell {
    rung: Mutex<u64>,
    changed: Condvar,
}

impl Bell {
    /// Something changed.
    pub(crate) fn ring(&self) {
        *lock(&self.rung) += 1;
        self.changed.notify_all();
    }

    /// Looks, and looks again whenever the bell rings and at least once in `period`, until there
    /// is something to see or the limit has passed.
    pub(crate) fn until<T>(
        &self,
        limit: Duration,
        period: Duration,
        mut look: impl FnMut() -> Option<T>,
    ) -> Option<T> {
        // A limit beyond what the clock can count is none.
        let deadline = Instant::now().checked_add(limit);
        loop {
            let seen = *lock(&self.rung);
            let found = look();
            let left = deadline
                .map_or(limit, |deadline| deadline.saturating_duration_since(Instant::now()));
            if found.is_some() || left.is_zero() {
                return found;
            }
            self.wait(seen, left.min(period));
        }
    }

    fn wait(&self, seen: u64, timeout: Duration) {
        let rung = lock(&self.rung);
        drop(self.changed.wait_timeout_while(rung, timeout, |rung| *rung == seen));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;

    #[test]
    fn a_ring_wakes_who_waits_long_before_the_period() {
        let (bell, flag) = (Arc::new(Bell::default()), Arc::new(AtomicBool::new(false)));
        let (ringer, raised) = (Arc::clone(&bell), Arc::clone(&flag));
        let thread = std::thread::spawn(move || {
            raised.store(true, Ordering::SeqCst);
            ringer.ring();
        });
        let hour = Duration::from_secs(3600);
        let found = bell.until(hour, hour, || flag.load(Ordering::SeqCst).then_some(7));
        assert_eq!(found, Some(7));
        thread.join().expect("the ringer ends");
    }

    #[test]
    fn a_limit_may_be_endless() {
        assert_eq!(Bell::default().until(Duration::MAX, Duration::MAX, || Some(1)), Some(1));
    }

    #[test]
    fn a_deadline_ends_the_wait() {
        let (soon, period) = (Duration::from_millis(5), Duration::from_secs(60));
        assert_eq!(Bell::default().until(soon, period, || None::<()>), None);
    }
}
