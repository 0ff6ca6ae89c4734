//! Unix sockets: pairs with data in flight, and listeners by path and by abstract name.

use std::io::{self, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram, UnixListener, UnixStream};

use nix::sys::socket::{setsockopt, sockopt};

use witness::PATIENCE;
use witness::place::{Place, pattern};
use witness::streams::{peek, receive};
use witness::{Context, Findings, Witness};

const SEND_BUFFER_BYTES: usize = 40_000;
const MESSAGES: [&[u8]; 3] = [b"first", b"second message", b"3"];

/// The witness.
#[derive(Debug)]
pub(crate) struct Unix {
    left: UnixStream,
    right: UnixStream,
    sender: UnixDatagram,
    receiver: UnixDatagram,
    by_path: UnixListener,
    by_name: UnixListener,
    send_buffer: usize,
}

impl Unix {
    /// Makes them and sends what stays in flight.
    pub(crate) fn new(place: &Place) -> io::Result<Self> {
        let (mut left, mut right) = UnixStream::pair()?;
        left.write_all(&pattern(10, 3000))?;
        right.write_all(&pattern(11, 200))?;
        left.set_read_timeout(Some(PATIENCE))?;
        right.set_read_timeout(Some(PATIENCE))?;
        setsockopt(&left, sockopt::SndBuf, &SEND_BUFFER_BYTES)?;
        let send_buffer = send_buffer(&left)?;
        let (sender, receiver) = UnixDatagram::pair()?;
        receiver.set_nonblocking(true)?;
        for message in MESSAGES {
            sender.send(message)?;
        }
        let path = place.path("socket");
        let by_path = UnixListener::bind(&path).context(path.display())?;
        let name = format!("counter-{}", std::process::id());
        let by_name = UnixListener::bind_addr(&SocketAddr::from_abstract_name(name)?)?;
        Ok(Unix { left, right, sender, receiver, by_path, by_name, send_buffer })
    }

    /// The end of the stream that has more to read.
    pub(crate) fn stream(&self) -> BorrowedFd<'_> {
        self.right.as_fd()
    }
}

impl Witness for Unix {
    fn name(&self) -> &'static str {
        "unix"
    }

    fn check(&mut self, findings: &mut Findings) {
        peek("stream.to_right", &self.right, &pattern(10, 3000), findings);
        peek("stream.to_left", &self.left, &pattern(11, 200), findings);
        peek("datagrams.first", &self.receiver, MESSAGES[0], findings);
        if let Some(found) = findings.tried("stream.sndbuf", send_buffer(&self.left)) {
            findings.equal("stream.sndbuf", self.send_buffer, found);
        }
        for (name, listener) in [("path", &self.by_path), ("abstract", &self.by_name)] {
            let address = listener.local_addr().map(|address| format!("{address:?}"));
            findings.tried(&format!("{name}.address"), address);
        }
    }

    fn finish(&mut self, findings: &mut Findings) {
        receive("stream.content.to_right", &mut self.right, &pattern(10, 3000), findings);
        receive("stream.content.to_left", &mut self.left, &pattern(11, 200), findings);
        findings.tried("stream.write", self.left.write_all(b"after the event"));
        receive("stream.goes_on", &mut self.right, b"after the event", findings);
        for (index, message) in MESSAGES.into_iter().enumerate() {
            self.expect_message(&format!("datagrams.{index}"), message, findings);
        }
        findings.tried("datagrams.write", self.sender.send(b"after"));
        self.expect_message("datagrams.goes_on", b"after", findings);
        listens("path", &self.by_path, findings);
        listens("abstract", &self.by_name, findings);
    }
}

impl Unix {
    fn expect_message(&self, name: &str, expected: &[u8], findings: &mut Findings) {
        let mut buffer = [0; 100];
        if let Some(bytes) = findings.tried(name, self.receiver.recv(&mut buffer)) {
            findings.bytes(name, expected, &buffer[..bytes]);
        }
    }
}

/// A listener can still be found by its address, and its connections carry data.
fn listens(name: &str, listener: &UnixListener, findings: &mut Findings) {
    let served = (|| {
        let mut client = UnixStream::connect_addr(&listener.local_addr()?)?;
        let (server, _) = listener.accept()?;
        server.set_read_timeout(Some(PATIENCE))?;
        client.write_all(name.as_bytes())?;
        Ok(server)
    })();
    if let Some(mut server) = findings.tried(&format!("{name}.connect"), served) {
        receive(&format!("{name}.content"), &mut server, name.as_bytes(), findings);
    }
}

fn send_buffer(socket: &UnixStream) -> io::Result<usize> {
    Ok(nix::sys::socket::getsockopt(socket, sockopt::SndBuf)?)
}
