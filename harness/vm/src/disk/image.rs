//! The file behind a disk: what survives a power cut.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Seek, SeekFrom};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{FallocateFlags, fallocate};
use nix::unistd::{Whence, lseek};

use super::SECTOR;
use super::cache::Content;

/// Zeroes where a file system cannot make holes.
static ZEROES: [u8; 64 << 10] = [0; 64 << 10];

/// A raw image that nobody else has open as a disk.
#[derive(Debug)]
pub(super) struct Image {
    file: File,
    path: PathBuf,
    bytes: u64,
}

impl Image {
    /// Opens an image that is there.
    pub(super) fn open(path: &Path) -> io::Result<Image> {
        let opened = OpenOptions::new().read(true).write(true).open(path);
        Image::of(opened.map_err(|error| named("open", path, &error))?, path)
    }

    /// The image in a file that was opened.
    pub(super) fn of(file: File, path: &Path) -> io::Result<Image> {
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let error = io::Error::new(io::ErrorKind::ResourceBusy, "it is in use as a disk");
                return Err(named("lock", path, &error));
            }
            Err(TryLockError::Error(error)) => return Err(named("lock", path, &error)),
        }
        let bytes = file.metadata().map_err(|error| named("look at", path, &error))?.len();
        if bytes == 0 || !bytes.is_multiple_of(SECTOR) {
            let why = format!("{bytes} bytes are no whole number of sectors of {SECTOR} bytes");
            let error = io::Error::new(io::ErrorKind::InvalidInput, why);
            return Err(named("use", path, &error));
        }
        Ok(Image { file, path: path.to_owned(), bytes })
    }

    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn read(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        self.file.read_exact_at(buffer, offset)
    }

    /// Writes what was cached.
    pub(super) fn put(&self, offset: u64, content: &Content) -> io::Result<()> {
        match content {
            Content::Bytes(bytes) => self.file.write_all_at(bytes, offset),
            Content::Zeroes(length) => self.zero(offset, *length),
        }
    }

    /// Makes a hole, so that the file stays sparse.
    fn zero(&self, offset: u64, length: u64) -> io::Result<()> {
        let hole = FallocateFlags::FALLOC_FL_PUNCH_HOLE | FallocateFlags::FALLOC_FL_KEEP_SIZE;
        match fallocate(&self.file, hole, offset.cast_signed(), length.cast_signed()) {
            Err(Errno::EOPNOTSUPP | Errno::ENOSYS) => self.write_zeroes(offset, length),
            done => Ok(done?),
        }
    }

    fn write_zeroes(&self, offset: u64, length: u64) -> io::Result<()> {
        let mut done = 0;
        while done < length {
            let piece =
                &ZEROES[..ZEROES.len().min(usize::try_from(length - done).unwrap_or(usize::MAX))];
            self.file.write_all_at(piece, offset + done)?;
            done += piece.len() as u64;
        }
        Ok(())
    }

    /// Copies the image to a file that is not there yet.
    pub(super) fn copy(&self, path: &Path) -> io::Result<Image> {
        let options = OpenOptions::new().read(true).write(true).create_new(true).open(path);
        let file = options.map_err(|error| named("create", path, &error))?;
        let copied = self.copy_data(&file).map_err(|error| named("write", path, &error));
        let image = copied.and_then(|()| Image::of(file, path));
        if image.is_err() {
            // Why the copy failed is the news; half of a disk is of no use to anybody.
            let _ = std::fs::remove_file(path);
        }
        image
    }

    /// Copies what is no hole. The kernel shares the blocks where the file system can: that is the
    /// first thing that copy_file_range(2), which is what `io::copy` calls here, tries.
    fn copy_data(&self, to: &File) -> io::Result<()> {
        to.set_len(self.bytes)?;
        let mut at = 0;
        while let Some(start) = self.seek(at, Whence::SeekData)? {
            at = self.seek(start, Whence::SeekHole)?.unwrap_or(self.bytes);
            (&self.file).seek(SeekFrom::Start(start))?;
            (&*to).seek(SeekFrom::Start(start))?;
            let mut data = io::Read::take(&self.file, at - start);
            let copied = io::copy(&mut data, &mut &*to)?;
            if copied < at - start {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        Ok(())
    }

    /// Where the next data or the next hole begins; none behind the last.
    fn seek(&self, from: u64, whence: Whence) -> io::Result<Option<u64>> {
        match lseek(&self.file, from.cast_signed(), whence) {
            Ok(at) => Ok(Some(at.cast_unsigned().min(self.bytes))),
            Err(Errno::ENXIO) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}

/// The error with what was tried and the path.
fn named(what: &str, path: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("cannot {what} the disk {}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use super::*;

    fn sparse(folder: &Path) -> Image {
        let path = folder.join("disk");
        File::create_new(&path).and_then(|file| file.set_len(64 << 20)).expect("a file");
        Image::open(&path).expect("opens")
    }

    #[test]
    fn a_copy_has_the_same_bytes_and_the_same_holes() {
        let folder = tempfile::tempdir().expect("a folder");
        let image = sparse(folder.path());
        for offset in [0, 10 << 20, (64 << 20) - 4096] {
            image.file.write_all_at(&[7; 4096], offset).expect("writes");
        }
        image.zero(0, 4096).expect("makes a hole");
        let path = folder.path().join("copy");
        let copy = image.copy(&path).expect("copies");
        assert!(std::fs::read(&path).ok() == std::fs::read(image.path()).ok());
        let allocated = copy.file.metadata().expect("is there").blocks() * 512;
        assert!(allocated <= 64 << 10, "{allocated} bytes allocated");
        assert!(image.copy(&path).is_err(), "a file that is there is not overwritten");
        assert!(path.exists());
    }

    #[test]
    fn zeroes_are_written_where_holes_cannot_be_made() {
        let folder = tempfile::tempdir().expect("a folder");
        let image = sparse(folder.path());
        image.file.write_all_at(&[7; 300 << 10], 0).expect("writes");
        image.write_zeroes(512, 200 << 10).expect("writes");
        let mut bytes = vec![1; 300 << 10];
        image.read(0, &mut bytes).expect("reads");
        let zeroes = bytes.iter().filter(|&&byte| byte == 0).count();
        assert_eq!((zeroes, bytes[511], bytes[512]), (200 << 10, 7, 0));
    }

    #[test]
    fn a_file_that_cannot_be_a_disk_is_refused_by_name() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("odd");
        std::fs::write(&path, [0; 700]).expect("a file");
        let error = Image::open(&path).expect_err("700 bytes").to_string();
        assert!(error.contains("odd") && error.contains("700 bytes"), "{error}");
        let image = sparse(folder.path());
        let error = Image::open(image.path()).expect_err("open twice");
        assert_eq!(error.kind(), io::ErrorKind::ResourceBusy);
    }
}
