//! What follows the message of an entry: raw bytes whose length the message tells.

use std::io::{self, Read, Write};

use prost_reflect::{DynamicMessage, MessageDescriptor, Value};

use super::error::{Error, Problem};
use super::file::Entry;
use super::kind::{Kind, Layout};
use super::source::{Source, padding};
use crate::schema::Schema;

/// The payload of an entry.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Payload {
    /// There is none.
    #[default]
    None,
    /// Bytes: of a pipe, a packet, a deleted file, a shared memory segment, a BPF map.
    Bytes(Vec<u8>),
    /// The two queues of a TCP connection.
    Queues {
        /// Received and not yet read.
        inq: Vec<u8>,
        /// Sent and not yet acknowledged, or not yet sent.
        outq: Vec<u8>,
    },
    /// The values of a set of semaphores.
    Semaphores(Vec<u16>),
    /// The messages of a SysV queue: `ipc_msg` entries, each with its text.
    Messages(Vec<(Entry, Vec<u8>)>),
}

/// Reads the payload behind `message`, the entry at `index` of a file of this kind.
pub(super) fn read<R: Read>(
    kind: &'static Kind,
    index: usize,
    message: &DynamicMessage,
    schema: &Schema,
    source: &mut Source<'_, R>,
) -> Result<Payload, Error> {
    let number = |field| number(message, field);
    match kind.layout {
        Layout::Plain | Layout::Headed(_) => Ok(Payload::None),
        Layout::Bytes(fields) => {
            let length = fields.iter().map(|field| number(field)).sum();
            Ok(Payload::Bytes(source.bytes(length, "payload")?))
        }
        Layout::TcpStream => Ok(Payload::Queues {
            inq: source.bytes(number("inq_len"), "receive queue")?,
            outq: source.bytes(number("outq_len"), "send queue")?,
        }),
        Layout::SharedMemory if flag(message, "in_pagemaps") => Ok(Payload::None),
        Layout::SharedMemory => padded(source, number("size"), 4).map(Payload::Bytes),
        Layout::Semaphores => {
            let bytes = padded(source, 2 * number("nsems"), 8)?;
            let values = bytes.chunks_exact(2).map(|pair| u16::from_le_bytes([pair[0], pair[1]]));
            Ok(Payload::Semaphores(values.collect()))
        }
        Layout::MessageQueue => {
            read_messages(kind, number("qnum"), schema, source).map(Payload::Messages)
        }
        Layout::GhostFile if index > 0 => Ok(Payload::Bytes(source.bytes(number("len"), "chunk")?)),
        Layout::GhostFile if flag(message, "chunks") => Ok(Payload::None),
        Layout::GhostFile => Ok(Payload::Bytes(source.rest()?)),
    }
}

/// Reads `length` bytes and the zeros behind them.
fn padded<R: Read>(source: &mut Source<'_, R>, length: u64, to: u64) -> Result<Vec<u8>, Error> {
    let bytes = source.bytes(length, "payload")?;
    source.padding(length, to)?;
    Ok(bytes)
}

fn read_messages<R: Read>(
    kind: &'static Kind,
    count: u64,
    schema: &Schema,
    source: &mut Source<'_, R>,
) -> Result<Vec<(Entry, Vec<u8>)>, Error> {
    let start = source.offset();
    let descriptor = inner_descriptor(kind, schema).map_err(|why| source.error(start, why))?;
    let mut messages = Vec::new();
    for _ in 0..count {
        let size = source.u32("size of a queued message")?;
        let entry = Entry::read_message(&descriptor, size, source)?;
        let text = padded(source, number(&entry.message, "msize"), 8)?;
        messages.push((entry, text));
    }
    Ok(messages)
}

pub(super) fn inner_descriptor(
    kind: &'static Kind,
    schema: &Schema,
) -> Result<MessageDescriptor, Problem> {
    let message = kind.inner_message().unwrap_or(kind.message);
    schema.message(message).ok_or(Problem::NoMessage { image: kind.name, message })
}

/// Writes a payload as [`read`] reads it. Lengths are those of the payload: see [`check`].
pub(super) fn write<W: Write>(kind: &Kind, payload: &Payload, writer: &mut W) -> io::Result<()> {
    match payload {
        Payload::None => Ok(()),
        Payload::Bytes(bytes) if kind.layout == Layout::SharedMemory => {
            write_padded(bytes, 4, writer)
        }
        Payload::Bytes(bytes) => writer.write_all(bytes),
        Payload::Queues { inq, outq } => {
            writer.write_all(inq)?;
            writer.write_all(outq)
        }
        Payload::Semaphores(values) => {
            let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
            write_padded(&bytes, 8, writer)
        }
        Payload::Messages(messages) => messages.iter().try_for_each(|(entry, text)| {
            entry.write_message(writer)?;
            write_padded(text, 8, writer)
        }),
    }
}

fn write_padded<W: Write>(bytes: &[u8], boundary: u64, writer: &mut W) -> io::Result<()> {
    writer.write_all(bytes)?;
    let zeros = padding(bytes.len() as u64, boundary);
    io::copy(&mut io::repeat(0).take(zeros), writer).map(drop)
}

/// Whether a payload is what its message announces: otherwise no reader could find its end.
pub(super) fn check(kind: &Kind, index: usize, entry: &Entry) -> Result<(), Problem> {
    let number = |field| number(&entry.message, field);
    let bytes = |announced| match &entry.payload {
        Payload::Bytes(bytes) => equal("bytes", announced, bytes.len()),
        _ => equal("bytes", announced, 0),
    };
    match (kind.layout, &entry.payload) {
        (Layout::Bytes(fields), _) => bytes(fields.iter().map(|field| number(field)).sum()),
        (Layout::TcpStream, Payload::Queues { inq, outq }) => {
            equal("received bytes", number("inq_len"), inq.len())?;
            equal("sent bytes", number("outq_len"), outq.len())
        }
        (Layout::TcpStream, _) => equal("bytes", number("inq_len") + number("outq_len"), 0),
        (Layout::SharedMemory, _) if flag(&entry.message, "in_pagemaps") => bytes(0),
        (Layout::SharedMemory, _) => bytes(number("size")),
        (Layout::Semaphores, Payload::Semaphores(values)) => {
            equal("semaphores", number("nsems"), values.len())
        }
        (Layout::Semaphores, _) => equal("semaphores", number("nsems"), 0),
        (Layout::MessageQueue, Payload::Messages(messages)) => {
            equal("messages", number("qnum"), messages.len())?;
            messages.iter().try_for_each(check_queued)
        }
        (Layout::MessageQueue, _) => equal("messages", number("qnum"), 0),
        (Layout::GhostFile, _) if index > 0 => bytes(number("len")),
        (Layout::GhostFile, _) if flag(&entry.message, "chunks") => bytes(0),
        (Layout::GhostFile, _) => Ok(()),
        (Layout::Plain | Layout::Headed(_), _) => bytes(0),
    }
}

fn check_queued((entry, text): &(Entry, Vec<u8>)) -> Result<(), Problem> {
    equal("bytes of text", number(&entry.message, "msize"), text.len())
}

fn equal(what: &'static str, announced: u64, found: usize) -> Result<(), Problem> {
    let found = found as u64;
    match announced == found {
        true => Ok(()),
        false => Err(Problem::PayloadMismatch { what, announced, found }),
    }
}

/// An unsigned field of a message; 0 where it is missing.
pub(super) fn number(message: &DynamicMessage, field: &str) -> u64 {
    match message.get_field_by_name(field).as_deref() {
        Some(Value::U32(value)) => u64::from(*value),
        Some(Value::U64(value)) => *value,
        _ => 0,
    }
}

pub(super) fn flag(message: &DynamicMessage, field: &str) -> bool {
    matches!(message.get_field_by_name(field).as_deref(), Some(Value::Bool(true)))
}
