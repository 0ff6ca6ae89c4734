//! Modules in the manner of Debian's `pycriu/images`, made in code.

use std::fmt::Write;
use std::path::Path;

use prost_reflect::prost_types::field_descriptor_proto::{Label, Type};
use prost_reflect::prost_types::{DescriptorProto, FieldDescriptorProto};

use super::*;
use crate::image::Image;
use crate::testing::descriptor_set;

/// A file that imports others.
fn importing(name: &str, imports: &[&str]) -> FileDescriptorProto {
    FileDescriptorProto {
        name: Some(name.to_owned()),
        dependency: imports.iter().map(|&import| import.to_owned()).collect(),
        ..Default::default()
    }
}

fn field(name: &str, number: i32, kind: Type) -> FieldDescriptorProto {
    FieldDescriptorProto {
        name: Some(name.to_owned()),
        number: Some(number),
        label: Some(Label::Optional.into()),
        r#type: Some(kind.into()),
        ..Default::default()
    }
}

/// CRIU's own options of fields, as far as they matter here.
fn opts() -> FileDescriptorProto {
    let message = DescriptorProto {
        name: Some("CRIU_Opts".to_owned()),
        field: vec![field("conv", 7, Type::String)],
        ..Default::default()
    };
    let extension = FieldDescriptorProto {
        extendee: Some(".google.protobuf.FieldOptions".to_owned()),
        type_name: Some(".CRIU_Opts".to_owned()),
        ..field("criu", 1018, Type::Message)
    };
    FileDescriptorProto {
        message_type: vec![message],
        extension: vec![extension],
        ..importing("opts.proto", &[DESCRIPTOR])
    }
}

/// `unix_sk_entry` with a name that has the option `(criu).conv = "unix_name"`. As bytes: the
/// types compiled in do not know the option.
fn unix_socket() -> Vec<u8> {
    let options = delimited(1018, &delimited(7, b"unix_name"));
    let name = [field("name", 11, Type::Bytes).encode_to_vec(), delimited(8, &options)].concat();
    let message = [delimited(1, b"unix_sk_entry"), delimited(2, &name)].concat();
    let file = importing("a-unix.proto", &["opts.proto"]).encode_to_vec();
    [file, delimited(4, &message)].concat()
}

/// A protobuf field of bytes.
fn delimited(number: u32, bytes: &[u8]) -> Vec<u8> {
    let mut field = Vec::new();
    prost::encoding::encode_key(number, prost::encoding::WireType::LengthDelimited, &mut field);
    prost::encoding::encode_varint(bytes.len() as u64, &mut field);
    [field.as_slice(), bytes].concat()
}

fn write_module(folder: &Path, name: &str, bytes: &[u8]) {
    let mut literal = String::new();
    for byte in bytes {
        write!(literal, "\\x{byte:02x}").expect("a string");
    }
    let text = format!("DESCRIPTOR = _pool.Default().AddSerializedFile(b'{literal}')\n");
    fs::write(folder.join(name), text).expect("a file");
}

#[test]
fn modules_become_a_set_with_imports_first_and_options_kept() {
    let folder = tempfile::tempdir().expect("a folder");
    write_module(folder.path(), "a_unix_pb2.py", &unix_socket());
    write_module(folder.path(), "opts_pb2.py", &opts().encode_to_vec());
    write_module(folder.path(), "rpc_pb2.py", &importing(RPC, &[]).encode_to_vec());
    fs::write(folder.path().join("magic.py"), "no module of messages").expect("a file");

    let set = descriptor_set_from_pycriu(folder.path()).expect("sound modules");
    let schema = Schema::from_descriptor_set(&set).expect("a sound set");
    let files: Vec<String> = schema.pool.files().map(|file| file.name().to_owned()).collect();
    assert_eq!(files, [DESCRIPTOR, "opts.proto", "a-unix.proto"]);

    let json = r#"{"magic": "UNIXSK", "entries": [{"name": "=00a b"}]}"#;
    let image = Image::from_json(&schema, "unixsk.json", json).expect("it fits");
    assert!(image.to_json().contains(r#""name": "=00a b""#), "{}", image.to_json());
}

#[test]
fn imports_in_a_circle_are_named() {
    let folder = tempfile::tempdir().expect("a folder");
    write_module(folder.path(), "a_pb2.py", &importing("a", &["b"]).encode_to_vec());
    write_module(folder.path(), "b_pb2.py", &importing("b", &["a"]).encode_to_vec());
    let error = descriptor_set_from_pycriu(folder.path()).expect_err("a circle");
    assert_eq!(error.to_string(), "files import each other in a circle: a, b");
}

#[test]
fn a_missing_import_is_named() {
    let folder = tempfile::tempdir().expect("a folder");
    write_module(folder.path(), "a_pb2.py", &importing("a", &["gone.proto"]).encode_to_vec());
    let set = descriptor_set_from_pycriu(folder.path()).expect("sound modules");
    let error = Schema::from_descriptor_set(&set).expect_err("incomplete").to_string();
    assert!(error.contains("gone.proto"), "{error}");
}

#[test]
fn a_folder_without_modules_is_named() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().display().to_string();
    let error = descriptor_set_from_pycriu(folder.path()).expect_err("empty").to_string();
    assert_eq!(error, format!("{path}: no *_pb2.py there"));
    let gone = folder.path().join("gone");
    let error = descriptor_set_from_pycriu(&gone).expect_err("not there").to_string();
    assert_eq!(error, format!("cannot read {path}/gone: No such file or directory (os error 2)"));
}

#[test]
fn a_broken_module_is_named() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("a_pb2.py");
    write_module(folder.path(), "a_pb2.py", b"\xff");
    let error = descriptor_set_from_pycriu(folder.path()).expect_err("broken").to_string();
    let expected = format!("{}: its literal is no descriptor: ", path.display());
    assert!(error.starts_with(&expected), "{error}");
}

#[test]
fn a_field_that_json_cannot_carry_is_refused() {
    let set = descriptor_set(&[("odd_entry", &[("x", 1, "double")])]);
    let error = Schema::from_descriptor_set(&set).expect_err("floating point").to_string();
    assert_eq!(error, "not a usable descriptor set: unsupported kind of `odd_entry.x`");
}
