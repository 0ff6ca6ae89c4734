//! Small maps of unusual kinds: a sealed memory file, a file of `/dev/shm`, odd protections.

use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::ops::Range;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::PathBuf;
use std::sync::atomic::Ordering;

use nix::fcntl::{FcntlArg, SealFlag, fcntl};
use nix::sys::memfd::{MFdFlags, memfd_create};

use witness::place::{Place, pattern};
use witness::proc;
use witness::sys::map::{Mapping, Odd, PAGE_BYTES};
use witness::{Findings, Witness};

const MEMORY_FILE_PAGES: usize = 3;
const POSITION: u64 = 345;

/// The witness.
#[derive(Debug)]
pub(crate) struct Maps {
    memory_file: File,
    seals: i32,
    mapped: Mapping,
    shared_path: PathBuf,
    shared_file: File,
    shared: Mapping,
    odd: Odd,
    odd_lines: Vec<String>,
}

impl Maps {
    /// Makes them.
    pub(crate) fn new(place: &Place) -> io::Result<Self> {
        let memory_file = sealed_memory_file()?;
        let mapped = Mapping::file(&memory_file, MEMORY_FILE_PAGES, true)?;
        let (shared_path, shared_file) = place.shared_file("map", &pattern(9, 2 * PAGE_BYTES))?;
        let shared = Mapping::file(&shared_file, 2, true)?;
        let odd = Odd::new()?;
        let odd_lines = proc::twice(|| lines(&odd.range))?;
        let seals = seals(&memory_file)?;
        Ok(Maps { memory_file, seals, mapped, shared_path, shared_file, shared, odd, odd_lines })
    }
}

impl Witness for Maps {
    fn name(&self) -> &'static str {
        "maps"
    }

    fn check(&mut self, findings: &mut Findings) {
        if let Some(found) = findings.tried("memfd.seals", seals(&self.memory_file)) {
            findings.equal("memfd.seals", self.seals, found);
        }
        if let Some(found) = findings.tried("memfd.position", self.memory_file.stream_position()) {
            findings.equal("memfd.position", POSITION, found);
        }
        let content = pattern(7, MEMORY_FILE_PAGES * PAGE_BYTES);
        findings.bytes("memfd.mapped", &content, &bytes(&self.mapped));
        findings.bytes("shm.mapped", &pattern(9, 2 * PAGE_BYTES), &bytes(&self.shared));
        let same = fs::metadata(&self.shared_path).and_then(|path| {
            self.shared_file
                .metadata()
                .map(|file| (path.dev(), path.ino()) == (file.dev(), file.ino()))
        });
        if let Some(same) = findings.tried("shm.path", same) {
            findings.equal("shm.path_is_descriptor", true, same);
        }
        if let Some(found) = findings.tried("odd", proc::twice(|| lines(&self.odd.range))) {
            findings.equal("odd.permissions", &self.odd_lines, &found);
        }
    }

    fn finish(&mut self, findings: &mut Findings) {
        let mut rest = Vec::new();
        if findings.tried("memfd.read", self.memory_file.read_to_end(&mut rest)).is_some() {
            let all = pattern(7, MEMORY_FILE_PAGES * PAGE_BYTES);
            findings.bytes("memfd.content", &all[POSITION as usize..], &rest);
        }
        findings.equal("memfd.is_sealed", true, self.memory_file.set_len(0).is_err());
        shows_in_file("memfd.shared", &self.mapped, &self.memory_file, findings);
        shows_in_file("shm.shared", &self.shared, &self.shared_file, findings);
        findings.tried("shm.remove", fs::remove_file(&self.shared_path));
    }
}

/// A write through a map must be seen through the descriptor.
fn shows_in_file(name: &str, map: &Mapping, file: &File, findings: &mut Findings) {
    map.words()[5].store(u64::from_ne_bytes(*b"through!"), Ordering::SeqCst);
    let mut found = [0; 8];
    findings.tried(name, file.read_exact_at(&mut found, 40));
    findings.bytes(name, b"through!", &found);
}

fn sealed_memory_file() -> io::Result<File> {
    let mut file = File::from(memfd_create("counter-sealed", MFdFlags::MFD_ALLOW_SEALING)?);
    file.write_all(&pattern(7, MEMORY_FILE_PAGES * PAGE_BYTES))?;
    fcntl(&file, FcntlArg::F_ADD_SEALS(SealFlag::F_SEAL_SHRINK | SealFlag::F_SEAL_GROW))?;
    file.seek(SeekFrom::Start(POSITION))?;
    Ok(file)
}

fn seals(file: &File) -> io::Result<i32> {
    Ok(fcntl(file, FcntlArg::F_GET_SEALS)?)
}

fn bytes(map: &Mapping) -> Vec<u8> {
    map.words().iter().flat_map(|word| word.load(Ordering::Relaxed).to_ne_bytes()).collect()
}

/// Range and permissions of the maps that lie in a range.
fn lines(range: &Range<usize>) -> io::Result<Vec<String>> {
    let maps = fs::read_to_string("/proc/self/maps")?;
    let inside = |line: &&str| {
        let address =
            line.split('-').next().and_then(|start| usize::from_str_radix(start, 16).ok());
        address.is_some_and(|start| range.contains(&start))
    };
    let short = |line: &str| line.split(' ').take(2).collect::<Vec<_>>().join(" ");
    Ok(maps.lines().filter(inside).map(short).collect())
}
