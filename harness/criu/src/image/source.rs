//! A reader that knows its name and offset, and never trusts an announced length.

use std::io::{ErrorKind, Read};

use super::error::{Error, Place, Problem};

pub(super) struct Source<'a, R> {
    name: &'a str,
    reader: R,
    offset: u64,
}

impl<'a, R: Read> Source<'a, R> {
    pub(super) fn new(name: &'a str, reader: R) -> Self {
        Source { name, reader, offset: 0 }
    }

    pub(super) fn offset(&self) -> u64 {
        self.offset
    }

    /// Reads exactly `length` bytes. Memory grows with what arrives, not with what is announced.
    pub(super) fn bytes(&mut self, length: u64, what: &'static str) -> Result<Vec<u8>, Error> {
        let start = self.offset;
        let bytes = self.up_to(length)?;
        let found = bytes.len() as u64;
        if found < length {
            return Err(self.error(start, Problem::Truncated { what, wanted: length, found }));
        }
        Ok(bytes)
    }

    /// Reads what is left.
    pub(super) fn rest(&mut self) -> Result<Vec<u8>, Error> {
        self.up_to(u64::MAX)
    }

    /// Reads a number, or nothing where the file ends.
    pub(super) fn u32_or_end(&mut self, what: &'static str) -> Result<Option<u32>, Error> {
        let start = self.offset;
        let bytes = self.up_to(4)?;
        match <[u8; 4]>::try_from(bytes.as_slice()) {
            Ok(bytes) => Ok(Some(u32::from_le_bytes(bytes))),
            Err(_) if bytes.is_empty() => Ok(None),
            Err(_) => {
                let found = bytes.len() as u64;
                Err(self.error(start, Problem::Truncated { what, wanted: 4, found }))
            }
        }
    }

    /// Reads a number.
    pub(super) fn u32(&mut self, what: &'static str) -> Result<u32, Error> {
        let start = self.offset;
        let missing = || Problem::Truncated { what, wanted: 4, found: 0 };
        self.u32_or_end(what)?.ok_or_else(|| self.error(start, missing()))
    }

    /// Reads zeros up to the next multiple of `boundary` after `length` bytes.
    pub(super) fn padding(&mut self, length: u64, boundary: u64) -> Result<(), Error> {
        let start = self.offset;
        let bytes = self.bytes(padding(length, boundary), "padding")?;
        match bytes.iter().all(|&byte| byte == 0) {
            true => Ok(()),
            false => Err(self.error(start, Problem::Padding)),
        }
    }

    pub(super) fn error(&self, offset: u64, problem: Problem) -> Error {
        Error { name: self.name.to_owned(), place: Place::Offset(offset), problem }
    }

    fn up_to(&mut self, length: u64) -> Result<Vec<u8>, Error> {
        let mut bytes = Vec::new();
        let read = self.reader.by_ref().take(length).read_to_end(&mut bytes);
        let start = self.offset;
        self.offset += bytes.len() as u64;
        match read {
            Ok(_) => Ok(bytes),
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => Ok(bytes),
            Err(error) => Err(self.error(start, Problem::Io(error))),
        }
    }
}

/// Bytes from `length` to the next multiple of `boundary`.
pub(super) fn padding(length: u64, boundary: u64) -> u64 {
    length.wrapping_neg() % boundary
}
