//! System calls by which others' state is changed, and that no crate wraps.

#![expect(unsafe_code, reason = "these calls have no safe wrapper in libc or nix")]

use std::ffi::CStr;
use std::io;
use std::mem::{size_of, size_of_val};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use serde::{Deserialize, Serialize};

type Result<T> = io::Result<T>;

fn checked(returned: libc::c_long) -> Result<libc::c_long> {
    if returned < 0 { Err(io::Error::last_os_error()) } else { Ok(returned) }
}

/// Reads a limit of a process, soft and hard, after setting it if there is something to set.
pub(super) fn limit(pid: i32, resource: u32, new: Option<(u64, u64)>) -> Result<(u64, u64)> {
    let set = new.map(|(soft, hard)| [soft, hard]);
    let set = set.as_ref().map_or(std::ptr::null(), |set| set.as_ptr());
    let mut old = [0u64; 2];
    let old_or_none = if set.is_null() { old.as_mut_ptr() } else { std::ptr::null_mut() };
    // SAFETY: the kernel reads and writes one `struct rlimit64` each, which is two words.
    checked(unsafe { libc::syscall(libc::SYS_prlimit64, pid, resource, set, old_or_none) })?;
    Ok((old[0], old[1]))
}

/// `struct sched_attr` of sched_setattr(2).
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct SchedAttr {
    pub(super) size: u32,
    pub(super) policy: u32,
    pub(super) flags: u64,
    pub(super) nice: i32,
    pub(super) priority: u32,
    pub(super) runtime: u64,
    pub(super) deadline: u64,
    pub(super) period: u64,
    pub(super) util_min: u32,
    pub(super) util_max: u32,
}

pub(super) fn scheduling(tid: i32) -> Result<SchedAttr> {
    let mut attr = SchedAttr::default();
    let size = size_of::<SchedAttr>();
    // SAFETY: the kernel writes at most `size` bytes into `attr`.
    checked(unsafe { libc::syscall(libc::SYS_sched_getattr, tid, &raw mut attr, size, 0) })?;
    Ok(attr)
}

pub(super) fn set_scheduling(tid: i32, attr: &SchedAttr) -> Result<()> {
    // SAFETY: the kernel reads as many bytes as `attr` says it has.
    checked(unsafe { libc::syscall(libc::SYS_sched_setattr, tid, std::ptr::from_ref(attr), 0) })?;
    Ok(())
}

/// The processors that a thread may run on, as a mask.
pub(super) fn processors(tid: i32) -> Result<Vec<u8>> {
    let mut mask = vec![0u8; 128];
    // SAFETY: the kernel writes at most the length of `mask`.
    let got = checked(unsafe {
        libc::syscall(libc::SYS_sched_getaffinity, tid, mask.len(), mask.as_mut_ptr())
    })?;
    mask.truncate(got as usize);
    Ok(mask)
}

/// Lets a thread run on one processor alone.
pub(super) fn pin(tid: i32, processor: usize) -> Result<()> {
    let mut mask = [0u8; 128];
    mask[processor / 8] = 1 << (processor % 8);
    // SAFETY: the kernel reads at most the length of `mask`.
    checked(unsafe { libc::syscall(libc::SYS_sched_setaffinity, tid, mask.len(), mask.as_ptr()) })?;
    Ok(())
}

pub(super) fn io_priority(tid: i32) -> Result<i64> {
    // SAFETY: takes numbers only; 1 is IOPRIO_WHO_PROCESS.
    checked(unsafe { libc::syscall(libc::SYS_ioprio_get, 1, tid) })
}

pub(super) fn set_io_priority(tid: i32, value: i64) -> Result<()> {
    // SAFETY: takes numbers only; 1 is IOPRIO_WHO_PROCESS.
    checked(unsafe { libc::syscall(libc::SYS_ioprio_set, 1, tid, value) }).map(drop)
}

/// A duplicate of another process's descriptor: the same open file description.
pub(super) fn descriptor_of(pid: i32, fd: i32) -> Result<OwnedFd> {
    // SAFETY: takes numbers only.
    let number = checked(unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) })?;
    let process = own(number);
    // SAFETY: takes numbers only.
    let number =
        checked(unsafe { libc::syscall(libc::SYS_pidfd_getfd, process.as_raw_fd(), fd, 0) })?;
    Ok(own(number))
}

/// A descriptor that is to be owned from now on: a duplicate that was just made.
pub(super) fn own_number(number: RawFd) -> OwnedFd {
    own(number.into())
}

/// How many bytes wait to be read (FIONREAD), or to be sent (SIOCOUTQ, which is TIOCOUTQ).
pub(super) fn waiting(fd: BorrowedFd<'_>, request: libc::Ioctl) -> Result<i32> {
    let mut count: libc::c_int = 0;
    // SAFETY: both requests write one int.
    checked(unsafe { libc::ioctl(fd.as_raw_fd(), request, &raw mut count) }.into())?;
    Ok(count)
}

fn own(number: libc::c_long) -> OwnedFd {
    // SAFETY: every caller has just got this descriptor from the kernel, and uses it once.
    unsafe { OwnedFd::from_raw_fd(number as RawFd) }
}

/// A `fcntl` with a number as its argument.
pub(super) fn fcntl(fd: BorrowedFd<'_>, command: i32, argument: i32) -> Result<i64> {
    // SAFETY: used with commands that take a number or nothing.
    checked(unsafe { libc::fcntl(fd.as_raw_fd(), command, argument) }.into())
}

/// Reads or writes a hint, which is 64 bits wide, through a pointer (F_GET_RW_HINT ...).
pub(super) fn fcntl_word(fd: BorrowedFd<'_>, command: i32, word: &mut u64) -> Result<()> {
    // SAFETY: used with commands that read or write one word.
    checked(unsafe { libc::fcntl(fd.as_raw_fd(), command, std::ptr::from_mut(word)) }.into())?;
    Ok(())
}

/// Locks a range of a file for its open file description (fcntl F_OFD_SETLK).
pub(super) fn lock_range(fd: BorrowedFd<'_>, start: i64, length: i64) -> Result<()> {
    // SAFETY: all-zero is a valid `flock`.
    let mut lock: libc::flock = unsafe { std::mem::zeroed() };
    (lock.l_type, lock.l_start, lock.l_len) = (libc::F_RDLCK as i16, start, length);
    // SAFETY: the kernel reads one `flock`.
    checked(unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_OFD_SETLK, &raw const lock) }.into())?;
    Ok(())
}

pub(super) fn flock(fd: BorrowedFd<'_>, operation: i32) -> Result<()> {
    // SAFETY: takes numbers only.
    checked(unsafe { libc::flock(fd.as_raw_fd(), operation) }.into()).map(drop)
}

/// A socket option as bytes.
pub(super) fn socket_option(fd: BorrowedFd<'_>, level: i32, option: i32) -> Result<Vec<u8>> {
    let mut value = vec![0u8; 64];
    let mut length = value.len() as libc::socklen_t;
    // SAFETY: the kernel writes at most `length` bytes into `value`.
    let returned = unsafe {
        libc::getsockopt(fd.as_raw_fd(), level, option, value.as_mut_ptr().cast(), &raw mut length)
    };
    checked(returned.into())?;
    value.truncate(length as usize);
    Ok(value)
}

pub(super) fn set_socket_option(
    fd: BorrowedFd<'_>,
    level: i32,
    option: i32,
    value: &[u8],
) -> Result<()> {
    let length = value.len() as libc::socklen_t;
    // SAFETY: the kernel reads at most `length` bytes.
    let returned =
        unsafe { libc::setsockopt(fd.as_raw_fd(), level, option, value.as_ptr().cast(), length) };
    checked(returned.into()).map(drop)
}

/// Interval and rest of a timerfd, in nanoseconds.
pub(super) fn timer(fd: BorrowedFd<'_>) -> Result<(i64, i64)> {
    // SAFETY: all-zero is a valid `itimerspec`.
    let mut spec: libc::itimerspec = unsafe { std::mem::zeroed() };
    // SAFETY: the kernel writes one `itimerspec`.
    checked(unsafe { libc::timerfd_gettime(fd.as_raw_fd(), &raw mut spec) }.into())?;
    let ns = |time: libc::timespec| time.tv_sec * 1_000_000_000 + time.tv_nsec;
    Ok((ns(spec.it_interval), ns(spec.it_value)))
}

pub(super) fn set_timer(fd: BorrowedFd<'_>, interval_ns: i64, value_ns: i64) -> Result<()> {
    let time = |ns: i64| libc::timespec { tv_sec: ns / 1_000_000_000, tv_nsec: ns % 1_000_000_000 };
    let spec = libc::itimerspec { it_interval: time(interval_ns), it_value: time(value_ns) };
    let none = std::ptr::null_mut();
    // SAFETY: the kernel reads one `itimerspec` and writes nothing.
    checked(unsafe { libc::timerfd_settime(fd.as_raw_fd(), 0, &raw const spec, none) }.into())?;
    Ok(())
}

/// Adds (1), removes (2) or changes (3) an item of an epoll.
pub(super) fn epoll(
    epoll: BorrowedFd<'_>,
    operation: i32,
    fd: BorrowedFd<'_>,
    events: u32,
    data: u64,
) -> Result<()> {
    let mut event = libc::epoll_event { events, u64: data };
    // SAFETY: the kernel reads one `epoll_event`.
    let returned =
        unsafe { libc::epoll_ctl(epoll.as_raw_fd(), operation, fd.as_raw_fd(), &raw mut event) };
    checked(returned.into()).map(drop)
}

/// Queues a signal for a process, or for a thread of it.
pub(super) fn signal(pid: i32, tid: Option<i32>, number: i32) -> Result<()> {
    let returned = match tid {
        // SAFETY: takes numbers only.
        Some(tid) => unsafe { libc::syscall(libc::SYS_tgkill, pid, tid, number) },
        // SAFETY: takes numbers only.
        None => unsafe { libc::syscall(libc::SYS_kill, pid, number) },
    };
    checked(returned).map(drop)
}

/// One of the sets of registers of a traced thread, at most 4096 bytes.
pub(super) fn registers(tid: i32, set: u32) -> Result<Vec<u8>> {
    let mut bytes = vec![0u8; 4096];
    let mut place = libc::iovec { iov_base: bytes.as_mut_ptr().cast(), iov_len: bytes.len() };
    // SAFETY: the kernel writes at most the length of the place, and says how much it wrote.
    checked(unsafe { libc::ptrace(libc::PTRACE_GETREGSET, tid, set as usize, &raw mut place) })?;
    bytes.truncate(place.iov_len);
    Ok(bytes)
}

pub(super) fn set_registers(tid: i32, set: u32, bytes: &mut [u8]) -> Result<()> {
    let place = libc::iovec { iov_base: bytes.as_mut_ptr().cast(), iov_len: bytes.len() };
    // SAFETY: the kernel reads at most the length of the place.
    checked(unsafe { libc::ptrace(libc::PTRACE_SETREGSET, tid, set as usize, &raw const place) })?;
    Ok(())
}

/// The blocked signals of a traced thread.
pub(super) fn signal_mask(tid: i32) -> Result<u64> {
    const PTRACE_GETSIGMASK: libc::c_uint = 0x420a;
    let mut mask = 0u64;
    // SAFETY: the kernel writes one mask of eight bytes.
    checked(unsafe { libc::ptrace(PTRACE_GETSIGMASK, tid, size_of::<u64>(), &raw mut mask) })?;
    Ok(mask)
}

pub(super) fn set_signal_mask(tid: i32, mask: u64) -> Result<()> {
    const PTRACE_SETSIGMASK: libc::c_uint = 0x420b;
    // SAFETY: the kernel reads one mask of eight bytes.
    checked(unsafe { libc::ptrace(PTRACE_SETSIGMASK, tid, size_of::<u64>(), &raw const mask) })?;
    Ok(())
}

/// Mode, selector, offset and length of a traced thread's system call dispatch.
pub(super) fn dispatch(tid: i32) -> Result<[u64; 4]> {
    const PTRACE_GET_SYSCALL_USER_DISPATCH_CONFIG: libc::c_uint = 0x4211;
    let mut config = [0u64; 4];
    let size = size_of_val(&config);
    // SAFETY: the kernel writes exactly `size` bytes.
    checked(unsafe {
        libc::ptrace(PTRACE_GET_SYSCALL_USER_DISPATCH_CONFIG, tid, size, config.as_mut_ptr())
    })?;
    Ok(config)
}

pub(super) fn set_dispatch(tid: i32, config: &[u64; 4]) -> Result<()> {
    const PTRACE_SET_SYSCALL_USER_DISPATCH_CONFIG: libc::c_uint = 0x4210;
    let size = size_of_val(config);
    // SAFETY: the kernel reads exactly `size` bytes.
    checked(unsafe {
        libc::ptrace(PTRACE_SET_SYSCALL_USER_DISPATCH_CONFIG, tid, size, config.as_ptr())
    })?;
    Ok(())
}

/// What a System V call was asked.
#[derive(Clone, Copy, Debug)]
pub(super) enum Kind {
    /// A segment.
    Shm,
    /// A set of semaphores.
    Sem,
    /// A queue.
    Msg,
}

/// Makes a System V object with a key: a segment of a page, one semaphore, or a queue.
pub(super) fn make(kind: Kind, key: i32) -> Result<i64> {
    let flags = libc::IPC_CREAT | libc::IPC_EXCL | 0o600;
    let id = match kind {
        // SAFETY: takes numbers only.
        Kind::Shm => unsafe { libc::shmget(key, 4096, flags) },
        // SAFETY: takes numbers only.
        Kind::Sem => unsafe { libc::semget(key, 1, flags) },
        // SAFETY: takes numbers only.
        Kind::Msg => unsafe { libc::msgget(key, flags) },
    };
    checked(id.into())
}

pub(super) fn remove(kind: Kind, id: i32) -> Result<()> {
    let none = std::ptr::null_mut();
    let returned = match kind {
        // SAFETY: IPC_RMID takes no argument.
        Kind::Shm => unsafe { libc::shmctl(id, libc::IPC_RMID, none) },
        // SAFETY: IPC_RMID takes no argument.
        Kind::Sem => unsafe { libc::semctl(id, 0, libc::IPC_RMID) },
        // SAFETY: IPC_RMID takes no argument.
        Kind::Msg => unsafe { libc::msgctl(id, libc::IPC_RMID, none.cast()) },
    };
    checked(returned.into()).map(drop)
}

/// Owner, group and mode of an object, and the queue's limit in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Permissions {
    pub(super) uid: u32,
    pub(super) gid: u32,
    pub(super) mode: u32,
    pub(super) queue_bytes: u64,
}

/// Reads the permissions of an object, lets them be changed, and writes them back.
pub(super) fn permissions(
    kind: Kind,
    id: i32,
    change: impl FnOnce(&mut Permissions),
) -> Result<()> {
    match kind {
        Kind::Shm => {
            // SAFETY: all-zero is a valid `shmid_ds`.
            let mut all: libc::shmid_ds = unsafe { std::mem::zeroed() };
            // SAFETY: the kernel writes one `shmid_ds`.
            checked(unsafe { libc::shmctl(id, libc::IPC_STAT, &raw mut all) }.into())?;
            apply(&mut all.shm_perm, 0, change);
            // SAFETY: the kernel reads one `shmid_ds`.
            checked(unsafe { libc::shmctl(id, libc::IPC_SET, &raw mut all) }.into()).map(drop)
        }
        Kind::Sem => {
            // SAFETY: all-zero is a valid `semid_ds`.
            let mut all: libc::semid_ds = unsafe { std::mem::zeroed() };
            // SAFETY: the kernel writes one `semid_ds`.
            checked(unsafe { libc::semctl(id, 0, libc::IPC_STAT, &raw mut all) }.into())?;
            apply(&mut all.sem_perm, 0, change);
            // SAFETY: the kernel reads one `semid_ds`.
            checked(unsafe { libc::semctl(id, 0, libc::IPC_SET, &raw mut all) }.into()).map(drop)
        }
        Kind::Msg => {
            // SAFETY: all-zero is a valid `msqid_ds`.
            let mut all: libc::msqid_ds = unsafe { std::mem::zeroed() };
            // SAFETY: the kernel writes one `msqid_ds`.
            checked(unsafe { libc::msgctl(id, libc::IPC_STAT, &raw mut all) }.into())?;
            let bytes = apply(&mut all.msg_perm, all.msg_qbytes, change);
            all.msg_qbytes = bytes;
            // SAFETY: the kernel reads one `msqid_ds`.
            checked(unsafe { libc::msgctl(id, libc::IPC_SET, &raw mut all) }.into()).map(drop)
        }
    }
}

fn apply(of: &mut libc::ipc_perm, queue_bytes: u64, change: impl FnOnce(&mut Permissions)) -> u64 {
    let mut all =
        Permissions { uid: of.uid, gid: of.gid, mode: u32::from(of.mode) & 0o777, queue_bytes };
    change(&mut all);
    (of.uid, of.gid) = (all.uid, all.gid);
    of.mode = all.mode as _;
    all.queue_bytes
}

/// Sets one semaphore of a set; undo values of all tasks for it are cleared, see semctl(2).
pub(super) fn set_semaphore(id: i32, index: i32, value: i32) -> Result<()> {
    // SAFETY: SETVAL takes a number.
    checked(unsafe { libc::semctl(id, index, libc::SETVAL, value) }.into()).map(drop)
}

pub(super) fn semaphore(id: i32, index: i32) -> Result<i64> {
    // SAFETY: GETVAL takes no argument.
    checked(unsafe { libc::semctl(id, index, libc::GETVAL) }.into())
}

/// Sends a message of a few bytes, without waiting.
pub(super) fn send_message(id: i32, kind: i64, text: [u8; 8]) -> Result<()> {
    let message = (kind, text);
    // SAFETY: the kernel reads the type and `text`, which follows it: both are 8 bytes wide.
    checked(
        unsafe { libc::msgsnd(id, (&raw const message).cast(), text.len(), libc::IPC_NOWAIT) }
            .into(),
    )
    .map(drop)
}

/// Takes the first message away.
pub(super) fn receive_message(id: i32) -> Result<()> {
    let mut message = vec![0u64; 8193];
    let flags = libc::IPC_NOWAIT | libc::MSG_NOERROR;
    let room = (message.len() - 1) * size_of::<u64>();
    // SAFETY: the kernel writes the type and at most `room` bytes behind it.
    let got = unsafe { libc::msgrcv(id, message.as_mut_ptr().cast(), room, 0, flags) };
    checked(got as libc::c_long).map(drop)
}

/// A child of this process that does what it is told and never returns.
pub(super) fn fork(child: impl FnOnce() -> std::convert::Infallible) -> Result<i32> {
    // SAFETY: this process has one thread when it does this, so that the child may do anything.
    let pid = checked(unsafe { libc::fork() }.into())?;
    if pid == 0 {
        child();
    }
    Ok(pid as i32)
}

/// Adds a watch to an inotify.
pub(super) fn watch(fd: BorrowedFd<'_>, path: &CStr, mask: u32) -> Result<()> {
    // SAFETY: the path is a C string that lives during the call.
    let returned = unsafe { libc::inotify_add_watch(fd.as_raw_fd(), path.as_ptr(), mask) };
    checked(returned.into()).map(drop)
}

pub(super) fn unwatch(fd: BorrowedFd<'_>, number: i32) -> Result<()> {
    // SAFETY: takes numbers only.
    checked(unsafe { libc::inotify_rm_watch(fd.as_raw_fd(), number) }.into()).map(drop)
}

/// Sets an extended attribute of a file, not of what a link points to.
pub(super) fn set_attribute(path: &CStr, name: &CStr, value: &[u8]) -> Result<()> {
    // SAFETY: both are C strings, and the kernel reads the length of `value`.
    let returned = unsafe {
        libc::lsetxattr(path.as_ptr(), name.as_ptr(), value.as_ptr().cast(), value.len(), 0)
    };
    checked(returned.into()).map(drop)
}

/// How many bytes the names of a file's extended attributes take.
pub(super) fn attributes_bytes(path: &CStr) -> usize {
    // SAFETY: the path is a C string, and nothing is written where there is no room.
    let length = unsafe { libc::llistxattr(path.as_ptr(), std::ptr::null_mut(), 0) };
    usize::try_from(length).unwrap_or_default()
}

/// Sets an extended attribute of an open file.
pub(super) fn set_open_attribute(fd: BorrowedFd<'_>, name: &CStr, value: &[u8]) -> Result<()> {
    let (fd, from) = (fd.as_raw_fd(), value.as_ptr().cast());
    // SAFETY: the name is a C string, and the kernel reads the length of `value`.
    let returned = unsafe { libc::fsetxattr(fd, name.as_ptr(), from, value.len(), 0) };
    checked(returned.into()).map(drop)
}

/// The same as [`attributes_bytes`] for an open file.
pub(super) fn open_attributes_bytes(fd: BorrowedFd<'_>) -> usize {
    // SAFETY: nothing is written where there is no room.
    let length = unsafe { libc::flistxattr(fd.as_raw_fd(), std::ptr::null_mut(), 0) };
    usize::try_from(length).unwrap_or_default()
}
