//! TCP and UDP on the loopback device: a listener, a connection to itself with unread data in both
//! directions, and two connected UDP sockets.

use std::io::{self, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::{AsFd, BorrowedFd};

use nix::sys::socket::{getsockopt, setsockopt, sockopt};

use witness::PATIENCE;
use witness::place::pattern;
use witness::streams::peek;
use witness::streams::receive;
use witness::{Findings, Witness};

const TO_SERVER: usize = 5000;
const TO_CLIENT: usize = 700;

/// What a socket says about itself.
type Names = (SocketAddr, SocketAddr, bool, bool);

/// The witness.
#[derive(Debug)]
pub(crate) struct Inet {
    listener: TcpListener,
    address: SocketAddr,
    client: TcpStream,
    client_names: Names,
    server: TcpStream,
    server_names: Names,
    udp: UdpSocket,
    udp_peer: UdpSocket,
    udp_names: (SocketAddr, SocketAddr),
}

impl Inet {
    /// Makes them and sends what stays unread.
    pub(crate) fn new() -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        let mut client = TcpStream::connect(address)?;
        let (mut server, _) = listener.accept()?;
        client.set_nodelay(true)?;
        setsockopt(&server, sockopt::KeepAlive, &true)?;
        client.write_all(&pattern(20, TO_SERVER))?;
        server.write_all(&pattern(21, TO_CLIENT))?;
        client.set_read_timeout(Some(PATIENCE))?;
        server.set_read_timeout(Some(PATIENCE))?;
        let (udp, udp_peer) = udp_pair()?;
        Ok(Inet {
            listener,
            address,
            client_names: names(&client)?,
            client,
            server_names: names(&server)?,
            server,
            udp_names: (udp.local_addr()?, udp.peer_addr()?),
            udp,
            udp_peer,
        })
    }

    /// The end of the connection that has more to read.
    pub(crate) fn server(&self) -> BorrowedFd<'_> {
        self.server.as_fd()
    }

    fn check_udp(&self, findings: &mut Findings) {
        let found = self.udp.local_addr().and_then(|local| Ok((local, self.udp.peer_addr()?)));
        if let Some(found) = findings.tried("udp.addresses", found) {
            findings.equal("udp.addresses", self.udp_names, found);
        }
    }
}

impl Witness for Inet {
    fn name(&self) -> &'static str {
        "inet"
    }

    fn check(&mut self, findings: &mut Findings) {
        if let Some(found) = findings.tried("listener.address", self.listener.local_addr()) {
            findings.equal("listener.address", self.address, found);
        }
        let ends = [
            ("client", &self.client, self.client_names),
            ("server", &self.server, self.server_names),
        ];
        for (name, socket, expected) in ends {
            if let Some(found) = findings.tried(&format!("{name}.names"), names(socket)) {
                findings.equal(&format!("{name}.names"), expected, found);
            }
            let error = socket.take_error().map(|error| error.map(|error| error.to_string()));
            if let Some(found) = findings.tried(&format!("{name}.error"), error) {
                findings.equal(&format!("{name}.error"), None, found);
            }
        }
        peek("server.unread", &self.server, &pattern(20, TO_SERVER), findings);
        peek("client.unread", &self.client, &pattern(21, TO_CLIENT), findings);
        self.check_udp(findings);
    }

    fn finish(&mut self, findings: &mut Findings) {
        receive("server.content", &mut self.server, &pattern(20, TO_SERVER), findings);
        receive("client.content", &mut self.client, &pattern(21, TO_CLIENT), findings);
        findings.tried("client.write", self.client.write_all(b"to server"));
        receive("server.goes_on", &mut self.server, b"to server", findings);
        findings.tried("server.write", self.server.write_all(b"to client"));
        receive("client.goes_on", &mut self.client, b"to client", findings);
        self.listens(findings);
        self.udp_goes_on(findings);
    }
}

impl Inet {
    fn listens(&self, findings: &mut Findings) {
        let accepted = TcpStream::connect(self.address).and_then(|mut client| {
            client.write_all(b"again")?;
            self.listener.accept()
        });
        if let Some((mut server, _)) = findings.tried("listener.accept", accepted) {
            findings.tried("listener.timeout", server.set_read_timeout(Some(PATIENCE)));
            receive("listener.content", &mut server, b"again", findings);
        }
    }

    fn udp_goes_on(&self, findings: &mut Findings) {
        findings.tried("udp.send", self.udp.send(b"datagram"));
        let mut buffer = [0; 32];
        if let Some(bytes) = findings.tried("udp.receive", self.udp_peer.recv(&mut buffer)) {
            findings.bytes("udp.content", b"datagram", &buffer[..bytes]);
        }
    }
}

fn names(socket: &TcpStream) -> io::Result<Names> {
    let keep_alive = getsockopt(socket, sockopt::KeepAlive)?;
    Ok((socket.local_addr()?, socket.peer_addr()?, socket.nodelay()?, keep_alive))
}

fn udp_pair() -> io::Result<(UdpSocket, UdpSocket)> {
    let one = UdpSocket::bind("127.0.0.1:0")?;
    let other = UdpSocket::bind("127.0.0.1:0")?;
    one.connect(other.local_addr()?)?;
    other.connect(one.local_addr()?)?;
    other.set_read_timeout(Some(PATIENCE))?;
    Ok((one, other))
}
