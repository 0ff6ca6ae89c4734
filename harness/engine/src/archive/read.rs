//! Reading an archive that nobody vouches for.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, BufReader, Read, Seek, Write};
use std::path::Path;

use tar::{Archive, EntryType};
use xxhash_rust::xxh64::Xxh64;

use super::manifest::{self, FORMAT, Holds, MANIFEST, MOST_PARENTS, Manifest, Member};
use super::rounds;
use super::write::{Passing, sha256};
use crate::names;

/// Longest manifest that is read.
const MAX_MANIFEST: u64 = 16 << 20;

/// Most bytes of padding after the last member: tar fills up its last record.
const MAX_PADDING: usize = 64 << 10;

/// Why an archive was refused.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// It cannot be read, is cut off, or is no such file at all.
    #[error("cannot be read: {0}")]
    Read(#[source] io::Error),
    /// It is of a format that this engine does not know.
    #[error("format {found}, this engine reads {FORMAT}")]
    Format {
        /// What the manifest says.
        found: u64,
    },
    /// The manifest is no manifest.
    #[error("{MANIFEST}: {0}")]
    Manifest(String),
    /// A member is not acceptable.
    #[error("{name}: {why}")]
    Refused {
        /// Its name.
        name: String,
        /// Why.
        why: String,
    },
    /// The archive of a round on which it builds is not there, or another one.
    #[error("round {number} of {of}, {name}: {why}")]
    Round {
        /// Which round, from 1.
        number: usize,
        /// How many there are.
        of: usize,
        /// What its archive is called.
        name: String,
        /// Why.
        why: String,
    },
    /// Something is longer than it may be.
    #[error("{name}: longer than {limit} bytes")]
    TooLong {
        /// What.
        name: String,
        /// The limit.
        limit: u64,
    },
    /// A member could not be written where it belongs.
    #[error("cannot write {name}: {source}")]
    Write {
        /// Its name.
        name: String,
        /// The kernel's answer.
        source: io::Error,
    },
}

fn refused(name: &str, why: impl Into<String>) -> ArchiveError {
    ArchiveError::Refused { name: name.to_owned(), why: why.into() }
}

/// Reads what an archive says about itself; neither its members nor its rounds are looked at.
///
/// # Errors
/// Why it was refused.
pub fn show(path: &Path) -> Result<Manifest, ArchiveError> {
    open_alone(path).map(|opened| opened.manifest)
}

/// Reads a whole archive and checks every member against the manifest; those of its rounds too.
///
/// # Errors
/// Why it was refused.
pub fn verify(path: &Path) -> Result<Manifest, ArchiveError> {
    let mut opened = open_alone(path)?;
    if opened.manifest.holds == Holds::Checkpoint {
        opened = open(path)?;
    }
    opened.all_members(|_| Ok(io::sink()))
}

/// Unpacks all members of an archive into a folder that is there and empty, with its rounds below it.
pub(crate) fn unpack(opened: Opened, folder: &Path) -> Result<Manifest, ArchiveError> {
    let manifest = opened.all_members(|name| {
        let path = folder.join(name);
        fs_err::create_dir_all(path.parent().unwrap_or(folder))?;
        File::options().write(true).create_new(true).open(path)
    })?;
    let linked = rounds::link(&manifest, folder);
    let name = manifest::PARENT.to_owned();
    linked.map_err(|source| ArchiveError::Write { name, source })?;
    Ok(manifest)
}

/// An archive whose manifest was read and makes sense.
pub(crate) struct Opened {
    file: File,
    /// What the archive says about itself.
    pub(crate) manifest: Manifest,
    /// The rounds on which it builds, in their order.
    rounds: Vec<Opened>,
}

type Stream<'a> = Archive<zstd::Decoder<'static, BufReader<&'a File>>>;

fn stream(file: &File) -> io::Result<Stream<'_>> {
    Ok(Archive::new(zstd::Decoder::new(file)?))
}

/// Opens the archive of a checkpoint and reads its manifest. The archives of its rounds stand beside
/// it, and each is the one that it names.
pub(crate) fn open(path: &Path) -> Result<Opened, ArchiveError> {
    let mut opened = open_alone(path)?;
    match opened.manifest.holds {
        Holds::Checkpoint => {}
        Holds::Round => {
            return Err(ArchiveError::Manifest("it holds a round, and no checkpoint".to_owned()));
        }
        Holds::Thin => {
            let why = "most of its memory is not in it, but in the checkpoint of which it was made";
            return Err(ArchiveError::Manifest(why.to_owned()));
        }
    }
    let parents = &opened.manifest.parents;
    let rounds = parents.iter().enumerate().map(|(index, sha256)| {
        let path = rounds::beside(path, sha256);
        open_round(&path, sha256, &opened.manifest).map_err(|why| ArchiveError::Round {
            number: index + 1,
            of: parents.len(),
            name: path.file_name().unwrap_or_default().to_string_lossy().into_owned(),
            why,
        })
    });
    opened.rounds = rounds.collect::<Result<_, _>>()?;
    Ok(opened)
}

/// Opens an archive without the pages that can come later. The SHA-256 of the checkpoint that has them.
pub(crate) fn open_thin(path: &Path) -> Result<(Opened, String), ArchiveError> {
    let opened = open_alone(path)?;
    let wrong = |why: &str| ArchiveError::Manifest(why.to_owned());
    if opened.manifest.holds != Holds::Thin {
        return Err(wrong("its pages are not to come later"));
    }
    match opened.manifest.parents.as_slice() {
        [checkpoint] => {
            let checkpoint = checkpoint.clone();
            Ok((opened, checkpoint))
        }
        _ => Err(wrong("it does not name the one checkpoint that has its pages")),
    }
}

fn open_round(path: &Path, expected: &str, of: &Manifest) -> Result<Opened, String> {
    let mut round = open_alone(path).map_err(|error| error.to_string())?;
    if sha256(&mut round.file).map_err(|error| error.to_string())? != expected {
        return Err("it is another one than the checkpoint names".to_owned());
    }
    let names = |manifest: &Manifest| -> Vec<String> {
        manifest.containers.iter().map(|container| container.name.clone()).collect()
    };
    if round.manifest.holds != Holds::Round || names(&round.manifest) != names(of) {
        return Err("it is no round of this pod".to_owned());
    }
    Ok(round)
}

/// Opens an archive of any kind and reads its manifest; its rounds are not looked at.
fn open_alone(path: &Path) -> Result<Opened, ArchiveError> {
    let file = File::open(path).map_err(ArchiveError::Read)?;
    let mut archive = stream(&file).map_err(ArchiveError::Read)?;
    let first = archive.entries().map_err(ArchiveError::Read)?.raw(true).next();
    let mut first =
        first.ok_or_else(|| refused(MANIFEST, "missing"))?.map_err(ArchiveError::Read)?;
    if plain_name(&first)? != MANIFEST {
        return Err(refused(MANIFEST, "is not the first member"));
    }
    let mut text = Vec::new();
    first.by_ref().take(MAX_MANIFEST + 1).read_to_end(&mut text).map_err(ArchiveError::Read)?;
    if text.len() as u64 > MAX_MANIFEST {
        return Err(ArchiveError::TooLong { name: MANIFEST.to_owned(), limit: MAX_MANIFEST });
    }
    let manifest = parse(&text)?;
    drop(archive);
    Ok(Opened { file, manifest, rounds: Vec::new() })
}

/// The name of a plain file without extensions; anything else is refused.
fn plain_name(entry: &tar::Entry<'_, impl Read>) -> Result<String, ArchiveError> {
    let name = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
    match entry.header().entry_type() {
        EntryType::Regular => Ok(name),
        kind => Err(refused(&name, format!("unexpected kind {kind:?}"))),
    }
}

fn parse(text: &[u8]) -> Result<Manifest, ArchiveError> {
    let wrong = |error: serde_json::Error| ArchiveError::Manifest(error.to_string());
    let value: serde_json::Value = serde_json::from_slice(text).map_err(wrong)?;
    let found = value.get("format").and_then(serde_json::Value::as_u64);
    match found {
        Some(found) if found != u64::from(FORMAT) => return Err(ArchiveError::Format { found }),
        Some(_) => {}
        None => return Err(ArchiveError::Manifest("no format".to_owned())),
    }
    let manifest: Manifest = serde_json::from_value(value).map_err(wrong)?;
    check(&manifest)?;
    Ok(manifest)
}

fn check(manifest: &Manifest) -> Result<(), ArchiveError> {
    let wrong = |why: String| Err(ArchiveError::Manifest(why));
    if let Err(error) = names::check(&manifest.pod) {
        return wrong(error.to_string());
    }
    let named = manifest.containers.iter().map(|container| &container.name);
    if !named.eq(manifest.pod.containers.iter().map(|container| &container.name)) {
        return wrong("containers are not those of the pod".to_owned());
    }
    for (container, spec) in manifest.containers.iter().zip(&manifest.pod.containers) {
        if let Some(path) = container.masked.iter().find(|path| !spec.masked.contains(path)) {
            return wrong(format!("container {}: {path} is not to be masked", spec.name));
        }
    }
    let members = &manifest.members;
    if let Some(name) = members.keys().find(|name| !manifest::is_member(name, &manifest.containers))
    {
        return Err(refused(name, "no member of a checkpoint"));
    }
    if manifest.parents.len() > MOST_PARENTS {
        return wrong(format!("builds on more than {MOST_PARENTS} rounds"));
    }
    if let Some(parent) = manifest.parents.iter().find(|parent| !rounds::is_sha256(parent)) {
        return wrong(format!("`{parent}` is no SHA-256 of a round"));
    }
    let needed = manifest::needed(manifest.holds, &manifest.containers);
    match needed.iter().find(|name| !members.contains_key(*name)) {
        Some(name) => Err(refused(name, "missing in the manifest")),
        None => Ok(()),
    }
}

impl Opened {
    /// Bytes of all members, those of the rounds too.
    pub(crate) fn bytes(&self) -> u64 {
        let rounds = self.rounds.iter().map(Opened::bytes);
        rounds.fold(self.manifest.bytes(), u64::saturating_add)
    }

    /// Reads all members of the rounds and then its own into what `make` gives for each.
    fn all_members<W: Write>(
        mut self,
        mut make: impl FnMut(&str) -> io::Result<W>,
    ) -> Result<Manifest, ArchiveError> {
        for (index, round) in std::mem::take(&mut self.rounds).into_iter().enumerate() {
            let folder = rounds::folder(index + 1);
            round.members(|name| make(&format!("{folder}/{name}")))?;
        }
        self.members(make)
    }

    /// Reads all members into what `make` gives for each, and checks them.
    fn members<W: Write>(
        mut self,
        mut make: impl FnMut(&str) -> io::Result<W>,
    ) -> Result<Manifest, ArchiveError> {
        self.file.rewind().map_err(ArchiveError::Read)?;
        let mut archive = stream(&self.file).map_err(ArchiveError::Read)?;
        let mut seen = BTreeSet::new();
        for entry in archive.entries().map_err(ArchiveError::Read)?.raw(true).skip(1) {
            let mut entry = entry.map_err(ArchiveError::Read)?;
            let name = plain_name(&entry)?;
            let Some(member) = self.manifest.members.get(&name) else {
                return Err(refused(&name, "not in the manifest"));
            };
            if !seen.insert(name.clone()) {
                return Err(refused(&name, "comes twice"));
            }
            if entry.size() != member.bytes {
                let why = format!("{} bytes, expected {}", entry.size(), member.bytes);
                return Err(refused(&name, why));
            }
            let output = make(&name);
            let output =
                output.map_err(|source| ArchiveError::Write { name: name.clone(), source })?;
            copy(&name, member, &mut entry, output)?;
        }
        if let Some(name) = self.manifest.members.keys().find(|name| !seen.contains(*name)) {
            return Err(refused(name, "missing"));
        }
        check_end(archive.into_inner())?;
        Ok(self.manifest)
    }
}

fn copy(
    name: &str,
    member: &Member,
    content: &mut impl Read,
    output: impl Write,
) -> Result<(), ArchiveError> {
    let mut digest = Xxh64::new(0);
    let mut output = Passing::new(output, |bytes| digest.update(bytes));
    let mut buffer = vec![0; 256 << 10];
    let mut left = member.bytes;
    while left > 0 {
        let length = content.read(&mut buffer).map_err(ArchiveError::Read)?;
        if length == 0 {
            return Err(refused(name, format!("cut off, {left} bytes are missing")));
        }
        left = left.saturating_sub(length as u64);
        let written = output.write_all(&buffer[..length]);
        written.map_err(|source| ArchiveError::Write { name: name.to_owned(), source })?;
    }
    if digest.digest() == member.xxh64.0 {
        Ok(())
    } else {
        Err(refused(name, "content is not as recorded"))
    }
}

/// Reads to the end, so that the frame's checksum is checked; there is nothing but padding.
fn check_end(mut rest: impl Read) -> Result<(), ArchiveError> {
    let mut buffer = [0; 4096];
    let mut padding = 0;
    loop {
        let length = rest.read(&mut buffer).map_err(ArchiveError::Read)?;
        padding += length;
        if length == 0 {
            return Ok(());
        }
        if padding > MAX_PADDING || buffer[..length].iter().any(|byte| *byte != 0) {
            return Err(refused("end", "more follows"));
        }
    }
}
