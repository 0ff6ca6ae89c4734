//! Makes `registry/images/known.txt`: `image_fields VERSION=SCHEMA...`, the oldest CRIU first.
//!
//! SCHEMA is a serialized `FileDescriptorSet`. A field stands there with the version that had it
//! first.

use std::collections::BTreeMap;
use std::io::Write as _;

use criu::image::Schema;
use state::registry::images::fields_of;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut first: BTreeMap<String, String> = BTreeMap::new();
    for argument in std::env::args().skip(1) {
        let (version, path) = argument.split_once('=').ok_or("usage: VERSION=SCHEMA...")?;
        let schema = Schema::from_descriptor_set(&std::fs::read(path)?)?;
        for field in fields_of(&schema) {
            first.entry(field).or_insert_with(|| version.to_owned());
        }
    }
    let mut output = std::io::stdout().lock();
    for (field, version) in first {
        writeln!(output, "{field} {version}")?;
    }
    Ok(())
}
