//! Holes of files: which of a file's bytes stand on the disk, and which are zeroes that take no room.
//!
//! A tar has all bytes of a file, the zeroes of its holes among them. A file that has holes has the
//! record `CRYOLAB.data` with the ranges that are none, as `START-END` one after the other; without
//! it, a file has no holes. So zeroes that somebody wrote stay written, and no hole is filled.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::ops::Range;
use std::path::Path;

use nix::errno::Errno;
use nix::unistd::{Whence, lseek64};

/// Record of the ranges of a plain file that are data.
pub(super) const DATA: &str = "CRYOLAB.data";

/// A file with more ranges loses its holes, since records are bounded; its bytes stay as they are.
const MOST: usize = 16 << 10;

/// What is copied at once.
const PIECE: u64 = 64 << 10;

/// The record of a file of this length; nothing where it has no hole.
pub(super) fn record(path: &Path, length: u64) -> io::Result<Option<String>> {
    if length == 0 {
        return Ok(None);
    }
    let file = File::open(path)?;
    let (mut ranges, mut at) = (Vec::new(), 0);
    while let Some(start) = seek(&file, at, Whence::SeekData)?.filter(|start| *start < length) {
        at = seek(&file, start, Whence::SeekHole)?.unwrap_or(length).min(length);
        ranges.push(format!("{start}-{at}"));
    }
    let is_whole = ranges == [format!("0-{length}")];
    Ok((!is_whole && ranges.len() <= MOST).then(|| ranges.join(" ")))
}

/// Where the next data, or the next hole, begins; nothing past the last.
fn seek(file: &File, from: u64, what: Whence) -> io::Result<Option<u64>> {
    match lseek64(file, from.cast_signed(), what) {
        Ok(at) => Ok(Some(at.cast_unsigned())),
        Err(Errno::ENXIO) => Ok(None),
        Err(errno) => Err(errno.into()),
    }
}

/// Fills a new file, and leaves out what its record says is a hole.
pub(super) fn fill(
    content: &mut impl Read,
    file: &mut File,
    record: Option<&[u8]>,
) -> io::Result<()> {
    let Some(record) = record else { return pour(content, file, u64::MAX).map(drop) };
    let mut at = 0;
    for range in ranges(record)? {
        skip(content, range.start - at)?;
        file.seek(SeekFrom::Start(range.start))?;
        let length = range.end - range.start;
        if pour(content, file, length)? < length {
            return Err(io::Error::other(format!("{DATA}: more than the file has")));
        }
        at = range.end;
    }
    let rest = skip(content, u64::MAX)?;
    file.set_len(at + rest)
}

/// Ranges in their order, none of which is empty or overlaps another.
fn ranges(record: &[u8]) -> io::Result<Vec<Range<u64>>> {
    let odd = || io::Error::other(format!("{DATA}: no ranges"));
    let text = std::str::from_utf8(record).map_err(|_| odd())?;
    let mut ranges: Vec<Range<u64>> = Vec::new();
    for word in text.split_ascii_whitespace() {
        let (start, end) = word.split_once('-').ok_or_else(odd)?;
        let (start, end) = (start.parse().map_err(|_| odd())?, end.parse().map_err(|_| odd())?);
        let after = ranges.last().map_or(0, |last| last.end);
        if start < after || end <= start {
            return Err(odd());
        }
        ranges.push(start..end);
    }
    Ok(ranges)
}

/// Copies at most so many bytes, and says how many it were.
fn pour(content: &mut impl Read, output: &mut impl Write, most: u64) -> io::Result<u64> {
    let mut piece = Vec::with_capacity(PIECE as usize);
    let mut copied = 0;
    loop {
        piece.clear();
        content.by_ref().take(PIECE.min(most - copied)).read_to_end(&mut piece)?;
        if piece.is_empty() {
            return Ok(copied);
        }
        output.write_all(&piece)?;
        copied += piece.len() as u64;
    }
}

/// Passes over a hole: nothing but zeroes, or the file would come back as another.
fn skip(content: &mut impl Read, most: u64) -> io::Result<u64> {
    pour(content, &mut Zeroes, most)
}

/// Takes zeroes only.
struct Zeroes;

impl Write for Zeroes {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if bytes.iter().any(|byte| *byte != 0) {
            return Err(io::Error::other(format!("{DATA}: a hole that has content")));
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::FileExt;

    use tempfile::NamedTempFile;

    use super::*;

    fn comes_back(source: &NamedTempFile) -> (Option<String>, Option<String>) {
        let length = source.as_file().metadata().expect("metadata").len();
        let before = record(source.path(), length).expect("a record");
        let target = NamedTempFile::new().expect("a file");
        let mut content = std::fs::File::open(source.path()).expect("content");
        fill(
            &mut content,
            &mut target.reopen().expect("open"),
            before.as_deref().map(str::as_bytes),
        )
        .expect("filled");
        let bytes = |file: &NamedTempFile| std::fs::read(file.path()).expect("bytes");
        assert_eq!(bytes(source), bytes(&target));
        (before, record(target.path(), length).expect("a record"))
    }

    #[test]
    fn holes_stay_holes_and_zeroes_that_were_written_stay_written() {
        let source = NamedTempFile::new().expect("a file");
        let file = source.as_file();
        file.set_len(9 * 4096 + 5).expect("longer");
        file.write_all_at(&[0; 4096], 4096).expect("written");
        file.write_all_at(&[7; 100], 4 * 4096).expect("written");
        let (before, after) = comes_back(&source);
        assert!(before.as_ref().is_some_and(|it| it.split(' ').count() == 2), "{before:?}");
        assert_eq!(before, after);
        file.write_all_at(&[0; 9 * 4096 + 5], 0).expect("written");
        assert_eq!(comes_back(&source), (None, None));
    }

    #[test]
    fn a_record_that_does_not_fit_the_content_is_refused() {
        for record in ["5-3", "0-2 1-4", "0-99", "3-4", "all"] {
            let mut file = tempfile::tempfile().expect("a file");
            let filled = fill(&mut &b"text"[..], &mut file, Some(record.as_bytes()));
            assert!(filled.is_err(), "{record}");
        }
    }
}
