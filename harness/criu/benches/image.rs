//! How long an image takes from bytes to values, to JSON, and all the way back: the page map of a
//! process with ten thousand runs of pages, which is the longest image of most checkpoints.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use criu::image::{Image, Schema, decode};
use prost_reflect::prost::Message;
use prost_reflect::prost_types::field_descriptor_proto::{Label, Type};
use prost_reflect::prost_types::{
    DescriptorProto, FieldDescriptorProto, FileDescriptorProto, FileDescriptorSet,
};

/// Runs of pages in the map.
const RUNS: u64 = 10_000;

/// Magic numbers of a page map, which is an image like most.
const HEAD: [u32; 2] = [0x5456_4319, 0x5608_4025];

const NAME: &str = "pagemap-1.img";

fn image(criterion: &mut Criterion) {
    let schema = Schema::from_descriptor_set(&descriptors()).expect("a sound schema");
    let file = pagemap();
    let image = decode(&schema, NAME, &file[..]).expect("a sound file");
    let json = image.to_json();
    let mut group = criterion.benchmark_group("image");
    group.throughput(Throughput::Bytes(file.len() as u64));
    group.bench_function("decode", |bencher| bencher.iter(|| decode(&schema, NAME, &file[..])));
    group.bench_function("encode", |bencher| {
        bencher.iter(|| {
            let mut bytes = Vec::with_capacity(file.len());
            image.write(&mut bytes).map(|()| black_box(bytes))
        });
    });
    group.bench_function("to json", |bencher| bencher.iter(|| image.to_json()));
    group.bench_function("from json", |bencher| {
        bencher.iter(|| Image::from_json(&schema, NAME, &json));
    });
    group.finish();
}

/// The file, in protobuf's own bytes.
fn pagemap() -> Vec<u8> {
    let mut file: Vec<u8> = HEAD.into_iter().flat_map(u32::to_le_bytes).collect();
    entry(&mut file, &[(1, 1)]);
    for run in 0..RUNS {
        entry(&mut file, &[(1, 0x7f00_0000_0000 + run * 0x8000), (2, run % 7 + 1), (4, 4)]);
    }
    file
}

fn entry(file: &mut Vec<u8>, fields: &[(u64, u64)]) {
    let mut message = Vec::new();
    for (number, value) in fields {
        varint(&mut message, number << 3);
        varint(&mut message, *value);
    }
    file.extend((message.len() as u32).to_le_bytes());
    file.extend(message);
}

fn varint(bytes: &mut Vec<u8>, mut value: u64) {
    while value > 0x7f {
        bytes.push(value as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
}

/// What the messages are, as the schema of a CRIU says it.
fn descriptors() -> Vec<u8> {
    let head = message("pagemap_head", &[("pages_id", 1, Type::Uint32)]);
    let entry = message(
        "pagemap_entry",
        &[
            ("vaddr", 1, Type::Uint64),
            ("compat_nr_pages", 2, Type::Uint32),
            ("in_parent", 3, Type::Bool),
            ("flags", 4, Type::Uint32),
            ("nr_pages", 5, Type::Uint64),
        ],
    );
    let file = FileDescriptorProto {
        name: Some("pagemap.proto".to_owned()),
        message_type: vec![head, entry],
        ..Default::default()
    };
    FileDescriptorSet { file: vec![file] }.encode_to_vec()
}

fn message(name: &str, fields: &[(&str, i32, Type)]) -> DescriptorProto {
    let field = fields.iter().map(|(name, number, kind)| FieldDescriptorProto {
        name: Some((*name).to_owned()),
        number: Some(*number),
        label: Some(Label::Optional.into()),
        r#type: Some((*kind).into()),
        ..Default::default()
    });
    DescriptorProto { name: Some(name.to_owned()), field: field.collect(), ..Default::default() }
}

criterion_group!(benches, image);
criterion_main!(benches);
