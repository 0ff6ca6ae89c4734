//! Descriptors that tell of events: epoll in its modes, counters, signals, inotify, and who waits.
//!
//! Left out: userfaultfd, io_uring and fanotify, which CRIU refuses or a container may not use; what
//! `lossy` shows (a counter that is a semaphore); timers, which are a concern of their own.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::eventfd::{EfdFlags, EventFd};
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify, InotifyEvent};
use nix::sys::signal::{SigSet, Signal, kill};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::unistd::getpid;
use witness::place::Place;
use witness::sys::signal;
use witness::waiting::Waiting;
use witness::{Context, Findings, Seen, Subject, Witness, io as as_io, record};

pub(super) fn set_up(place: &Place) -> io::Result<Vec<Box<dyn Witness>>> {
    signal::block(&[libc::SIGUSR1, libc::SIGUSR2])?;
    Ok(vec![
        record(Polls::new().context("epoll")?),
        record(Counters::new().context("event counters")?),
        record(Signals::new().context("descriptors for signals")?),
        record(Watches::new(place).context("inotify")?),
    ])
}

fn counter(count: u32) -> io::Result<EventFd> {
    let flags = EfdFlags::EFD_NONBLOCK | EfdFlags::EFD_CLOEXEC;
    as_io(EventFd::from_value_and_flags(count, flags))
}

/// An epoll that watches in several modes, one that watches it, and one at which a thread waits.
struct Polls {
    counters: [EventFd; 5],
    modes: Epoll,
    outer: Epoll,
    bell: EventFd,
    waits: Waiting<u64>,
}

/// What is watched: how, and with what word. Of those, the second is ready and was told already.
const MODES: [(i32, u64); 5] = [
    (libc::EPOLLIN, 0x1111_2222_3333_4444),
    (libc::EPOLLIN | libc::EPOLLONESHOT, 2),
    (libc::EPOLLIN | libc::EPOLLEXCLUSIVE, 3),
    (libc::EPOLLOUT | libc::EPOLLET, u64::MAX),
    (libc::EPOLLPRI | libc::EPOLLRDHUP, 5),
];

/// Place of the mode that tells once only.
const ONCE: usize = 1;

/// Place of the mode that tells of a change only.
const EDGE: usize = 3;

impl Polls {
    fn new() -> io::Result<Self> {
        let counters = [counter(1)?, counter(2)?, counter(3)?, counter(4)?, counter(5)?];
        let modes = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
        for (counter, (flags, word)) in counters.iter().zip(MODES) {
            modes.add(counter, EpollEvent::new(EpollFlags::from_bits_retain(flags), word))?;
        }
        // What tells once has told; the edge has been told, too.
        ready(&modes)?;
        let outer = Epoll::new(EpollCreateFlags::empty())?;
        outer.add(&modes.0, EpollEvent::new(EpollFlags::EPOLLIN, 77))?;
        let bell = counter(0)?;
        let waited = Arc::new(Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?);
        waited.add(&bell, EpollEvent::new(EpollFlags::EPOLLIN, 99))?;
        let waits = Waiting::start("epoll-waiter", libc::SYS_epoll_wait, move || {
            let mut events = [EpollEvent::empty(); 3];
            waited.wait(&mut events, EpollTimeout::NONE)?;
            Ok(events[0].data())
        })?;
        Ok(Polls { counters, modes, outer, bell, waits })
    }
}

/// What is ready now, by its words.
fn ready(epoll: &Epoll) -> io::Result<BTreeSet<(u64, u32)>> {
    let mut events = [EpollEvent::empty(); 16];
    let count = epoll.wait(&mut events, EpollTimeout::ZERO)?;
    Ok(events[..count].iter().map(|it| (it.data(), it.events().bits() as u32)).collect())
}

impl Subject for Polls {
    fn name(&self) -> &'static str {
        "epoll"
    }

    fn look(&mut self, seen: &mut Seen) {
        let found = ready(&self.modes).unwrap_or_default();
        for (index, (_, word)) in MODES.iter().enumerate() {
            let told = found.iter().find(|(it, _)| it == word).map(|(_, events)| events);
            seen.note(format!("mode.{index}"), io::Result::Ok(told));
        }
        seen.note("outer", ready(&self.outer));
    }

    fn go_on(&mut self, findings: &mut Findings) {
        let (flags, word) = MODES[ONCE];
        let mut event = EpollEvent::new(EpollFlags::from_bits_retain(flags), word);
        findings.tried("once.again", as_io(self.modes.modify(&self.counters[ONCE], &mut event)));
        findings.gives("edge.read", 4, as_io(self.counters[EDGE].read()));
        if let Some(found) = findings.tried("ready", ready(&self.modes)) {
            let found: Vec<u64> = found.into_iter().map(|(word, _)| word).collect();
            findings.equal("ready", vec![2, 3, MODES[0].1, u64::MAX], found);
        }
        self.waits.still(findings);
        findings.tried("bell", as_io(self.bell.write(1)));
        findings.gives("waits", 99, self.waits.woken());
    }
}

/// A counter that is large, and one that is empty, at which a thread waits.
struct Counters {
    large: EventFd,
    empty: Arc<EventFd>,
    reader: Waiting<u64>,
}

/// More than fits into 32 bits.
const LARGE: u64 = 7 << 32 | 5;

impl Counters {
    fn new() -> io::Result<Self> {
        let large = counter(0)?;
        large.write(LARGE)?;
        let empty = Arc::new(EventFd::from_value_and_flags(0, EfdFlags::EFD_CLOEXEC)?);
        let takes = Arc::clone(&empty);
        let reader = Waiting::start("counter-reader", libc::SYS_read, move || as_io(takes.read()))?;
        Ok(Counters { large, empty, reader })
    }
}

impl Subject for Counters {
    fn name(&self) -> &'static str {
        "counters"
    }

    fn look(&mut self, seen: &mut Seen) {
        let ready = |fd: BorrowedFd<'_>| {
            use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
            let mut wanted = [PollFd::new(fd, PollFlags::POLLIN | PollFlags::POLLOUT)];
            poll(&mut wanted, PollTimeout::ZERO).map(|_| wanted[0].revents().map(|it| it.bits()))
        };
        seen.note("large", ready(self.large.as_fd()));
        seen.note("empty", ready(self.empty.as_fd()));
    }

    fn go_on(&mut self, findings: &mut Findings) {
        self.reader.still(findings);
        findings.gives("large.count", LARGE, as_io(self.large.read()));
        findings.tried("empty.write", as_io(self.empty.write(11)));
        findings.gives("reader", 11, self.reader.woken());
    }
}

/// Two descriptors for other signals, one with a signal that waits.
struct Signals {
    first: SignalFd,
    second: SignalFd,
}

impl Signals {
    fn new() -> io::Result<Self> {
        let flags = SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC;
        let first = SignalFd::with_flags(&SigSet::from(Signal::SIGUSR1), flags)?;
        let both = SigSet::from_iter([Signal::SIGUSR2, Signal::SIGCONT]);
        let second = SignalFd::with_flags(&both, flags)?;
        kill(getpid(), Signal::SIGUSR2)?;
        Ok(Signals { first, second })
    }
}

impl Subject for Signals {
    fn name(&self) -> &'static str {
        "signals"
    }

    fn look(&mut self, seen: &mut Seen) {
        let nothing = self.first.read_signal().map(|it| it.map(|info| info.ssi_signo));
        seen.note("first", nothing);
        seen.note("pending", signal::pending().map(|it| it & !signal::bits(&[libc::SIGTERM])));
    }

    fn go_on(&mut self, findings: &mut Findings) {
        let read = |fd: &SignalFd| {
            as_io(fd.read_signal()).map(|it| it.map(|info| (info.ssi_signo, info.ssi_pid)))
        };
        let pid = std::process::id();
        findings.gives("second", Some((libc::SIGUSR2 as u32, pid)), read(&self.second));
        findings.tried("kill", as_io(kill(getpid(), Signal::SIGUSR1)));
        findings.gives("first", Some((libc::SIGUSR1 as u32, pid)), read(&self.first));
        findings.gives("second.empty", None, read(&self.second));
    }
}

/// Watches of files and folders, with numbers of which some are free.
struct Watches {
    inotify: Inotify,
    folder: PathBuf,
}

impl Watches {
    fn new(place: &Place) -> io::Result<Self> {
        let folder = place.shm.join(format!("watched-{}", std::process::id()));
        fs::create_dir_all(folder.join("inner"))?;
        for name in ["one", "two", "three"] {
            fs::write(folder.join(name), name)?;
        }
        let inotify = Inotify::init(InitFlags::IN_NONBLOCK | InitFlags::IN_CLOEXEC)?;
        let add = |name: &str, flags| inotify.add_watch(&folder.join(name), flags);
        add("one", AddWatchFlags::IN_MODIFY)?;
        let gone = add("two", AddWatchFlags::IN_ACCESS)?;
        add("three", AddWatchFlags::IN_ATTRIB | AddWatchFlags::IN_ONESHOT)?;
        let changes = AddWatchFlags::IN_CREATE | AddWatchFlags::IN_MOVE | AddWatchFlags::IN_DELETE;
        let special = AddWatchFlags::from_bits_retain(libc::IN_ONLYDIR | libc::IN_EXCL_UNLINK);
        add("inner", changes | special)?;
        inotify.rm_watch(gone)?;
        // That a watch is gone is told.
        inotify.read_events()?;
        Ok(Watches { inotify, folder })
    }

    /// What has happened: number of the watch, what, and a name.
    fn events(&self) -> io::Result<Vec<String>> {
        let events = as_io(self.inotify.read_events())?;
        Ok(events.into_iter().map(|it| told(&it)).collect())
    }
}

fn told(event: &InotifyEvent) -> String {
    // Only Debug shows the number: `WatchDescriptor { wd: 1 }`.
    let number: String = format!("{:?}", event.wd).chars().filter(char::is_ascii_digit).collect();
    let names: Vec<&str> = event.mask.iter_names().map(|(name, _)| name).collect();
    let name = event.name.as_ref().map(|it| it.to_string_lossy()).unwrap_or_default();
    format!("{number} {} {name}", names.join("|"))
}

impl Subject for Watches {
    fn name(&self) -> &'static str {
        "inotify"
    }

    fn look(&mut self, seen: &mut Seen) {
        seen.note("nothing", self.events());
    }

    fn go_on(&mut self, findings: &mut Findings) {
        let mut told = Vec::new();
        let steps: [(&str, Step); 5] = [
            ("one", |folder| fs::write(folder.join("one"), b"changed")),
            ("two", |folder| fs::read(folder.join("two")).map(drop)),
            ("three", |folder| {
                let path = folder.join("three");
                fs::set_permissions(&path, fs::metadata(&path)?.permissions())
            }),
            ("create", |folder| fs::write(folder.join("inner/new"), b"")),
            ("rename", |folder| fs::rename(folder.join("inner/new"), folder.join("inner/old"))),
        ];
        for (name, step) in steps {
            findings.tried(name, step(&self.folder));
            match self.events() {
                Ok(events) => told.extend(events),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => findings.lose(name, "events".to_owned(), error.to_string()),
            }
        }
        findings.equal("events", EVENTS.map(str::to_owned).to_vec(), told);
    }
}

/// Something that is done in the folder.
type Step = fn(&Path) -> io::Result<()>;

/// What is told of those steps: number of the watch, what, and the name in the folder.
const EVENTS: [&str; 6] = [
    "1 IN_MODIFY ",
    "3 IN_ATTRIB ",
    "3 IN_IGNORED ",
    "4 IN_CREATE new",
    "4 IN_MOVED_FROM new",
    "4 IN_MOVED_TO old",
];

impl Drop for Watches {
    fn drop(&mut self) {
        // It goes with the pod; where there is none, this is what is left to do.
        fs::remove_dir_all(&self.folder).ok();
    }
}
