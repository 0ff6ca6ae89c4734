//! What an observer saw.

use std::fmt;
use std::time::{Duration, Instant};

/// What an observer saw. As text, an object of JSON.
#[derive(Clone, Debug)]
pub struct Report {
    began: Instant,
    last: Instant,
    gap: Duration,
    answers: u64,
    /// Requests that were not answered in the end.
    pub unanswered: u64,
    /// How often the connection ended and another one was made.
    pub resets: u64,
    /// Bytes of requests or answers that are missing.
    pub lost_bytes: u64,
    /// Bytes that came, or were kept, once too often, or that nobody sent.
    pub doubled_bytes: u64,
}

impl Report {
    /// Nothing was seen yet.
    #[must_use]
    pub fn start() -> Report {
        let now = Instant::now();
        Report {
            began: now,
            last: now,
            gap: Duration::ZERO,
            answers: 0,
            unanswered: 0,
            resets: 0,
            lost_bytes: 0,
            doubled_bytes: 0,
        }
    }

    /// The service answers now.
    pub fn answered(&mut self) {
        self.answers += 1;
        self.ended();
        self.last = Instant::now();
    }

    /// Nothing more is waited for: the last silence counts too.
    pub fn ended(&mut self) {
        self.gap = self.gap.max(self.last.elapsed());
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Report { gap, answers, unanswered, resets, lost_bytes, doubled_bytes, .. } = self;
        let (gap_ms, watched_ms) = (gap.as_millis(), self.began.elapsed().as_millis());
        write!(
            f,
            "{{\"resets\":{resets},\"lost_bytes\":{lost_bytes},\"doubled_bytes\":{doubled_bytes},\
             \"gap_ms\":{gap_ms},\"answers\":{answers},\"unanswered\":{unanswered},\
             \"watched_ms\":{watched_ms}}}"
        )
    }
}
