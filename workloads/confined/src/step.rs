//! Steps by which a thread is confined, and what it tries.

use std::collections::BTreeMap;
use std::io;
use std::str::FromStr;

use caps::{CapSet, Capability};
use seccompiler::{BpfProgram, SeccompAction, SeccompFilter, TargetArch};

use crate::attempt::Attempt;
use crate::sys;

/// One step.
#[derive(Debug)]
pub(crate) enum Step {
    /// System call and errno of a filter.
    Filter(i64, u32),
    /// A capability that does not count any more.
    Drop(Capability),
    /// Bits of capabilities(7), "The securebits flags".
    Securebits(u64),
    /// What comes of an attempt.
    Try {
        /// What is tried.
        attempt: Attempt,
        /// What comes of it.
        expected: String,
    },
}

impl Step {
    /// Reads a word of the command line.
    pub(crate) fn parse(word: &str) -> io::Result<Step> {
        let wrong = || io::Error::other(format!("`{word}` is no step"));
        let (kind, rest) = word.split_once(':').ok_or_else(wrong)?;
        match kind {
            "filter" => {
                let (call, errno) = rest.split_once('=').ok_or_else(wrong)?;
                let call = sys::number(call).ok_or_else(wrong)?;
                Ok(Step::Filter(call, errno.parse().map_err(|_| wrong())?))
            }
            "drop" => Ok(Step::Drop(Capability::from_str(rest).map_err(|_| wrong())?)),
            "securebits" => Ok(Step::Securebits(rest.parse().map_err(|_| wrong())?)),
            "try" => {
                let (attempt, expected) = rest.rsplit_once('=').ok_or_else(wrong)?;
                let attempt = Attempt::parse(attempt).ok_or_else(wrong)?;
                Ok(Step::Try { attempt, expected: expected.to_owned() })
            }
            _ => Err(wrong()),
        }
    }

    /// Takes it.
    pub(crate) fn take(&self) -> io::Result<()> {
        match self {
            Step::Filter(call, errno) => deny(*call, *errno),
            Step::Drop(capability) => {
                caps::drop(None, CapSet::Effective, *capability).map_err(io::Error::other)
            }
            Step::Securebits(bits) => sys::set_securebits(*bits),
            Step::Try { attempt, expected } => match attempt.outcome() {
                found if found == *expected => Ok(()),
                found => Err(io::Error::other(format!("{attempt} was {found}, not {expected}"))),
            },
        }
    }
}

/// Filters the calling thread alone.
fn deny(call: i64, errno: u32) -> io::Result<()> {
    let (rules, answer) = (BTreeMap::from([(call, Vec::new())]), SeccompAction::Errno(errno));
    let filter = SeccompFilter::new(rules, SeccompAction::Allow, answer, TargetArch::x86_64);
    let program = filter.and_then(BpfProgram::try_from).map_err(io::Error::other)?;
    seccompiler::apply_filter(&program).map_err(io::Error::other)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[rstest::rstest]
    #[case("filter:getppid=38")]
    #[case("drop:CAP_KILL")]
    #[case("securebits:3")]
    #[case("try:read:/proc/a=b=EACCES")]
    fn a_step_is_read(#[case] word: &str) {
        assert!(Step::parse(word).is_ok());
    }

    #[rstest::rstest]
    #[case("filter:no_such_call=1")]
    #[case("drop:CAP_NOTHING")]
    #[case("try:fly=ok")]
    #[case("ready")]
    fn what_is_none_is_named(#[case] word: &str) {
        let error = Step::parse(word).expect_err("no step");
        assert_eq!(error.to_string(), format!("`{word}` is no step"));
    }

    #[test]
    fn an_attempt_that_comes_otherwise_fails() {
        let step = |outcome| Step::parse(&format!("try:read:/proc/self/comm={outcome}"));
        assert!(step("ok").expect("a step").take().is_ok());
        let error = step("EACCES").expect("a step").take().expect_err("it can be read");
        assert_eq!(error.to_string(), "read:/proc/self/comm was ok, not EACCES");
    }

    #[test]
    fn a_filter_denies_in_its_own_thread_only() {
        let tried = || Attempt::parse("call:getppid").expect("known").outcome();
        let filtered = std::thread::spawn(move || {
            deny(libc::SYS_getppid, 13).expect("a filter");
            tried()
        });
        assert_eq!(filtered.join().expect("an outcome"), "EACCES");
        assert_eq!(tried(), "ok");
    }
}
