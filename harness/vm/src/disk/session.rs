//! One connection to a disk, from the greeting to its end.
//!
//! The peer is QEMU, in which the guest may have taken over: whatever it sends costs bounded
//! memory and is carried out, refused, or ends the connection.

use std::io::{self, BufReader, Read, Write};
use std::sync::Mutex;

use super::lock;
use super::medium::{Lands, Medium};
use super::protocol::{
    ABORT, ACK, ClientFlags, DISCONNECT, EXPORT_NAME, FLUSH, FUA, GO, GREETING, INFO, INVALID,
    LEAST_BYTES, MOST_BYTES, NO_HOLE, OptionHeader, READ, REPLY_BYTES, Refusal, Request, TOO_BIG,
    TRIM, UNSUPPORTED, WRITE, WRITE_ZEROES, description, export, is_info_request, option_reply,
    reply,
};

/// Most bytes of an option: names of exports have at most 4096.
const OPTION_BYTES: u32 = 8192;

/// Serves a disk until the peer takes its leave, breaks the rules, or is gone.
pub(super) fn serve<R: Read, W: Write>(reader: R, writer: W, medium: &Mutex<Medium>) {
    let bytes = lock(medium).image().bytes();
    let buffer = Vec::new();
    let mut session = Session { reader: BufReader::new(reader), writer, medium, bytes, buffer };
    // Whoever is at the other end tells by itself why it went; a disk has nobody to tell.
    let _ = session.run();
}

struct Session<'a, R, W> {
    reader: BufReader<R>,
    writer: W,
    medium: &'a Mutex<Medium>,
    /// Size of the disk.
    bytes: u64,
    /// For a reply, or for what is to be written.
    buffer: Vec<u8>,
}

/// What follows an option.
enum Next {
    Option,
    Transmission,
    End,
}

impl<R: Read, W: Write> Session<'_, R, W> {
    fn run(&mut self) -> io::Result<()> {
        if self.negotiate()? { self.transmit() } else { Ok(()) }
    }

    /// Whether a transmission was agreed on.
    fn negotiate(&mut self) -> io::Result<bool> {
        self.writer.write_all(&GREETING)?;
        let Some(client) = ClientFlags::parse(self.array()?) else { return Ok(false) };
        while let Some(header) = OptionHeader::parse(self.array()?) {
            let (answer, next) = self.option(header, client)?;
            self.writer.write_all(&answer)?;
            match next {
                Next::Option => {}
                Next::Transmission => return Ok(true),
                Next::End => return Ok(false),
            }
        }
        Ok(false)
    }

    /// What is answered to an option, and what follows.
    fn option(&mut self, header: OptionHeader, client: ClientFlags) -> io::Result<(Vec<u8>, Next)> {
        let OptionHeader { option, length } = header;
        if length > OPTION_BYTES {
            self.discard(length)?;
            return Ok((option_reply(option, TOO_BIG, &[]), Next::Option));
        }
        let mut data = vec![0; length as usize];
        self.reader.read_exact(&mut data)?;
        Ok(match option {
            EXPORT_NAME => (self.old_description(client), Next::Transmission),
            ABORT => (option_reply(option, ACK, &[]), Next::End),
            INFO | GO if !is_info_request(&data) => {
                (option_reply(option, INVALID, &[]), Next::Option)
            }
            INFO => (description(option, self.bytes), Next::Option),
            GO => (description(option, self.bytes), Next::Transmission),
            _ => (option_reply(option, UNSUPPORTED, &[]), Next::Option),
        })
    }

    /// The answer to `EXPORT_NAME`, which comes without a header.
    fn old_description(&self, client: ClientFlags) -> Vec<u8> {
        let mut bytes = export(self.bytes);
        if !client.no_zeroes {
            bytes.extend([0; 124]);
        }
        bytes
    }

    fn transmit(&mut self) -> io::Result<()> {
        loop {
            match Request::parse(self.array()?) {
                Some(request) if request.command != DISCONNECT => self.answer(request)?,
                _ => return Ok(()),
            }
        }
    }

    fn answer(&mut self, request: Request) -> io::Result<()> {
        let mut outcome = self.check(request);
        if request.command == WRITE {
            match outcome {
                Ok(()) => self.receive(request.length)?,
                Err(_) => self.discard(request.length)?,
            }
        }
        if outcome.is_ok() {
            outcome = self.carry_out(request);
        }
        let header = reply(request.cookie, outcome);
        if request.command != READ || outcome.is_err() {
            return self.writer.write_all(&header);
        }
        self.buffer[..REPLY_BYTES].copy_from_slice(&header);
        self.writer.write_all(&self.buffer[..REPLY_BYTES + request.length as usize])
    }

    /// Whether the request makes sense for this disk.
    fn check(&self, request: Request) -> Result<(), Refusal> {
        let Request { flags, command, offset, length, .. } = request;
        let (has_data, writes) = match command {
            FLUSH => return Ok(()),
            READ => (true, false),
            WRITE => (true, true),
            TRIM => (false, false),
            WRITE_ZEROES => (false, true),
            _ => return Err(Refusal::Invalid),
        };
        let length = u64::from(length);
        let aligned = (offset | length).is_multiple_of(u64::from(LEAST_BYTES));
        let too_long = has_data && length > u64::from(MOST_BYTES);
        if !aligned || too_long || flags & !(FUA | NO_HOLE) != 0 {
            return Err(Refusal::Invalid);
        }
        match offset.checked_add(length) {
            Some(end) if end <= self.bytes => Ok(()),
            _ if writes => Err(Refusal::NoSpace),
            _ => Err(Refusal::Invalid),
        }
    }

    fn carry_out(&mut self, request: Request) -> Result<(), Refusal> {
        let Request { offset, length, .. } = request;
        let lands = if request.flags & FUA == 0 { Lands::InCache } else { Lands::OnDisk };
        let mut medium = lock(self.medium);
        let done = match request.command {
            READ => medium.read(offset, room(&mut self.buffer, length)),
            WRITE => medium.write(offset, room(&mut self.buffer, length), lands),
            FLUSH => medium.flush(),
            _ => medium.zero(offset, u64::from(length), lands),
        };
        done.map_err(|error| match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Refusal::NoSpace,
            _ => Refusal::Failed,
        })
    }

    /// The next bytes of known number.
    fn array<const BYTES: usize>(&mut self) -> io::Result<[u8; BYTES]> {
        let mut bytes = [0; BYTES];
        self.reader.read_exact(&mut bytes)?;
        Ok(bytes)
    }

    /// Reads what is to be written.
    fn receive(&mut self, length: u32) -> io::Result<()> {
        self.reader.read_exact(room(&mut self.buffer, length))
    }

    /// Skips bytes that are of no use.
    fn discard(&mut self, length: u32) -> io::Result<()> {
        let skipped = io::copy(&mut (&mut self.reader).take(length.into()), &mut io::sink())?;
        if skipped < u64::from(length) {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(())
    }
}

/// Room for so many bytes behind the header of a reply.
fn room(buffer: &mut Vec<u8>, length: u32) -> &mut [u8] {
    let end = REPLY_BYTES + length as usize;
    if buffer.len() < end {
        buffer.resize(end, 0);
    }
    &mut buffer[REPLY_BYTES..end]
}
