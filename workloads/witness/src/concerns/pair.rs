//! Two containers of one pod, `pair-front` and `pair-back`: what they share, and what they do not.
//!
//! A TCP connection between them by the loopback device has unread bytes in both directions; a file of
//! `/dev/shm` is mapped by both; the front has a System V segment and a message queue. Each tells the
//! other which namespaces it is in: what was one must still be one, and what was two must still be two.
//! The front is asked first. It tells the back what it sees by then, and ends.
//!
//! Where the network is not shared there is no connection, and each looks at its own alone.

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::atomic::Ordering;

use nix::unistd::gethostname;
use witness::place::Place;
use witness::streams;
use witness::sys::map::Mapping;
use witness::sys::sysv::{Queue, Segment, attach_for_reading};
use witness::{Context, Findings, PATIENCE, Seen, Subject, Witness, record};

/// Where the back listens.
const PORT: u16 = 7117;

/// Namespaces that a pod may share.
const KINDS: [&str; 4] = ["net", "ipc", "uts", "pid"];

/// System V objects of the front.
const KEY: i32 = 0x7061_6972;

/// The first word of the shared file, and of the segment.
const WORD: u64 = 0x0123_4567_89ab_cdef;

/// How often something is tried for which the other is not ready yet.
const MOST_TRIES: usize = 1_000_000;

/// Bytes that the front does not read before the end.
const TO_FRONT: [u8; 5000] = [0x5f; 5000];

/// Bytes that the back does not read before the end.
const TO_BACK: [u8; 3000] = [0xab; 3000];

/// Namespaces that a process is in, by kind.
type Namespaces = BTreeMap<String, String>;

pub(super) fn front(place: &Place) -> io::Result<Vec<Box<dyn Witness>>> {
    let shared = Shared::new(place, 0).context("the shared file")?;
    let objects = Objects::new().context("System V objects")?;
    let connection = Connection::new(connect()?, &TO_BACK, &TO_FRONT).context("the connection")?;
    Ok(vec![record(shared), record(objects), record(Front(connection))])
}

pub(super) fn back(place: &Place) -> io::Result<Vec<Box<dyn Witness>>> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, PORT)).context("listen")?;
    let shared = Shared::new(place, 1).context("the shared file")?;
    let (stream, _) = listener.accept().context("accept")?;
    let connection = Connection::new(stream, &TO_FRONT, &TO_BACK).context("the connection")?;
    let sees_queue = Queue::find(KEY).is_ok();
    let back = Back { connection, _listener: listener, sees_queue };
    Ok(vec![record(shared), record(back)])
}

fn connect() -> io::Result<TcpStream> {
    let mut tries = 0;
    loop {
        match TcpStream::connect((Ipv4Addr::LOCALHOST, PORT)) {
            Err(error)
                if error.kind() == io::ErrorKind::ConnectionRefused && tries < MOST_TRIES =>
            {
                tries += 1;
                std::thread::yield_now();
            }
            other => return other.context("connect to the back"),
        }
    }
}

/// A file in the pod's `/dev/shm` that both have mapped; each has a page of it.
struct Shared {
    map: Mapping,
    own: usize,
}

impl Shared {
    fn new(place: &Place, own: usize) -> io::Result<Self> {
        let path = place.shm.join("pair");
        let file =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
        file.set_len(8192)?;
        let map = Mapping::file(&file, 2, true)?;
        map.page(own)[0].store(WORD + own as u64, Ordering::SeqCst);
        Ok(Shared { map, own })
    }
}

impl Subject for Shared {
    fn name(&self) -> &'static str {
        "shared-file"
    }

    fn look(&mut self, seen: &mut Seen) {
        let word = self.map.page(self.own)[0].load(Ordering::SeqCst);
        seen.note("own", io::Result::Ok(word));
    }

    fn go_on(&mut self, findings: &mut Findings) {
        // What is written here, the other sees, whoever is asked first.
        let (own, other) = (&self.map.page(self.own)[1], &self.map.page(1 - self.own)[0]);
        own.store(WORD, Ordering::SeqCst);
        findings.equal("other", WORD + 1 - self.own as u64, other.load(Ordering::SeqCst));
        if self.own == 1 {
            findings.equal("news", WORD, self.map.page(0)[1].load(Ordering::SeqCst));
        }
    }
}

/// A segment that is attached, and a queue with a message for the back.
struct Objects {
    segment: Segment,
    queue: Queue,
}

impl Objects {
    fn new() -> io::Result<Self> {
        let segment = Segment::create(KEY, 4096)?;
        segment.words()[0].store(WORD, Ordering::SeqCst);
        let queue = Queue::create(KEY)?;
        queue.send(7, b"for the back")?;
        Ok(Objects { segment, queue })
    }
}

impl Subject for Objects {
    fn name(&self) -> &'static str {
        "objects"
    }

    fn look(&mut self, seen: &mut Seen) {
        seen.note("segment.status", self.segment.status());
        let word = self.segment.words()[0].load(Ordering::SeqCst);
        seen.note("segment.word", io::Result::Ok(word));
        seen.note("queue.waiting", self.queue.waiting());
        seen.note("queue.key", Queue::find(KEY));
    }

    fn go_on(&mut self, findings: &mut Findings) {
        self.segment.words()[1].store(WORD, Ordering::SeqCst);
        findings.tried("queue.send", self.queue.send(8, b"more for the back"));
    }
}

/// An end of the connection, and what was told over it.
struct Connection {
    stream: TcpStream,
    /// Namespaces that the other shares with this one.
    common: Vec<&'static str>,
    /// What waits unread.
    unread: &'static [u8],
}

impl Connection {
    /// Tells the other who this is and hears who it is, and then sends what it is not to read yet.
    fn new(stream: TcpStream, send: &[u8], unread: &'static [u8]) -> io::Result<Self> {
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_nodelay(true)?;
        let mut connection = Connection { stream, common: vec![], unread };
        connection.tell(&own()?)?;
        connection.common = common(&own()?, &connection.hear()?);
        connection.stream.write_all(send)?;
        connection.await_unread()?;
        Ok(connection)
    }

    fn tell(&mut self, namespaces: &Namespaces) -> io::Result<()> {
        let words: Vec<String> =
            namespaces.iter().map(|(kind, id)| format!("{kind}={id}")).collect();
        writeln!(self.stream, "{}", words.join(" "))
    }

    fn hear(&mut self) -> io::Result<Namespaces> {
        // No more is read than the line: what follows it stays where it is.
        let (mut line, mut byte) = (Vec::new(), [0]);
        while self.stream.read_exact(&mut byte).map(|()| byte != *b"\n")? {
            line.extend(byte);
        }
        let line = String::from_utf8_lossy(&line).into_owned();
        let words = line.split_whitespace().filter_map(|word| word.split_once('='));
        Ok(words.map(|(kind, id)| (kind.to_owned(), id.to_owned())).collect())
    }

    /// Waits until all has come that is not to be read: from then on nothing moves.
    fn await_unread(&self) -> io::Result<()> {
        let mut bytes = vec![0; self.unread.len()];
        for _ in 0..MOST_TRIES {
            if self.stream.peek(&mut bytes)? == bytes.len() {
                return Ok(());
            }
            std::thread::yield_now();
        }
        Err(io::Error::other("the other does not send what it should"))
    }

    fn look(&self, seen: &mut Seen) {
        let stream = &self.stream;
        seen.note("local", stream.local_addr());
        seen.note("peer", stream.peer_addr());
        seen.note("nodelay", stream.nodelay());
        seen.note("hostname", gethostname());
        seen.note("pid", io::Result::Ok(std::process::id()));
    }

    fn read_unread(&mut self, findings: &mut Findings) {
        streams::receive("unread", &mut self.stream, self.unread, findings);
    }
}

fn own() -> io::Result<Namespaces> {
    let link = |kind: &str| fs::read_link(format!("/proc/self/ns/{kind}"));
    let one = |kind: &&str| Ok(((*kind).to_owned(), link(kind)?.display().to_string()));
    KINDS.iter().map(one).collect()
}

fn common(one: &Namespaces, other: &Namespaces) -> Vec<&'static str> {
    KINDS.into_iter().filter(|kind| one.get(*kind) == other.get(*kind)).collect()
}

struct Front(Connection);

impl Subject for Front {
    fn name(&self) -> &'static str {
        "front"
    }

    fn look(&mut self, seen: &mut Seen) {
        self.0.look(seen);
    }

    fn go_on(&mut self, findings: &mut Findings) {
        self.0.read_unread(findings);
        let told = own().and_then(|own| self.0.tell(&own));
        findings.tried("last-words", told);
    }
}

struct Back {
    connection: Connection,
    _listener: TcpListener,
    /// Whether the front's queue is seen here.
    sees_queue: bool,
}

impl Subject for Back {
    fn name(&self) -> &'static str {
        "back"
    }

    fn look(&mut self, seen: &mut Seen) {
        self.connection.look(seen);
        seen.note("common", io::Result::Ok(&self.connection.common));
    }

    fn go_on(&mut self, findings: &mut Findings) {
        self.connection.read_unread(findings);
        let (own, front) = (own(), self.connection.hear());
        if let (Some(own), Some(front)) =
            (findings.tried("own", own), findings.tried("last-words", front))
        {
            findings.equal("common", self.connection.common.clone(), common(&own, &front));
        }
        findings.equal("queue", self.sees_queue, Queue::find(KEY).is_ok());
        if self.sees_queue {
            self.use_objects(findings);
        }
    }
}

impl Back {
    /// What the front has left for this container.
    fn use_objects(&self, findings: &mut Findings) {
        let messages = [(7, b"for the back".to_vec()), (8, b"more for the back".to_vec())];
        if let Some(id) = findings.tried("queue.key", Queue::find(KEY)) {
            for message in messages {
                findings.gives("queue.message", message, Queue { id }.receive());
            }
        }
        let words = Segment::find(KEY).and_then(|id| attach_for_reading(id, 4096));
        if let Some(words) = findings.tried("segment.key", words) {
            let found: Vec<u64> =
                words[..2].iter().map(|word| word.load(Ordering::SeqCst)).collect();
            findings.equal("segment.words", vec![WORD, WORD], found);
        }
    }
}
