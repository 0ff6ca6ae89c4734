//! From an error on its way up to the failure that the host is told.

use model::message::Failure;

/// The failure itself, when the error is one already or the engine's; all else is the node's fault.
pub(crate) fn from_error(error: anyhow::Error) -> Failure {
    let error = match error.downcast::<Failure>() {
        Ok(failure) => return failure,
        Err(other) => other,
    };
    match error.downcast::<engine::Error>() {
        Ok(error) => error.into(),
        Err(other) => Failure::broken(format!("{other:#}")),
    }
}

#[cfg(test)]
mod tests {
    use anyhow::Context;
    use model::message::Cause;

    use super::*;

    #[test]
    fn a_failure_stays_what_it_is() {
        let failure = Failure { cause: Cause::Unsupported, ..Failure::broken("no tun") };
        assert_eq!(from_error(failure.clone().into()), failure);
    }

    #[test]
    fn an_error_of_the_engine_keeps_whose_fault_it_is() {
        let error = engine::Error::Aborted(model::Phase::Frozen);
        assert_eq!(from_error(error.into()).cause, Cause::Failed);
    }

    #[test]
    fn all_else_is_the_nodes_fault_and_names_the_whole_chain() {
        let error = Err::<(), _>(anyhow::anyhow!("disk full")).context("cannot write /data/x");
        let failure = from_error(error.expect_err("an error"));
        assert_eq!(failure, Failure::broken("cannot write /data/x: disk full"));
    }
}
