//! Open files: positions, flags, sharing, and files without a name.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::PathBuf;

use nix::fcntl::{FcntlArg, fcntl};

use witness::place::{Place, pattern};
use witness::{Findings, Witness};

const BYTES: usize = 8192;
const DELETED_BYTES: usize = 100_000;

/// A file whose position and flags do not change.
#[derive(Debug)]
struct Open {
    name: &'static str,
    file: File,
    position: u64,
    flags: i32,
    links: u64,
}

impl Open {
    fn new(name: &'static str, mut file: File, position: u64) -> io::Result<Self> {
        file.seek(SeekFrom::Start(position))?;
        let flags = fcntl(&file, FcntlArg::F_GETFL)?;
        let links = file.metadata()?.nlink();
        Ok(Open { name, file, position, flags, links })
    }

    fn check(&mut self, findings: &mut Findings) {
        let name = |what: &str| format!("{}.{what}", self.name);
        if let Some(found) = findings.tried(&name("position"), self.file.stream_position()) {
            findings.equal(&name("position"), self.position, found);
        }
        let flags = fcntl(&self.file, FcntlArg::F_GETFL).map_err(io::Error::from);
        if let Some(found) = findings.tried(&name("flags"), flags) {
            findings.equal(&name("flags"), format!("{:#o}", self.flags), format!("{found:#o}"));
        }
        if let Some(found) = findings.tried(&name("stat"), self.file.metadata()) {
            findings.equal(&name("nlink"), self.links, found.nlink());
        }
    }

    /// Reads from the position to the end.
    fn expect_rest(&mut self, all: &[u8], findings: &mut Findings) {
        let mut rest = Vec::new();
        let name = format!("{}.content", self.name);
        if findings.tried(&name, self.file.read_to_end(&mut rest)).is_some() {
            findings.bytes(&name, &all[self.position as usize..], &rest);
        }
    }
}

/// The witness.
#[derive(Debug)]
pub(crate) struct Files {
    middle: Open,
    read_only: Open,
    deleted: Open,
    folder: Open,
    null: File,
    original: Open,
    duplicate: Open,
    journal: Journal,
}

impl Files {
    /// Opens them.
    pub(crate) fn new(place: &Place) -> io::Result<Self> {
        let content = pattern(1, BYTES);
        let deleted = place.file("deleted", &pattern(2, DELETED_BYTES))?;
        fs::remove_file(place.path("deleted"))?;
        let original = place.file("duplicated", &content)?;
        let duplicate = original.try_clone()?;
        place.file("read_only", &content)?;
        let no_delay = OpenOptions::new()
            .read(true)
            .custom_flags(libc::O_NONBLOCK)
            .open(place.path("read_only"))?;
        Ok(Files {
            middle: Open::new("middle", place.file("middle", &content)?, 1234)?,
            read_only: Open::new("read_only", no_delay, 17)?,
            deleted: Open::new("deleted", deleted, 777)?,
            folder: Open::new("folder", File::open(&place.home)?, 0)?,
            null: OpenOptions::new().write(true).open("/dev/null")?,
            original: Open::new("original", original, 4000)?,
            duplicate: Open::new("duplicate", duplicate, 4000)?,
            journal: Journal::new(place)?,
        })
    }
}

impl Witness for Files {
    fn name(&self) -> &'static str {
        "files"
    }

    fn check(&mut self, findings: &mut Findings) {
        let Files { middle, read_only, deleted, folder, original, duplicate, .. } = self;
        for open in [middle, read_only, deleted, folder, original, duplicate] {
            open.check(findings);
        }
        self.journal.go_on(findings);
    }

    fn finish(&mut self, findings: &mut Findings) {
        self.middle.expect_rest(&pattern(1, BYTES), findings);
        self.read_only.expect_rest(&pattern(1, BYTES), findings);
        self.deleted.expect_rest(&pattern(2, DELETED_BYTES), findings);
        findings.tried("deleted.write", self.deleted.file.write_all(b"more"));
        findings.tried("null.write", self.null.write_all(b"nothing"));
        findings.tried("original.seek", self.original.file.seek(SeekFrom::Start(4321)));
        if let Some(found) = findings.tried("duplicate.seek", self.duplicate.file.stream_position())
        {
            findings.equal("duplicate.moves_together", 4321, found);
        }
        self.journal.finish(findings);
    }
}

/// A file that is only appended to, a line a check.
#[derive(Debug)]
struct Journal {
    path: PathBuf,
    file: File,
    written: String,
}

impl Journal {
    fn new(place: &Place) -> io::Result<Self> {
        let path = place.path("journal");
        let file = OpenOptions::new().create(true).append(true).open(&path)?;
        file.set_len(0)?;
        Ok(Journal { path, file, written: String::new() })
    }

    /// Appends a line, wherever the position stands.
    fn go_on(&mut self, findings: &mut Findings) {
        let line = format!("line {}\n", self.written.lines().count());
        findings.tried("journal.seek", self.file.seek(SeekFrom::Start(0)));
        findings.tried("journal.write", self.file.write_all(line.as_bytes()));
        self.written.push_str(&line);
        if let Some(found) = findings.tried("journal.position", self.file.stream_position()) {
            findings.equal("journal.position", self.written.len() as u64, found);
        }
    }

    /// What was appended before and after is there, under the same name.
    fn finish(&self, findings: &mut Findings) {
        if let Some(found) = findings.tried("journal.read", fs::read(&self.path)) {
            findings.bytes("journal.content", self.written.as_bytes(), &found);
        }
    }
}
