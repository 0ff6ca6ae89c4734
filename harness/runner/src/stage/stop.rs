//! Why a story ended early.

use model::message::{Cause, Failure};

use crate::verdict::{Outcome, Trouble};

/// The end of a story before its time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stop {
    /// `failed`, `unsupported` or `broken`.
    pub outcome: Outcome,
    /// In one line.
    pub reason: String,
    /// What is known about it.
    pub trouble: Box<Trouble>,
    /// Whether the workload itself says that it cannot run here.
    pub declared: bool,
}

impl Stop {
    /// The lab itself does not do.
    #[must_use]
    pub fn broken(reason: impl Into<String>) -> Self {
        Stop::because(Outcome::Broken, reason)
    }

    /// What was to be tested failed.
    #[must_use]
    pub fn failed(reason: impl Into<String>) -> Self {
        Stop::because(Outcome::Failed, reason)
    }

    /// It cannot work here.
    #[must_use]
    pub fn unsupported(reason: impl Into<String>) -> Self {
        Stop::because(Outcome::Unsupported, reason)
    }

    fn because(outcome: Outcome, reason: impl Into<String>) -> Self {
        Stop { outcome, reason: reason.into(), trouble: Box::default(), declared: false }
    }

    /// The same, as something that the workload itself declares.
    #[must_use]
    pub fn declared(self) -> Self {
        Stop { declared: true, ..self }
    }

    fn of_failure(during: &str, failure: &Failure) -> Self {
        let outcome = match failure.cause {
            Cause::Failed => Outcome::Failed,
            Cause::Unsupported => Outcome::Unsupported,
            Cause::Broken => Outcome::Broken,
        };
        let step = failure.step.as_ref().map(|step| format!(" at step {step}"));
        let message = one_line(&failure.message);
        let mut stop = Stop::because(
            outcome,
            format!("{during} failed{}: {message}", step.unwrap_or_default()),
        );
        *stop.trouble = Trouble {
            phase: failure.phase,
            step: failure.step.clone(),
            errno: failure.errno,
            log_tail: failure.log_tail.clone(),
            console_tail: Vec::new(),
            incomplete: None,
        };
        stop
    }
}

impl From<vm::Error> for Stop {
    fn from(error: vm::Error) -> Self {
        if let vm::Error::Failure { during, failure, .. } = &error {
            return Stop::of_failure(during, failure);
        }
        let source = std::error::Error::source(&error).map(|source| format!(": {source}"));
        let headline = error.to_string().lines().next().unwrap_or_default().to_owned();
        let mut stop = Stop::broken(headline + &source.unwrap_or_default());
        stop.trouble.console_tail = error.console().to_vec();
        stop
    }
}

/// The cell's own folder could not be written, or the like.
impl From<std::io::Error> for Stop {
    fn from(error: std::io::Error) -> Self {
        Stop::broken(error.to_string())
    }
}

fn one_line(text: &str) -> String {
    text.split('\n').map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_of_criu_keeps_step_errno_and_log_on_its_way() {
        let failure = Failure {
            cause: Cause::Failed,
            step: Some("dump.criu".to_owned()),
            errno: Some(95),
            log_tail: vec!["Dumping FAILED.".to_owned()],
            ..Failure::broken("CRIU:\n Can't get 1:16 opt")
        };
        let error = vm::Error::Failure {
            node: "node".to_owned(),
            during: "checkpoint of redis".to_owned(),
            failure: Box::new(failure),
        };
        let stop = Stop::from(error);
        assert_eq!(stop.outcome, Outcome::Failed);
        assert_eq!(
            stop.reason,
            "checkpoint of redis failed at step dump.criu: CRIU:; Can't get 1:16 opt"
        );
        assert_eq!((stop.trouble.errno, stop.trouble.log_tail.len()), (Some(95), 1));
    }
}
