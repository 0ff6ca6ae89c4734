//! System V and POSIX objects: with content, with rights, waited for, and without a name.
//!
//! Left out: open POSIX message queues, which CRIU does not dump.

use std::fs;
use std::io;
use std::path::PathBuf;
use std::sync::atomic::Ordering;

use witness::place::Place;
use witness::sys::map::Mapping;
use witness::sys::sysv::{self, Queue, Segment, Semaphores};
use witness::waiting::Waiting;
use witness::{Context, Findings, Seen, Subject, Witness, record};

const PAGES: usize = 3;
const PAGE_BYTES: usize = 4096;

/// Values of the set; the last ones are waited for.
const VALUES: [u16; 3] = [0, 7, 32_000];

pub(super) fn set_up(place: &Place) -> io::Result<Vec<Box<dyn Witness>>> {
    Ok(vec![
        record(Segments::new().context("segments")?),
        record(Sets::new().context("semaphores")?),
        record(Queues::new().context("message queues")?),
        record(Posix::new(place).context("POSIX shared memory")?),
    ])
}

/// A key that no other witness has: pods share them.
fn key(number: i32) -> i32 {
    0x4900_0000 | number << 16 | (std::process::id() as i32 & 0xffff)
}

fn content(seed: u64, at: usize) -> u64 {
    seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ at as u64
}

fn fill(segment: &Segment, seed: u64) {
    for (at, word) in segment.words().iter().enumerate() {
        word.store(content(seed, at), Ordering::Relaxed);
    }
}

/// How many words are not what they were.
fn wrong(words: &[std::sync::atomic::AtomicU64], seed: u64) -> usize {
    let is_wrong = |(at, word): &(usize, &std::sync::atomic::AtomicU64)| {
        word.load(Ordering::Relaxed) != content(seed, *at)
    };
    words.iter().enumerate().filter(is_wrong).count()
}

struct Segments {
    twice: Segment,
    again: &'static [std::sync::atomic::AtomicU64],
    alone: i32,
    nameless: Segment,
}

impl Segments {
    fn new() -> io::Result<Self> {
        // Ids go on counting when one is removed: none of these has the number that comes first.
        for _ in 0..3 {
            Segment::create(key(9), PAGE_BYTES)?.discard()?;
        }
        let twice = Segment::create(key(1), PAGES * PAGE_BYTES)?;
        fill(&twice, 1);
        let again = sysv::attach_for_reading(twice.id, PAGES * PAGE_BYTES)?;
        let alone = Segment::create(key(2), 2 * PAGE_BYTES)?;
        fill(&alone, 2);
        let alone = alone.detach()?;
        let nameless = Segment::create(libc::IPC_PRIVATE, PAGE_BYTES + 1)?;
        fill(&nameless, 3);
        Ok(Segments { twice, again, alone, nameless })
    }
}

impl Subject for Segments {
    fn name(&self) -> &'static str {
        "segments"
    }

    fn look(&mut self, seen: &mut Seen) {
        seen.note("twice.id", Segment::find(key(1)).map(|id| id == self.twice.id));
        seen.note("twice.status", self.twice.status());
        seen.note("nameless.status", self.nameless.status());
        seen.note("alone.id", Segment::find(key(2)).map(|id| id == self.alone));
        seen.note("ids", io::Result::Ok([self.twice.id, self.alone, self.nameless.id]));
    }

    fn go_on(&mut self, findings: &mut Findings) {
        findings.equal("twice.content", 0, wrong(self.twice.words(), 1));
        findings.equal("twice.again.content", 0, wrong(self.again, 1));
        findings.equal("nameless.content", 0, wrong(self.nameless.words(), 3));
        self.twice.words()[5].store(55, Ordering::SeqCst);
        findings.equal("twice.is_one", 55, self.again[5].load(Ordering::SeqCst));
        let alone = sysv::attach_for_reading(self.alone, 2 * PAGE_BYTES);
        if let Some(words) = findings.tried("alone.attach", alone) {
            findings.equal("alone.content", 0, wrong(words, 2));
        }
    }
}

impl Drop for Segments {
    fn drop(&mut self) {
        // They go with the pod; where there is none, this is what is left to do.
        self.twice.remove().ok();
        self.nameless.remove().ok();
        sysv::remove_segment(self.alone).ok();
    }
}

struct Sets {
    set: Semaphores,
    taker: Waiting<()>,
    zero: Waiting<()>,
}

impl Sets {
    fn new() -> io::Result<Self> {
        let set = Semaphores::create(key(3), VALUES)?;
        let id = set.id;
        let taker = Waiting::start("semaphore-taker", libc::SYS_semtimedop, move || {
            sysv::operate(id, 0, -2, false)
        })?;
        let zero = Waiting::start("semaphore-zero", libc::SYS_semtimedop, move || {
            sysv::operate(id, 1, 0, false)
        })?;
        Ok(Sets { set, taker, zero })
    }
}

impl Subject for Sets {
    fn name(&self) -> &'static str {
        "semaphores"
    }

    fn look(&mut self, seen: &mut Seen) {
        seen.note("id", Semaphores::find(key(3)).map(|id| id == self.set.id));
        seen.note("values", self.set.values());
        seen.note("waits_to_take", sysv::await_waiter(self.set.id, 0, libc::GETNCNT));
        seen.note("waits_for_zero", sysv::await_waiter(self.set.id, 1, libc::GETZCNT));
    }

    fn go_on(&mut self, findings: &mut Findings) {
        self.taker.still(findings);
        self.zero.still(findings);
        findings.tried("give", sysv::operate(self.set.id, 0, 3, true));
        findings.tried("taker.woken", self.taker.woken());
        findings.tried("take", sysv::operate(self.set.id, 1, -7, true));
        findings.tried("zero.woken", self.zero.woken());
        findings.gives("values.after", [1, 0, 32_000], self.set.values());
    }
}

impl Drop for Sets {
    fn drop(&mut self) {
        // As with segments.
        self.set.remove().ok();
    }
}

/// Messages of a queue, in order; the longest has as many bytes as are sent here.
const MESSAGES: [(i64, &[u8]); 4] =
    [(3, b"third"), (1, b""), (3, b"another third"), (1 << 40, b"a kind of many bits")];

struct Queues {
    queue: Queue,
    narrow: Queue,
    receiver: Waiting<(i64, Vec<u8>)>,
}

impl Queues {
    fn new() -> io::Result<Self> {
        let queue = Queue::create(key(4))?;
        for (kind, text) in MESSAGES {
            queue.send(kind, text)?;
        }
        let narrow = Queue::create(key(5))?;
        narrow.set_capacity(40)?;
        narrow.send(9, &[b'n'; 40])?;
        let id = queue.id;
        let receiver = Waiting::start("queue-receiver", libc::SYS_msgrcv, move || {
            Queue { id }.receive_kind(77, true)
        })?;
        Ok(Queues { queue, narrow, receiver })
    }
}

impl Subject for Queues {
    fn name(&self) -> &'static str {
        "queues"
    }

    fn look(&mut self, seen: &mut Seen) {
        seen.note("id", Queue::find(key(4)).map(|id| id == self.queue.id));
        seen.note("waiting", self.queue.waiting());
        seen.note("narrow.waiting", self.narrow.waiting());
        seen.note("narrow.full", self.narrow.send(9, b"one more"));
    }

    fn go_on(&mut self, findings: &mut Findings) {
        self.receiver.still(findings);
        findings.tried("send", self.queue.send(77, b"for the receiver"));
        findings.gives("receiver", (77, b"for the receiver".to_vec()), self.receiver.woken());
        let kind = self.queue.receive_kind(1, false);
        findings.gives("of_a_kind", (1, Vec::new()), kind);
        for index in [0, 2, 3] {
            let (kind, text) = MESSAGES[index];
            findings.gives(
                &format!("message.{index}"),
                (kind, text.to_vec()),
                self.queue.receive(),
            );
        }
        findings.gives("narrow", (9, vec![b'n'; 40]), self.narrow.receive());
    }
}

impl Drop for Queues {
    fn drop(&mut self) {
        // As with segments.
        self.queue.remove().ok();
        self.narrow.remove().ok();
    }
}

/// What shm_open(3) and sem_open(3) make: files of a tmpfs that are mapped and closed.
struct Posix {
    named: PathBuf,
    by_name: Mapping,
    unnamed: [Mapping; 2],
}

impl Posix {
    fn new(place: &Place) -> io::Result<Self> {
        let bytes = vec![0x5a; 2 * PAGE_BYTES];
        let (named, file) = place.shared_file("named", &bytes)?;
        let by_name = Mapping::file(&file, 2, true)?;
        let (path, file) = place.shared_file("unnamed", &bytes)?;
        let unnamed = [Mapping::file(&file, 2, true)?, Mapping::file(&file, 1, true)?];
        fs::remove_file(path)?;
        Ok(Posix { named, by_name, unnamed })
    }
}

impl Subject for Posix {
    fn name(&self) -> &'static str {
        "posix"
    }

    fn look(&mut self, seen: &mut Seen) {
        let words = |map: &Mapping| {
            let words = map.words().iter().map(|it| it.load(Ordering::SeqCst));
            words.fold(0, u64::wrapping_add)
        };
        let sums: Vec<u64> = self.unnamed.iter().chain([&self.by_name]).map(words).collect();
        seen.note("content", io::Result::Ok(sums));
    }

    fn go_on(&mut self, findings: &mut Findings) {
        self.by_name.words()[3].store(u64::from_ne_bytes(*b"by map!!"), Ordering::SeqCst);
        if let Some(found) = findings.tried("named.read", fs::read(&self.named)) {
            findings.bytes("named.is_mapped", b"by map!!", &found[24..32]);
        }
        self.unnamed[0].words()[9].store(99, Ordering::SeqCst);
        findings.equal("unnamed.is_one", 99, self.unnamed[1].words()[9].load(Ordering::SeqCst));
    }
}
