//! Fields of a message by their names, for those who know what a field means.
//!
//! A field that the message or the schema does not have is zero, empty or nothing: which fields
//! there are differs between CRIUs.

use std::borrow::Cow;

use prost_reflect::{DynamicMessage, ReflectMessage, Value};

/// A whole number; negative ones as two's complement.
#[must_use]
pub fn number(message: &DynamicMessage, field: &str) -> u64 {
    message.get_field_by_name(field).as_deref().map_or(0, whole)
}

fn whole(value: &Value) -> u64 {
    match value {
        Value::U32(value) => u64::from(*value),
        Value::U64(value) => *value,
        Value::I32(value) => i64::from(*value).cast_unsigned(),
        Value::I64(value) => value.cast_unsigned(),
        _ => 0,
    }
}

/// A list of whole numbers.
#[must_use]
pub fn numbers(message: &DynamicMessage, field: &str) -> Vec<u64> {
    let list = message.get_field_by_name(field);
    list.as_deref().and_then(Value::as_list).unwrap_or_default().iter().map(whole).collect()
}

/// Whether a flag is set.
#[must_use]
pub fn flag(message: &DynamicMessage, field: &str) -> bool {
    matches!(message.get_field_by_name(field).as_deref(), Some(Value::Bool(true)))
}

/// The bytes of a text or of a field of bytes.
#[must_use]
pub fn bytes(message: &DynamicMessage, field: &str) -> Vec<u8> {
    match message.get_field_by_name(field).map(Cow::into_owned) {
        Some(Value::String(text)) => text.into_bytes(),
        Some(Value::Bytes(bytes)) => bytes.to_vec(),
        _ => Vec::new(),
    }
}

/// The message within a message, if it is there.
#[must_use]
pub fn message(of: &DynamicMessage, field: &str) -> Option<DynamicMessage> {
    let field = of.descriptor().get_field_by_name(field)?;
    of.has_field(&field).then(|| of.get_field(&field).as_message().cloned()).flatten()
}

/// Calls `each` with the messages of a list, in their order.
pub fn each_message(of: &DynamicMessage, field: &str, mut each: impl FnMut(&DynamicMessage)) {
    let list = of.get_field_by_name(field);
    let list = list.as_deref().and_then(Value::as_list).unwrap_or_default();
    list.iter().filter_map(Value::as_message).for_each(&mut each);
}

/// The name of a choice, such as `REG`, if one was made that the schema knows.
#[must_use]
pub fn choice(message: &DynamicMessage, field: &str) -> Option<String> {
    let descriptor = message.descriptor().get_field_by_name(field)?;
    match message.has_field(&descriptor).then(|| message.get_field(&descriptor))?.as_ref() {
        Value::EnumNumber(number) => {
            let values = descriptor.kind().as_enum()?.get_value(*number)?;
            Some(values.name().to_owned())
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::schema;

    fn read(name: &str, bytes: &[u8]) -> DynamicMessage {
        let descriptor = schema().message(name).expect("known");
        DynamicMessage::decode(descriptor, bytes).expect("sound")
    }

    #[test]
    fn fields_are_read_by_their_names() {
        let event =
            read("eventfd_file_entry", b"\x08\x07\x1a\x07\x08\x05\x10\x03\x1a\x01n\x20\x09");
        assert_eq!((number(&event, "id"), number(&event, "counter")), (7, 9));
        let owner = message(&event, "fown").expect("there");
        assert_eq!(number(&owner, "signum"), (-2i64).cast_unsigned());
        assert_eq!(bytes(&owner, "name"), b"n");
        let info = read("fdinfo_entry", b"\x18\x05\x4a\x02\x00\xff");
        assert_eq!(choice(&info, "type").as_deref(), Some("EVENTFD"));
        assert_eq!(bytes(&info, "raw"), [0, 0xff]);
        let signal = read("signalfd_entry", b"\x12\x02\x08\x01\x12\x02\x08\x02\x1a\x01\x05");
        let mut pids = Vec::new();
        each_message(&signal, "owners", |owner| pids.push(number(owner, "pid")));
        assert_eq!((pids, numbers(&signal, "n")), (vec![1, 2], vec![5]));
        assert!(flag(&read("ipc_shm_entry", b"\x18\x01"), "in_pagemaps"));
    }

    #[test]
    fn what_is_not_there_is_nothing() {
        let event = read("eventfd_file_entry", b"");
        assert_eq!(number(&event, "of a newer CRIU"), 0);
        assert_eq!(bytes(&event, "id"), b"");
        assert!(message(&event, "fown").is_none() && message(&event, "id").is_none());
        assert!(choice(&event, "id").is_none() && !flag(&event, "id"));
        each_message(&event, "fown", |_| panic!("no list"));
    }
}
