//! Sockets: addresses, options, queues and what is in them.

use std::os::fd::BorrowedFd;

use crate::error::Result;
use crate::facts::Facts;
use crate::source::open_file::OpenFile;
use crate::source::socket_options::{LEVELS, Shape};
use crate::sys;

const SO_TYPE: i32 = 3;
const SO_DOMAIN: i32 = 39;
const SO_PROTOCOL: i32 = 38;
const SO_PEEK_OFF: i32 = 42;

pub(crate) fn put(
    open: &OpenFile<'_>,
    socket: BorrowedFd<'_>,
    inode: u64,
    facts: &mut Facts,
) -> Result<()> {
    let ask = |option| sys::socket_option(socket, libc::SOL_SOCKET, option);
    let number = |option| ask(option).map(|value| int(&value)).map_err(open.failed("getsockopt"));
    let (domain, protocol) = (number(SO_DOMAIN)?, number(SO_PROTOCOL)?);
    let name = format!("{}.socket", open.name);
    facts.put(format!("{name}.ino"), inode);
    addresses(&name, socket, facts);
    options(open, &name, socket, (domain, protocol), facts);
    filter(&name, socket, facts);
    open.sockets.put(domain, &name, inode, facts);
    if domain != libc::AF_UNIX {
        queues(&name, socket, facts);
    }
    content(open, &name, socket, facts)
}

fn addresses(name: &str, socket: BorrowedFd<'_>, facts: &mut Facts) {
    for (peer, word) in [(false, "sockname"), (true, "peername")] {
        // Not connected, or no address: that is told by the other facts.
        if let Ok(address) = sys::socket_name(socket, peer) {
            facts.put(format!("{name}.{word}"), address_text(&address));
        }
    }
}

fn address_text(address: &[u8]) -> String {
    let family = address.get(..2).map_or(0, |head| u16::from_ne_bytes([head[0], head[1]]));
    let rest = address.get(2..).unwrap_or_default();
    match i32::from(family) {
        libc::AF_UNIX if rest.first() == Some(&0) => {
            format!("@{}", crate::read::one_line(&rest[1..]))
        }
        libc::AF_UNIX => {
            crate::read::one_line(rest.split(|&byte| byte == 0).next().unwrap_or(rest))
        }
        libc::AF_INET if rest.len() >= 6 => {
            let port = u16::from_be_bytes([rest[0], rest[1]]);
            format!("{}.{}.{}.{}:{port}", rest[2], rest[3], rest[4], rest[5])
        }
        _ => format!("family {family} {}", hex(rest)),
    }
}

fn options(
    open: &OpenFile<'_>,
    name: &str,
    socket: BorrowedFd<'_>,
    (domain, protocol): (i32, i32),
    facts: &mut Facts,
) {
    for level in LEVELS.iter().filter(|level| level.applies(domain, protocol)) {
        for option in level.options.iter().filter(|option| !useless(option.name, protocol)) {
            // An option that this kind of socket, or this kernel, does not have.
            let Ok(value) = sys::socket_option(socket, level.number, option.number) else {
                continue;
            };
            let text = match option.shape {
                Shape::Plain => plain(&value),
                Shape::Text => {
                    crate::read::one_line(value.split(|&b| b == 0).next().unwrap_or(&value))
                }
                Shape::Seconds => seconds(&value),
                Shape::Credentials => credentials(open, &value),
                Shape::TcpInfo => tcp_info(&value),
            };
            // Without a peer there is no path to estimate: it is what somebody has set.
            let set = option.name == "tcp_maxseg" && sys::socket_name(socket, true).is_err();
            let place = if set { "unconnected." } else { "" };
            facts.put(format!("{name}.{place}{}", option.name), text);
        }
    }
}

/// The attached filter. One of eBPF shows nothing but that it is there.
fn filter(name: &str, socket: BorrowedFd<'_>, facts: &mut Facts) {
    let name = format!("{name}.so_get_filter");
    match sys::socket_filter(socket) {
        Ok(filter) => facts.content(name, &filter),
        Err(error) if error.raw_os_error() == Some(libc::EACCES) => facts.put(name, "eBPF"),
        // This kind of socket takes none.
        Err(_) => {}
    }
}

/// TCP has no multicast; an accepted connection has the peer's TTL there.
fn useless(option: &str, protocol: i32) -> bool {
    protocol == libc::IPPROTO_TCP && option.contains("_multicast_")
}

fn queues(name: &str, socket: BorrowedFd<'_>, facts: &mut Facts) {
    for (word, request) in [("siocinq", libc::FIONREAD), ("siocoutq", libc::TIOCOUTQ)] {
        if let Ok(bytes) = sys::ioctl_int(socket, request) {
            facts.put(format!("{name}.{word}"), bytes);
        }
    }
}

/// What waits to be read: a stream as a whole, or datagrams one by one.
fn content(
    open: &OpenFile<'_>,
    name: &str,
    socket: BorrowedFd<'_>,
    facts: &mut Facts,
) -> Result<()> {
    let ask = |option| sys::socket_option(socket, libc::SOL_SOCKET, option);
    let offset = ask(SO_PEEK_OFF).map(|value| int(&value)).ok();
    if offset.is_some_and(|offset| offset >= 0) {
        facts.not_offered(format!("{name}.content"), "looking would move the socket's peek offset");
        return Ok(());
    }
    let stream = ask(SO_TYPE).is_ok_and(|kind| int(&kind) == libc::SOCK_STREAM);
    if stream || offset.is_none() {
        facts.content(format!("{name}.content"), &peek(socket).unwrap_or_default());
        return Ok(());
    }
    let _moving = sys::PeekOffset::set(socket).map_err(open.failed("setting SO_PEEK_OFF"))?;
    let mut index = 0;
    while let Some(datagram) = peek(socket) {
        facts.content(format!("{name}.datagram.{index}.content"), &datagram);
        // An empty one would be seen again and again.
        if datagram.is_empty() {
            break;
        }
        index += 1;
    }
    Ok(())
}

/// What can be read at once, left there; nothing when nothing waits.
fn peek(socket: BorrowedFd<'_>) -> Option<Vec<u8>> {
    const LARGEST_DATAGRAM: usize = 256 << 10;
    let waiting = sys::ioctl_int(socket, libc::FIONREAD).unwrap_or_default().max(0) as usize;
    let mut buffer = vec![0u8; waiting.clamp(LARGEST_DATAGRAM, 16 << 20)];
    let got = sys::peek(socket, &mut buffer).ok()?;
    buffer.truncate(got);
    Some(buffer)
}

fn int(value: &[u8]) -> i32 {
    i32::from_ne_bytes(std::array::from_fn(|at| value.get(at).copied().unwrap_or_default()))
}

fn plain(value: &[u8]) -> String {
    match value.len() {
        1 => value[0].to_string(),
        4 => int(value).to_string(),
        _ => hex(value),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A `struct timeval`.
fn seconds(value: &[u8]) -> String {
    let word = |at: usize| {
        i64::from_ne_bytes(std::array::from_fn(|i| value.get(at + i).copied().unwrap_or_default()))
    };
    format!("{}.{:06}", word(0), word(8))
}

/// A `struct ucred`, whose pid is the reader's.
fn credentials(open: &OpenFile<'_>, value: &[u8]) -> String {
    let field = |index: usize| int(value.get(index * 4..).unwrap_or_default());
    format!("pid {} uid {} gid {}", open.pod.inner(field(0)), field(1), field(2))
}

/// State, negotiated options and window scales of `struct tcp_info`; the rest of it estimates
/// the path.
fn tcp_info(value: &[u8]) -> String {
    let byte = |at: usize| value.get(at).copied().unwrap_or_default();
    format!("state {} options {:#x} wscale {:#04x}", byte(0), byte(5), byte(6))
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case(&[2, 0, 0x18, 0xeb, 127, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0], "127.0.0.1:6379")]
    #[case(&[1, 0, 0, b'a', b'b'], "@ab")]
    #[case(&[1, 0, b'/', b'r', 0], "/r")]
    fn addresses_are_written_as_people_write_them(#[case] raw: &[u8], #[case] text: &str) {
        assert_eq!(address_text(raw), text);
    }
}
