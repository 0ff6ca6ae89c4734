//! A small part of CRIU's schema, made in code: tests need no CRIU.

use std::sync::LazyLock;

use criu::image::Schema;
use prost_reflect::prost::Message;
use prost_reflect::prost_types::field_descriptor_proto::{Label, Type};
use prost_reflect::prost_types::{
    DescriptorProto, EnumDescriptorProto, EnumValueDescriptorProto, FieldDescriptorProto,
    FileDescriptorProto, FileDescriptorSet,
};

/// Messages with their fields in order: `.` a message, `*` a list of them, `!` the type of a file,
/// `:` a number of 64 bits, and all else one of 32.
const MESSAGES: &[(&str, &[&str])] = &[
    ("task_kobj_ids_entry", &["vm_id", "files_id"]),
    ("fdinfo_entry", &["id", "flags", "!type", "fd"]),
    (
        "file_entry",
        &["!type", "id", ".pipe_entry pipe", ".timerfd_entry tfd", ".memfd_file_entry memfd"],
    ),
    ("memfd_file_entry", &["id", "inode_id"]),
    ("memfd_inode_entry", &["inode_id", ":shmid"]),
    ("mm_entry", &["*vma_entry vmas"]),
    ("vma_entry", &[":start", ":end", ":pgoff", ":shmid", "status"]),
    ("pagemap_head", &["pages_id"]),
    ("pagemap_entry", &[":vaddr", "compat_nr_pages", "in_parent", "flags", ":nr_pages"]),
    ("pipe_entry", &["id", "pipe_id", "flags"]),
    ("timerfd_entry", &["id", "ticks", "vsec", "vnsec", "isec", "insec"]),
    ("pipe_data_entry", &["pipe_id", "bytes"]),
    ("seccomp_entry", &["prev"]),
    ("cgroup_entry", &["id"]),
];

/// The schema that these tests use.
pub(crate) fn schema() -> Schema {
    static SCHEMA: LazyLock<Schema> = LazyLock::new(|| {
        let file = FileDescriptorProto {
            name: Some("test.proto".to_owned()),
            message_type: MESSAGES.iter().map(|(name, fields)| message(name, fields)).collect(),
            enum_type: vec![EnumDescriptorProto {
                name: Some("fd_types".to_owned()),
                value: [("UND", 0), ("PIPE", 2), ("TIMERFD", 17)].map(value).to_vec(),
                ..Default::default()
            }],
            ..Default::default()
        };
        let set = FileDescriptorSet { file: vec![file] }.encode_to_vec();
        Schema::from_descriptor_set(&set).expect("a sound schema")
    });
    SCHEMA.clone()
}

fn message(name: &str, fields: &[&str]) -> DescriptorProto {
    let field = (1..).zip(fields).map(|(number, field)| self::field(number, field)).collect();
    DescriptorProto { name: Some(name.to_owned()), field, ..Default::default() }
}

fn field(number: i32, field: &str) -> FieldDescriptorProto {
    let (kind, within, name) = match (field.split_once(' '), field.split_at(1)) {
        (Some((message, name)), _) => (Type::Message, Some(format!(".{}", &message[1..])), name),
        (None, ("!", name)) => (Type::Enum, Some(".fd_types".to_owned()), name),
        (None, (":", name)) => (Type::Uint64, None, name),
        (None, _) => (Type::Uint32, None, field),
    };
    let label = if field.starts_with('*') { Label::Repeated } else { Label::Optional };
    FieldDescriptorProto {
        name: Some(name.to_owned()),
        number: Some(number),
        label: Some(label.into()),
        r#type: Some(kind.into()),
        type_name: within,
        ..Default::default()
    }
}

fn value((name, number): (&str, i32)) -> EnumValueDescriptorProto {
    EnumValueDescriptorProto { name: Some(name.to_owned()), number: Some(number), options: None }
}
