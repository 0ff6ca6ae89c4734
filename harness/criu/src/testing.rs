//! A small schema in the manner of CRIU's, made in code: tests need no CRIU.

use std::sync::LazyLock;

use prost::Message;
use prost_reflect::prost_types::field_descriptor_proto::{Label, Type};
use prost_reflect::prost_types::{
    DescriptorProto, EnumDescriptorProto, EnumValueDescriptorProto, FieldDescriptorProto,
    FileDescriptorProto, FileDescriptorSet,
};

use crate::schema::Schema;

/// A field: name, number and type, which is one of protobuf's or the name of a message or, with
/// capitals, of an enumeration. `*` before it means repeated.
type Field = (&'static str, i32, &'static str);

const MESSAGES: &[(&str, &[Field])] = &[
    ("owner_entry", &[("pid", 1, "uint32"), ("signum", 2, "sint32"), ("name", 3, "string")]),
    (
        "eventfd_file_entry",
        &[
            ("id", 1, "uint32"),
            ("flags", 2, "uint32"),
            ("fown", 3, "owner_entry"),
            ("counter", 4, "uint64"),
        ],
    ),
    (
        "fdinfo_entry",
        &[("id", 1, "uint32"), ("flags", 2, "int32"), ("type", 3, "FD_TYPES"), ("raw", 9, "bytes")],
    ),
    ("signalfd_entry", &[("id", 1, "uint32"), ("owners", 2, "*owner_entry"), ("n", 3, "*int64")]),
    ("pipe_data_entry", &[("pipe_id", 1, "uint32"), ("bytes", 2, "uint32")]),
    ("tcp_stream_entry", &[("inq_len", 1, "uint32"), ("outq_len", 3, "uint32")]),
    ("ipc_shm_entry", &[("size", 2, "uint64"), ("in_pagemaps", 3, "bool")]),
    ("ipc_sem_entry", &[("nsems", 2, "uint32")]),
    ("ipc_msg_entry", &[("qbytes", 2, "uint32"), ("qnum", 3, "uint32")]),
    ("ipc_msg", &[("mtype", 1, "uint64"), ("msize", 2, "uint32")]),
    ("ghost_file_entry", &[("mode", 3, "uint32"), ("chunks", 9, "bool")]),
    ("ghost_chunk_entry", &[("len", 1, "uint64"), ("off", 2, "uint64")]),
    ("pagemap_head", &[("pages_id", 1, "uint32")]),
    (
        "pagemap_entry",
        &[
            ("vaddr", 1, "uint64"),
            ("compat_nr_pages", 2, "uint32"),
            ("in_parent", 3, "bool"),
            ("flags", 4, "uint32"),
            ("nr_pages", 5, "uint64"),
        ],
    ),
    (
        "bpfmap_data_entry",
        &[("map_id", 1, "uint32"), ("keys_bytes", 2, "uint32"), ("values_bytes", 3, "uint32")],
    ),
];

/// The schema that tests use: always the same one, as messages of two schemas are never equal.
pub(crate) fn schema() -> Schema {
    static SCHEMA: LazyLock<Schema> = LazyLock::new(|| {
        Schema::from_descriptor_set(&descriptor_set(MESSAGES)).expect("a sound schema")
    });
    SCHEMA.clone()
}

/// A serialized set of one file with these messages.
pub(crate) fn descriptor_set(messages: &[(&str, &[Field])]) -> Vec<u8> {
    let file = FileDescriptorProto {
        name: Some("test.proto".to_owned()),
        message_type: messages.iter().map(|(name, fields)| message(name, fields)).collect(),
        enum_type: vec![EnumDescriptorProto {
            name: Some("FD_TYPES".to_owned()),
            value: vec![value("UND", 0), value("REG", 1), value("EVENTFD", 5)],
            ..Default::default()
        }],
        ..Default::default()
    };
    FileDescriptorSet { file: vec![file] }.encode_to_vec()
}

fn message(name: &str, fields: &[Field]) -> DescriptorProto {
    let field = fields.iter().map(field).collect();
    DescriptorProto { name: Some(name.to_owned()), field, ..Default::default() }
}

fn field(&(name, number, kind): &Field) -> FieldDescriptorProto {
    let label = if kind.starts_with('*') { Label::Repeated } else { Label::Optional };
    let kind = kind.trim_start_matches('*');
    let (r#type, type_name) = match kind {
        "uint32" => (Type::Uint32, None),
        "uint64" => (Type::Uint64, None),
        "int32" => (Type::Int32, None),
        "int64" => (Type::Int64, None),
        "sint32" => (Type::Sint32, None),
        "bool" => (Type::Bool, None),
        "string" => (Type::String, None),
        "bytes" => (Type::Bytes, None),
        "double" => (Type::Double, None),
        _ if kind.chars().all(|char| char.is_uppercase() || char == '_') => {
            (Type::Enum, Some(kind))
        }
        _ => (Type::Message, Some(kind)),
    };
    FieldDescriptorProto {
        name: Some(name.to_owned()),
        number: Some(number),
        label: Some(label.into()),
        r#type: Some(r#type.into()),
        type_name: type_name.map(|name| format!(".{name}")),
        ..Default::default()
    }
}

fn value(name: &str, number: i32) -> EnumValueDescriptorProto {
    EnumValueDescriptorProto { name: Some(name.to_owned()), number: Some(number), options: None }
}
