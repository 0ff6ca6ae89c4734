//! How carrying out a mutant ends.

use model::mutant::NOT_POSSIBLE;

/// The kernel does not take such a change: nothing was spoiled.
#[derive(Debug, thiserror::Error)]
#[error("not possible here: {0}")]
pub(crate) struct NotPossible(pub(crate) String);

/// An error that says so, from whatever the kernel answered.
pub(super) fn refused(what: &str, error: impl std::fmt::Display) -> anyhow::Error {
    NotPossible(format!("{what}: {error}")).into()
}

/// Fails unless something is another after than before.
pub(super) fn changed<T: PartialEq + std::fmt::Debug>(
    what: &str,
    before: &T,
    after: &T,
) -> anyhow::Result<()> {
    if before == after {
        return Err(NotPossible(format!("{what} is {after:?} as before")).into());
    }
    Ok(())
}

/// The exit code for an error.
pub(crate) fn code_of(error: &anyhow::Error) -> u8 {
    if error.is::<NotPossible>() { u8::try_from(NOT_POSSIBLE).unwrap_or(1) } else { 1 }
}
