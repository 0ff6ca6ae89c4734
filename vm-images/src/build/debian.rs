//! Trees of Debian packages: single packages unpacked, or whole systems by `mmdebstrap`.

use std::path::Path;
use std::process::Command;

use fs_err as fs;

use super::erofs;
use crate::apt::Apt;
use crate::{Error, Package, Progress, Step, Suite, command};

/// Version of the steps below; part of the key of what they make.
pub(crate) const RECIPE: u32 = 4;

/// What nobody reads in a guest.
const LEFT_OUT: [&str; 5] = [
    "/usr/share/doc/*",
    "/usr/share/man/*",
    "/usr/share/locale/*",
    "/usr/share/info/*",
    "/usr/share/bash-completion/*",
];

/// Removes what an image would tell about the host that it was built on.
const FORGET: &str = "cd \"$1\" && rm -rf var/lib/apt/lists var/cache/apt etc/apt/sources.list \
    etc/apt/apt.conf.d/99mmdebstrap etc/dpkg/dpkg.cfg.d/99mmdebstrap etc/hostname etc/resolv.conf";

/// A system to be made: Debian's essential packages, and these.
#[derive(Clone, Copy, Debug)]
pub(crate) struct System<'a> {
    pub(crate) suite: Suite,
    pub(crate) packages: &'a [&'a str],
}

impl System<'_> {
    /// Exactly what it will consist of.
    pub(crate) fn closure(
        &self,
        apt: &Apt,
        progress: &dyn Progress,
    ) -> Result<Vec<Package>, Error> {
        let wanted = [&["?essential"], self.packages].concat();
        apt.closure(self.suite, &wanted, progress)
    }

    /// Makes its image from the packages of its closure.
    ///
    /// They are downloaded beforehand and handed to `mmdebstrap` with the index that they were
    /// chosen from: nothing is fetched twice, and the download is seen.
    pub(crate) fn build(
        &self,
        apt: &Apt,
        closure: &[Package],
        image: &Path,
        step: &dyn Step,
    ) -> Result<(), Error> {
        let scratch = tempfile::tempdir_in(image.parent().unwrap_or(Path::new(".")))?;
        let at = |name: &str| scratch.path().join(name);
        fs::create_dir(at("archives"))?;
        apt.download(self.suite, closure, &at("archives"), step)?;
        fs::create_dir(at("lists"))?;
        for file in apt.lists(self.suite)? {
            fs::copy(&file, at("lists").join(file.file_name().unwrap_or_default()))?;
        }
        step.say("installing packages");
        let tar = at("root.tar");
        command::run(
            self.mmdebstrap(apt, &at("lists"), &at("archives"))?
                .arg(&tar)
                .args(apt.sources(self.suite)?),
        )?;
        step.say("writing the image");
        erofs::of_tar(&tar, image)
    }

    fn mmdebstrap(&self, apt: &Apt, lists: &Path, debs: &Path) -> Result<Command, Error> {
        let acquire = apt.acquire()?.lines().map(|line| line.trim_end_matches(';'));
        let mut command = command::tool("mmdebstrap");
        if crate::host::is_root() {
            // What an interrupted build leaves there is swept with its entry.
            command.env("TMPDIR", debs.parent().unwrap_or(debs));
        }
        command
            .args(["--quiet", "--variant=essential", "--format=tar", "--architectures=amd64"])
            .arg("--skip=update,download/empty,cleanup/apt/lists")
            .args(acquire.map(|line| format!("--aptopt={line}")))
            .arg(format!("--include={}", self.packages.join(",")))
            .arg("--dpkgopt=force-unsafe-io")
            .args(LEFT_OUT.map(|path| format!("--dpkgopt=path-exclude={path}")))
            .arg(format!("--setup-hook=copy-in {} /var/lib/apt", quoted(lists)))
            .arg(format!("--setup-hook=copy-in {} /var/cache/apt", quoted(debs)))
            .arg(format!("--customize-hook={FORGET}"))
            .arg(self.suite.name());
        Ok(command)
    }
}

/// Unpacks the files of a package, as they are.
pub(crate) fn unpack(deb: &Path, tree: &Path) -> Result<(), Error> {
    command::run(command::tool("dpkg-deb").arg("-x").arg(deb).arg(tree))
}

/// A path as one word of the shell.
pub(super) fn quoted(path: &Path) -> String {
    format!("'{}'", path.to_string_lossy().replace('\'', "'\\''"))
}
