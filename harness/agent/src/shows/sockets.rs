//! Socket options: every number of every level is asked of a fresh socket of each kind.
#![expect(unsafe_code, reason = "getsockopt(2) of numbers that nobody has a name for")]

use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use super::Shown;

/// Family, type and protocol.
const SOCKETS: &[(i32, i32, i32)] = &[
    (libc::AF_UNIX, libc::SOCK_STREAM, 0),
    (libc::AF_UNIX, libc::SOCK_DGRAM, 0),
    (libc::AF_INET, libc::SOCK_STREAM, libc::IPPROTO_TCP),
    (libc::AF_INET, libc::SOCK_STREAM, libc::IPPROTO_MPTCP),
    (libc::AF_INET, libc::SOCK_DGRAM, libc::IPPROTO_UDP),
    (libc::AF_INET, libc::SOCK_DGRAM, libc::IPPROTO_ICMP),
    (libc::AF_INET, libc::SOCK_RAW, libc::IPPROTO_ICMP),
    (libc::AF_INET6, libc::SOCK_STREAM, libc::IPPROTO_TCP),
    (libc::AF_INET6, libc::SOCK_DGRAM, libc::IPPROTO_UDP),
    (libc::AF_INET6, libc::SOCK_RAW, libc::IPPROTO_ICMPV6),
    (libc::AF_NETLINK, libc::SOCK_RAW, libc::NETLINK_ROUTE),
    (libc::AF_PACKET, libc::SOCK_RAW, 0),
    (libc::AF_VSOCK, libc::SOCK_STREAM, 0),
];

/// Levels that these sockets have.
const LEVELS: &[i32] = &[
    libc::SOL_SOCKET,
    libc::IPPROTO_IP,
    libc::IPPROTO_IPV6,
    libc::IPPROTO_TCP,
    libc::IPPROTO_UDP,
    libc::IPPROTO_RAW,
    libc::IPPROTO_ICMPV6,
    libc::SOL_NETLINK,
    libc::SOL_PACKET,
    libc::AF_VSOCK,
    284, // SOL_MPTCP
];

/// Asks all of them in the network namespace of the calling thread.
pub(super) fn all(shown: &mut Shown) -> anyhow::Result<()> {
    for &(family, kind, protocol) in SOCKETS {
        let Some(socket) = socket(family, kind, protocol) else { continue };
        for &level in LEVELS {
            for number in 0..128 {
                if let Some(value) = option(&socket, level, number) {
                    let name = state::option_name(level, number).map(str::to_owned);
                    let name = name.unwrap_or_else(|| format!("level_{level}_option_{number}"));
                    shown.add("getsockopt(2) by pidfd_getfd(2)", &name, &format!("{value:x?}"));
                }
            }
        }
    }
    Ok(())
}

fn socket(family: i32, kind: i32, protocol: i32) -> Option<OwnedFd> {
    // SAFETY: takes numbers only.
    let fd = unsafe { libc::socket(family, kind | libc::SOCK_CLOEXEC, protocol) };
    // SAFETY: the kernel has just made this descriptor for us.
    (fd >= 0).then(|| unsafe { OwnedFd::from_raw_fd(fd) })
}

fn option(socket: &OwnedFd, level: i32, number: i32) -> Option<Vec<u8>> {
    let mut value = vec![0u8; 1024];
    let mut length = value.len() as libc::socklen_t;
    // SAFETY: the kernel writes at most `length` bytes into `value`.
    let answered = unsafe {
        let value = value.as_mut_ptr().cast();
        libc::getsockopt(socket.as_raw_fd(), level, number, value, &raw mut length)
    };
    value.truncate(length as usize);
    (answered == 0).then_some(value)
}
