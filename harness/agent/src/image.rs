//! CRIU's image files as JSON and back, for people and hooks.

use std::io::{BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::{Args, Subcommand};
use criu::image::{Image, Schema, decode};
use fs_err as fs;

/// What to do with an image file.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Descriptors of CRIU's messages; those of the CRIU under test by default.
    #[arg(long, global = true, default_value = "/criu/schema.binpb")]
    schema: PathBuf,
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Write an image as JSON, in the shape of `crit decode`, to standard output.
    Decode {
        /// The image file.
        file: PathBuf,
    },
    /// Write JSON as an image, byte for byte what it was decoded from, to standard output.
    Encode {
        /// The JSON file.
        file: PathBuf,
    },
}

/// Does it.
pub(crate) fn main(arguments: &Arguments) -> anyhow::Result<()> {
    let bytes = fs::read(&arguments.schema)?;
    let schema = Schema::from_descriptor_set(&bytes)
        .with_context(|| format!("schema {}", arguments.schema.display()))?;
    let mut output = BufWriter::new(std::io::stdout().lock());
    match &arguments.action {
        Action::Decode { file } => {
            read(&schema, file)?.write_json(&mut output)?;
            writeln!(output)?;
        }
        Action::Encode { file } => {
            let text = fs::read_to_string(file)?;
            let image = Image::from_json(&schema, &file.to_string_lossy(), &text)?;
            image.write(&mut output).with_context(|| file.display().to_string())?;
        }
    }
    Ok(output.flush()?)
}

fn read(schema: &Schema, file: &Path) -> anyhow::Result<Image> {
    let reader = BufReader::new(fs::File::open(file)?);
    Ok(decode(schema, &file.to_string_lossy(), reader)?)
}
