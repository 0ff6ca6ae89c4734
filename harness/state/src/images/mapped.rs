//! Fields whose meaning another field of the same message tells.

use prost_reflect::{DynamicMessage, ReflectMessage, Value};

use crate::registry::Kind;
use crate::registry::images::Meaning;

/// Kinds of mappings (`criu/include/image.h`).
pub(super) const FILE_PRIVATE: u64 = 1 << 6;
pub(super) const FILE_SHARED: u64 = 1 << 7;
pub(super) const ANON_SHARED: u64 = 1 << 8;
pub(super) const SYSV: u64 = 1 << 10;
const SOCKET: u64 = 1 << 11;
pub(super) const MEMFD: u64 = 1 << 14;

/// What a field stands for in this very message.
pub(super) fn resolve(meaning: Meaning, message: &DynamicMessage) -> Meaning {
    match meaning {
        Meaning::MappedObject => Meaning::As(mapped_object(number(message, "status"))),
        Meaning::RemapTarget => Meaning::As(remap_target(message)),
        other => other,
    }
}

/// A System V segment's id is state: the pod uses it.
fn mapped_object(status: u64) -> Kind {
    match status {
        _ if status & SYSV != 0 => Kind::Exact,
        _ if status & (FILE_PRIVATE | FILE_SHARED | SOCKET) != 0 => Kind::Identity("file"),
        _ if status & ANON_SHARED != 0 => Kind::Identity("shared memory"),
        _ => Kind::Exact,
    }
}

/// Old images do not say the kind: they know ghosts only.
fn remap_target(message: &DynamicMessage) -> Kind {
    match enum_name(message, "remap_type").as_deref() {
        Some("LINKED") => Kind::Identity("file"),
        Some("GHOST") | None => Kind::Identity("ghost"),
        Some(_) => Kind::Exact,
    }
}

/// A number of a message; 0 where it is missing.
pub(super) fn number(message: &DynamicMessage, field: &str) -> u64 {
    match message.get_field_by_name(field).as_deref() {
        Some(Value::U32(value)) => u64::from(*value),
        Some(Value::U64(value)) => *value,
        Some(Value::I32(value)) => i64::from(*value).cast_unsigned(),
        Some(Value::I64(value)) => value.cast_unsigned(),
        _ => 0,
    }
}

fn enum_name(message: &DynamicMessage, field: &str) -> Option<String> {
    let descriptor = message.descriptor().get_field_by_name(field)?;
    match message.has_field(&descriptor).then(|| message.get_field(&descriptor))?.as_ref() {
        Value::EnumNumber(number) => {
            let values = descriptor.kind().as_enum()?.get_value(*number)?;
            Some(values.name().to_owned())
        }
        _ => None,
    }
}
