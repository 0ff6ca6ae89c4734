//! System V shared memory, semaphores and message queues.
#![expect(unsafe_code, reason = "nix does not wrap System V IPC")]

use std::io;
use std::mem::MaybeUninit;
use std::sync::atomic::AtomicU64;

use super::checked;

/// Most bytes of a message here.
const MESSAGE_BYTES: usize = 64;

const CREATE: libc::c_int = libc::IPC_CREAT | libc::IPC_EXCL | 0o640;

/// An attached shared memory segment.
#[derive(Debug)]
pub(crate) struct Segment {
    /// The kernel's id.
    pub(crate) id: i32,
    words: &'static [AtomicU64],
}

impl Segment {
    /// Makes a segment and attaches it for good.
    pub(crate) fn create(key: i32, bytes: usize) -> io::Result<Self> {
        // SAFETY: takes numbers only.
        let id = checked(unsafe { libc::shmget(key, bytes, CREATE) })?;
        // SAFETY: attaches at a place that the kernel chooses.
        let start = unsafe { libc::shmat(id, std::ptr::null(), 0) };
        if start as isize == -1 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: attached for good, aligned to a page, `bytes` long; any bits are a valid word.
        let words = unsafe { std::slice::from_raw_parts(start.cast(), bytes / size_of::<u64>()) };
        Ok(Segment { id, words })
    }

    /// Its content.
    pub(crate) fn words(&self) -> &[AtomicU64] {
        self.words
    }

    /// The id that a key has now.
    pub(crate) fn find(key: i32) -> io::Result<i32> {
        // SAFETY: takes numbers only.
        checked(unsafe { libc::shmget(key, 0, 0) })
    }

    /// Size in bytes, permission bits, and how often it is attached.
    pub(crate) fn status(&self) -> io::Result<(usize, u32, u64)> {
        let mut status = MaybeUninit::<libc::shmid_ds>::zeroed();
        // SAFETY: the kernel writes one shmid_ds.
        checked(unsafe { libc::shmctl(self.id, libc::IPC_STAT, status.as_mut_ptr()) })?;
        // SAFETY: zeroed before and filled by the kernel.
        let status = unsafe { status.assume_init() };
        Ok((status.shm_segsz, u32::from(status.shm_perm.mode) & 0o777, status.shm_nattch))
    }

    /// Removes it from the system.
    pub(crate) fn remove(&self) -> io::Result<()> {
        // SAFETY: no buffer is given; the attachment stays valid.
        checked(unsafe { libc::shmctl(self.id, libc::IPC_RMID, std::ptr::null_mut()) }).map(drop)
    }
}

/// A set of three semaphores.
#[derive(Debug)]
pub(crate) struct Semaphores {
    /// The kernel's id.
    pub(crate) id: i32,
}

impl Semaphores {
    /// Makes a set with these values.
    pub(crate) fn create(key: i32, values: [u16; 3]) -> io::Result<Self> {
        // SAFETY: takes numbers only.
        let id = checked(unsafe { libc::semget(key, 3, CREATE) })?;
        // SAFETY: SETALL reads one number a semaphore.
        checked(unsafe { libc::semctl(id, 0, libc::SETALL, values.as_ptr()) })?;
        Ok(Semaphores { id })
    }

    /// The id that a key has now.
    pub(crate) fn find(key: i32) -> io::Result<i32> {
        // SAFETY: takes numbers only.
        checked(unsafe { libc::semget(key, 0, 0) })
    }

    /// The values now.
    pub(crate) fn values(&self) -> io::Result<[u16; 3]> {
        let mut values = [0u16; 3];
        // SAFETY: GETALL writes one number a semaphore, and the set has three.
        checked(unsafe { libc::semctl(self.id, 0, libc::GETALL, values.as_mut_ptr()) })?;
        Ok(values)
    }

    /// Adds to one of them, without waiting.
    pub(crate) fn add(&self, index: u16, by: i16) -> io::Result<()> {
        let mut operation =
            libc::sembuf { sem_num: index, sem_op: by, sem_flg: libc::IPC_NOWAIT as libc::c_short };
        // SAFETY: one operation is given.
        checked(unsafe { libc::semop(self.id, &raw mut operation, 1) }).map(drop)
    }

    /// Removes them from the system.
    pub(crate) fn remove(&self) -> io::Result<()> {
        // SAFETY: IPC_RMID takes no argument.
        checked(unsafe { libc::semctl(self.id, 0, libc::IPC_RMID) }).map(drop)
    }
}

/// A message queue.
#[derive(Debug)]
pub(crate) struct Queue {
    /// The kernel's id.
    pub(crate) id: i32,
}

/// A message as the kernel wants it.
#[repr(C)]
struct Message {
    kind: libc::c_long,
    text: [u8; MESSAGE_BYTES],
}

impl Queue {
    /// Makes an empty queue.
    pub(crate) fn create(key: i32) -> io::Result<Self> {
        // SAFETY: takes numbers only.
        Ok(Queue { id: checked(unsafe { libc::msgget(key, CREATE) })? })
    }

    /// The id that a key has now.
    pub(crate) fn find(key: i32) -> io::Result<i32> {
        // SAFETY: takes numbers only.
        checked(unsafe { libc::msgget(key, 0) })
    }

    /// Messages and bytes that wait.
    pub(crate) fn waiting(&self) -> io::Result<(u64, u64)> {
        let mut status = MaybeUninit::<libc::msqid_ds>::zeroed();
        // SAFETY: the kernel writes one msqid_ds.
        checked(unsafe { libc::msgctl(self.id, libc::IPC_STAT, status.as_mut_ptr()) })?;
        // SAFETY: zeroed before and filled by the kernel.
        let status = unsafe { status.assume_init() };
        Ok((status.msg_qnum, status.__msg_cbytes))
    }

    /// Sends a message of a kind above 0, of at most 64 bytes.
    pub(crate) fn send(&self, kind: i64, text: &[u8]) -> io::Result<()> {
        let mut message = Message { kind, text: [0; MESSAGE_BYTES] };
        message.text[..text.len()].copy_from_slice(text);
        let start = (&raw const message).cast();
        // SAFETY: the message has at least `text.len()` bytes after its kind.
        checked(unsafe { libc::msgsnd(self.id, start, text.len(), libc::IPC_NOWAIT) }).map(drop)
    }

    /// Takes the first message, without waiting.
    pub(crate) fn receive(&self) -> io::Result<(i64, Vec<u8>)> {
        let mut message = Message { kind: 0, text: [0; MESSAGE_BYTES] };
        let start = (&raw mut message).cast();
        // SAFETY: at most MESSAGE_BYTES are written after the kind.
        let got = unsafe { libc::msgrcv(self.id, start, MESSAGE_BYTES, 0, libc::IPC_NOWAIT) };
        let bytes = usize::try_from(got).map_err(|_| io::Error::last_os_error())?;
        Ok((message.kind, message.text[..bytes].to_vec()))
    }

    /// Removes it from the system.
    pub(crate) fn remove(&self) -> io::Result<()> {
        // SAFETY: no buffer is given.
        checked(unsafe { libc::msgctl(self.id, libc::IPC_RMID, std::ptr::null_mut()) }).map(drop)
    }
}
