//! The volatile cache of a disk: what was written and may still be lost.
//!
//! Extents that do not overlap, found by their offset and by their age. Each remembers when it was
//! written; what is overwritten leaves the rest of an extent as old as it was.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Arc;

/// Longer writes are cut into pieces, so that overwriting a part copies no more than this.
const PIECE_BYTES: usize = 64 << 10;

/// What an extent costs beside its bytes: a guest may cache as many trims as it likes.
const OVERHEAD: usize = 256;

/// Extents with their ages. A clone shares the bytes.
#[derive(Clone, Debug)]
pub(super) struct Cache {
    extents: BTreeMap<u64, Extent>,
    ages: BTreeSet<(u64, u64)>,
    next_age: u64,
    cost: usize,
    budget: usize,
}

#[derive(Clone, Debug)]
struct Extent {
    age: u64,
    content: Content,
}

/// What an extent holds.
#[derive(Clone, Debug)]
pub(super) enum Content {
    Bytes(Arc<[u8]>),
    /// So many zero bytes.
    Zeroes(u64),
}

impl Cache {
    /// A cache that is full when it costs `budget` bytes of memory.
    pub(super) fn new(budget: usize) -> Cache {
        let (extents, ages) = (BTreeMap::new(), BTreeSet::new());
        Cache { extents, ages, next_age: 0, cost: 0, budget }
    }

    /// Takes in bytes in place of whatever was cached there.
    pub(super) fn write(&mut self, offset: u64, bytes: &[u8]) {
        let age = self.make_room(offset, bytes.len() as u64);
        let mut at = offset;
        for piece in bytes.chunks(PIECE_BYTES) {
            self.insert(at, Extent { age, content: Content::Bytes(piece.into()) });
            at += piece.len() as u64;
        }
    }

    /// Takes in zeroes in place of whatever was cached there.
    pub(super) fn zero(&mut self, offset: u64, length: u64) {
        let age = self.make_room(offset, length);
        if length > 0 {
            self.insert(offset, Extent { age, content: Content::Zeroes(length) });
        }
    }

    /// Puts what is cached from `offset` on over the bytes in `buffer`.
    pub(super) fn overlay(&self, offset: u64, buffer: &mut [u8]) {
        let wanted = offset..offset + buffer.len() as u64;
        let first = self.reaching_into(offset).unwrap_or(offset);
        for (&at, extent) in self.extents.range(first..wanted.end) {
            let end = at + extent.content.length();
            let (from, to) = (at.max(wanted.start), end.min(wanted.end));
            let part = &mut buffer[index(from - offset)..index(to - offset)];
            match &extent.content {
                Content::Bytes(bytes) => {
                    part.copy_from_slice(&bytes[index(from - at)..index(to - at)]);
                }
                Content::Zeroes(_) => part.fill(0),
            }
        }
    }

    /// The first extent that begins within the range.
    pub(super) fn first(&self, range: Range<u64>) -> Option<(u64, Content)> {
        let (&offset, extent) = self.extents.range(range).next()?;
        Some((offset, extent.content.clone()))
    }

    /// The extent that must go first because there is too much; none when all have room.
    pub(super) fn excess(&self) -> Option<(u64, Content)> {
        let &(_, offset) = self.ages.first().filter(|_| self.cost > self.budget)?;
        Some((offset, self.extents.get(&offset)?.content.clone()))
    }

    /// Forgets the extent that begins at `offset`.
    pub(super) fn forget(&mut self, offset: u64) {
        self.remove(offset);
    }

    /// Forgets everything.
    pub(super) fn clear(&mut self) {
        *self = Cache::new(self.budget);
    }

    /// Forgets what is cached within a range; the age of what comes there.
    fn make_room(&mut self, offset: u64, length: u64) -> u64 {
        let end = offset + length;
        let first = self.reaching_into(offset).unwrap_or(offset);
        let touched: Vec<u64> = self.extents.range(first..end).map(|(&at, _)| at).collect();
        for at in touched {
            let Some(Extent { age, content }) = self.remove(at) else { continue };
            if at < offset {
                self.insert(at, Extent { age, content: content.part(0..offset - at) });
            }
            if at + content.length() > end {
                let rest = content.part(end - at..content.length());
                self.insert(end, Extent { age, content: rest });
            }
        }
        self.next_age += 1;
        self.next_age
    }

    /// Where the extent begins that began before `offset` and goes on there.
    fn reaching_into(&self, offset: u64) -> Option<u64> {
        let (&at, extent) = self.extents.range(..offset).next_back()?;
        (at + extent.content.length() > offset).then_some(at)
    }

    fn insert(&mut self, offset: u64, extent: Extent) {
        self.cost += extent.content.cost();
        self.ages.insert((extent.age, offset));
        self.extents.insert(offset, extent);
    }

    fn remove(&mut self, offset: u64) -> Option<Extent> {
        let extent = self.extents.remove(&offset)?;
        self.ages.remove(&(extent.age, offset));
        self.cost -= extent.content.cost();
        Some(extent)
    }
}

impl Content {
    pub(super) fn length(&self) -> u64 {
        match self {
            Content::Bytes(bytes) => bytes.len() as u64,
            Content::Zeroes(length) => *length,
        }
    }

    fn part(&self, range: Range<u64>) -> Content {
        match self {
            Content::Bytes(bytes) => {
                Content::Bytes(bytes[index(range.start)..index(range.end)].into())
            }
            Content::Zeroes(_) => Content::Zeroes(range.end - range.start),
        }
    }

    fn cost(&self) -> usize {
        match self {
            Content::Bytes(bytes) => OVERHEAD + bytes.len(),
            Content::Zeroes(_) => OVERHEAD,
        }
    }
}

/// An offset within bytes that are in memory.
fn index(offset: u64) -> usize {
    offset as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn overwriting_a_part_leaves_the_rest_as_old_as_it_was() {
        let mut cache = Cache::new(0);
        cache.write(0, &[1; 4096]);
        cache.write(8192, &[2; 512]);
        cache.zero(1024, 512);
        let mut order = Vec::new();
        while let Some((offset, content)) = cache.excess() {
            order.push((offset, content.length()));
            cache.forget(offset);
        }
        assert_eq!(order, [(0, 1024), (1536, 2560), (8192, 512), (1024, 512)]);
        assert_eq!(cache.cost, 0);
    }

    #[test]
    fn trims_cost_memory_too() {
        let mut cache = Cache::new(1 << 20);
        for number in 0..10_000 {
            cache.zero(number * 1024, 512);
        }
        assert!(cache.excess().is_some());
    }
}
