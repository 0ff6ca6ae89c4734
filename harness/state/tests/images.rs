//! What two dumps of a pod say, held against each other: what must be a difference and what not.

mod images_schema;

use std::path::Path;

use criu::image::{Image, Schema};
use images_schema::schema;
use rstest::rstest;
use state::images::ImagesLevel;

const MINUTE_NS: u64 = 60_000_000_000;

/// A dump: names of files and their content as `crit` shows it.
type Dump<'a> = Vec<(&'a str, String)>;

fn image(magic: &str, entries: &str) -> String {
    format!(r#"{{"magic": "{magic}", "entries": [{entries}]}}"#)
}

/// A task whose descriptors 0 and 1 are the ends of a pipe and 3 a timer, with ids of its own.
fn dump(ids: [u32; 3], pipe: u32) -> Dump<'static> {
    let [one, two, three] = ids;
    let table = format!(
        r#"{{"id": {one}, "flags": 0, "type": "PIPE", "fd": 0}},
           {{"id": {two}, "flags": 1, "type": "PIPE", "fd": 1}},
           {{"id": {three}, "flags": 1, "type": "TIMERFD", "fd": 3}}"#
    );
    let files = format!(
        r#"{{"type": "TIMERFD", "id": {three}, "tfd": {{"id": {three}, "isec": 10, "insec": 0,
             "vsec": 4, "vnsec": 5, "ticks": 1}}}},
           {{"type": "PIPE", "id": {two}, "pipe": {{"id": {two}, "pipe_id": {pipe}, "flags": 1}}}},
           {{"type": "PIPE", "id": {one}, "pipe": {{"id": {one}, "pipe_id": {pipe}, "flags": 0}}}}"#
    );
    let data = format!(r#"{{"pipe_id": {pipe}, "bytes": 2, "extra": "aGk="}}"#);
    vec![
        ("ids-1.img", image("IDS", r#"{"files_id": 7}"#)),
        ("fdinfo-7.img", image("FDINFO", &table)),
        ("files.img", image("FILES", &files)),
        ("pipes-data.img", image("PIPES_DATA", &data)),
    ]
}

fn write(folder: &Path, dump: &Dump<'_>) {
    for (name, json) in dump {
        let image = Image::from_json(&schema(), name, json).expect("it fits the schema");
        let mut bytes = Vec::new();
        image.write(&mut bytes).expect("a vector");
        std::fs::write(folder.join(name), bytes).expect("written");
    }
}

fn facts(schema: &Schema, dump: &Dump<'_>, more: &[(&str, &[u8])]) -> model::Capture {
    let folder = tempfile::tempdir().expect("a folder");
    write(folder.path(), dump);
    for (name, bytes) in more {
        std::fs::write(folder.path().join(name), bytes).expect("written");
    }
    let containers = [("main".to_owned(), folder.path().to_owned())];
    state::images::read(&containers, schema).expect("it can be read")
}

fn compared(before: &Dump<'_>, after: &Dump<'_>) -> ImagesLevel {
    let [before, after] = [before, after].map(|dump| facts(&schema(), dump, &[]));
    state::images::compare(&before, &after, MINUTE_NS)
}

fn told(level: &ImagesLevel) -> Vec<String> {
    level.differences.iter().map(state::Difference::sentence).collect()
}

/// The dump with a piece of its text replaced in one file.
fn edited(file: &str, from: &str, to: &str) -> Dump<'static> {
    let mut dump = dump([1, 2, 3], 40);
    let image = dump.iter_mut().find(|(name, _)| *name == file).expect("that file");
    assert!(image.1.contains(from), "{}", image.1);
    image.1 = image.1.replacen(from, to, 1);
    dump
}

#[test]
fn numbers_of_criu_and_the_kernel_are_renamed() {
    let level = compared(&dump([1, 2, 3], 40), &dump([30, 10, 20], 77));
    assert_eq!(told(&level), [""; 0]);
    assert_eq!(level.fields, 33);
}

#[rstest]
#[case::flag(
    "files.img",
    r#""flags": 1}"#,
    r#""flags": 2049}"#,
    "image.files.task.1.fd.1.pipe.flags was 1, is 2049"
)]
#[case::descriptor(
    "fdinfo-7.img",
    r#""flags": 0"#,
    r#""flags": 1"#,
    "image.fdinfo.1.0.flags was 0, is 1"
)]
#[case::payload(
    "pipes-data.img",
    "aGk=",
    "aG8=",
    "image.pipes-data.task.1.fd.0.content was 2 bytes with digest"
)]
#[case::absent(
    "files.img",
    r#""insec": 0,"#,
    "",
    "image.files.task.1.fd.3.tfd.insec was 0, is absent"
)]
fn a_changed_field_is_named_by_who_refers_to_it(
    #[case] file: &str,
    #[case] from: &str,
    #[case] to: &str,
    #[case] expected: &str,
) {
    let level = compared(&dump([1, 2, 3], 40), &edited(file, from, to));
    assert_eq!(level.differences.len(), 1, "{:?}", told(&level));
    assert!(told(&level)[0].starts_with(expected), "{:?}", told(&level));
}

#[test]
fn the_order_of_entries_does_not_matter() {
    let mut turned = dump([1, 2, 3], 40);
    let (head, entries) = turned[2].1.split_once('[').expect("a list");
    let mut entries: Vec<&str> = entries.trim_end_matches("]}").split("}},").collect();
    entries.rotate_left(1);
    let entries: Vec<String> =
        entries.iter().map(|it| it.trim_end_matches("}}").to_owned() + "}}").collect();
    turned[2].1 = format!("{head}[{}]}}", entries.join(","));
    assert_eq!(told(&compared(&dump([1, 2, 3], 40), &turned)), [""; 0]);
}

#[test]
fn a_pipe_whose_ends_were_parted_is_a_difference() {
    let parted =
        edited("files.img", r#""pipe_id": 40, "flags": 0"#, r#""pipe_id": 41, "flags": 0"#);
    let level = compared(&dump([1, 2, 3], 40), &parted);
    assert!(
        told(&level).iter().any(|told| told.contains("the same pipe as")),
        "{:?}",
        told(&level)
    );
}

#[rstest]
#[case::ran_down(r#""vsec": 4"#, r#""vsec": 2"#, 0)]
#[case::went_round(r#""vsec": 4"#, r#""vsec": 9"#, 0)]
#[case::ticked(r#""ticks": 1"#, r#""ticks": 7"#, 0)]
#[case::ticked_too_often(r#""ticks": 1"#, r#""ticks": 9"#, 1)]
#[case::ticked_back(r#""ticks": 1"#, r#""ticks": 0"#, 1)]
#[case::beyond_the_interval(r#""vsec": 4"#, r#""vsec": 300"#, 1)]
fn a_timer_may_go_on_for_the_time_that_passed(
    #[case] from: &str,
    #[case] to: &str,
    #[case] differences: usize,
) {
    let level = compared(&dump([1, 2, 3], 40), &edited("files.img", from, to));
    assert_eq!(level.differences.len(), differences, "{:?}", told(&level));
}

#[test]
fn a_file_that_nobody_knows_is_a_difference_though_both_have_it() {
    let facts =
        facts(&schema(), &dump([1, 2, 3], 40), &[("gpu-1.img", b"?"), ("pages-1.img", b"?")]);
    let level = state::images::compare(&facts, &facts, MINUTE_NS);
    assert_eq!(level.differences.len(), 1, "{:?}", told(&level));
    assert_eq!(level.differences[0].fact, "image.gpu-1.img.@unknown");
}

#[rstest]
#[case::field("seccomp.img", b"\x04\x00\x00\x00\xa2\x06\x01x", "image.seccomp.@unknown")]
#[case::damage("cgroup.img", b"\x04\x00\x00\x00", "image.cgroup.img.@unknown")]
fn what_cannot_be_understood_is_a_difference(
    #[case] name: &str,
    #[case] body: &[u8],
    #[case] fact: &str,
) {
    let magic: u32 = if name.starts_with("seccomp") { 0x6441_3049 } else { 0x5938_3330 };
    let head = [0x5456_4319, magic].map(u32::to_le_bytes).concat();
    let file = [head.as_slice(), body].concat();
    let facts = facts(&schema(), &Vec::new(), &[(name, &file)]);
    let level = state::images::compare(&facts, &facts, MINUTE_NS);
    assert_eq!(level.differences.len(), 1, "{:?}", told(&level));
    assert_eq!(level.differences[0].fact, fact);
}

#[test]
fn what_images_say_is_read_again_like_any_capture() {
    let capture = facts(&schema(), &dump([1, 2, 3], 40), &[]);
    let text = serde_json::to_vec(&capture).expect("plain data");
    assert_eq!(state::read_capture(&text).expect("a known format"), capture);
}

/// A task with these mappings: start, end, offset in a file, and status.
fn mapped(mappings: &[(u32, u32, u32, u32)]) -> Dump<'static> {
    let mapping = |&(start, end, pgoff, status): &(u32, u32, u32, u32)| {
        format!(
            r#"{{"start": {start}, "end": {end}, "pgoff": {pgoff}, "shmid": 3, "status": {status}}}"#
        )
    };
    let mappings: Vec<String> = mappings.iter().map(mapping).collect();
    let entry = format!(r#"{{"vmas": [{}]}}"#, mappings.join(", "));
    vec![("mm-1.img", image("MM", &entry))]
}

#[rstest]
#[case::joined(&[(4096, 12288, 0, 65)], true)]
#[case::another_status(&[(4096, 8192, 0, 65), (8192, 12288, 4096, 67)], false)]
#[case::another_offset(&[(4096, 8192, 0, 65), (8192, 12288, 8192, 65)], false)]
#[case::a_gap(&[(4096, 8192, 0, 65), (12288, 16384, 4096, 65)], false)]
#[case::shorter(&[(4096, 8192, 0, 65)], false)]
fn neighbours_that_are_alike_are_one_mapping(
    #[case] after: &[(u32, u32, u32, u32)],
    #[case] same: bool,
) {
    let before = mapped(&[(4096, 8192, 0, 65), (8192, 12288, 4096, 65)]);
    let level = compared(&before, &mapped(after));
    assert_eq!(level.differences.is_empty(), same, "{level:?}");
}
