//! Shows what CRIU's images say, or compares two dumps: `images SCHEMA FOLDER [FOLDER]`.
//!
//! SCHEMA is a serialized `FileDescriptorSet`, FOLDER holds the images of one container.

use std::io::Write as _;
use std::path::PathBuf;

use criu::image::Schema;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<PathBuf> = std::env::args_os().skip(1).map(PathBuf::from).collect();
    let [schema, folders @ ..] = arguments.as_slice() else {
        return Err("usage: images SCHEMA FOLDER [FOLDER]".into());
    };
    let schema = Schema::from_descriptor_set(&std::fs::read(schema)?)?;
    let read =
        |folder: &PathBuf| state::images::read(&[("main".to_owned(), folder.clone())], &schema);
    let mut output = std::io::stdout().lock();
    match folders {
        [folder] => writeln!(output, "{:#?}", read(folder)?.facts)?,
        [before, after] => {
            let level = state::images::compare(&read(before)?, &read(after)?, 60_000_000_000);
            writeln!(output, "{} fields", level.fields)?;
            for difference in level.tolerated.iter().chain(&level.differences) {
                writeln!(output, "{}", difference.sentence())?;
            }
        }
        _ => return Err("at most two folders".into()),
    }
    Ok(())
}
