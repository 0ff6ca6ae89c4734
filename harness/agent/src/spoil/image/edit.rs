//! One change of one image file.

use std::fmt;
use std::path::{Path, PathBuf};

use anyhow::Context;
use criu::image::{Entry, Image, Payload};
use fs_err as fs;
use prost_reflect::{DynamicMessage, Value};
use serde::{Deserialize, Serialize};

use super::super::outcome::{changed, refused};
use super::{read, schema};

/// What is to be done, and where.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(in super::super) struct Edit {
    pub(super) file: PathBuf,
    pub(super) entry: usize,
    pub(super) path: Vec<Step>,
    pub(super) change: Change,
}

/// A field, and which of its entries.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Step {
    pub(super) field: String,
    pub(super) index: Option<usize>,
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.index {
            Some(index) => write!(f, "{}[{index}]", self.field),
            None => f.write_str(&self.field),
        }
    }
}

/// What befalls a field or an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Change {
    None,
    EntryLess,
    Payload,
    Gone,
    Less,
    Twice,
    Value,
    Later,
    Enum(i32),
}

/// Seconds of a day.
const DAY: u32 = 86_400;

impl Change {
    pub(super) fn word(self) -> &'static str {
        match self {
            Change::None => "none",
            Change::EntryLess => "entry-less",
            Change::Payload => "payload",
            Change::Gone => "gone",
            Change::Less => "less",
            Change::Twice => "twice",
            Change::Value => "value",
            Change::Later => "later",
            Change::Enum(_) => "enum",
        }
    }
}

impl Edit {
    /// Decodes and encodes, and changes nothing.
    pub(super) fn none(file: &Path) -> Edit {
        Edit { file: file.to_owned(), entry: 0, path: Vec::new(), change: Change::None }
    }

    pub(in super::super) fn carry_out(&self) -> anyhow::Result<()> {
        let before = fs::read(&self.file)?;
        let mut image = read(&schema()?, &self.file)?;
        self.apply(&mut image)?;
        let mut after = Vec::new();
        image.write(&mut after).map_err(|error| refused("the codec", error))?;
        fs::write(&self.file, &after)?;
        changed("the image", &before.len(), &after.len())
            .or_else(|error| if before == after { Err(error) } else { Ok(()) })
    }

    fn apply(&self, image: &mut Image) -> anyhow::Result<()> {
        match self.change {
            Change::None => return Ok(()),
            Change::EntryLess => {
                image.entries.remove(self.entry);
                return Ok(());
            }
            _ => {}
        }
        let entry = image.entries.get_mut(self.entry).context("no such entry")?;
        match self.change {
            Change::Payload => spoil_payload(&mut entry.payload),
            _ => {
                let mut message = entry.message.clone();
                self.descend(&mut message, &self.path)?;
                // Not as it was read: a changed message has no bytes of its own yet.
                let payload = std::mem::take(&mut entry.payload);
                *entry = Entry::new(message);
                entry.payload = payload;
            }
        }
        Ok(())
    }

    fn descend(&self, message: &mut DynamicMessage, path: &[Step]) -> anyhow::Result<()> {
        let (step, rest) = path.split_first().context("the path is empty")?;
        if rest.is_empty() && step.index.is_none() && self.change == Change::Gone {
            message.clear_field_by_name(&step.field);
            return Ok(());
        }
        let value = message.get_field_by_name_mut(&step.field).context("no such field")?;
        let value = match (step.index, value) {
            (Some(index), Value::List(values)) => values.get_mut(index).context("no such entry")?,
            (_, value) => value,
        };
        match value {
            Value::Message(inner) if !rest.is_empty() => self.descend(inner, rest),
            value => self.value(value),
        }
    }

    fn value(&self, value: &mut Value) -> anyhow::Result<()> {
        match (self.change, value) {
            (Change::Less, Value::List(values)) => drop(values.pop()),
            (Change::Twice, Value::List(values)) => values.extend(values.last().cloned()),
            (Change::Enum(other), Value::EnumNumber(number)) => *number = other,
            (Change::Later, Value::I32(number)) => *number = number.wrapping_add(DAY.cast_signed()),
            (Change::Later, Value::I64(number)) => *number = number.wrapping_add(i64::from(DAY)),
            (Change::Later, Value::U32(number)) => *number = number.wrapping_add(DAY),
            (Change::Later, Value::U64(number)) => *number = number.wrapping_add(DAY.into()),
            (Change::Value, Value::Bool(value)) => *value = !*value,
            (Change::Value, Value::I32(number)) => *number = number.wrapping_add(1),
            (Change::Value, Value::I64(number)) => *number = number.wrapping_add(1),
            (Change::Value, Value::U32(number)) => *number = number.wrapping_add(1),
            (Change::Value, Value::U64(number)) => *number = number.wrapping_add(1),
            (Change::Value, Value::F32(number)) => *number += 1.0,
            (Change::Value, Value::F64(number)) => *number += 1.0,
            (Change::Value, Value::String(text)) => text.push('x'),
            (Change::Value, Value::Bytes(bytes)) => {
                let mut changed = bytes.to_vec();
                match changed.last_mut() {
                    Some(last) => *last ^= 1,
                    None => changed.push(1),
                }
                *bytes = changed.into();
            }
            (change, value) => anyhow::bail!("{change:?} is nothing for {value}"),
        }
        Ok(())
    }
}

/// A bit of the last byte, or one more of the first semaphore.
fn spoil_payload(payload: &mut Payload) {
    match payload {
        Payload::None => {}
        Payload::Bytes(bytes) => flip_last(bytes),
        Payload::Queues { inq, outq } => flip_last(if inq.is_empty() { outq } else { inq }),
        Payload::Semaphores(values) => values.iter_mut().take(1).for_each(|value| *value += 1),
        Payload::Messages(messages) => {
            messages.iter_mut().take(1).for_each(|(_, text)| flip_last(text));
        }
    }
}

fn flip_last(bytes: &mut [u8]) {
    if let Some(last) = bytes.last_mut() {
        *last ^= 1;
    }
}
