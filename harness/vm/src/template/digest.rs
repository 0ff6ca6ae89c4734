//! Digests of large sparse files.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use nix::errno::Errno;
use nix::unistd::{Whence, lseek};
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::Xxh3;

/// Bytes that are read at once, and that are left out when they are all zero.
const PIECE: usize = 64 << 10;

/// Length and XXH3 (128 bit, in hexadecimal) of a file: against damage, not against forgery.
///
/// Where a file has holes may change; what is read from it may not. So pieces of zeros do not
/// count, whether they are holes or not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Digest {
    bytes: u64,
    xxh3: String,
}

impl Digest {
    pub(super) fn of(path: &Path) -> io::Result<Digest> {
        let file = File::open(path)?;
        let bytes = file.metadata()?.len();
        let (mut hasher, mut buffer, mut offset) = (Xxh3::new(), vec![0; PIECE], 0);
        while let Some(piece) = next_data(&file, offset)? {
            let count = read_full(&file, &mut buffer, piece)?;
            if buffer[..count].iter().any(|byte| *byte != 0) {
                hasher.update(&piece.to_le_bytes());
                hasher.update(&buffer[..count]);
            }
            offset = piece + PIECE as u64;
        }
        Ok(Digest { bytes, xxh3: format!("{:032x}", hasher.digest128()) })
    }
}

/// Where the next piece with data begins, from the piece at `offset` on.
fn next_data(file: &File, offset: u64) -> io::Result<Option<u64>> {
    let from = i64::try_from(offset).map_err(io::Error::other)?;
    match lseek(file, from, Whence::SeekData) {
        Ok(found) => Ok(Some(found.unsigned_abs() / PIECE as u64 * PIECE as u64)),
        Err(Errno::ENXIO) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn read_full(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match file.read_at(&mut buffer[filled..], offset + filled as u64)? {
            0 => break,
            count => filled += count,
        }
    }
    Ok(filled)
}

#[cfg(test)]
mod tests {
    use std::io::{Seek, SeekFrom, Write};

    use super::*;

    fn file(write: impl FnOnce(&mut File)) -> tempfile::NamedTempFile {
        let mut file = tempfile::NamedTempFile::new().expect("a file");
        write(file.as_file_mut());
        file
    }

    fn digest(file: &tempfile::NamedTempFile) -> Digest {
        Digest::of(file.path()).expect("readable")
    }

    #[test]
    fn a_hole_is_as_good_as_zeros_and_a_flipped_bit_is_not() {
        let bytes = [vec![7; 10], vec![0; 3 * PIECE], vec![9; 70]].concat();
        let dense = file(|file| file.write_all(&bytes).expect("written"));
        let sparse = file(|file| {
            file.write_all(&bytes[..10]).expect("written");
            file.seek(SeekFrom::End(3 * PIECE as i64)).expect("beyond the end");
            file.write_all(&[9; 70]).expect("written");
        });
        assert_eq!(digest(&dense), digest(&sparse));
        sparse.as_file().write_all_at(&[6], 9).expect("written");
        assert_ne!(digest(&dense), digest(&sparse));
    }

    #[test]
    fn a_file_that_lost_its_zeros_is_another_one() {
        let [long, short] = [100, 99].map(|bytes| file(|file| file.set_len(bytes).expect("set")));
        assert_ne!(digest(&long), digest(&short));
    }
}
