//! Lets a tar stream pass as long as it costs bounded memory.
//!
//! The reader of tar streams keeps a long name in memory, and believes the stream how long it is.
//! Here each header is looked at before the reader sees it.

use std::io::{Error, ErrorKind, Read, Result};

use tar::{EntryType, Header};

/// Size of a header, and of the blocks in which contents come.
const BLOCK_BYTES: usize = 512;

/// Longest name of a file, or of what a link leads to.
const NAME_BYTES: u64 = 64 << 10;

/// Reads a tar stream from another reader.
#[derive(Debug)]
pub(super) struct Guard<R> {
    inner: R,
    header: Vec<u8>,
    /// Bytes until the next header.
    content: u64,
}

impl<R: Read> Guard<R> {
    pub(super) fn new(inner: R) -> Self {
        Guard { inner, header: Vec::with_capacity(BLOCK_BYTES), content: 0 }
    }

    fn look_at(&mut self, mut bytes: &[u8]) -> Result<()> {
        while !bytes.is_empty() {
            let skipped = usize::try_from(self.content).unwrap_or(usize::MAX).min(bytes.len());
            self.content -= skipped as u64;
            bytes = &bytes[skipped..];
            let missing = (BLOCK_BYTES - self.header.len()).min(bytes.len());
            self.header.extend_from_slice(&bytes[..missing]);
            bytes = &bytes[missing..];
            if self.header.len() == BLOCK_BYTES {
                self.content = content_after(Header::from_byte_slice(&self.header))?;
                self.header.clear();
            }
        }
        Ok(())
    }
}

impl<R: Read> Read for Guard<R> {
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize> {
        let count = self.inner.read(buffer)?;
        self.look_at(&buffer[..count])?;
        Ok(count)
    }
}

/// How many bytes stand between this header and the next.
fn content_after(header: &Header) -> Result<u64> {
    if header.as_bytes().iter().all(|&byte| byte == 0) {
        return Ok(0);
    }
    let size = header.entry_size()?;
    let refused = |what: &str| Err(Error::new(ErrorKind::InvalidData, what));
    match header.entry_type() {
        EntryType::GNULongName | EntryType::GNULongLink if size > NAME_BYTES => {
            refused("a name of more than 64 KiB")
        }
        // They may say another size than the header does, and nobody has asked for them.
        EntryType::XHeader | EntryType::XGlobalHeader | EntryType::GNUSparse => {
            refused("neither pax headers nor sparse files were asked for")
        }
        _ => {
            let blocks = size.div_ceil(BLOCK_BYTES as u64);
            blocks.checked_mul(BLOCK_BYTES as u64).map_or_else(|| refused("an absurd size"), Ok)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(kind: EntryType, size: u64) -> Vec<u8> {
        let mut header = Header::new_gnu();
        header.set_entry_type(kind);
        header.set_size(size);
        header.set_cksum();
        header.as_bytes().to_vec()
    }

    fn read(stream: &[u8]) -> Result<usize> {
        Guard::new(stream).read_to_end(&mut Vec::new())
    }

    #[test]
    fn a_name_without_an_end_is_refused_at_its_header() {
        let file = [header(EntryType::Regular, 700), vec![b'L'; 1024]].concat();
        let short = [header(EntryType::GNULongName, 200), vec![b'n'; 512]].concat();
        let whole = [file, short].concat();
        assert_eq!(read(&whole).expect("harmless"), whole.len());
        let endless = [whole, header(EntryType::GNULongName, 1 << 40)].concat();
        assert!(read(&endless).is_err());
        for other in [EntryType::XHeader, EntryType::XGlobalHeader, EntryType::GNUSparse] {
            assert!(read(&header(other, 10)).is_err());
        }
    }
}
