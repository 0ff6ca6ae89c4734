//! Files in, values, JSON and the same files out.

use proptest::prelude::*;
use rstest::rstest;

use super::kind::{COMMON_MAGIC, Kind, SERVICE_MAGIC};
use super::{Error, Image, PageRun, Pagemap, Place, Problem, decode};
use crate::testing::schema;

/// A file of this kind: its head and then these bytes.
fn file(kind: &str, body: &[u8]) -> Vec<u8> {
    let head = Kind::by_name(kind).expect("a known kind").head();
    let mut file: Vec<u8> = head.into_iter().flat_map(u32::to_le_bytes).collect();
    file.extend_from_slice(body);
    file
}

/// A message with its size before it.
fn sized(message: &[u8]) -> Vec<u8> {
    let size = u32::try_from(message.len()).expect("small");
    [&size.to_le_bytes(), message].concat()
}

fn read(file: &[u8]) -> Result<Image, Error> {
    decode(&schema(), "test.img", file)
}

/// What comes out by both ways: directly, and through JSON.
fn written(image: &Image) -> [Vec<u8>; 2] {
    let again = Image::from_json(&schema(), "test.json", &image.to_json()).expect("own JSON");
    assert_eq!(&again, image);
    [image, &again].map(|image| {
        let mut bytes = Vec::new();
        image.write(&mut bytes).expect("a vector");
        bytes
    })
}

#[rstest]
#[case::eventfd("EVENTFD_FILE", &[sized(b"\x08\x07\x10\x02\x1a\x04\x08\x01\x10\x03\x20\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01")])]
#[case::fdinfo("FDINFO", &[sized(b"\x08\x01\x18\x05"), sized(b"\x08\x02\x18\x4d\x4a\x03\0\xff\x01")])]
#[case::lists("SIGNALFD", &[sized(b"\x08\x01\x12\x02\x08\x05\x12\x05\x1a\x03a\"b\x18\x01\x18\x02")])]
#[case::unknown("EVENTFD_FILE", &[sized(b"\x08\x07\x1a\x05\x08\x01\x98\x06\x05\xa2\x06\x02hi")])]
#[case::unusual_order("EVENTFD_FILE", &[sized(b"\x10\x02\x08\x07")])]
#[case::unknown_before_known("PAGEMAP", &[sized(b"\x08\x01"), sized(b"\x08\x80\x20\x32\x01x\x20\x04")])]
#[case::pipe("PIPES_DATA", &[sized(b"\x08\x01\x10\x05"), b"hello".to_vec(), sized(b"\x08\x02\x10\x00")])]
#[case::bpf("BPFMAP_DATA", &[sized(b"\x08\x01\x10\x02\x18\x03"), b"kkvvv".to_vec()])]
#[case::tcp("TCP_STREAM", &[sized(b"\x08\x02\x18\x03"), b"inout".to_vec()])]
#[case::shm("IPCNS_SHM", &[sized(b"\x10\x05"), b"bytes\0\0\0".to_vec(), sized(b"\x10\x05\x18\x01")])]
#[case::sem("IPCNS_SEM", &[sized(b"\x10\x03"), b"\x01\0\x02\0\xff\xff\0\0".to_vec()])]
#[case::msg("IPCNS_MSG", &[sized(b"\x18\x02"), sized(b"\x08\x01\x10\x02"), b"hi\0\0\0\0\0\0".to_vec(), sized(b"\x10\x00")])]
#[case::ghost("GHOST_FILE", &[sized(b"\x18\x01"), b"all that is left".to_vec()])]
#[case::chunks("GHOST_FILE", &[sized(b"\x48\x01"), sized(b"\x08\x02\x10\x00"), b"ab".to_vec(), sized(b"\x08\x01\x10\x09"), b"c".to_vec()])]
#[case::empty("FDINFO", &[])]
fn a_file_and_its_json_are_the_same_bytes(#[case] kind: &str, #[case] parts: &[Vec<u8>]) {
    let file = file(kind, &parts.concat());
    let image = read(&file).expect("a sound file");
    insta::assert_snapshot!(format!("json_{}", case_name()), image.to_json());
    assert_eq!(written(&image), [file.clone(), file]);
}

/// The name that rstest gave to the running case.
fn case_name() -> String {
    let thread = std::thread::current();
    let name = thread.name().expect("tests have names").rsplit("::").next().unwrap_or_default();
    name.splitn(3, '_').last().unwrap_or_default().to_owned()
}

#[rstest]
#[case::nothing(b"", 0, "truncated: magic number needs 4 bytes, 0 are left")]
#[case::cut_magic(b"\x19\x43", 0, "truncated: magic number needs 4 bytes, 2 are left")]
#[case::text(
    b"#!/bin/sh\n",
    0,
    "not an image: it begins with 0x622f2123, not with one of CRIU's magic numbers"
)]
#[case::strange(b"\x19\x43\x56\x54\x01\x02\x03\x04", 4, "unknown magic number 0x04030201")]
#[case::wrong_head(b"\x40\x59\x10\x55\x32\x37\x21\x56", 4, "unknown magic number 0x56213732")]
fn a_file_with_a_wrong_head_is_refused(
    #[case] file: &[u8],
    #[case] offset: u64,
    #[case] problem: &str,
) {
    assert_refused(file, offset, problem);
}

#[rstest]
#[case::cut_size("FDINFO", b"\x01\0", 8, "truncated: size of an entry needs 4 bytes, 2 are left")]
#[case::cut_message(
    "FDINFO",
    b"\x09\0\0\0\x08",
    12,
    "truncated: message needs 9 bytes, 1 are left"
)]
#[case::absurd(
    "FDINFO",
    b"\xff\xff\xff\xff",
    8,
    "absurd size: a message of 4294967295 bytes, at most 67108864 are accepted"
)]
#[case::largest("FDINFO", b"\0\0\0\x04", 12, "truncated: message needs 67108864 bytes, 0 are left")]
#[case::garbage(
    "FDINFO",
    b"\x01\0\0\0\x08",
    12,
    "not a `fdinfo_entry`: failed to decode Protobuf message: invalid varint"
)]
#[case::payload(
    "PIPES_DATA",
    b"\x06\0\0\0\x10\xff\xff\xff\xff\x0fabc",
    18,
    "truncated: payload needs 4294967295 bytes, 3 are left"
)]
#[case::huge_segment(
    "IPCNS_SHM",
    b"\x0b\0\0\0\x10\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01a",
    23,
    "truncated: payload needs 18446744073709551615 bytes, 1 are left"
)]
#[case::padding("IPCNS_SEM", b"\x02\0\0\0\x10\x01\x05\0\0\0\0\0\0\x01", 16, "padding is not zero")]
#[case::many_messages(
    "IPCNS_MSG",
    b"\x06\0\0\0\x18\xff\xff\xff\xff\x0f",
    18,
    "truncated: size of a queued message needs 4 bytes, 0 are left"
)]
#[case::not_in_schema(
    "PIDFD",
    b"\0\0\0\0",
    8,
    "PIDFD needs message `pidfd_entry`, which this schema does not have"
)]
fn a_damaged_entry_is_refused_with_its_offset(
    #[case] kind: &str,
    #[case] body: &[u8],
    #[case] offset: u64,
    #[case] problem: &str,
) {
    assert_refused(&file(kind, body), offset, problem);
}

fn assert_refused(file: &[u8], offset: u64, problem: &str) {
    let error = read(file).expect_err("not a sound file");
    assert_eq!(error.to_string(), format!("test.img: at byte {offset}: {problem}"));
}

#[rstest]
#[case::no_json("{", "in JSON: EOF while parsing an object at line 1 column 1")]
#[case::no_magic("{}", "in JSON: `magic` is missing")]
#[case::no_entries(r#"{"magic": "FDINFO"}"#, "in JSON: `entries` is missing")]
#[case::strange_image(r#"{"magic": "FOO", "entries": []}"#, "in JSON: unknown image `FOO`")]
#[case::field(
    r#"{"magic": "FDINFO", "entries": [{}, {"fd": 1}]}"#,
    "in entries[1].fd: `fdinfo_entry` has no such field"
)]
#[case::range(
    r#"{"magic": "FDINFO", "entries": [{"id": -1}]}"#,
    "in entries[0].id: -1 does not fit this field"
)]
#[case::kind(
    r#"{"magic": "FDINFO", "entries": [{"type": "FOO"}]}"#,
    "in entries[0].type: expected a whole number, found a string"
)]
#[case::nested(
    r#"{"magic": "SIGNALFD", "entries": [{"owners": [{}, {"pid": 1.5}]}]}"#,
    "in entries[0].owners[1].pid: expected a whole number, found a number"
)]
#[case::base64(
    r#"{"magic": "FDINFO", "entries": [{"raw": "?"}]}"#,
    "in entries[0].raw: not base64: Invalid symbol 63, offset 0."
)]
#[case::length(
    r#"{"magic": "PIPES_DATA", "entries": [{"bytes": 9, "extra": "aGk="}]}"#,
    "in entries[0]: the message announces 9 bytes, the payload has 2"
)]
#[case::missing(
    r#"{"magic": "TCP_STREAM", "entries": [{"extra": {"inq": ""}}]}"#,
    "in entries[0].extra.outq: expected a string, found nothing"
)]
fn json_that_does_not_fit_is_refused_with_its_place(#[case] text: &str, #[case] why: &str) {
    let error = Image::from_json(&schema(), "test.json", text).expect_err("it does not fit");
    assert_eq!(error.to_string(), format!("test.json: {why}"));
}

#[test]
fn numbers_may_be_hexadecimal_and_enumerations_numbers() {
    let text = r#"{"magic": "FDINFO", "entries": [{"id": "0x10", "flags": "-2", "type": 5}]}"#;
    let image = Image::from_json(&schema(), "test.json", text).expect("it fits");
    let json = image.to_json();
    assert!(json.contains("\"id\": 16,"), "{json}");
    assert!(json.contains("\"type\": \"EVENTFD\""), "{json}");
}

#[test]
fn a_changed_message_is_encoded_anew() {
    let mut image = read(&file("EVENTFD_FILE", &sized(b"\x10\x02\x08\x07"))).expect("sound");
    image.entries[0].message.set_field_by_name("id", prost_reflect::Value::U32(9));
    let expected = file("EVENTFD_FILE", &sized(b"\x08\x09\x10\x02"));
    assert_eq!(written(&image), [expected.clone(), expected]);
}

#[test]
fn a_changed_length_is_not_written() {
    let mut image = read(&file("PIPES_DATA", b"\x02\0\0\0\x10\x02hi")).expect("sound");
    image.entries[0].payload = super::Payload::Bytes(b"longer".to_vec());
    let error = image.write(&mut Vec::new()).expect_err("no reader could find the end");
    let expected = "PIPES_DATA: in entries[0]: the message announces 2 bytes, the payload has 6";
    assert_eq!(error.to_string(), expected);
}

#[test]
fn fields_of_a_newer_criu_are_counted_wherever_they_are() {
    let body = [sized(b"\x1a\x05\x08\x01\x98\x06\x05"), sized(b"\x98\x06\x05\x98\x06\x06")];
    let image = read(&file("EVENTFD_FILE", &body.concat())).expect("sound");
    assert_eq!(image.unknown_fields(), 3);
}

#[rstest]
#[case::flags(b"\x08\x80\x20\x10\x03\x20\x04", PageRun { pages: 3, present: true, ..RUN })]
#[case::parent(b"\x08\x80\x20\x10\x03\x20\x01", PageRun { pages: 3, in_parent: true, ..RUN })]
#[case::old(b"\x08\x80\x20\x10\x03", PageRun { pages: 3, present: true, ..RUN })]
#[case::old_parent(b"\x08\x80\x20\x10\x03\x18\x01", PageRun { pages: 3, in_parent: true, ..RUN })]
#[case::wide(b"\x08\x80\x20\x10\x00\x20\x06\x28\x07", PageRun { pages: 7, present: true, lazy: true, ..RUN })]
fn a_pagemap_is_read_in_its_old_and_new_form(#[case] entry: &[u8], #[case] expected: PageRun) {
    let body = [sized(b"\x08\x05"), sized(entry)].concat();
    let pagemap = read(&file("PAGEMAP", &body)).expect("sound").pagemap();
    assert_eq!(pagemap, Some(Pagemap { pages_id: 5, runs: vec![expected] }));
}

const RUN: PageRun =
    PageRun { start: 0x1000, pages: 0, present: false, in_parent: false, lazy: false };

#[test]
fn an_announced_length_allocates_nothing_by_itself() {
    let image = read(&file("IPCNS_SHM", b"\x06\0\0\0\x10\xff\xff\xff\xff\x7f"));
    assert!(matches!(
        image,
        Err(Error { problem: Problem::Truncated { wanted: 0x7_ffff_ffff, found: 0, .. }, .. })
    ));
}

/// Any of the kinds that the test schema can read.
fn kinds() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec![
        "FDINFO",
        "SIGNALFD",
        "PIPES_DATA",
        "TCP_STREAM",
        "IPCNS_SHM",
        "IPCNS_SEM",
        "IPCNS_MSG",
        "GHOST_FILE",
        "PAGEMAP",
        "BPFMAP_DATA",
        "EVENTFD_FILE",
    ])
}

/// Bytes that are often nearly a message: fields with small numbers and values.
fn nearly_messages() -> impl Strategy<Value = Vec<u8>> {
    let varint = (1u8..12, any::<u8>()).prop_map(|(tag, value)| vec![tag << 3, value & 0x7f]);
    let bytes = (1u8..12, prop::collection::vec(any::<u8>(), 0..9)).prop_map(|(tag, bytes)| {
        let length = u8::try_from(bytes.len()).expect("small");
        [vec![tag << 3 | 2, length], bytes].concat()
    });
    let noise = prop::collection::vec(any::<u8>(), 0..6);
    let piece = prop_oneof![6 => varint, 2 => bytes, 1 => noise];
    prop::collection::vec(piece, 0..5).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn noise_is_read_or_refused_within_the_file(bytes: Vec<u8>) {
        assert_total(&bytes);
    }

    #[test]
    fn noise_behind_a_head_is_read_or_refused_within_the_file(
        kind in kinds(),
        bytes: Vec<u8>,
        service: bool,
    ) {
        let magic = Kind::by_name(kind).expect("known").magic;
        let head = if service { SERVICE_MAGIC } else { COMMON_MAGIC };
        assert_total(&[&head.to_le_bytes(), &magic.to_le_bytes(), bytes.as_slice()].concat());
    }

    #[test]
    fn what_is_nearly_an_image_is_read_or_refused_within_the_file(
        kind in kinds(),
        entries in prop::collection::vec((nearly_messages(), any::<Vec<u8>>()), 0..4),
    ) {
        let parts = entries.iter().map(|(message, payload)| [sized(message), payload.clone()].concat());
        assert_total(&file(kind, &parts.collect::<Vec<_>>().concat()));
    }
}

/// What is read comes out again as the same bytes, by both ways; an error is within the file.
fn assert_total(file: &[u8]) {
    match read(file) {
        Ok(image) => assert_eq!(written(&image), [file.to_vec(), file.to_vec()]),
        Err(Error { place: Place::Offset(offset), .. }) => assert!(offset <= file.len() as u64),
        Err(error) => panic!("no offset: {error}"),
    }
}
