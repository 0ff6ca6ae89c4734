//! The kernel's word that a device has appeared.

use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, bind, recv, socket,
};

/// The multicast group of the kernel itself.
const KERNEL_GROUP: u32 = 1;

/// Devices appear while a driver probes in the background: this listens for them.
#[derive(Debug)]
pub(crate) struct Uevents {
    socket: OwnedFd,
}

impl Uevents {
    /// Listens from now on.
    fn open() -> nix::Result<Uevents> {
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        let protocol = SockProtocol::NetlinkKObjectUEvent;
        let socket = socket(AddressFamily::Netlink, SockType::Datagram, flags, protocol)?;
        bind(socket.as_raw_fd(), &NetlinkAddr::new(0, KERNEL_GROUP))?;
        Ok(Uevents { socket })
    }

    /// Looks, and looks again at each event, until there is something to see. Nothing by the
    /// deadline is `None`.
    pub(crate) fn until<T>(
        deadline: Duration,
        mut look: impl FnMut() -> Option<T>,
    ) -> nix::Result<Option<T>> {
        let events = Uevents::open()?;
        let until = Instant::now() + deadline;
        loop {
            if let Some(found) = look() {
                return Ok(Some(found));
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(None);
            }
            events.wait(left)?;
        }
    }

    fn wait(&self, timeout: Duration) -> nix::Result<()> {
        let timeout = PollTimeout::try_from(timeout).unwrap_or(PollTimeout::MAX);
        poll(&mut [PollFd::new(self.socket.as_fd(), PollFlags::POLLIN)], timeout)?;
        // What the events say does not matter, not even whether some were lost: who waits looks.
        let mut buffer = [0; 8192];
        while recv(self.socket.as_raw_fd(), &mut buffer, MsgFlags::empty()).is_ok() {}
        Ok(())
    }
}
