//! Codec of CRIU's image files.
//!
//! An image file is one or two magic numbers and then entries until its end:
//!
//! ```text
//! file    = 0x58313116 entry*                   inventory.img
//!         | 0x54564319 magic entry*             every other image
//!         | 0x55105940 magic entry*             service files, such as stats-dump
//! entry   = size:u32 message[size] payload?     all numbers little-endian
//! ```
//!
//! What the messages are comes with each CRIU as a [`Schema`]; what is known here is which magic
//! number means which message, and which entries carry a payload behind their message. There is no
//! checksum and no total length: a file that was cut between two entries cannot be told from a
//! whole one.
//!
//! Files without a magic number ([`is_raw`]) are memory pages, archives and the output of other
//! programs: they are not images, and [`decode`] refuses them.
//!
//! ```no_run
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use criu::image::{self, Image, Schema};
//!
//! let schema = Schema::from_descriptor_set(&std::fs::read("schema.binpb")?)?;
//! let file = std::fs::File::open("files.img")?;
//! let image = image::decode(&schema, "files.img", std::io::BufReader::new(file))?;
//! let json = image.to_json();
//!
//! let again = Image::from_json(&schema, "files.json", &json)?;
//! again.write(&mut std::fs::File::create("files-again.img")?)?;
//! # Ok(())
//! # }
//! ```

mod error;
pub mod field;
mod file;
mod json;
mod kind;
mod pages;
mod parse;
mod payload;
mod source;
mod text;

#[cfg(test)]
mod tests;

pub use error::{Error, Place, Problem};
pub use file::{Entry, Image, MAX_MESSAGE_BYTES, decode};
pub use kind::is_raw;
pub use pages::{PageAt, PageRun, Pagemap, read_page};
pub use payload::Payload;

pub use crate::schema::Schema;
