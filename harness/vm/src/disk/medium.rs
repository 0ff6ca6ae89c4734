//! A disk without its connection: a file, and the cache in front of it.

use std::io;
use std::ops::Range;
use std::path::Path;

use super::cache::Cache;
use super::image::Image;

/// What is asked of a write beyond its effect on later reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lands {
    /// It may wait for the next flush.
    InCache,
    /// It must have survived when it is answered ("forced unit access").
    OnDisk,
}

/// What a flush is worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Hold {
    /// It makes everything survive.
    Off,
    /// It will be known later; none has come.
    On,
    /// One has come, and nothing after it.
    Flushed,
}

/// File and cache. Whoever calls has checked that ranges are within the disk.
#[derive(Debug)]
pub(super) struct Medium {
    image: Image,
    cache: Cache,
    hold: Hold,
}

impl Medium {
    pub(super) fn new(image: Image, cache_bytes: usize) -> Medium {
        Medium { image, cache: Cache::new(cache_bytes), hold: Hold::Off }
    }

    pub(super) fn image(&self) -> &Image {
        &self.image
    }

    pub(super) fn read(&mut self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        self.guest_goes_on()?;
        self.image.read(offset, buffer)?;
        self.cache.overlay(offset, buffer);
        Ok(())
    }

    pub(super) fn write(&mut self, offset: u64, bytes: &[u8], lands: Lands) -> io::Result<()> {
        self.guest_goes_on()?;
        self.cache.write(offset, bytes);
        self.keep(offset..offset + bytes.len() as u64, lands)
    }

    /// Trims, too: what was trimmed reads as zeroes.
    pub(super) fn zero(&mut self, offset: u64, length: u64, lands: Lands) -> io::Result<()> {
        self.guest_goes_on()?;
        self.cache.zero(offset, length);
        self.keep(offset..offset + length, lands)
    }

    /// The guest, or QEMU by itself, wants to be sure of what it wrote.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        match self.hold {
            Hold::Off => self.commit(0..u64::MAX),
            Hold::On | Hold::Flushed => {
                self.hold = Hold::Flushed;
                Ok(())
            }
        }
    }

    pub(super) fn hold(&mut self) {
        if self.hold == Hold::Off {
            self.hold = Hold::On;
        }
    }

    pub(super) fn release(&mut self) {
        self.hold = Hold::Off;
    }

    /// A flush that is held is the guest's.
    pub(super) fn honour(&mut self) -> io::Result<()> {
        if self.hold == Hold::Flushed {
            self.commit(0..u64::MAX)?;
            self.hold = Hold::On;
        }
        Ok(())
    }

    /// Forgets what was not flushed.
    pub(super) fn lose(&mut self) -> io::Result<()> {
        self.honour()?;
        self.release();
        self.cache.clear();
        Ok(())
    }

    /// Writes everything to the file.
    pub(super) fn settle(&mut self) -> io::Result<()> {
        self.commit(0..u64::MAX)?;
        self.release();
        Ok(())
    }

    pub(super) fn branch(&self, path: &Path) -> io::Result<Medium> {
        Ok(Medium { image: self.image.copy(path)?, cache: self.cache.clone(), hold: Hold::Off })
    }

    /// Whether what is cached is within its bounds.
    #[cfg(any(test, feature = "fuzzing"))]
    pub(super) fn fits(&self) -> bool {
        self.cache.excess().is_none()
    }

    /// QEMU's own flush is the last thing before a machine stands still: what is followed by more
    /// was the guest's.
    fn guest_goes_on(&mut self) -> io::Result<()> {
        self.honour()
    }

    /// Sees to it that what was just cached survives if it must, and that the cache stays small.
    fn keep(&mut self, written: Range<u64>, lands: Lands) -> io::Result<()> {
        if lands == Lands::OnDisk {
            self.commit(written)?;
        }
        while let Some((offset, content)) = self.cache.excess() {
            self.image.put(offset, &content)?;
            self.cache.forget(offset);
        }
        Ok(())
    }

    /// Writes the extents that begin in the range; after an error the rest is cached as before.
    fn commit(&mut self, range: Range<u64>) -> io::Result<()> {
        let mut from = range.start;
        while let Some((offset, content)) = self.cache.first(from..range.end) {
            self.image.put(offset, &content)?;
            self.cache.forget(offset);
            from = offset + content.length();
        }
        Ok(())
    }
}
