//! A socket to the kernel's tables, and dumps of them.

use std::os::fd::{AsRawFd, OwnedFd};

use nix::errno::Errno;
use nix::sys::socket::{MsgFlags, recv, send};

use crate::error::{Error, Result};
use crate::facts::Facts;
use crate::sys;

/// Length of `struct nlmsghdr`.
const HEADER: usize = 16;

/// The kernel makes the parts of a dump no larger than this (net/netlink/af_netlink.c).
const PART: usize = 32 << 10;

/// A table changed while it was told. All of it is asked for again, so often at most.
const ATTEMPTS: u32 = 8;

const NLM_F_DUMP_INTR: u16 = 0x10;

/// A netlink socket in the network namespace of the thread that opened it.
#[derive(Debug)]
pub(crate) struct Netlink {
    socket: OwnedFd,
    family: &'static str,
    buffer: Vec<u8>,
}

/// A message of the kernel: what follows `struct nlmsghdr`.
pub(crate) type Message = Vec<u8>;

impl Netlink {
    /// Opens one, of a family that netlink(7) has. Where that is a module, asking loads it. A kernel
    /// without it does not offer the facts of these names.
    pub(crate) fn open(
        protocol: i32,
        family: &'static str,
        names: &[&str],
        facts: &mut Facts,
    ) -> Result<Option<Self>> {
        match sys::netlink(protocol) {
            Ok(socket) => Ok(Some(Netlink { socket, family, buffer: vec![0; PART] })),
            Err(error) => match error.raw_os_error().map(Errno::from_raw) {
                Some(errno) if refuses(errno) => {
                    names.iter().for_each(|name| facts.not_offered(*name, refusal(family, errno)));
                    Ok(None)
                }
                _ => Err(Error::call("netlink", family, error)),
            },
        }
    }

    /// All messages of a dump. A kernel that refuses does not offer the facts of these names, which
    /// is another thing than a table with nothing in it.
    pub(crate) fn table(
        &mut self,
        kind: u16,
        body: &[u8],
        names: &[&str],
        facts: &mut Facts,
    ) -> Result<Option<Vec<Message>>> {
        for _ in 0..ATTEMPTS {
            match self.dump_once(kind, body) {
                Ok(Some(messages)) => return Ok(Some(messages)),
                Ok(None) => {}
                Err(errno) if refuses(errno) => {
                    let why = refusal(&format!("{} dump {kind}", self.family), errno);
                    names.iter().for_each(|name| facts.not_offered(*name, &why));
                    return Ok(None);
                }
                Err(errno) => return Err(self.failed(kind, errno)),
            }
        }
        Err(self.failed(kind, Errno::EAGAIN))
    }

    fn failed(&self, kind: u16, errno: Errno) -> Error {
        Error::call("netlink", format!("{} dump {kind}", self.family), errno)
    }

    /// Nothing when the table changed meanwhile.
    fn dump_once(&mut self, kind: u16, body: &[u8]) -> nix::Result<Option<Vec<Message>>> {
        const DUMP: u16 = (libc::NLM_F_REQUEST | libc::NLM_F_DUMP) as u16;
        let mut request = Vec::with_capacity(HEADER + body.len());
        request.extend(((HEADER + body.len()) as u32).to_ne_bytes());
        request.extend(kind.to_ne_bytes());
        request.extend(DUMP.to_ne_bytes());
        request.extend([0; 8]);
        request.extend_from_slice(body);
        send(self.socket.as_raw_fd(), &request, MsgFlags::empty())?;
        let (mut messages, mut changed) = (Vec::new(), false);
        while !self.part(&mut messages, &mut changed)? {}
        Ok((!changed).then_some(messages))
    }

    /// Takes a part of a dump, and says whether it was the last.
    fn part(&mut self, messages: &mut Vec<Message>, changed: &mut bool) -> nix::Result<bool> {
        let got = self.receive()?;
        let mut rest = &self.buffer[..got];
        while rest.len() >= HEADER {
            let length = (u32_at(rest, 0) as usize).clamp(HEADER, rest.len());
            let body = &rest[HEADER..length];
            *changed |= u16_at(rest, 6) & NLM_F_DUMP_INTR != 0;
            match i32::from(u16_at(rest, 4)) {
                libc::NLMSG_DONE | libc::NLMSG_ERROR => return end(body).map(|()| true),
                libc::NLMSG_NOOP => {}
                _ => messages.push(body.to_vec()),
            }
            rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
        }
        Ok(false)
    }

    /// A signal is no reason to leave the rest of a dump behind.
    fn receive(&mut self) -> nix::Result<usize> {
        loop {
            match recv(self.socket.as_raw_fd(), &mut self.buffer, MsgFlags::empty()) {
                Err(Errno::EINTR) => {}
                got => return got,
            }
        }
    }
}

/// Whether a kernel says so that it does not know what it is asked: a family or a message that it
/// does not have (built without, or of a module that is not there).
fn refuses(errno: Errno) -> bool {
    matches!(
        errno,
        Errno::EOPNOTSUPP
            | Errno::EPROTONOSUPPORT
            | Errno::EAFNOSUPPORT
            | Errno::ESOCKTNOSUPPORT
            | Errno::ENOENT
            | Errno::EINVAL
    )
}

fn refusal(what: &str, errno: Errno) -> String {
    format!("this kernel refuses {what}: {}", errno.desc())
}

/// A dump's end has a negative error number, or zero.
fn end(body: &[u8]) -> nix::Result<()> {
    match u32_at(body, 0).cast_signed() {
        code if code >= 0 => Ok(()),
        code => Err(Errno::from_raw(code.wrapping_neg())),
    }
}

/// The number at a place, as this machine writes it; what is not there reads as zero.
pub(crate) fn u16_at(bytes: &[u8], at: usize) -> u16 {
    let bytes = bytes.get(at..at + 2).and_then(|bytes| bytes.try_into().ok());
    u16::from_ne_bytes(bytes.unwrap_or_default())
}

/// The number at a place, as this machine writes it; what is not there reads as zero.
pub(crate) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    let bytes = bytes.get(at..at + 4).and_then(|bytes| bytes.try_into().ok());
    u32::from_ne_bytes(bytes.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_that_the_kernel_does_not_know_is_not_offered_and_one_without_rows_is_empty() {
        const NO_SUCH_MESSAGE: u16 = 4094;
        let mut facts = Facts::default();
        let route = Netlink::open(libc::NETLINK_ROUTE, "rtnetlink", &[], &mut facts);
        let mut route = route.expect("a socket").expect("every kernel has it");
        let mut ask = |kind, body: &[u8], names| route.table(kind, body, &[names], &mut facts);
        let nobodys = [libc::AF_DECnet as u8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        let empty = ask(libc::RTM_GETNEIGH, &nobodys, "pod.empty.*").expect("a table");
        let refused = ask(NO_SUCH_MESSAGE, &[0; 12], "pod.nothing.*").expect("no failure");
        assert_eq!((empty, refused), (Some(Vec::new()), None));
        let unknown = Netlink::open(31, "nothing", &["pod.unknown.*"], &mut facts);
        assert!(unknown.expect("no failure").is_none());
        let told: Vec<_> = facts.not_offered.into_iter().collect();
        let words = |name: &str, why: &str| (name.to_owned(), format!("this kernel refuses {why}"));
        assert_eq!(
            told,
            [
                words(
                    "pod.nothing.*",
                    "rtnetlink dump 4094: Operation not supported on transport endpoint"
                ),
                words("pod.unknown.*", "nothing: Protocol not supported"),
            ]
        );
    }
}
