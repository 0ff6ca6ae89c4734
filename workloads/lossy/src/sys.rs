//! What neither std nor nix offers.
#![expect(unsafe_code, reason = "calls what nix does not wrap")]

use std::io;
use std::num::NonZeroUsize;

use nix::sys::mman::{self, MapFlags, MmapAdvise, ProtFlags};

/// A class of I/O priority, see ioprio_set(2).
pub(crate) const BEST_EFFORT: i32 = 2;

/// The calling thread, see ioprio_set(2).
const WHO_PROCESS: i32 = 1;

const KEY: i32 = 0x4c00_0001;
const CREATE: i32 = libc::IPC_CREAT | 0o600;
const BYTES: usize = 4096;

/// A message as the kernel wants it.
#[repr(C)]
struct Message {
    kind: libc::c_long,
    text: [u8; 8],
}

fn checked(result: i32) -> io::Result<i32> {
    if result == -1 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

/// Sets class and level of the calling thread's I/O priority.
pub(crate) fn set_io_priority(class: i32, level: i32) -> io::Result<()> {
    // SAFETY: takes numbers only; 0 is the calling thread.
    match unsafe { libc::syscall(libc::SYS_ioprio_set, WHO_PROCESS, 0, class << 13 | level) } {
        -1 => Err(io::Error::last_os_error()),
        _ => Ok(()),
    }
}

/// Maps memory that a child would find empty, and leaves it for good.
pub(crate) fn map_wiped_on_fork() -> io::Result<()> {
    let bytes = NonZeroUsize::new(BYTES).unwrap_or(NonZeroUsize::MIN);
    let protection = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
    // SAFETY: a new mapping at a place that the kernel chooses replaces no other.
    let start = unsafe { mman::mmap_anonymous(None, bytes, protection, MapFlags::MAP_PRIVATE) }?;
    // SAFETY: the whole of that mapping, which nothing refers to.
    Ok(unsafe { mman::madvise(start, BYTES, MmapAdvise::MADV_WIPEONFORK) }?)
}

/// Makes a segment, which is attached once, semaphores and a message queue, and uses each, so that
/// they bear the pid of the caller.
pub(crate) fn leave_objects() -> io::Result<()> {
    // SAFETY: take numbers only.
    let (segment, set, queue) = unsafe {
        (
            checked(libc::shmget(KEY, BYTES, CREATE))?,
            checked(libc::semget(KEY, 1, CREATE))?,
            checked(libc::msgget(KEY, CREATE))?,
        )
    };
    // SAFETY: attaches at a place that the kernel chooses, and nothing refers to it.
    if unsafe { libc::shmat(segment, std::ptr::null(), 0) } as isize == -1 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: SETVAL takes a number.
    checked(unsafe { libc::semctl(set, 0, libc::SETVAL, 5) })?;
    let message = Message { kind: 1, text: [b'x'; 8] };
    // SAFETY: a kind and the eight bytes after it.
    checked(unsafe { libc::msgsnd(queue, (&raw const message).cast(), 8, 0) }).map(drop)
}
