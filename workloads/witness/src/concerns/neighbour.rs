//! A neighbour: it lives in a pod into which others come, and must not notice.
//!
//! Whatever of it belongs to the pod as a whole is looked at: hostname, settings and objects of System V
//! IPC, files of `/dev/shm`, names of sockets. The objects are not the first of their kind, as in any pod
//! that has run for a while: the ids of the first ones are free for who comes.

use std::fs;
use std::io;
use std::net::TcpListener;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener};
use std::path::PathBuf;

use nix::fcntl::{Flock, FlockArg};
use witness::place::Place;
use witness::sys::sysv::{self, Queue, Segment, Semaphores};
use witness::{Context, Findings, Seen, Subject, Witness, record};

/// So many objects of each kind have come and gone before the one that stays.
const EARLIER: i32 = 40;

const BYTES: usize = 4096;
const WORDS: [u16; 3] = [4, 5, 6];
const TEXT: &[u8] = b"for the neighbour";

/// What belongs to the pod as the kernel tells it.
const OF_THE_POD: [&str; 8] = [
    "/proc/sys/kernel/hostname",
    "/proc/sys/kernel/domainname",
    "/proc/sys/kernel/sem",
    "/proc/sys/kernel/msgmax",
    "/proc/sys/kernel/msgmnb",
    "/proc/sys/kernel/shmmax",
    "/proc/sys/kernel/shmall",
    "/proc/sys/kernel/shm_rmid_forced",
];

pub(super) fn set_up(place: &Place) -> io::Result<Vec<Box<dyn Witness>>> {
    Ok(vec![
        record(Objects::new().context("System V objects")?),
        record(Names::new(place).context("files and sockets")?),
    ])
}

/// A key that no other witness has: pods share them.
fn key(number: i32) -> i32 {
    0x4e00_0000 | number << 16 | (std::process::id() as i32 & 0xffff)
}

/// Makes as many as there were, and keeps the last.
fn last<T>(
    mut make: impl FnMut(i32) -> io::Result<T>,
    remove: impl Fn(T) -> io::Result<()>,
) -> io::Result<T> {
    let mut earlier = (0..EARLIER).map(&mut make).collect::<io::Result<Vec<T>>>()?;
    let last = make(EARLIER);
    earlier.drain(..).try_for_each(remove)?;
    last
}

struct Objects {
    segment: i32,
    set: Semaphores,
    queue: Queue,
}

impl Objects {
    fn new() -> io::Result<Self> {
        let segment = |number| Segment::create(key(number), BYTES)?.detach();
        let segment = last(segment, sysv::remove_segment)?;
        let set = last(|number| Semaphores::create(key(number), WORDS), |set| set.remove())?;
        let queue = last(|number| Queue::create(key(number)), |queue| queue.remove())?;
        queue.send(3, TEXT)?;
        Ok(Objects { segment, set, queue })
    }
}

impl Subject for Objects {
    fn name(&self) -> &'static str {
        "pod"
    }

    fn look(&mut self, seen: &mut Seen) {
        for path in OF_THE_POD {
            seen.note(path, fs::read_to_string(path));
        }
        let key = key(EARLIER);
        seen.note("segment", Segment::find(key).map(|id| id == self.segment));
        seen.note("semaphores", Semaphores::find(key).map(|id| id == self.set.id));
        seen.note("semaphores.values", self.set.values());
        seen.note("queue", Queue::find(key).map(|id| id == self.queue.id));
        seen.note("queue.waiting", self.queue.waiting());
    }

    fn go_on(&mut self, findings: &mut Findings) {
        findings.gives("queue.message", (3, TEXT.to_vec()), self.queue.receive());
        findings.tried("segment.attach", sysv::attach_for_reading(self.segment, BYTES));
    }
}

impl Drop for Objects {
    fn drop(&mut self) {
        // They go with the pod; where there is none, this is what is left to do.
        sysv::remove_segment(self.segment).ok();
        self.set.remove().ok();
        self.queue.remove().ok();
    }
}

struct Names {
    path: PathBuf,
    _locked: Flock<fs::File>,
    port: TcpListener,
    _unnamed: UnixListener,
}

impl Names {
    fn new(place: &Place) -> io::Result<Self> {
        let (path, file) = place.shared_file("kept", TEXT)?;
        let locked = Flock::lock(file, FlockArg::LockExclusiveNonblock).map_err(|(_, it)| it)?;
        let port = TcpListener::bind("0.0.0.0:4007")?;
        let name = SocketAddr::from_abstract_name("neighbour")?;
        let unnamed = UnixListener::bind_addr(&name)?;
        Ok(Names { path, _locked: locked, port, _unnamed: unnamed })
    }
}

impl Subject for Names {
    fn name(&self) -> &'static str {
        "names"
    }

    fn look(&mut self, seen: &mut Seen) {
        seen.note("file", fs::read(&self.path));
        seen.note("port", self.port.local_addr());
    }

    fn go_on(&mut self, findings: &mut Findings) {
        let address = self.port.local_addr();
        let connection = address.and_then(std::net::TcpStream::connect);
        findings.tried("connect", connection.and_then(|_| self.port.accept()));
    }
}

impl Drop for Names {
    fn drop(&mut self) {
        // It goes with the pod; where there is none, this is what is left to do.
        fs::remove_file(&self.path).ok();
    }
}
