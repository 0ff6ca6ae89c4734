//! Network devices and their addresses, by messages of rtnetlink(7): starting `ip` would cost more
//! than all the rest of a node's becoming.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::{AsRawFd, OwnedFd};
use std::str::FromStr;

use anyhow::{Context, ensure};
use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, connect, recv, send,
    socket,
};

/// In every network namespace the loopback device is the first.
pub(crate) const LOOPBACK: u32 = 1;

/// Length of `struct nlmsghdr`.
const HEADER: usize = 16;

/// Length of `struct ifaddrmsg`.
const ADDRESS_HEADER: usize = 8;

/// `ifa_scope` of addresses that the kernel makes itself for a link.
const LINK_SCOPE: u8 = 253;

/// An IP address of a device, with the length of its prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Address {
    ip: IpAddr,
    prefix: u8,
}

impl FromStr for Address {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> anyhow::Result<Address> {
        let wrong = || format!("`{text}` is no address such as 10.77.0.1/24");
        let (ip, prefix) = text.split_once('/').with_context(wrong)?;
        let (ip, prefix): (IpAddr, u8) = match (ip.parse(), prefix.parse()) {
            (Ok(ip), Ok(prefix)) => (ip, prefix),
            _ => anyhow::bail!(wrong()),
        };
        ensure!(prefix <= if ip.is_ipv4() { 32 } else { 128 }, wrong());
        Ok(Address { ip, prefix })
    }
}

/// A socket to the kernel's tables of devices and addresses.
#[derive(Debug)]
pub(crate) struct Rtnetlink {
    socket: OwnedFd,
}

impl Rtnetlink {
    /// Opens one.
    pub(crate) fn open() -> io::Result<Rtnetlink> {
        let (kind, protocol) = (SockType::Raw, SockProtocol::NetlinkRoute);
        let socket = socket(AddressFamily::Netlink, kind, SockFlag::SOCK_CLOEXEC, protocol)?;
        connect(socket.as_raw_fd(), &NetlinkAddr::new(0, 0))?;
        Ok(Rtnetlink { socket })
    }

    /// Brings a device up, with another hardware address if one is given.
    pub(crate) fn bring_up(&self, device: u32, mac: Option<[u8; 6]>) -> io::Result<()> {
        let message = Message::link(device, true);
        self.change(match mac {
            Some(mac) => message.attribute(libc::IFLA_ADDRESS, &mac),
            None => message,
        })
    }

    /// Takes a device down; it keeps its IPv4 addresses.
    pub(crate) fn take_down(&self, device: u32) -> io::Result<()> {
        self.change(Message::link(device, false))
    }

    /// Adds an address; fine when the device has it.
    pub(crate) fn add(&self, device: u32, address: Address) -> io::Result<()> {
        let flags = libc::NLM_F_CREATE | libc::NLM_F_EXCL;
        match self.change(Message::address(libc::RTM_NEWADDR, flags, device, address)) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            other => other,
        }
    }

    /// Takes an address away.
    pub(crate) fn remove(&self, device: u32, address: Address) -> io::Result<()> {
        self.change(Message::address(libc::RTM_DELADDR, 0, device, address))
    }

    /// The addresses of a device, but for those that the kernel made itself for the link.
    pub(crate) fn addresses(&self, device: u32) -> io::Result<Vec<Address>> {
        let dump = Message::new(libc::RTM_GETADDR, libc::NLM_F_DUMP, &[0; ADDRESS_HEADER]);
        self.send(dump)?;
        let mut found = Vec::new();
        loop {
            let answer = self.receive()?;
            for message in messages(&answer) {
                match i32::from(message.kind) {
                    libc::NLMSG_DONE => return Ok(found),
                    libc::NLMSG_ERROR => return Err(refusal(message.body)),
                    _ => found.extend(message.address_of(device)),
                }
            }
        }
    }

    fn change(&self, message: Message) -> io::Result<()> {
        self.send(message)?;
        let answer = self.receive()?;
        match messages(&answer).next() {
            Some(Incoming { kind, body }) if i32::from(kind) == libc::NLMSG_ERROR => {
                if body.starts_with(&[0; 4]) { Ok(()) } else { Err(refusal(body)) }
            }
            _ => Err(nonsense()),
        }
    }

    fn send(&self, message: Message) -> io::Result<()> {
        send(self.socket.as_raw_fd(), &message.finish(), MsgFlags::empty())?;
        Ok(())
    }

    fn receive(&self) -> io::Result<Vec<u8>> {
        // The kernel makes the parts of a dump no larger than this (net/netlink/af_netlink.c).
        let mut answer = vec![0; 32 << 10];
        let length = recv(self.socket.as_raw_fd(), &mut answer, MsgFlags::empty())?;
        answer.truncate(length);
        Ok(answer)
    }
}

/// A message in the making: a header, the kind's own header, attributes.
#[derive(Debug)]
struct Message {
    bytes: Vec<u8>,
}

impl Message {
    fn new(kind: u16, flags: i32, body: &[u8]) -> Message {
        let flags = (libc::NLM_F_REQUEST | libc::NLM_F_ACK | flags) as u16;
        let mut bytes = vec![0; HEADER];
        bytes[4..6].copy_from_slice(&kind.to_ne_bytes());
        bytes[6..8].copy_from_slice(&flags.to_ne_bytes());
        bytes.extend_from_slice(body);
        Message { bytes }
    }

    /// Changes a device (`struct ifinfomsg`): of its flags only the one that says it is up.
    fn link(device: u32, up: bool) -> Message {
        let flag = libc::IFF_UP.cast_unsigned();
        let words = [0, device, if up { flag } else { 0 }, flag].map(u32::to_ne_bytes);
        Message::new(libc::RTM_NEWLINK, 0, words.as_flattened())
    }

    /// Concerns an address (`struct ifaddrmsg`). IPv6 does not ask around whether somebody else has
    /// it: it can be used at once.
    fn address(kind: u16, flags: i32, device: u32, address: Address) -> Message {
        let Address { ip, prefix } = address;
        let (family, flag) = match ip {
            IpAddr::V4(_) => (libc::AF_INET, 0),
            IpAddr::V6(_) => (libc::AF_INET6, libc::IFA_F_NODAD as u8),
        };
        let mut body = vec![family as u8, prefix, flag, 0];
        body.extend(device.to_ne_bytes());
        let message = Message::new(kind, flags, &body);
        match ip {
            IpAddr::V4(ip) => {
                let message = message.attribute(libc::IFA_LOCAL, &ip.octets());
                let broadcast = ip.to_bits() | u32::MAX.checked_shr(prefix.into()).unwrap_or(0);
                let message = message.attribute(libc::IFA_ADDRESS, &ip.octets());
                message.attribute(libc::IFA_BROADCAST, &broadcast.to_be_bytes())
            }
            IpAddr::V6(ip) => message.attribute(libc::IFA_ADDRESS, &ip.octets()),
        }
    }

    /// Adds a `struct rtattr`.
    fn attribute(mut self, kind: u16, value: &[u8]) -> Message {
        self.bytes.extend(((4 + value.len()) as u16).to_ne_bytes());
        self.bytes.extend(kind.to_ne_bytes());
        self.bytes.extend_from_slice(value);
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
        self
    }

    fn finish(mut self) -> Vec<u8> {
        let length = self.bytes.len() as u32;
        self.bytes[..4].copy_from_slice(&length.to_ne_bytes());
        self.bytes
    }
}

/// A message of the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Incoming<'a> {
    kind: u16,
    body: &'a [u8],
}

impl Incoming<'_> {
    /// The address that the message tells, if it is one of this device and somebody gave it.
    fn address_of(&self, device: u32) -> Option<Address> {
        let (header, attributes) = self.body.split_at_checked(ADDRESS_HEADER)?;
        let (prefix, scope) = (header[1], header[3]);
        let index = u32::from_ne_bytes(header[4..].try_into().ok()?);
        if self.kind != libc::RTM_NEWADDR || index != device || scope == LINK_SCOPE {
            return None;
        }
        let value = attribute(attributes, libc::IFA_LOCAL)
            .or_else(|| attribute(attributes, libc::IFA_ADDRESS))?;
        Some(Address { ip: ip(value)?, prefix })
    }
}

fn ip(value: &[u8]) -> Option<IpAddr> {
    match value.len() {
        4 => Some(Ipv4Addr::from(<[u8; 4]>::try_from(value).ok()?).into()),
        16 => Some(Ipv6Addr::from(<[u8; 16]>::try_from(value).ok()?).into()),
        _ => None,
    }
}

/// The messages in an answer, up to the first that is cut off.
fn messages(mut answer: &[u8]) -> impl Iterator<Item = Incoming<'_>> {
    std::iter::from_fn(move || {
        let length = u32::from_ne_bytes(answer.get(..4)?.try_into().ok()?) as usize;
        let kind = u16::from_ne_bytes(answer.get(4..6)?.try_into().ok()?);
        let body = answer.get(HEADER..length)?;
        answer = answer.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some(Incoming { kind, body })
    })
}

fn attribute(mut attributes: &[u8], wanted: u16) -> Option<&[u8]> {
    loop {
        let length = usize::from(u16::from_ne_bytes(attributes.get(..2)?.try_into().ok()?));
        let kind = u16::from_ne_bytes(attributes.get(2..4)?.try_into().ok()?);
        let value = attributes.get(4..length)?;
        if kind == wanted {
            return Some(value);
        }
        attributes = attributes.get(length.next_multiple_of(4)..)?;
    }
}

/// What NLMSG_ERROR says: a negative error number.
fn refusal(body: &[u8]) -> io::Error {
    let number = body.get(..4).and_then(|bytes| bytes.try_into().ok()).map(i32::from_ne_bytes);
    number.map_or_else(nonsense, |number| Errno::from_raw(number.wrapping_neg()).into())
}

fn nonsense() -> io::Error {
    io::Error::other("the kernel's answer makes no sense")
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[test]
    fn a_message_says_its_own_length_and_touches_one_flag() {
        let message = Message::link(LOOPBACK, true).finish();
        assert_eq!(message.len(), 32);
        assert_eq!(message[..4], 32u32.to_ne_bytes());
        assert_eq!(message[24..28], message[28..32]);
        let mac = Message::link(7, true).attribute(libc::IFLA_ADDRESS, &[2, 0, 0, 0, 0, 9]);
        assert_eq!(mac.finish()[32..], [10, 0, 1, 0, 2, 0, 0, 0, 0, 9, 0, 0]);
    }

    #[rstest]
    #[case("10.77.0.1/24", Some("10.77.0.255"))]
    #[case("10.77.0.1/32", Some("10.77.0.1"))]
    #[case("10.77.0.1/0", Some("255.255.255.255"))]
    #[case("fd00::1/64", None)]
    fn an_address_is_read_back_as_it_was_written(
        #[case] text: &str,
        #[case] broadcast: Option<&str>,
    ) {
        let address: Address = text.parse().expect("an address");
        let message = Message::address(libc::RTM_NEWADDR, 0, 3, address).finish();
        let incoming = messages(&message).next().expect("a message");
        assert_eq!(incoming.address_of(3), Some(address));
        assert_eq!(incoming.address_of(4), None);
        let found = attribute(&incoming.body[ADDRESS_HEADER..], libc::IFA_BROADCAST).and_then(ip);
        assert_eq!(found, broadcast.map(|text| text.parse().expect("an address")));
    }

    #[rstest]
    #[case("10.77.0.1")]
    #[case("10.77.0.1/33")]
    #[case("10.77.0/24")]
    #[case("fd00::1/129")]
    #[case("a/b")]
    fn what_is_no_address_is_refused_by_name(#[case] text: &str) {
        let error = text.parse::<Address>().expect_err("no address");
        assert!(error.to_string().contains(text), "{error}");
    }

    #[test]
    fn a_refusal_carries_the_error_number() {
        assert_eq!(refusal(&(-libc::EPERM).to_ne_bytes()).raw_os_error(), Some(libc::EPERM));
        assert_eq!(refusal(b"no").kind(), io::ErrorKind::Other);
    }

    #[test]
    fn an_answer_that_is_cut_off_ends_there() {
        let whole = Message::link(1, true).finish();
        assert_eq!(messages(&[whole.clone(), whole.clone()].concat()).count(), 2);
        assert_eq!(messages(&[&whole[..], &whole[..20]].concat()).count(), 1);
        assert_eq!(messages(b"short").count(), 0);
        assert_eq!(messages(&[0; 16]).count(), 0);
    }
}
