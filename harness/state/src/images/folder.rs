//! The files of one dump.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, BufReader, Read};
use std::path::Path;

use criu::image::{Schema, decode};
use model::{Digest, Value};
use xxhash_rust::xxh64::Xxh64;

use super::names::in_order;
use super::walk::Walk;
use crate::error::{Error, Result};
use crate::registry::images::{Judged, Named, file_rule};

/// Bytes that are read at once.
const PIECE: usize = 256 << 10;

/// A file and what the registry says about it.
struct Found {
    name: String,
    judged: Judged,
    stem: &'static str,
    rest: String,
}

/// Adds what the images in `folder` say.
pub(super) fn read(
    container: Option<&str>,
    folder: &Path,
    schema: &Schema,
    facts: &mut BTreeMap<String, Value>,
) -> Result<()> {
    let mut walk = Walk::new(container, facts);
    let listing = list(folder)?;
    for mut files in listing.kinds.into_values() {
        // Their names are known now that what refers to them has been read.
        files.sort_by_cached_key(|file| in_order(&file.key(&walk).unwrap_or_default()));
        files.iter().try_for_each(|file| read_file(&mut walk, folder, file, schema))?;
    }
    for name in listing.unknown {
        walk.unknown(&[name.as_str()], "a file of a kind that nobody knows");
    }
    Ok(())
}

/// What is in a folder.
#[derive(Default)]
struct Listing {
    /// Files that are compared, by the place of their kind in the registry.
    kinds: BTreeMap<usize, Vec<Found>>,
    /// Files that the registry does not know.
    unknown: Vec<String>,
}

fn list(folder: &Path) -> Result<Listing> {
    let failed = |source| Error::read(folder, source);
    let mut listing = Listing::default();
    for entry in fs::read_dir(folder).map_err(failed)? {
        let name = entry.map_err(failed)?.file_name().to_string_lossy().into_owned();
        match file_rule(&name) {
            Some((_, rule, _)) if rule.judged == Judged::Not => {}
            Some((order, rule, rest)) => {
                let (judged, stem, rest) = (rule.judged, rule.stem, rest.to_owned());
                let found = Found { name, judged, stem, rest };
                listing.kinds.entry(order).or_default().push(found);
            }
            None => listing.unknown.push(name),
        }
    }
    listing.unknown.sort();
    Ok(listing)
}

impl Found {
    /// What it is called by.
    fn key(&self, walk: &Walk<'_>) -> Option<String> {
        let (Judged::Entries(named) | Judged::Content(named)) = self.judged else { return None };
        let of = |class, id: &str| walk.named(class, id).unwrap_or_else(|| "unreferenced".into());
        match named {
            Named::Alone => None,
            Named::Lasting => Some(self.rest.clone()),
            Named::Id(class) => Some(of(class, &self.rest)),
            Named::HexId(class) => {
                let id = u64::from_str_radix(&self.rest, 16).map(|id| id.to_string());
                Some(of(class, id.as_ref().unwrap_or(&self.rest)))
            }
        }
    }
}

fn read_file(walk: &mut Walk<'_>, folder: &Path, found: &Found, schema: &Schema) -> Result<()> {
    let path = folder.join(&found.name);
    let file = File::open(&path).map_err(|source| Error::read(&path, source))?;
    let key = found.key(walk);
    match found.judged {
        Judged::Entries(_) => {
            match decode(schema, &found.name, BufReader::with_capacity(PIECE, file)) {
                Ok(image) => walk.image(found.stem, key.as_deref(), &image),
                Err(error) => walk.unknown(&[&found.name], &error.to_string()),
            }
        }
        Judged::Content(_) => {
            let (digest, length) = digest(file).map_err(|source| Error::read(&path, source))?;
            walk.content(found.stem, key.as_deref(), digest, length);
        }
        Judged::Not => {}
    }
    Ok(())
}

fn digest(mut file: File) -> io::Result<(Digest, u64)> {
    let (mut hasher, mut length) = (Xxh64::new(0), 0);
    let mut piece = vec![0; PIECE];
    loop {
        match file.read(&mut piece)? {
            0 => return Ok((Digest(hasher.digest()), length)),
            count => {
                hasher.update(&piece[..count]);
                length += count as u64;
            }
        }
    }
}
