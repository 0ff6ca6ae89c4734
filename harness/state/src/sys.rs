//! System calls that no crate wraps. Each looks at another task and changes nothing in it.
#![expect(unsafe_code, reason = "these calls have no safe wrapper in libc or nix")]

pub(crate) mod attributes;
pub(crate) mod ipc;
pub(crate) mod numbered;

use std::cmp::Ordering;
use std::io;
use std::mem::{size_of, zeroed};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

type Result<T> = io::Result<T>;

fn checked(returned: libc::c_long) -> Result<libc::c_long> {
    if returned < 0 { Err(io::Error::last_os_error()) } else { Ok(returned) }
}

/// What `kcmp` compares between two tasks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shared {
    /// The address space.
    Vm = 1,
    /// The table of descriptors.
    Files = 2,
    /// Root, working directory and umask.
    Fs = 3,
    /// Signal handlers.
    Sighand = 4,
    /// System V semaphore adjustments.
    Sysvsem = 6,
}

/// Orders the objects of two tasks; equal means the same object. See `kcmp(2)`.
pub(crate) fn kcmp(a: i32, b: i32, what: Shared) -> Result<Ordering> {
    // SAFETY: takes numbers only.
    let order = unsafe { libc::syscall(libc::SYS_kcmp, a, b, what as libc::c_int, 0, 0) };
    kcmp_order(order)
}

/// Orders the open file descriptions behind two descriptors.
pub(crate) fn kcmp_file(a: (i32, i32), b: (i32, i32)) -> Result<Ordering> {
    // SAFETY: takes numbers only; type 0 is KCMP_FILE.
    let order = unsafe { libc::syscall(libc::SYS_kcmp, a.0, b.0, 0, a.1, b.1) };
    kcmp_order(order)
}

#[repr(C)]
struct EpollSlot {
    epoll_fd: u32,
    target_fd: u32,
    offset: u32,
}

/// Whether a descriptor is the one that an epoll item watches. `offset` numbers the items of one
/// epoll that were added under the same number.
pub(crate) fn kcmp_epoll(
    file: (i32, i32),
    epoll: (i32, i32),
    tfd: u32,
    offset: u32,
) -> Result<bool> {
    let slot = EpollSlot { epoll_fd: epoll.1.cast_unsigned(), target_fd: tfd, offset };
    // SAFETY: type 7 is KCMP_EPOLL_TFD, which reads `slot`, alive during the call.
    let order = unsafe {
        libc::syscall(libc::SYS_kcmp, file.0, epoll.0, 7, file.1, std::ptr::from_ref(&slot))
    };
    Ok(kcmp_order(order)? == Ordering::Equal)
}

fn kcmp_order(order: libc::c_long) -> Result<Ordering> {
    Ok(match checked(order)? {
        0 => Ordering::Equal,
        1 => Ordering::Less,
        _ => Ordering::Greater,
    })
}

/// A descriptor for a process.
pub(crate) fn pidfd_open(pid: i32) -> Result<OwnedFd> {
    // SAFETY: takes numbers only.
    let fd = checked(unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) })?;
    // SAFETY: the kernel has just made this descriptor for us.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as i32) })
}

/// A duplicate of another process's descriptor: the same open file description.
pub(crate) fn pidfd_getfd(pidfd: BorrowedFd<'_>, fd: i32) -> Result<OwnedFd> {
    // SAFETY: takes numbers only.
    let fd = checked(unsafe { libc::syscall(libc::SYS_pidfd_getfd, pidfd.as_raw_fd(), fd, 0) })?;
    // SAFETY: the kernel has just made this descriptor for us.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as i32) })
}

/// `sched_getattr(2)`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct SchedAttr {
    pub(crate) size: u32,
    pub(crate) policy: u32,
    pub(crate) flags: u64,
    pub(crate) nice: i32,
    pub(crate) priority: u32,
    pub(crate) runtime: u64,
    pub(crate) deadline: u64,
    pub(crate) period: u64,
    pub(crate) util_min: u32,
    pub(crate) util_max: u32,
}

pub(crate) fn sched_getattr(tid: i32) -> Result<SchedAttr> {
    let mut attr = SchedAttr::default();
    let size = size_of::<SchedAttr>();
    // SAFETY: the kernel writes at most `size` bytes into `attr`.
    checked(unsafe { libc::syscall(libc::SYS_sched_getattr, tid, &raw mut attr, size, 0) })?;
    Ok(attr)
}

/// The I/O priority of a thread, class and level in one number.
pub(crate) fn ioprio_get(tid: i32) -> Result<i64> {
    // SAFETY: takes numbers only; 1 is IOPRIO_WHO_PROCESS.
    checked(unsafe { libc::syscall(libc::SYS_ioprio_get, 1, tid) })
}

/// Address and length of a thread's list of robust futexes.
pub(crate) fn robust_list(tid: i32) -> Result<(u64, u64)> {
    let (mut head, mut length) = (0u64, 0u64);
    // SAFETY: the kernel writes one word into each, which are 64 bits wide.
    checked(unsafe {
        libc::syscall(libc::SYS_get_robust_list, tid, &raw mut head, &raw mut length)
    })?;
    Ok((head, length))
}

/// A netlink socket of a family that nix has no name for, too.
pub(crate) fn netlink(protocol: i32) -> Result<OwnedFd> {
    let kind = libc::SOCK_RAW | libc::SOCK_CLOEXEC;
    // SAFETY: takes numbers only.
    let fd = checked(unsafe { libc::socket(libc::AF_NETLINK, kind, protocol) }.into())?;
    // SAFETY: the kernel has just made this descriptor for us.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as i32) })
}

/// Copies what is in a pipe into another one, and leaves it there.
pub(crate) fn tee(from: BorrowedFd<'_>, to: BorrowedFd<'_>, length: usize) -> Result<usize> {
    let flags = libc::SPLICE_F_NONBLOCK;
    // SAFETY: takes numbers only.
    let copied = unsafe { libc::tee(from.as_raw_fd(), to.as_raw_fd(), length, flags) };
    checked(copied as libc::c_long).map(|copied| copied as usize)
}

/// A socket option as bytes, at most 256.
pub(crate) fn socket_option(fd: BorrowedFd<'_>, level: i32, option: i32) -> Result<Vec<u8>> {
    let mut value = vec![0u8; 256];
    let mut length = value.len() as libc::socklen_t;
    // SAFETY: the kernel writes at most `length` bytes into `value`.
    let returned = unsafe {
        libc::getsockopt(fd.as_raw_fd(), level, option, value.as_mut_ptr().cast(), &raw mut length)
    };
    checked(returned.into())?;
    value.truncate(length as usize);
    Ok(value)
}

/// Asks something of a socket that takes a question: the answer stands in its place, and is as
/// long.
pub(crate) fn ask_socket(
    fd: BorrowedFd<'_>,
    level: i32,
    option: i32,
    value: &mut [u8],
) -> Result<()> {
    let mut length = value.len() as libc::socklen_t;
    // SAFETY: the kernel reads and writes at most `length` bytes of `value`.
    let returned = unsafe {
        libc::getsockopt(fd.as_raw_fd(), level, option, value.as_mut_ptr().cast(), &raw mut length)
    };
    checked(returned.into())?;
    if length as usize == value.len() { Ok(()) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
}

/// The classic filter of a socket, as bytes: 8 for each instruction.
pub(crate) fn socket_filter(fd: BorrowedFd<'_>) -> Result<Vec<u8>> {
    const SO_GET_FILTER: i32 = 26;
    let ask = |filter: *mut u64, mut count: libc::socklen_t| {
        // SAFETY: the length counts instructions of 8 bytes; none are written where it is 0, and
        // at most `count` otherwise.
        let returned = unsafe {
            let (level, filter) = (libc::SOL_SOCKET, filter.cast());
            libc::getsockopt(fd.as_raw_fd(), level, SO_GET_FILTER, filter, &raw mut count)
        };
        checked(returned.into()).map(|_| count)
    };
    let count = ask(std::ptr::null_mut(), 0)?;
    let mut filter = vec![0u64; count as usize];
    if count > 0 {
        ask(filter.as_mut_ptr(), count)?;
    }
    Ok(filter.iter().flat_map(|word| word.to_ne_bytes()).collect())
}

/// The address of a socket, or of its peer, as the kernel writes it.
pub(crate) fn socket_name(fd: BorrowedFd<'_>, peer: bool) -> Result<Vec<u8>> {
    let mut value = vec![0u8; size_of::<libc::sockaddr_storage>()];
    let mut length = value.len() as libc::socklen_t;
    let ask = if peer { libc::getpeername } else { libc::getsockname };
    // SAFETY: the kernel writes at most `length` bytes into `value`.
    let returned = unsafe { ask(fd.as_raw_fd(), value.as_mut_ptr().cast(), &raw mut length) };
    checked(returned.into())?;
    value.truncate(length as usize);
    Ok(value)
}

/// What can be read from a socket at once, left where it is.
pub(crate) fn peek(fd: BorrowedFd<'_>, buffer: &mut [u8]) -> Result<usize> {
    let flags = libc::MSG_PEEK | libc::MSG_DONTWAIT;
    // SAFETY: the kernel writes at most the length of `buffer` into it.
    let got =
        unsafe { libc::recv(fd.as_raw_fd(), buffer.as_mut_ptr().cast(), buffer.len(), flags) };
    checked(got as libc::c_long).map(|got| got as usize)
}

/// While this lives, peeking goes on where it ended before, so that datagrams are seen one after
/// the other. The socket is as it was afterwards: its offset was off, and is off again.
#[derive(Debug)]
pub(crate) struct PeekOffset<'a>(BorrowedFd<'a>);

impl<'a> PeekOffset<'a> {
    pub(crate) fn set(socket: BorrowedFd<'a>) -> Result<Self> {
        set_peek_offset(socket, 0).map(|()| PeekOffset(socket))
    }
}

impl Drop for PeekOffset<'_> {
    fn drop(&mut self) {
        // The same call has just succeeded with another value.
        let _ = set_peek_offset(self.0, -1);
    }
}

fn set_peek_offset(socket: BorrowedFd<'_>, offset: libc::c_int) -> Result<()> {
    let (value, length) = (std::ptr::from_ref(&offset), size_of::<libc::c_int>());
    // SAFETY: the kernel reads one int.
    let returned = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_PEEK_OFF,
            value.cast(),
            length as libc::socklen_t,
        )
    };
    checked(returned.into()).map(|_| ())
}

/// An ioctl that answers with one `int`.
pub(crate) fn ioctl_int(fd: BorrowedFd<'_>, request: libc::c_ulong) -> Result<i32> {
    let mut value: libc::c_int = 0;
    // SAFETY: used with requests that write one int only (FIONREAD, SIOCOUTQ, TIOCGPGRP ...).
    checked(unsafe { libc::ioctl(fd.as_raw_fd(), request as _, &raw mut value) }.into())?;
    Ok(value)
}

/// Which settings of a terminal nobody may change: bits are set for those.
pub(crate) fn locked_settings(fd: BorrowedFd<'_>) -> Result<libc::termios> {
    // SAFETY: all-zero is a valid `termios`.
    let mut locked: libc::termios = unsafe { zeroed() };
    let request = libc::TIOCGLCKTRMIOS;
    // SAFETY: the kernel writes its own `termios`, which is the beginning of this one.
    checked(unsafe { libc::ioctl(fd.as_raw_fd(), request, &raw mut locked) }.into())?;
    Ok(locked)
}

/// Rows, columns and pixels of a terminal.
pub(crate) fn window_size(fd: BorrowedFd<'_>) -> Result<[u16; 4]> {
    // SAFETY: all-zero is a valid `winsize`.
    let mut size: libc::winsize = unsafe { zeroed() };
    // SAFETY: TIOCGWINSZ writes one `winsize`.
    checked(unsafe { libc::ioctl(fd.as_raw_fd(), libc::TIOCGWINSZ, &raw mut size) }.into())?;
    Ok([size.ws_row, size.ws_col, size.ws_xpixel, size.ws_ypixel])
}

/// A `fcntl` without argument.
pub(crate) fn fcntl(fd: BorrowedFd<'_>, command: i32) -> Result<i64> {
    // SAFETY: used with commands that take no argument only.
    checked(unsafe { libc::fcntl(fd.as_raw_fd(), command, 0) }.into())
}

/// Kind (thread, process, group) and id of whom a descriptor's signals go to.
pub(crate) fn owner(fd: BorrowedFd<'_>) -> Result<(i32, i32)> {
    const F_GETOWN_EX: i32 = 16;
    let mut owner = [0i32; 2];
    // SAFETY: F_GETOWN_EX writes a `struct f_owner_ex`, which is two ints.
    checked(unsafe { libc::fcntl(fd.as_raw_fd(), F_GETOWN_EX, owner.as_mut_ptr()) }.into())?;
    Ok((owner[0], owner[1]))
}

/// How long what is written to a file is expected to live (F_GET_RW_HINT); belongs to its inode.
pub(crate) fn rw_hint(fd: BorrowedFd<'_>) -> Result<u64> {
    const F_GET_RW_HINT: i32 = 1035;
    let mut hint = 0u64;
    // SAFETY: F_GET_RW_HINT writes one word of 64 bits.
    checked(unsafe { libc::fcntl(fd.as_raw_fd(), F_GET_RW_HINT, &raw mut hint) }.into())?;
    Ok(hint)
}

/// A traced thread's registration of its rseq area.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Rseq {
    pub(crate) pointer: u64,
    pub(crate) size: u32,
    pub(crate) signature: u32,
    pub(crate) flags: u32,
    pad: u32,
}

pub(crate) fn ptrace_rseq(tid: i32) -> Result<Rseq> {
    const PTRACE_GET_RSEQ_CONFIGURATION: libc::c_uint = 0x420f;
    let mut rseq = Rseq::default();
    let size = size_of::<Rseq>();
    // SAFETY: the kernel writes at most `size` bytes into `rseq`.
    checked(unsafe { libc::ptrace(PTRACE_GET_RSEQ_CONFIGURATION, tid, size, &raw mut rseq) })?;
    Ok(rseq)
}

/// A traced thread's syscall user dispatch: mode, selector, offset, length.
pub(crate) fn ptrace_dispatch(tid: i32) -> Result<[u64; 4]> {
    const PTRACE_GET_SYSCALL_USER_DISPATCH_CONFIG: libc::c_uint = 0x4211;
    let mut config = [0u64; 4];
    let size = size_of::<[u64; 4]>();
    // SAFETY: the kernel writes exactly `size` bytes.
    checked(unsafe {
        libc::ptrace(PTRACE_GET_SYSCALL_USER_DISPATCH_CONFIG, tid, size, config.as_mut_ptr())
    })?;
    Ok(config)
}

/// A set of registers of a traced thread by its number (`NT_*` in include/uapi/linux/elf.h).
pub(crate) fn ptrace_registers(tid: i32, set: libc::c_int) -> Result<Vec<u8>> {
    const LONGEST: usize = 16 << 10;
    let mut bytes = vec![0u8; LONGEST];
    let mut place = libc::iovec { iov_base: bytes.as_mut_ptr().cast(), iov_len: bytes.len() };
    // SAFETY: the kernel writes at most `iov_len` bytes to where `place` points, and says how many.
    checked(unsafe { libc::ptrace(libc::PTRACE_GETREGSET, tid, set, &raw mut place) })?;
    bytes.truncate(place.iov_len);
    Ok(bytes)
}

/// Flags of the n-th seccomp filter of a traced thread.
pub(crate) fn ptrace_seccomp_flags(tid: i32, index: u64) -> Result<u64> {
    const PTRACE_SECCOMP_GET_METADATA: libc::c_uint = 0x420d;
    // `struct seccomp_metadata`: which filter is asked for, and its flags.
    let mut metadata = [index, 0];
    let size = size_of::<[u64; 2]>();
    // SAFETY: the kernel reads the index and writes at most `size` bytes.
    checked(unsafe {
        libc::ptrace(PTRACE_SECCOMP_GET_METADATA, tid, size, metadata.as_mut_ptr())
    })?;
    Ok(metadata[1])
}

#[repr(C)]
struct PeekSignals {
    offset: u64,
    flags: u32,
    count: i32,
}

/// Bytes of a `siginfo_t`.
pub(crate) const SIGINFO_BYTES: usize = size_of::<libc::siginfo_t>();

/// The n-th pending signal of a traced thread, or of its process; nothing past the last.
pub(crate) fn ptrace_pending(
    tid: i32,
    process: bool,
    index: u64,
) -> Result<Option<[u8; SIGINFO_BYTES]>> {
    const PTRACE_PEEKSIGINFO: libc::c_uint = 0x4209;
    let ask = PeekSignals { offset: index, flags: u32::from(process), count: 1 };
    let mut info = [0u8; SIGINFO_BYTES];
    // SAFETY: the kernel reads `ask` and writes one siginfo_t into `info`.
    let got = checked(unsafe {
        libc::ptrace(PTRACE_PEEKSIGINFO, tid, std::ptr::from_ref(&ask), info.as_mut_ptr())
    })?;
    Ok((got > 0).then_some(info))
}

/// The signals that a traced thread blocks, and will block when it is back from a system call that
/// has other ones blocked for as long as it lasts, such as sigsuspend(2).
pub(crate) fn ptrace_sigmask(tid: i32) -> Result<u64> {
    const PTRACE_GETSIGMASK: libc::c_uint = 0x420a;
    let mut mask = 0u64;
    // SAFETY: the kernel writes as many bytes into `mask` as it is told that there are.
    checked(unsafe {
        libc::ptrace(PTRACE_GETSIGMASK, tid, size_of::<u64>(), std::ptr::from_mut(&mut mask))
    })?;
    Ok(mask)
}

/// The n-th seccomp filter of a traced thread, as bytes; nothing past the last.
pub(crate) fn ptrace_seccomp(tid: i32, index: usize) -> Result<Option<Vec<u8>>> {
    const PTRACE_SECCOMP_GET_FILTER: libc::c_uint = 0x420c;
    const LONGEST: usize = 4096;
    let mut filter = vec![0u64; LONGEST];
    // SAFETY: the kernel writes one program, which has at most 4096 (BPF_MAXINSNS) instructions
    // of 8 bytes.
    let got = unsafe { libc::ptrace(PTRACE_SECCOMP_GET_FILTER, tid, index, filter.as_mut_ptr()) };
    match checked(got) {
        Ok(count) => {
            let words = filter.iter().take(count as usize);
            Ok(Some(words.flat_map(|word| word.to_ne_bytes()).collect()))
        }
        Err(error) if error.raw_os_error() == Some(libc::ENOENT) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Copies memory of another process; less than asked where a page cannot be read.
pub(crate) fn read_memory(pid: i32, address: u64, buffer: &mut [u8]) -> Result<usize> {
    let local = libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: buffer.len() };
    let remote = libc::iovec { iov_base: address as *mut _, iov_len: buffer.len() };
    // SAFETY: the kernel writes at most the length of `buffer` into it.
    let got = unsafe { libc::process_vm_readv(pid, &raw const local, 1, &raw const remote, 1, 0) };
    checked(got as libc::c_long).map(|got| got as usize)
}
