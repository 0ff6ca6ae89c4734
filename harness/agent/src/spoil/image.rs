//! Fields of CRIU's images, between dump and restore.
//!
//! The descriptors of the CRIU under test say which fields there are: each field of each message is
//! offered where it occurs first in a kind of image, and each of its kinds has changes of its own.

mod edit;
mod walk;

use std::collections::BTreeSet;
use std::io::{BufReader, Write};
use std::path::{Path, PathBuf};

use anyhow::Context;
use criu::image::{Image, Schema, decode, is_raw};
use fs_err as fs;
use model::mutant::Family;

use super::act::{Act, Offers};

pub(super) use edit::Edit;

/// Descriptors of the CRIU under test.
const SCHEMA: &str = "/criu/schema.binpb";

/// Controls that write an image back as it was.
const CONTROLS: usize = 6;

pub(super) fn offer(folder: &Path, offers: &mut Offers) -> anyhow::Result<()> {
    let schema = schema()?;
    offers.control(Family::Image, "image-untouched", "nothing is done", &Act::Nothing);
    let mut seen = BTreeSet::new();
    for (count, path) in images(folder)?.iter().enumerate() {
        let image = read(&schema, path)?;
        let file = path.file_name().unwrap_or_default().to_string_lossy();
        if count < CONTROLS {
            let same = Act::Same(Box::new(Act::Image(Edit::none(path))));
            let name = format!("image-{file}");
            offers.control(Family::Image, &name, &format!("{file} is decoded and encoded"), &same);
        }
        for found in walk::changes(&image) {
            let field = found.field();
            let word = found.word();
            if !seen.insert(format!("{} {field} {word}", image.magic())) {
                continue;
            }
            let name = format!("{}/{field}/{word}", image.magic().to_lowercase());
            let what = format!("{file}, entry {}: {}", found.entry, found.what);
            offers.image(name, what, &Act::Image(found.into_edit(path)));
        }
    }
    Ok(())
}

/// Writes what images say to the standard output: to the host, who compares.
pub(super) fn tell(folder: &Path) -> anyhow::Result<()> {
    let containers = [(String::new(), folder.to_owned())];
    let capture = state::images::read(&containers, &schema()?)?;
    let bytes = postcard::to_stdvec(&capture).context("cannot encode the facts")?;
    Ok(std::io::stdout().lock().write_all(&bytes)?)
}

/// The images of a folder that have entries, in order.
fn images(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if name.ends_with(".img") && !is_raw(&name) {
            found.push(path.clone());
        }
    }
    found.sort();
    Ok(found)
}

fn schema() -> anyhow::Result<Schema> {
    Schema::from_descriptor_set(&fs::read(SCHEMA)?).context(SCHEMA)
}

fn read(schema: &Schema, path: &Path) -> anyhow::Result<Image> {
    let reader = BufReader::new(fs::File::open(path)?);
    Ok(decode(schema, &path.to_string_lossy(), reader)?)
}
