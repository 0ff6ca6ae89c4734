//! How an observer speaks with whoever started it.
//!
//! Standard input asks `answered?`; a line `answered: N` tells that the service has answered
//! something that it was asked after the question. When the input ends, so does the watch, and the
//! last line is `outside: ` with a [`Report`].

use std::io::{self, BufRead, Write};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

use crate::{Error, Report};

/// The question of whoever started this.
const QUESTION: &str = "answered?";

/// What is done over a connection until it has been watched long enough.
pub trait Watch {
    /// Whoever started this wants to know that the service answers.
    ///
    /// Returns how much was asked of the service up to now.
    fn asked(&mut self) -> u64;

    /// How much of it was answered, or given up.
    fn answered(&self) -> u64;

    /// Does the next bit of work, within a moment.
    ///
    /// # Errors
    /// When the service cannot be reached any more, or says what is no answer.
    fn go_on(&mut self) -> Result<(), Error>;

    /// How long there is nothing to do.
    fn pause(&self) -> Duration {
        Duration::ZERO
    }

    /// Comes to an end, and says what was seen.
    ///
    /// # Errors
    /// As of [`Watch::go_on`].
    fn end(self) -> Result<Report, Error>;
}

/// Watches until the end of standard input; says what came of it.
///
/// # Errors
/// Those of the watch; then there is no report.
pub fn observe(mut watch: impl Watch) -> Result<(), Error> {
    let questions = questions()?;
    let mut asked_at = None;
    loop {
        match questions.recv_timeout(watch.pause()) {
            Ok(()) => asked_at = Some(watch.asked()),
            Err(RecvTimeoutError::Disconnected) => break,
            Err(RecvTimeoutError::Timeout) => {}
        }
        watch.go_on()?;
        if asked_at.is_some_and(|asked| watch.answered() > asked) {
            say(&format!("answered: {}", watch.answered()))?;
            asked_at = None;
        }
    }
    let report = watch.end()?;
    say(&format!("outside: {report}"))?;
    Ok(())
}

/// The lines of standard input, each a question, as they come; gone at its end.
fn questions() -> io::Result<Receiver<()>> {
    let (told, questions) = channel();
    let listen = move || {
        for line in io::stdin().lock().lines().map_while(io::Result::ok) {
            if line != QUESTION || told.send(()).is_err() {
                return;
            }
        }
    };
    std::thread::Builder::new().spawn(listen)?;
    Ok(questions)
}

fn say(line: &str) -> io::Result<()> {
    writeln!(io::stdout().lock(), "{line}")
}
