//! Entries are made once, found whole or made again, and stay while somebody uses them.

use std::fs::FileTimes;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Barrier, Mutex};
use std::time::Duration;

use fs_err as fs;
use rstest::rstest;

use super::entries::PARTIAL;
use super::*;
use crate::{Error, Progress, Silent, Step};

fn key() -> Key {
    Key::new("a thing/1", 1).with("input")
}

fn cache() -> (tempfile::TempDir, Cache) {
    let folder = tempfile::tempdir().unwrap();
    let cache = Cache::at(folder.path()).unwrap();
    (folder, cache)
}

/// Makes an entry of a large and a small file, unless it is there.
fn make(cache: &Cache, built: &AtomicUsize, notes: &dyn Progress) -> PathBuf {
    let build = |path: &Path| {
        built.fetch_add(1, Ordering::Relaxed);
        fs::create_dir(path.join("early"))?;
        fs::write(path.join("early/000-a.ko"), "module")?;
        Ok(fs::write(path.join("image"), vec![7; 100_000])?)
    };
    cache.make(Kind::Kernels, &key(), notes, build).unwrap()
}

#[derive(Debug, Default)]
struct Notes(Mutex<Vec<String>>);

impl Notes {
    fn all(&self) -> String {
        self.0.lock().unwrap().join("\n")
    }
}

impl Progress for Notes {
    fn begin(&self, _what: &str) -> Box<dyn Step> {
        Box::new(Silent)
    }
    fn note(&self, text: &str) {
        self.0.lock().unwrap().push(text.to_owned());
    }
}

#[test]
fn an_entry_is_built_once() {
    let (folder, cache) = cache();
    let built = AtomicUsize::new(0);
    for cache in [&cache, &cache, &Cache::at(folder.path()).unwrap()] {
        let entry = make(cache, &built, &Silent);
        assert_eq!(fs::read(entry.join("early/000-a.ko")).unwrap(), b"module");
        assert!(cache.has(Kind::Kernels, &key()));
    }
    assert_eq!(built.into_inner(), 1);
}

fn truncate(entry: &Path) {
    let image = fs::OpenOptions::new().write(true).open(entry.join("image")).unwrap();
    image.set_len(99_999).unwrap();
}

fn flip(entry: &Path) {
    let mut bytes = fs::read(entry.join("image")).unwrap();
    bytes[50_000] ^= 1;
    fs::write(entry.join("image"), bytes).unwrap();
}

/// As a careless copy would: the times of the file are as they were.
fn flip_and_set_the_time_back(entry: &Path) {
    let written = fs::metadata(entry.join("image")).unwrap().modified().unwrap();
    flip(entry);
    let image = fs::OpenOptions::new().write(true).open(entry.join("image")).unwrap();
    image.file().set_times(FileTimes::new().set_modified(written)).unwrap();
}

fn remove(entry: &Path) {
    fs::remove_file(entry.join("early/000-a.ko")).unwrap();
}

fn add(entry: &Path) {
    fs::write(entry.join("early/001-b.ko"), "stray").unwrap();
}

fn forget(entry: &Path) {
    fs::remove_file(entry.join(manifest::MANIFEST)).unwrap();
}

fn scribble(entry: &Path) {
    fs::write(entry.join(manifest::MANIFEST), "{").unwrap();
}

#[rstest]
#[case::truncated(truncate, "image has 99999 bytes, not the 100000 it was made with")]
#[case::flipped(flip, "image has another content than it was made with")]
#[case::unnoticed(flip_and_set_the_time_back, "image has another content")]
#[case::missing(remove, "early/000-a.ko is missing")]
#[case::stray(add, "early/001-b.ko is no file of this entry")]
#[case::older(forget, "manifest.json is missing")]
#[case::scribbled(scribble, "manifest.json cannot be read")]
fn what_is_damaged_is_told_and_made_again(
    #[case] damage: fn(&Path),
    #[case] told: &str,
    #[values(true, false)] same_process: bool,
) {
    let (folder, cache) = cache();
    let (built, notes) = (AtomicUsize::new(0), Notes::default());
    let entry = make(&cache, &built, &notes);
    assert_eq!(notes.all(), "");
    let whole = fs::read(entry.join("image")).unwrap();
    damage(&entry);
    let other = Cache::at(folder.path()).unwrap();
    let cache = if same_process { &cache } else { &other };
    // The manifest is read once a process.
    if !(same_process && told.starts_with("manifest")) {
        assert_eq!(make(cache, &built, &notes), entry);
        assert_eq!(built.into_inner(), 2);
        let all = notes.all();
        assert!(all.contains("is damaged") && all.contains(told), "{all}");
    }
    assert_eq!(fs::read(entry.join("image")).unwrap(), whole);
    assert!(entry.join("early/000-a.ko").exists() && !entry.join("early/001-b.ko").exists());
    let left = fs::read_dir(folder.path().join("kernels")).unwrap().count();
    assert_eq!(left, 1, "what was damaged is left");
}

#[test]
fn a_build_that_fails_leaves_nothing() {
    let (folder, cache) = cache();
    let result = cache.make(Kind::Criu, &key(), &Silent, |path| {
        fs::write(path.join("half"), "x")?;
        Err(Error::content(&"x", &"broken"))
    });
    assert!(result.is_err());
    assert_eq!(fs::read_dir(folder.path().join("criu")).unwrap().count(), 0);
}

#[test]
fn the_second_of_two_waits_says_so_and_uses_what_the_first_made() {
    let (folder, cache) = cache();
    let other = Cache::at(folder.path()).unwrap();
    let (started, seen) = (Barrier::new(2), Notes::default());
    std::thread::scope(|scope| {
        let first = scope.spawn(|| {
            cache.make(Kind::Criu, &key(), &Silent, |path| {
                started.wait();
                while seen.0.lock().unwrap().is_empty() {
                    std::thread::yield_now();
                }
                Ok(fs::write(path.join("image"), "first")?)
            })
        });
        started.wait();
        let second = other.make(Kind::Criu, &key(), &seen, |_| panic!("built twice")).unwrap();
        assert_eq!(first.join().unwrap().unwrap(), second);
    });
    assert!(seen.all().ends_with("is being made by another: waiting"));
}

#[test]
fn what_an_interrupted_build_left_is_removed_once_its_lock_is_free() {
    let (folder, cache) = cache();
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
fn pruning_removes_what_was_not_used_and_nobody_uses() {
    let (folder, cache) = cache();
    let entry = make(&cache, &AtomicUsize::new(0), &Silent);
    let other = Cache::at(folder.path()).unwrap();
    assert_eq!(other.prune(Duration::from_secs(3600)).unwrap(), Pruned::default());
    let pruned = other.prune(Duration::ZERO).unwrap();
    assert!(pruned.removed.is_empty() && entry.exists(), "{pruned:?}");
    assert_eq!(pruned.kept.len(), 1);
    let third = Cache::at(folder.path()).unwrap();
    third.hold(&entry.join("image")).unwrap();
    drop(cache);
    assert_eq!(other.prune(Duration::ZERO).unwrap().kept.len(), 1);
    drop(third);
    let pruned = other.prune(Duration::ZERO).unwrap();
    assert_eq!(pruned.removed.len(), 1, "{pruned:?}");
    assert!(pruned.removed[0].name.starts_with("kernels/a_thing_1-"));
    assert!(pruned.bytes() >= 100_000 && !entry.exists());
    let error = other.hold(&entry.join("image")).unwrap_err().to_string();
    assert!(error.ends_with("is in no entry of the cache"), "{error}");
}

#[test]
fn indexes_are_pruned_unless_they_are_in_use() {
    let (folder, cache) = cache();
    fs::write(cache.indexes().unwrap().join("list"), "deb").unwrap();
    let other = Cache::at(folder.path()).unwrap();
    assert_eq!(other.prune(Duration::ZERO).unwrap().kept.len(), 1);
    drop(cache);
    assert_eq!(other.prune(Duration::ZERO).unwrap().removed[0].name, "package indexes");
    assert_eq!(fs::read_dir(other.indexes().unwrap()).unwrap().count(), 1, "more than its lock");
}

/// Makes a template as the room does that boots machines; used `age` seconds ago.
fn template(cache: &Cache, name: &str, age: u64) -> PathBuf {
    let folder = cache.folder(Kind::Templates).join(name);
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join("lock"), "").unwrap();
    fs::write(folder.join("ram"), vec![1; 1 << 20]).unwrap();
    let time = std::time::SystemTime::now() - Duration::from_secs(age);
    for path in [folder.join("lock"), folder.clone()] {
        fs::File::open(path).unwrap().file().set_modified(time).unwrap();
    }
    folder
}

#[rstest]
#[case(Bound::Entries(2), &["old", "oldest"])]
#[case(Bound::Bytes(5 << 19), &["old", "oldest"])]
#[case(Bound::Bytes(8 << 30), &[])]
fn trimming_removes_what_was_not_used_for_longest(#[case] bound: Bound, #[case] expected: &[&str]) {
    let (_folder, cache) = cache();
    for (name, age) in [("oldest", 400), ("new", 100), ("old", 300), ("newer", 0)] {
        template(&cache, name, age);
    }
    let removed = cache.trim(Kind::Templates, bound).unwrap().removed;
    let names: Vec<_> = removed.iter().map(|it| it.name.replace("templates/", "")).collect();
    assert_eq!(names, expected);
}

#[test]
fn trimming_leaves_what_is_locked() {
    let (_folder, cache) = cache();
    let folder = template(&cache, "busy", 100);
    let lock = fs::File::open(folder.join("lock")).unwrap();
    lock.file().lock_shared().unwrap();
    let pruned = cache.trim(Kind::Templates, Bound::Entries(0)).unwrap();
    assert_eq!(pruned.kept, [Kept { name: "templates/busy".to_owned() }]);
    drop(lock);
    cache.trim(Kind::Templates, Bound::Entries(0)).unwrap();
    assert!(!folder.exists());
}
