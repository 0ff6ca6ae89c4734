//! Hooks: files of the user that run in a node at a phase, to look around, to inject a fault, or
//! to spoil something and see whether it is noticed.

use std::path::{Path, PathBuf};

use model::Phase;

use crate::names::Unknown;

/// A file to run at a phase.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hook {
    /// When.
    pub phase: Phase,
    /// The file as the user named it.
    pub file: PathBuf,
    /// What is in it: a script for the node's `/bin/sh`, or a static executable.
    pub content: Vec<u8>,
}

/// What was given is no hook.
#[derive(Debug, thiserror::Error)]
pub enum HookError {
    /// No `=` in it.
    #[error("hook `{0}` is not PHASE=FILE; phases: {phases}", phases = phases())]
    Shape(String),
    /// An unknown phase.
    #[error("{unknown} (all phases: {phases})", phases = phases())]
    Phase {
        /// The name and those that are near.
        unknown: Unknown,
    },
    /// The file cannot be read.
    #[error("hook at {phase}")]
    File {
        /// When it was to run.
        phase: Phase,
        /// What is wrong with the file.
        source: std::io::Error,
    },
}

fn phases() -> String {
    Phase::ALL.map(Phase::name).join(", ")
}

impl Hook {
    /// Reads `PHASE=FILE` and the file.
    ///
    /// # Errors
    /// When the phase is unknown or the file cannot be read.
    pub fn read(text: &str) -> Result<Self, HookError> {
        let Some((name, file)) = text.split_once('=') else {
            return Err(HookError::Shape(text.to_owned()));
        };
        let known = Phase::ALL.map(Phase::name);
        let unknown = |_| HookError::Phase { unknown: Unknown::among("phase", name, known) };
        let phase = name.parse().map_err(unknown)?;
        let file = PathBuf::from(file);
        let content = fs_err::read(&file).map_err(|source| HookError::File { phase, source })?;
        Ok(Hook { phase, file, content })
    }

    /// Its name, for messages.
    #[must_use]
    pub fn name(&self) -> String {
        self.file.display().to_string()
    }

    /// What runs in the node: a text without `#!` is a script too.
    #[must_use]
    pub fn command(&self, file: &Path) -> Vec<String> {
        let file = file.display().to_string();
        if self.content.starts_with(b"#!") || self.content.starts_with(b"\x7fELF") {
            vec![file]
        } else {
            vec!["/bin/sh".to_owned(), file]
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_phase_is_told_with_the_known_ones() {
        let error = Hook::read("frosen=/bin/true").expect_err("no such phase").to_string();
        assert!(
            error.starts_with("unknown phase `frosen`; the nearest known: `frozen`"),
            "{error}"
        );
        assert!(error.ends_with("post-resume)"), "{error}");
    }

    #[test]
    fn a_missing_file_is_named() {
        let error = Hook::read("ready=/no/such/hook").expect_err("no such file");
        assert_eq!(error.to_string(), "hook at ready");
        let source = std::error::Error::source(&error).map(ToString::to_string);
        assert!(source.is_some_and(|source| source.contains("/no/such/hook")));
        assert!(Hook::read("ready").is_err());
    }

    #[test]
    fn a_text_without_interpreter_runs_by_the_shell() {
        let hook = |content: &[u8]| Hook {
            phase: Phase::Ready,
            file: "hook".into(),
            content: content.to_vec(),
        };
        let node = Path::new("/hook");
        assert_eq!(hook(b"echo").command(node), ["/bin/sh", "/hook"]);
        assert_eq!(hook(b"#!/bin/sh\necho").command(node), ["/hook"]);
    }
}
