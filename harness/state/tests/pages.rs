//! Single pages, as they are in a task and as they are in images: of a child that stands still, as
//! a frozen task does, and of images that were made up for it.
#![expect(unsafe_code, reason = "the test maps memory to look at, and forks a task that has it")]

mod images_schema;

use std::collections::BTreeMap;
use std::os::fd::AsRawFd;
use std::ptr;

use criu::image::Image;
use images_schema::schema;
use model::message::{FoundPage, PageBytes, WantedPage};
use model::pod::{ContainerStatus, PodStatus};
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::waitpid;
use nix::unistd::{ForkResult, Pid, fork, pause};
use rstest::rstest;

const PAGE: usize = 4096;

/// Kinds of mappings (`criu/include/image.h`).
const FILE_SHARED: u32 = 1 << 7;
const ANON_SHARED: u32 = 1 << 8;
const MEMFD: u32 = 1 << 14;

/// Two pages of this process, and of children that it has from now on, all of this byte.
fn map(flags: i32, fd: i32, byte: u8) -> u64 {
    let prot = libc::PROT_READ | libc::PROT_WRITE;
    // SAFETY: a new mapping, which nothing else knows of and which stays.
    let memory = unsafe { libc::mmap(ptr::null_mut(), 2 * PAGE, prot, flags, fd, 0) };
    assert_ne!(memory, libc::MAP_FAILED);
    // SAFETY: both pages of the mapping above.
    unsafe { ptr::write_bytes(memory.cast::<u8>(), byte, 2 * PAGE) };
    memory as u64
}

fn private(byte: u8) -> u64 {
    map(libc::MAP_PRIVATE | libc::MAP_ANONYMOUS, -1, byte)
}

/// A folder of images, and the task that they are of: a child with the memory that was mapped
/// before.
struct Dump {
    folder: tempfile::TempDir,
    pid: Pid,
}

impl Drop for Dump {
    fn drop(&mut self) {
        kill(self.pid, Signal::SIGKILL).expect("a child of this process");
        waitpid(self.pid, None).expect("a child of this process");
    }
}

impl Dump {
    fn new() -> Dump {
        let folder = tempfile::tempdir().expect("a folder");
        // SAFETY: the child only makes system calls.
        match unsafe { fork() }.expect("a child") {
            ForkResult::Parent { child: pid } => Dump { folder, pid },
            ForkResult::Child => loop {
                pause();
            },
        }
    }

    fn image(&self, name: &str, magic: &str, entries: &str) {
        let json = format!(r#"{{"magic": "{magic}", "entries": [{entries}]}}"#);
        let image = Image::from_json(&schema(), name, &json).expect("it fits the schema");
        let mut bytes = Vec::new();
        image.write(&mut bytes).expect("a vector");
        self.raw(name, &bytes);
    }

    fn raw(&self, name: &str, bytes: &[u8]) {
        std::fs::write(self.folder.path().join(name), bytes).expect("written");
    }

    /// A pagemap of two pages from this address on.
    fn pagemap(&self, name: &str, address: u64, pages_id: u32, flags: u32) {
        let run = format!(r#"{{"vaddr": {address}, "nr_pages": 2, "flags": {flags}}}"#);
        self.image(name, "PAGEMAP", &format!(r#"{{"pages_id": {pages_id}}}, {run}"#));
    }

    fn of_task(&self, address: u64, flags: u32) {
        self.pagemap(&format!("pagemap-{}.img", self.pid), address, 1, flags);
    }

    /// An address space with one mapping.
    fn mapping(&self, start: u64, shmid: u64, status: u32) {
        let end = start + 2 * PAGE as u64;
        let vma = format!(
            r#"{{"start": {start}, "end": {end}, "pgoff": 0, "shmid": {shmid}, "status": {status}}}"#
        );
        let name = format!("mm-{}.img", self.pid);
        self.image(&name, "MM", &format!(r#"{{"vmas": [{vma}]}}"#));
    }

    /// What is found of the second page of an object, which begins at this index.
    fn second(&self, object: &str, first: u64) -> FoundPage {
        let object = format!("task.{}.{object}", self.pid);
        let wanted = WantedPage { object, index: first + 1, before: true, after: true };
        let images = [("main".to_owned(), self.folder.path().to_owned())];
        let found = state::pages(&self.pod(), &images, &schema(), &[wanted]);
        found.expect("it can be looked at").remove(0)
    }

    /// The child as the pod's only task.
    fn pod(&self) -> PodStatus {
        let cgroup = self.folder.path();
        std::fs::write(cgroup.join("cgroup.procs"), "").expect("written");
        let container = ContainerStatus {
            name: "main".to_owned(),
            pid: self.pid.as_raw(),
            cgroup: cgroup.to_owned(),
            root: "/".into(),
            upper: "/".into(),
        };
        PodStatus {
            name: "pod".to_owned(),
            namespaces: BTreeMap::new(),
            cgroup: cgroup.to_owned(),
            shm: "/dev/shm".into(),
            containers: vec![container],
        }
    }

    fn why(&self, object: &str, first: u64) -> String {
        match self.second(object, first).before {
            PageBytes::Unknown { why } => why,
            known => panic!("{known:?}"),
        }
    }
}

fn known(bytes: u8, place: &str) -> PageBytes {
    PageBytes::Known { bytes: vec![bytes; PAGE], place: place.to_owned() }
}

#[test]
fn a_private_page_is_told_as_it_was_and_as_it_is() {
    let address = private(2);
    let dump = Dump::new();
    dump.of_task(address, 4);
    dump.raw("pages-1.img", &[[0; PAGE], [1; PAGE]].concat());
    let found = dump.second("memory", address / PAGE as u64);
    assert_eq!(found.before, known(1, "pages-1.img at byte 4096"));
    let second = address + PAGE as u64;
    assert_eq!(found.after, known(2, &format!("task.{} at {second:#x}", dump.pid)));
    assert_eq!(found.address, Some(second));
}

#[test]
fn shared_memory_is_found_by_its_id_and_a_memfd_by_its_file() {
    let memory = memfd_create(c"it", MFdFlags::MFD_CLOEXEC).expect("a memfd");
    nix::unistd::ftruncate(&memory, 2 * PAGE as i64).expect("two pages");
    for (address, shmid, status) in [
        (map(libc::MAP_SHARED | libc::MAP_ANONYMOUS, -1, 2), 7, ANON_SHARED),
        (map(libc::MAP_SHARED, memory.as_raw_fd(), 2), 9, FILE_SHARED | MEMFD),
    ] {
        let dump = Dump::new();
        dump.mapping(address, shmid, status);
        dump.image("files.img", "FILES", r#"{"id": 9, "memfd": {"id": 9, "inode_id": 3}}"#);
        dump.image("memfd.img", "MEMFD_INODE", r#"{"inode_id": 3, "shmid": 7}"#);
        dump.pagemap("pagemap-shmem-7.img", 0, 2, 4);
        dump.raw("pages-2.img", &[[0; PAGE], [1; PAGE]].concat());
        let found = dump.second(&format!("shared.{address:x}"), 0);
        assert_eq!(found.before, known(1, "pages-2.img at byte 4096"), "{status:#x}");
        assert_eq!(found.address, Some(address + PAGE as u64));
        assert!(matches!(found.after, PageBytes::Known { bytes, .. } if bytes == [2; PAGE]));
    }
}

#[rstest]
#[case::parent(1, "not in these images: pagemap-PID.img leaves it to a parent's")]
#[case::lazy(2, "not in the images: pagemap-PID.img leaves it for later")]
#[case::cut(4, "pages-1.img: at byte 4096: truncated: page needs 4096 bytes, 5 are left")]
fn why_a_page_cannot_be_had_names_the_image(#[case] flags: u32, #[case] expected: &str) {
    let address = private(2);
    let dump = Dump::new();
    dump.of_task(address, flags);
    dump.raw("pages-1.img", &[1; PAGE + 5]);
    let why = dump.why("memory", address / PAGE as u64);
    assert_eq!(why.replace(&dump.pid.to_string(), "PID"), expected);
}

#[test]
fn a_page_that_no_image_has_is_told_so() {
    let address = private(2);
    let shared = map(libc::MAP_SHARED | libc::MAP_ANONYMOUS, -1, 2);
    let dump = Dump::new();
    let index = address / PAGE as u64;
    assert!(dump.why("memory", index).contains("No such file"), "no image at all");
    dump.of_task(0x1000, 4);
    dump.mapping(0x1000, 0, 0);
    assert!(dump.why("memory", index).contains("maps nothing at 0x"));
    dump.mapping(address, 0, 0);
    assert!(dump.why("memory", index).contains("has no page at 0x"));
    dump.mapping(shared, 5, FILE_SHARED);
    assert!(dump.why(&format!("shared.{shared:x}"), 0).contains("of a file that is mapped shared"));
    assert!(dump.why("shared.nowhere", 0).starts_with("no task has"));
    dump.raw(&format!("mm-{}.img", dump.pid), b"\x19\x43\x56\x54\x20\x28\x49\x57\xff\xff\xff\xff");
    let why = dump.why(&format!("shared.{shared:x}"), 0);
    assert!(why.contains("at byte 8: absurd size"), "{why}");
}
