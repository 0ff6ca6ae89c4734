//! A watch over any service that can append to a value and say how long it is then.
//!
//! Request N appends a token with its number, so the answer must be the length of N tokens. What
//! comes is held against that to the byte; what the service has kept is read back at the end.

mod count;

use std::time::Duration;

use self::count::Tokens;
use crate::connection::CHUNK;
use crate::{Connection, Error, Report, Watch};

/// An answer to a request that appends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Length of the value now, in bytes.
    pub length: u64,
    /// Length of the answer itself, in bytes.
    pub bytes: usize,
}

/// The language of a service.
///
/// What takes answers is given all that has come and not been taken, and returns nothing as long
/// as the answer is not whole.
pub trait Service {
    /// What makes a new connection fit for requests.
    ///
    /// # Errors
    /// When the connection ends, or the service refuses.
    fn greet(&self, _: &mut Connection) -> Result<(), Error> {
        Ok(())
    }

    /// The request that appends this token; its number tells where in the watch it stands.
    fn append(&self, number: u64, token: &str) -> Vec<u8>;

    /// The answer to that.
    ///
    /// # Errors
    /// When it is none.
    fn appended(&self, came: &[u8]) -> Result<Option<Answer>, Error>;

    /// The request that reads the value and removes it.
    fn take_away(&self) -> Vec<u8>;

    /// The value, by the answer to that.
    ///
    /// # Errors
    /// When it is none.
    fn taken_away(&self, came: &[u8]) -> Result<Option<Vec<u8>>, Error>;
}

/// Requests that may be under way: so some are, whenever the service is frozen.
const UNDER_WAY: u64 = 4;

/// How long an answer is waited for before the next request is sent: so there are some dozens of
/// requests a second.
const TICK: Duration = Duration::from_millis(20);

/// How long the answers to the last requests are waited for when input has ended.
const LAST: Duration = Duration::from_secs(5);

/// The longest answer to a request that appends, in bytes.
const LONGEST: usize = 4096;

/// The watch.
#[derive(Debug)]
pub struct Appending<S> {
    service: S,
    connection: Connection,
    tokens: Tokens,
    came: Vec<u8>,
    report: Report,
}

impl<S: Service> Appending<S> {
    /// Connects to the service.
    ///
    /// # Errors
    /// When it cannot be reached.
    pub fn to(address: &str, service: S) -> Result<Self, Error> {
        let mut connection = Connection::to(address, TICK)?;
        service.greet(&mut connection)?;
        let (tokens, report) = (Tokens::default(), Report::start());
        Ok(Appending { service, connection, tokens, came: Vec::new(), report })
    }

    /// Takes in what has come within a tick.
    fn take(&mut self) -> Result<(), Error> {
        match self.connection.receive(CHUNK) {
            Ok(bytes) => self.came.extend(bytes),
            Err(_) => return self.reconnect(),
        }
        let before = self.tokens.answered();
        while let Some(answer) = self.service.appended(&self.came)? {
            self.came.drain(..answer.bytes);
            self.tokens.judge(answer, &mut self.report);
        }
        if self.came.len() > LONGEST {
            return Err(Error::answer("an answer with an end", &self.came));
        }
        if self.tokens.answered() > before {
            self.report.answered();
        }
        Ok(())
    }

    /// The service, or somebody on the way, has ended the connection: that it takes a new one is
    /// part of what an observer sees.
    fn reconnect(&mut self) -> Result<(), Error> {
        self.report.resets += 1;
        self.connection.again()?;
        self.service.greet(&mut self.connection)?;
        self.came.clear();
        self.tokens.forget_under_way();
        Ok(())
    }
}

impl<S: Service> Watch for Appending<S> {
    fn asked(&mut self) -> u64 {
        self.tokens.sent()
    }

    fn answered(&self) -> u64 {
        self.tokens.answered()
    }

    /// Sends a request, if few enough are under way, and takes in what has come.
    fn go_on(&mut self) -> Result<(), Error> {
        if self.tokens.under_way() < UNDER_WAY {
            let (number, token) = self.tokens.next();
            let request = self.service.append(number, &token);
            if self.connection.send(&request).is_err() {
                return self.reconnect();
            }
        }
        self.take()
    }

    /// Waits for the last answers, reads back what the service made of all, and removes it.
    fn end(mut self) -> Result<Report, Error> {
        let mut patience = LAST.as_millis() / TICK.as_millis();
        while self.tokens.under_way() > 0 && patience > 0 {
            self.take()?;
            patience -= 1;
        }
        self.report.ended();
        self.report.unanswered = self.tokens.under_way();
        if self.report.unanswered > 0 {
            // The value stays: there is nobody to ask.
            return Ok(self.report);
        }
        let request = self.service.take_away();
        let kept = self.connection.ask(&request, |came| self.service.taken_away(came))?;
        self.tokens.settle(&kept, &mut self.report);
        Ok(self.report)
    }
}
