//! Reading `/proc`.

use std::fs::File;
use std::io::{self, Read};

/// More than any of the files that are read here has.
const MOST_BYTES: usize = 64 << 10;

/// What a file of `/proc` says, in one read.
///
/// A checkpoint may fall between two. Whoever restores sets the file's position anew, and the kernel
/// makes up the rest of its text at that moment (fs/seq_file.c, `seq_lseek()`): of a process that does
/// not bear its name yet.
pub(crate) fn bytes(path: &str) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; MOST_BYTES];
    let count = File::open(path)?.read(&mut bytes)?;
    bytes.truncate(count);
    Ok(bytes)
}

/// The same as text.
pub(crate) fn text(path: &str) -> io::Result<String> {
    String::from_utf8(bytes(path)?).map_err(io::Error::other)
}
