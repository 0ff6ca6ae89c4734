//! A pipe and a named pipe with data that nobody has read.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::{AsFd, BorrowedFd};

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::sys::stat::Mode;
use nix::unistd::{mkfifo, pipe2};

use witness::place::{Place, pattern};
use witness::streams::receive;
use witness::sys::descriptor;
use witness::{Context, Findings, Witness};

const PIPE_BYTES: usize = 10_000;
const FIFO_BYTES: usize = 321;

/// Not what a new pipe has.
const CAPACITY: i32 = 128 << 10;

/// The witness.
#[derive(Debug)]
pub(crate) struct Pipes {
    reader: File,
    writer: File,
    fifo: File,
}

impl Pipes {
    /// Makes and fills them.
    pub(crate) fn new(place: &Place) -> io::Result<Self> {
        let (reader, writer) = pipe2(OFlag::O_CLOEXEC | OFlag::O_NONBLOCK)?;
        fcntl(&writer, FcntlArg::F_SETPIPE_SZ(CAPACITY)).context("capacity")?;
        let path = place.path("fifo");
        mkfifo(&path, Mode::from_bits_truncate(0o600)).context(path.display())?;
        let mut fifo = OpenOptions::new().read(true).write(true).open(&path)?;
        fifo.write_all(&pattern(5, FIFO_BYTES))?;
        let mut pipes = Pipes { reader: File::from(reader), writer: File::from(writer), fifo };
        pipes.writer.write_all(&pattern(4, PIPE_BYTES))?;
        Ok(pipes)
    }

    /// The end that has something to read.
    pub(crate) fn reader(&self) -> BorrowedFd<'_> {
        self.reader.as_fd()
    }
}

impl Witness for Pipes {
    fn name(&self) -> &'static str {
        "pipes"
    }

    fn check(&mut self, findings: &mut Findings) {
        if let Some(found) = findings.tried("pipe.unread", descriptor::unread(&self.reader)) {
            findings.equal("pipe.unread", PIPE_BYTES, found);
        }
        if let Some(found) = findings.tried("fifo.unread", descriptor::unread(&self.fifo)) {
            findings.equal("fifo.unread", FIFO_BYTES, found);
        }
        let capacity = fcntl(&self.reader, FcntlArg::F_GETPIPE_SZ).map_err(io::Error::from);
        if let Some(found) = findings.tried("pipe.capacity", capacity) {
            findings.equal("pipe.capacity", CAPACITY, found);
        }
    }

    fn finish(&mut self, findings: &mut Findings) {
        let Pipes { reader, writer, fifo } = self;
        receive("pipe.content", reader, &pattern(4, PIPE_BYTES), findings);
        findings.tried("pipe.write", writer.write_all(b"after the event"));
        receive("pipe.goes_on", reader, b"after the event", findings);
        // A named pipe that is open for both would wait for ever where bytes are missing.
        let nonblocking = fcntl(&*fifo, FcntlArg::F_SETFL(OFlag::O_RDWR | OFlag::O_NONBLOCK));
        findings.tried("fifo.set_flags", nonblocking.map_err(io::Error::from));
        receive("fifo.content", fifo, &pattern(5, FIFO_BYTES), findings);
        findings.tried("fifo.write", fifo.write_all(b"after the event"));
        receive("fifo.goes_on", fifo, b"after the event", findings);
    }
}
