//! Pipes: full, with one end closed, with two readers, named and without a name; and unix sockets, see
//! `unix.rs`.
//!
//! Left out: pipes that keep packets apart (O_DIRECT), which CRIU refuses.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::sys::stat::Mode;
use nix::unistd::{mkfifo, pipe2};
use witness::place::{Place, pattern};
use witness::streams::receive;
use witness::sys::{descriptor, signal};
use witness::waiting::Waiting;
use witness::{Context, Findings, Seen, Subject, Witness, record};

use super::unix;

const PAGE_BYTES: i32 = 4096;

pub(super) fn set_up(place: &Place) -> io::Result<Vec<Box<dyn Witness>>> {
    // Who writes to a pipe that nobody reads shall be told by an error.
    signal::ignore(libc::SIGPIPE)?;
    let mut all = vec![
        record(Full::new().context("a full pipe")?),
        record(Ends::new().context("pipes with one end")?),
        record(Named::new(place).context("named pipes")?),
    ];
    all.extend(unix::set_up(place)?);
    Ok(all)
}

fn pipe(flags: OFlag) -> io::Result<(File, File)> {
    let (reader, writer) = pipe2(flags | OFlag::O_CLOEXEC)?;
    Ok((reader.into(), writer.into()))
}

fn reopen(file: &File, options: &OpenOptions) -> io::Result<File> {
    options.open(format!("/proc/self/fd/{}", file.as_raw_fd()))
}

/// A pipe into which nothing goes, and one out of which nothing comes, with a thread at each.
struct Full {
    reader: File,
    writer: Waiting<usize>,
    _end: File,
    empty: File,
    waits: Waiting<Vec<u8>>,
}

impl Full {
    fn new() -> io::Result<Self> {
        let (reader, mut writer) = pipe(OFlag::O_NONBLOCK)?;
        fcntl(&writer, FcntlArg::F_SETPIPE_SZ(PAGE_BYTES))?;
        writer.write_all(&pattern(1, PAGE_BYTES as usize))?;
        let mut blocking = reopen(&writer, OpenOptions::new().write(true))?;
        let blocked =
            Waiting::start("pipe-writer", libc::SYS_write, move || blocking.write(b"last"))?;
        let (mut from, empty) = pipe(OFlag::empty())?;
        let waits = Waiting::start("pipe-reader", libc::SYS_read, move || {
            let mut bytes = vec![0; 20];
            let count = from.read(&mut bytes)?;
            bytes.truncate(count);
            Ok(bytes)
        })?;
        Ok(Full { reader, writer: blocked, _end: writer, empty, waits })
    }
}

impl Subject for Full {
    fn name(&self) -> &'static str {
        "full"
    }

    fn look(&mut self, seen: &mut Seen) {
        seen.note("unread", descriptor::unread(&self.reader));
        seen.note("capacity", fcntl(&self.reader, FcntlArg::F_GETPIPE_SZ));
    }

    fn go_on(&mut self, findings: &mut Findings) {
        self.writer.still(findings);
        self.waits.still(findings);
        receive("content", &mut self.reader, &pattern(1, PAGE_BYTES as usize), findings);
        findings.gives("writer", 4, self.writer.woken());
        receive("written", &mut self.reader, b"last", findings);
        findings.tried("empty.write", self.empty.write_all(b"something"));
        findings.gives("empty.reader", b"something".to_vec(), self.waits.woken());
    }
}

/// Pipes of which one end was closed, and one with two open files at the same end.
struct Ends {
    ended: File,
    broken: File,
    first: File,
    second: File,
    shared: File,
}

impl Ends {
    fn new() -> io::Result<Self> {
        let (ended, mut writer) = pipe(OFlag::empty())?;
        writer.write_all(&pattern(2, 500))?;
        let (_, broken) = pipe(OFlag::empty())?;
        let (first, mut shared) = pipe(OFlag::empty())?;
        shared.write_all(&pattern(3, 600))?;
        let second = reopen(&first, OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK))?;
        Ok(Ends { ended, broken, first, second, shared })
    }
}

impl Subject for Ends {
    fn name(&self) -> &'static str {
        "ends"
    }

    fn look(&mut self, seen: &mut Seen) {
        let files = [("ended", &self.ended), ("first", &self.first), ("second", &self.second)];
        for (name, file) in files {
            seen.note(format!("{name}.unread"), descriptor::unread(file));
            let flags = fcntl(file, FcntlArg::F_GETFL).map(|it| it & libc::O_NONBLOCK);
            seen.note(format!("{name}.nonblock"), flags);
        }
        seen.note("broken.write", (&self.broken).write(b"x"));
    }

    fn go_on(&mut self, findings: &mut Findings) {
        receive("ended.content", &mut self.ended, &pattern(2, 500), findings);
        findings.gives("ended.end", 0, self.ended.read(&mut [0]));
        receive("first.content", &mut self.first, &pattern(3, 600)[..200], findings);
        receive("second.content", &mut self.second, &pattern(3, 600)[200..], findings);
        let nothing = self.second.read(&mut [0]).err().map(|it| it.kind());
        findings.equal("second.nonblock", Some(io::ErrorKind::WouldBlock), nothing);
        findings.tried("shared.write", self.shared.write_all(b"more"));
        receive("first.goes_on", &mut self.first, b"more", findings);
    }
}

/// Named pipes: with a file for each end, and without the name.
struct Named {
    reader: File,
    writer: File,
    unnamed: File,
}

impl Named {
    fn new(place: &Place) -> io::Result<Self> {
        let path = place.path("fifo");
        mkfifo(&path, Mode::from_bits_truncate(0o622))?;
        let nonblock =
            |options: &mut OpenOptions| options.custom_flags(libc::O_NONBLOCK).open(&path);
        let reader = nonblock(OpenOptions::new().read(true))?;
        let mut writer = nonblock(OpenOptions::new().write(true))?;
        writer.write_all(&pattern(4, 700))?;
        let path = place.path("fifo-deleted");
        mkfifo(&path, Mode::from_bits_truncate(0o600))?;
        let mut unnamed = OpenOptions::new().read(true).write(true).open(&path)?;
        unnamed.write_all(&pattern(5, 800))?;
        fs::remove_file(&path)?;
        Ok(Named { reader, writer, unnamed })
    }
}

impl Subject for Named {
    fn name(&self) -> &'static str {
        "named"
    }

    fn look(&mut self, seen: &mut Seen) {
        seen.note("unread", descriptor::unread(&self.reader));
        seen.note("unnamed.unread", descriptor::unread(&self.unnamed));
        seen.note("write_only", (&self.writer).read(&mut [0]));
    }

    fn go_on(&mut self, findings: &mut Findings) {
        receive("content", &mut self.reader, &pattern(4, 700), findings);
        findings.tried("write", self.writer.write_all(b"named"));
        receive("goes_on", &mut self.reader, b"named", findings);
        let flags = FcntlArg::F_SETFL(OFlag::O_NONBLOCK);
        findings.tried("unnamed.flags", witness::io(fcntl(&self.unnamed, flags)));
        receive("unnamed.content", &mut self.unnamed, &pattern(5, 800), findings);
    }
}
