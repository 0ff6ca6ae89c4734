//! Watches the service from outside: one connection, over which numbered commands go as long as
//! standard input is open.
//!
//! Command N appends a token with its number to a key, so the answer must be the length of the key
//! after N tokens. What comes is held against that to the byte; what the service made of the
//! commands is read back at the end. Whoever started this writes `answered?` to standard input and
//! is told `answered: N` when the service has answered a command that was sent after the question.
//! At the end of input the key is removed, and the last line is `outside: ` with a [`Report`].

mod connection;
mod report;
mod tokens;

use std::io::{self, BufRead};
use std::sync::mpsc::{Receiver, TryRecvError, channel};
use std::time::Duration;

use anyhow::{Context, Result};

use self::connection::Connection;
use self::report::Report;
use self::tokens::Tokens;
use crate::say;

/// The question of whoever started this.
const QUESTION: &str = "answered?";

/// Commands that may be under way: so some are, whenever the service is frozen.
const UNDER_WAY: u64 = 4;

/// How long an answer is waited for before the next command is sent: so there are some dozens of
/// commands a second.
const TICK: Duration = Duration::from_millis(20);

/// How long the answers to the last commands are waited for when input has ended.
const LAST: Duration = Duration::from_secs(5);

/// Watches until the end of input; says what came of it.
pub(crate) fn watch(address: &str) -> Result<()> {
    let questions = questions()?;
    let mut watch = Watch {
        connection: Connection::to(address, TICK)?,
        tokens: Tokens::default(),
        report: Report::start(),
    };
    let mut asked_at = None;
    loop {
        match questions.try_recv() {
            Ok(()) => asked_at = Some(watch.tokens.sent()),
            Err(TryRecvError::Disconnected) => break,
            Err(TryRecvError::Empty) => {}
        }
        watch.go_on()?;
        if let Some(sent) = asked_at
            && watch.tokens.answered() > sent
        {
            say(&format!("answered: {}", watch.tokens.answered()))?;
            asked_at = None;
        }
    }
    say(&format!("outside: {}", watch.end()?))?;
    Ok(())
}

/// The lines of standard input, each a question, as they come; gone at its end.
fn questions() -> Result<Receiver<()>> {
    let (told, questions) = channel();
    let listen = move || {
        for line in io::stdin().lock().lines().map_while(io::Result::ok) {
            if line != QUESTION || told.send(()).is_err() {
                return;
            }
        }
    };
    std::thread::Builder::new().spawn(listen).context("listen to standard input")?;
    Ok(questions)
}

struct Watch {
    connection: Connection,
    tokens: Tokens,
    report: Report,
}

impl Watch {
    /// Sends a command, if few enough are under way, and takes in what has come.
    fn go_on(&mut self) -> Result<()> {
        let sent = match self.tokens.under_way() < UNDER_WAY {
            true => self.connection.send(&self.tokens.next()),
            false => Ok(()),
        };
        match sent.and_then(|()| self.connection.receive()) {
            Ok(bytes) => self.take(&bytes),
            Err(_) => self.reconnect(),
        }
    }

    fn take(&mut self, bytes: &[u8]) -> Result<()> {
        if bytes.is_empty() {
            return Ok(());
        }
        let before = self.tokens.answered();
        self.tokens.take(bytes, &mut self.report)?;
        if self.tokens.answered() > before {
            self.report.answered();
        }
        Ok(())
    }

    /// The service, or somebody on the way, has ended the connection: that it takes a new one is
    /// part of what an observer sees.
    fn reconnect(&mut self) -> Result<()> {
        self.report.resets += 1;
        self.connection.again()?;
        self.tokens.forget_under_way();
        Ok(())
    }

    /// Waits for the last answers, reads back what the service made of all, and removes it.
    fn end(mut self) -> Result<Report> {
        let mut patience = LAST.as_millis() / TICK.as_millis();
        while self.tokens.under_way() > 0 && patience > 0 {
            match self.connection.receive() {
                Ok(bytes) => self.take(&bytes)?,
                Err(_) => self.reconnect()?,
            }
            patience -= 1;
        }
        self.report.ended();
        self.report.unanswered = self.tokens.under_way();
        if self.report.unanswered > 0 {
            // The key stays: there is nobody to ask.
            return Ok(self.report);
        }
        let kept = self.connection.take_away(tokens::KEY)?;
        self.tokens.settle(&kept, &mut self.report);
        Ok(self.report)
    }
}
