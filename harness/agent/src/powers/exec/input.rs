//! What goes to the standard input of a program.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{ErrorKind, Write};
use std::os::fd::{AsFd, BorrowedFd};

use anyhow::ensure;
use model::message::INPUT_BYTES;

/// What a terminal takes for the end of input, at the beginning of a line (VEOF of termios(3)).
const END_OF_INPUT: u8 = 4;

/// Bytes on their way to a program.
#[derive(Debug)]
pub(super) struct ProgramInput {
    /// Closed when all was written, or when the program takes no more.
    to: Option<File>,
    is_terminal: bool,
    waiting: VecDeque<u8>,
    /// Nothing comes after what is waiting.
    ends: bool,
    /// The last byte that came, for terminals.
    last: u8,
    /// Bytes that came and of which nobody was told yet that they were taken.
    untold: usize,
}

impl ProgramInput {
    /// Leads to this descriptor, which does not block.
    pub(super) fn new(to: File, is_terminal: bool) -> ProgramInput {
        let (waiting, ends, last, untold) = (VecDeque::new(), false, b'\n', 0);
        ProgramInput { to: Some(to), is_terminal, waiting, ends, last, untold }
    }

    /// Takes more bytes.
    pub(super) fn push(&mut self, bytes: &[u8]) -> anyhow::Result<()> {
        let untold = self.untold + bytes.len();
        ensure!(
            untold <= INPUT_BYTES as usize,
            "{untold} bytes of input, of {INPUT_BYTES} granted"
        );
        self.untold = untold;
        if self.to.is_some() && !self.ends {
            self.waiting.extend(bytes);
            self.last = bytes.last().copied().unwrap_or(self.last);
        }
        Ok(())
    }

    /// Nothing comes any more. A terminal is told by a character, twice within a line: the first
    /// one ends the line only.
    pub(super) fn end(&mut self) {
        if std::mem::replace(&mut self.ends, true) || !self.is_terminal {
            return;
        }
        let count = if self.last == b'\n' { 1 } else { 2 };
        self.waiting.extend(&[END_OF_INPUT; 2][..count]);
    }

    /// The descriptor, while there is something to write to it.
    pub(super) fn wants(&self) -> Option<BorrowedFd<'_>> {
        self.to.as_ref().filter(|_| !self.waiting.is_empty()).map(AsFd::as_fd)
    }

    /// Writes what the program takes at this moment, and returns how many bytes are to be told as
    /// taken; what a program that has closed its input will never take counts, too.
    pub(super) fn feed(&mut self) -> u32 {
        while let Some(to) = self.to.as_mut().filter(|_| !self.waiting.is_empty()) {
            match to.write(self.waiting.as_slices().0) {
                Ok(count) => drop(self.waiting.drain(..count)),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(_) => self.close(),
            }
        }
        if self.ends && !self.is_terminal && self.waiting.is_empty() {
            self.close();
        }
        // Characters that tell the end are the last that wait: they delay a report at most.
        let taken = self.untold.saturating_sub(self.waiting.len());
        self.untold -= taken;
        taken as u32
    }

    fn close(&mut self) {
        self.waiting.clear();
        self.to = None;
    }
}

#[cfg(test)]
mod tests {
    use std::io::{self, Read};

    use nix::fcntl::{FcntlArg, OFlag, fcntl};

    use super::*;

    fn pipe() -> (ProgramInput, io::PipeReader) {
        let (reader, writer) = io::pipe().expect("a pipe");
        fcntl(&writer, FcntlArg::F_SETFL(OFlag::O_NONBLOCK)).expect("set");
        let writer = std::os::fd::OwnedFd::from(writer);
        (ProgramInput::new(writer.into(), false), reader)
    }

    #[test]
    fn what_a_program_does_not_read_waits_within_the_grant() {
        let (mut input, mut reader) = pipe();
        let mebi = vec![b'x'; INPUT_BYTES as usize];
        input.push(&mebi).expect("within the grant");
        let taken = input.feed();
        assert!(taken > 0 && taken < INPUT_BYTES, "{taken}");
        assert_eq!(input.feed(), 0);
        assert!(input.push(&mebi).is_err(), "more than was granted");
        input.end();
        let mut left = INPUT_BYTES - taken;
        let mut buffer = vec![0; 32 << 10];
        while left > 0 {
            reader.read_exact(&mut buffer).expect("read");
            left -= input.feed();
        }
        let mut rest = Vec::new();
        assert!(reader.read_to_end(&mut rest).is_ok(), "closed after all was taken");
    }

    #[test]
    fn a_program_that_closed_its_input_takes_everything() {
        let (mut input, reader) = pipe();
        drop(reader);
        input.push(b"nobody").expect("within the grant");
        assert_eq!(input.feed(), 6);
        input.push(b" reads").expect("within the grant");
        assert_eq!(input.feed(), 6);
        assert!(input.wants().is_none());
    }

    #[test]
    fn a_terminal_is_told_the_end_by_a_character() {
        for (typed, expected) in [("", "\u{4}"), ("a\n", "a\n\u{4}"), ("a", "a\u{4}\u{4}")] {
            let (mut input, mut reader) = pipe();
            input.is_terminal = true;
            input.push(typed.as_bytes()).expect("within the grant");
            input.end();
            input.end();
            input.feed();
            assert!(input.to.take().is_some());
            let mut text = String::new();
            reader.read_to_string(&mut text).expect("read");
            assert_eq!(text, expected);
        }
    }
}
