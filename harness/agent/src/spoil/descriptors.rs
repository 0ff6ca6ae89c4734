//! Open files, reached through `pidfd_getfd(2)`: position, flags, owner, locks, and what waits in
//! them.

use std::os::fd::{AsFd, OwnedFd};

use anyhow::{Context, bail};
use fs_err as fs;
use nix::unistd::{Whence, lseek, read, write};
use serde::{Deserialize, Serialize};

use super::act::{Act, Offers};
use super::outcome::{changed, refused};
use super::pod::Pod;
use super::sys;

/// A change of an open file.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Descriptor {
    pid: i32,
    fd: i32,
    change: Change,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Change {
    Offset,
    Flag(i32),
    Owner(i32),
    Signal,
    PipeSize,
    Take,
    Put,
    Seal(i32),
    Lease,
    RwHint,
    Attribute,
    Flock,
    LockRange,
    Count,
    TimerLater,
    TimerInterval,
    TimerOff,
    EpollLess { tfd: i32 },
    EpollEvents { tfd: i32, events: u32, data: u64 },
    EpollData { tfd: i32, events: u32, data: u64 },
    EpollMore,
    WatchMore,
    WatchLess { number: i32 },
}

const FLAGS: [(&str, i32); 5] = [
    ("append", libc::O_APPEND),
    ("nonblock", libc::O_NONBLOCK),
    ("noatime", libc::O_NOATIME),
    ("direct", libc::O_DIRECT),
    ("async", libc::O_ASYNC),
];

pub(super) fn offer(pod: &Pod, offers: &mut Offers) -> anyhow::Result<()> {
    for task in pod.living() {
        for entry in fs::read_dir(format!("/proc/{}/fd", task.pid))? {
            let fd: i32 = entry?.file_name().to_string_lossy().parse()?;
            let target = fs::read_link(format!("/proc/{}/fd/{fd}", task.pid))?;
            let target = target.display().to_string();
            let info = fs::read_to_string(format!("/proc/{}/fdinfo/{fd}", task.pid))?;
            let (pid, inner) = (task.pid, task.name.clone());
            let mut changes = of_any(pid, kind(&target));
            changes.extend(of_kind(&target, &info));
            if target.ends_with(" (deleted)") {
                changes.push(("attribute".to_owned(), Change::Attribute));
            }
            for (name, change) in changes {
                let place = format!("{inner}.fd.{fd}");
                let what = format!("{place} ({}): {change:?}", kind(&target));
                let act = Act::Descriptor(Descriptor { pid, fd, change });
                offers.live(format!("fd-{}/{place}/{name}", kind(&target)), what, &act);
            }
        }
    }
    Ok(())
}

/// The kind of a descriptor in one word.
fn kind(target: &str) -> &str {
    if target.starts_with("/memfd:") {
        return "memfd";
    }
    if target.starts_with('/') {
        return "file";
    }
    let kind = target.split([':', ']']).next().unwrap_or(target);
    match (kind, target.strip_prefix("anon_inode:")) {
        ("anon_inode", Some(kind)) => kind.trim_matches(['[', ']']),
        (kind, _) => kind,
    }
}

fn of_any(pid: i32, kind: &str) -> Vec<(String, Change)> {
    let takes = |flag: i32| match flag {
        libc::O_ASYNC => ["pipe", "socket"].contains(&kind),
        libc::O_DIRECT => kind == "pipe",
        _ => true,
    };
    let flags = FLAGS.iter().filter(|(_, flag)| takes(*flag));
    let mut changes: Vec<(String, Change)> =
        flags.map(|(name, flag)| (format!("flag-{name}"), Change::Flag(*flag))).collect();
    for (name, change) in
        [("owner", Change::Owner(pid)), ("signal", Change::Signal), ("flock", Change::Flock)]
    {
        changes.push((name.to_owned(), change));
    }
    changes
}

fn of_kind(target: &str, info: &str) -> Vec<(String, Change)> {
    let named = |all: Vec<(&str, Change)>| -> Vec<(String, Change)> {
        all.into_iter().map(|(name, change)| (name.to_owned(), change)).collect()
    };
    match kind(target) {
        "file" => named(vec![
            ("offset", Change::Offset),
            ("lease", Change::Lease),
            ("rw-hint", Change::RwHint),
            ("lock-range", Change::LockRange),
        ]),
        "memfd" => {
            let mut all =
                named(vec![("offset", Change::Offset), ("lock-range", Change::LockRange)]);
            for (name, seal) in [("seal", 1), ("shrink", 2), ("grow", 4), ("write", 8)] {
                all.push((format!("seal-{name}"), Change::Seal(seal)));
            }
            all
        }
        "pipe" => named(vec![
            ("size", Change::PipeSize),
            ("byte-less", Change::Take),
            ("byte-more", Change::Put),
        ]),
        "socket" => named(vec![("byte-less", Change::Take), ("byte-more", Change::Put)]),
        "eventfd" => named(vec![("count", Change::Count), ("byte-less", Change::Take)]),
        "timerfd" => named(vec![
            ("later", Change::TimerLater),
            ("interval", Change::TimerInterval),
            ("off", Change::TimerOff),
            ("ticks-less", Change::Take),
        ]),
        "eventpoll" => epoll_items(info),
        "inotify" => watches(info),
        _ => Vec::new(),
    }
}

fn epoll_items(info: &str) -> Vec<(String, Change)> {
    let mut all = vec![("item-more".to_owned(), Change::EpollMore)];
    for line in info.lines().filter(|line| line.starts_with("tfd:")) {
        let field = |key: &str| {
            let mut words = line.split_whitespace();
            words
                .find(|word| *word == key)
                .and_then(|_| words.next())
                .unwrap_or_default()
                .to_owned()
        };
        let (Ok(tfd), Ok(events), Ok(data)) = (
            field("tfd:").parse(),
            u32::from_str_radix(&field("events:"), 16),
            u64::from_str_radix(&field("data:"), 16),
        ) else {
            continue;
        };
        all.push((format!("item-less-{tfd}"), Change::EpollLess { tfd }));
        all.push((format!("item-events-{tfd}"), Change::EpollEvents { tfd, events, data }));
        all.push((format!("item-data-{tfd}"), Change::EpollData { tfd, events, data }));
    }
    all
}

fn watches(info: &str) -> Vec<(String, Change)> {
    let mut all = vec![("watch-more".to_owned(), Change::WatchMore)];
    for word in info.split_whitespace() {
        if let Some(number) =
            word.strip_prefix("wd:").and_then(|word| i32::from_str_radix(word, 16).ok())
        {
            all.push((format!("watch-less-{number}"), Change::WatchLess { number }));
        }
    }
    all
}

impl Descriptor {
    pub(super) fn carry_out(&self) -> anyhow::Result<()> {
        let file = sys::descriptor_of(self.pid, self.fd).context("pidfd_getfd")?;
        let before = self.seen(&file)?;
        self.change(&file)?;
        changed("the open file", &before, &self.seen(&file)?)
    }

    /// Everything about the open file that can be seen without changing it.
    fn seen(&self, file: &OwnedFd) -> anyhow::Result<Vec<String>> {
        let mut seen = vec![fs::read_to_string(format!("/proc/{}/fdinfo/{}", self.pid, self.fd))?];
        let numbers = [libc::F_GETOWN, 11, libc::F_GETPIPE_SZ, libc::F_GET_SEALS, libc::F_GETLEASE];
        for command in numbers {
            seen.push(format!("{:?}", sys::fcntl(file.as_fd(), command, 0).ok()));
        }
        let mut hint = 0;
        seen.push(format!("{:?} {hint}", sys::fcntl_word(file.as_fd(), 1035, &mut hint).is_ok()));
        seen.push(format!("{:?}", waiting(file)));
        seen.push(sys::open_attributes_bytes(file.as_fd()).to_string());
        Ok(seen)
    }

    fn change(&self, file: &OwnedFd) -> anyhow::Result<()> {
        match &self.change {
            Change::Offset => {
                let at =
                    lseek(file, 0, Whence::SeekCur).map_err(|errno| refused("lseek", errno))?;
                lseek(file, at + 1, Whence::SeekSet).map_err(|errno| refused("lseek", errno))?;
                Ok(())
            }
            Change::Flag(flag) => {
                let flags = sys::fcntl(file.as_fd(), libc::F_GETFL, 0)? as i32;
                self.fcntl(file, libc::F_SETFL, flags ^ flag)
            }
            Change::Owner(pid) => self.fcntl(file, libc::F_SETOWN, *pid),
            // F_SETSIG
            Change::Signal => self.fcntl(file, 10, 34),
            Change::PipeSize => {
                let size = sys::fcntl(file.as_fd(), libc::F_GETPIPE_SZ, 0)? as i32;
                self.fcntl(file, libc::F_SETPIPE_SZ, if size > 4096 { 4096 } else { 8192 })
            }
            Change::Seal(seal) => self.fcntl(file, libc::F_ADD_SEALS, *seal),
            Change::Lease => self.fcntl(file, libc::F_SETLEASE, libc::F_RDLCK),
            Change::RwHint => {
                let mut hint = 3;
                sys::fcntl_word(file.as_fd(), 1036, &mut hint)
                    .map_err(|error| refused("fcntl", error))
            }
            Change::Attribute => sys::set_open_attribute(file.as_fd(), c"trusted.spoiled", b"1")
                .map_err(|error| refused("the attribute", error)),
            Change::Flock => {
                let lock = libc::LOCK_SH | libc::LOCK_NB;
                sys::flock(file.as_fd(), lock).map_err(|error| refused("flock", error))
            }
            Change::LockRange => sys::lock_range(file.as_fd(), 1_000_000, 10)
                .map_err(|error| refused("the lock", error)),
            _ => self.change_kind(file),
        }
    }

    fn change_kind(&self, file: &OwnedFd) -> anyhow::Result<()> {
        match &self.change {
            Change::Take => take(file),
            Change::Put => {
                nonblocking(file, || write(file, b"!")).map_err(|errno| refused("write", errno))?;
                Ok(())
            }
            Change::Count => {
                nonblocking(file, || write(file, &1u64.to_ne_bytes()))
                    .map_err(|errno| refused("write", errno))?;
                Ok(())
            }
            Change::TimerLater | Change::TimerInterval | Change::TimerOff => {
                self.change_timer(file)
            }
            Change::EpollMore => {
                // The number is ours, the file is the task's, so that the item stays.
                let stays = sys::descriptor_of(self.pid, self.any_pollable()?)?;
                sys::epoll(file.as_fd(), 1, stays.as_fd(), 1, 77)
                    .map_err(|error| refused("epoll", error))
            }
            Change::EpollLess { tfd } => self.epoll(file, 2, *tfd, (0, 0)),
            Change::EpollEvents { tfd, events, data } => {
                self.epoll(file, 3, *tfd, (events ^ libc::EPOLLPRI as u32, *data))
            }
            Change::EpollData { tfd, events, data } => {
                self.epoll(file, 3, *tfd, (*events, data.wrapping_add(1)))
            }
            Change::WatchMore => {
                let root = std::ffi::CString::new(format!("/proc/{}/root/tmp", self.pid))?;
                sys::watch(file.as_fd(), &root, libc::IN_DELETE)
                    .map_err(|error| refused("the watch", error))
            }
            Change::WatchLess { number } => {
                sys::unwatch(file.as_fd(), *number).map_err(|error| refused("the watch", error))
            }
            other => bail!("{other:?} is no change of a kind"),
        }
    }

    fn change_timer(&self, file: &OwnedFd) -> anyhow::Result<()> {
        const HOUR_NS: i64 = 3_600_000_000_000;
        let (interval, value) = sys::timer(file.as_fd())?;
        let (interval, value) = match self.change {
            Change::TimerLater => (interval, value + HOUR_NS),
            Change::TimerInterval => (interval + 1_000_000, value.max(1)),
            _ => (0, 0),
        };
        Ok(sys::set_timer(file.as_fd(), interval, value)?)
    }

    fn fcntl(&self, file: &OwnedFd, command: i32, argument: i32) -> anyhow::Result<()> {
        sys::fcntl(file.as_fd(), command, argument).map_err(|error| refused("fcntl", error))?;
        Ok(())
    }

    /// An item is found by the number that the file had when it was added: the same number here.
    fn epoll(
        &self,
        epoll: &OwnedFd,
        operation: i32,
        tfd: i32,
        (events, data): (u32, u64),
    ) -> anyhow::Result<()> {
        let file = sys::descriptor_of(self.pid, tfd).map_err(|error| refused("its file", error))?;
        let same = nix::fcntl::fcntl(&file, nix::fcntl::FcntlArg::F_DUPFD(tfd))?;
        if same != tfd {
            return Err(refused("its number", "taken here"));
        }
        let same = sys::own_number(same);
        sys::epoll(epoll.as_fd(), operation, same.as_fd(), events, data)
            .map_err(|error| refused("epoll", error))
    }

    /// A pipe or socket of the same task.
    fn any_pollable(&self) -> anyhow::Result<i32> {
        for entry in fs::read_dir(format!("/proc/{}/fd", self.pid))? {
            let entry = entry?;
            let target = fs::read_link(entry.path())?.display().to_string();
            if target.starts_with("pipe:") {
                return Ok(entry.file_name().to_string_lossy().parse()?);
            }
        }
        Err(refused("a pipe", "there is none"))
    }
}

/// Takes a byte out, or all that a counter has.
fn take(file: &OwnedFd) -> anyhow::Result<()> {
    let mut one = [0u8; 1];
    let mut word = [0u8; 8];
    let got = nonblocking(file, || match read(file, &mut one) {
        Err(nix::errno::Errno::EINVAL) => read(file, &mut word),
        other => other,
    });
    match got {
        Ok(0) => Err(refused("read", "nothing waits")),
        Ok(_) => Ok(()),
        Err(errno) => Err(refused("read", errno)),
    }
}

/// Does something that must not wait. The flag is of the open file, and is put back.
fn nonblocking<T>(file: &OwnedFd, act: impl FnOnce() -> nix::Result<T>) -> nix::Result<T> {
    let io = |_| nix::errno::Errno::EIO;
    let flags = sys::fcntl(file.as_fd(), libc::F_GETFL, 0).map_err(io)? as i32;
    sys::fcntl(file.as_fd(), libc::F_SETFL, flags | libc::O_NONBLOCK).map_err(io)?;
    let done = act();
    sys::fcntl(file.as_fd(), libc::F_SETFL, flags).map_err(io)?;
    done
}

/// Bytes that wait in a pipe or socket, here and on the other side.
fn waiting(file: &OwnedFd) -> (Option<i32>, Option<i32>) {
    (
        sys::waiting(file.as_fd(), libc::FIONREAD).ok(),
        sys::waiting(file.as_fd(), libc::TIOCOUTQ).ok(),
    )
}
