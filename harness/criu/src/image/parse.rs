//! From JSON back to an image.

use std::fmt::Display;

use prost::Message;
use prost_reflect::{
    DynamicMessage, FieldDescriptor, Kind, MessageDescriptor, ReflectMessage, Value,
};
use serde_json::{Map, Value as Json};

use super::error::{Error, Place, Problem};
use super::file::{self, Entry, Image};
use super::json::{EXTRA, UNKNOWN, VERBATIM};
use super::kind::{Kind as ImageKind, Layout};
use super::payload::{self, Payload};
use super::text::Text;
use crate::schema::Schema;

impl Image {
    /// Reads what [`Image::to_json`] or `crit decode` wrote. `name` is for errors only.
    ///
    /// Numbers may also be strings, decimal or hexadecimal with `0x`; enumerations names or
    /// numbers.
    ///
    /// # Errors
    /// With the place in the JSON form, such as `entries[3].flags`: a field that the schema does
    /// not have, a value that does not fit, a payload of another length than announced.
    pub fn from_json(schema: &Schema, name: &str, text: &str) -> Result<Image, Error> {
        let parsed = serde_json::from_str(text).map_err(Wrong::new);
        parsed.and_then(|json| image(schema, &json)).map_err(|wrong| Error {
            name: name.to_owned(),
            place: Place::Json(wrong.path),
            problem: wrong.problem,
        })
    }
}

/// A problem on its way up to the root, collecting its path.
struct Wrong {
    path: String,
    problem: Problem,
}

impl Wrong {
    fn new<W: Display>(why: W) -> Self {
        Wrong::from(Problem::Json(why.to_string()))
    }

    fn within(mut self, segment: &str) -> Self {
        let dot = if self.path.is_empty() || self.path.starts_with('[') { "" } else { "." };
        self.path = format!("{segment}{dot}{}", self.path);
        self
    }
}

impl From<Problem> for Wrong {
    fn from(problem: Problem) -> Self {
        Wrong { path: String::new(), problem }
    }
}

fn image(schema: &Schema, json: &Json) -> Result<Image, Wrong> {
    let magic = json["magic"].as_str().ok_or_else(|| Wrong::new("`magic` is missing"))?;
    let kind = ImageKind::by_name(magic).ok_or_else(|| Problem::UnknownImage(magic.to_owned()))?;
    let list = json["entries"].as_array().ok_or_else(|| Wrong::new("`entries` is missing"))?;
    let mut entries = Vec::with_capacity(list.len());
    for (index, json) in list.iter().enumerate() {
        let entry = entry_at(schema, kind, index, json);
        entries.push(entry.map_err(|wrong| wrong.within(&format!("entries[{index}]")))?);
    }
    Ok(Image::new(kind, entries))
}

fn entry_at(
    schema: &Schema,
    kind: &'static ImageKind,
    index: usize,
    json: &Json,
) -> Result<Entry, Wrong> {
    let descriptor = file::descriptor(schema, kind, index)?;
    let mut map = object(json)?.clone();
    let has_payload = !matches!(kind.layout, Layout::Plain | Layout::Headed(_));
    let extra = if has_payload { map.remove(EXTRA) } else { None };
    let mut entry = entry(&descriptor, map)?;
    if let Some(extra) = extra {
        let payload = read_payload(schema, kind, &extra);
        entry.payload = payload.map_err(|wrong| wrong.within(EXTRA))?;
    }
    payload::check(kind, index, &entry)?;
    Ok(entry)
}

fn entry(descriptor: &MessageDescriptor, mut map: Map<String, Json>) -> Result<Entry, Wrong> {
    let verbatim = map.remove(VERBATIM).map(|json| bytes(&json)).transpose();
    let verbatim = verbatim.map_err(|wrong| wrong.within(VERBATIM))?;
    let mut entry = Entry::new(message(descriptor, &map)?);
    entry.verbatim = verbatim;
    Ok(entry)
}

fn message(
    descriptor: &MessageDescriptor,
    map: &Map<String, Json>,
) -> Result<DynamicMessage, Wrong> {
    let mut message = DynamicMessage::new(descriptor.clone());
    for (name, json) in map {
        set(&mut message, name, json).map_err(|wrong| wrong.within(name))?;
    }
    Ok(message)
}

fn set(message: &mut DynamicMessage, name: &str, json: &Json) -> Result<(), Wrong> {
    if name == UNKNOWN {
        return message.merge(bytes(json)?.as_slice()).map_err(Wrong::new);
    }
    let descriptor = message.descriptor();
    let field = descriptor
        .get_field_by_name(name)
        .ok_or_else(|| Wrong::new(format!("`{}` has no such field", descriptor.full_name())))?;
    let value = if field.is_list() { list(&field, json)? } else { single(&field, json)? };
    message.try_set_field(&field, value).map_err(Wrong::new)
}

fn list(field: &FieldDescriptor, json: &Json) -> Result<Value, Wrong> {
    let items = json.as_array().ok_or_else(|| expected("a list", json))?;
    let values = items.iter().enumerate().map(|(index, json)| {
        single(field, json).map_err(|wrong| wrong.within(&format!("[{index}]")))
    });
    values.collect::<Result<_, _>>().map(Value::List)
}

fn single(field: &FieldDescriptor, json: &Json) -> Result<Value, Wrong> {
    match field.kind() {
        Kind::Bool => json.as_bool().map(Value::Bool).ok_or_else(|| expected("a boolean", json)),
        Kind::Int32 | Kind::Sint32 | Kind::Sfixed32 => integer(json).map(Value::I32),
        Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 => integer(json).map(Value::I64),
        Kind::Uint32 | Kind::Fixed32 => integer(json).map(Value::U32),
        Kind::Uint64 | Kind::Fixed64 => integer(json).map(Value::U64),
        Kind::String => string(json).map(|text| Value::String(text.to_owned())),
        Kind::Bytes => decode_text(Text::of(field), json).map(|bytes| Value::Bytes(bytes.into())),
        Kind::Message(descriptor) => message(&descriptor, object(json)?).map(Value::Message),
        Kind::Enum(values) => {
            let named = json.as_str().and_then(|name| values.get_value_by_name(name));
            match named {
                Some(value) => Ok(Value::EnumNumber(value.number())),
                None => integer(json).map(Value::EnumNumber),
            }
        }
        Kind::Float | Kind::Double => Err(Wrong::new("a kind of field that no CRIU image has")),
    }
}

fn integer<N: TryFrom<i128>>(json: &Json) -> Result<N, Wrong> {
    let number = match json {
        Json::Number(number) => {
            number.as_i64().map(i128::from).or_else(|| number.as_u64().map(i128::from))
        }
        Json::String(text) => match text.strip_prefix("0x") {
            Some(digits) => u64::from_str_radix(digits, 16).ok().map(i128::from),
            None => text.parse().ok(),
        },
        _ => None,
    };
    let number = number.ok_or_else(|| expected("a whole number", json))?;
    N::try_from(number).map_err(|_| Wrong::new(format!("{number} does not fit this field")))
}

fn read_payload(schema: &Schema, kind: &'static ImageKind, json: &Json) -> Result<Payload, Wrong> {
    let part = |key: &str| bytes(&json[key]).map_err(|wrong| wrong.within(key));
    match kind.layout {
        Layout::TcpStream => Ok(Payload::Queues { inq: part("inq")?, outq: part("outq")? }),
        Layout::Semaphores => {
            let values = json.as_array().ok_or_else(|| expected("a list", json))?;
            values.iter().map(integer).collect::<Result<_, _>>().map(Payload::Semaphores)
        }
        Layout::MessageQueue => read_messages(schema, kind, json).map(Payload::Messages),
        _ => bytes(json).map(Payload::Bytes),
    }
}

/// A list of messages, each followed by its text.
fn read_messages(
    schema: &Schema,
    kind: &'static ImageKind,
    json: &Json,
) -> Result<Vec<(Entry, Vec<u8>)>, Wrong> {
    let descriptor = payload::inner_descriptor(kind, schema)?;
    let list = json.as_array().ok_or_else(|| expected("a list", json))?;
    let pair = |pair: &[Json]| match pair {
        [message, text] => Ok((entry(&descriptor, object(message)?.clone())?, bytes(text)?)),
        _ => Err(Wrong::new("the last message has no text")),
    };
    list.chunks(2).map(pair).collect()
}

fn bytes(json: &Json) -> Result<Vec<u8>, Wrong> {
    decode_text(Text::Base64, json)
}

fn decode_text(text: Text, json: &Json) -> Result<Vec<u8>, Wrong> {
    text.decode(string(json)?).map_err(Wrong::new)
}

fn string(json: &Json) -> Result<&str, Wrong> {
    json.as_str().ok_or_else(|| expected("a string", json))
}

fn object(json: &Json) -> Result<&Map<String, Json>, Wrong> {
    json.as_object().ok_or_else(|| expected("an object", json))
}

fn expected(what: &str, json: &Json) -> Wrong {
    let found = match json {
        Json::Null => "nothing",
        Json::Bool(_) => "a boolean",
        Json::Number(_) => "a number",
        Json::String(_) => "a string",
        Json::Array(_) => "a list",
        Json::Object(_) => "an object",
    };
    Wrong::new(format!("expected {what}, found {found}"))
}
