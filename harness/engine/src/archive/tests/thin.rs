//! Checkpoints without the pages that can come later.

use criu::image::{Image, Schema, decode};

use super::*;

const PROTO: &str = r#"syntax = "proto2";
message pagemap_head { optional uint32 pages_id = 1; }
message pagemap_entry {
    optional uint64 vaddr = 1;
    optional uint32 nr_pages = 2;
    optional bool in_parent = 3;
    optional uint32 flags = 4;
}
"#;

/// A page that must be there at once, two that can come later, and one more of the first kind.
const PAGEMAP: &str = r#"{"magic": "PAGEMAP", "entries": [{"pages_id": 1},
    {"vaddr": 4096, "nr_pages": 1, "flags": 4}, {"vaddr": 12288, "nr_pages": 2, "flags": 6},
    {"vaddr": 24576, "nr_pages": 1, "flags": 4}]}"#;

const IMAGES: &str = "containers/main/images";

fn schema() -> Schema {
    let folder = folder();
    put(folder.path(), "images.proto", PROTO);
    let mut compiler = protox::Compiler::new([folder.path()]).expect("a compiler");
    compiler.include_imports(true).open_file("images.proto").expect("compiled");
    Schema::from_descriptor_set(&compiler.encode_file_descriptor_set()).expect("a schema")
}

/// A checkpoint with pages, that stands unpacked in a folder.
fn with_pages(schema: &Schema, work: &Path, pages: &[u8]) -> Manifest {
    let mut manifest = manifest(work);
    let image = Image::from_json(schema, "pagemap-1.img", PAGEMAP).expect("an image");
    let mut bytes = Vec::new();
    image.write(&mut bytes).expect("written");
    std::fs::write(work.join(IMAGES).join("pagemap-1.img"), bytes).expect("written");
    std::fs::write(work.join(IMAGES).join("pages-1.img"), pages).expect("written");
    let names = ["pagemap-1.img", "pages-1.img"].map(|name| format!("{IMAGES}/{name}"));
    let names = names.into_iter().chain(MEMBERS.map(str::to_owned));
    manifest.members = digest_members(work, names).expect("digests");
    manifest
}

fn pages() -> Vec<u8> {
    (1..=4).flat_map(|page| [page; 4096]).collect()
}

#[test]
fn what_can_come_later_is_left_out_and_marked_as_such() {
    let (schema, work, out) = (schema(), folder(), folder());
    let manifest = with_pages(&schema, work.path(), &pages());
    let (path, scratch) = (out.path().join("thin"), work.path().join("scratch"));
    let sha256 = "ab".repeat(32);
    write_thin(&path, (&manifest, &sha256), (work.path(), &scratch), &schema).expect("thin");
    assert!(!scratch.exists());
    let kept = std::fs::read(work.path().join(IMAGES).join("pages-1.img")).expect("there");
    assert_eq!(kept, pages(), "the checkpoint itself stays whole");

    let (opened, of) = open_thin(&path).expect("opened");
    assert_eq!(of, sha256);
    let unpacked = out.path().join("unpacked");
    std::fs::create_dir(&unpacked).expect("a folder");
    unpack(opened, &unpacked).expect("unpacked");
    let images = unpacked.join(IMAGES);
    let left = std::fs::read(images.join("pages-1.img")).expect("there");
    assert_eq!(left, [[1; 4096], [4; 4096]].concat());
    let file = std::fs::File::open(images.join("pagemap-1.img")).expect("there");
    let pagemap = decode(&schema, "pagemap-1.img", file).expect("an image").pagemap();
    let runs = pagemap.expect("a pagemap").runs;
    let marks: Vec<_> = runs.iter().map(|run| (run.pages, run.present, run.lazy)).collect();
    assert_eq!(marks, [(1, true, false), (2, false, true), (1, true, false)]);
}

/// Without its pages it would read as zeroes: nobody restores it by mistake.
#[test]
fn a_thin_archive_is_no_checkpoint_and_a_checkpoint_is_not_thin() {
    let (schema, work, out) = (schema(), folder(), folder());
    let manifest = with_pages(&schema, work.path(), &pages());
    let (path, scratch) = (out.path().join("thin"), work.path().join("scratch"));
    let sha256 = "ab".repeat(32);
    write_thin(&path, (&manifest, &sha256), (work.path(), &scratch), &schema).expect("thin");
    let refused = open(&path).err().expect("refused").to_string();
    assert!(refused.contains("most of its memory is not in it"), "{refused}");
    assert_eq!(parents(&path), [""; 0], "what it names is no round");
    let (_work, checkpoint) = whole();
    let refused = open_thin(&checkpoint).err().expect("refused").to_string();
    assert!(refused.contains("not to come later"), "{refused}");
}

#[test]
fn pages_that_are_cut_off_are_not_thinned_out() {
    let (schema, work, out) = (schema(), folder(), folder());
    let manifest = with_pages(&schema, work.path(), &pages()[..3 * 4096]);
    let (path, scratch) = (out.path().join("thin"), work.path().join("scratch"));
    let written = write_thin(&path, (&manifest, ""), (work.path(), &scratch), &schema);
    assert!(written.expect_err("refused").to_string().contains("pages-1.img"));
    assert!(!path.exists() && !scratch.exists());
}
