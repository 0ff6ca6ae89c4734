//! What only an open file itself tells, through a duplicate of the descriptor (`pidfd_getfd`).
//!
//! A duplicate shares everything with the original, so nothing may be done here that moves a
//! position, takes a byte or sets a flag.

use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{FileExt, OpenOptionsExt};

use model::Digest;
use nix::sys::stat::{FileStat, SFlag, fstat};
use xxhash_rust::xxh64::Xxh64;

use crate::error::{Error, Result};
use crate::facts::Facts;
use crate::pod::Pod;
use crate::source::diag::Sockets;
use crate::source::{fd, pipe, socket, terminal};
use crate::sys;

/// An open file as seen through its first descriptor.
#[derive(Clone, Copy, Debug)]
pub(crate) struct OpenFile<'a> {
    pub(crate) pod: &'a Pod<'a>,
    pub(crate) name: &'a str,
    /// Where the descriptor's link leads.
    pub(crate) target: &'a str,
    /// Its text in `fdinfo`.
    pub(crate) info: &'a str,
    pub(crate) sockets: &'a Sockets,
}

/// Kernel words of `fcntl` commands without argument, and their numbers.
const COMMANDS: &[(&str, i32)] =
    &[("f_getsig", 11), ("f_getlease", 1025), ("f_getpipe_sz", 1032), ("f_get_seals", 1034)];

impl OpenFile<'_> {
    /// Device and inode.
    pub(crate) fn identity(&self, file: &OwnedFd) -> Result<String> {
        Ok(fd::inode_of(&self.stat(file)?))
    }

    /// Everything about the open file.
    pub(crate) fn put(&self, file: &OwnedFd, facts: &mut Facts) -> Result<()> {
        let stat = self.stat(file)?;
        self.put_stat(&stat, facts);
        self.put_commands(file, facts)?;
        match SFlag::from_bits_truncate(stat.st_mode) & SFlag::S_IFMT {
            SFlag::S_IFSOCK => socket::put(self, file.as_fd(), stat.st_ino, facts),
            SFlag::S_IFIFO => pipe::put(self, file.as_fd(), facts),
            SFlag::S_IFREG if self.holds_content() => {
                self.put_attributes(file, &stat, facts)?;
                self.put_content(file, &stat, facts)
            }
            SFlag::S_IFCHR => terminal::put(self, file.as_fd(), facts),
            _ if self.target == "anon_inode:inotify" => self.put_unread(file, facts),
            _ => Ok(()),
        }
    }

    pub(crate) fn failed(&self, call: &'static str) -> impl Fn(std::io::Error) -> Error {
        let name = self.name.to_owned();
        move |error| Error::call(call, name.clone(), error)
    }

    fn stat(&self, file: &OwnedFd) -> Result<FileStat> {
        fstat(file).map_err(|errno| Error::call("fstat", self.name, errno))
    }

    fn put_stat(&self, stat: &FileStat, facts: &mut Facts) {
        let name = self.name;
        facts.put(format!("{name}.ino"), fd::inode_of(stat));
        facts.put(format!("{name}.st_mode"), format!("{:o}", stat.st_mode));
        facts.put(format!("{name}.st_uid"), stat.st_uid);
        facts.put(format!("{name}.st_gid"), stat.st_gid);
        facts.put(format!("{name}.st_rdev"), stat.st_rdev);
        let kind = SFlag::from_bits_truncate(stat.st_mode) & SFlag::S_IFMT;
        if kind == SFlag::S_IFREG && self.holds_content() {
            facts.put(format!("{name}.st_nlink"), stat.st_nlink);
            facts.put(format!("{name}.st_size"), stat.st_size);
            facts.put(
                format!("{name}.st_mtime"),
                format!("{}.{:09}", stat.st_mtime, stat.st_mtime_nsec),
            );
        }
    }

    fn put_commands(&self, file: &OwnedFd, facts: &mut Facts) -> Result<()> {
        for &(word, command) in COMMANDS {
            match sys::fcntl(file.as_fd(), command) {
                Ok(value) => facts.put(format!("{}.{word}", self.name), value),
                // Not this kind of file, or opened with O_PATH.
                Err(error) if matches!(error.raw_os_error(), Some(libc::EBADF | libc::EINVAL)) => {}
                Err(error) => return Err(self.failed("fcntl")(error)),
            }
        }
        // Not of files that are opened with O_PATH, nor on kernels that lack it.
        if let Ok(hint) = sys::rw_hint(file.as_fd()) {
            facts.put(format!("{}.f_get_rw_hint", self.name), hint);
        }
        match sys::owner(file.as_fd()) {
            Ok((kind, id)) => {
                let owner = format!("{kind}:{}", self.pod.inner(id));
                facts.put(format!("{}.f_getown", self.name), owner);
                Ok(())
            }
            Err(error) if error.raw_os_error() == Some(libc::EBADF) => Ok(()),
            Err(error) => Err(self.failed("fcntl F_GETOWN_EX")(error)),
        }
    }

    /// Extended attributes of a file that no path leads to; of others the file tells.
    fn put_attributes(&self, file: &OwnedFd, stat: &FileStat, facts: &mut Facts) -> Result<()> {
        if stat.st_nlink > 0 {
            return Ok(());
        }
        let attributes = match sys::attributes::of_open(file.as_fd()) {
            Ok(attributes) => attributes,
            // Opened with O_PATH.
            Err(error) if error.raw_os_error() == Some(libc::EBADF) => return Ok(()),
            Err(error) => return Err(self.failed("flistxattr")(error)),
        };
        for (key, value) in attributes {
            facts.put(format!("{}.xattr.{key}", self.name), value.escape_ascii());
        }
        Ok(())
    }

    /// How many bytes of events wait to be read.
    fn put_unread(&self, file: &OwnedFd, facts: &mut Facts) -> Result<()> {
        let unread = sys::ioctl_int(file.as_fd(), libc::FIONREAD);
        facts.put(format!("{}.fionread", self.name), unread.map_err(self.failed("FIONREAD"))?);
        Ok(())
    }

    /// Files of the kernel's own file systems are made as they are read.
    fn holds_content(&self) -> bool {
        let of_the_kernel = ["/proc/", "/sys/", "/dev/mqueue/"];
        self.target.starts_with('/')
            && !of_the_kernel.iter().any(|head| self.target.starts_with(head))
    }

    fn put_content(&self, file: &OwnedFd, stat: &FileStat, facts: &mut Facts) -> Result<()> {
        // Reading by the descriptor itself would move the file's access time, which is state.
        let file = if !self.info.contains("LEASE") {
            self.reopened(file)?
        } else if self.readable() {
            File::from(file.try_clone().map_err(self.failed("dup"))?)
        } else {
            // Opening it would break the lease.
            facts.not_offered(format!("{}.content", self.name), "a leased file is not opened");
            return Ok(());
        };
        let (digest, length) =
            digest(&file, stat.st_size.cast_unsigned()).map_err(self.failed("reading the file"))?;
        facts.digest(format!("{}.content", self.name), digest, length);
        Ok(())
    }

    /// Whether the descriptor is one to read from.
    pub(crate) fn readable(&self) -> bool {
        let flags = self.info.lines().find_map(|line| line.strip_prefix("flags:"));
        let flags = i32::from_str_radix(flags.unwrap_or_default().trim(), 8).unwrap_or_default();
        flags & libc::O_PATH == 0 && flags & libc::O_ACCMODE != libc::O_WRONLY
    }

    /// The same file, opened for reading.
    fn reopened(&self, file: &OwnedFd) -> Result<File> {
        use std::os::fd::AsRawFd;
        let path = format!("/proc/thread-self/fd/{}", file.as_raw_fd());
        std::fs::OpenOptions::new()
            .read(true)
            .custom_flags(libc::O_NOATIME | libc::O_NONBLOCK)
            .open(path)
            .map_err(self.failed("opening the file again"))
    }
}

/// Digests a file without moving its position.
pub(crate) fn digest(file: &File, size: u64) -> std::io::Result<(Digest, u64)> {
    let mut hash = Xxh64::new(0);
    let mut buffer = vec![0u8; (256 << 10).min(size.max(1) as usize)];
    let mut at = 0;
    loop {
        let got = file.read_at(&mut buffer, at)?;
        if got == 0 {
            return Ok((Digest(hash.digest()), at));
        }
        hash.update(&buffer[..got]);
        at += got as u64;
    }
}
