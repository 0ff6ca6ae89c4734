//! Reading `/proc`.

use std::fs::File;
use std::io::{self, Read};

/// More than any of the files that are read here has.
const MOST_BYTES: usize = 64 << 10;

/// So many readings of a file may differ from the one before, for whatever reason.
const MOST_READINGS: usize = 8;

/// What a file of `/proc` says, in one read.
///
/// A checkpoint may fall between two. Whoever restores sets the file's position anew, and the kernel
/// makes up the rest of its text at that moment (fs/seq_file.c, `seq_lseek()`): of a process that does
/// not bear its name yet.
pub fn bytes(path: &str) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; MOST_BYTES];
    let count = File::open(path)?.read(&mut bytes)?;
    bytes.truncate(count);
    Ok(bytes)
}

/// What is read twice in a row out of a file that is longer than the page that the kernel gives in one
/// read. A checkpoint falls into one of the readings at most, and the rest of that one is of whoever
/// restored it: the file is of the memory that a process had when it was opened.
pub fn twice<T: PartialEq>(read: impl Fn() -> io::Result<T>) -> io::Result<T> {
    let mut last = read()?;
    for _ in 0..MOST_READINGS {
        let again = read()?;
        if again == last {
            return Ok(again);
        }
        last = again;
    }
    Err(io::Error::other("it reads differently each time"))
}

/// The same as text.
pub fn text(path: &str) -> io::Result<String> {
    String::from_utf8(bytes(path)?).map_err(io::Error::other)
}
