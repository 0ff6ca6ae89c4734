//! Images as JSON, in the shape of `crit decode`.
//!
//! `{"magic": "FDINFO", "entries": [{...}, ...]}`: fields by their names in CRIU's `.proto` files
//! and in the order of their numbers, 64-bit numbers as numbers, enumerations by name, bytes as
//! base64 (names of sockets quoted-printable), the payload as `extra`. Two keys are ours, so that
//! the bytes come back in every case: `@unknown` holds the fields that the schema does not know,
//! `@verbatim` a message that was not encoded in the usual order.

use std::io::{self, Write};

use prost_reflect::{DynamicMessage, FieldDescriptor, Kind, Value};
use serde::ser::{Error as _, SerializeMap, SerializeSeq};
use serde::{Serialize, Serializer};

use super::file::{Entry, Image};
use super::payload::Payload;
use super::text::Text;

pub(super) const EXTRA: &str = "extra";
pub(super) const UNKNOWN: &str = "@unknown";
pub(super) const VERBATIM: &str = "@verbatim";

impl Image {
    /// The image as indented JSON, in the shape of `crit decode`.
    #[must_use]
    pub fn to_json(&self) -> String {
        let mut text = Vec::new();
        // A schema that was accepted has no field that JSON could not hold.
        let written = self.write_json(&mut text);
        debug_assert!(written.is_ok(), "{written:?}");
        String::from_utf8_lossy(&text).into_owned()
    }

    /// Writes what [`Image::to_json`] returns, piece by piece.
    ///
    /// # Errors
    /// When `writer` fails.
    pub fn write_json(&self, writer: &mut impl Write) -> io::Result<()> {
        let indented = serde_json::ser::PrettyFormatter::with_indent(b"    ");
        let mut serializer = serde_json::Serializer::with_formatter(&mut *writer, indented);
        self.serialize(&mut serializer)?;
        writer.write_all(b"\n")
    }
}

impl Serialize for Image {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(2))?;
        map.serialize_entry("magic", self.magic())?;
        map.serialize_entry("entries", &self.entries)?;
        map.end()
    }
}

impl Serialize for Entry {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        fields(&self.message, &mut map)?;
        if let Some(bytes) = self.verbatim() {
            map.serialize_entry(VERBATIM, &base64(bytes))?;
        }
        if self.payload != Payload::None {
            map.serialize_entry(EXTRA, &self.payload)?;
        }
        map.end()
    }
}

impl Serialize for Payload {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Payload::None => serializer.serialize_none(),
            Payload::Bytes(bytes) => serializer.serialize_str(&base64(bytes)),
            Payload::Queues { inq, outq } => {
                let mut map = serializer.serialize_map(Some(2))?;
                map.serialize_entry("inq", &base64(inq))?;
                map.serialize_entry("outq", &base64(outq))?;
                map.end()
            }
            Payload::Semaphores(values) => values.serialize(serializer),
            Payload::Messages(messages) => {
                let mut list = serializer.serialize_seq(Some(2 * messages.len()))?;
                for (entry, text) in messages {
                    list.serialize_element(entry)?;
                    list.serialize_element(&base64(text))?;
                }
                list.end()
            }
        }
    }
}

struct Fields<'a>(&'a DynamicMessage);

impl Serialize for Fields<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        fields(self.0, &mut map)?;
        map.end()
    }
}

fn fields<M: SerializeMap>(message: &DynamicMessage, map: &mut M) -> Result<(), M::Error> {
    for (field, value) in message.fields() {
        map.serialize_entry(field.name(), &FieldValue { field: &field, value })?;
    }
    let mut unknown = Vec::new();
    for field in message.unknown_fields() {
        field.encode(&mut unknown);
    }
    if unknown.is_empty() { Ok(()) } else { map.serialize_entry(UNKNOWN, &base64(&unknown)) }
}

struct FieldValue<'a> {
    field: &'a FieldDescriptor,
    value: &'a Value,
}

impl Serialize for FieldValue<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.value {
            Value::Bool(value) => serializer.serialize_bool(*value),
            Value::I32(value) => serializer.serialize_i32(*value),
            Value::I64(value) => serializer.serialize_i64(*value),
            Value::U32(value) => serializer.serialize_u32(*value),
            Value::U64(value) => serializer.serialize_u64(*value),
            Value::String(value) => serializer.serialize_str(value),
            Value::Bytes(value) => serializer.serialize_str(&Text::of(self.field).encode(value)),
            Value::EnumNumber(number) => match enum_name(self.field, *number) {
                Some(name) => serializer.serialize_str(&name),
                None => serializer.serialize_i32(*number),
            },
            Value::Message(message) => Fields(message).serialize(serializer),
            Value::List(values) => serializer
                .collect_seq(values.iter().map(|value| FieldValue { field: self.field, value })),
            Value::F32(_) | Value::F64(_) | Value::Map(_) => {
                Err(S::Error::custom("a kind of field that no CRIU image has"))
            }
        }
    }
}

fn enum_name(field: &FieldDescriptor, number: i32) -> Option<String> {
    match field.kind() {
        Kind::Enum(values) => values.get_value(number).map(|value| value.name().to_owned()),
        _ => None,
    }
}

fn base64(bytes: &[u8]) -> String {
    Text::Base64.encode(bytes)
}
