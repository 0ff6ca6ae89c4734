//! The user's terminal while a program of a node has it.

use std::io::{IsTerminal as _, stdin};

use anyhow::Context as _;
use console::Term;
use model::message::WindowSize;
use nix::sys::termios::{SetArg, Termios, cfmakeraw, tcgetattr, tcsetattr};

/// What ends a session whose node does not answer any more: these bytes at the beginning of a line.
const LEAVE: [u8; 2] = *b"~.";

/// The terminal passes on every key as it is; it is as it was once this is dropped.
#[derive(Debug)]
pub(crate) struct Raw {
    before: Termios,
}

impl Raw {
    /// Takes the terminal over, if standard input is one.
    pub(crate) fn take() -> anyhow::Result<Option<Self>> {
        if !stdin().is_terminal() {
            return Ok(None);
        }
        let before = tcgetattr(stdin()).context("ask the terminal for its settings")?;
        let mut raw = before.clone();
        cfmakeraw(&mut raw);
        tcsetattr(stdin(), SetArg::TCSADRAIN, &raw).context("take the terminal over")?;
        Ok(Some(Raw { before }))
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        // A terminal that has gone needs no settings.
        let _ = tcsetattr(stdin(), SetArg::TCSADRAIN, &self.before);
    }
}

/// The terminal's size, or what is usual where there is none.
pub(crate) fn size() -> WindowSize {
    let (rows, columns) = Term::stdout().size_checked().unwrap_or((24, 80));
    WindowSize { rows, columns }
}

/// Looks for the keys that leave a session: Enter, `~`, `.` (as ssh(1) has it).
#[derive(Debug, Default)]
pub(crate) struct Keys {
    /// How much of [`LEAVE`] has come since the beginning of the line; `None` in its middle.
    seen: Option<usize>,
}

impl Keys {
    /// A session begins at the beginning of a line.
    pub(crate) fn new() -> Self {
        Keys { seen: Some(0) }
    }

    /// What of `typed` is for the program, and whether the user wants to leave.
    pub(crate) fn filter(&mut self, typed: &[u8]) -> (Vec<u8>, bool) {
        let mut passed = Vec::with_capacity(typed.len() + 1);
        for &key in typed {
            let held = self.seen.unwrap_or(0);
            match self.seen {
                Some(1) if key == LEAVE[1] => return (passed, true),
                Some(0) if key == LEAVE[0] => {
                    self.seen = Some(1);
                    continue;
                }
                _ => {}
            }
            passed.extend_from_slice(&LEAVE[..held]);
            // A second `~` stands for the one that was held back.
            if !(held == 1 && key == LEAVE[0]) {
                passed.push(key);
            }
            self.seen = matches!(key, b'\r' | b'\n').then_some(0);
        }
        (passed, false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_is_left_only_by_keys_at_the_beginning_of_a_line() {
        let mut keys = Keys::new();
        assert_eq!(keys.filter(b"cat ~.\r"), (b"cat ~.\r".to_vec(), false));
        assert_eq!(keys.filter(b"~"), (Vec::new(), false));
        assert_eq!(keys.filter(b"/x\r"), (b"~/x\r".to_vec(), false));
        assert_eq!(keys.filter(b"~~.\r"), (b"~.\r".to_vec(), false));
        assert_eq!(keys.filter(b"ls\r~."), (b"ls\r".to_vec(), true));
    }
}
