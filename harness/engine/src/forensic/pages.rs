//! Pages out of the images: some by their address, or all as they stand there.
//!
//! A page that did not change since a round before is in the images of that one, which stand where a
//! link in the folder leads to.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;

use criu::image::{PageAt, Pagemap, read_page};

use super::container::Images;
use crate::archive::PARENT;

/// Bytes of a page, on every machine whose archives this engine reads.
pub(super) const PAGE: u64 = 4096;

/// Bytes that are handed out at once: whole pages.
const PIECE: u64 = 64 * PAGE;

/// A pagemap, and those before it as far as it leaves pages to them.
pub(super) struct Layers(Vec<Layer>);

struct Layer {
    pagemap: Pagemap,
    /// The file of its pages, seen from the folder of the first.
    pages: String,
}

/// Where a page is.
enum Place<'a> {
    /// In this file, from this byte on.
    File(&'a str, u64),
    Parent,
    Nowhere,
}

impl Layers {
    /// A pagemap with those before it; nothing where there is none, or where one makes no sense, which
    /// is told.
    pub(super) fn read(images: &mut Images<'_, '_>, image: &str) -> Option<Layers> {
        let (mut layers, mut folder) = (Vec::new(), String::new());
        loop {
            let pagemap = match images.pagemap(&format!("{folder}{image}")) {
                Some(pagemap) => pagemap,
                None if layers.is_empty() => return None,
                None => return Some(Layers(layers)),
            };
            let pages = format!("{folder}pages-{}.img", pagemap.pages_id);
            let ends = pagemap.runs.iter().all(|run| run.present || !run.in_parent);
            layers.push(Layer { pagemap, pages });
            if ends {
                return Some(Layers(layers));
            }
            folder = format!("{PARENT}/{folder}");
        }
    }

    /// The files of pages.
    pub(super) fn files(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|layer| layer.pages.as_str())
    }

    /// Bytes of memory by their address.
    pub(super) fn bytes(
        &self,
        images: &Images<'_, '_>,
        address: u64,
        length: u64,
    ) -> Result<Vec<u8>, String> {
        let mut bytes = Vec::new();
        if length == 0 {
            return Ok(bytes);
        }
        let end = address.checked_add(length).ok_or("an address beyond all memory")?;
        let mut page = address & !(PAGE - 1);
        while page < end {
            let found = self.page(images, page)?;
            let first = usize::try_from(address.saturating_sub(page)).unwrap_or(0);
            let last = usize::try_from((end - page).min(PAGE)).unwrap_or(0);
            bytes.extend_from_slice(&found[first..last]);
            page = page.checked_add(PAGE).ok_or("an address beyond all memory")?;
        }
        Ok(bytes)
    }

    fn page(&self, images: &Images<'_, '_>, page: u64) -> Result<Vec<u8>, String> {
        for layer in &self.0 {
            match layer.pagemap.locate(page, PAGE) {
                PageAt::Byte(byte) => {
                    let (file, _) = opened(images, &layer.pages)?;
                    let read = read_page(&layer.pages, file, byte, PAGE);
                    return read.map_err(|error| error.to_string());
                }
                PageAt::Parent => {}
                PageAt::Later => return Err(format!("the page at {page:#x} is to come later")),
                PageAt::Nowhere => return Err(format!("no page at {page:#x}")),
            }
        }
        Err(format!("the page at {page:#x} is in images that are not there"))
    }

    /// Hands out all pages, as pieces with their place in memory.
    pub(super) fn stream(
        &self,
        images: &Images<'_, '_>,
        mut each: impl FnMut(u64, &[u8]),
    ) -> Result<(), String> {
        let Some((first, before)) = self.0.split_first() else { return Ok(()) };
        let (mut file, mut left) = opened(images, &first.pages)?;
        let mut before = Before::new(images, before)?;
        let mut buffer = vec![0; usize::try_from(PIECE).unwrap_or(0)];
        for run in first.pagemap.runs.iter().filter(|run| run.present || run.in_parent) {
            let left = if run.present { &mut left } else { &mut before.left };
            let bytes = run.pages.checked_mul(PAGE).filter(|bytes| *bytes <= *left);
            let end = bytes.and_then(|bytes| run.start.checked_add(bytes));
            let (Some(bytes), Some(end)) = (bytes, end) else {
                let (name, pages, start) = (&first.pages, run.pages, run.start);
                return Err(format!(
                    "{name}: {pages} pages from {start:#x}, {left} bytes are left"
                ));
            };
            *left -= bytes;
            let mut at = run.start;
            while at < end {
                let most = if run.present { PIECE } else { PAGE };
                let piece = &mut buffer[..usize::try_from((end - at).min(most)).unwrap_or(0)];
                if run.present {
                    let read = file.read_exact(piece);
                    read.map_err(|error| format!("{}: {error}", first.pages))?;
                } else {
                    piece.copy_from_slice(&before.page(at)?);
                }
                each(at, piece);
                at += piece.len() as u64;
            }
        }
        Ok(())
    }
}

/// Runs by their begin: where they end, and where their pages are.
type Index<'a> = BTreeMap<u64, (u64, Place<'a>)>;

/// The pagemaps before the first, in an order in which many pages are found fast.
struct Before<'a> {
    layers: Vec<(File, Index<'a>)>,
    /// Bytes of all their files: no more pages are looked up than there can be.
    left: u64,
}

impl<'a> Before<'a> {
    fn new(images: &Images<'_, '_>, layers: &'a [Layer]) -> Result<Self, String> {
        let mut before = Before { layers: Vec::new(), left: 0 };
        for layer in layers {
            let (file, length) = opened(images, &layer.pages)?;
            before.left = before.left.saturating_add(length);
            before.layers.push((file, layer.index()));
        }
        Ok(before)
    }

    fn page(&self, page: u64) -> Result<Vec<u8>, String> {
        for (file, index) in &self.layers {
            let run = index.range(..=page).next_back().filter(|(_, (end, _))| page < *end);
            match run {
                Some((start, (_, Place::File(name, byte)))) => {
                    let byte = byte.saturating_add(page - start);
                    return read_page(name, file, byte, PAGE).map_err(|error| error.to_string());
                }
                Some((_, (_, Place::Parent))) => {}
                Some((_, (_, Place::Nowhere))) | None => break,
            }
        }
        Err(format!("the page at {page:#x} is in images that are not there"))
    }
}

impl Layer {
    fn index(&self) -> Index<'_> {
        let (mut index, mut byte) = (BTreeMap::new(), 0u64);
        for run in &self.pagemap.runs {
            let length = run.pages.saturating_mul(PAGE);
            let place = match (run.present, run.in_parent) {
                (true, _) => Place::File(&self.pages, byte),
                (false, true) => Place::Parent,
                (false, false) => Place::Nowhere,
            };
            byte = if run.present { byte.saturating_add(length) } else { byte };
            index.entry(run.start).or_insert((run.start.saturating_add(length), place));
        }
        index
    }
}

fn opened(images: &Images<'_, '_>, name: &str) -> Result<(File, u64), String> {
    images.open(name).map_err(|why| format!("{name}: {why}"))
}
