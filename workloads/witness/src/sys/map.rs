//! Mapped memory as words that anybody may read and write at any time.
#![expect(unsafe_code, reason = "maps memory by mmap")]

use std::ffi::c_void;
use std::fs::File;
use std::io;
use std::num::NonZeroUsize;
use std::ops::Range;
use std::ptr::NonNull;
use std::sync::atomic::AtomicU64;

use nix::sys::mman::{self, MapFlags, MmapAdvise, ProtFlags};

/// Bytes of a page.
pub const PAGE_BYTES: usize = 4096;

/// Words of a page.
pub const PAGE_WORDS: usize = PAGE_BYTES / size_of::<u64>();

/// What may be done to a page.
pub type Protection = ProtFlags;

/// Memory that is mapped readable and writable until the program ends.
///
/// It is seen as atomic words, so that threads, and processes that share it, may change it while
/// others look.
#[derive(Debug)]
pub struct Mapping {
    start: NonNull<c_void>,
    bytes: usize,
}

// SAFETY: the memory stays mapped for ever and is reached through atomics alone.
unsafe impl Send for Mapping {}
// SAFETY: as for Send.
unsafe impl Sync for Mapping {}

impl Mapping {
    /// Maps zeroes, private or shared with the processes that are forked later.
    pub fn anonymous(pages: usize, shared: bool) -> io::Result<Self> {
        let bytes = size(pages);
        let protection = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
        // SAFETY: a new mapping at a place that the kernel chooses replaces no other.
        let start = unsafe { mman::mmap_anonymous(None, bytes, protection, sharing(shared)) }?;
        Ok(Mapping { start, bytes: bytes.get() })
    }

    /// Maps the first pages of a file, which must be that long for as long as the program runs.
    pub fn file(file: &File, pages: usize, shared: bool) -> io::Result<Self> {
        let bytes = size(pages);
        let protection = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
        // SAFETY: a new mapping at a place that the kernel chooses replaces no other.
        let start = unsafe { mman::mmap(None, bytes, protection, sharing(shared), file, 0) }?;
        Ok(Mapping { start, bytes: bytes.get() })
    }

    /// Maps zeroes with further flags, such as MAP_NORESERVE; private unless they say MAP_SHARED.
    pub fn with_flags(pages: usize, flags: libc::c_int) -> io::Result<Self> {
        let bytes = size(pages);
        let shared = flags & libc::MAP_SHARED != 0;
        let flags = sharing(shared) | MapFlags::from_bits_retain(flags);
        let protection = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
        // SAFETY: a new mapping at a place that the kernel chooses replaces no other.
        let start = unsafe { mman::mmap_anonymous(None, bytes, protection, flags) }?;
        Ok(Mapping { start, bytes: bytes.get() })
    }

    /// Maps pages of a file from one of them on, which must be there for as long as the program runs.
    pub fn file_from(file: &File, first: usize, pages: usize, shared: bool) -> io::Result<Self> {
        let bytes = size(pages);
        let protection = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
        let offset = i64::try_from(first * PAGE_BYTES).map_err(io::Error::other)?;
        // SAFETY: a new mapping at a place that the kernel chooses replaces no other.
        let start = unsafe { mman::mmap(None, bytes, protection, sharing(shared), file, offset) }?;
        Ok(Mapping { start, bytes: bytes.get() })
    }

    /// Changes what may be done to some of its pages. What may not be read must not be looked at.
    pub fn protect(&self, first: usize, pages: usize, protection: Protection) -> io::Result<()> {
        let start = self.address() + first * PAGE_BYTES;
        let start = NonNull::new(start as *mut c_void).ok_or(io::ErrorKind::InvalidInput)?;
        // SAFETY: the pages belong to this mapping, of which no reference is held meanwhile.
        Ok(unsafe { mman::mprotect(start, pages * PAGE_BYTES, protection) }?)
    }

    /// Tells the kernel how it will be used.
    pub fn advise(&self, advice: MmapAdvise) -> io::Result<()> {
        // SAFETY: the advice that is given here drops no content.
        Ok(unsafe { mman::madvise(self.start, self.bytes, advice) }?)
    }

    /// Keeps it in memory.
    pub fn lock(&self) -> io::Result<()> {
        // SAFETY: locking changes nothing that the program can see.
        Ok(unsafe { mman::mlock(self.start, self.bytes) }?)
    }

    /// Keeps each page in memory from its first use on.
    pub fn lock_on_fault(&self) -> io::Result<()> {
        // SAFETY: as for lock.
        let locked = unsafe {
            libc::syscall(libc::SYS_mlock2, self.start.as_ptr(), self.bytes, libc::MLOCK_ONFAULT)
        };
        if locked == -1 { Err(io::Error::last_os_error()) } else { Ok(()) }
    }

    /// Its words.
    pub fn words(&self) -> &[AtomicU64] {
        let first = self.start.as_ptr().cast::<AtomicU64>();
        // SAFETY: mapped, aligned to a page, never unmapped, and any bits are a valid word.
        unsafe { std::slice::from_raw_parts(first, self.bytes / size_of::<u64>()) }
    }

    /// The words of one page.
    pub fn page(&self, index: usize) -> &[AtomicU64] {
        &self.words()[index * PAGE_WORDS..][..PAGE_WORDS]
    }

    /// How many pages it has.
    pub fn pages(&self) -> usize {
        self.bytes / PAGE_BYTES
    }

    /// Where it begins.
    pub fn address(&self) -> usize {
        self.start.as_ptr() as usize
    }
}

/// Pages with content and unusual protection, which nobody reaches but by reading `/proc`.
#[derive(Debug)]
pub struct Odd {
    /// Addresses of the whole.
    pub range: Range<usize>,
}

impl Odd {
    /// Four private pages: readable, unreachable, executable, and locked into memory.
    pub fn new() -> io::Result<Self> {
        let whole = Mapping::anonymous(4, false)?;
        for (index, word) in whole.words().iter().enumerate() {
            word.store(!index as u64, std::sync::atomic::Ordering::Relaxed);
        }
        let start = whole.address();
        protect(start, ProtFlags::PROT_READ)?;
        protect(start + PAGE_BYTES, ProtFlags::PROT_NONE)?;
        protect(start + 2 * PAGE_BYTES, ProtFlags::PROT_READ | ProtFlags::PROT_EXEC)?;
        lock(start + 3 * PAGE_BYTES)?;
        Ok(Odd { range: start..start + 4 * PAGE_BYTES })
    }
}

fn protect(page: usize, protection: ProtFlags) -> io::Result<()> {
    let page = NonNull::new(page as *mut c_void).ok_or(io::ErrorKind::InvalidInput)?;
    // SAFETY: the page belongs to a mapping that was made for this and is not reached otherwise.
    Ok(unsafe { mman::mprotect(page, PAGE_BYTES, protection) }?)
}

fn lock(page: usize) -> io::Result<()> {
    let page = NonNull::new(page as *mut c_void).ok_or(io::ErrorKind::InvalidInput)?;
    // SAFETY: locking changes nothing that the program can see.
    Ok(unsafe { mman::mlock(page, PAGE_BYTES) }?)
}

fn size(pages: usize) -> NonZeroUsize {
    NonZeroUsize::new(pages * PAGE_BYTES).unwrap_or(NonZeroUsize::MIN)
}

fn sharing(shared: bool) -> MapFlags {
    if shared { MapFlags::MAP_SHARED } else { MapFlags::MAP_PRIVATE }
}
