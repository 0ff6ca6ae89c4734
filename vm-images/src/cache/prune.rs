//! Removing entries that nobody uses.

use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::store::INDEXES;
use super::{Cache, Kind, entries, in_use};
use crate::Error;

/// What pruning did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pruned {
    /// What was removed.
    pub removed: Vec<Removed>,
    /// What would have been, were it not in use.
    pub kept: Vec<Kept>,
}

/// An entry that was removed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Removed {
    /// Its kind and name, such as `criu/trixie-0123456789abcdef`.
    pub name: String,
    /// What it had taken on the disk.
    pub bytes: u64,
    /// For how long it had not been used.
    pub idle: Duration,
}

/// An entry that stays because a process uses it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// Its kind and name.
    pub name: String,
}

/// How much of a kind is kept by [`Cache::trim`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bound {
    /// So many entries.
    Entries(usize),
    /// Entries of so many bytes on the disk together.
    Bytes(u64),
}

impl Pruned {
    /// What was freed on the disk.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.removed.iter().map(|removed| removed.bytes).sum()
    }
}

/// An entry that may go.
struct Candidate {
    name: String,
    path: PathBuf,
    bytes: u64,
    used: SystemTime,
}

impl Cache {
    /// Removes entries that were not used for `age`, and the package indexes likewise: they are
    /// fetched again when they are needed.
    pub fn prune(&self, age: Duration) -> Result<Pruned, Error> {
        let mut pruned = Pruned::default();
        for kind in Kind::ALL {
            for candidate in self.candidates(kind)? {
                if candidate.idle() >= age {
                    self.remove(candidate, &mut pruned)?;
                }
            }
        }
        let indexes = self.root().join(INDEXES);
        let candidate = Candidate::of("package indexes", &indexes);
        if let Some(candidate) = candidate.filter(|it| it.bytes > 0 && it.idle() >= age) {
            self.remove(candidate, &mut pruned)?;
        }
        Ok(pruned)
    }

    /// Removes the entries of a kind that were not used for longest, until the rest is within the
    /// bound. For kinds of which a new entry is made with every change of a program.
    pub fn trim(&self, kind: Kind, bound: Bound) -> Result<Pruned, Error> {
        let mut candidates = self.candidates(kind)?;
        candidates.sort_by_key(|candidate| std::cmp::Reverse(candidate.used));
        let (mut count, mut bytes) = (0, 0);
        let mut pruned = Pruned::default();
        for candidate in candidates {
            count += 1;
            bytes += candidate.bytes;
            let within = match bound {
                Bound::Entries(most) => count <= most,
                Bound::Bytes(most) => bytes <= most,
            };
            if !within {
                self.remove(candidate, &mut pruned)?;
            }
        }
        Ok(pruned)
    }

    fn candidates(&self, kind: Kind) -> Result<Vec<Candidate>, Error> {
        let entries = entries::finished(&self.folder(kind))?;
        let candidate =
            |path: PathBuf| Candidate::of(&format!("{kind}/{}", entries::name(&path)), &path);
        Ok(entries.into_iter().filter_map(candidate).collect())
    }

    fn remove(&self, candidate: Candidate, pruned: &mut Pruned) -> Result<(), Error> {
        let idle = candidate.idle();
        let Candidate { name, path, bytes, .. } = candidate;
        let Some(_lock) = in_use::seize(&path)? else {
            if path.exists() {
                pruned.kept.push(Kept { name });
            }
            return Ok(());
        };
        match self.set_aside(&path)?.close() {
            // Whoever opens the cache at this moment sweeps it.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            closed => closed?,
        }
        pruned.removed.push(Removed { name, bytes, idle });
        Ok(())
    }
}

impl Candidate {
    /// An entry, unless it went just now.
    fn of(name: &str, path: &Path) -> Option<Self> {
        let bytes = entries::size(path).ok()?;
        let used = entries::last_used(path).ok()?;
        Some(Candidate { name: name.to_owned(), path: path.to_owned(), bytes, used })
    }

    fn idle(&self) -> Duration {
        SystemTime::now().duration_since(self.used).unwrap_or_default()
    }
}
