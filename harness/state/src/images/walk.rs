//! From messages to facts.

use std::collections::BTreeMap;

use criu::image::field::number;
use criu::image::{Entry, Image, Payload};
use model::{Digest, Value as Fact};
use prost_reflect::{DynamicMessage, FieldDescriptor, ReflectMessage, Value};
use xxhash_rust::xxh64::xxh64;

use super::mapped;
use super::names::{Names, in_order};
use super::{UNKNOWN, value, vmas};
use crate::registry::Kind;
use crate::registry::images::{self, Meaning};

const SECOND_NS: u64 = 1_000_000_000;

/// What stands for no thing at all where a number names one.
const NOTHING: [&str; 2] = ["0", "-1"];

/// A part of the name of an item.
enum Part {
    Text(String),
    /// The message does not have the field.
    Absent,
    /// An id to which nobody has referred yet.
    Unnamed,
}

/// A walk through the images of one container.
#[derive(Debug)]
pub(super) struct Walk<'a> {
    /// The name of the container with a dot, for all but the first.
    container: String,
    facts: &'a mut BTreeMap<String, Fact>,
    names: Names,
    /// The entry that is being walked through.
    entry: String,
}

impl<'a> Walk<'a> {
    pub(super) fn new(container: Option<&str>, facts: &'a mut BTreeMap<String, Fact>) -> Self {
        let container = container.map(|name| format!("{name}.")).unwrap_or_default();
        Walk { container, facts, names: Names::default(), entry: String::new() }
    }

    /// What a thing is called, if somebody has referred to it.
    pub(super) fn named(&self, class: &'static str, id: &str) -> Option<String> {
        self.names.get(class, id).cloned()
    }

    /// Says that something could not be understood.
    pub(super) fn unknown(&mut self, path: &[&str], what: &str) {
        let path = path.join(".");
        self.put(&format!("{path}.{UNKNOWN}"), Fact::Exact(what.to_owned()));
    }

    /// A file of no entries.
    pub(super) fn content(&mut self, stem: &str, key: Option<&str>, digest: Digest, length: u64) {
        let path = format!("{}.content", joined(stem, key));
        self.put(&path, Fact::Content { digest, length });
    }

    /// All entries of an image, in the order of their names. What is known by a number only is taken
    /// after somebody who refers to it, if there is anybody.
    pub(super) fn image(&mut self, stem: &str, key: Option<&str>, image: &Image) {
        let head = joined(stem, key);
        let mut waiting: Vec<(usize, &Entry)> = image.entries.iter().enumerate().collect();
        let mut orphans = 0;
        while !waiting.is_empty() {
            let (mut named, mut unnamed) = (Vec::new(), Vec::new());
            for (index, entry) in waiting {
                match self.entry_name(&head, index, &entry.message) {
                    Some(name) => named.push((name, entry)),
                    None => unnamed.push((index, entry)),
                }
            }
            if named.is_empty() {
                orphans += 1;
                let (_, orphan) = unnamed.remove(0);
                named.push((format!("{head}.unreferenced.{orphans}"), orphan));
            }
            named.sort_by_cached_key(|(name, _)| in_order(name));
            named.iter().for_each(|(name, entry)| self.entry(name, entry));
            waiting = unnamed;
        }
    }

    fn entry(&mut self, name: &str, entry: &Entry) {
        let name = self.unused(name);
        self.entry.clone_from(&name);
        self.message(&name, &entry.message);
        self.payload(&name, &entry.payload);
    }

    /// What an entry of a file is called. An entry that is alone of its kind needs no key.
    fn entry_name(&self, head: &str, index: usize, message: &DynamicMessage) -> Option<String> {
        if images::list_key(message.descriptor().name()).is_some() {
            return self.item_name(head, index, message);
        }
        Some(if index == 0 { head.to_owned() } else { format!("{head}#{}", index + 1) })
    }

    /// What an item of a list is called. Nothing, as long as nobody has referred to it.
    fn item_name(&self, head: &str, index: usize, message: &DynamicMessage) -> Option<String> {
        let Some(key) = images::list_key(message.descriptor().name()) else {
            return Some(format!("{head}.{index}"));
        };
        let mut name = head.to_owned();
        for field in key.fields {
            name.push('.');
            match self.key_part(message, field, key.hex) {
                Part::Text(text) => name.push_str(&text),
                Part::Absent => name.push_str(&index.to_string()),
                Part::Unnamed => return None,
            }
        }
        Some(name)
    }

    /// A field that is part of a key.
    fn key_part(&self, message: &DynamicMessage, path: &str, hex: bool) -> Part {
        let (name, rest) = path.split_once('.').map_or((path, None), |(a, b)| (a, Some(b)));
        let Some(field) = message.descriptor().get_field_by_name(name) else { return Part::Absent };
        let value = message.get_field(&field);
        if let (Value::Message(inner), Some(rest)) = (value.as_ref(), rest) {
            return self.key_part(inner, rest, hex);
        }
        let Some(text) = value::text(&field, &value) else { return Part::Absent };
        match meaning(message, &field) {
            Meaning::As(Kind::Identity(class)) => match self.named(class, &text) {
                Some(name) => Part::Text(name),
                None => Part::Unnamed,
            },
            _ if hex => Part::Text(format!("{:x}", number(message, name))),
            _ => Part::Text(text),
        }
    }

    fn message(&mut self, path: &str, message: &DynamicMessage) {
        for (field, value) in message.fields() {
            let path = format!("{path}.{}", field.name());
            self.field(&path, message, &field, value);
        }
        let mut unknown = Vec::new();
        message.unknown_fields().for_each(|field| field.encode(&mut unknown));
        if !unknown.is_empty() {
            let what = format!("fields of a newer CRIU: {}", unknown.escape_ascii());
            self.unknown(&[path], &what);
        }
    }

    fn field(
        &mut self,
        path: &str,
        message: &DynamicMessage,
        field: &FieldDescriptor,
        value: &Value,
    ) {
        let meaning = meaning(message, field);
        match value {
            Value::Message(inner) if meaning == Meaning::Clock => {
                let ns = number(inner, "tv_sec").saturating_mul(SECOND_NS);
                self.clock(path, ns.saturating_add(number(inner, "tv_nsec")));
            }
            Value::Message(inner) => self.message(path, inner),
            Value::List(values) => self.list(path, meaning, field, values),
            _ => self.scalar(path, message, meaning, field, value),
        }
    }

    /// Messages and ids one by one, plain values as one fact.
    fn list(&mut self, path: &str, meaning: Meaning, field: &FieldDescriptor, values: &[Value]) {
        let single = matches!(meaning, Meaning::As(Kind::Identity(_)));
        let mut plain = Vec::new();
        for (index, value) in vmas::joined(values).iter().enumerate() {
            match value {
                Value::Message(inner) => {
                    let name = self.item_name(path, index, inner);
                    let name = self.unused(&name.unwrap_or_else(|| format!("{path}.{index}")));
                    self.message(&name, inner);
                }
                _ => match value::text(field, value) {
                    Some(text) if single => self.of_kind(&format!("{path}.{index}"), meaning, text),
                    text => plain.extend(text),
                },
            }
        }
        if !plain.is_empty() {
            self.of_kind(path, meaning, plain.join(" "));
        }
    }

    fn scalar(
        &mut self,
        path: &str,
        message: &DynamicMessage,
        meaning: Meaning,
        field: &FieldDescriptor,
        value: &Value,
    ) {
        match (meaning, value) {
            (Meaning::TimeRest, _) => {}
            (Meaning::Time { unit_ns, rest }, _) => {
                let whole = number(message, field.name()).saturating_mul(unit_ns);
                let rest =
                    rest.map_or(0, |(name, unit)| number(message, name).saturating_mul(unit));
                self.clock(path, whole.saturating_add(rest));
            }
            (Meaning::InodeOn(device), _) => {
                let id = format!("{}:{}", number(message, device), number(message, field.name()));
                self.of_kind(path, Meaning::As(Kind::Identity("inode")), id);
            }
            (_, Value::Bytes(bytes)) if bytes.len() > value::MOST_BYTES => {
                self.bytes(path, bytes);
            }
            _ => {
                if let Some(text) = value::text(field, value) {
                    self.of_kind(path, meaning, text);
                }
            }
        }
    }

    fn of_kind(&mut self, path: &str, meaning: Meaning, text: String) {
        let fact = match meaning {
            Meaning::As(Kind::Moment) => Fact::Moment(text),
            Meaning::As(Kind::Identity(class)) if !NOTHING.contains(&text.as_str()) => {
                self.names.refer(class, &text, path, &self.entry);
                Fact::Identity { class: format!("{}{class}", self.container), id: text }
            }
            _ => Fact::Exact(text),
        };
        self.put(path, fact);
    }

    fn payload(&mut self, path: &str, payload: &Payload) {
        match payload {
            Payload::None => {}
            Payload::Bytes(bytes) => self.bytes(&format!("{path}.content"), bytes),
            Payload::Queues { inq, outq } => {
                self.bytes(&format!("{path}.inq"), inq);
                self.bytes(&format!("{path}.outq"), outq);
            }
            Payload::Semaphores(values) => {
                let text: Vec<String> = values.iter().map(u16::to_string).collect();
                self.put(&format!("{path}.values"), Fact::Exact(text.join(" ")));
            }
            Payload::Messages(messages) => {
                for (index, (entry, text)) in messages.iter().enumerate() {
                    let path = format!("{path}.messages.{index}");
                    self.message(&path, &entry.message);
                    self.bytes(&format!("{path}.content"), text);
                }
            }
        }
    }

    fn bytes(&mut self, path: &str, bytes: &[u8]) {
        let (digest, length) = (Digest(xxh64(bytes, 0)), bytes.len() as u64);
        self.put(path, Fact::Content { digest, length });
    }

    fn clock(&mut self, path: &str, ns: u64) {
        self.put(path, Fact::Clock { ns: i64::try_from(ns).unwrap_or(i64::MAX) });
    }

    fn put(&mut self, path: &str, fact: Fact) {
        self.facts.insert(self.full(path), fact);
    }

    fn full(&self, path: &str) -> String {
        format!("{}image.{path}", self.container)
    }

    /// This path, or `path#2` and so on when there are facts below it already.
    fn unused(&self, path: &str) -> String {
        let taken = |path: &str| {
            let below = self.full(path) + ".";
            let mut next = self.facts.range(below.clone()..);
            next.next().is_some_and(|(name, _)| name.starts_with(&below))
        };
        let numbered = (2..).map(|number| format!("{path}#{number}"));
        let mut paths = std::iter::once(path.to_owned()).chain(numbered);
        paths.find(|path| !taken(path)).unwrap_or_default()
    }
}

fn joined(stem: &str, key: Option<&str>) -> String {
    key.map_or_else(|| stem.to_owned(), |key| format!("{stem}.{key}"))
}

fn meaning(message: &DynamicMessage, field: &FieldDescriptor) -> Meaning {
    let rule = images::field_rule(message.descriptor().name(), field.name());
    let meaning = rule.map_or(Meaning::As(Kind::Exact), |rule| rule.meaning);
    mapped::resolve(meaning, message)
}
