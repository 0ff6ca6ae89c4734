//! Descriptors: one of each kind that this kernel makes, and the lines of its `fdinfo`.
#![expect(unsafe_code, reason = "most of these calls have no safe wrapper in libc or nix")]

use std::ffi::CStr;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use fs_err as fs;

use super::Shown;

/// Makes a descriptor, or nothing where the kernel does not offer it.
type Make = fn() -> Option<OwnedFd>;

/// One of each kind.
const KINDS: &[(&str, Make)] = &[
    ("eventfd", || number(libc::SYS_eventfd2, [1, 0, 0, 0, 0])),
    ("eventpoll", eventpoll),
    ("signalfd", signalfd),
    ("timerfd", || number(libc::SYS_timerfd_create, [libc::CLOCK_MONOTONIC.into(), 0, 0, 0, 0])),
    ("inotify", inotify),
    ("fanotify", fanotify),
    ("pidfd", || number(libc::SYS_pidfd_open, [std::process::id().into(), 0, 0, 0, 0])),
    ("memfd", || text(libc::SYS_memfd_create, c"shown")),
    ("secretmem", || number(libc::SYS_memfd_secret, [0; 5])),
    ("userfaultfd", || number(libc::SYS_userfaultfd, [0; 5])),
    ("io_uring", io_uring),
    ("perf_event", perf_event),
    ("bpf map", bpf_map),
    ("bpf program", bpf_program),
    ("landlock", landlock),
    ("pipe", || nix::unistd::pipe().ok().map(|(reader, _)| reader)),
    ("terminal", || opened("/dev/ptmx")),
    ("tun", || opened("/dev/net/tun")),
    ("file with a lock", locked),
    ("mount namespace", || opened("/proc/self/ns/mnt")),
    ("socket", unix_socket),
];

/// Makes one of each kind and looks at it.
pub(super) fn all(shown: &mut Shown) -> anyhow::Result<()> {
    for (kind, make) in KINDS {
        let Some(fd) = make() else { continue };
        let path = format!("/proc/thread-self/fdinfo/{}", fd.as_raw_fd());
        let text = fs::read_to_string(path)?;
        shown.add("descriptors that were made", kind, &text);
        info(&text, shown);
    }
    Ok(())
}

/// The keys of a text of `fdinfo`. Items of an epoll, watches and locks have fields of their own.
pub(super) fn info(text: &str, shown: &mut Shown) {
    for line in text.lines().filter(|line| !line.is_empty()) {
        let head = line.split([':', ' ', '\t']).next().unwrap_or(line);
        match head {
            "tfd" | "inotify" | "fanotify" => {
                let rest = line.strip_prefix(head).unwrap_or_default().trim_start_matches(':');
                for key in keys(rest) {
                    let key = key.replace('-', "_");
                    shown.add("/proc/PID/fdinfo", &format!("{head}.{key}"), line);
                }
            }
            "lock" => shown.add("/proc/PID/fdinfo", "lock.kind", line),
            _ => {
                let (key, value) = line.split_once(':').unwrap_or((line, ""));
                let key = key.trim().to_lowercase().replace(' ', "_");
                shown.add("/proc/PID/fdinfo", &key, value);
            }
        }
    }
}

/// Words before a colon.
fn keys(line: &str) -> impl Iterator<Item = &str> {
    line.split_whitespace().filter_map(|word| word.split_once(':')).map(|(key, _)| key)
}

/// A call that takes numbers, or addresses of what outlives it.
fn call(number: libc::c_long, [a, b, c, d, e]: [libc::c_long; 5]) -> libc::c_long {
    // SAFETY: whoever passes an address keeps what is there until the call has returned.
    unsafe { libc::syscall(number, a, b, c, d, e) }
}

/// A call that makes a descriptor.
fn number(made_by: libc::c_long, arguments: [libc::c_long; 5]) -> Option<OwnedFd> {
    let fd = call(made_by, arguments);
    // SAFETY: the kernel has just made this descriptor for us.
    (fd >= 0).then(|| unsafe { OwnedFd::from_raw_fd(fd as i32) })
}

/// The same with a text as its first argument.
fn text(made_by: libc::c_long, text: &CStr) -> Option<OwnedFd> {
    number(made_by, [text.as_ptr() as libc::c_long, 0, 0, 0, 0])
}

/// Where words are that a call reads.
fn at(words: &[u64]) -> libc::c_long {
    words.as_ptr() as libc::c_long
}

fn opened(path: &str) -> Option<OwnedFd> {
    let file = std::fs::OpenOptions::new().read(true).open(path).ok()?;
    Some(file.into())
}

fn eventpoll() -> Option<OwnedFd> {
    let epoll = number(libc::SYS_epoll_create1, [0; 5])?;
    // `struct epoll_event` is packed: 4 bytes of events, 8 of data.
    let event = [1u64, 0];
    let add = libc::EPOLL_CTL_ADD.into();
    let watched = number(libc::SYS_eventfd2, [0; 5])?;
    call(libc::SYS_epoll_ctl, [fd_of(&epoll), add, fd_of(&watched), at(&event), 0]);
    // A watched file that nobody holds is watched no more.
    std::mem::forget(watched);
    Some(epoll)
}

fn signalfd() -> Option<OwnedFd> {
    number(libc::SYS_signalfd4, [-1, at(&[1]), 8, 0, 0])
}

fn inotify() -> Option<OwnedFd> {
    let inotify = number(libc::SYS_inotify_init1, [0; 5])?;
    let mask = libc::IN_DELETE_SELF.into();
    call(libc::SYS_inotify_add_watch, [fd_of(&inotify), root(), mask, 0, 0]);
    Some(inotify)
}

fn fanotify() -> Option<OwnedFd> {
    let fanotify = number(libc::SYS_fanotify_init, [0; 5])?;
    for of_what in [0, libc::FAN_MARK_MOUNT, libc::FAN_MARK_FILESYSTEM] {
        let flags = (libc::FAN_MARK_ADD | of_what).into();
        let mask = libc::FAN_CLOSE_WRITE.cast_signed();
        let here = libc::AT_FDCWD.into();
        call(libc::SYS_fanotify_mark, [fd_of(&fanotify), flags, mask, here, root()]);
    }
    Some(fanotify)
}

fn io_uring() -> Option<OwnedFd> {
    // `struct io_uring_params` has 120 bytes, and the kernel writes there.
    let mut parameters = [0u64; 16];
    let address = parameters.as_mut_ptr() as libc::c_long;
    number(libc::SYS_io_uring_setup, [4, address, 0, 0, 0])
}

fn perf_event() -> Option<OwnedFd> {
    // Type PERF_TYPE_SOFTWARE, size PERF_ATTR_SIZE_VER0; the dummy event.
    let attributes = [1 | 64 << 32, 9, 0, 0, 0, 0, 0, 0];
    number(libc::SYS_perf_event_open, [at(&attributes), 0, -1, -1, 0])
}

fn bpf_map() -> Option<OwnedFd> {
    // BPF_MAP_CREATE of an array with 4-byte keys, 8-byte values and 1 entry.
    let attributes = [2 | 4 << 32, 8 | 1 << 32, 0, 0, 0, 0, 0, 0];
    number(libc::SYS_bpf, [0, at(&attributes), 64, 0, 0])
}

fn bpf_program() -> Option<OwnedFd> {
    // `r0 = 0; exit`, as a socket filter.
    let program = [0xb7u64, 0x95];
    let mut attributes = [0u64; 16];
    attributes[0] = 1 | 2 << 32;
    attributes[1] = program.as_ptr() as u64;
    attributes[2] = c"GPL".as_ptr() as u64;
    number(libc::SYS_bpf, [5, at(&attributes), 128, 0, 0])
}

fn landlock() -> Option<OwnedFd> {
    // All that the first version handles of file systems.
    number(libc::SYS_landlock_create_ruleset, [at(&[0x1fff]), 8, 0, 0, 0])
}

fn locked() -> Option<OwnedFd> {
    let file = text(libc::SYS_memfd_create, c"locked")?;
    call(libc::SYS_flock, [fd_of(&file), libc::LOCK_EX.into(), 0, 0, 0]);
    Some(file)
}

fn unix_socket() -> Option<OwnedFd> {
    let (family, kind) = (libc::AF_UNIX.into(), libc::SOCK_STREAM.into());
    number(libc::SYS_socket, [family, kind, 0, 0, 0])
}

fn fd_of(fd: &OwnedFd) -> libc::c_long {
    fd.as_raw_fd().into()
}

fn root() -> libc::c_long {
    c"/".as_ptr() as libc::c_long
}
