//! All changes that the fields of an image can suffer.

use std::path::Path;

use criu::image::{Image, Payload};
use prost_reflect::{Cardinality, DynamicMessage, FieldDescriptor, Kind, ReflectMessage, Value};

use super::edit::{Change, Edit, Step};

/// A change at a place of an image.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) entry: usize,
    message: String,
    path: Vec<Step>,
    change: Change,
    pub(super) what: String,
}

impl Found {
    /// `core_entry.thread_core.sched_nice`: message and fields, without numbers of entries.
    pub(super) fn field(&self) -> String {
        let steps = self.path.iter().map(|step| step.field.as_str());
        std::iter::once(self.message.as_str()).chain(steps).collect::<Vec<_>>().join(".")
    }

    /// What befalls it, in one word.
    pub(super) fn word(&self) -> &'static str {
        self.change.word()
    }

    pub(super) fn into_edit(self, path: &Path) -> Edit {
        Edit { file: path.to_owned(), entry: self.entry, path: self.path, change: self.change }
    }
}

/// Everything that can befall an image.
pub(super) fn changes(image: &Image) -> Vec<Found> {
    let mut walk = Walk { entry: 0, message: String::new(), found: Vec::new() };
    for (index, entry) in image.entries.iter().enumerate() {
        walk.entry = index;
        entry.message.descriptor().name().clone_into(&mut walk.message);
        // An entry that says nothing is not missed.
        if entry.message.fields().next().is_some() {
            walk.add(&[], Change::EntryLess, "the entry is gone");
        }
        walk.message(&entry.message, &mut Vec::new());
        match &entry.payload {
            Payload::None => {}
            Payload::Bytes(bytes) if bytes.is_empty() => {}
            Payload::Queues { inq, outq } if inq.is_empty() && outq.is_empty() => {}
            _ => walk.add(&[], Change::Payload, "a bit of what follows it"),
        }
    }
    walk.found
}

/// Fields that may be those of a clock: a second more may be what has passed.
const SECONDS: [&str; 2] = ["tv_sec", "vsec"];

struct Walk {
    entry: usize,
    message: String,
    found: Vec<Found>,
}

impl Walk {
    fn add(&mut self, path: &[Step], change: Change, what: impl std::fmt::Display) {
        let steps: Vec<String> = path.iter().map(ToString::to_string).collect();
        self.found.push(Found {
            entry: self.entry,
            message: self.message.clone(),
            path: path.to_vec(),
            change,
            what: format!("{} {}: {what}", self.message, steps.join(".")),
        });
    }

    fn message(&mut self, message: &DynamicMessage, path: &mut Vec<Step>) {
        for (field, value) in message.fields() {
            path.push(Step { field: field.name().to_owned(), index: None });
            if let Value::List(values) = value {
                self.list(&field, values, path);
            } else {
                // Without it, its default is read.
                let lost = *value != Value::default_value_for_field(&field);
                if field.cardinality() == Cardinality::Optional && lost {
                    self.add(path, Change::Gone, "is gone");
                }
                self.value(&field, value, path);
            }
            path.pop();
        }
    }

    fn list(&mut self, field: &FieldDescriptor, values: &[Value], path: &mut Vec<Step>) {
        if values.is_empty() {
            return;
        }
        self.add(path, Change::Less, format!("one of {} is gone", values.len()));
        self.add(path, Change::Twice, "the last is there twice");
        for (index, value) in values.iter().enumerate() {
            if let Some(step) = path.last_mut() {
                step.index = Some(index);
            }
            self.value(field, value, path);
        }
        if let Some(step) = path.last_mut() {
            step.index = None;
        }
    }

    fn value(&mut self, field: &FieldDescriptor, value: &Value, path: &mut Vec<Step>) {
        match value {
            Value::Message(inner) => self.message(inner, path),
            Value::EnumNumber(number) => {
                let Kind::Enum(of) = field.kind() else { return };
                let other = of.values().map(|value| value.number()).find(|other| other != number);
                if let Some(other) = other {
                    self.add(path, Change::Enum(other), format!("{number} -> {other}"));
                }
            }
            Value::String(text) => {
                self.add(path, Change::Value, format!("`{text}` is another text"));
            }
            Value::Bytes(bytes) => {
                self.add(path, Change::Value, format!("a bit of {} bytes", bytes.len()));
            }
            Value::Map(_) => {}
            number if SECONDS.contains(&field.name()) => {
                self.add(path, Change::Later, format!("{number} is a day more"));
            }
            number => {
                self.add(path, Change::Value, format!("{number} is one more, or its opposite"));
            }
        }
    }
}
