//! System V objects and POSIX message queues of the calling thread's IPC namespace.

use std::ffi::CStr;
use std::mem::{size_of, zeroed};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use super::{Result, checked};

/// All values of a semaphore set.
pub(crate) fn semaphore_values(id: i32, count: usize) -> Result<Vec<u16>> {
    let mut values = vec![0u16; count];
    // SAFETY: GETALL writes one value for each of the set's `count` semaphores.
    checked(unsafe { libc::semctl(id, 0, libc::GETALL, values.as_mut_ptr()) }.into())?;
    Ok(values)
}

/// The pid that last changed a semaphore, as the calling thread's pid namespace numbers it.
pub(crate) fn semaphore_pid(id: i32, index: i32) -> Result<i32> {
    // SAFETY: takes numbers only.
    let pid = checked(unsafe { libc::semctl(id, index, libc::GETPID) }.into())?;
    Ok(pid as i32)
}

/// Type and text of the n-th message of a queue, left where it is; nothing past the last.
pub(crate) fn message_copy(id: i32, index: i64, longest: usize) -> Result<Option<(i64, Vec<u8>)>> {
    const MSG_COPY: i32 = 0o40000;
    const WORD: usize = size_of::<libc::c_long>();
    let mut buffer = vec![0u64; 1 + longest.div_ceil(WORD)];
    let flags = MSG_COPY | libc::IPC_NOWAIT | libc::MSG_NOERROR;
    // SAFETY: the kernel writes the type and at most `longest` bytes; `buffer` holds both.
    let got = unsafe { libc::msgrcv(id, buffer.as_mut_ptr().cast(), longest, index, flags) };
    match checked(got as libc::c_long) {
        Ok(length) => {
            let bytes = buffer[1..].iter().flat_map(|word| word.to_ne_bytes());
            let text = bytes.take(length as usize).collect();
            Ok(Some((buffer[0].cast_signed(), text)))
        }
        Err(error) if error.raw_os_error() == Some(libc::ENOMSG) => Ok(None),
        Err(error) => Err(error),
    }
}

/// How many bytes a queue may hold.
pub(crate) fn queue_bytes(id: i32) -> Result<u64> {
    // SAFETY: all-zero is a valid `msqid_ds`.
    let mut status: libc::msqid_ds = unsafe { zeroed() };
    // SAFETY: IPC_STAT writes one `msqid_ds`.
    checked(unsafe { libc::msgctl(id, libc::IPC_STAT, &raw mut status) }.into())?;
    Ok(status.msg_qbytes)
}

/// The file system of POSIX message queues, mounted nowhere: a folder of queues. Nothing where the
/// kernel has none.
pub(crate) fn message_queues() -> Result<Option<OwnedFd>> {
    const FSCONFIG_CMD_CREATE: libc::c_long = 6;
    const NONE: *const libc::c_char = std::ptr::null();
    let kind: &CStr = c"mqueue";
    // SAFETY: the text ends with a zero.
    let context = unsafe { libc::syscall(libc::SYS_fsopen, kind.as_ptr(), 0) };
    let context = match made(context) {
        Ok(context) => context,
        Err(error) if error.raw_os_error() == Some(libc::ENODEV) => return Ok(None),
        Err(error) => return Err(error),
    };
    // SAFETY: this command takes neither a key nor a value.
    checked(unsafe {
        libc::syscall(libc::SYS_fsconfig, context.as_raw_fd(), FSCONFIG_CMD_CREATE, NONE, NONE, 0)
    })?;
    // SAFETY: takes numbers only.
    made(unsafe { libc::syscall(libc::SYS_fsmount, context.as_raw_fd(), 0, 0) }).map(Some)
}

/// Flags, number of messages at most, bytes of one at most, and messages that wait in a queue.
pub(crate) fn queue_attributes(queue: BorrowedFd<'_>) -> Result<[i64; 4]> {
    const NONE: *const libc::mq_attr = std::ptr::null();
    // `struct mq_attr` is four numbers and four more that are reserved.
    let mut attributes = [0i64; 8];
    // SAFETY: without new attributes the kernel only writes the old ones.
    checked(unsafe {
        let fd = queue.as_raw_fd();
        libc::syscall(libc::SYS_mq_getsetattr, fd, NONE, attributes.as_mut_ptr())
    })?;
    let [flags, most, bytes, waiting, ..] = attributes;
    Ok([flags, most, bytes, waiting])
}

fn made(fd: libc::c_long) -> Result<OwnedFd> {
    let fd = checked(fd)?;
    // SAFETY: the kernel has just made this descriptor for us.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as i32) })
}
