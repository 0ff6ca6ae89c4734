//! Looking at the same things before and after.

use std::collections::BTreeMap;
use std::fmt::{self, Debug};
use std::io;

use crate::{Findings, Witness};

/// What was seen, by name: a value in words, or the error with which the look was refused.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seen(BTreeMap<String, String>);

impl Seen {
    /// Notes a value, or that it cannot be had: what is refused shall be refused afterwards, too.
    pub fn note<T: Debug, E: fmt::Display>(
        &mut self,
        name: impl Into<String>,
        value: Result<T, E>,
    ) {
        let words = match value {
            Ok(value) => format!("{value:?}"),
            Err(error) => format!("refused: {error}"),
        };
        self.0.insert(name.into(), words);
    }

    /// What differs in `now`: name, what it was, what it is; something that is missing is `nothing`.
    #[must_use]
    pub fn differences(&self, now: &Seen) -> Vec<(String, String, String)> {
        let names: std::collections::BTreeSet<&String> =
            self.0.keys().chain(now.0.keys()).collect();
        let of = |seen: &Seen, name: &String| seen.0.get(name).cloned();
        let either = |it: Option<String>| it.unwrap_or_else(|| "nothing".to_owned());
        names
            .into_iter()
            .map(|name| (name, of(self, name), of(now, name)))
            .filter(|(_, before, after)| before != after)
            .map(|(name, before, after)| (name.clone(), either(before), either(after)))
            .collect()
    }
}

/// A subject that is looked at twice in the same way.
pub trait Subject {
    /// The first part of the names of what may be lost.
    fn name(&self) -> &'static str;

    /// Looks at everything that can be looked at without a change.
    fn look(&mut self, seen: &mut Seen);

    /// Goes on with all of it: takes what waits, wakes what sleeps.
    fn go_on(&mut self, findings: &mut Findings);
}

/// A subject with what was seen of it when it was set up.
#[derive(Debug)]
struct Recorded<S> {
    subject: S,
    before: Seen,
}

/// The witness of a subject, which is looked at now for the first time.
pub fn record(mut subject: impl Subject + 'static) -> Box<dyn Witness> {
    let mut before = Seen::default();
    subject.look(&mut before);
    Box::new(Recorded { subject, before })
}

impl<S: Subject> Witness for Recorded<S> {
    fn name(&self) -> &'static str {
        self.subject.name()
    }

    fn check(&mut self, findings: &mut Findings) {
        let mut now = Seen::default();
        self.subject.look(&mut now);
        for (name, before, after) in self.before.differences(&now) {
            findings.lose(&name, before, after);
        }
    }

    fn finish(&mut self, findings: &mut Findings) {
        self.subject.go_on(findings);
    }
}

/// A result of nix, which has an error of its own, as one of std.
pub fn io<T>(result: nix::Result<T>) -> io::Result<T> {
    result.map_err(io::Error::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_refusals_and_absences_are_told_apart() {
        let (mut before, mut after) = (Seen::default(), Seen::default());
        before.note("same", io::Result::Ok(1));
        after.note("same", io::Result::Ok(1));
        before.note("value", io::Result::Ok(1));
        after.note("value", io::Result::<i32>::Err(io::ErrorKind::NotFound.into()));
        before.note("gone", io::Result::Ok("x"));
        let told = before.differences(&after);
        let told: Vec<_> = told.iter().map(|(a, b, c)| [a.as_str(), b, c]).collect();
        assert_eq!(
            told,
            [["gone", "\"x\"", "nothing"], ["value", "1", "refused: entity not found"]]
        );
    }
}
