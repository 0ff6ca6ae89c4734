//! Values of fields as text.

use prost_reflect::{FieldDescriptor, Kind, Value};

/// Longer bytes are told by their digest.
pub(super) const MOST_BYTES: usize = 128;

/// A number, name or text, as it is compared and told. Nothing for a message or a list.
pub(super) fn text(field: &FieldDescriptor, value: &Value) -> Option<String> {
    Some(match value {
        Value::Bool(value) => value.to_string(),
        Value::I32(value) => value.to_string(),
        Value::I64(value) => value.to_string(),
        Value::U32(value) => value.to_string(),
        Value::U64(value) => value.to_string(),
        Value::F32(value) => value.to_string(),
        Value::F64(value) => value.to_string(),
        Value::String(value) => value.clone(),
        Value::Bytes(value) => bytes(value),
        Value::EnumNumber(number) => enum_name(field, *number),
        Value::Message(_) | Value::List(_) | Value::Map(_) => return None,
    })
}

fn enum_name(field: &FieldDescriptor, number: i32) -> String {
    let name = match field.kind() {
        Kind::Enum(values) => values.get_value(number).map(|value| value.name().to_owned()),
        _ => None,
    };
    name.unwrap_or_else(|| number.to_string())
}

/// Text where it is some, such as the name of a socket; hexadecimal otherwise.
fn bytes(bytes: &[u8]) -> String {
    let is_text = bytes.iter().all(|byte| byte.is_ascii_graphic() || matches!(byte, 0 | b' '));
    match is_text {
        true => bytes.escape_ascii().to_string(),
        false => bytes.iter().map(|byte| format!("{byte:02x}")).collect(),
    }
}
