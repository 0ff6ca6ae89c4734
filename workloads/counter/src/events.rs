//! Two event counters, a descriptor for signals, and an epoll that watches a few descriptors.

use std::collections::BTreeSet;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::eventfd::{EfdFlags, EventFd};
use nix::sys::signal::{SigSet, Signal, kill};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::unistd::getpid;

use witness::proc;
use witness::{Findings, Witness};

const PLAIN: u32 = 7;
const OTHER: u32 = 3;

/// Counters with a count, and a descriptor that would tell SIGUSR1.
#[derive(Debug)]
pub(crate) struct Counters {
    plain: EventFd,
    other: EventFd,
    signals: SignalFd,
}

impl Counters {
    /// Makes them.
    pub(crate) fn new() -> io::Result<Self> {
        let flags = EfdFlags::EFD_NONBLOCK | EfdFlags::EFD_CLOEXEC;
        let signals = SigSet::from(Signal::SIGUSR1);
        Ok(Counters {
            plain: EventFd::from_value_and_flags(PLAIN, flags)?,
            other: EventFd::from_value(OTHER)?,
            signals: SignalFd::with_flags(&signals, SfdFlags::SFD_NONBLOCK)?,
        })
    }

    /// The counter that is read at once.
    pub(crate) fn plain(&self) -> BorrowedFd<'_> {
        self.plain.as_fd()
    }
}

impl Witness for Counters {
    fn name(&self) -> &'static str {
        "events"
    }

    fn check(&mut self, findings: &mut Findings) {
        for (name, counter, expected) in
            [("plain", &self.plain, PLAIN), ("other", &self.other, OTHER)]
        {
            if let Some(found) = findings.tried(name, line(counter, "eventfd-count")) {
                findings.equal(name, Some(format!("{expected:x}")), found);
            }
        }
        if let Some(found) = findings.tried("signalfd", line(&self.signals, "sigmask")) {
            let mask = format!("{:016x}", 1u64 << (libc::SIGUSR1 - 1));
            findings.equal("signalfd.sigmask", Some(mask), found);
        }
    }

    fn finish(&mut self, findings: &mut Findings) {
        let mut read = |name: &str, counter: &EventFd, expected: u64| {
            if let Some(found) = findings.tried(name, counter.read().map_err(io::Error::from)) {
                findings.equal(name, expected, found);
            }
        };
        read("plain.read", &self.plain, u64::from(PLAIN));
        read("other.read", &self.other, u64::from(OTHER));
        let written = self.plain.write(5).map_err(io::Error::from);
        findings.tried("plain.write", written);
        let sent = kill(getpid(), Signal::SIGUSR1).and_then(|()| self.signals.read_signal());
        if let Some(found) = findings.tried("signalfd.read", sent.map_err(io::Error::from)) {
            let found = found.map(|info| info.ssi_signo);
            findings.equal("signalfd.read", Some(libc::SIGUSR1 as u32), found);
        }
    }
}

/// A value of a descriptor's fdinfo.
fn line(fd: impl AsFd, name: &str) -> io::Result<Option<String>> {
    let info = proc::text(&format!("/proc/self/fdinfo/{}", fd.as_fd().as_raw_fd()))?;
    let value = |line: &str| Some(line.strip_prefix(name)?.strip_prefix(':')?.trim().to_owned());
    Ok(info.lines().find_map(value))
}

/// An epoll, and what it must report.
#[derive(Debug)]
pub(crate) struct Watch {
    epoll: Epoll,
    ready: BTreeSet<(u64, u32)>,
}

impl Watch {
    /// Watches named descriptors, and records what they report now.
    pub(crate) fn new(sources: &[(&str, BorrowedFd<'_>)]) -> io::Result<Self> {
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
        for (name, fd) in sources {
            let flags = EpollFlags::EPOLLIN | EpollFlags::EPOLLPRI;
            epoll.add(fd, EpollEvent::new(flags, token(name)))?;
        }
        let ready = ready(&epoll)?;
        Ok(Watch { epoll, ready })
    }
}

impl Witness for Watch {
    fn name(&self) -> &'static str {
        "epoll"
    }

    fn check(&mut self, findings: &mut Findings) {
        if let Some(found) = findings.tried("ready", ready(&self.epoll)) {
            findings.equal("ready", &self.ready, &found);
        }
    }

    fn finish(&mut self, findings: &mut Findings) {
        let Some(counter) = findings.tried("source", EventFd::new().map_err(io::Error::from))
        else {
            return;
        };
        let event = EpollEvent::new(EpollFlags::EPOLLOUT, token("late"));
        findings.tried("add", self.epoll.add(&counter, event).map_err(io::Error::from));
        self.ready.insert((token("late"), EpollFlags::EPOLLOUT.bits() as u32));
        self.check(findings);
    }
}

/// What an epoll reports for a descriptor: the first letters of its name.
fn token(name: &str) -> u64 {
    let mut bytes = [b' '; 8];
    for (place, byte) in bytes.iter_mut().zip(name.bytes()) {
        *place = byte;
    }
    u64::from_be_bytes(bytes)
}

fn ready(epoll: &Epoll) -> io::Result<BTreeSet<(u64, u32)>> {
    let mut events = [EpollEvent::empty(); 16];
    let count = epoll.wait(&mut events, EpollTimeout::ZERO)?;
    Ok(events[..count].iter().map(|it| (it.data(), it.events().bits() as u32)).collect())
}
