//! Archives with images that were made here, whole ones and such as no CRIU would write.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use criu::image::Image;
use model::pod::PodSpec;
use proptest::prelude::*;
use tempfile::TempDir;

use super::*;
use crate::archive::{ContainerRecord, Origin, digest_members, write};

/// What an analysis reads of CRIU's messages. The numbers of fields are our own: images are written
/// and read by the same schema.
const PROTO: &str = include_str!("tests/images.proto");

fn schema() -> Schema {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("images.proto"), PROTO).expect("written");
    let mut compiler = protox::Compiler::new([folder.path()]).expect("a compiler");
    compiler.include_imports(true).open_file("images.proto").expect("compiled");
    Schema::from_descriptor_set(&compiler.encode_file_descriptor_set()).expect("a schema")
}

/// A folder of members, and the archive that is made of them.
struct Made {
    folder: TempDir,
    schema: Schema,
    /// The rounds on which it builds.
    parents: Vec<String>,
}

impl Made {
    fn new() -> Made {
        let folder = tempfile::tempdir().expect("a folder");
        let made = Made { folder, schema: schema(), parents: Vec::new() };
        std::fs::create_dir_all(made.images()).expect("made");
        let root = made.folder.path().join("upper");
        std::fs::create_dir_all(root.join("data")).expect("made");
        std::fs::write(root.join("data/journal"), "written").expect("written");
        std::os::unix::fs::symlink("/etc/passwd", root.join(".link")).expect("linked");
        for (name, mode) in [("", 0o755), ("data", 0o755), ("data/journal", 0o644)] {
            let mode = PermissionsExt::from_mode(mode);
            std::fs::set_permissions(root.join(name), mode).expect("changed");
        }
        for member in ["containers/main/root.tar", "shm.tar"] {
            let file = std::fs::File::create(made.folder.path().join(member)).expect("created");
            archive::pack(&root, file).expect("packed");
        }
        made
    }

    fn images(&self) -> PathBuf {
        self.folder.path().join("containers/main/images")
    }

    /// Puts an image, given as JSON in the shape of `crit decode`.
    fn put(&self, name: &str, magic: &str, entries: &str) {
        let json = format!(r#"{{"magic": "{magic}", "entries": [{entries}]}}"#);
        let image = Image::from_json(&self.schema, name, &json).expect("an image");
        let mut file = std::fs::File::create(self.images().join(name)).expect("created");
        image.write(&mut file).expect("written");
    }

    fn raw(&self, name: &str, bytes: &[u8]) {
        std::fs::write(self.images().join(name), bytes).expect("written");
    }

    fn archive(&self) -> PathBuf {
        let path = self.folder.path().join("demo.tar.zst");
        self.write(&path, archive::Holds::Checkpoint).commit().expect("committed");
        path
    }

    /// Makes this a round on which `later` builds.
    fn before(&self, later: &mut Made) {
        let path = later.folder.path().join("demo.tar.zst");
        let written = self.write(&path, archive::Holds::Round);
        later.parents.push(written.sha256.clone());
        let round = archive::round_beside(&path, &written.sha256);
        written.called(round).commit().expect("committed");
    }

    fn write(&self, path: &Path, holds: archive::Holds) -> archive::Written {
        let images = std::fs::read_dir(self.images()).expect("listed");
        let names = images.map(|it| it.expect("entry").file_name().to_string_lossy().into_owned());
        let images = names.map(|name| format!("containers/main/images/{name}"));
        let besides = ["containers/main/root.tar".to_owned(), "shm.tar".to_owned()];
        let members =
            images.chain(besides.into_iter().filter(|_| holds == archive::Holds::Checkpoint));
        let pod = r#"{"name": "demo", "hostname": "demo", "link": null, "share": ["net", "ipc", "uts"], "shm_mib": 1, "containers":
            [{"name": "main", "image": "/image", "command": ["/sh"], "env": [], "directory": "/",
            "uid": 0, "gid": 0, "rlimits": {}, "tmpfs": {}, "masked": [], "stdio": "pipe",
            "memory_mib": null, "criu": {}}]}"#;
        let manifest = Manifest {
            format: archive::FORMAT,
            holds,
            parents: self.parents.clone(),
            origin: Origin { kernel: "6.12".into(), arch: "x86_64".into(), criu: "4.1.1".into() },
            pod: serde_json::from_str::<PodSpec>(pod).expect("a pod"),
            containers: vec![ContainerRecord {
                name: "main".into(),
                tasks: vec![1],
                streams: [None, None, None],
                masked: Vec::new(),
                image_files: Default::default(),
                profiles: Default::default(),
                claims: Default::default(),
            }],
            bound: Vec::new(),
            members: digest_members(self.folder.path(), members).expect("digests"),
        };
        write(path, &manifest, self.folder.path()).expect("written")
    }

    fn analyse(&self, texts: &[&str], regexes: &[&str]) -> Analysis {
        let owned = |list: &[&str]| list.iter().map(|text| (*text).to_owned()).collect();
        let wanted = Wanted { texts: owned(texts), regexes: owned(regexes) };
        let scratch = tempfile::tempdir().expect("a folder");
        let analysis = analyse(&self.archive(), &self.schema, scratch.path(), &wanted);
        let left = std::fs::read_dir(scratch.path()).expect("listed").count();
        assert_eq!(left, 0, "nothing stays in the scratch folder");
        analysis.expect("analysed")
    }
}

/// A pod of a shell and its child, which has the same shared memory.
fn pod() -> Made {
    let made = Made::new();
    made.put("inventory.img", "INVENTORY", r#"{"img_version": 2}"#);
    made.put(
        "pstree.img",
        "PSTREE",
        r#"{"pid": 1, "ppid": 0, "pgid": 1, "sid": 1, "threads": [1, 3]},
           {"pid": 2, "ppid": 1, "pgid": 1, "sid": 1, "threads": [2]}"#,
    );
    for (pid, comm) in [(1, "sh"), (2, "child"), (3, "helper")] {
        let entry = format!(
            r#"{{"tc": {{"comm": "{comm}", "task_state": 1}},
                "thread_core": {{"comm": "{comm}", "creds": {{"uid": 7, "gid": 8, "euid": 9}}}}}}"#
        );
        made.put(&format!("core-{pid}.img"), "CORE", &entry);
    }
    for pid in [1, 2] {
        made.put(&format!("ids-{pid}.img"), "IDS", &format!(r#"{{"files_id": {pid}}}"#));
        made.put(&format!("fs-{pid}.img"), "FS", r#"{"cwd_id": 2, "root_id": 2}"#);
    }
    descriptors(&made);
    memory(&made);
    made
}

fn descriptors(made: &Made) {
    made.put(
        "fdinfo-1.img",
        "FDINFO",
        r#"{"id": 3, "flags": 1, "type": "REG", "fd": 0}, {"id": 4, "type": "UNIXSK", "fd": 1},
           {"id": 5, "type": "INETSK", "fd": 2}, {"id": 99, "type": "REG", "fd": 9}"#,
    );
    made.put("fdinfo-2.img", "FDINFO", r#"{"id": 4, "type": "UNIXSK", "fd": 7}"#);
    made.put(
        "files.img",
        "FILES",
        r#"{"type": "REG", "id": 1, "reg": {"name": "/bin/<sh>", "mode": 33261}},
           {"type": "REG", "id": 2, "reg": {"name": "/data", "mode": 16877}},
           {"type": "REG", "id": 3, "reg": {"name": "/tmp/gone", "flags": 32770, "pos": 4, "mode": 33152}},
           {"type": "UNIXSK", "id": 4, "usk": {"ino": 11, "type": 1, "state": 10, "name": "AGFicw=="}},
           {"type": "INETSK", "id": 5, "isk": {"ino": 171, "family": 2, "type": 1, "proto": 6,
            "state": 1, "src_port": 80, "dst_port": 4000, "src_addr": [16777343],
            "dst_addr": [33554442]}}"#,
    );
    made.put(
        "remap-fpath.img",
        "REMAP_FPATH",
        r#"{"orig_id": 3, "remap_id": 1, "remap_type": "GHOST"}"#,
    );
    made.put(
        "ghost-file-1.img",
        "GHOST_FILE",
        r#"{"uid": 7, "gid": 8, "mode": 33152, "extra": "YSBwYXNzd29yZA=="}"#,
    );
    made.put("sk-queues.img", "SK_QUEUES", r#"{"id_for": 4, "length": 2, "extra": "aGk="}"#);
    made.put(
        "tcp-stream-ab.img",
        "TCP_STREAM",
        r#"{"inq_len": 1, "outq_len": 2, "extra": {"inq": "YQ==", "outq": "YmM="}}"#,
    );
}

/// Process 1 has a page of arguments and, behind it, one where a text goes on; both processes have a
/// shared page.
fn memory(made: &Made) {
    let mm = |own: &str| {
        format!(
            r#"{{"mm_arg_start": 4096, "mm_arg_end": 4106, "mm_env_start": 4106,
                "mm_env_end": 4112, "mm_start_stack": 4112, "exe_file_id": 1, "vmas": [{own}
                {{"start": 65536, "end": 69632, "pgoff": 0, "shmid": 5, "prot": 3, "flags": 33,
                  "status": 257}}]}}"#
        )
    };
    let own = r#"{"start": 4096, "end": 12288, "prot": 3, "flags": 34, "status": 513},"#;
    made.put("mm-1.img", "MM", &mm(own));
    made.put("mm-2.img", "MM", &mm(""));
    let run = |start, pages| format!(r#"{{"vaddr": {start}, "nr_pages": {pages}, "flags": 4}}"#);
    let pagemap = |id, runs: &str| format!(r#"{{"pages_id": {id}}}, {runs}"#);
    let two = format!("{}, {}", run(4096, 1), run(8192, 1));
    made.put("pagemap-1.img", "PAGEMAP", &pagemap(1, &two));
    made.put("pagemap-shmem-5.img", "PAGEMAP", &pagemap(2, &run(0, 1)));
    let mut pages = vec![0; 8192];
    pages[..16].copy_from_slice(b"sh\0-c\0<x>\0A=b\0\0\0");
    pages[4090..4100].copy_from_slice(b"the secret");
    made.raw("pages-1.img", &pages);
    let mut shared = vec![b'.'; 4096];
    shared[100..106].copy_from_slice(b"secret");
    made.raw("pages-2.img", &shared);
}

/// An analysis without what depends on the time of day.
fn stable(mut analysis: Analysis) -> Analysis {
    let fixed = |text: &mut String| "0".clone_into(text);
    analysis.source.modified_s = 0;
    fixed(&mut analysis.source.sha256);
    analysis.source.bytes = 0;
    analysis.changed.iter_mut().for_each(|it| it.modified_s = 0);
    // Whoever runs this owns the files.
    for changed in &mut analysis.changed {
        (changed.uid, changed.gid) = (0, 0);
    }
    let mut chain = Chain::default();
    chain.add(&analysis.source);
    analysis.chain = chain.links;
    analysis
}

#[test]
fn a_pod_is_told_with_all_that_it_had() {
    let analysis = stable(pod().analyse(&["secret", "nowhere"], &["A=."]));
    insta::assert_json_snapshot!(analysis);
    insta::assert_snapshot!(html(&analysis));
}

#[test]
fn what_was_taken_ahead_is_part_of_the_memory() {
    let whole = stable(pod().analyse(&["secret", "nowhere"], &["A=."]));
    let mut later = pod();
    let pages = std::fs::read(later.images().join("pages-1.img")).expect("pages");
    let run = |start, flags| format!(r#"{{"vaddr": {start}, "nr_pages": 1, "flags": {flags}}}"#);
    let two = |first, second| {
        format!(r#"{{"pages_id": 1}}, {}, {}"#, run(4096, first), run(8192, second))
    };
    let (first, middle) = (Made::new(), Made::new());
    for (made, pagemap, pages) in [
        (&first, two(4, 4), &[&[b'?'; 4096][..], &pages[4096..]].concat()[..]),
        (&middle, two(4, 1), &[b'?'; 4096]),
        (&later, two(4, 1), &pages[..4096]),
    ] {
        made.put("inventory.img", "INVENTORY", r#"{"img_version": 2}"#);
        made.put("pagemap-1.img", "PAGEMAP", &pagemap);
        made.raw("pages-1.img", pages);
    }
    first.before(&mut later);
    middle.before(&mut later);
    assert_eq!(stable(later.analyse(&["secret", "nowhere"], &["A=."])), whole);
    later.parents.remove(0);
    let told = later.analyse(&["secret"], &[]).unread;
    assert!(told.iter().any(|it| it.why.contains("images that are not there")), "{told:?}");
}

#[test]
fn what_changed_between_two_checkpoints_is_told() {
    let before = stable(pod().analyse(&[], &[]));
    let later = pod();
    later.put(
        "pstree.img",
        "PSTREE",
        r#"{"pid": 1, "ppid": 0, "pgid": 1, "sid": 1, "threads": [1]}"#,
    );
    later.put("fdinfo-1.img", "FDINFO", r#"{"id": 3, "type": "REG", "fd": 0}"#);
    later.raw("pages-2.img", &[b','; 4096]);
    let after = stable(later.analyse(&[], &[]));
    insta::assert_json_snapshot!(differences(&before, &after).changes);
    assert_eq!(differences(&after, &after).changes, []);
}

#[test]
fn what_makes_no_sense_is_told_and_the_rest_is_analysed() {
    let made = pod();
    made.put(
        "pagemap-shmem-5.img",
        "PAGEMAP",
        r#"{"pages_id": 1}, {"vaddr": 0, "nr_pages": 1, "flags": 4}"#,
    );
    made.put(
        "pagemap-1.img",
        "PAGEMAP",
        r#"{"pages_id": 1}, {"vaddr": 4096, "nr_pages": 18446744073709551615, "flags": 4}"#,
    );
    made.raw("sk-queues.img", b"no image at all");
    made.put(
        "ghost-file-1.img",
        "GHOST_FILE",
        r#"{"mode": 33152, "chunks": true, "size": 9223372036854775807},
           {"len": 1, "off": 9223372036854775807, "extra": "YQ=="}"#,
    );
    made.put(
        "pstree.img",
        "PSTREE",
        r#"{"pid": 1, "ppid": 2, "pgid": 1, "sid": 1, "threads": [1]},
           {"pid": 2, "ppid": 1, "pgid": 1, "sid": 1, "threads": [2]},
           {"pid": 2, "ppid": 1, "pgid": 1, "sid": 1, "threads": [2]}"#,
    );
    let analysis = made.analyse(&["secret"], &[]);
    let told: Vec<String> =
        analysis.unread.iter().map(|it| format!("{}: {}", it.image, it.why)).collect();
    insta::assert_json_snapshot!(told);
    assert_eq!(analysis.processes.len(), 2);
    assert_eq!(analysis.tree().len(), 2, "a circle of parents ends");
    assert_eq!(analysis.files.len(), 5);
}

#[test]
fn an_archive_that_is_not_whole_is_refused_and_leaves_nothing() {
    let made = pod();
    let path = made.archive();
    let mut bytes = std::fs::read(&path).expect("read");
    bytes.truncate(bytes.len() / 2);
    std::fs::write(&path, bytes).expect("cut");
    let scratch = tempfile::tempdir().expect("a folder");
    let refused = analyse(&path, &made.schema, scratch.path(), &Wanted::default());
    assert!(matches!(refused, Err(Error::Archive { .. })), "{refused:?}");
    assert_eq!(std::fs::read_dir(scratch.path()).expect("listed").count(), 0);
}

/// Puts a changed byte into an image of a folder.
fn spoil(folder: &Path, image: usize, place: usize, byte: u8) {
    let mut images: Vec<PathBuf> =
        std::fs::read_dir(folder).expect("listed").map(|it| it.expect("entry").path()).collect();
    images.sort();
    let path = &images[image % images.len()];
    let mut bytes = std::fs::read(path).expect("read");
    if !bytes.is_empty() {
        let place = place % bytes.len();
        bytes[place] = byte;
    }
    std::fs::write(path, bytes).expect("spoiled");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever stands in the images of an archive that is whole, it is analysed.
    #[test]
    fn spoiled_images_are_survived(
        spoiled in prop::collection::vec(any::<(usize, usize, u8)>(), 1..6),
    ) {
        let made = pod();
        for (image, place, byte) in spoiled {
            spoil(&made.images(), image, place, byte);
        }
        let analysis = made.analyse(&["secret"], &[]);
        prop_assert!(html(&analysis).ends_with("</html>\n"));
        prop_assert!(analysis.tree().len() == analysis.processes.len());
    }
}
