//! The cache of what was built: entries keyed by what they are made from.
//!
//! An entry is a folder that appears whole or not at all: it is built in a temporary sibling,
//! flushed, and renamed. A lock for each entry lets two processes want the same thing: the second
//! waits and uses what the first made. Temporaries of builds that were interrupted are removed when
//! the cache is opened and their lock is free.

use std::env;
use std::fs::{File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use fs_err as fs;

use crate::{Error, Progress};

/// The kinds of entries; each has a folder of its own.
pub(crate) const KINDS: [&str; 5] = ["kernels", "rootfs", "criu", "workloads", "initramfs"];

const PARTIAL: &str = ".partial-";

/// A folder of built images, shared by all runs of this user.
#[derive(Clone, Debug)]
pub struct Cache {
    root: PathBuf,
}

/// What an entry is made from; its digest is part of the entry's name.
#[derive(Clone, Debug)]
pub(crate) struct Key {
    label: String,
    hasher: blake3::Hasher,
}

/// Entries that were removed, and what they had taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pruned {
    /// Number of entries.
    pub entries: usize,
    /// Their size on disk, in bytes.
    pub bytes: u64,
}

impl Key {
    /// A key whose entries begin with `label`, for people who look into the cache.
    pub(crate) fn new(label: &str, recipe: u32) -> Self {
        let readable =
            |c: char| if c.is_ascii_alphanumeric() || ".+-".contains(c) { c } else { '_' };
        let label: String = label.trim_start_matches('.').chars().map(readable).take(80).collect();
        Key { label, hasher: blake3::Hasher::new() }.with(recipe.to_string())
    }

    /// Adds something that the entry depends on.
    pub(crate) fn with(mut self, input: impl AsRef<[u8]>) -> Self {
        let input = input.as_ref();
        self.hasher.update(&(input.len() as u64).to_le_bytes()).update(input);
        self
    }

    /// Adds the content of a file.
    pub(crate) fn with_file(self, path: &Path) -> Result<Self, Error> {
        let mut hasher = blake3::Hasher::new();
        hasher.update_reader(fs::File::open(path)?)?;
        Ok(self.with(hasher.finalize().as_bytes()))
    }

    pub(crate) fn name(&self) -> String {
        format!("{}-{}", self.label, &self.hasher.finalize().to_hex()[..16])
    }
}

impl Cache {
    /// The cache of this user: `$CRYOLAB_CACHE`, else `cryolab` in `$XDG_CACHE_HOME` or `~/.cache`.
    pub fn open() -> Result<Self, Error> {
        let set = |name| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let root = set("CRYOLAB_CACHE")
            .or_else(|| set("XDG_CACHE_HOME").map(|caches| caches.join("cryolab")))
            .or_else(|| set("HOME").map(|home| home.join(".cache/cryolab")));
        let unset = || Error::content(&"cache", &"neither HOME nor CRYOLAB_CACHE is set");
        Cache::at(&root.ok_or_else(unset)?)
    }

    /// A cache in the folder `root`, which is made if it does not exist.
    pub fn at(root: &Path) -> Result<Self, Error> {
        fs::create_dir_all(root)?;
        let cache = Cache { root: fs::canonicalize(root)? };
        for folder in KINDS.into_iter().chain(["locks", "apt"]) {
            fs::create_dir_all(cache.root.join(folder))?;
        }
        cache.sweep()?;
        Ok(cache)
    }

    /// The folder of the cache.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The entry, if it was built before.
    pub(crate) fn find(&self, kind: &str, key: &Key) -> Option<PathBuf> {
        let entry = self.root.join(kind).join(key.name());
        entry.is_dir().then_some(entry)
    }

    /// The entry, built by `build` into the folder given to it unless it exists.
    pub(crate) fn make(
        &self,
        kind: &str,
        key: &Key,
        progress: &dyn Progress,
        build: impl FnOnce(&Path) -> Result<(), Error>,
    ) -> Result<PathBuf, Error> {
        if let Some(entry) = self.find(kind, key) {
            mark_used(&entry);
            return Ok(entry);
        }
        let name = key.name();
        let _lock = self.lock(&format!("{kind}-{name}"), &|| {
            progress.note(&format!("waiting for another process that makes {kind}/{name}"));
        })?;
        if let Some(entry) = self.find(kind, key) {
            return Ok(entry);
        }
        let folder = self.root.join(kind);
        let partial = tempfile::Builder::new()
            .prefix(&format!(".{name}{PARTIAL}"))
            .permissions(std::os::unix::fs::PermissionsExt::from_mode(0o755))
            .tempdir_in(&folder)?;
        build(partial.path())?;
        flush(partial.path())?;
        let entry = folder.join(&name);
        fs::rename(partial.keep(), &entry)?;
        fs::File::open(&folder)?.sync_all()?;
        Ok(entry)
    }

    /// Takes the lock `name`; tells `waiting` if another holds it.
    pub(crate) fn lock(&self, name: &str, waiting: &dyn Fn()) -> Result<File, Error> {
        let lock = self.open_lock(name)?;
        match lock.try_lock() {
            Ok(()) => return Ok(lock),
            Err(TryLockError::WouldBlock) => waiting(),
            Err(TryLockError::Error(error)) => return Err(error.into()),
        }
        lock.lock()?;
        Ok(lock)
    }

    /// Removes entries that were not used for `age`.
    pub fn prune(&self, age: Duration) -> Result<Pruned, Error> {
        let mut pruned = Pruned::default();
        for kind in KINDS {
            for entry in folders(&self.root.join(kind))? {
                let used = fs::metadata(&entry)?.modified()?;
                let idle = SystemTime::now().duration_since(used).unwrap_or_default();
                if idle >= age {
                    pruned.bytes += size(&entry)?;
                    pruned.entries += 1;
                    fs::remove_dir_all(&entry)?;
                }
            }
        }
        Ok(pruned)
    }

    fn open_lock(&self, name: &str) -> io::Result<File> {
        let path = self.root.join("locks").join(name);
        let lock = fs::OpenOptions::new().create(true).truncate(false).write(true).open(path)?;
        Ok(lock.into_parts().0)
    }

    fn sweep(&self) -> Result<(), Error> {
        for kind in KINDS {
            for folder in folders(&self.root.join(kind))? {
                let name = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
                let Some((entry, _)) = name.split_once(PARTIAL) else { continue };
                let lock = self.open_lock(&format!("{kind}-{}", entry.trim_start_matches('.')))?;
                if lock.try_lock().is_ok() {
                    // Another process may sweep at the same moment: gone is gone.
                    let _ = fs::remove_dir_all(&folder);
                }
            }
        }
        Ok(())
    }
}

/// The entry's own time says when it was last used; a cache that is read-only still serves.
fn mark_used(entry: &Path) {
    let _ = fs::File::open(entry).and_then(|folder| folder.file().set_modified(SystemTime::now()));
}

fn folders(path: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            found.push(entry.path());
        }
    }
    found.sort();
    Ok(found)
}

/// Bytes of all files below `path`.
pub(crate) fn size(path: &Path) -> io::Result<u64> {
    let metadata = fs::symlink_metadata(path)?;
    if !metadata.is_dir() {
        return Ok(metadata.len());
    }
    fs::read_dir(path)?.map(|entry| size(&entry?.path())).sum()
}

/// All files below a folder, sorted.
pub(crate) fn files(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            found.extend(files(&entry.path())?);
        } else {
            found.push(entry.path());
        }
    }
    found.sort();
    Ok(found)
}

fn flush(path: &Path) -> io::Result<()> {
    let metadata = fs::symlink_metadata(path)?;
    if metadata.is_dir() {
        for entry in fs::read_dir(path)? {
            flush(&entry?.path())?;
        }
    }
    if metadata.is_dir() || metadata.is_file() {
        fs::File::open(path)?.sync_all()?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::{Barrier, Mutex};

    use super::*;
    use crate::{Silent, Step};

    fn key() -> Key {
        Key::new("a thing/1", 1).with("input")
    }

    #[test]
    fn a_key_depends_on_every_input_and_on_their_borders() {
        let names = [
            Key::new("a", 1).with("xy").with("z").name(),
            Key::new("a", 1).with("x").with("yz").name(),
            Key::new("a", 2).with("xy").with("z").name(),
            Key::new("b", 1).with("xy").with("z").name(),
        ];
        let distinct: std::collections::BTreeSet<_> = names.iter().collect();
        assert_eq!(distinct.len(), names.len());
        assert!(key().name().starts_with("a_thing_1-"));
    }

    #[test]
    fn an_entry_is_built_once() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::at(folder.path()).unwrap();
        let built = AtomicUsize::new(0);
        for _ in 0..2 {
            let entry = cache.make("criu", &key(), &Silent, |path| {
                built.fetch_add(1, Ordering::Relaxed);
                Ok(fs::write(path.join("image"), "x")?)
            });
            assert_eq!(fs::read(entry.unwrap().join("image")).unwrap(), b"x");
        }
        assert_eq!(built.into_inner(), 1);
    }

    #[test]
    fn a_build_that_fails_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::at(folder.path()).unwrap();
        let result = cache.make("criu", &key(), &Silent, |path| {
            fs::write(path.join("half"), "x")?;
            Err(Error::content(&"x", &"broken"))
        });
        assert!(result.is_err());
        assert_eq!(fs::read_dir(folder.path().join("criu")).unwrap().count(), 0);
    }

    #[derive(Debug, Default)]
    struct Notes(Mutex<Vec<String>>);

    impl Progress for Notes {
        fn begin(&self, _what: &str) -> Box<dyn Step> {
            Box::new(Silent)
        }
        fn note(&self, text: &str) {
            self.0.lock().unwrap().push(text.to_owned());
        }
    }

    #[test]
    fn the_second_of_two_waits_says_so_and_uses_what_the_first_made() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::at(folder.path()).unwrap();
        let (started, seen) = (Barrier::new(2), Notes::default());
        std::thread::scope(|scope| {
            let first = scope.spawn(|| {
                cache.make("criu", &key(), &Silent, |path| {
                    started.wait();
                    while seen.0.lock().unwrap().is_empty() {
                        std::thread::yield_now();
                    }
                    Ok(fs::write(path.join("image"), "first")?)
                })
            });
            started.wait();
            let second = cache.make("criu", &key(), &seen, |_| panic!("built twice")).unwrap();
            assert_eq!(first.join().unwrap().unwrap(), second);
        });
        assert!(seen.0.lock().unwrap()[0].starts_with("waiting for another process"));
    }

    #[test]
    fn what_an_interrupted_build_left_is_removed_once_its_lock_is_free() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::at(folder.path()).unwrap();
        let partial = folder.path().join("criu").join(format!(".{}{PARTIAL}abc", key().name()));
        fs::create_dir(&partial).unwrap();
        fs::write(partial.join("half"), "x").unwrap();
        let lock = cache.lock(&format!("criu-{}", key().name()), &|| ()).unwrap();
        Cache::at(folder.path()).unwrap();
        assert!(partial.exists(), "a build under way was swept");
        drop(lock);
        Cache::at(folder.path()).unwrap();
        assert!(!partial.exists());
    }

    #[test]
    fn pruning_removes_what_was_not_used() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::at(folder.path()).unwrap();
        cache.make("criu", &key(), &Silent, |path| Ok(fs::write(path.join("i"), "xyz")?)).unwrap();
        assert_eq!(cache.prune(Duration::from_secs(3600)).unwrap(), Pruned::default());
        assert_eq!(cache.prune(Duration::ZERO).unwrap(), Pruned { entries: 1, bytes: 3 });
    }
}
