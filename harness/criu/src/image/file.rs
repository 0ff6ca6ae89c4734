//! An image as a value: entries of messages with their payloads.

use std::io::{self, Read, Write};

use prost::Message;
use prost_reflect::{DynamicMessage, MessageDescriptor, ReflectMessage, Value};

use super::error::{Error, Place, Problem};
use super::kind::{COMMON_MAGIC, INVENTORY_MAGIC, Kind, SERVICE_MAGIC};
use super::payload::{self, Payload};
use super::source::Source;
use crate::schema::Schema;

/// Longest message that is accepted. CRIU's longest, a memory map of 65530 areas, has some 5 MiB.
pub const MAX_MESSAGE_BYTES: u32 = 64 << 20;

/// A decoded image file. Only images of one [`Schema`] (or its clones) can be equal.
#[derive(Clone, Debug, PartialEq)]
pub struct Image {
    kind: &'static Kind,
    /// The entries in the order of the file.
    pub entries: Vec<Entry>,
}

/// One entry of an image.
#[derive(Clone, Debug)]
pub struct Entry {
    /// The message, unknown fields included.
    pub message: DynamicMessage,
    /// What follows it.
    pub payload: Payload,
    /// The message as it was read, where encoding it again gives other bytes.
    pub(super) verbatim: Option<Vec<u8>>,
}

/// Reads an image file. `name` is for errors only.
///
/// # Errors
/// With the name, the offset and what is wrong there. Memory is bounded by what `reader` really
/// delivers and by [`MAX_MESSAGE_BYTES`], whatever sizes the file announces.
pub fn decode(schema: &Schema, name: &str, reader: impl Read) -> Result<Image, Error> {
    let mut source = Source::new(name, reader);
    let kind = read_head(&mut source)?;
    let mut entries = Vec::new();
    loop {
        let start = source.offset();
        let Some(size) = source.u32_or_end("size of an entry")? else { break };
        let descriptor = descriptor(schema, kind, entries.len());
        let descriptor = descriptor.map_err(|problem| source.error(start, problem))?;
        let mut entry = Entry::read_message(&descriptor, size, &mut source)?;
        let index = entries.len();
        entry.payload = payload::read(kind, index, &entry.message, schema, &mut source)?;
        entries.push(entry);
    }
    Ok(Image { kind, entries })
}

fn read_head<R: Read>(source: &mut Source<'_, R>) -> Result<&'static Kind, Error> {
    let first = source.u32("magic number")?;
    let (offset, magic) = match first {
        INVENTORY_MAGIC => (0, first),
        COMMON_MAGIC | SERVICE_MAGIC => (4, source.u32("magic number")?),
        _ => return Err(source.error(0, Problem::NotAnImage(first))),
    };
    match Kind::by_magic(magic) {
        Some(kind) if kind.head()[0] == first => Ok(kind),
        _ => Err(source.error(offset, Problem::UnknownMagic(magic))),
    }
}

/// The descriptor of an entry's message, by the entry's position.
pub(super) fn descriptor(
    schema: &Schema,
    kind: &Kind,
    index: usize,
) -> Result<MessageDescriptor, Problem> {
    let message = kind.message_at(index);
    schema.message(message).ok_or(Problem::NoMessage { image: kind.name, message })
}

impl Image {
    pub(super) fn new(kind: &'static Kind, entries: Vec<Entry>) -> Self {
        Image { kind, entries }
    }

    /// The name of this kind of image, such as `FDINFO`.
    #[must_use]
    pub fn magic(&self) -> &'static str {
        self.kind.name
    }

    /// Writes the image file: what was decoded and not changed comes out byte for byte.
    ///
    /// # Errors
    /// When `writer` fails, or when a payload does not have the length its message announces
    /// ([`io::ErrorKind::InvalidData`]).
    pub fn write(&self, writer: &mut impl Write) -> io::Result<()> {
        for magic in self.kind.head() {
            writer.write_all(&magic.to_le_bytes())?;
        }
        for (index, entry) in self.entries.iter().enumerate() {
            payload::check(self.kind, index, entry)
                .map_err(|problem| self.invalid(index, problem))?;
            entry.write_message(writer)?;
            payload::write(self.kind, &entry.payload, writer)?;
        }
        Ok(())
    }

    fn invalid(&self, index: usize, problem: Problem) -> io::Error {
        let place = Place::Json(format!("entries[{index}]"));
        let error = Error { name: self.kind.name.to_owned(), place, problem };
        io::Error::new(io::ErrorKind::InvalidData, error)
    }

    /// How many fields the schema did not know: more than none means that the image is of a
    /// newer CRIU. They are carried along all the same.
    #[must_use]
    pub fn unknown_fields(&self) -> usize {
        self.entries.iter().map(Entry::unknown_fields).sum()
    }
}

impl Entry {
    /// An entry without payload.
    #[must_use]
    pub fn new(message: DynamicMessage) -> Self {
        Entry { message, payload: Payload::None, verbatim: None }
    }

    /// Reads a message of `size` bytes.
    pub(super) fn read_message<R: Read>(
        descriptor: &MessageDescriptor,
        size: u32,
        source: &mut Source<'_, R>,
    ) -> Result<Entry, Error> {
        let start = source.offset();
        if size > MAX_MESSAGE_BYTES {
            let (size, limit) = (size.into(), MAX_MESSAGE_BYTES.into());
            return Err(source.error(start.saturating_sub(4), Problem::TooLarge { size, limit }));
        }
        let bytes = source.bytes(size.into(), "message")?;
        Entry::decode_message(descriptor, bytes).map_err(|problem| source.error(start, problem))
    }

    /// Decodes a message and keeps its bytes where they are not the usual ones.
    pub(super) fn decode_message(
        descriptor: &MessageDescriptor,
        bytes: Vec<u8>,
    ) -> Result<Entry, Problem> {
        let message =
            DynamicMessage::decode(descriptor.clone(), bytes.as_slice()).map_err(|error| {
                let message = descriptor.full_name().to_owned();
                Problem::BadMessage { message, why: error.to_string() }
            })?;
        let verbatim = (message.encode_to_vec() != bytes).then_some(bytes);
        Ok(Entry { message, payload: Payload::None, verbatim })
    }

    /// The bytes of the message: those that were read, unless the message was changed.
    pub(super) fn message_bytes(&self) -> Vec<u8> {
        self.verbatim().map_or_else(|| self.message.encode_to_vec(), <[u8]>::to_vec)
    }

    pub(super) fn verbatim(&self) -> Option<&[u8]> {
        let bytes = self.verbatim.as_deref()?;
        let message = DynamicMessage::decode(self.message.descriptor(), bytes).ok()?;
        (message == self.message).then_some(bytes)
    }

    pub(super) fn write_message<W: Write>(&self, writer: &mut W) -> io::Result<()> {
        let bytes = self.message_bytes();
        let size = u32::try_from(bytes.len()).map_err(io::Error::other)?;
        writer.write_all(&size.to_le_bytes())?;
        writer.write_all(&bytes)
    }

    fn unknown_fields(&self) -> usize {
        let queued = match &self.payload {
            Payload::Messages(messages) => {
                messages.iter().map(|(entry, _)| entry.unknown_fields()).sum()
            }
            _ => 0,
        };
        queued + unknown_fields(&self.message)
    }
}

impl PartialEq for Entry {
    /// Two entries are equal when they mean the same, however their messages were encoded.
    fn eq(&self, other: &Self) -> bool {
        self.message == other.message && self.payload == other.payload
    }
}

fn unknown_fields(message: &DynamicMessage) -> usize {
    let nested: usize = message.fields().map(|(_, value)| unknown_within(value)).sum();
    nested + message.unknown_fields().count()
}

fn unknown_within(value: &Value) -> usize {
    match value {
        Value::Message(message) => unknown_fields(message),
        Value::List(values) => values.iter().map(unknown_within).sum(),
        _ => 0,
    }
}
