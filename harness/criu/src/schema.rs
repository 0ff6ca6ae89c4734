//! The messages of CRIU's images, as the CRIU at hand declares them.
//!
//! Every CRIU comes with its own set. Debian ships it as Python modules (`pycriu/images/*_pb2.py`
//! in `python3-pycriu`, before trixie in `criu`), each with one serialized descriptor as a bytes
//! literal: [`descriptor_set_from_pycriu`] collects these into a `FileDescriptorSet`, the form in
//! which `protoc --descriptor_set_out` writes a schema too. [`Schema`] is such a set at work.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::{fs, io};

use prost::Message;
use prost_reflect::prost_types::FileDescriptorProto;
use prost_reflect::{DescriptorPool, Kind, MessageDescriptor};

mod python;

#[cfg(test)]
mod tests;

/// A schema could not be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file or folder could not be read.
    #[error("cannot read {path}: {source}", path = path.display())]
    Read {
        /// Which one.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The folder has no `*_pb2.py`.
    #[error("{path}: no *_pb2.py there", path = path.display())]
    NoModules {
        /// The folder.
        path: PathBuf,
    },
    /// A Python module does not hold a descriptor where one was expected.
    #[error("{path}: {why}", path = path.display())]
    BadModule {
        /// The module.
        path: PathBuf,
        /// What does not fit.
        why: String,
    },
    /// These files import each other in a circle.
    #[error("files import each other in a circle: {}", files.join(", "))]
    Circle {
        /// Names of `.proto` files.
        files: Vec<String>,
    },
    /// The bytes are no usable `FileDescriptorSet`.
    #[error("not a usable descriptor set: {0}")]
    BadSet(String),
}

/// Descriptors of all messages of one CRIU's images.
#[derive(Clone, Debug)]
pub struct Schema {
    pool: DescriptorPool,
}

impl Schema {
    /// Takes a serialized `FileDescriptorSet` that holds every import of its files.
    ///
    /// # Errors
    /// When it is none, lacks an import, or has a field of a kind that CRIU's images do not use
    /// (floating point, maps, groups) and that could not be carried through JSON unharmed.
    pub fn from_descriptor_set(bytes: &[u8]) -> Result<Schema, Error> {
        let pool =
            DescriptorPool::decode(bytes).map_err(|error| Error::BadSet(error.to_string()))?;
        let schema = Schema { pool };
        for field in schema.messages().flat_map(|message| message.fields().collect::<Vec<_>>()) {
            let float = matches!(field.kind(), Kind::Float | Kind::Double);
            if float || field.is_map() || field.is_group() {
                return Err(Error::BadSet(format!("unsupported kind of `{}`", field.full_name())));
            }
        }
        Ok(schema)
    }

    /// All messages of the images, those within other messages too.
    pub fn messages(&self) -> impl Iterator<Item = MessageDescriptor> + '_ {
        self.pool.all_messages().filter(|message| message.package_name() != GOOGLE)
    }

    /// The descriptor of a message, such as `core_entry`.
    #[must_use]
    pub fn message(&self, name: &str) -> Option<MessageDescriptor> {
        self.pool.get_message_by_name(name)
    }
}

const GOOGLE: &str = "google.protobuf";
const DESCRIPTOR: &str = "google/protobuf/descriptor.proto";
/// Messages of the RPC, whose names collide with those of images.
const RPC: &str = "rpc.proto";

/// Collects the descriptors in a folder `pycriu/images` into one serialized `FileDescriptorSet`,
/// imports first and complete.
///
/// # Errors
/// With the path of what could not be read. An import that is missing is found later, by
/// [`Schema::from_descriptor_set`].
pub fn descriptor_set_from_pycriu(folder: &Path) -> Result<Vec<u8>, Error> {
    let mut files = BTreeMap::new();
    for path in modules(folder)? {
        let file = read_module(&path)?;
        files.insert(file.name.clone(), file);
    }
    files.remove(RPC);
    if files.is_empty() {
        return Err(Error::NoModules { path: folder.to_owned() });
    }
    if let Some(file) = DescriptorPool::global().get_file_by_name(DESCRIPTOR) {
        let (name, bytes) = (DESCRIPTOR.to_owned(), file.encode_to_vec());
        files.insert(name.clone(), File { name, imports: Vec::new(), bytes });
    }
    let file = in_order(files)?.into_iter().map(|file| file.bytes).collect();
    Ok(RawSet { file }.encode_to_vec())
}

/// A `FileDescriptorSet` of files that stay as they are: types compiled in would lose the options
/// that CRIU adds to its fields.
#[derive(Clone, PartialEq, Message)]
struct RawSet {
    #[prost(bytes = "vec", repeated, tag = "1")]
    file: Vec<Vec<u8>>,
}

/// A serialized `FileDescriptorProto` and what its order depends on.
struct File {
    name: String,
    imports: Vec<String>,
    bytes: Vec<u8>,
}

fn read_module(path: &Path) -> Result<File, Error> {
    let bad = |why: String| Error::BadModule { path: path.to_owned(), why };
    let text = fs::read_to_string(path);
    let text = text.map_err(|source| Error::Read { path: path.to_owned(), source })?;
    let bytes = python::descriptor_bytes(&text).map_err(bad)?;
    let file = FileDescriptorProto::decode(bytes.as_slice())
        .map_err(|error| bad(format!("its literal is no descriptor: {error}")))?;
    let name = file.name().to_owned();
    Ok(File { name, imports: file.dependency, bytes })
}

/// The `*_pb2.py` of a folder, in order of their names.
fn modules(folder: &Path) -> Result<Vec<PathBuf>, Error> {
    let failed = |source| Error::Read { path: folder.to_owned(), source };
    let mut paths = Vec::new();
    for item in fs::read_dir(folder).map_err(failed)? {
        let path = item.map_err(failed)?.path();
        if path.to_string_lossy().ends_with("_pb2.py") {
            paths.push(path);
        }
    }
    paths.sort();
    Ok(paths)
}

/// Takes files whose imports have all been taken, until none is left.
fn in_order(mut files: BTreeMap<String, File>) -> Result<Vec<File>, Error> {
    let mut ordered = Vec::with_capacity(files.len());
    while !files.is_empty() {
        let waits = |file: &File| file.imports.iter().any(|import| files.contains_key(import));
        let ready: Vec<String> =
            files.values().filter(|file| !waits(file)).map(|file| file.name.clone()).collect();
        if ready.is_empty() {
            return Err(Error::Circle { files: files.into_keys().collect() });
        }
        ordered.extend(ready.iter().filter_map(|name| files.remove(name)));
    }
    Ok(ordered)
}
