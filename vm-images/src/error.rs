//! Everything that can go wrong while images are looked for or made.

use std::path::PathBuf;
use std::{fmt, io};

/// A failure of this room. Each names the thing that it is about.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A selector names nothing that exists.
    #[error(transparent)]
    Unknown(#[from] Unknown),
    /// A path given by the user leads nowhere, or to something of another kind.
    #[error("{what} `{}`: {why}", path.display())]
    BadPath {
        /// What was expected there, such as `kernel`.
        what: &'static str,
        /// The path as it was given.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// The host lacks programs, and they cannot be installed from here.
    #[error("missing on this host: {}; {remedy}", missing.join(", "))]
    Tools {
        /// Programs or files that were not found.
        missing: Vec<String>,
        /// What to do about it.
        remedy: String,
    },
    /// No Debian mirror is known.
    #[error("{0}")]
    Mirror(String),
    /// A program failed.
    #[error("`{command}` {status}{}", indented(output))]
    Command {
        /// The program and its arguments.
        command: String,
        /// How it ended.
        status: String,
        /// The last lines of what it wrote to standard error.
        output: String,
    },
    /// A package or a file of one is not as expected.
    #[error("{thing}: {why}")]
    Content {
        /// The package or file.
        thing: String,
        /// What is wrong with it.
        why: String,
    },
    /// A file operation failed; the message names the path.
    #[error(transparent)]
    Io(#[from] io::Error),
}

impl Error {
    /// Whether the user asked for something that does not exist (exit code 2), in contrast to a
    /// lab or host that does not work (exit code 3).
    #[must_use]
    pub fn is_usage(&self) -> bool {
        matches!(self, Error::Unknown(_) | Error::BadPath { .. })
    }

    pub(crate) fn content(thing: &dyn fmt::Display, why: &dyn fmt::Display) -> Self {
        Error::Content { thing: thing.to_string(), why: why.to_string() }
    }
}

fn indented(output: &str) -> String {
    output.lines().fold(String::new(), |text, line| format!("{text}\n    {line}"))
}

/// A selector that names nothing, and what was probably meant.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown {what} `{name}`{}{}", meant(nearest), hint.as_deref().map(|hint| format!("; {hint}")).unwrap_or_default())]
pub struct Unknown {
    /// What was asked for: `kernel`, `criu`, `suite`.
    pub what: &'static str,
    /// The name as it was given.
    pub name: String,
    /// The nearest known names, best first.
    pub nearest: Vec<String>,
    /// What else may help.
    pub hint: Option<String>,
}

impl Unknown {
    /// Finds the three `known` names that are nearest to `name`.
    pub(crate) fn new<S: Into<String>>(
        what: &'static str,
        name: &str,
        known: impl IntoIterator<Item = S>,
    ) -> Self {
        let mut known: Vec<String> = known.into_iter().map(Into::into).collect();
        known.sort_by_cached_key(|known| (strsim::damerau_levenshtein(known, name), known.clone()));
        known.truncate(3);
        Unknown { what, name: name.to_owned(), nearest: known, hint: None }
    }

    pub(crate) fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

fn meant(nearest: &[String]) -> String {
    if nearest.is_empty() { String::new() } else { format!(" (nearest: {})", nearest.join(", ")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_name_is_told_with_the_nearest_known_ones() {
        let error =
            Unknown::new("kernel", "trixi", ["sid", "bookworm", "trixie"]).with_hint("look");
        assert_eq!(
            error.to_string(),
            "unknown kernel `trixi` (nearest: trixie, sid, bookworm); look"
        );
    }
}
