//! Archives made, damaged and forged.

use std::collections::BTreeMap;
use std::io::Write;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use model::pod::{ContainerSpec, CriuOptions, Namespace, PodSpec, Security, Stdio};
use tar::{Builder, EntryType, Header};
use tempfile::TempDir;

use super::*;
use crate::claims::{Claims, Lock, Object, ObjectKind, SocketName};

fn folder() -> TempDir {
    tempfile::tempdir().expect("temporary folder")
}

fn put(folder: &Path, name: &str, text: &str) {
    let path = folder.join(name);
    std::fs::create_dir_all(path.parent().expect("parent")).expect("folder");
    std::fs::write(path, text).expect("written");
}

fn pod() -> PodSpec {
    let container = ContainerSpec {
        name: "main".into(),
        image: "/image".into(),
        command: vec!["/counter".into()],
        env: vec![("PATH".into(), "/bin".into())],
        directory: "/".into(),
        uid: 0,
        gid: 0,
        rlimits: BTreeMap::from([("nofile".into(), (64, 128))]),
        tmpfs: BTreeMap::from([("/tmp".into(), 8)]),
        masked: vec!["/proc/kcore".into()],
        stdio: Stdio::Pipe,
        memory_mib: Some(128),
        criu: CriuOptions::default(),
        security: Security::default(),
    };
    PodSpec {
        name: "demo".into(),
        hostname: "demo".into(),
        link: None,
        share: Namespace::ALL.into(),
        shm_mib: 16,
        containers: vec![container],
    }
}

const MEMBERS: [&str; 4] = [
    "containers/main/images/inventory.img",
    "containers/main/root.tar",
    "containers/main/stdout",
    "shm.tar",
];

/// A manifest of members that are put into the folder.
fn manifest(work: &Path) -> Manifest {
    for name in MEMBERS {
        put(work, name, &format!("content of {name}"));
    }
    Manifest {
        format: FORMAT,
        holds: Holds::Checkpoint,
        parents: Vec::new(),
        origin: Origin { kernel: "6.12".into(), arch: "x86_64".into(), criu: "4.1.1".into() },
        pod: pod(),
        containers: vec![ContainerRecord {
            name: "main".into(),
            tasks: vec![1, 7],
            streams: [Some("pipe:[11]".into()), Some("pipe:[12]".into()), None],
            masked: vec!["/proc/kcore".into()],
            image_files: BTreeMap::from([(
                "/counter".into(),
                Member { bytes: 5, xxh64: model::Digest(7) },
            )]),
            profiles: BTreeMap::from([("demo".into(), "0123".into())]),
            claims: Claims {
                threads: vec![8],
                sockets: vec![
                    SocketName::Tcp("0.0.0.0:6379".parse().expect("an address")),
                    SocketName::Abstract("@demo".into()),
                ],
                objects: vec![Object { kind: ObjectKind::Shm, id: 3, key: 17 }],
                locks: vec![Lock {
                    file: "demo".into(),
                    is_flock: true,
                    is_exclusive: true,
                    start: 0,
                    end: None,
                }],
            },
        }],
        bound: vec!["tcp 10.88.0.2:6379".into()],
        members: digest_members(work, MEMBERS.map(str::to_owned)).expect("digests"),
    }
}

/// A whole archive, with the folder that it stands in.
fn whole() -> (TempDir, PathBuf) {
    let work = folder();
    let manifest = manifest(work.path());
    let path = work.path().join("demo.tar.zst");
    write(&path, &manifest, work.path()).expect("written").commit().expect("committed");
    (work, path)
}

pub(crate) mod rounds;
mod thin;

/// A member of a forged archive.
type Forged<'a> = (EntryType, &'a str, &'a [u8]);

/// An archive of any members, well formed or not.
fn forged(manifest: &Manifest, members: &[Forged<'_>]) -> (TempDir, PathBuf) {
    let work = folder();
    let path = work.path().join("forged.tar.zst");
    let file = std::fs::File::create(&path).expect("created");
    let mut tar = Builder::new(zstd::Encoder::new(file, 1).expect("encoder"));
    let text = serde_json::to_vec(manifest).expect("manifest");
    let first = [(EntryType::Regular, "manifest.json", text.as_slice())];
    for (kind, name, content) in first.iter().chain(members) {
        let mut header = Header::new_ustar();
        header.set_entry_type(*kind);
        header.as_mut_bytes()[..name.len()].copy_from_slice(name.as_bytes());
        header.set_size(content.len() as u64);
        header.set_cksum();
        tar.append(&header, *content).expect("appended");
    }
    tar.into_inner().expect("tar").finish().expect("frame").flush().expect("flushed");
    (work, path)
}

fn why(path: &Path) -> String {
    verify(path).expect_err("refused").to_string()
}

#[test]
fn the_manifest_is_stable() {
    insta::assert_json_snapshot!(manifest(folder().path()));
}

#[test]
fn what_was_packed_is_unpacked() {
    let (_work, path) = whole();
    let target = folder();
    let manifest = unpack(open(&path).expect("opened"), target.path()).expect("unpacked");
    assert_eq!(manifest, verify(&path).expect("verified"));
    for name in MEMBERS {
        let text = std::fs::read_to_string(target.path().join(name)).expect("member");
        assert_eq!(text, format!("content of {name}"));
    }
}

#[test]
fn an_archive_has_its_name_only_when_it_is_committed() {
    let work = folder();
    let manifest = manifest(work.path());
    let path = work.path().join("demo.tar.zst");
    let written = write(&path, &manifest, work.path()).expect("written");
    assert!(!path.exists());
    written.commit().expect("committed");
    assert!(path.exists());
    let partial = std::fs::read_dir(work.path()).expect("listed");
    assert!(partial.flatten().all(|entry| !entry.file_name().to_string_lossy().starts_with('.')));
}

#[test]
fn a_failed_write_leaves_nothing() {
    let work = folder();
    let manifest = manifest(work.path());
    std::fs::remove_file(work.path().join("shm.tar")).expect("removed");
    let path = work.path().join("demo.tar.zst");
    write(&path, &manifest, work.path()).expect_err("a member is missing");
    assert!(!path.exists() && !work.path().join(".demo.tar.zst.partial").exists());
}

#[test]
fn a_cut_archive_is_refused_at_every_length() {
    let (_work, path) = whole();
    let bytes = std::fs::read(&path).expect("read");
    for length in 0..bytes.len() {
        std::fs::write(&path, &bytes[..length]).expect("cut");
        verify(&path).expect_err("cut off");
    }
}

#[test]
fn any_flipped_bit_is_noticed() {
    let (_work, path) = whole();
    let bytes = std::fs::read(&path).expect("read");
    let good = verify(&path).expect("whole");
    for place in 0..bytes.len() {
        let mut damaged = bytes.clone();
        damaged[place] ^= 1 << (place % 8);
        std::fs::write(&path, &damaged).expect("damaged");
        // A few bits of the frame's header mean nothing, and all is as it was.
        assert!(verify(&path).map_or(true, |manifest| manifest == good), "byte {place}");
    }
}

#[test]
fn a_forged_member_is_refused_by_name() {
    let work = folder();
    let manifest = manifest(work.path());
    let regular = EntryType::Regular;
    let name = MEMBERS[0];
    let content = format!("content of {name}");
    let good = (regular, name, content.as_bytes());
    let cases: [(&[Forged<'_>], &str); 7] = [
        (&[(regular, "../escape", b"x")], "../escape: not in the manifest"),
        (&[(regular, "/etc/passwd", b"x")], "/etc/passwd: not in the manifest"),
        (&[(EntryType::Symlink, name, b"")], &format!("{name}: unexpected kind Symlink")),
        (&[(EntryType::Char, "shm.tar", b"")], "shm.tar: unexpected kind Char"),
        (&[good, good], &format!("{name}: comes twice")),
        (&[(regular, name, b"short")], &format!("{name}: 5 bytes, expected 47")),
        (&[good], "containers/main/root.tar: missing"),
    ];
    for (members, expected) in cases {
        let (_work, path) = forged(&manifest, members);
        assert_eq!(why(&path), expected);
    }
}

#[test]
fn other_content_of_the_same_length_is_refused() {
    let work = folder();
    let manifest = manifest(work.path());
    let content = format!("CONTENT of {}", MEMBERS[0]);
    let (_work, path) = forged(&manifest, &[(EntryType::Regular, MEMBERS[0], content.as_bytes())]);
    assert_eq!(why(&path), format!("{}: content is not as recorded", MEMBERS[0]));
}

#[test]
fn a_manifest_that_names_a_strange_member_is_refused() {
    let names = ["../x", "main/images/../../x", "main/images/.x", "main/images/parent", "root.tar"];
    for name in names.map(|name| name.replace("main/", "containers/main/")) {
        let work = folder();
        let mut manifest = manifest(work.path());
        manifest.members.insert(name.clone(), Member { bytes: 1, xxh64: model::Digest(0) });
        let (_work, path) = forged(&manifest, &[(EntryType::Regular, &name, b"x")]);
        assert_eq!(why(&path), format!("{name}: no member of a checkpoint"));
    }
}

#[test]
fn a_manifest_with_a_pod_of_a_dangerous_name_is_refused() {
    let work = folder();
    let mut manifest = manifest(work.path());
    manifest.pod.name = "../../etc".into();
    let (_work, path) = forged(&manifest, &[]);
    assert!(why(&path).starts_with("manifest.json: pod ../../etc: name"), "{}", why(&path));
}

#[test]
fn a_mount_that_the_pod_does_not_ask_for_is_refused() {
    let work = folder();
    let mut manifest = manifest(work.path());
    manifest.containers[0].masked.push("/etc/passwd".into());
    let (_work, path) = forged(&manifest, &[]);
    assert_eq!(why(&path), "manifest.json: container main: /etc/passwd is not to be masked");
}

#[test]
fn another_format_is_refused() {
    let work = folder();
    let mut manifest = manifest(work.path());
    manifest.format = 9;
    let (_work, path) = forged(&manifest, &[]);
    assert_eq!(why(&path), "format 9, this engine reads 5");
}

#[test]
fn a_file_of_another_kind_is_refused() {
    let work = folder();
    put(work.path(), "text", "this is no archive");
    assert!(why(&work.path().join("text")).starts_with("cannot be read: "));
}

/// A folder with one of everything that an upper layer can hold.
fn tree() -> TempDir {
    let tree = folder();
    let root = tree.path();
    put(root, "etc/plain", "text");
    put(root, &format!("{}/{}", "d".repeat(200), "f".repeat(200)), "long names");
    std::fs::hard_link(root.join("etc/plain"), root.join("etc/second")).expect("link");
    symlink("/outside/of/it", root.join("link")).expect("symlink");
    std::fs::set_permissions(root.join("etc"), PermissionsExt::from_mode(0o1770)).expect("mode");
    let sparse = std::fs::File::create(root.join("sparse")).expect("created");
    sparse.set_len(64 << 20).expect("sparse");
    let node = |name: &str, kind| {
        let mode = nix::sys::stat::Mode::from_bits_truncate(0o640);
        nix::sys::stat::mknod(&root.join(name), kind, mode, 0).expect("node");
    };
    node("fifo", nix::sys::stat::SFlag::S_IFIFO);
    node("socket", nix::sys::stat::SFlag::S_IFSOCK);
    node("gone", nix::sys::stat::SFlag::S_IFCHR);
    if nix::unistd::geteuid().is_root() {
        std::os::unix::fs::chown(root.join("etc/plain"), Some(4711), Some(70_000)).expect("chown");
        xattr::set(root.join("etc"), "trusted.overlay.opaque", b"y").expect("attribute");
        xattr::set(root.join("etc"), "trusted.binary", b"\n\0=\n12 a=b\n").expect("attribute");
    }
    tree
}

/// All that the kernel says about the files of a folder, without what must be new.
fn facts(root: &Path, path: &Path, found: &mut BTreeMap<PathBuf, String>) {
    let metadata = std::fs::symlink_metadata(path).expect("metadata");
    let content = if metadata.is_file() { std::fs::read(path).expect("read") } else { Vec::new() };
    let attributes = xattr::list(path).expect("attributes");
    let attributes: BTreeMap<_, _> =
        attributes.map(|name| (name.clone(), xattr::get(path, name).expect("value"))).collect();
    let fact = format!(
        "{:o} {} {} {} {} {}.{} {:?} {:?} {}",
        metadata.mode(),
        metadata.uid(),
        metadata.gid(),
        metadata.rdev(),
        if metadata.is_dir() { 0 } else { metadata.nlink() },
        metadata.mtime(),
        metadata.mtime_nsec(),
        std::fs::read_link(path).ok(),
        attributes,
        xxhash_rust::xxh64::xxh64(&content, 0),
    );
    found.insert(path.strip_prefix(root).expect("below").to_path_buf(), fact);
    if metadata.is_dir() {
        for entry in std::fs::read_dir(path).expect("listed") {
            facts(root, &entry.expect("entry").path(), found);
        }
    }
}

#[test]
fn a_tree_comes_back_with_all_its_metadata() {
    let tree = tree();
    let mut packed = Vec::new();
    pack(tree.path(), &mut packed).expect("packed");
    let target = folder();
    unpack_tree(target.path(), packed.as_slice()).expect("unpacked");
    let (mut before, mut after) = (BTreeMap::new(), BTreeMap::new());
    facts(tree.path(), tree.path(), &mut before);
    facts(target.path(), target.path(), &mut after);
    assert_eq!(before, after);
    let sparse = std::fs::metadata(target.path().join("sparse")).expect("metadata");
    assert_eq!(sparse.blocks(), 0, "a hole stays a hole");
}

/// A tree of any entries: kind, name, target.
fn forged_tree(entries: &[(EntryType, &str, &str)]) -> Vec<u8> {
    let mut tar = Builder::new(Vec::new());
    for (kind, name, target) in entries {
        let records = [("path", name.as_bytes()), ("linkpath", target.as_bytes())];
        tar.append_pax_extensions(records).expect("records");
        let mut header = Header::new_ustar();
        header.set_entry_type(*kind);
        header.set_mode(0o644);
        header.set_uid(0);
        header.set_gid(0);
        header.set_size(0);
        if *kind == EntryType::Char {
            header.set_device_major(1).expect("major");
            header.set_device_minor(3).expect("minor");
        }
        header.set_cksum();
        tar.append(&header, std::io::empty()).expect("appended");
    }
    tar.into_inner().expect("tar")
}

#[test]
fn a_tree_never_leads_out_of_its_folder() {
    let regular = EntryType::Regular;
    let outside = folder();
    let out = outside.path().display().to_string();
    let through = (EntryType::Symlink, "out", out.as_str());
    let cases: [&[(EntryType, &str, &str)]; 7] = [
        &[(regular, "../escape", "")],
        &[(regular, "a/../../escape", "")],
        &[(regular, &format!("{out}/escape"), "")],
        &[through, (regular, "out/escape", "")],
        &[through, (EntryType::Directory, "out", "")],
        &[(EntryType::Link, "mine", "../../../../etc/passwd")],
        &[(EntryType::Char, "null", "")],
    ];
    for entries in cases {
        let target = folder();
        let inner = target.path().join("inner");
        std::fs::create_dir(&inner).expect("folder");
        let refused = unpack_tree(&inner, forged_tree(entries).as_slice()).expect_err("refused");
        let last = entries.last().expect("entries").1;
        assert!(refused.to_string().starts_with(&format!("{last}: ")), "{refused}");
        assert_eq!(std::fs::read_dir(target.path()).expect("listed").count(), 1);
        assert_eq!(std::fs::read_dir(outside.path()).expect("listed").count(), 0);
    }
}

#[test]
fn a_name_that_comes_twice_in_a_tree_is_refused() {
    let twice = forged_tree(&[(EntryType::Regular, "x", ""), (EntryType::Regular, "x", "")]);
    let refused = unpack_tree(folder().path(), twice.as_slice()).expect_err("refused");
    assert!(refused.to_string().starts_with("x: "), "{refused}");
}

proptest::proptest! {
    #[test]
    fn noise_is_never_an_archive_nor_a_tree(
        bytes in proptest::collection::vec(proptest::num::u8::ANY, 1..2000),
    ) {
        let work = folder();
        let path = work.path().join("noise");
        std::fs::write(&path, &bytes).expect("written");
        proptest::prop_assert!(verify(&path).is_err());
        // A tree of noise may be an empty one, but it never panics.
        let _ = unpack_tree(work.path(), bytes.as_slice());
    }
}
