//! The system calls that have no safe wrapper elsewhere, each with one.
#![expect(
    unsafe_code,
    reason = "raw system calls: clone3, pidfd_*, prctl, close_range, ioctl, socket options, IPC_RMID"
)]

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use model::pod::Instruction;
use nix::errno::Errno;
use nix::sched::CloneFlags;
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, SigmaskHow, Signal, kill};
use nix::sys::socket::{AddressFamily, SockFlag, SockType};
use nix::unistd::Pid;

use crate::claims::{Object, ObjectKind};

/// `CLONE_INTO_CGROUP`, which does not fit into [`CloneFlags`].
const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;

/// How a new process comes into being.
pub(super) struct Clone3<'fd> {
    /// New namespaces, and `CLONE_PARENT`.
    pub(super) flags: CloneFlags,
    /// The cgroup in which it is born.
    pub(super) cgroup: Option<BorrowedFd<'fd>>,
}

impl Clone3<'_> {
    /// Forks. The child gets `None`, the parent the child's pid.
    ///
    /// # Errors
    /// What clone3 says; `EBUSY` when this process has other threads: their locks, such as the
    /// allocator's, would stay locked in the child for ever.
    pub(super) fn fork(&self) -> io::Result<Option<i32>> {
        // What makes a sibling was forked itself; in a container it has no `/proc/self` either.
        let sibling = self.flags.contains(CloneFlags::CLONE_PARENT);
        if !sibling && fs_err::read_dir("/proc/self/task")?.count() > 1 {
            return Err(Errno::EBUSY.into());
        }
        // SAFETY: an all-zero clone_args is a valid one that asks for nothing.
        let mut arguments: libc::clone_args = unsafe { std::mem::zeroed() };
        arguments.flags = u64::from(self.flags.bits().cast_unsigned());
        // A sibling inherits the exit signal of its maker.
        arguments.exit_signal = if sibling { 0 } else { libc::SIGCHLD as u64 };
        if let Some(cgroup) = self.cgroup {
            arguments.flags |= CLONE_INTO_CGROUP;
            arguments.cgroup = u64::from(cgroup.as_raw_fd().unsigned_abs());
        }
        // SAFETY: no CLONE_VM: the child has a copy of the memory, as after fork(2), and this
        // process has one thread, so that nothing is left locked in the child.
        let pid = unsafe {
            libc::syscall(libc::SYS_clone3, &raw mut arguments, size_of::<libc::clone_args>())
        };
        match Errno::result(pid)? {
            0 => Ok(None),
            pid => Ok(Some(i32::try_from(pid).map_err(io::Error::other)?)),
        }
    }
}

/// Stays for ever, with nothing of what this process was: no descriptor, no handler. Children that
/// it inherits are reaped by the kernel, as it does not want to know of them.
pub(super) fn rest() -> ! {
    close_all();
    let ignore = SigAction::new(SigHandler::SigIgn, SaFlags::empty(), SigSet::empty());
    // There is nobody to tell a failure; what cannot be set stays as it was.
    let _ = reset_signals();
    // SAFETY: ignoring a signal runs no code.
    let _ = unsafe { nix::sys::signal::sigaction(Signal::SIGCHLD, &ignore) };
    let _ = nix::sys::prctl::set_name(c"sandbox");
    let _ = nix::unistd::setsid();
    loop {
        nix::unistd::pause();
    }
}

/// Closes all descriptors of a process that was forked and uses none of them from here on.
pub(super) fn close_all() {
    // SAFETY: the callers are forks in which nothing uses a descriptor any more.
    unsafe { libc::syscall(libc::SYS_close_range, 0, u32::MAX, 0) };
}

/// Ends this process at once: nothing that the parent has buffered is written a second time.
pub(super) fn exit_now(code: i32) -> ! {
    // SAFETY: the call does not come back, and no destructor of the parent's is owed here.
    unsafe { libc::_exit(code) }
}

/// A descriptor that stands for a process and becomes readable when it ends.
pub(super) fn pidfd_open(pid: i32) -> io::Result<OwnedFd> {
    // SAFETY: the call takes two integers and touches no memory.
    let fd = Errno::result(unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) })?;
    // SAFETY: the kernel has just made this descriptor and nobody else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(i32::try_from(fd).map_err(io::Error::other)?) })
}

/// A copy of another process's descriptor.
pub(super) fn pidfd_getfd(pidfd: BorrowedFd<'_>, fd: i32) -> io::Result<OwnedFd> {
    // SAFETY: the call takes integers and touches no memory.
    let copy = unsafe { libc::syscall(libc::SYS_pidfd_getfd, pidfd.as_raw_fd(), fd, 0) };
    let copy = i32::try_from(Errno::result(copy)?).map_err(io::Error::other)?;
    // SAFETY: the kernel has just made this descriptor and nobody else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(copy) })
}

/// An option of a socket that is a number.
pub(super) fn socket_option(socket: BorrowedFd<'_>, level: i32, name: i32) -> io::Result<i32> {
    let (mut value, mut length) = (0_i32, libc::socklen_t::try_from(size_of::<i32>()).unwrap_or(4));
    // SAFETY: the kernel writes at most `length` bytes, which is the size of the value.
    Errno::result(unsafe {
        let (value, length) = (&raw mut value, &raw mut length);
        libc::getsockopt(socket.as_raw_fd(), level, name, value.cast(), length)
    })?;
    Ok(value)
}

/// Sets an option of a socket that is a number.
pub(super) fn set_socket_option(
    socket: BorrowedFd<'_>,
    level: i32,
    name: i32,
    value: i32,
) -> io::Result<()> {
    let length = libc::socklen_t::try_from(size_of::<i32>()).unwrap_or(4);
    // SAFETY: the kernel reads `length` bytes, which is the size of the value.
    Errno::result(unsafe {
        libc::setsockopt(socket.as_raw_fd(), level, name, (&raw const value).cast(), length)
    })?;
    Ok(())
}

/// Takes a capability out of the bounding set, so that no program started later can have it.
/// `false`: the kernel knows no capability of this number.
pub(super) fn drop_capability(number: u32) -> io::Result<bool> {
    // SAFETY: the call takes integers and touches no memory.
    match Errno::result(unsafe { libc::prctl(libc::PR_CAPBSET_DROP, libc::c_ulong::from(number)) })
    {
        Ok(_) => Ok(true),
        Err(Errno::EINVAL) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Has every system call of this thread, and of what it becomes, go through a filter.
pub(super) fn install_filter(filter: &[Instruction]) -> io::Result<()> {
    let instruction =
        |it: &Instruction| libc::sock_filter { code: it.0, jt: it.1, jf: it.2, k: it.3 };
    let mut instructions: Vec<_> = filter.iter().map(instruction).collect();
    let len = libc::c_ushort::try_from(instructions.len()).map_err(io::Error::other)?;
    let program = libc::sock_fprog { len, filter: instructions.as_mut_ptr() };
    // SAFETY: the kernel reads `len` instructions, which live through the call, and keeps a copy.
    Errno::result(unsafe {
        libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const program)
    })?;
    Ok(())
}

/// Marks every descriptor from `first` on to be closed by the next execve.
pub(super) fn close_on_exec_from(first: u32) -> io::Result<()> {
    let flags = libc::CLOSE_RANGE_CLOEXEC;
    // SAFETY: only flags of descriptors change; none is closed here.
    Errno::result(unsafe { libc::syscall(libc::SYS_close_range, first, u32::MAX, flags) })?;
    Ok(())
}

/// Takes a network device of this process's namespace up or down.
pub(super) fn set_device(name: &str, up: bool) -> io::Result<()> {
    let (socket, mut request) = device(name)?;
    let flag = libc::IFF_UP as libc::c_short;
    // SAFETY: the kernel has written the flags, and they are a plain number.
    let flags = unsafe { request.ifr_ifru.ifru_flags };
    request.ifr_ifru.ifru_flags = if up { flags | flag } else { flags & !flag };
    // SAFETY: the kernel reads name and flags of this ifreq.
    Errno::result(unsafe {
        libc::ioctl(socket.as_raw_fd(), libc::SIOCSIFFLAGS, &raw const request)
    })?;
    Ok(())
}

/// Whether a network device of this process's namespace is up and has a carrier, by the word of
/// the kernel's link watch: only then have routes and addresses followed.
pub(super) fn device_runs(name: &str) -> io::Result<bool> {
    let (_, request) = device(name)?;
    // SAFETY: the kernel has written the flags, and they are a plain number.
    let flags = unsafe { request.ifr_ifru.ifru_flags };
    Ok(flags & libc::IFF_RUNNING as libc::c_short != 0)
}

/// A network device's flags, and a socket by which they can be set.
fn device(name: &str) -> io::Result<(OwnedFd, libc::ifreq)> {
    let socket = nix::sys::socket::socket(
        AddressFamily::Inet,
        SockType::Datagram,
        SockFlag::SOCK_CLOEXEC,
        None,
    )?;
    // SAFETY: an all-zero ifreq is a valid one: an empty name and a union of plain numbers.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    if name.len() >= request.ifr_name.len() {
        return Err(Errno::ENAMETOOLONG.into());
    }
    for (to, from) in request.ifr_name.iter_mut().zip(name.bytes()) {
        *to = from.cast_signed();
    }
    // SAFETY: the kernel reads the name and writes the flags of this ifreq.
    Errno::result(unsafe {
        libc::ioctl(socket.as_raw_fd(), libc::SIOCGIFFLAGS, &raw mut request)
    })?;
    Ok((socket, request))
}

/// Whether somebody has this pid in the pid namespace of this process: a task, a thread, or a process
/// group that has outlived its first process.
pub(super) fn is_pid(pid: i32) -> bool {
    let is_taken = |pid: i32| !matches!(kill(Pid::from_raw(pid), None), Err(Errno::ESRCH));
    is_taken(pid) || is_taken(-pid)
}

/// Removes a System V object from the ipc namespace of this process.
pub(super) fn remove_object(object: Object) -> io::Result<()> {
    let (id, remove, nothing) = (object.id, libc::IPC_RMID, std::ptr::null_mut::<libc::c_void>());
    // SAFETY: the removal of an object reads and writes nothing of this process.
    Errno::result(unsafe {
        match object.kind {
            ObjectKind::Shm => libc::shmctl(id, remove, nothing.cast()),
            ObjectKind::Sem => libc::semctl(id, 0, remove),
            ObjectKind::Msg => libc::msgctl(id, remove, nothing.cast()),
        }
    })?;
    Ok(())
}

/// Every signal back to its default, none blocked: the program must not inherit that the Rust
/// runtime ignores SIGPIPE.
pub(super) fn reset_signals() -> io::Result<()> {
    let default = SigAction::new(SigHandler::SigDfl, SaFlags::empty(), SigSet::empty());
    for signal in Signal::iterator() {
        if !matches!(signal, Signal::SIGKILL | Signal::SIGSTOP) {
            // SAFETY: the default action runs no code of this process.
            unsafe { nix::sys::signal::sigaction(signal, &default)? };
        }
    }
    nix::sys::signal::sigprocmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::empty()), None)?;
    Ok(())
}
