//! A suite's CRIU built with libselinux, from the suite's source package.
//!
//! Debian builds it without: on a node with SELinux that dumps and restores without an error, and
//! loses the labels. It is built in a root of the suite by `mmdebstrap`, as images are: nothing on
//! the host changes, and no root is needed.

use std::path::Path;

use super::{criu, protos};
use crate::apt::Apt;
use crate::{Error, Package, Step, Suite, cache, command};

/// Version of the steps below; part of the key of what they make.
pub(crate) const RECIPE: u32 = 1;

/// What the build needs beyond Debian's essential packages and apt.
pub(crate) const PACKAGES: [&str; 15] = [
    "build-essential",
    "pkg-config",
    "python3",
    "protobuf-compiler",
    "protobuf-c-compiler",
    "libprotobuf-dev",
    "libprotobuf-c-dev",
    "libbsd-dev",
    "libcap-dev",
    "libgnutls28-dev",
    "libnet1-dev",
    "libnftables-dev",
    "libnl-3-dev",
    "libselinux1-dev",
    "uuid-dev",
];

/// Fetches the source with Debian's changes to it, builds the binary, and puts it, its libraries
/// and its `.proto`s where they are copied from. Mirrors that are not whole may lack the changes:
/// upstream's source does, and is told.
const MAKE: &str = r#"
set -eu
cd /srv
mkdir source lib
cd source
if ! apt-get -q=2 source "criu=$VERSION"; then
    rm -rf ./*
    apt-get -q=2 --tar-only --download-only source "criu=$VERSION"
    tar -xf criu_*.orig.tar.*
    touch ../lib/.unchanged
fi
cd ..
mv source/criu-*/ tree
make -C tree -j "$(nproc)" criu
ldd tree/criu/criu | grep -q libselinux
ldd tree/criu/criu | grep -o '/[^ ]*' | while read -r library; do cp -L "$library" lib/; done
"#;

/// The file beside the libraries that says that the source is upstream's.
const UNCHANGED: &str = ".unchanged";

/// Makes an entry; gives whether Debian's changes are in the source that it was built from.
pub(crate) fn build(
    apt: &Apt,
    suite: Suite,
    package: &Package,
    entry: &Path,
    step: &dyn Step,
) -> Result<bool, Error> {
    let scratch = tempfile::tempdir_in(entry)?;
    let out = scratch.path();
    step.say("building it from source with libselinux, in a root of its suite");
    let acquire = apt.acquire()?.lines().map(|line| line.trim_end_matches(';'));
    let version = source_version(&package.version);
    let copied = super::debian::quoted(out);
    let mut command = command::tool("mmdebstrap");
    if crate::host::is_root() {
        command.env("TMPDIR", out);
    }
    command
        .env("VERSION", version)
        .args(["--quiet", "--variant=apt", "--format=null", "--architectures=amd64"])
        .args(acquire.map(|line| format!("--aptopt={line}")))
        .arg(format!("--include={}", PACKAGES.join(",")))
        .arg("--dpkgopt=force-unsafe-io")
        .arg(format!("--customize-hook=chroot \"$1\" sh -c '{}'", MAKE.replace('\'', r"'\''")))
        .arg(format!("--customize-hook=copy-out /srv/tree /srv/lib {copied}"))
        .args([suite.name(), "/dev/null"])
        .args(apt.sources(suite)?)
        .args(apt.sources_of_source(suite)?);
    command::run(&mut command)?;
    let tree = out.join("tree");
    let has_changes = !out.join("lib").join(UNCHANGED).exists();
    let mut libraries = cache::files(&out.join("lib"))?;
    libraries.retain(|library| !library.ends_with(UNCHANGED));
    let schema = protos::descriptor_set(&tree)?;
    criu::write_disk(&tree.join(criu::BINARY_OF_TREE), &libraries, &schema, entry)?;
    Ok(has_changes)
}

/// The version of the source of a package: without the number of a rebuild, `+b2`.
fn source_version(version: &str) -> &str {
    match version.rsplit_once("+b") {
        Some((source, number)) if number.bytes().all(|byte| byte.is_ascii_digit()) => source,
        _ => version,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rebuild_is_of_the_same_source() {
        assert_eq!(source_version("4.1.1-1+b2"), "4.1.1-1");
        assert_eq!(source_version("3.17.1-2+deb12u2"), "3.17.1-2+deb12u2");
        assert_eq!(source_version("4.3-1~bpo13+1"), "4.3-1~bpo13+1");
    }
}
