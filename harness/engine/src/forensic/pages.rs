//! Pages out of the images: some by their address, or all as they stand there.

use std::fs::File;
use std::io::Read;

use criu::image::{PageAt, Pagemap, read_page};

use super::container::Images;

/// Bytes of a page, on every machine whose archives this engine reads.
pub(super) const PAGE: u64 = 4096;

/// Bytes that are handed out at once: whole pages.
const PIECE: u64 = 64 * PAGE;

/// Bytes of memory by their address.
pub(super) fn read(
    images: &Images<'_, '_>,
    pagemap: &Pagemap,
    address: u64,
    length: u64,
) -> Result<Vec<u8>, String> {
    if length == 0 {
        return Ok(Vec::new());
    }
    let name = format!("pages-{}.img", pagemap.pages_id);
    let (file, _) = images.open(&name).map_err(|why| format!("{name}: {why}"))?;
    let end = address.checked_add(length).ok_or("an address beyond all memory")?;
    let mut bytes = Vec::new();
    let mut page = address & !(PAGE - 1);
    while page < end {
        let found = page_of(&name, &file, pagemap, page)?;
        let first = usize::try_from(address.saturating_sub(page)).unwrap_or(0);
        let last = usize::try_from((end - page).min(PAGE)).unwrap_or(0);
        bytes.extend_from_slice(&found[first..last]);
        page = page.checked_add(PAGE).ok_or("an address beyond all memory")?;
    }
    Ok(bytes)
}

fn page_of(name: &str, file: &File, pagemap: &Pagemap, page: u64) -> Result<Vec<u8>, String> {
    match pagemap.locate(page, PAGE) {
        PageAt::Byte(byte) => read_page(name, file, byte, PAGE).map_err(|error| error.to_string()),
        PageAt::Parent => Err(format!("the page at {page:#x} is in a parent's images")),
        PageAt::Later => Err(format!("the page at {page:#x} is to come later")),
        PageAt::Nowhere => Err(format!("no page at {page:#x}")),
    }
}

/// Hands out all pages of a pagemap, as pieces with their place in memory.
pub(super) fn stream(
    images: &Images<'_, '_>,
    pagemap: &Pagemap,
    mut each: impl FnMut(u64, &[u8]),
) -> Result<(), String> {
    let name = format!("pages-{}.img", pagemap.pages_id);
    let (mut file, length) = images.open(&name).map_err(|why| format!("{name}: {why}"))?;
    let mut left = length;
    let mut buffer = vec![0; usize::try_from(PIECE).unwrap_or(0)];
    for run in pagemap.runs.iter().filter(|run| run.present) {
        let bytes = run.pages.checked_mul(PAGE).filter(|bytes| *bytes <= left);
        let end = bytes.and_then(|bytes| run.start.checked_add(bytes));
        let (Some(bytes), Some(end)) = (bytes, end) else {
            let (pages, start) = (run.pages, run.start);
            return Err(format!("{name}: {pages} pages from {start:#x}, {left} bytes are left"));
        };
        left -= bytes;
        let mut at = run.start;
        while at < end {
            let piece = usize::try_from((end - at).min(PIECE)).unwrap_or(0);
            file.read_exact(&mut buffer[..piece]).map_err(|error| format!("{name}: {error}"))?;
            each(at, &buffer[..piece]);
            at += piece as u64;
        }
    }
    Ok(())
}
