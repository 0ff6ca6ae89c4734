//! TCP: connections in several states and with data in their buffers, listeners, and options.
//!
//! Left out: connections that nobody has accepted yet, which CRIU refuses; urgent data, which it does
//! not know; what a connection to oneself has not sent yet, since CRIU sends that while it restores,
//! to a socket that need not be there (soccr/soccr.c, restore_send_queue()); a state that ends by itself
//! (TIME-WAIT), and a connection whose other end no process has.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;

use nix::sys::socket::{
    AddressFamily, Backlog, SockFlag, SockType, SockaddrStorage, bind, getsockname, getsockopt,
    listen, setsockopt, socket, sockopt,
};
use witness::place::{Place, pattern};
use witness::streams::receive;
use witness::sys::descriptor;
use witness::waiting::Waiting;
use witness::{Context, Findings, PATIENCE, Seen, Subject, Witness, record};

/// How often it is looked whether all has been acknowledged.
const MOST_LOOKS: usize = 1_000_000;

pub(super) fn set_up(_: &Place) -> io::Result<Vec<Box<dyn Witness>>> {
    Ok(vec![
        record(Connections::new().context("connections")?),
        record(Buffers::new().context("buffers")?),
        record(Listeners::new().context("listeners")?),
        record(Unconnected::new().context("sockets without a connection")?),
    ])
}

/// Both ends of a connection.
struct Pair {
    name: &'static str,
    client: TcpStream,
    server: TcpStream,
}

impl Pair {
    fn new(name: &'static str, listener: &TcpListener, to: SocketAddr) -> io::Result<Self> {
        let client = TcpStream::connect(to)?;
        let (server, _) = listener.accept()?;
        for end in [&client, &server] {
            end.set_read_timeout(Some(PATIENCE))?;
        }
        Ok(Pair { name, client, server })
    }

    fn state(&self) -> (Option<u8>, Option<u8>) {
        let of = |end| descriptor::tcp_state(end).ok();
        (of(&self.client), of(&self.server))
    }
}

/// Connections over both versions of IP, and ones that are closed in one direction.
struct Connections {
    plain: Pair,
    sixth: Pair,
    mapped: Pair,
    client_done: Pair,
    server_done: Pair,
    listeners: [TcpListener; 2],
}

impl Connections {
    fn new() -> io::Result<Self> {
        let fourth = TcpListener::bind("127.0.0.1:0")?;
        let sixth = TcpListener::bind("[::]:0")?;
        let (to, port) = (fourth.local_addr()?, sixth.local_addr()?.port());
        let pair = |name| Pair::new(name, &fourth, to);
        let mut it = Connections {
            plain: pair("plain")?,
            sixth: Pair::new(
                "sixth",
                &sixth,
                format!("[::1]:{port}").parse().map_err(io::Error::other)?,
            )?,
            mapped: Pair::new("mapped", &sixth, SocketAddr::from(([127, 0, 0, 1], port)))?,
            client_done: pair("client_done")?,
            server_done: pair("server_done")?,
            listeners: [fourth, sixth],
        };
        it.plain.client.write_all(&pattern(8, 200))?;
        it.plain.server.write_all(&pattern(9, 300))?;
        it.sixth.client.write_all(&pattern(1, 3000))?;
        it.sixth.server.write_all(&pattern(2, 100))?;
        it.mapped.server.write_all(&pattern(3, 1000))?;
        it.client_done.client.write_all(&pattern(4, 400))?;
        it.client_done.server.write_all(&pattern(5, 500))?;
        it.client_done.client.shutdown(Shutdown::Write)?;
        it.server_done.server.write_all(&pattern(6, 600))?;
        it.server_done.server.shutdown(Shutdown::Write)?;
        options(&it.plain)?;
        for pair in it.pairs() {
            acknowledged(&pair.client)?;
            acknowledged(&pair.server)?;
        }
        Ok(it)
    }

    fn pairs(&self) -> [&Pair; 5] {
        [&self.plain, &self.sixth, &self.mapped, &self.client_done, &self.server_done]
    }
}

/// Options that CRIU has a place for.
fn options(pair: &Pair) -> io::Result<()> {
    pair.client.set_nodelay(true)?;
    setsockopt(&pair.client, sockopt::KeepAlive, &true)?;
    setsockopt(&pair.client, sockopt::TcpKeepIdle, &1234)?;
    setsockopt(&pair.client, sockopt::TcpKeepInterval, &77)?;
    setsockopt(&pair.client, sockopt::TcpKeepCount, &5)?;
    setsockopt(&pair.server, sockopt::OobInline, &true)?;
    setsockopt(&pair.server, sockopt::Priority, &4)?;
    pair.server.set_write_timeout(Some(PATIENCE))
}

impl Subject for Connections {
    fn name(&self) -> &'static str {
        "connections"
    }

    fn look(&mut self, seen: &mut Seen) {
        for pair in self.pairs() {
            let name = |what: &str| format!("{}.{what}", pair.name);
            seen.note(name("states"), io::Result::Ok(pair.state()));
            seen.note(name("client"), pair.client.local_addr());
            seen.note(name("client.peer"), pair.client.peer_addr());
            seen.note(name("server"), pair.server.local_addr());
            seen.note(name("server.peer"), pair.server.peer_addr());
            seen.note(name("client.unread"), descriptor::unread(&pair.client));
            seen.note(name("server.unread"), descriptor::unread(&pair.server));
        }
        let Pair { client, server, .. } = &self.plain;
        seen.note("plain.nodelay", client.nodelay());
        seen.note("plain.keep_alive", getsockopt(client, sockopt::KeepAlive));
        seen.note("plain.keep_idle", getsockopt(client, sockopt::TcpKeepIdle));
        seen.note("plain.keep_interval", getsockopt(client, sockopt::TcpKeepInterval));
        seen.note("plain.keep_count", getsockopt(client, sockopt::TcpKeepCount));
        seen.note("plain.oob_inline", getsockopt(server, sockopt::OobInline));
        seen.note("plain.priority", getsockopt(server, sockopt::Priority));
        seen.note("plain.write_timeout", server.write_timeout());
        seen.note("done.write", (&self.client_done.client).write(b"x"));
        seen.note("listeners", self.listeners[0].local_addr());
        seen.note("listeners.sixth", self.listeners[1].local_addr());
    }

    fn go_on(&mut self, findings: &mut Findings) {
        let Connections { plain, sixth, mapped, client_done, server_done, .. } = self;
        receive("plain.server", &mut plain.server, &pattern(8, 200), findings);
        receive("plain.client", &mut plain.client, &pattern(9, 300), findings);
        receive("sixth.server", &mut sixth.server, &pattern(1, 3000), findings);
        receive("sixth.client", &mut sixth.client, &pattern(2, 100), findings);
        receive("mapped.client", &mut mapped.client, &pattern(3, 1000), findings);
        receive("client_done.server", &mut client_done.server, &pattern(4, 400), findings);
        receive("client_done.client", &mut client_done.client, &pattern(5, 500), findings);
        findings.gives("client_done.end", 0, client_done.server.read(&mut [0]));
        receive("server_done.client", &mut server_done.client, &pattern(6, 600), findings);
        findings.gives("server_done.end", 0, server_done.client.read(&mut [0]));
        for pair in [&mut *plain, &mut *sixth, &mut *mapped, &mut *server_done] {
            findings.tried(&format!("{}.write", pair.name), pair.client.write_all(b"to server"));
            receive(&format!("{}.up", pair.name), &mut pair.server, b"to server", findings);
        }
        for pair in [plain, sixth, mapped, client_done] {
            findings.tried(&format!("{}.answer", pair.name), pair.server.write_all(b"to client"));
            receive(&format!("{}.down", pair.name), &mut pair.client, b"to client", findings);
        }
    }
}

/// A connection with small buffers that hold much of what fits, and one at which a thread waits.
struct Buffers {
    pair: Pair,
    reader: Waiting<usize>,
    quiet: TcpStream,
}

/// As many bytes as the small receive buffer takes, so that all of them have arrived.
const ARRIVED: usize = 4000;

impl Buffers {
    fn new() -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        setsockopt(&listener, sockopt::RcvBuf, &8192)?;
        let mut pair = Pair::new("buffers", &listener, listener.local_addr()?)?;
        setsockopt(&pair.client, sockopt::SndBuf, &16384)?;
        pair.client.write_all(&pattern(7, ARRIVED))?;
        let waits = Pair::new("waits", &listener, listener.local_addr()?)?;
        waits.server.set_read_timeout(None)?;
        let mut server = waits.server;
        let reader =
            Waiting::start("tcp-reader", libc::SYS_recvfrom, move || server.read(&mut [0; 9]))?;
        acknowledged(&pair.client)?;
        Ok(Buffers { pair, reader, quiet: waits.client })
    }
}

/// Waits until all that was sent has been acknowledged.
fn acknowledged(socket: &TcpStream) -> io::Result<()> {
    for _ in 0..MOST_LOOKS {
        if descriptor::unsent(socket)? == 0 {
            return Ok(());
        }
        std::thread::yield_now();
    }
    Err(io::ErrorKind::TimedOut.into())
}

impl Subject for Buffers {
    fn name(&self) -> &'static str {
        "buffers"
    }

    fn look(&mut self, seen: &mut Seen) {
        seen.note("states", io::Result::Ok(self.pair.state()));
        seen.note("unread", descriptor::unread(&self.pair.server));
        seen.note("unsent", descriptor::unsent(&self.pair.client));
    }

    fn go_on(&mut self, findings: &mut Findings) {
        receive("content", &mut self.pair.server, &pattern(7, ARRIVED), findings);
        findings.tried("write", self.pair.client.write_all(b"room again"));
        receive("goes_on", &mut self.pair.server, b"room again", findings);
        self.reader.still(findings);
        findings.tried("quiet.write", self.quiet.write_all(b"wake"));
        findings.gives("reader", 4, self.reader.woken());
    }
}

/// Listeners that share a port, one with a small queue, and one at which a thread waits.
struct Listeners {
    shared: [OwnedFd; 2],
    only_sixth: OwnedFd,
    awaited: SocketAddr,
    accepts: Waiting<SocketAddr>,
}

impl Listeners {
    fn new() -> io::Result<Self> {
        let one = shared_listener(0)?;
        let port = port(&one)?;
        let other = shared_listener(port)?;
        let only_sixth = new_socket(AddressFamily::Inet6)?;
        setsockopt(&only_sixth, sockopt::Ipv6V6Only, &true)?;
        bind_to(&only_sixth, &format!("[::1]:{port}"))?;
        listen(&only_sixth, Backlog::new(1)?)?;
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let awaited = listener.local_addr()?;
        let accepts = Waiting::start("tcp-acceptor", libc::SYS_accept4, move || {
            listener.accept().map(|(_, peer)| peer)
        })?;
        Ok(Listeners { shared: [one, other], only_sixth, awaited, accepts })
    }
}

fn new_socket(family: AddressFamily) -> io::Result<OwnedFd> {
    Ok(socket(family, SockType::Stream, SockFlag::SOCK_CLOEXEC, None)?)
}

fn bind_to(fd: &OwnedFd, address: &str) -> io::Result<()> {
    use std::os::fd::AsRawFd;
    let address: SocketAddr = address.parse().map_err(io::Error::other)?;
    Ok(bind(fd.as_raw_fd(), &SockaddrStorage::from(address))?)
}

fn port(fd: &OwnedFd) -> io::Result<u16> {
    use std::os::fd::AsRawFd;
    let address: SockaddrStorage = getsockname(fd.as_raw_fd())?;
    let port = address.as_sockaddr_in().map(nix::sys::socket::SockaddrIn::port);
    port.ok_or_else(|| io::ErrorKind::AddrNotAvailable.into())
}

fn shared_listener(port: u16) -> io::Result<OwnedFd> {
    let fd = new_socket(AddressFamily::Inet)?;
    setsockopt(&fd, sockopt::ReuseAddr, &true)?;
    setsockopt(&fd, sockopt::ReusePort, &true)?;
    bind_to(&fd, &format!("127.0.0.1:{port}"))?;
    listen(&fd, Backlog::new(7)?)?;
    Ok(fd)
}

impl Subject for Listeners {
    fn name(&self) -> &'static str {
        "listeners"
    }

    fn look(&mut self, seen: &mut Seen) {
        for (index, fd) in self.shared.iter().enumerate() {
            seen.note(format!("shared.{index}.port"), port(fd));
            seen.note(format!("shared.{index}.reuse"), getsockopt(fd, sockopt::ReusePort));
            seen.note(format!("shared.{index}.state"), descriptor::tcp_state(fd));
        }
        seen.note("only_sixth", getsockopt(&self.only_sixth, sockopt::Ipv6V6Only));
    }

    fn go_on(&mut self, findings: &mut Findings) {
        self.accepts.still(findings);
        if let Some(client) = findings.tried("connect", TcpStream::connect(self.awaited)) {
            let expected = client.local_addr().ok();
            findings.gives("accepted", expected, self.accepts.woken().map(Some));
        }
        let Some(port) = findings.tried("port", port(&self.shared[0])) else { return };
        findings.tried("shared.connect", TcpStream::connect(("127.0.0.1", port)));
        findings.tried("only_sixth.connect", TcpStream::connect(("::1", port)));
        let refused = TcpListener::bind(("127.0.0.1", port)).err().map(|it| it.kind());
        findings.equal("shared.taken", Some(io::ErrorKind::AddrInUse), refused);
    }
}

/// Sockets of which one has no address yet, and the other no connection.
struct Unconnected {
    fresh: OwnedFd,
    bound: OwnedFd,
}

impl Unconnected {
    fn new() -> io::Result<Self> {
        let (fresh, bound) = (new_socket(AddressFamily::Inet)?, new_socket(AddressFamily::Inet)?);
        bind_to(&bound, "127.0.0.1:0")?;
        Ok(Unconnected { fresh, bound })
    }
}

impl Subject for Unconnected {
    fn name(&self) -> &'static str {
        "unconnected"
    }

    fn look(&mut self, seen: &mut Seen) {
        seen.note("fresh.port", port(&self.fresh));
        seen.note("bound.port", port(&self.bound));
        seen.note("fresh.state", descriptor::tcp_state(&self.fresh));
        seen.note("bound.state", descriptor::tcp_state(&self.bound));
    }

    fn go_on(&mut self, findings: &mut Findings) {
        let listened = Backlog::new(2).and_then(|backlog| listen(&self.bound, backlog));
        findings.tried("bound.listen", witness::io(listened));
        let Some(port) = findings.tried("bound.port", port(&self.bound)) else { return };
        findings.tried("bound.connect", TcpStream::connect(("127.0.0.1", port)));
    }
}
