//! What a program writes.

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::os::fd::{AsFd, BorrowedFd};

use model::message::{CHUNK_BYTES, Stream};
use nix::fcntl::{FcntlArg, fcntl};

/// Most bytes that a terminal holds, and a pipe that nobody enlarged.
const LEFT_BYTES: usize = 64 << 10;

/// The streams of a program, as far as they are open.
#[derive(Debug)]
pub(super) struct ProgramOutput {
    sources: Vec<Source>,
}

#[derive(Debug)]
struct Source {
    stream: Stream,
    file: File,
    /// How much more is read, once the program has ended.
    left: Option<usize>,
}

impl ProgramOutput {
    /// Comes from these descriptors, which do not block.
    pub(super) fn new(streams: impl IntoIterator<Item = (Stream, File)>) -> ProgramOutput {
        let sources = streams.into_iter();
        let sources = sources.map(|(stream, file)| Source { stream, file, left: None });
        ProgramOutput { sources: sources.collect() }
    }

    /// What can be waited for.
    pub(super) fn sources(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.sources.iter().map(|source| source.file.as_fd())
    }

    /// The program has ended: what it left in its pipes is all that comes, whoever else has them.
    pub(super) fn end(&mut self) {
        for source in &mut self.sources {
            let size = fcntl(&source.file, FcntlArg::F_GETPIPE_SZ).ok();
            let size = size.and_then(|bytes| usize::try_from(bytes).ok());
            source.left = Some(size.unwrap_or(LEFT_BYTES));
        }
    }

    /// Nobody wants the rest.
    pub(super) fn abandon(&mut self) {
        self.sources.clear();
    }

    /// Everything was read.
    pub(super) fn is_drained(&self) -> bool {
        self.sources.is_empty()
    }

    /// Reads once from each stream, as far as it is granted.
    pub(super) fn read(&mut self, granted: &mut usize) -> Vec<(Stream, Vec<u8>)> {
        let mut pieces = Vec::new();
        self.sources.retain_mut(|source| {
            let most = source.left.unwrap_or(CHUNK_BYTES).min(*granted);
            if most == 0 {
                return source.left != Some(0);
            }
            let Some(bytes) = source.read(most) else { return false };
            if !bytes.is_empty() {
                *granted -= bytes.len();
                pieces.push((source.stream, bytes));
            }
            true
        });
        pieces
    }
}

impl Source {
    /// Reads what is there, perhaps nothing; none at the end.
    fn read(&mut self, most: usize) -> Option<Vec<u8>> {
        let mut bytes = vec![0; most.min(CHUNK_BYTES)];
        match self.file.read(&mut bytes) {
            Ok(0) => return None,
            Ok(count) => bytes.truncate(count),
            Err(error) if error.kind() == ErrorKind::Interrupted => bytes.clear(),
            // After the program's end there is nothing to wait for.
            Err(error) if error.kind() == ErrorKind::WouldBlock && self.left.is_none() => {
                bytes.clear();
            }
            // EIO: nobody has the terminal any more.
            Err(_) => return None,
        }
        self.left = self.left.map(|left| left - bytes.len());
        Some(bytes)
    }
}

#[cfg(test)]
mod tests {
    use std::io::{self, Write};
    use std::os::fd::OwnedFd;

    use nix::fcntl::OFlag;

    use super::*;

    fn pipe() -> (ProgramOutput, io::PipeWriter) {
        let (reader, writer) = io::pipe().expect("a pipe");
        fcntl(&reader, FcntlArg::F_SETFL(OFlag::O_NONBLOCK)).expect("set");
        let file = File::from(OwnedFd::from(reader));
        (ProgramOutput::new([(Stream::Stdout, file)]), writer)
    }

    fn text(pieces: Vec<(Stream, Vec<u8>)>) -> String {
        let bytes: Vec<u8> = pieces.into_iter().flat_map(|(_, bytes)| bytes).collect();
        String::from_utf8(bytes).expect("text")
    }

    #[test]
    fn no_more_is_read_than_was_granted() {
        let (mut output, mut writer) = pipe();
        writer.write_all(b"12345").expect("room in the pipe");
        let mut granted = 0;
        assert!(output.read(&mut granted).is_empty());
        granted = 3;
        assert_eq!((text(output.read(&mut granted)), granted), ("123".to_owned(), 0));
        granted = 9;
        assert_eq!((text(output.read(&mut granted)), granted), ("45".to_owned(), 7));
        assert!(output.read(&mut granted).is_empty() && !output.is_drained());
        drop(writer);
        assert!(output.read(&mut granted).is_empty() && output.is_drained());
    }

    #[test]
    fn a_writer_that_is_left_behind_is_not_waited_for() {
        let (mut output, mut writer) = pipe();
        writer.write_all(b"the end").expect("room in the pipe");
        output.end();
        let mut granted = usize::MAX;
        assert_eq!(text(output.read(&mut granted)), "the end");
        assert!(output.read(&mut granted).is_empty() && output.is_drained());
    }

    #[test]
    fn a_writer_that_is_left_behind_and_floods_is_not_heard_for_ever() {
        let (mut output, mut writer) = pipe();
        output.end();
        let (mut granted, mut seen) = (usize::MAX, 0);
        while !output.is_drained() {
            writer.write_all(&[b'x'; 1000]).expect("room in the pipe");
            seen += text(output.read(&mut granted)).len();
        }
        assert_eq!(seen, LEFT_BYTES);
    }
}
