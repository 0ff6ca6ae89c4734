//! Unix sockets: packets, halves that were closed, senders with names, and descriptors in flight.
//!
//! Left out: a connection that nobody has accepted yet and datagrams to a peer outside of the pod,
//! which CRIU refuses; what `lossy` shows (the address of an accepted stream).

use std::fs::File;
use std::io::{self, IoSlice, IoSliceMut, Read, Seek, SeekFrom, Write};
use std::net::Shutdown;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::path::PathBuf;

use nix::sys::socket::{
    AddressFamily, ControlMessage, ControlMessageOwned, MsgFlags, SockFlag, SockType, recvmsg,
    sendmsg, socketpair,
};
use witness::place::{Place, pattern};
use witness::streams::{peek, receive};
use witness::waiting::Waiting;
use witness::{Context, Findings, PATIENCE, Seen, Subject, Witness, record};

pub(super) fn set_up(place: &Place) -> io::Result<Vec<Box<dyn Witness>>> {
    Ok(vec![
        record(Streams::new().context("unix streams")?),
        record(Sequence::new().context("a unix socket with packets")?),
        record(Datagrams::new(place).context("unix datagrams")?),
        record(Flight::new(place).context("descriptors in flight")?),
    ])
}

/// Pairs of streams: one that says no more, one in which a thread waits.
struct Streams {
    closed: UnixStream,
    listens: UnixStream,
    talks: UnixStream,
    waits: Waiting<Vec<u8>>,
}

impl Streams {
    fn new() -> io::Result<Self> {
        let (mut closed, listens) = UnixStream::pair()?;
        closed.write_all(&pattern(1, 900))?;
        closed.shutdown(Shutdown::Write)?;
        let (talks, mut hears) = UnixStream::pair()?;
        let waits = Waiting::start("stream-reader", libc::SYS_recvfrom, move || {
            let mut bytes = vec![0; 30];
            let count = hears.read(&mut bytes)?;
            bytes.truncate(count);
            Ok(bytes)
        });
        Ok(Streams { closed, listens, talks, waits: waits? })
    }
}

impl Subject for Streams {
    fn name(&self) -> &'static str {
        "streams"
    }

    fn look(&mut self, seen: &mut Seen) {
        seen.note("closed.write", (&self.closed).write(b"x"));
    }

    fn go_on(&mut self, findings: &mut Findings) {
        peek("closed.waits", &self.listens, &pattern(1, 900), findings);
        receive("closed.content", &mut self.listens, &pattern(1, 900), findings);
        findings.gives("closed.end", 0, self.listens.read(&mut [0]));
        findings.tried("closed.answer", self.listens.write_all(b"the other way"));
        receive("closed.hears", &mut self.closed, b"the other way", findings);
        self.waits.still(findings);
        findings.tried("talks.write", self.talks.write_all(b"wake up"));
        findings.gives("waits", b"wake up".to_vec(), self.waits.woken());
    }
}

/// A pair that keeps packets apart, one of them empty of data and none of them read.
struct Sequence {
    one: OwnedFd,
    other: OwnedFd,
}

const PACKETS: [&[u8]; 3] = [b"a", b"packet of some bytes", b"and the last"];

impl Sequence {
    fn new() -> io::Result<Self> {
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        let (one, other) = socketpair(AddressFamily::Unix, SockType::SeqPacket, None, flags)?;
        for packet in PACKETS {
            nix::unistd::write(&one, packet)?;
        }
        Ok(Sequence { one, other })
    }

    fn read(&self) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; 100];
        let count = nix::unistd::read(&self.other, &mut bytes)?;
        bytes.truncate(count);
        Ok(bytes)
    }
}

impl Subject for Sequence {
    fn name(&self) -> &'static str {
        "sequence"
    }

    fn look(&mut self, seen: &mut Seen) {
        seen.note("empty", nix::unistd::read(&self.one, &mut [0; 10]));
    }

    fn go_on(&mut self, findings: &mut Findings) {
        for (index, packet) in PACKETS.iter().enumerate() {
            findings.gives(&format!("packet.{index}"), packet.to_vec(), self.read());
        }
        findings.tried("write", witness::io(nix::unistd::write(&self.one, b"later")));
        findings.gives("goes_on", b"later".to_vec(), self.read());
    }
}

/// A receiver with a name, and senders with and without one.
struct Datagrams {
    receiver: UnixDatagram,
    named: UnixDatagram,
    nameless: UnixDatagram,
    named_path: PathBuf,
}

impl Datagrams {
    fn new(place: &Place) -> io::Result<Self> {
        let (path, named_path) = (place.path("receiver"), place.path("sender"));
        let receiver = UnixDatagram::bind(&path)?;
        receiver.set_nonblocking(true)?;
        let named = UnixDatagram::bind(&named_path)?;
        named.connect(&path)?;
        let nameless = UnixDatagram::unbound()?;
        nameless.connect(&path)?;
        named.send(b"from a name")?;
        nameless.send(b"from nobody")?;
        named.send(b"again")?;
        Ok(Datagrams { receiver, named, nameless, named_path })
    }

    fn receive(&self) -> io::Result<(Vec<u8>, Option<PathBuf>)> {
        let mut bytes = vec![0; 100];
        let (count, from) = self.receiver.recv_from(&mut bytes)?;
        bytes.truncate(count);
        Ok((bytes, from.as_pathname().map(PathBuf::from)))
    }
}

impl Subject for Datagrams {
    fn name(&self) -> &'static str {
        "datagrams"
    }

    fn look(&mut self, seen: &mut Seen) {
        for (name, socket) in [("named", &self.named), ("nameless", &self.nameless)] {
            let address = socket.local_addr().map(|it| it.as_pathname().map(PathBuf::from));
            seen.note(format!("{name}.local"), address);
            let address = socket.peer_addr().map(|it| it.as_pathname().map(PathBuf::from));
            seen.note(format!("{name}.peer"), address);
        }
    }

    fn go_on(&mut self, findings: &mut Findings) {
        let sender = Some(self.named_path.clone());
        let expected = [(b"from a name".to_vec(), sender.clone()), (b"from nobody".to_vec(), None)];
        for (index, expected) in expected.into_iter().enumerate() {
            findings.gives(&format!("message.{index}"), expected, self.receive());
        }
        findings.gives("message.2", (b"again".to_vec(), sender.clone()), self.receive());
        findings.tried("send", self.named.send(b"later"));
        findings.gives("goes_on", (b"later".to_vec(), sender), self.receive());
    }
}

/// A pair with messages that carry a file, an end of a pipe and a socket.
struct Flight {
    sender: UnixStream,
    receiver: UnixStream,
    pipe: File,
    peer: UnixStream,
}

const POSITION: u64 = 321;

impl Flight {
    fn new(place: &Place) -> io::Result<Self> {
        let (sender, receiver) = UnixStream::pair()?;
        receiver.set_read_timeout(Some(PATIENCE))?;
        let mut file = place.file("sent", &pattern(8, 2000))?;
        file.seek(SeekFrom::Start(POSITION))?;
        let (read, write) = nix::unistd::pipe2(nix::fcntl::OFlag::O_CLOEXEC)?;
        let mut pipe = File::from(write);
        pipe.write_all(b"in a pipe that is under way")?;
        let (socket, peer) = UnixStream::pair()?;
        send(&sender, b"a file", &[file.as_raw_fd()])?;
        send(&sender, b"a pipe and a socket", &[read.as_raw_fd(), socket.as_raw_fd()])?;
        Ok(Flight { sender, receiver, pipe, peer })
    }
}

impl Subject for Flight {
    fn name(&self) -> &'static str {
        "flight"
    }

    fn look(&mut self, seen: &mut Seen) {
        seen.note("sender.address", self.sender.local_addr().map(|it| it.is_unnamed()));
    }

    fn go_on(&mut self, findings: &mut Findings) {
        let first = findings.tried("first", take(&self.receiver));
        if let Some((text, [fd])) = first.map(|(text, fds)| (text, fds.try_into())).and_then(whole)
        {
            findings.bytes("first.text", b"a file", &text);
            let mut file = File::from(fd);
            findings.gives("first.position", POSITION, file.stream_position());
            receive("first.content", &mut file, &pattern(8, 2000)[POSITION as usize..], findings);
        } else {
            findings.lose("first.descriptors", "1".to_owned(), "another number".to_owned());
        }
        let second = findings.tried("second", take(&self.receiver));
        let second = second.map(|(text, fds)| (text, fds.try_into())).and_then(whole);
        let Some((text, [pipe, socket])) = second else {
            findings.lose("second.descriptors", "2".to_owned(), "another number".to_owned());
            return;
        };
        findings.bytes("second.text", b"a pipe and a socket", &text);
        let (mut pipe, mut socket) = (File::from(pipe), UnixStream::from(socket));
        receive("second.pipe", &mut pipe, b"in a pipe that is under way", findings);
        findings.tried("second.pipe.write", self.pipe.write_all(b"later"));
        receive("second.pipe.goes_on", &mut pipe, b"later", findings);
        findings.tried("second.socket.write", self.peer.write_all(b"hello"));
        receive("second.socket.goes_on", &mut socket, b"hello", findings);
    }
}

/// A text with as many descriptors as are wanted.
fn whole<const N: usize>(
    (text, fds): (Vec<u8>, Result<[OwnedFd; N], Vec<OwnedFd>>),
) -> Option<(Vec<u8>, [OwnedFd; N])> {
    Some((text, fds.ok()?))
}

fn send(socket: &UnixStream, text: &[u8], descriptors: &[i32]) -> io::Result<()> {
    let rights = [ControlMessage::ScmRights(descriptors)];
    let text = [IoSlice::new(text)];
    sendmsg::<()>(socket.as_raw_fd(), &text, &rights, MsgFlags::empty(), None)?;
    Ok(())
}

/// The next message with its descriptors.
fn take(socket: &UnixStream) -> io::Result<(Vec<u8>, Vec<OwnedFd>)> {
    let mut bytes = vec![0; 100];
    let mut space = nix::cmsg_space!([i32; 4]);
    let (count, fds) = {
        let mut text = [IoSliceMut::new(&mut bytes)];
        let flags = MsgFlags::MSG_CMSG_CLOEXEC;
        let message = recvmsg::<()>(socket.as_raw_fd(), &mut text, Some(&mut space), flags)?;
        let mut fds = Vec::new();
        for control in message.cmsgs()? {
            if let ControlMessageOwned::ScmRights(raw) = control {
                fds.extend(raw.into_iter().map(witness::sys::descriptor::received));
            }
        }
        (message.bytes, fds)
    };
    bytes.truncate(count);
    Ok((bytes, fds))
}
