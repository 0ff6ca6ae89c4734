//! Files: without a name, with several names, locked, leased, sparse, and opened in unusual ways.
//!
//! Left out: what `lossy` shows already (a folder opened with O_DIRECTORY, times of deleted files), and
//! a lease for writing: CRIU opens each file that it dumps (criu/files-reg.c, store_validation_data()),
//! which waits for 45 seconds until the kernel breaks the lease of the frozen holder.

mod locks;

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt, PermissionsExt, symlink};
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::unistd::{Whence, lseek};
use witness::place::{Place, pattern};
use witness::sys::signal;
use witness::{Context, Findings, Seen, Subject, Witness, record};

const BYTES: usize = 9000;

/// Where the data of a sparse file begin, and how large it is.
const SPARSE: (u64, u64) = (256 << 10, 1 << 20);

/// No flag of any use: the kernel adds it to what is opened by a path of its own.
const LARGE_FILE: i32 = 0o100_000;

pub(super) fn set_up(place: &Place) -> io::Result<Vec<Box<dyn Witness>>> {
    // Before any thread is started, so that none is told what is for the first one.
    signal::block(&[signal::real_time(locks::BREAKS)])?;
    Ok(vec![
        record(Opened::new(place).context("open files")?),
        record(Named::new(place).context("name files")?),
        record(locks::Locks::new(place).context("lock files")?),
        record(locks::Lease::new(place).context("lease a file")?),
    ])
}

/// Open files.
struct Opened {
    files: Vec<(&'static str, File)>,
    other_name: PathBuf,
}

impl Opened {
    fn new(place: &Place) -> io::Result<Self> {
        let mut files = deleted(place)?;
        let linked = place.file("linked", &pattern(2, BYTES))?;
        let other_name = place.path("linked-still");
        fs::hard_link(place.path("linked"), &other_name)?;
        fs::remove_file(place.path("linked"))?;
        files.push(("linked", at(linked, 100)?));
        let renamed = place.file("named", &pattern(3, BYTES))?;
        fs::rename(place.path("named"), place.path("renamed"))?;
        files.push(("renamed", at(renamed, 4000)?));
        place.file("plain", &pattern(4, BYTES))?;
        symlink("plain", place.path("link"))?;
        let plain = place.path("plain");
        let flags = |flags| OpenOptions::new().read(true).custom_flags(flags).open(&plain);
        files.push(("beyond", at(flags(0)?, 1 << 40)?));
        files.push(("no_atime", at(flags(libc::O_NOATIME)?, 3)?));
        files.push(("path", flags(libc::O_PATH)?));
        let link = libc::O_PATH | libc::O_NOFOLLOW;
        let link = OpenOptions::new().read(true).custom_flags(link).open(place.path("link"))?;
        files.push(("path_of_link", link));
        let append = OpenOptions::new().append(true).custom_flags(libc::O_DSYNC).open(&plain)?;
        files.push(("append", append));
        files.push(("kept_on_exec", kept_on_exec(&plain)?));
        Ok(Opened { files, other_name })
    }

    fn file(&self, name: &str) -> io::Result<&File> {
        let found = self.files.iter().find(|(it, _)| *it == name);
        found.map(|(_, file)| file).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    /// All of a file.
    fn content(&self, name: &str) -> io::Result<Vec<u8>> {
        let file = self.file(name)?;
        let mut content =
            vec![0; usize::try_from(file.metadata()?.len()).map_err(io::Error::other)?];
        file.read_exact_at(&mut content, 0)?;
        Ok(content)
    }
}

/// Files and a folder that have no name any more, on the root and on a tmpfs.
fn deleted(place: &Place) -> io::Result<Vec<(&'static str, File)>> {
    let path = place.path("deleted");
    let one = at(place.file("deleted", &pattern(1, BYTES))?, 10)?;
    let other = at(File::open(&path)?, 8999)?;
    let (shared_path, shared) = place.shared_file("deleted", &pattern(5, BYTES))?;
    let sparse = place.file("deleted-sparse", &[])?;
    sparse.write_all_at(&pattern(6, BYTES), SPARSE.0)?;
    sparse.set_len(SPARSE.1)?;
    let empty = place.file("deleted-empty", &[])?;
    let folder = File::open(place.folder("deleted-folder")?)?;
    for path in [path, shared_path, place.path("deleted-sparse"), place.path("deleted-empty")] {
        fs::remove_file(&path).context(path.display())?;
    }
    fs::remove_dir(place.path("deleted-folder"))?;
    Ok(vec![
        ("deleted", one),
        ("deleted.again", other),
        ("deleted.shared", at(shared, 1)?),
        ("deleted.sparse", sparse),
        ("deleted.empty", empty),
        ("deleted.folder", folder),
    ])
}

/// A descriptor without FD_CLOEXEC.
fn kept_on_exec(path: &std::path::Path) -> io::Result<File> {
    let flags = OFlag::O_RDWR | OFlag::O_NOCTTY;
    let opened = nix::fcntl::open(path, flags, nix::sys::stat::Mode::empty())?;
    Ok(File::from(opened))
}

fn at(mut file: File, position: u64) -> io::Result<File> {
    file.seek(SeekFrom::Start(position))?;
    Ok(file)
}

impl Subject for Opened {
    fn name(&self) -> &'static str {
        "open"
    }

    fn look(&mut self, seen: &mut Seen) {
        for (name, file) in &self.files {
            let flags = fcntl(file, FcntlArg::F_GETFL).map(|it| format!("{:#o}", it & !LARGE_FILE));
            seen.note(format!("{name}.flags"), flags);
            seen.note(format!("{name}.fd_flags"), fcntl(file, FcntlArg::F_GETFD));
            seen.note(format!("{name}.position"), lseek(file, 0, Whence::SeekCur));
            let about = file.metadata().map(|it| (it.len(), it.nlink(), it.mode(), it.uid()));
            seen.note(format!("{name}.stat"), about);
        }
        let same = |one: io::Result<&File>, other: io::Result<u64>| {
            Ok::<_, io::Error>(one?.metadata()?.ino() == other?)
        };
        let other = fs::metadata(&self.other_name).map(|it| it.ino());
        seen.note("linked.is_the_other_name", same(self.file("linked"), other));
        let again = self.file("deleted.again").and_then(|it| Ok(it.metadata()?.ino()));
        seen.note("deleted.is_one", same(self.file("deleted"), again));
        seen.note("deleted.sparse.data", self.file("deleted.sparse").and_then(data));
    }

    fn go_on(&mut self, findings: &mut Findings) {
        let contents =
            [("deleted", 1), ("linked", 2), ("renamed", 3), ("beyond", 4), ("deleted.shared", 5)];
        for (name, seed) in contents {
            if let Some(found) = findings.tried(name, self.content(name)) {
                findings.bytes(&format!("{name}.content"), &pattern(seed, BYTES), &found);
            }
        }
        if let Some(found) = findings.tried("deleted.sparse", self.content("deleted.sparse")) {
            let (start, end) = (SPARSE.0 as usize, SPARSE.0 as usize + BYTES);
            findings.bytes("deleted.sparse.content", &pattern(6, BYTES), &found[start..end]);
            let empty = found[..start].iter().chain(&found[end..]).all(|byte| *byte == 0);
            findings.equal("deleted.sparse.holes", true, empty);
        }
        let written =
            self.file("deleted").and_then(|file| file.write_all_at(b"later", BYTES as u64));
        findings.tried("deleted.write", written);
        if let Some(found) = findings.tried("deleted.again", self.content("deleted.again")) {
            findings.bytes("deleted.again.written", b"later", &found[BYTES.min(found.len())..]);
        }
        let appended = self.file("append").and_then(|mut file| file.write_all(b"appended"));
        findings.tried("append.write", appended);
        if let Some(found) = findings.tried("append.read", self.content("beyond")) {
            findings.bytes("append.content", b"appended", &found[BYTES.min(found.len())..]);
        }
        let refused = self.file("path").and_then(|mut file| file.read(&mut [0]));
        findings.equal(
            "path.read",
            Some(libc::EBADF),
            refused.err().and_then(|it| it.raw_os_error()),
        );
    }
}

/// Where a file has data: beginnings and ends.
fn data(file: &File) -> io::Result<Vec<(i64, i64)>> {
    let position = lseek(file, 0, Whence::SeekCur)?;
    let (mut found, mut from) = (Vec::new(), 0);
    while let Ok(start) = lseek(file, from, Whence::SeekData) {
        from = lseek(file, start, Whence::SeekHole)?;
        found.push((start, from));
    }
    lseek(file, position, Whence::SeekSet)?;
    Ok(found)
}

/// Files that nobody has open.
struct Named {
    folder: PathBuf,
}

/// What can be seen of a file without opening it.
#[derive(Debug)]
#[expect(dead_code, reason = "read by Debug")]
struct About {
    mode: u32,
    links: u64,
    bytes: u64,
    modified: (i64, i64),
}

impl Named {
    fn new(place: &Place) -> io::Result<Self> {
        let folder = place.folder("names")?;
        let path = |name: &str| folder.join(name);
        fs::write(path("one"), b"three names")?;
        fs::hard_link(path("one"), path("two"))?;
        fs::hard_link(path("one"), path("three"))?;
        fs::write(path("odd"), b"odd")?;
        fs::set_permissions(path("odd"), fs::Permissions::from_mode(0o4751))?;
        let moment = SystemTime::UNIX_EPOCH + Duration::new(987_654_321, 123_456_789);
        File::options().write(true).open(path("odd"))?.set_modified(moment)?;
        let sparse = File::create(path("sparse"))?;
        sparse.write_all_at(b"middle", SPARSE.0)?;
        sparse.set_len(SPARSE.1)?;
        symlink("nowhere at all", path("dangling"))?;
        nix::unistd::mkfifo(&path("fifo"), nix::sys::stat::Mode::from_bits_truncate(0o640))?;
        fs::create_dir(path("sticky"))?;
        fs::set_permissions(path("sticky"), fs::Permissions::from_mode(0o1777))?;
        Ok(Named { folder })
    }
}

impl Subject for Named {
    fn name(&self) -> &'static str {
        "named"
    }

    fn look(&mut self, seen: &mut Seen) {
        for name in ["one", "two", "three", "odd", "sparse", "dangling", "fifo", "sticky"] {
            let about = fs::symlink_metadata(self.folder.join(name)).map(|it| About {
                mode: it.mode(),
                links: it.nlink(),
                bytes: it.len(),
                modified: (it.mtime(), it.mtime_nsec()),
            });
            seen.note(name, about);
        }
        let inode = |name: &str| fs::metadata(self.folder.join(name)).map(|it| it.ino());
        let one = inode("one").and_then(|one| Ok((one == inode("two")?, one == inode("three")?)));
        seen.note("one.is_one", one);
        seen.note("dangling.target", fs::read_link(self.folder.join("dangling")));
        let sparse = File::open(self.folder.join("sparse")).and_then(|file| data(&file));
        seen.note("sparse.data", sparse);
    }

    fn go_on(&mut self, findings: &mut Findings) {
        findings.tried("two.write", fs::write(self.folder.join("two"), b"by another name"));
        if let Some(found) = findings.tried("three.read", fs::read(self.folder.join("three"))) {
            findings.bytes("three.content", b"by another name", &found);
        }
    }
}
