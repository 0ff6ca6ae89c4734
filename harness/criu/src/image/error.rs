//! Why an image could not be read or written.

use std::fmt;

/// An image is not what it should be: which file, where in it, and what is wrong there.
#[derive(Debug, thiserror::Error)]
#[error("{name}: {place}: {problem}")]
pub struct Error {
    /// The file, as the caller named it.
    pub name: String,
    /// Where in the file.
    pub place: Place,
    /// What is wrong.
    pub problem: Problem,
}

/// A place in an image file or in its JSON form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// Bytes from the start of the file.
    Offset(u64),
    /// A path in the JSON form, such as `entries[3].mm.vmas[0].start`.
    Json(String),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::Offset(offset) => write!(f, "at byte {offset}"),
            Place::Json(path) if path.is_empty() => f.write_str("in JSON"),
            Place::Json(path) => write!(f, "in {path}"),
        }
    }
}

/// What is wrong at a [`Place`].
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Problem {
    /// Reading or writing failed.
    #[error("{0}")]
    Io(std::io::Error),
    /// The file ends before what was announced.
    #[error("truncated: {what} needs {wanted} bytes, {found} are left")]
    Truncated {
        /// What was being read.
        what: &'static str,
        /// Its announced length.
        wanted: u64,
        /// What the file still had.
        found: u64,
    },
    /// A magic number of no known image.
    #[error("unknown magic number {0:#010x}")]
    UnknownMagic(u32),
    /// A name of no known image in JSON's `magic`.
    #[error("unknown image `{0}`")]
    UnknownImage(String),
    /// Images before version 1.1 and raw files have no such head.
    #[error("not an image: it begins with {0:#010x}, not with one of CRIU's magic numbers")]
    NotAnImage(u32),
    /// A message longer than any that CRIU writes.
    #[error("absurd size: a message of {size} bytes, at most {limit} are accepted")]
    TooLarge {
        /// The announced size.
        size: u64,
        /// The limit.
        limit: u64,
    },
    /// The schema has no such message: the image is of a newer CRIU than the schema.
    #[error("{image} needs message `{message}`, which this schema does not have")]
    NoMessage {
        /// Name of the image.
        image: &'static str,
        /// Name of the message.
        message: &'static str,
    },
    /// The bytes are no such message.
    #[error("not a `{message}`: {why}")]
    BadMessage {
        /// Name of the message.
        message: String,
        /// What the decoder said.
        why: String,
    },
    /// Bytes that only fill up to a boundary are not zero.
    #[error("padding is not zero")]
    Padding,
    /// A payload does not fit to what its message says about it.
    #[error("the message announces {announced} {what}, the payload has {found}")]
    PayloadMismatch {
        /// What is counted.
        what: &'static str,
        /// According to the message.
        announced: u64,
        /// According to the payload.
        found: u64,
    },
    /// JSON that cannot become an image.
    #[error("{0}")]
    Json(String),
}
