//! A disk that we serve ourselves, so that a power cut is honest.
//!
//! What QEMU has taken from a guest is in the host's page cache, and stays there when QEMU is
//! killed, whether the guest flushed it or not. Therefore QEMU reaches a data disk through us, as
//! NBD over an inherited socket, and writes wait in a *volatile cache* until the guest flushes:
//!
//! ```text
//!  guest ── virtio-blk ── QEMU ══ NBD ══ session ── cache ──(flush, FUA, or no room)──> file
//!                                                     └──(power cut)──> gone
//! ```
//!
//! **What a guest may rely on** is what a real disk with a volatile write cache promises: a write
//! survives a power cut when a flush that began after its end was answered, or when it was forced
//! (FUA). Every other write *may* be lost: nearly always it is, but the cache is bounded, and
//! beyond that the oldest writes go to the file early. Sectors of 512 bytes are never torn, longer
//! writes may be. A trim is a write of zeroes. "Survives" means: is in the file; the host itself
//! is not expected to fail.
//!
//! ```no_run
//! # fn main() -> std::io::Result<()> {
//! use vm::disk::DataDisk;
//!
//! let disk = DataDisk::open("node-a.data".as_ref())?;
//! let socket = disk.serve()?; // QEMU inherits it: -blockdev driver=nbd,server.type=fd,server.str=N
//! # drop(socket);
//! disk.power_cut()?;
//! # Ok(())
//! # }
//! ```

mod cache;
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) mod fuzzing;
mod image;
mod medium;
#[cfg(test)]
mod model;
mod protocol;
mod session;
#[cfg(test)]
mod tests;

use std::io;
use std::net::Shutdown;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use self::image::Image;
use self::medium::Medium;

/// Bytes of a sector: sizes, offsets and lengths are multiples of it.
const SECTOR: u64 = protocol::LEAST_BYTES as u64;

/// Memory for what was not flushed. Real disks have about as much.
const CACHE_BYTES: usize = 64 << 20;

/// How long the end of a connection may take whose QEMU is gone.
const PATIENCE: Duration = Duration::from_secs(10);

/// A disk that survives its machines. Cheap to clone: all clones are the same disk.
///
/// What was not flushed is lost when the last clone and the last connection are dropped.
#[derive(Clone, Debug)]
pub struct DataDisk {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    medium: Mutex<Medium>,
    /// Our end of the connection, as long as its thread is there.
    connection: Mutex<Option<UnixStream>>,
    ended: Condvar,
}

impl DataDisk {
    /// Opens a raw image, of a whole number of sectors, that nobody else has open as a disk.
    ///
    /// # Errors
    /// When it is not there, has an odd size or is in use; the error names the path.
    pub fn open(path: &Path) -> io::Result<DataDisk> {
        Ok(DataDisk::of(Medium::new(Image::open(path)?, CACHE_BYTES)))
    }

    fn of(medium: Medium) -> DataDisk {
        let (medium, connection) = (Mutex::new(medium), Mutex::default());
        DataDisk { shared: Arc::new(Shared { medium, connection, ended: Condvar::new() }) }
    }

    /// Its size.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.medium().image().bytes()
    }

    /// QEMU's end of a new connection, whatever name of an export it asks for. The cache is as the
    /// former connection has left it.
    ///
    /// Waits until the former connection has ended: it does as soon as its QEMU is dead.
    ///
    /// # Errors
    /// When the former QEMU still lives after ten seconds, or the host has no socket or thread.
    pub fn serve(&self) -> io::Result<OwnedFd> {
        let mut connection = self.until_free(lock(&self.shared.connection))?;
        let (ours, theirs) = UnixStream::pair()?;
        let leash = ours.try_clone()?;
        let shared = Arc::clone(&self.shared);
        thread::Builder::new().name("data disk".to_owned()).spawn(move || {
            let _end = End(&shared);
            session::serve(&ours, &ours, &shared.medium);
        })?;
        *connection = Some(leash);
        Ok(theirs.into())
    }

    /// Ends the connection, if there is one, and forgets what was not flushed.
    ///
    /// A flush that is held at this moment is honoured.
    ///
    /// # Errors
    /// When the connection does not end, or a held flush cannot be carried out.
    pub fn power_cut(&self) -> io::Result<()> {
        let connection = lock(&self.shared.connection);
        if let Some(stream) = &*connection {
            // What QEMU has sent, but we have not taken, is lost with the rest. A connection that
            // cannot be shut down is already.
            let _ = stream.shutdown(Shutdown::Both);
        }
        let _connection = self.until_free(connection)?;
        self.medium().lose()
    }

    /// Writes to the file whatever is cached, as at an orderly end.
    ///
    /// # Errors
    /// When the host cannot write; what is left is cached as before.
    pub fn settle(&self) -> io::Result<()> {
        self.medium().settle()
    }

    /// From now on a flush is answered, but makes nothing survive.
    ///
    /// For snapshots: at `stop` QEMU flushes all disks by itself, and that must not make durable
    /// what the guest has not flushed. On the wire its flush looks like one of the guest's. One
    /// that is followed by a read or a write is the guest's, and is made up for; the last one is
    /// void, unless [`DataDisk::honour_held_flush`] says otherwise. The order:
    ///
    /// 1. hold, `stop`
    /// 2. when QEMU's `query-blockstats` counts more `flush_operations` (those of the guest) than
    ///    before the hold: honour. Then no promise is broken, and at worst too much survives.
    /// 3. [`DataDisk::branch`], release, and only then `cont`: what comes while flushes are still
    ///    held counts as said above.
    pub fn hold_flushes(&self) {
        self.medium().hold();
    }

    /// Says that a flush that came since [`DataDisk::hold_flushes`] may have been the guest's:
    /// makes survive what was written.
    ///
    /// # Errors
    /// When the host cannot write; what is left is cached as before.
    pub fn honour_held_flush(&self) -> io::Result<()> {
        self.medium().honour()
    }

    /// From now on each flush counts again; one that is still held never does.
    pub fn release_flushes(&self) {
        self.medium().release();
    }

    /// A disk of its own at `path` with the same content, the volatile cache included. Blocks are
    /// shared where the file system can, and holes stay holes.
    ///
    /// # Errors
    /// When there is something at `path`, or the host cannot write.
    pub fn branch(&self, path: &Path) -> io::Result<DataDisk> {
        Ok(DataDisk::of(self.medium().branch(path)?))
    }

    fn medium(&self) -> MutexGuard<'_, Medium> {
        lock(&self.shared.medium)
    }

    /// Waits until the connection has ended.
    fn until_free<'a>(
        &self,
        connection: MutexGuard<'a, Option<UnixStream>>,
    ) -> io::Result<MutexGuard<'a, Option<UnixStream>>> {
        let ended = &self.shared.ended;
        let waited = ended.wait_timeout_while(connection, PATIENCE, |it| it.is_some());
        let (connection, timeout) = waited.unwrap_or_else(PoisonError::into_inner);
        if timeout.timed_out() {
            let medium = self.medium();
            let why = format!("the disk {} is still connected", medium.image().path().display());
            return Err(io::Error::new(io::ErrorKind::TimedOut, why));
        }
        Ok(connection)
    }
}

/// Tells the end of a connection, however its thread ends.
struct End<'a>(&'a Shared);

impl Drop for End<'_> {
    fn drop(&mut self) {
        *lock(&self.0.connection) = None;
        self.0.ended.notify_all();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
