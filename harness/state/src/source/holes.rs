//! Holes of files: where no block of the file system stands behind the zeroes that are read.

use std::fs::File;
use std::io;
use std::os::fd::AsFd;

use nix::errno::Errno;
use nix::unistd::{Whence, lseek64};

use crate::facts::Facts;

/// So many are written down one by one.
const MOST: usize = 32;

/// Writes down the holes of a file with this length, whose position nobody else knows.
pub(crate) fn put(name: &str, file: &File, length: u64, facts: &mut Facts) -> io::Result<()> {
    let holes = find(file, length)?;
    let words = holes.iter().map(|(start, end)| format!("{start}-{end}")).collect::<Vec<_>>();
    let name = format!("{name}.holes");
    match holes.len() {
        0 => facts.put(name, "none"),
        1..=MOST => facts.put(name, words.join(" ")),
        _ => facts.content(name, words.join(" ").as_bytes()),
    }
    Ok(())
}

/// Ranges of bytes. A file system that knows of none says that all is data.
fn find(file: &File, length: u64) -> io::Result<Vec<(u64, u64)>> {
    let (mut holes, mut at) = (Vec::new(), 0);
    while at < length {
        let start = seek(file, at, Whence::SeekHole)?.unwrap_or(length);
        if start >= length {
            break;
        }
        at = seek(file, start, Whence::SeekData)?.unwrap_or(length).min(length);
        holes.push((start, at));
    }
    Ok(holes)
}

/// Where the next hole, or the next data, begins; nothing past the last.
fn seek(file: &File, from: u64, what: Whence) -> io::Result<Option<u64>> {
    match lseek64(file.as_fd(), from.cast_signed(), what) {
        Ok(at) => Ok(Some(at.cast_unsigned())),
        Err(Errno::ENXIO) => Ok(None),
        Err(errno) => Err(errno.into()),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::FileExt;

    use super::*;

    #[test]
    fn a_hole_is_told_from_zeroes_that_were_written() {
        let file = tempfile::tempfile().expect("a file");
        file.set_len(5 << 16).expect("longer");
        file.write_all_at(&[0; 1 << 16], 1 << 16).expect("written");
        file.write_all_at(&[7; 10], 3 << 16).expect("written");
        let holes = find(&file, 5 << 16).expect("holes");
        let data = holes.first().map(|hole| hole.1);
        assert_eq!((holes[0].0, data), (0, Some(1 << 16)), "{holes:?}");
        assert_eq!((holes[1].0, holes[1].1), (2 << 16, 3 << 16), "{holes:?}");
        assert!(holes[2].0 < 4 << 16 && holes[2].1 == 5 << 16, "{holes:?}");
    }
}
