//! The image schema of a CRIU that the user built, from the `.proto` files of its tree.
//!
//! They are compiled here, by no program of the host. What comes out is what `protoc
//! --descriptor_set_out --include_imports` writes: CRIU's own options on fields stay in it.

use std::path::{Path, PathBuf};

use fs_err as fs;

use crate::Error;

/// Messages of the RPC, whose names collide with those of images.
const RPC: &str = "rpc.proto";

/// Compiles `images/*.proto` of a tree into one serialized `FileDescriptorSet`.
///
/// # Errors
/// [`Error::BadPath`] with the tree, and the file, line and column of what cannot be compiled.
pub(crate) fn descriptor_set(tree: &Path) -> Result<Vec<u8>, Error> {
    let wrong = |why: String| Error::BadPath { what: "criu", path: tree.to_owned(), why };
    let folder = tree.join("images");
    let files = files(&folder).map_err(|error| wrong(error.to_string()))?;
    if files.is_empty() {
        return Err(wrong("holds no images/*.proto".to_owned()));
    }
    let compiled = protox::Compiler::new([&folder]).and_then(|mut compiler| {
        compiler.include_imports(true).include_source_info(false).open_files(&files)?;
        Ok(compiler.encode_file_descriptor_set())
    });
    let set = compiled.map_err(|error| wrong(format!("images/{error:?}")))?;
    ::criu::schema::Schema::from_descriptor_set(&set).map_err(|error| wrong(error.to_string()))?;
    Ok(set)
}

/// The `.proto`s of messages in images, sorted by name.
fn files(folder: &Path) -> std::io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let is_proto = path.extension().is_some_and(|extension| extension == "proto");
        if is_proto && path.file_name().is_some_and(|name| name != RPC) {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    const OPTIONS: &str = "syntax = \"proto2\";\nimport \"google/protobuf/descriptor.proto\";\n\
        message CRIU_Opts { optional bool hex = 1; }\n\
        extend google.protobuf.FieldOptions { optional CRIU_Opts criu = 50000; }\n";
    const CORE: &str = "syntax = \"proto2\";\nimport \"opts.proto\";\n\
        message core_entry { required uint64 pc = 1 [(criu).hex = true]; }\n";

    fn tree(files: &[(&str, &str)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("images")).unwrap();
        for (name, text) in files {
            fs::write(folder.path().join("images").join(name), text).unwrap();
        }
        folder
    }

    #[test]
    fn the_schema_of_a_tree_is_complete_and_keeps_the_options_of_fields() {
        let rpc = "syntax = \"proto2\";\nmessage core_entry {}\n";
        let tree = tree(&[("core.proto", CORE), ("opts.proto", OPTIONS), (RPC, rpc)]);
        let set = descriptor_set(tree.path()).unwrap();
        let schema = ::criu::schema::Schema::from_descriptor_set(&set).unwrap();
        let message = schema.message("core_entry").unwrap();
        let field = message.get_field_by_name("pc").unwrap();
        let option = field.options();
        let (_, value) = option.extensions().next().unwrap();
        assert!(value.as_message().unwrap().get_field_by_name("hex").unwrap().as_bool().unwrap());
    }

    #[test]
    fn what_cannot_be_compiled_is_named() {
        let broken = tree(&[("core.proto", "syntax = \"proto2\";\nmessage {\n")]);
        let error = descriptor_set(broken.path()).unwrap_err();
        assert!(error.is_usage() && error.to_string().contains("core.proto:2"), "{error}");
        let lacking = tree(&[("core.proto", CORE)]);
        let error = descriptor_set(lacking.path()).unwrap_err().to_string();
        assert!(error.contains("opts.proto"), "{error}");
        let error = descriptor_set(tree(&[]).path()).unwrap_err().to_string();
        assert!(error.contains("no images/*.proto"), "{error}");
    }
}
