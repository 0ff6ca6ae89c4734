//! System V shared memory, semaphores and message queues.
#![expect(unsafe_code, reason = "nix does not wrap System V IPC")]

use std::io;
use std::mem::MaybeUninit;
use std::sync::atomic::AtomicU64;

use super::checked;

/// Most bytes of a message here.
const MESSAGE_BYTES: usize = 64;

/// How often it is looked whether somebody waits.
const MOST_LOOKS: usize = 1_000_000;

const CREATE: libc::c_int = libc::IPC_CREAT | libc::IPC_EXCL | 0o640;

/// An attached shared memory segment.
#[derive(Debug)]
pub struct Segment {
    /// The kernel's id.
    pub id: i32,
    words: &'static [AtomicU64],
}

impl Segment {
    /// Makes a segment and attaches it for good.
    pub fn create(key: i32, bytes: usize) -> io::Result<Self> {
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
    pub fn words(&self) -> &[AtomicU64] {
        self.words
    }

    /// The id that a key has now.
    pub fn find(key: i32) -> io::Result<i32> {
        // SAFETY: takes numbers only.
        checked(unsafe { libc::shmget(key, 0, 0) })
    }

    /// Size in bytes, permission bits, and how often it is attached.
    pub fn status(&self) -> io::Result<(usize, u32, u64)> {
        let mut status = MaybeUninit::<libc::shmid_ds>::zeroed();
        // SAFETY: the kernel writes one shmid_ds.
        checked(unsafe { libc::shmctl(self.id, libc::IPC_STAT, status.as_mut_ptr()) })?;
        // SAFETY: zeroed before and filled by the kernel.
        let status = unsafe { status.assume_init() };
        Ok((status.shm_segsz, u32::from(status.shm_perm.mode) & 0o777, status.shm_nattch))
    }

    /// Removes it from the system.
    pub fn remove(&self) -> io::Result<()> {
        // The attachment stays valid.
        remove_segment(self.id)
    }

    /// Detaches it; the segment stays with its content. Its id.
    pub fn detach(self) -> io::Result<i32> {
        let Segment { id, words } = self;
        // SAFETY: whoever had the words gave them away with the segment.
        checked(unsafe { libc::shmdt(words.as_ptr().cast()) })?;
        Ok(id)
    }

    /// Detaches and removes it.
    pub fn discard(self) -> io::Result<()> {
        self.detach().and_then(remove_segment)
    }
}

/// Attaches a segment of so many bytes once more, for good and for reading only.
pub fn attach_for_reading(id: i32, bytes: usize) -> io::Result<&'static [AtomicU64]> {
    // SAFETY: attaches at a place that the kernel chooses.
    let start = unsafe { libc::shmat(id, std::ptr::null(), libc::SHM_RDONLY) };
    if start as isize == -1 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: attached for good, aligned to a page, `bytes` long; a load writes nothing.
    Ok(unsafe { std::slice::from_raw_parts(start.cast(), bytes / size_of::<u64>()) })
}

/// Removes a segment; who has attached it keeps it.
pub fn remove_segment(id: i32) -> io::Result<()> {
    // SAFETY: no buffer is given.
    checked(unsafe { libc::shmctl(id, libc::IPC_RMID, std::ptr::null_mut()) }).map(drop)
}

/// One operation on a semaphore: waits, unless it is to be done `at_once`.
pub fn operate(id: i32, index: u16, by: i16, at_once: bool) -> io::Result<()> {
    let flags = if at_once { libc::IPC_NOWAIT as libc::c_short } else { 0 };
    let mut operation = libc::sembuf { sem_num: index, sem_op: by, sem_flg: flags };
    // SAFETY: one operation is given.
    checked(unsafe { libc::semop(id, &raw mut operation, 1) }).map(drop)
}

/// Looks until somebody waits for a semaphore (`GETNCNT`, `GETZCNT`); how many do.
///
/// # Errors
/// When nobody comes to wait in many looks.
pub fn await_waiter(id: i32, index: i32, which: i32) -> io::Result<i32> {
    for _ in 0..MOST_LOOKS {
        // SAFETY: these commands take no argument.
        match checked(unsafe { libc::semctl(id, index, which) })? {
            0 => std::thread::yield_now(),
            waiting => return Ok(waiting),
        }
    }
    Err(io::Error::other("nobody waits"))
}

/// A set of three semaphores.
#[derive(Debug)]
pub struct Semaphores {
    /// The kernel's id.
    pub id: i32,
}

impl Semaphores {
    /// Makes a set with these values.
    pub fn create(key: i32, values: [u16; 3]) -> io::Result<Self> {
        // SAFETY: takes numbers only.
        let id = checked(unsafe { libc::semget(key, 3, CREATE) })?;
        // SAFETY: SETALL reads one number a semaphore.
        checked(unsafe { libc::semctl(id, 0, libc::SETALL, values.as_ptr()) })?;
        Ok(Semaphores { id })
    }

    /// The id that a key has now.
    pub fn find(key: i32) -> io::Result<i32> {
        // SAFETY: takes numbers only.
        checked(unsafe { libc::semget(key, 0, 0) })
    }

    /// The values now.
    pub fn values(&self) -> io::Result<[u16; 3]> {
        let mut values = [0u16; 3];
        // SAFETY: GETALL writes one number a semaphore, and the set has three.
        checked(unsafe { libc::semctl(self.id, 0, libc::GETALL, values.as_mut_ptr()) })?;
        Ok(values)
    }

    /// Adds to one of them, without waiting.
    pub fn add(&self, index: u16, by: i16) -> io::Result<()> {
        operate(self.id, index, by, true)
    }

    /// Removes them from the system.
    pub fn remove(&self) -> io::Result<()> {
        // SAFETY: IPC_RMID takes no argument.
        checked(unsafe { libc::semctl(self.id, 0, libc::IPC_RMID) }).map(drop)
    }
}

/// A message queue.
#[derive(Debug)]
pub struct Queue {
    /// The kernel's id.
    pub id: i32,
}

/// A message as the kernel wants it.
#[repr(C)]
struct Message {
    kind: libc::c_long,
    text: [u8; MESSAGE_BYTES],
}

impl Queue {
    /// Makes an empty queue.
    pub fn create(key: i32) -> io::Result<Self> {
        // SAFETY: takes numbers only.
        Ok(Queue { id: checked(unsafe { libc::msgget(key, CREATE) })? })
    }

    /// The id that a key has now.
    pub fn find(key: i32) -> io::Result<i32> {
        // SAFETY: takes numbers only.
        checked(unsafe { libc::msgget(key, 0) })
    }

    /// Messages and bytes that wait.
    pub fn waiting(&self) -> io::Result<(u64, u64)> {
        let mut status = MaybeUninit::<libc::msqid_ds>::zeroed();
        // SAFETY: the kernel writes one msqid_ds.
        checked(unsafe { libc::msgctl(self.id, libc::IPC_STAT, status.as_mut_ptr()) })?;
        // SAFETY: zeroed before and filled by the kernel.
        let status = unsafe { status.assume_init() };
        Ok((status.msg_qnum, status.__msg_cbytes))
    }

    /// Sends a message of a kind above 0, of at most 64 bytes.
    pub fn send(&self, kind: i64, text: &[u8]) -> io::Result<()> {
        let mut message = Message { kind, text: [0; MESSAGE_BYTES] };
        message.text[..text.len()].copy_from_slice(text);
        let start = (&raw const message).cast();
        // SAFETY: the message has at least `text.len()` bytes after its kind.
        checked(unsafe { libc::msgsnd(self.id, start, text.len(), libc::IPC_NOWAIT) }).map(drop)
    }

    /// Takes the first message, without waiting.
    pub fn receive(&self) -> io::Result<(i64, Vec<u8>)> {
        self.receive_kind(0, false)
    }

    /// Takes the first message of a kind (0: of any), and waits for it if it shall.
    pub fn receive_kind(&self, kind: i64, wait: bool) -> io::Result<(i64, Vec<u8>)> {
        let mut message = Message { kind: 0, text: [0; MESSAGE_BYTES] };
        let start = (&raw mut message).cast();
        let flags = if wait { 0 } else { libc::IPC_NOWAIT };
        // SAFETY: at most MESSAGE_BYTES are written after the kind.
        let got = unsafe { libc::msgrcv(self.id, start, MESSAGE_BYTES, kind, flags) };
        let bytes = usize::try_from(got).map_err(|_| io::Error::last_os_error())?;
        Ok((message.kind, message.text[..bytes].to_vec()))
    }

    /// Limits how many bytes may wait.
    pub fn set_capacity(&self, bytes: u64) -> io::Result<()> {
        let mut status = MaybeUninit::<libc::msqid_ds>::zeroed();
        // SAFETY: the kernel writes one msqid_ds.
        checked(unsafe { libc::msgctl(self.id, libc::IPC_STAT, status.as_mut_ptr()) })?;
        // SAFETY: zeroed before and filled by the kernel.
        let mut status = unsafe { status.assume_init() };
        status.msg_qbytes = bytes;
        // SAFETY: the kernel reads one msqid_ds.
        checked(unsafe { libc::msgctl(self.id, libc::IPC_SET, &raw mut status) }).map(drop)
    }

    /// Removes it from the system.
    pub fn remove(&self) -> io::Result<()> {
        // SAFETY: no buffer is given.
        checked(unsafe { libc::msgctl(self.id, libc::IPC_RMID, std::ptr::null_mut()) }).map(drop)
    }
}
