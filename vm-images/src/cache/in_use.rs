//! What a cache gave out is locked until it is dropped, so that nobody removes it.

use std::collections::BTreeMap;
use std::fs::{File, TryLockError};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use fs_err as fs;

use super::entries::LOCK;
use super::manifest::{self, Stamps};

/// The entries that this cache, or a clone of it, gave out.
#[derive(Clone, Debug, Default)]
pub(super) struct InUse(Arc<Mutex<BTreeMap<PathBuf, Held>>>);

#[derive(Debug)]
struct Held {
    /// Locked as long as it is open.
    _lock: File,
    /// What the entry was when it was found to be whole; unknown while it is too new to tell.
    stamps: Option<Stamps>,
}

/// See [`InUse::of_process`].
static OF_PROCESS: LazyLock<InUse> = LazyLock::new(InUse::default);

impl InUse {
    /// What is kept until this process ends.
    pub(super) fn of_process() -> Self {
        OF_PROCESS.clone()
    }

    /// Whether the entry was given out before and nobody wrote to it since.
    pub(super) fn has(&self, entry: &Path) -> bool {
        let now = manifest::stamps(entry).ok();
        let held = self.held();
        let then = held.get(entry).and_then(|held| held.stamps.as_ref());
        then.is_some() && then == now.as_ref()
    }

    /// Whether this is kept, whatever became of it.
    pub(super) fn holds(&self, folder: &Path) -> bool {
        self.held().contains_key(folder)
    }

    /// Keeps an entry that was found to be whole.
    pub(super) fn keep(&self, entry: &Path, lock: File, stamps: Stamps) {
        let stamps = manifest::are_settled(&stamps, SystemTime::now()).then_some(stamps);
        self.held().insert(entry.to_owned(), Held { _lock: lock, stamps });
    }

    fn held(&self) -> MutexGuard<'_, BTreeMap<PathBuf, Held>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Locks an entry for use; `None` where it does not exist, or went while its remover was waited
/// for.
pub(super) fn share(entry: &Path) -> io::Result<Option<File>> {
    if !entry.is_dir() {
        return Ok(None);
    }
    let lock = match open(entry) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        opened => opened?,
    };
    lock.lock_shared()?;
    Ok(is_of(&lock, entry).then_some(lock))
}

/// Locks an entry against use; `None` where it is in use, or gone.
pub(super) fn seize(entry: &Path) -> io::Result<Option<File>> {
    let lock = match open(entry) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        opened => opened?,
    };
    match lock.try_lock() {
        Ok(()) => Ok(is_of(&lock, entry).then_some(lock)),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

/// The lock of an entry, made where it is missing and can be made.
pub(super) fn open(entry: &Path) -> io::Result<File> {
    let path = entry.join(LOCK);
    let lock = match fs::File::open(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            fs::OpenOptions::new().create(true).truncate(false).write(true).open(&path)
        }
        opened => opened,
    };
    Ok(lock?.into_parts().0)
}

/// Whether the lock is still that of the entry of this name.
fn is_of(lock: &File, entry: &Path) -> bool {
    let identity = |file: std::fs::Metadata| (file.dev(), file.ino());
    let named = fs::metadata(entry.join(LOCK)).map(identity).ok();
    named.is_some() && named == lock.metadata().map(identity).ok()
}
