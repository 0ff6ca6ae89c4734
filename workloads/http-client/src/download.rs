//! Watches a server of files: over one connection, small files at once, then a large one slowly,
//! again and again, and every byte is looked at.
//!
//! So a download is in progress at the event. Whoever asks whether the service answers ends the
//! slowness: what is left of the download comes at once, and then an answer that was asked for
//! after the question.

use std::time::{Duration, Instant};

use observer::{Connection, Error, PATIENCE, Report, Watch, observe};

use crate::files::{File, LARGE, SMALL};
use crate::{TICK, http};

/// A slow download takes so many bytes at once ...
const BITE: usize = 8 << 10;

/// ... and so often: at most 160 KiB a second, which the large file lasts for 51 seconds.
const PACE: Duration = Duration::from_millis(50);

/// Bytes that are taken at once otherwise.
const CHUNK: usize = 64 << 10;

/// Watches until the end of input; says what came of it.
pub(crate) fn download(address: &str) -> Result<(), Error> {
    observe(Download {
        connection: Connection::to(address, TICK)?,
        report: Report::start(),
        asked: 0,
        answered: 0,
        hurry_for: None,
        under_way: None,
        head: Vec::new(),
    })
}

struct Download {
    connection: Connection,
    report: Report,
    asked: u64,
    answered: u64,
    /// Nothing is slow until more than this is answered.
    hurry_for: Option<u64>,
    under_way: Option<Body>,
    /// The beginning of an answer.
    head: Vec<u8>,
}

/// A file that is coming.
#[derive(Clone, Copy)]
struct Body {
    file: File,
    /// Bytes that have come, once the head was there.
    at: Option<usize>,
}

impl Download {
    fn is_slow(&self) -> bool {
        let is_large = |body: &Body| body.file.content().length == LARGE.content().length;
        self.hurry_for.is_none() && self.under_way.as_ref().is_some_and(is_large)
    }

    /// The next file: all small ones, then the large one.
    fn ask(&mut self) -> Result<(), Error> {
        let turn = usize::try_from(self.asked).unwrap_or_default() % (SMALL + 1);
        let file = if turn < SMALL { File::small(turn + 1) } else { LARGE };
        self.asked += 1;
        self.under_way = Some(Body { file, at: None });
        match self.connection.send(&http::request("GET", &file.path(), b"")) {
            Ok(()) => Ok(()),
            Err(_) => self.reconnect(),
        }
    }

    fn take(&mut self, bytes: &[u8]) -> Result<(), Error> {
        let Some(Body { file, at }) = self.under_way else {
            // Nobody has asked for this.
            self.report.doubled_bytes += bytes.len() as u64;
            return Ok(());
        };
        if let Some(at) = at {
            return self.body(file, at, bytes);
        }
        self.head.extend_from_slice(bytes);
        let Some(head) = http::head(&self.head)? else { return Ok(()) };
        if head.status != 200 || head.length != file.content().length {
            return Err(Error::answer("the file", &self.head[..head.bytes]));
        }
        let rest = self.head.split_off(head.bytes);
        self.head.clear();
        self.body(file, 0, &rest)
    }

    /// Takes in bytes of the file from a position on.
    fn body(&mut self, file: File, at: usize, bytes: &[u8]) -> Result<(), Error> {
        let content = file.content();
        let (bytes, rest) = bytes.split_at(bytes.len().min(content.length - at));
        let wrong = (at..).zip(bytes).filter(|(at, byte)| content.byte(*at) != **byte).count();
        // In place of a byte that is missing came one that nobody has sent.
        self.report.lost_bytes += wrong as u64;
        self.report.doubled_bytes += wrong as u64;
        let at = at + bytes.len();
        if at < content.length {
            self.under_way = Some(Body { file, at: Some(at) });
            return Ok(());
        }
        self.under_way = None;
        self.answered += 1;
        if self.hurry_for.is_some_and(|asked| self.answered > asked) {
            self.hurry_for = None;
        }
        if rest.is_empty() { Ok(()) } else { self.take(rest) }
    }

    /// The server, or somebody on the way, has ended the connection.
    fn reconnect(&mut self) -> Result<(), Error> {
        self.report.resets += 1;
        self.connection.again()?;
        self.under_way = None;
        self.head.clear();
        self.answered = self.asked;
        Ok(())
    }

    fn receive(&mut self) -> Result<(), Error> {
        let most = if self.is_slow() { BITE } else { CHUNK };
        match self.connection.receive(most) {
            Ok(bytes) if bytes.is_empty() => Ok(()),
            Ok(bytes) => {
                self.report.answered();
                self.take(&bytes)
            }
            Err(_) => self.reconnect(),
        }
    }
}

impl Watch for Download {
    fn asked(&mut self) -> u64 {
        self.hurry_for = Some(self.asked);
        self.asked
    }

    fn answered(&self) -> u64 {
        self.answered
    }

    fn go_on(&mut self) -> Result<(), Error> {
        if self.under_way.is_none() {
            self.ask()?;
        }
        self.receive()
    }

    fn pause(&self) -> Duration {
        if self.is_slow() { PACE } else { Duration::ZERO }
    }

    /// Takes what is left of the file that is coming.
    fn end(mut self) -> Result<Report, Error> {
        self.hurry_for = Some(self.asked);
        let began = Instant::now();
        while self.under_way.is_some() && began.elapsed() < PATIENCE {
            self.receive()?;
        }
        self.report.ended();
        self.report.unanswered = self.asked - self.answered;
        Ok(self.report)
    }
}
