//! Thin archives: a checkpoint without the pages that can come later.
//!
//! CRIU marks such pages in every dump ("lazy": private anonymous memory that is no stack; huge pages
//! and shared memory are not), and a dump for which they are to come later differs from any other in
//! that they are not "present" and not in the file of pages. That is what is made here of a checkpoint
//! that was unpacked, so that the checkpoint itself stays whole.

use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Seek, SeekFrom, Write};
use std::path::Path;

use criu::image::{Entry, Image, Schema, decode};
use prost_reflect::Value;

use super::manifest::{Holds, Manifest};
use super::write::digest_members;
use crate::error::{About, Error};
use crate::remove::remove_tree;

/// The flags of a pagemap's entry (criu/include/pagemap.h).
const LAZY: u32 = 2;
const PRESENT: u32 = 4;

/// Bytes of a page, on every machine whose archives this engine reads.
const PAGE: u64 = 4096;

/// Writes the thin archive of a checkpoint that stands unpacked in `whole`; `sha256` is its archive's.
/// `scratch` is a folder that is gone afterwards, on the same file system.
///
/// # Errors
/// What failed, such as an image that makes no sense; nothing stays then.
pub(crate) fn write(
    thin: &Path,
    (manifest, sha256): (&Manifest, &str),
    (whole, scratch): (&Path, &Path),
    schema: &Schema,
) -> Result<(), Error> {
    remove_tree(scratch)?;
    let written = gather(manifest, whole, scratch, schema).and_then(|()| {
        let mut manifest =
            Manifest { holds: Holds::Thin, parents: vec![sha256.to_owned()], ..manifest.clone() };
        let names: Vec<String> = manifest.members.into_keys().collect();
        manifest.members = digest_members(scratch, names)?;
        super::write(thin, &manifest, scratch)?.commit()
    });
    let removed = remove_tree(scratch);
    written.and(removed)
}

/// Links all members, but for the images of pages that lose some.
fn gather(manifest: &Manifest, whole: &Path, scratch: &Path, schema: &Schema) -> Result<(), Error> {
    let mut made = Vec::new();
    for name in manifest.members.keys() {
        let folder = scratch.join(name);
        let folder = folder.parent().unwrap_or(scratch);
        fs_err::create_dir_all(folder).about("make", folder)?;
        let image = Path::new(name).file_name().unwrap_or_default().to_string_lossy();
        if image.starts_with("pagemap-") {
            let pages = leave_out(&whole.join(name), &image, folder, schema)?;
            made.push(scratch.join(name));
            made.extend(pages.map(|pages| folder.join(pages)));
        }
    }
    for name in manifest.members.keys() {
        let (from, to) = (whole.join(name), scratch.join(name));
        if !made.contains(&to) {
            fs_err::hard_link(&from, &to).about("link", &to)?;
        }
    }
    Ok(())
}

/// Makes a pagemap and its pages in `folder`, without those that can come later. The name of the file
/// of pages.
fn leave_out(
    path: &Path,
    name: &str,
    folder: &Path,
    schema: &Schema,
) -> Result<Option<String>, Error> {
    let senseless = |why: String| io::Error::new(io::ErrorKind::InvalidData, why);
    let file = File::open(path).about("open", path)?;
    let image = decode(schema, name, BufReader::new(file));
    let mut image = image.map_err(|error| senseless(error.to_string())).about("read", path)?;
    let pages = match image.pagemap() {
        Some(pagemap) => pagemap,
        None => return Err(senseless("it is no pagemap".to_owned())).about("read", path),
    };
    let pages_name = format!("pages-{}.img", pages.pages_id);
    let from = path.with_file_name(&pages_name);
    if from.exists() {
        let kept = pages.runs.iter().filter(|run| run.present).map(|run| (run.pages, !run.lazy));
        let to = folder.join(&pages_name);
        copy_kept(&from, &to, kept).about("thin out", &from)?;
    }
    mark(&mut image);
    let to = folder.join(name);
    let mut bytes = Vec::new();
    image.write(&mut bytes).and_then(|()| std::fs::write(&to, bytes)).about("write", &to)?;
    Ok(from.exists().then_some(pages_name))
}

/// Takes the mark of being there from all that can come later.
fn mark(image: &mut Image) {
    for entry in image.entries.iter_mut().skip(1) {
        let flags = match entry.message.get_field_by_name("flags").as_deref() {
            Some(Value::U32(flags)) => *flags,
            _ => 0,
        };
        if flags & LAZY != 0 && flags & PRESENT != 0 {
            let mut message = entry.message.clone();
            message.set_field_by_name("flags", Value::U32(flags & !PRESENT));
            *entry = Entry::new(message);
        }
    }
}

/// Copies runs of so many pages, those that are kept.
fn copy_kept(from: &Path, to: &Path, runs: impl Iterator<Item = (u64, bool)>) -> io::Result<()> {
    let mut source = File::open(from)?;
    let mut target = BufWriter::new(File::create(to)?);
    for (pages, is_kept) in runs {
        let bytes = pages.checked_mul(PAGE).ok_or(io::ErrorKind::InvalidData)?;
        if is_kept {
            if io::copy(&mut Read::by_ref(&mut source).take(bytes), &mut target)? != bytes {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        } else {
            let step = i64::try_from(bytes).map_err(io::Error::other)?;
            source.seek(SeekFrom::Current(step))?;
        }
    }
    target.flush()
}
