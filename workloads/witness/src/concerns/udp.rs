//! UDP: bound, connected and neither, over both versions of IP, with options and groups.
//!
//! Left out: datagrams that are held back by UDP_CORK, which CRIU refuses.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::os::fd::OwnedFd;

use nix::sys::socket::{
    AddressFamily, SockFlag, SockType, getsockopt, setsockopt, socket, sockopt,
};
use witness::place::Place;
use witness::waiting::Waiting;
use witness::{Context, Findings, PATIENCE, Seen, Subject, Witness, record};

const GROUP: Ipv4Addr = Ipv4Addr::new(239, 7, 7, 7);

pub(super) fn set_up(_: &Place) -> io::Result<Vec<Box<dyn Witness>>> {
    Ok(vec![
        record(Sockets::new().context("sockets")?),
        record(Unread::new().context("unread datagrams")?),
        record(Group::new().context("a group")?),
    ])
}

/// Quiet sockets.
struct Sockets {
    server: UdpSocket,
    client: UdpSocket,
    sixth: UdpSocket,
    any: UdpSocket,
    shared: [OwnedFd; 2],
    fresh: OwnedFd,
    waits: Waiting<Vec<u8>>,
    awaited: SocketAddr,
}

impl Sockets {
    fn new() -> io::Result<Self> {
        let server = UdpSocket::bind("127.0.0.1:0")?;
        let client = UdpSocket::bind("127.0.0.1:0")?;
        client.connect(server.local_addr()?)?;
        server.set_read_timeout(Some(PATIENCE))?;
        client.set_broadcast(true)?;
        setsockopt(&client, sockopt::SndBuf, &50_000)?;
        setsockopt(&server, sockopt::RcvBuf, &60_000)?;
        let sixth = UdpSocket::bind("[::1]:0")?;
        sixth.connect(sixth.local_addr()?)?;
        sixth.set_read_timeout(Some(PATIENCE))?;
        let any = UdpSocket::bind("[::]:0")?;
        any.set_read_timeout(Some(PATIENCE))?;
        let reader = UdpSocket::bind("127.0.0.1:0")?;
        let awaited = reader.local_addr()?;
        let waits = Waiting::start("udp-reader", libc::SYS_recvfrom, move || {
            let mut bytes = vec![0; 50];
            let count = reader.recv(&mut bytes)?;
            bytes.truncate(count);
            Ok(bytes)
        })?;
        let shared = [unbound()?, unbound()?];
        for fd in &shared {
            setsockopt(fd, sockopt::ReuseAddr, &true)?;
            setsockopt(fd, sockopt::ReusePort, &true)?;
        }
        Ok(Sockets { server, client, sixth, any, shared, fresh: unbound()?, waits, awaited })
    }
}

fn unbound() -> io::Result<OwnedFd> {
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    Ok(socket(AddressFamily::Inet, SockType::Datagram, flags, None)?)
}

impl Subject for Sockets {
    fn name(&self) -> &'static str {
        "sockets"
    }

    fn look(&mut self, seen: &mut Seen) {
        let sockets = [
            ("server", &self.server),
            ("client", &self.client),
            ("sixth", &self.sixth),
            ("any", &self.any),
        ];
        for (name, socket) in sockets {
            seen.note(format!("{name}.local"), socket.local_addr());
            seen.note(format!("{name}.peer"), socket.peer_addr());
            seen.note(format!("{name}.read_timeout"), socket.read_timeout());
            seen.note(format!("{name}.broadcast"), socket.broadcast());
            seen.note(format!("{name}.sndbuf"), getsockopt(socket, sockopt::SndBuf));
            seen.note(format!("{name}.rcvbuf"), getsockopt(socket, sockopt::RcvBuf));
        }
        for (index, fd) in self.shared.iter().enumerate() {
            seen.note(format!("shared.{index}"), getsockopt(fd, sockopt::ReusePort));
        }
        seen.note("fresh", getsockopt(&self.fresh, sockopt::Broadcast));
    }

    fn go_on(&mut self, findings: &mut Findings) {
        let mut bytes = [0; 50];
        findings.tried("client.send", self.client.send(b"to the server"));
        let received = self.server.recv_from(&mut bytes);
        let from = self.client.local_addr();
        if let (Some((13, found)), Ok(from)) = (findings.tried("server.receive", received), from) {
            findings.equal("server.from", from, found);
        } else {
            findings.lose("server.received", "13 bytes".to_owned(), "another number".to_owned());
        }
        findings.tried("sixth.send", self.sixth.send(b"to itself"));
        findings.gives("sixth.receive", 9, self.sixth.recv(&mut bytes));
        if let Some(address) = findings.tried("any.address", self.any.local_addr()) {
            let to = SocketAddr::from(([127, 0, 0, 1], address.port()));
            findings.tried("any.send", self.server.send_to(b"mapped", to));
            findings.gives("any.receive", 6, self.any.recv(&mut bytes));
        }
        self.waits.still(findings);
        findings.tried("waits.send", self.server.send_to(b"wake", self.awaited));
        findings.gives("waits", b"wake".to_vec(), self.waits.woken());
    }
}

/// A socket with datagrams that nobody has read.
struct Unread {
    receiver: UdpSocket,
    sender: UdpSocket,
}

const MESSAGES: [&[u8]; 3] = [b"first", b"", b"third and last"];

impl Unread {
    fn new() -> io::Result<Self> {
        let receiver = UdpSocket::bind("127.0.0.1:0")?;
        receiver.set_nonblocking(true)?;
        let sender = UdpSocket::bind("127.0.0.1:0")?;
        sender.connect(receiver.local_addr()?)?;
        for message in MESSAGES {
            sender.send(message)?;
        }
        Ok(Unread { receiver, sender })
    }
}

impl Subject for Unread {
    fn name(&self) -> &'static str {
        "unread"
    }

    fn look(&mut self, seen: &mut Seen) {
        seen.note("receiver", self.receiver.local_addr());
    }

    fn go_on(&mut self, findings: &mut Findings) {
        let mut bytes = [0; 50];
        for (index, message) in MESSAGES.iter().enumerate() {
            let received = self.receiver.recv(&mut bytes).map(|count| bytes[..count].to_vec());
            findings.gives(&format!("message.{index}"), message.to_vec(), received);
        }
        findings.tried("send", self.sender.send(b"later"));
        findings.gives("goes_on", 5, self.receiver.recv(&mut bytes));
    }
}

/// A member of a multicast group on the loopback device.
struct Group {
    member: UdpSocket,
    sender: UdpSocket,
}

impl Group {
    fn new() -> io::Result<Self> {
        let member = UdpSocket::bind("0.0.0.0:0")?;
        member.join_multicast_v4(&GROUP, &Ipv4Addr::LOCALHOST)?;
        member.set_nonblocking(true)?;
        let sender = UdpSocket::bind("127.0.0.1:0")?;
        sender.set_multicast_ttl_v4(3)?;
        sender.set_ttl(33)?;
        Ok(Group { member, sender })
    }
}

impl Subject for Group {
    fn name(&self) -> &'static str {
        "group"
    }

    fn look(&mut self, seen: &mut Seen) {
        seen.note("member", self.member.local_addr());
        seen.note("sender.multicast_ttl", self.sender.multicast_ttl_v4());
        seen.note("sender.ttl", self.sender.ttl());
    }

    fn go_on(&mut self, findings: &mut Findings) {
        let joined = self.member.join_multicast_v4(&GROUP, &Ipv4Addr::LOCALHOST);
        let refused = joined.err().and_then(|it| it.raw_os_error());
        findings.equal("member.is_one", Some(libc::EADDRINUSE), refused);
    }
}
