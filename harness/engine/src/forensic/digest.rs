//! SHA-256 of files and bytes.

use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use sha2::{Digest as _, Sha256};

/// Bytes that are read at once.
const PIECE: usize = 256 << 10;

/// What identifies a file.
pub(super) struct Identified {
    pub(super) bytes: u64,
    pub(super) sha256: String,
    pub(super) modified_s: i64,
}

/// Reads all of a file.
pub(super) fn file(path: &Path) -> io::Result<Identified> {
    let mut file = fs_err::File::open(path)?;
    let modified_s = file.metadata()?.mtime();
    let (mut digest, mut bytes) = (Sha256::new(), 0);
    let mut piece = vec![0; PIECE];
    loop {
        match file.read(&mut piece)? {
            0 => return Ok(Identified { bytes, sha256: hex(&digest.finalize()), modified_s }),
            count => {
                digest.update(&piece[..count]);
                bytes += count as u64;
            }
        }
    }
}

/// Bytes in hexadecimal.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
