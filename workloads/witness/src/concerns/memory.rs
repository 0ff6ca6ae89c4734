//! Memory of many kinds: protections, advice, files below it, holes, places that are shared.
//!
//! Left out: huge pages of a pool, which a node need not have; pages that the kernel may drop; advice
//! that `lossy` shows (MADV_WIPEONFORK).

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::atomic::Ordering;

use nix::fcntl::{FcntlArg, SealFlag, fcntl};
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::mman::MmapAdvise;
use witness::place::{Place, pattern};
use witness::proc;
use witness::sys::map::{Mapping, PAGE_BYTES, PAGE_WORDS, Protection};
use witness::{Context, Findings, Seen, Subject, Witness, record};

pub(super) fn set_up(place: &Place) -> io::Result<Vec<Box<dyn Witness>>> {
    Ok(vec![
        record(Kinds::new().context("anonymous memory")?),
        record(Files::new(place).context("files that are mapped")?),
        record(Shared::new().context("memory files")?),
    ])
}

fn word(seed: usize, page: usize, at: usize) -> u64 {
    ((seed << 40 | page << 16 | 1) as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ at as u64
}

fn fill(map: &Mapping, seed: usize, pages: impl Iterator<Item = usize>) {
    for page in pages {
        for (at, place) in map.page(page).iter().enumerate() {
            place.store(word(seed, page, at), Ordering::Relaxed);
        }
    }
}

/// One mapping of a kind: every third of its pages was never touched.
struct Kind {
    name: &'static str,
    map: Mapping,
}

const PAGES: usize = 12;

/// What may be done to the page between two of them.
const GUARD: Protection = Protection::PROT_READ.union(Protection::PROT_EXEC);

fn is_touched(page: usize) -> bool {
    !page.is_multiple_of(3)
}

struct Kinds {
    kinds: Vec<Kind>,
}

/// Memory by its name, and what is done to it when it is filled.
type Plan = (&'static str, i32, fn(&Mapping) -> io::Result<()>);

/// How they are mapped and advised.
const PLANS: [Plan; 13] = [
    ("plain", 0, |_| Ok(())),
    ("shared", libc::MAP_SHARED, |_| Ok(())),
    ("unreserved", libc::MAP_NORESERVE, |_| Ok(())),
    ("grows_down", libc::MAP_GROWSDOWN | libc::MAP_STACK, |_| Ok(())),
    ("read_only", 0, |map| map.protect(0, PAGES, Protection::PROT_READ)),
    ("no_access", 0, |map| map.protect(0, PAGES, Protection::PROT_NONE)),
    ("executable", 0, |map| map.protect(4, 4, Protection::PROT_READ.union(Protection::PROT_EXEC))),
    ("striped", 0, |map| {
        (0..PAGES).step_by(2).try_for_each(|it| map.protect(it, 1, Protection::PROT_READ))
    }),
    ("locked", 0, Mapping::lock),
    ("locked_on_fault", 0, Mapping::lock_on_fault),
    ("not_dumped", 0, |map| map.advise(MmapAdvise::MADV_DONTDUMP)),
    ("not_forked", 0, |map| map.advise(MmapAdvise::MADV_DONTFORK)),
    ("random", 0, |map| map.advise(MmapAdvise::MADV_RANDOM)),
];

impl Kinds {
    fn new() -> io::Result<Self> {
        let mut kinds = Vec::new();
        for (index, (name, flags, then)) in PLANS.into_iter().enumerate() {
            // The page after it is of another kind, so that the kernel never joins neighbours.
            let map = Mapping::with_flags(PAGES + 1, flags).context(name)?;
            map.protect(PAGES, 1, GUARD)?;
            fill(&map, index, (0..PAGES).filter(|page| is_touched(*page)));
            then(&map).context(name)?;
            kinds.push(Kind { name, map });
        }
        Ok(Kinds { kinds })
    }
}

impl Subject for Kinds {
    fn name(&self) -> &'static str {
        "kinds"
    }

    fn look(&mut self, seen: &mut Seen) {
        for kind in &self.kinds {
            seen.note(kind.name, proc::twice(|| ranges(&kind.map)));
        }
    }

    fn go_on(&mut self, findings: &mut Findings) {
        let memory = File::options().read(true).open("/proc/self/mem");
        let Some(memory) = findings.tried("open", memory) else { return };
        for (index, kind) in self.kinds.iter().enumerate() {
            let mut found = vec![0; PAGES * PAGE_BYTES];
            let read = memory.read_exact_at(&mut found, kind.map.address() as u64);
            if findings.tried(&format!("{}.read", kind.name), read).is_some() {
                findings.bytes(&format!("{}.content", kind.name), &expected(index), &found);
            }
            let written =
                kind.map.protect(0, PAGES, Protection::PROT_READ.union(Protection::PROT_WRITE));
            if findings.tried(&format!("{}.open", kind.name), written).is_some() {
                fill(&kind.map, index, 0..PAGES);
            }
        }
    }
}

/// The content of a kind.
fn expected(index: usize) -> Vec<u8> {
    let words = (0..PAGES).flat_map(|page| (0..PAGE_WORDS).map(move |at| (page, at)));
    words
        .flat_map(|(page, at)| {
            if is_touched(page) { word(index, page, at) } else { 0 }.to_ne_bytes()
        })
        .collect()
}

/// Protection of the parts of a mapping, with their offsets from its beginning.
fn ranges(map: &Mapping) -> io::Result<Vec<String>> {
    let (start, end) = (map.address(), map.address() + PAGES * PAGE_BYTES);
    let maps = fs::read_to_string("/proc/self/maps")?;
    let parts = maps.lines().filter_map(|line| {
        let mut words = line.split(' ');
        let (from, to) = words.next()?.split_once('-')?;
        let number = |text| usize::from_str_radix(text, 16).ok();
        let (from, to) = (number(from)?.max(start), number(to)?.min(end));
        let protection = words.next()?;
        (from < to).then(|| (from - start, to - start, protection.to_owned()))
    });
    let mut joined: Vec<(usize, usize, String)> = Vec::new();
    for (from, to, protection) in parts {
        match joined.last_mut() {
            Some(last) if last.1 == from && last.2 == protection => last.1 = to,
            _ => joined.push((from, to, protection)),
        }
    }
    Ok(joined.into_iter().map(|(from, to, it)| format!("{from:x}-{to:x} {it}")).collect())
}

/// Files below memory: written through, copied on write, without a name, and one that ends early.
struct Files {
    through: Mapping,
    file: File,
    copied: Mapping,
    again: Mapping,
    nameless: Mapping,
    nameless_file: File,
}

impl Files {
    fn new(place: &Place) -> io::Result<Self> {
        let file = place.file("mapped", &pattern(1, 4 * PAGE_BYTES))?;
        let through = Mapping::file(&file, 4, true)?;
        let again = Mapping::file_from(&file, 2, 2, true)?;
        let under = place.file("copied", &pattern(2, 4 * PAGE_BYTES))?;
        let copied = Mapping::file(&under, 4, false)?;
        copied.page(1)[3].store(0xc0de, Ordering::Relaxed);
        through.page(2)[7].store(0xfeed, Ordering::Relaxed);
        let nameless_file = place.file("nameless", &pattern(3, 2 * PAGE_BYTES))?;
        let nameless = Mapping::file(&nameless_file, 2, true)?;
        let private = Mapping::file(&nameless_file, 2, false)?;
        private.page(0)[0].store(1, Ordering::Relaxed);
        fs::remove_file(place.path("nameless"))?;
        Ok(Files { through, file, copied, again, nameless, nameless_file })
    }
}

impl Subject for Files {
    fn name(&self) -> &'static str {
        "files"
    }

    fn look(&mut self, seen: &mut Seen) {
        let load = |map: &Mapping, page, at: usize| {
            format!("{:x}", map.page(page)[at].load(Ordering::Relaxed))
        };
        let values = [
            ("through", load(&self.through, 2, 7)),
            ("again", load(&self.again, 0, 7)),
            ("copied", load(&self.copied, 1, 3)),
            ("copied.other", load(&self.copied, 1, 4)),
            ("nameless", load(&self.nameless, 1, 5)),
        ];
        for (name, value) in values {
            seen.note(name, io::Result::Ok(value));
        }
    }

    fn go_on(&mut self, findings: &mut Findings) {
        self.again.page(1)[0].store(0x1234_5678, Ordering::SeqCst);
        findings.equal("is_one", 0x1234_5678, self.through.page(3)[0].load(Ordering::SeqCst));
        let mut found = [0; 8];
        let read = self.file.read_exact_at(&mut found, 3 * PAGE_BYTES as u64);
        findings.tried("read", read);
        findings.equal("written_through", 0x1234_5678, u64::from_ne_bytes(found));
        let written = self.nameless_file.write_all_at(&99u64.to_ne_bytes(), 0);
        findings.tried("nameless.write", written);
        findings.equal("nameless.is_mapped", 99, self.nameless.page(0)[0].load(Ordering::SeqCst));
    }
}

/// Memory files with seals, and windows into one of them.
struct Shared {
    sealed: File,
    file: File,
    windows: [Mapping; 3],
}

impl Shared {
    fn new() -> io::Result<Self> {
        let sealed = memory_file("sealed", 3)?;
        sealed.write_all_at(&pattern(4, PAGE_BYTES), 0)?;
        let seals = SealFlag::F_SEAL_SHRINK | SealFlag::F_SEAL_GROW | SealFlag::F_SEAL_WRITE;
        fcntl(&sealed, FcntlArg::F_ADD_SEALS(seals))?;
        let file = memory_file("windows", 8)?;
        let windows = [
            Mapping::file(&file, 8, true)?,
            Mapping::file_from(&file, 4, 4, true)?,
            Mapping::file_from(&file, 2, 3, false)?,
        ];
        fill(&windows[0], 5, [0, 1, 4, 5].into_iter());
        windows[2].page(2)[9].store(0x0707, Ordering::Relaxed);
        Ok(Shared { sealed, file, windows })
    }
}

fn memory_file(name: &str, pages: usize) -> io::Result<File> {
    let file = File::from(memfd_create(name, MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING)?);
    file.set_len((pages * PAGE_BYTES) as u64)?;
    Ok(file)
}

impl Subject for Shared {
    fn name(&self) -> &'static str {
        "shared"
    }

    fn look(&mut self, seen: &mut Seen) {
        seen.note("seals", fcntl(&self.sealed, FcntlArg::F_GET_SEALS));
        seen.note("windows.seals", fcntl(&self.file, FcntlArg::F_GET_SEALS));
        seen.note("sealed.write", self.sealed.write_at(b"x", 0));
        let loads: Vec<String> = (0..8)
            .map(|page| format!("{:x}", self.windows[0].page(page)[2].load(Ordering::Relaxed)))
            .collect();
        seen.note("content", io::Result::Ok(loads));
        let own = self.windows[2].page(2)[9].load(Ordering::Relaxed);
        seen.note("own_copy", io::Result::Ok(own));
    }

    fn go_on(&mut self, findings: &mut Findings) {
        let mut found = vec![0; PAGE_BYTES];
        findings.tried("sealed.read", self.sealed.read_exact_at(&mut found, 0));
        findings.bytes("sealed.content", &pattern(4, PAGE_BYTES), &found);
        self.windows[1].page(0)[0].store(44, Ordering::SeqCst);
        findings.equal("is_one", 44, self.windows[0].page(4)[0].load(Ordering::SeqCst));
        self.windows[0].page(3)[1].store(33, Ordering::SeqCst);
        findings.equal("private.sees", 33, self.windows[2].page(1)[1].load(Ordering::SeqCst));
    }
}
