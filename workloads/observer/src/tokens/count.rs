//! Numbered tokens: what is sent, which answers must come, and what the service must have kept.

use std::collections::BTreeMap;

use super::Answer;
use crate::Report;

/// Bytes of a token.
const TOKEN_BYTES: u64 = 9;

/// What was sent and answered.
#[derive(Debug, Default)]
pub(crate) struct Tokens {
    sent: u64,
    answered: u64,
    /// Requests whose answers were lost with their connection: they may have been carried out.
    unsure: Vec<u64>,
    /// Length of the value by the last answer, as far as answers are consistent.
    length: u64,
}

impl Tokens {
    /// How many were sent.
    pub(crate) fn sent(&self) -> u64 {
        self.sent
    }

    /// How many were answered, or given up.
    pub(crate) fn answered(&self) -> u64 {
        self.answered
    }

    /// How many wait for their answer.
    pub(crate) fn under_way(&self) -> u64 {
        self.sent - self.answered
    }

    /// The next one, and its number.
    pub(crate) fn next(&mut self) -> (u64, String) {
        self.sent += 1;
        (self.sent, token(self.sent))
    }

    /// The connection is gone, and with it the answers to what was under way.
    pub(crate) fn forget_under_way(&mut self) {
        self.unsure.extend(self.answered + 1..=self.sent);
        self.answered = self.sent;
    }

    /// Holds an answer against the one that must come next.
    pub(crate) fn judge(&mut self, answer: Answer, report: &mut Report) {
        let (length, bytes) = (answer.length, answer.bytes as u64);
        if self.under_way() == 0 || length <= self.length {
            report.doubled_bytes += bytes;
            return;
        }
        // After a reset it is not known whether what was under way was carried out.
        let expected = self.length + TOKEN_BYTES;
        let skipped = (length - expected.min(length)) / TOKEN_BYTES;
        let lost = skipped.min(self.under_way() - 1);
        if self.unsure.is_empty() {
            report.lost_bytes += lost * bytes;
            self.answered += lost;
        }
        self.answered += 1;
        self.length = length;
    }

    /// Holds what the service has kept against what was sent: each token once, and nothing else;
    /// of those that are unsure at most one each.
    pub(crate) fn settle(&self, kept: &[u8], report: &mut Report) {
        let mut times: BTreeMap<&[u8], u64> = BTreeMap::new();
        for token in kept.chunks(TOKEN_BYTES as usize) {
            *times.entry(token).or_default() += 1;
        }
        for number in 1..=self.sent {
            match times.remove(token(number).as_bytes()) {
                Some(times) => report.doubled_bytes += (times - 1) * TOKEN_BYTES,
                None if self.unsure.contains(&number) => {}
                None => report.lost_bytes += TOKEN_BYTES,
            }
        }
        let foreign = times.iter().map(|(token, times)| token.len() as u64 * times);
        report.doubled_bytes += foreign.sum::<u64>();
    }
}

fn token(number: u64) -> String {
    format!("{number:08},")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Three tokens were sent, and these lengths came, in answers of four bytes.
    fn came(lengths: &[u64]) -> (Tokens, Report) {
        let (mut tokens, mut report) = (Tokens::default(), Report::start());
        for _ in 0..3 {
            tokens.next();
        }
        for &length in lengths {
            tokens.judge(Answer { length, bytes: 4 }, &mut report);
        }
        (tokens, report)
    }

    #[test]
    fn what_comes_in_order_and_is_kept_once_is_whole() {
        let (tokens, mut report) = came(&[9, 18, 27]);
        tokens.settle(b"00000001,00000002,00000003,", &mut report);
        assert_eq!((tokens.under_way(), report.lost_bytes, report.doubled_bytes), (0, 0, 0));
    }

    #[test]
    fn an_answer_that_is_missing_or_comes_twice_is_counted_by_its_bytes() {
        let (tokens, report) = came(&[9, 27]);
        assert_eq!((tokens.under_way(), report.lost_bytes, report.doubled_bytes), (0, 4, 0));
        let (tokens, report) = came(&[9, 9, 18]);
        assert_eq!((tokens.under_way(), report.lost_bytes, report.doubled_bytes), (1, 0, 4));
    }

    #[test]
    fn a_request_that_was_dropped_or_carried_out_twice_is_found_in_the_value() {
        let (tokens, mut report) = came(&[9, 18, 27]);
        tokens.settle(b"00000001,00000001,00000003,?", &mut report);
        assert_eq!((report.lost_bytes, report.doubled_bytes), (9, 10));
    }

    #[test]
    fn what_was_under_way_at_a_reset_may_have_been_carried_out_or_not() {
        for kept in ["00000001,", "00000001,00000002,00000003,"] {
            let (mut tokens, mut report) = came(&[9]);
            tokens.forget_under_way();
            tokens.next();
            let length = kept.len() as u64 + 9;
            tokens.judge(Answer { length, bytes: 4 }, &mut report);
            tokens.settle(format!("{kept}00000004,").as_bytes(), &mut report);
            let lost = (tokens.under_way(), report.lost_bytes, report.doubled_bytes);
            assert_eq!(lost, (0, 0, 0), "{kept}");
        }
    }
}
