//! A CRIU with its own libraries, as a disk to be mounted on `/criu`.
//!
//! The binary is started by the dynamic loader that it was built for, with a path of libraries that
//! holds for it alone: the programs that CRIU starts (`ip`, `tar`, `iptables-restore`) use the
//! node's. An environment variable would reach them, too.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use fs_err as fs;

use super::erofs;
use crate::{Error, command};

/// Version of the steps below; part of the key of what they make.
pub(crate) const RECIPE: u32 = 2;

/// The disk in an entry.
pub(crate) const IMAGE: &str = "criu.erofs";
/// The serialized descriptors of CRIU's image messages in an entry; `/schema.binpb` on the disk.
pub(crate) const SCHEMA: &str = "schema.binpb";

/// The binary in a tree that the user built.
pub(crate) const BINARY_OF_TREE: &str = "criu/criu";

const LOADER: &str = "ld-linux-x86-64.so.2";

const LAUNCHER: &str = "#!/bin/sh\n\
    exec /criu/lib/ld-linux-x86-64.so.2 --library-path /criu/lib /criu/bin/criu \"$@\"\n";
/// For a binary that needs no libraries.
const STATIC_LAUNCHER: &str = "#!/bin/sh\nexec /criu/bin/criu \"$@\"\n";

/// Packages of a closure that may hold a library of CRIU; the interpreters that `crit` needs do not.
pub(crate) fn is_wanted(package: &str) -> bool {
    let is_library = package.starts_with("lib")
        && !["libpython", "libperl"].iter().any(|start| package.starts_with(start));
    is_library || package == "criu" || package == "python3-pycriu"
}

/// Makes an entry from the `.deb`s of CRIU and its libraries.
pub(crate) fn from_packages(debs: &[PathBuf], entry: &Path) -> Result<(), Error> {
    let tree = tempfile::tempdir_in(entry)?;
    for deb in debs {
        super::debian::unpack(deb, tree.path())?;
    }
    let folders: Vec<_> = ["lib/x86_64-linux-gnu", "usr/lib/x86_64-linux-gnu"]
        .map(|folder| tree.path().join(folder))
        .into_iter()
        .filter(|folder| folder.is_dir())
        .collect();
    let loader = folders.iter().map(|folder| folder.join(LOADER)).find(|path| path.is_file());
    let loader = loader.ok_or_else(|| Error::content(&"libc6", &format!("holds no {LOADER}")))?;
    let binary = tree.path().join("usr/sbin/criu");
    let path = std::env::join_paths(&folders).map_err(|error| Error::content(&"cache", &error))?;
    let mut list = command::tool("env");
    list.arg(loader).arg("--list").arg("--library-path").arg(path).arg(&binary);
    let schema = schema_of_pycriu(&pycriu(tree.path())?.join("images"))?;
    write_disk(&binary, &libraries(&binary, &command::output(&mut list)?)?, &schema, entry)
}

/// Makes an entry from a binary that the user built, and the libraries that it finds on this host.
pub(crate) fn from_binary(binary: &Path, schema: &[u8], entry: &Path) -> Result<(), Error> {
    write_disk(binary, &libraries_of(binary)?, schema, entry)
}

/// The libraries that a binary finds on this host; none where it is static.
pub(crate) fn libraries_of(binary: &Path) -> Result<Vec<PathBuf>, Error> {
    match command::output(command::tool("ldd").arg(binary)) {
        Ok(listed) => libraries(binary, &listed),
        Err(error) if error.to_string().contains("not a dynamic executable") => Ok(Vec::new()),
        Err(error) => {
            let why = format!("its libraries cannot be listed: {error}");
            Err(Error::BadPath { what: "criu", path: binary.to_owned(), why })
        }
    }
}

/// What a binary says of its version.
pub(crate) fn version_of(binary: &Path) -> Result<String, Error> {
    let wrong = |why: String| Error::BadPath { what: "criu", path: binary.to_owned(), why };
    let told = command::output(command::tool("env").arg(binary).arg("--version"))
        .map_err(|error| wrong(format!("does not tell its version: {error}")))?;
    let version = told.lines().find_map(|line| line.strip_prefix("Version: "));
    let version =
        version.ok_or_else(|| wrong("does not tell its version as CRIU does".to_owned()))?;
    Ok(version.trim().to_owned())
}

/// What the dynamic loader says that it would load.
fn libraries(binary: &Path, listed: &str) -> Result<Vec<PathBuf>, Error> {
    let mut found = Vec::new();
    let mut missing = Vec::new();
    for line in listed.lines().map(str::trim) {
        match line.split_once(" => ") {
            Some((name, "not found")) => missing.push(name.to_owned()),
            Some((_, path)) => found.extend(path.rsplit_once(" (").map(|(path, _)| path.into())),
            None => found.extend(
                line.starts_with('/')
                    .then(|| line.rsplit_once(" (").map(|(path, _)| path.into()))
                    .flatten(),
            ),
        }
    }
    if missing.is_empty() {
        return Ok(found);
    }
    Err(Error::BadPath {
        what: "criu",
        path: binary.to_owned(),
        why: format!("needs libraries that are not here: {}", missing.join(", ")),
    })
}

/// The folder of CRIU's Python code in an unpacked tree.
fn pycriu(tree: &Path) -> Result<PathBuf, Error> {
    let mut places = vec![tree.join("usr/lib/python3/dist-packages/pycriu")];
    places.extend(
        fs::read_dir(tree.join("usr/lib"))?
            .flatten()
            .map(|e| e.path().join("dist-packages/pycriu")),
    );
    places
        .into_iter()
        .find(|place| place.join("images").is_dir())
        .ok_or_else(|| Error::content(&"criu", &"its packages hold no pycriu/images"))
}

fn schema_of_pycriu(folder: &Path) -> Result<Vec<u8>, Error> {
    ::criu::schema::descriptor_set_from_pycriu(folder)
        .map_err(|error| Error::content(&folder.display(), &error))
}

/// Makes the disk of a binary with its libraries and its schema.
pub(super) fn write_disk(
    binary: &Path,
    libraries: &[PathBuf],
    schema: &[u8],
    entry: &Path,
) -> Result<(), Error> {
    let root = tempfile::tempdir_in(entry)?;
    let at = |name: &str| root.path().join(name);
    fs::create_dir(at("bin"))?;
    fs::create_dir(at("lib"))?;
    fs::copy(binary, at("bin/criu"))?;
    for library in libraries {
        let name = library.file_name().unwrap_or_default();
        fs::copy(library, at("lib").join(name))?;
    }
    fs::write(at("criu"), if libraries.is_empty() { STATIC_LAUNCHER } else { LAUNCHER })?;
    fs::write(at(SCHEMA), schema)?;
    for path in ["criu", "bin/criu", "bin", "lib"] {
        fs::set_permissions(at(path), PermissionsExt::from_mode(0o755))?;
    }
    fs::write(entry.join(SCHEMA), schema)?;
    erofs::of_root_owned(root.path(), &entry.join(IMAGE))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LISTED: &str = "\tlinux-vdso.so.1 (0x00007fa3c26b4000)
\tlibc.so.6 => /a tree/lib/libc.so.6 (0x00007fa3c1fdd000)
\t/lib64/ld-linux-x86-64.so.2 => /a tree/lib/ld-linux-x86-64.so.2 (0x00007fa3c26b6000)
";

    #[test]
    fn the_loader_lists_files_to_take() {
        let expected = ["/a tree/lib/libc.so.6", "/a tree/lib/ld-linux-x86-64.so.2"];
        assert_eq!(libraries(Path::new("criu"), LISTED).unwrap(), expected.map(PathBuf::from));
        let ldd = "\t/lib64/ld-linux-x86-64.so.2 (0x00007fa3c26b6000)\n";
        assert_eq!(
            libraries(Path::new("criu"), ldd).unwrap(),
            [PathBuf::from("/lib64/ld-linux-x86-64.so.2")]
        );
    }

    #[test]
    fn a_missing_library_is_named() {
        let error = libraries(Path::new("/b/criu"), "\tlibnet.so.9 => not found\n").unwrap_err();
        assert!(error.is_usage());
        let told = error.to_string();
        assert!(told.contains("/b/criu") && told.contains("libnet.so.9"), "{told}");
    }

    #[test]
    fn interpreters_are_no_libraries_of_criu() {
        for (package, wanted) in
            [("libc6", true), ("criu", true), ("libpython3.11-stdlib", false), ("python3", false)]
        {
            assert_eq!(is_wanted(package), wanted, "{package}");
        }
    }
}
