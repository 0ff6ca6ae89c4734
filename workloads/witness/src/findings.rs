//! What a witness is, and how it tells what was lost.

use std::collections::BTreeMap;
use std::fmt::{self, Debug, Display};
use std::io;
use std::ops::RangeInclusive;

/// One subject that remembers how it was set up and can say whether it still is so.
pub trait Witness {
    /// The subject: the first part of the names of what may be lost.
    fn name(&self) -> &'static str;

    /// Compares what is with what was recorded. Runs every second and consumes nothing.
    fn check(&mut self, findings: &mut Findings);

    /// Runs once, after all checks: looks at what can be looked at only once (the content of a
    /// queue), and goes on with the work.
    fn finish(&mut self, findings: &mut Findings);
}

/// An invariant that no longer holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lost {
    expected: String,
    found: String,
}

impl Display for Lost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "expected {}, found {}", self.expected, self.found)
    }
}

/// Everything that was found lost, by name; of each invariant the first sight of its loss.
#[derive(Debug, Default)]
pub struct Findings {
    subject: &'static str,
    lost: BTreeMap<String, Lost>,
}

impl Findings {
    /// Names what is told from now on after a subject.
    pub fn about(&mut self, subject: &'static str) -> &mut Self {
        self.subject = subject;
        self
    }

    /// Everything lost so far, in the order of names.
    pub fn lost(&self) -> impl ExactSizeIterator<Item = (&str, &Lost)> {
        self.lost.iter().map(|(name, lost)| (name.as_str(), lost))
    }

    /// Two values must be equal.
    #[expect(clippy::needless_pass_by_value, reason = "most are made on the spot")]
    pub fn equal<T: PartialEq + Debug>(&mut self, name: &str, expected: T, found: T) {
        if expected != found {
            self.lose(name, format!("{expected:?}"), format!("{found:?}"));
        }
    }

    /// Something must succeed, with this value.
    pub fn gives<T: PartialEq + Debug>(&mut self, name: &str, expected: T, result: io::Result<T>) {
        if let Some(found) = self.tried(name, result) {
            self.equal(name, expected, found);
        }
    }

    /// A number must lie in a range.
    pub fn within(&mut self, name: &str, expected: RangeInclusive<i128>, found: i128) {
        if !expected.contains(&found) {
            let (low, high) = expected.into_inner();
            self.lose(name, format!("{low} to {high}"), found.to_string());
        }
    }

    /// Bytes must be equal; the place of the first difference is told, not all of them.
    pub fn bytes(&mut self, name: &str, expected: &[u8], found: &[u8]) {
        if expected == found {
            return;
        }
        let at = expected.iter().zip(found).take_while(|(a, b)| a == b).count();
        let tell = |bytes: &[u8]| {
            let near = bytes[at..].iter().take(8).map(|byte| format!(" {byte:02x}"));
            format!("{} bytes, at {at}:{}", bytes.len(), near.collect::<String>())
        };
        self.lose(name, tell(expected), tell(found));
    }

    /// Something must succeed; its value, if it did.
    pub fn tried<T>(&mut self, name: &str, result: io::Result<T>) -> Option<T> {
        result.map_err(|error| self.lose(name, "success".to_owned(), error.to_string())).ok()
    }

    /// Something is told as lost, in words.
    pub fn lose(&mut self, name: &str, expected: String, found: String) {
        let lost = Lost { expected, found };
        self.lost.entry(format!("{}.{name}", self.subject)).or_insert(lost);
    }
}

/// Says in an error of the system what was being done.
pub trait Context<T> {
    /// The result with `what` before its error.
    fn context(self, what: impl Display) -> io::Result<T>;
}

impl<T, E: Into<io::Error>> Context<T> for Result<T, E> {
    fn context(self, what: impl Display) -> io::Result<T> {
        self.map_err(|error| {
            let error = error.into();
            io::Error::new(error.kind(), format!("{what}: {error}"))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(findings: &Findings) -> Vec<String> {
        findings.lost().map(|(name, lost)| format!("{name}: {lost}")).collect()
    }

    #[test]
    fn an_invariant_that_holds_is_not_told() {
        let mut findings = Findings::default();
        let about = findings.about("x");
        about.equal("number", 1, 1);
        about.within("range", 1..=3, 3);
        about.bytes("bytes", b"ab", b"ab");
        assert_eq!(about.tried("call", Ok(5)), Some(5));
        assert!(told(&findings).is_empty());
    }

    #[test]
    fn of_a_loss_the_first_sight_is_told_once_with_its_subject() {
        let mut findings = Findings::default();
        findings.about("x").equal("number", 1, 2);
        findings.about("x").equal("number", 1, 3);
        findings.about("y").within("range", 1..=3, 4);
        assert_eq!(
            told(&findings),
            ["x.number: expected 1, found 2", "y.range: expected 1 to 3, found 4"]
        );
    }

    #[test]
    fn bytes_are_told_by_length_and_first_difference() {
        let mut findings = Findings::default();
        findings.about("x").bytes("queue", b"abcd", b"abX");
        let expected = "x.queue: expected 4 bytes, at 2: 63 64, found 3 bytes, at 2: 58";
        assert_eq!(told(&findings), [expected]);
    }
}
