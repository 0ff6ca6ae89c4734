//! Getting entries: found and verified, else built.

use std::env;
use std::fmt;
use std::fs::{File, TryLockError};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use fs_err as fs;
use serde::Serialize;

use super::entries::{self, PARTIAL};
use super::in_use::{self, InUse};
use super::manifest::{self, Damage, Stamps};
use super::{Bound, Key};
use crate::{Error, Progress};

/// The folder of package indexes, beside those of entries.
pub(super) const INDEXES: &str = "apt";
const LOCKS: &str = "locks";

/// A new kernel, agent or QEMU makes new templates: so many are kept, of about 110 MiB each.
const TEMPLATES_KEPT: Bound = Bound::Bytes(8 << 30);

/// The kinds of entries; each has a folder of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Kernels with their modules.
    Kernels,
    /// Roots of nodes.
    Rootfs,
    /// CRIUs with their libraries.
    Criu,
    /// Roots of containers.
    Workloads,
    /// What kernels start with: the agent and early modules.
    Initramfs,
    /// Booted machines to fork from. They are made by who boots machines, in
    /// [`Cache::folder`]; here they are counted, pruned and trimmed.
    Templates,
}

/// A folder of built images, shared by all runs of this user.
///
/// What it gave out is not removed by anybody while it, or a clone of it, lives; see also
/// [`Cache::open`].
#[derive(Clone, Debug)]
pub struct Cache {
    root: PathBuf,
    in_use: InUse,
}

/// An entry that was looked for.
enum Found {
    Whole,
    Damaged(Damage),
    Absent,
}

impl Kind {
    /// All kinds.
    pub const ALL: [Kind; 6] = [
        Kind::Kernels,
        Kind::Rootfs,
        Kind::Criu,
        Kind::Workloads,
        Kind::Initramfs,
        Kind::Templates,
    ];

    /// The name of its folder.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Kind::Kernels => "kernels",
            Kind::Rootfs => "rootfs",
            Kind::Criu => "criu",
            Kind::Workloads => "workloads",
            Kind::Initramfs => "initramfs",
            Kind::Templates => "templates",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Cache {
    /// The cache of this user: `$CRYOLAB_CACHE`, else `cryolab` in `$XDG_CACHE_HOME` or `~/.cache`.
    ///
    /// What it gives out is kept until this process ends: machines outlive whoever asked for their
    /// images. Templates beyond a bound that nobody uses go.
    pub fn open() -> Result<Self, Error> {
        let set = |name| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let root = set("CRYOLAB_CACHE")
            .or_else(|| set("XDG_CACHE_HOME").map(|caches| caches.join("cryolab")))
            .or_else(|| set("HOME").map(|home| home.join(".cache/cryolab")));
        let unset = || Error::content(&"cache", &"neither HOME nor CRYOLAB_CACHE is set");
        let in_use = InUse::of_process();
        let cache = Cache { in_use, ..Cache::at(&root.ok_or_else(unset)?)? };
        // They are made by others. What cannot be removed now may be the next time.
        let _ = cache.trim(Kind::Templates, TEMPLATES_KEPT);
        Ok(cache)
    }

    /// A cache in the folder `root`, which is made if it does not exist.
    pub fn at(root: &Path) -> Result<Self, Error> {
        fs::create_dir_all(root)?;
        let cache = Cache { root: fs::canonicalize(root)?, in_use: InUse::default() };
        for folder in Kind::ALL.map(Kind::name).into_iter().chain([LOCKS, INDEXES]) {
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

    /// The folder of the entries of a kind.
    #[must_use]
    pub fn folder(&self, kind: Kind) -> PathBuf {
        self.root.join(kind.name())
    }

    /// Whether an entry is there with all its files. They are not read.
    pub(crate) fn has(&self, kind: Kind, key: &Key) -> bool {
        manifest::seems_whole(&self.folder(kind).join(key.name()))
    }

    /// The entry, built by `build` into the folder given to it unless it exists and is whole.
    pub(crate) fn make(
        &self,
        kind: Kind,
        key: &Key,
        progress: &dyn Progress,
        build: impl FnOnce(&Path) -> Result<(), Error>,
    ) -> Result<PathBuf, Error> {
        let name = key.name();
        let entry = self.folder(kind).join(&name);
        if let Found::Whole = self.take(&entry)? {
            return Ok(entry);
        }
        let _building = self.lock(&format!("{kind}-{name}"), &|| {
            progress.note(&format!("{kind}/{name} is being made by another: waiting"));
        })?;
        match self.take(&entry)? {
            Found::Whole => return Ok(entry),
            Found::Damaged(why) => {
                progress.note(&format!("{kind}/{name} is damaged ({why}), it is made again"));
            }
            Found::Absent => {}
        }
        let partial = self.partial(&entry)?;
        build(partial.path())?;
        self.place(partial, &entry)?;
        Ok(entry)
    }

    /// Keeps the entry that `path` lies in, for what another process was given.
    pub fn hold(&self, path: &Path) -> Result<(), Error> {
        let gone = || Error::content(&path.display(), &"is in no entry of the cache");
        let inside = path.strip_prefix(&self.root).map_err(|_| gone())?;
        let entry = self.root.join(inside.iter().take(2).collect::<PathBuf>());
        if self.in_use.holds(&entry) {
            return Ok(());
        }
        let lock = in_use::share(&entry)?.filter(|_| entry != path).ok_or_else(gone)?;
        self.in_use.keep(&entry, lock, Stamps::default());
        Ok(())
    }

    /// Locks an entry for use, if it is whole.
    fn take(&self, entry: &Path) -> Result<Found, Error> {
        if self.in_use.has(entry) {
            return Ok(Found::Whole);
        }
        let Some(lock) = in_use::share(entry)? else { return Ok(Found::Absent) };
        match manifest::verify(entry, SystemTime::now()) {
            Ok(stamps) => {
                entries::mark_used(entry);
                self.in_use.keep(entry, lock, stamps);
                Ok(Found::Whole)
            }
            Err(damage) => Ok(Found::Damaged(damage)),
        }
    }

    fn partial(&self, entry: &Path) -> Result<tempfile::TempDir, Error> {
        let folder = entry.parent().unwrap_or(&self.root);
        let partial = tempfile::Builder::new()
            .prefix(&format!(".{}{PARTIAL}", entries::name(entry)))
            .permissions(PermissionsExt::from_mode(0o755))
            .tempdir_in(folder)?;
        Ok(partial)
    }

    /// Gives a finished entry its name; what was damaged of the same name goes.
    fn place(&self, partial: tempfile::TempDir, entry: &Path) -> Result<(), Error> {
        manifest::write(partial.path())?;
        let lock = in_use::open(partial.path())?;
        lock.lock_shared()?;
        let stamps = manifest::stamps(partial.path())?;
        entries::flush(partial.path())?;
        let _damaged = entry.exists().then(|| self.set_aside(entry)).transpose()?;
        fs::rename(partial.keep(), entry)?;
        fs::File::open(entry.parent().unwrap_or(&self.root))?.sync_all()?;
        self.in_use.keep(entry, lock, stamps);
        Ok(())
    }

    /// Takes the name from an entry. It goes when the value is dropped, or is swept; who has files
    /// of it open keeps these.
    pub(super) fn set_aside(&self, entry: &Path) -> Result<tempfile::TempDir, Error> {
        let aside = self.partial(entry)?;
        fs::rename(entry, aside.path())?;
        Ok(aside)
    }

    /// The folder of package indexes, which nobody prunes while this cache lives.
    pub(crate) fn indexes(&self) -> Result<PathBuf, Error> {
        let folder = self.root.join(INDEXES);
        while !self.in_use.holds(&folder) {
            fs::create_dir_all(&folder)?;
            if let Some(lock) = in_use::share(&folder)? {
                entries::mark_used(&folder);
                self.in_use.keep(&folder, lock, Stamps::default());
            }
        }
        Ok(folder)
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

    fn open_lock(&self, name: &str) -> io::Result<File> {
        let path = self.root.join(LOCKS).join(name);
        let lock = fs::OpenOptions::new().create(true).truncate(false).write(true).open(path)?;
        Ok(lock.into_parts().0)
    }

    /// Removes what builds and removals left that were interrupted.
    fn sweep(&self) -> Result<(), Error> {
        let of_kinds = Kind::ALL.map(|kind| (kind.name(), self.folder(kind)));
        for (kind, folder) in of_kinds.into_iter().chain([("cache", self.root.clone())]) {
            for left in entries::folders(&folder)? {
                let name = entries::name(&left);
                let Some((entry, _)) = name.split_once(PARTIAL) else { continue };
                let lock = self.open_lock(&format!("{kind}-{}", entry.trim_start_matches('.')))?;
                if lock.try_lock().is_ok() {
                    // Another process may sweep at the same moment: gone is gone.
                    let _ = fs::remove_dir_all(&left);
                }
            }
        }
        Ok(())
    }
}
