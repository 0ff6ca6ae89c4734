//! Numbered tokens: what is sent, which answers must come, and what the service must have kept.

use std::collections::BTreeMap;

use anyhow::{Result, bail};

use super::report::Report;

/// The key that tokens are appended to.
pub(crate) const KEY: &str = "cryolab:watched";

/// Bytes of a token.
const TOKEN_BYTES: u64 = 9;

/// The longest answer that there can be.
const LONGEST: usize = 64;

/// What was sent and answered.
#[derive(Debug, Default)]
pub(crate) struct Tokens {
    sent: u64,
    answered: u64,
    /// Commands whose answers were lost with their connection: they may have been carried out.
    unsure: Vec<u64>,
    /// Length of the key by the last answer, as far as answers are consistent.
    length: u64,
    /// The beginning of an answer.
    rest: Vec<u8>,
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

    /// The next command.
    pub(crate) fn next(&mut self) -> [String; 3] {
        self.sent += 1;
        ["APPEND".to_owned(), KEY.to_owned(), token(self.sent)]
    }

    /// The connection is gone, and with it the answers to what was under way.
    pub(crate) fn forget_under_way(&mut self) {
        self.unsure.extend(self.answered + 1..=self.sent);
        self.answered = self.sent;
        self.rest.clear();
    }

    /// Takes bytes that came, and holds each answer against the one that must come next.
    pub(crate) fn take(&mut self, bytes: &[u8], report: &mut Report) -> Result<()> {
        self.rest.extend_from_slice(bytes);
        while let Some(end) = self.rest.windows(2).position(|pair| pair == b"\r\n") {
            let answer: Vec<u8> = self.rest.drain(..end + 2).collect();
            self.judge(&answer, report)?;
        }
        if self.rest.len() > LONGEST {
            bail!("an answer without an end: `{}`", self.rest.escape_ascii());
        }
        Ok(())
    }

    fn judge(&mut self, answer: &[u8], report: &mut Report) -> Result<()> {
        let bytes = answer.len() as u64;
        let text = String::from_utf8_lossy(answer);
        let length = text.trim_end().strip_prefix(':').and_then(|it| it.parse::<u64>().ok());
        let Some(length) = length else { bail!("`{}` instead of a length", text.trim_end()) };
        if self.under_way() == 0 || length <= self.length {
            report.doubled_bytes += bytes;
            return Ok(());
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
        Ok(())
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

    /// Three tokens were sent, and this came.
    fn came(answers: &str) -> (Tokens, Report) {
        let (mut tokens, mut report) = (Tokens::default(), Report::start());
        for _ in 0..3 {
            tokens.next();
        }
        for byte in answers.as_bytes() {
            tokens.take(&[*byte], &mut report).expect("answers");
        }
        (tokens, report)
    }

    #[test]
    fn what_comes_in_order_and_is_kept_once_is_whole() {
        let (tokens, mut report) = came(":9\r\n:18\r\n:27\r\n");
        tokens.settle(b"00000001,00000002,00000003,", &mut report);
        assert_eq!((tokens.under_way(), report.lost_bytes, report.doubled_bytes), (0, 0, 0));
    }

    #[test]
    fn an_answer_that_is_missing_or_comes_twice_is_counted_by_its_bytes() {
        let (tokens, report) = came(":9\r\n:27\r\n");
        assert_eq!((tokens.under_way(), report.lost_bytes, report.doubled_bytes), (0, 5, 0));
        let (tokens, report) = came(":9\r\n:9\r\n:18\r\n");
        assert_eq!((tokens.under_way(), report.lost_bytes, report.doubled_bytes), (1, 0, 4));
    }

    #[test]
    fn a_command_that_was_dropped_or_carried_out_twice_is_found_in_the_key() {
        let (tokens, mut report) = came(":9\r\n:18\r\n:27\r\n");
        tokens.settle(b"00000001,00000001,00000003,?", &mut report);
        assert_eq!((report.lost_bytes, report.doubled_bytes), (9, 10));
    }

    #[test]
    fn what_was_under_way_at_a_reset_may_have_been_carried_out_or_not() {
        for kept in ["00000001,", "00000001,00000002,00000003,"] {
            let (mut tokens, mut report) = came(":9\r\n");
            tokens.forget_under_way();
            tokens.next();
            let answer = format!(":{}\r\n", kept.len() + 9);
            tokens.take(answer.as_bytes(), &mut report).expect("an answer");
            tokens.settle(format!("{kept}00000004,").as_bytes(), &mut report);
            let lost = (tokens.under_way(), report.lost_bytes, report.doubled_bytes);
            assert_eq!(lost, (0, 0, 0), "{kept}");
        }
    }

    #[test]
    fn an_error_of_the_service_is_told() {
        let (mut tokens, mut report) = came("");
        let error = tokens.take(b"-OOM no memory\r\n", &mut report).expect_err("an error");
        assert!(error.to_string().contains("OOM"), "{error}");
    }
}
