//! What an entry consists of, and whether it still does.
//!
//! `manifest.json` is written when an entry is made: the size and the BLAKE3 of every file. When
//! the entry is used, sizes are compared, and digests, unless `.verified` says that exactly these
//! files (inode, time of the last write, time of the last change) were digested within a day: then
//! nobody wrote to them since, and bits that rot are found a day later.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use std::{fmt, io};

use fs_err as fs;
use serde::{Deserialize, Serialize};

use super::entries::{self, LOCK};

/// The name of the manifest in an entry.
pub(super) const MANIFEST: &str = "manifest.json";
const VERIFIED: &str = ".verified";

/// Version of the manifest's form.
const FORMAT: u32 = 1;

/// How long a digest is believed of a file that nobody wrote to.
const BELIEVED: Duration = Duration::from_secs(24 * 60 * 60);

/// A file that changed more recently than this could be written to once more without a change of
/// its times, whose steps are coarse: it is digested again.
const SETTLED: Duration = Duration::from_secs(2);

#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Manifest {
    format: u32,
    files: BTreeMap<String, Content>,
}

#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Content {
    bytes: u64,
    blake3: String,
}

/// When which files were digested.
#[derive(Debug, Serialize, Deserialize)]
struct Verified {
    at: Duration,
    files: Stamps,
}

/// What says of the files of an entry that nobody has written to them.
pub(super) type Stamps = BTreeMap<String, Stamp>;

/// Inode, length, and the times of the last write and the last change of a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Stamp {
    inode: u64,
    bytes: u64,
    written: (i64, i64),
    changed: (i64, i64),
}

/// What is wrong with an entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Damage(String);

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Damage {
    fn of(file: &str, why: impl fmt::Display) -> Self {
        Damage(format!("{file} {why}"))
    }
}

/// Writes down what a finished entry consists of.
pub(super) fn write(entry: &Path) -> io::Result<()> {
    let stamps = stamps(entry)?;
    let mut files = BTreeMap::new();
    for (name, stamp) in stamps {
        let blake3 = digest(&entry.join(&name))?;
        files.insert(name, Content { bytes: stamp.bytes, blake3 });
    }
    let text = serde_json::to_vec_pretty(&Manifest { format: FORMAT, files })?;
    fs::write(entry.join(MANIFEST), text)
}

/// Whether all files are there with their lengths, without reading them.
pub(super) fn seems_whole(entry: &Path) -> bool {
    let read = || Some((read(entry).ok()?, stamps(entry).ok()?));
    read().is_some_and(|(manifest, stamps)| same_files(&manifest, &stamps).is_ok())
}

/// Compares an entry with its manifest; gives what it was when it was whole.
pub(super) fn verify(entry: &Path, now: SystemTime) -> Result<Stamps, Damage> {
    let manifest = read(entry)?;
    // Taken before the files are read: who writes to them meanwhile makes the next use read again.
    let stamps = stamps(entry).map_err(|error| Damage(error.to_string()))?;
    same_files(&manifest, &stamps)?;
    if is_believed(entry, &stamps, now) {
        return Ok(stamps);
    }
    for (name, content) in &manifest.files {
        let found = digest(&entry.join(name)).map_err(|error| Damage(error.to_string()))?;
        if found != content.blake3 {
            return Err(Damage::of(name, "has another content than it was made with"));
        }
    }
    believe(entry, &stamps, now);
    Ok(stamps)
}

/// The stamps of all files of an entry but those of the cache's own.
pub(super) fn stamps(entry: &Path) -> io::Result<Stamps> {
    let mut stamps = Stamps::new();
    for path in entries::files(entry)? {
        let name = path.strip_prefix(entry).unwrap_or(&path).to_string_lossy().into_owned();
        if ![MANIFEST, LOCK].contains(&&*name) && !name.starts_with('.') {
            let metadata = fs::symlink_metadata(&path)?;
            let stamp = Stamp {
                inode: metadata.ino(),
                bytes: metadata.len(),
                written: (metadata.mtime(), metadata.mtime_nsec()),
                changed: (metadata.ctime(), metadata.ctime_nsec()),
            };
            stamps.insert(name, stamp);
        }
    }
    Ok(stamps)
}

fn read(entry: &Path) -> Result<Manifest, Damage> {
    let text = match fs::read(entry.join(MANIFEST)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(Damage::of(MANIFEST, "is missing"));
        }
        read => read.map_err(|error| Damage(error.to_string()))?,
    };
    let manifest: Manifest = serde_json::from_slice(&text)
        .map_err(|error| Damage::of(MANIFEST, format_args!("cannot be read: {error}")))?;
    if manifest.format != FORMAT {
        return Err(Damage::of(MANIFEST, format_args!("has the format {}", manifest.format)));
    }
    Ok(manifest)
}

fn same_files(manifest: &Manifest, stamps: &Stamps) -> Result<(), Damage> {
    for (name, Content { bytes, .. }) in &manifest.files {
        match stamps.get(name) {
            None => return Err(Damage::of(name, "is missing")),
            Some(stamp) if stamp.bytes != *bytes => {
                let why = format!("has {} bytes, not the {bytes} it was made with", stamp.bytes);
                return Err(Damage::of(name, why));
            }
            Some(_) => {}
        }
    }
    match stamps.keys().find(|name| !manifest.files.contains_key(*name)) {
        Some(stray) => Err(Damage::of(stray, "is no file of this entry")),
        None => Ok(()),
    }
}

fn is_believed(entry: &Path, stamps: &Stamps, now: SystemTime) -> bool {
    let text = fs::read(entry.join(VERIFIED)).ok();
    let verified: Option<Verified> = text.and_then(|text| serde_json::from_slice(&text).ok());
    verified.is_some_and(|verified| {
        let age = since_epoch(now).checked_sub(verified.at);
        verified.files == *stamps && age.is_some_and(|age| age < BELIEVED)
    })
}

/// Remembers that the files were digested. In a cache that is read-only they are each time.
fn believe(entry: &Path, stamps: &Stamps, now: SystemTime) {
    if !are_settled(stamps, now) {
        return;
    }
    let at = since_epoch(now);
    let _ = serde_json::to_vec(&Verified { at, files: stamps.clone() })
        .map_err(io::Error::from)
        .and_then(|text| {
            let file = tempfile::Builder::new().prefix(VERIFIED).tempfile_in(entry)?;
            fs::write(file.path(), text)?;
            file.persist(entry.join(VERIFIED))?;
            Ok(())
        });
}

/// Whether a further write would show in the stamps.
pub(super) fn are_settled(stamps: &Stamps, now: SystemTime) -> bool {
    let now = since_epoch(now);
    let changed = |stamp: &Stamp| Duration::from_secs(stamp.changed.0.unsigned_abs());
    stamps.values().all(|stamp| changed(stamp) + SETTLED < now)
}

fn since_epoch(time: SystemTime) -> Duration {
    time.duration_since(UNIX_EPOCH).unwrap_or_default()
}

fn digest(path: &Path) -> io::Result<String> {
    let mut hasher = blake3::Hasher::new();
    hasher.update_reader(fs::File::open(path)?)?;
    Ok(hasher.finalize().to_hex().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Writes to a file until its stamp shows it, and sets the time of the write back.
    fn overwrite(path: &Path, bytes: &[u8]) {
        let before = fs::metadata(path).unwrap();
        let changed = |metadata: &std::fs::Metadata| (metadata.ctime(), metadata.ctime_nsec());
        while changed(&fs::metadata(path).unwrap()) == changed(&before) {
            fs::write(path, bytes).unwrap();
            let file = fs::OpenOptions::new().write(true).open(path).unwrap();
            file.file().set_modified(before.modified().unwrap()).unwrap();
        }
    }

    #[test]
    fn a_file_that_nobody_wrote_to_is_read_once_a_day() {
        let folder = tempfile::tempdir().unwrap();
        let (entry, image) = (folder.path(), folder.path().join("image"));
        fs::write(&image, "content").unwrap();
        write(entry).unwrap();
        let now = SystemTime::now() + 2 * SETTLED;
        verify(entry, now).unwrap();
        let manifest = fs::read_to_string(entry.join(MANIFEST)).unwrap();
        let wrong = digest(&entry.join(MANIFEST)).unwrap();
        let right = digest(&image).unwrap();
        fs::write(entry.join(MANIFEST), manifest.replace(&right, &wrong)).unwrap();
        assert!(verify(entry, now + BELIEVED / 2).is_ok(), "it was read again");
        let damage = verify(entry, now + BELIEVED).unwrap_err();
        assert!(damage.to_string().contains("image has another content"), "{damage}");
    }

    #[test]
    fn a_write_shows_even_if_size_and_time_are_as_before() {
        let folder = tempfile::tempdir().unwrap();
        let (entry, image) = (folder.path(), folder.path().join("image"));
        fs::write(&image, "content").unwrap();
        write(entry).unwrap();
        let now = SystemTime::now() + 2 * SETTLED;
        verify(entry, now).unwrap();
        overwrite(&image, b"contemt");
        assert!(verify(entry, now).is_err());
    }
}
