//! Mapped memory as words that anybody may read and write at any time.
#![expect(unsafe_code, reason = "maps memory by mmap")]

use std::ffi::c_void;
use std::fs::File;
use std::io;
use std::num::NonZeroUsize;
use std::ops::Range;
use std::ptr::NonNull;
use std::sync::atomic::AtomicU64;

use nix::sys::mman::{self, MapFlags, ProtFlags};

/// Bytes of a page.
pub(crate) const PAGE_BYTES: usize = 4096;

/// Words of a page.
pub(crate) const PAGE_WORDS: usize = PAGE_BYTES / size_of::<u64>();

/// Memory that is mapped readable and writable until the program ends.
///
/// It is seen as atomic words, so that threads, and processes that share it, may change it while
/// others look.
#[derive(Debug)]
pub(crate) struct Mapping {
    start: NonNull<c_void>,
    bytes: usize,
}

// SAFETY: the memory stays mapped for ever and is reached through atomics alone.
unsafe impl Send for Mapping {}
// SAFETY: as for Send.
unsafe impl Sync for Mapping {}

impl Mapping {
    /// Maps zeroes, private or shared with the processes that are forked later.
    pub(crate) fn anonymous(pages: usize, shared: bool) -> io::Result<Self> {
        let bytes = size(pages);
        let protection = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
        // SAFETY: a new mapping at a place that the kernel chooses replaces no other.
        let start = unsafe { mman::mmap_anonymous(None, bytes, protection, sharing(shared)) }?;
        Ok(Mapping { start, bytes: bytes.get() })
    }

    /// Maps the first pages of a file, which must be that long for as long as the program runs.
    pub(crate) fn file(file: &File, pages: usize, shared: bool) -> io::Result<Self> {
        let bytes = size(pages);
        let protection = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
        // SAFETY: a new mapping at a place that the kernel chooses replaces no other.
        let start = unsafe { mman::mmap(None, bytes, protection, sharing(shared), file, 0) }?;
        Ok(Mapping { start, bytes: bytes.get() })
    }

    /// Its words.
    pub(crate) fn words(&self) -> &[AtomicU64] {
        let first = self.start.as_ptr().cast::<AtomicU64>();
        // SAFETY: mapped, aligned to a page, never unmapped, and any bits are a valid word.
        unsafe { std::slice::from_raw_parts(first, self.bytes / size_of::<u64>()) }
    }

    /// The words of one page.
    pub(crate) fn page(&self, index: usize) -> &[AtomicU64] {
        &self.words()[index * PAGE_WORDS..][..PAGE_WORDS]
    }

    /// How many pages it has.
    pub(crate) fn pages(&self) -> usize {
        self.bytes / PAGE_BYTES
    }

    /// Where it begins.
    pub(crate) fn address(&self) -> usize {
        self.start.as_ptr() as usize
    }
}

/// Pages with content and unusual protection, which nobody reaches but by reading `/proc`.
#[derive(Debug)]
pub(crate) struct Odd {
    /// Addresses of the whole.
    pub(crate) range: Range<usize>,
}

impl Odd {
    /// Four private pages: readable, unreachable, executable, and locked into memory.
    pub(crate) fn new() -> io::Result<Self> {
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
