//! Guard pages in memory that looks as if nobody had touched it.
//!
//! A guard (`MADV_GUARD_INSTALL`, since 6.13) counts as no memory: a mapping of guards alone has
//! an `Rss` of zero. `PAGEMAP_SCAN` (since 6.7) finds it as "swapped" and steps over what has no
//! page tables, so that a reservation of terabytes costs nothing.
#![expect(unsafe_code, reason = "PAGEMAP_SCAN, see pagemap.rst of the kernel's documentation")]

use std::fs::File;
use std::os::fd::AsRawFd;

use nix::errno::Errno;

/// `PAGE_IS_SWAPPED`: an entry of a page table that is there, and that is no page.
const SWAPPED: u64 = 1 << 4;

/// `struct pm_scan_arg`.
#[repr(C)]
#[derive(Debug, Default)]
pub(super) struct Arguments {
    size: u64,
    flags: u64,
    start: u64,
    end: u64,
    walk_end: u64,
    regions: u64,
    regions_len: u64,
    max_pages: u64,
    inverted: u64,
    all_of: u64,
    any_of: u64,
    told: u64,
}

/// `struct page_region`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Region {
    start: u64,
    end: u64,
    categories: u64,
}

nix::ioctl_readwrite!(pagemap_scan, b'f', 16, Arguments);

/// `PAGE_IS_GUARD`, since 6.15.
const GUARD: u64 = 1 << 8;

/// Ranges of addresses in which something other than pages stands; none on a kernel without the
/// call, which has no guards either.
pub(super) fn markers(pagemap: &File, start: u64, end: u64) -> nix::Result<Vec<(u64, u64)>> {
    scan(pagemap, start, end, SWAPPED).map(Option::unwrap_or_default)
}

/// Ranges of guards, also where pages of a file are below them; nothing on a kernel that does not
/// tell guards apart.
pub(crate) fn guards(pagemap: &File, start: u64, end: u64) -> nix::Result<Option<Vec<(u64, u64)>>> {
    match scan(pagemap, start, end, GUARD) {
        Err(Errno::EINVAL) => Ok(None),
        scanned => scanned,
    }
}

/// Ranges of addresses of one category; nothing on a kernel without the call.
fn scan(
    pagemap: &File,
    start: u64,
    end: u64,
    category: u64,
) -> nix::Result<Option<Vec<(u64, u64)>>> {
    let mut regions = [Region::default(); 64];
    let (mut found, mut at) = (Vec::new(), start);
    while at < end {
        let mut arguments = Arguments {
            size: size_of::<Arguments>() as u64,
            start: at,
            end,
            regions: regions.as_mut_ptr() as u64,
            regions_len: regions.len() as u64,
            any_of: category,
            told: category,
            ..Arguments::default()
        };
        // SAFETY: the kernel writes at most `regions_len` regions to where `regions` is.
        let count = match unsafe { pagemap_scan(pagemap.as_raw_fd(), &raw mut arguments) } {
            Ok(count) => count.cast_unsigned() as usize,
            Err(Errno::ENOTTY) => return Ok(None),
            Err(errno) => return Err(errno),
        };
        found.extend(regions.iter().take(count).map(|region| (region.start, region.end)));
        if arguments.walk_end <= at {
            break;
        }
        at = arguments.walk_end;
    }
    Ok(Some(found))
}

#[cfg(test)]
mod tests {
    use std::ptr;

    use super::*;
    use crate::memory::PAGE;

    /// `MADV_GUARD_INSTALL`, which the C library has no name for.
    const INSTALL: i32 = 102;

    #[test]
    fn a_guard_shows_in_memory_that_nobody_has_touched() {
        const LENGTH: usize = 1 << 40;
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
        // SAFETY: a new mapping, which nothing else knows of.
        let memory = unsafe { libc::mmap(ptr::null_mut(), LENGTH, libc::PROT_NONE, flags, -1, 0) };
        assert_ne!(memory, libc::MAP_FAILED);
        let start = memory as u64;
        let guard = start + 5 * PAGE;
        // SAFETY: two pages of the mapping above.
        let has_guards =
            unsafe { libc::madvise(guard as *mut libc::c_void, 2 * PAGE as usize, INSTALL) } == 0;
        let pagemap = File::open("/proc/self/pagemap").expect("pagemap");
        let found = markers(&pagemap, start, start + LENGTH as u64).expect("a scan");
        let expected = if has_guards { vec![(guard, guard + 2 * PAGE)] } else { Vec::new() };
        // SAFETY: the mapping above, used no longer.
        unsafe { libc::munmap(memory, LENGTH) };
        assert_eq!(found, expected);
    }

    #[test]
    fn a_guard_shows_in_shared_memory_beside_pages() {
        const LENGTH: usize = 8 * PAGE as usize;
        let (prot, flags) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_SHARED);
        let flags = flags | libc::MAP_ANONYMOUS;
        // SAFETY: a new mapping, which nothing else knows of.
        let memory = unsafe { libc::mmap(ptr::null_mut(), LENGTH, prot, flags, -1, 0) };
        assert_ne!(memory, libc::MAP_FAILED);
        let start = memory as u64;
        let guard = start + 3 * PAGE;
        // SAFETY: the first page of the mapping, and another one of it.
        let has_guards = unsafe {
            memory.cast::<u8>().write(1);
            libc::madvise(guard as *mut libc::c_void, PAGE as usize, INSTALL) == 0
        };
        let pagemap = File::open("/proc/self/pagemap").expect("pagemap");
        let found = guards(&pagemap, start, start + LENGTH as u64).expect("a scan");
        // SAFETY: the mapping above, used no longer.
        unsafe { libc::munmap(memory, LENGTH) };
        if has_guards {
            // Shared memory takes guards since the kernel tells them apart.
            assert_eq!(found, Some(vec![(guard, guard + PAGE)]));
        } else {
            assert_eq!(found.unwrap_or_default(), []);
        }
    }
}
