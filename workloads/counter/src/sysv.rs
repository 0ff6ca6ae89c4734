//! System V objects with content.

use std::io;
use std::sync::atomic::Ordering;

use witness::sys::sysv::{Queue, Segment, Semaphores};
use witness::{Context, Findings, Witness};

const BYTES: usize = 3 * 4096;
const VALUES: [u16; 3] = [1, 20, 300];
const MESSAGES: [(i64, &[u8]); 2] = [(5, b"a message"), (9, b"another, of another type")];

/// The witness. The objects are removed when it is dropped.
#[derive(Debug)]
pub(crate) struct SystemV {
    key: i32,
    segment: Segment,
    semaphores: Semaphores,
    queue: Queue,
    bytes: u64,
}

impl SystemV {
    /// Makes and fills them. Pods share them, so the key carries the pid.
    pub(crate) fn new() -> io::Result<Self> {
        let key = 0x4300_0000 | (std::process::id() as i32 & 0x00ff_ffff);
        let segment = Segment::create(key, BYTES).context("shared memory")?;
        for (at, word) in segment.words().iter().enumerate() {
            word.store(content(at), Ordering::Relaxed);
        }
        let semaphores = Semaphores::create(key, VALUES).context("semaphores")?;
        let queue = Queue::create(key).context("message queue")?;
        for (kind, text) in MESSAGES {
            queue.send(kind, text)?;
        }
        let bytes = MESSAGES.iter().map(|(_, text)| text.len() as u64).sum();
        Ok(SystemV { key, segment, semaphores, queue, bytes })
    }

    fn check_segment(&self, findings: &mut Findings) {
        let wrong = self.segment.words().iter().enumerate().find_map(|(at, word)| {
            let found = word.load(Ordering::Relaxed);
            (found != content(at)).then_some((at, found))
        });
        findings.equal("shm.content", None, wrong);
        if let Some(found) = findings.tried("shm.status", self.segment.status()) {
            findings.equal("shm.status", (BYTES, 0o640, 1), found);
        }
    }
}

impl Witness for SystemV {
    fn name(&self) -> &'static str {
        "sysv"
    }

    fn check(&mut self, findings: &mut Findings) {
        let ids = [
            ("shm.id", self.segment.id, Segment::find(self.key)),
            ("sem.id", self.semaphores.id, Semaphores::find(self.key)),
            ("msg.id", self.queue.id, Queue::find(self.key)),
        ];
        for (name, expected, found) in ids {
            if let Some(found) = findings.tried(name, found) {
                findings.equal(name, expected, found);
            }
        }
        self.check_segment(findings);
        if let Some(found) = findings.tried("sem.values", self.semaphores.values()) {
            findings.equal("sem.values", VALUES, found);
        }
        if let Some(found) = findings.tried("msg.waiting", self.queue.waiting()) {
            findings.equal("msg.waiting", (MESSAGES.len() as u64, self.bytes), found);
        }
    }

    fn finish(&mut self, findings: &mut Findings) {
        for (kind, text) in MESSAGES {
            if let Some(found) = findings.tried("msg.receive", self.queue.receive()) {
                findings.equal("msg.content", (kind, text.to_vec()), found);
            }
        }
        findings.tried("msg.send", self.queue.send(7, b"after"));
        findings.tried("sem.add", self.semaphores.add(1, 5));
        if let Some(found) = findings.tried("sem.after", self.semaphores.values()) {
            findings.equal("sem.after", [1, 25, 300], found);
        }
    }
}

impl Drop for SystemV {
    fn drop(&mut self) {
        let removed = [self.segment.remove(), self.semaphores.remove(), self.queue.remove()];
        for error in removed.into_iter().filter_map(Result::err) {
            eprintln!("counter: remove System V object: {error}");
        }
    }
}

fn content(at: usize) -> u64 {
    0x5375_7356_0000_0000 ^ (at as u64).wrapping_mul(0x0101_0101)
}
