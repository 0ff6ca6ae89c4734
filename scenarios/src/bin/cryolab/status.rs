//! Exit codes: 0 all as expected; 1 something other than expected; 2 usage; 3 the lab or the host
//! is broken; 130 interrupted.

/// An error that ends the program, and with which code.
#[derive(Debug)]
pub(crate) struct Exit {
    /// The exit code.
    pub(crate) code: u8,
    /// What to tell.
    pub(crate) error: anyhow::Error,
}

impl Exit {
    /// The user asked for something that does not exist.
    pub(crate) fn usage(error: impl Into<anyhow::Error>) -> Self {
        Exit { code: 2, error: error.into() }
    }

    /// The lab or the host does not do.
    pub(crate) fn lab(error: impl Into<anyhow::Error>) -> Self {
        Exit { code: 3, error: error.into() }
    }
}

/// What is not said to be the user's fault is the lab's.
impl From<anyhow::Error> for Exit {
    fn from(error: anyhow::Error) -> Self {
        Exit::lab(error)
    }
}
