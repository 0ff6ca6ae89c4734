//! Trees of Debian packages: single packages unpacked, or whole systems by `mmdebstrap`.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
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

/// A folder of manuals, without manuals: `update-alternatives` puts links into it for some packages
/// (OpenJDK's), which cannot be installed otherwise.
const MANUALS: &str = "mkdir -p \"$1\"/usr/share/man/man1";

/// Removes what an image would tell about the host that it was built on.
const FORGET: &str = "cd \"$1\" && rm -rf var/lib/apt/lists var/cache/apt etc/apt/sources.list \
    etc/apt/apt.conf.d/99mmdebstrap etc/dpkg/dpkg.cfg.d/99mmdebstrap etc/hostname etc/resolv.conf";

/// A system to be made: Debian's essential packages, and these.
#[derive(Clone, Copy, Debug)]
pub(crate) struct System<'a> {
    pub(crate) suite: Suite,
    pub(crate) packages: &'a [&'a str],
    /// Files of the host that are put there as well, by their absolute path in it.
    pub(crate) files: &'a BTreeMap<String, PathBuf>,
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

    /// Hooks of `mmdebstrap` that put the files there. Each belongs to root and may be run by all if
    /// its owner on the host may run it.
    fn put_files(&self) -> Result<Vec<String>, Error> {
        let mut hooks = Vec::new();
        for (place, path) in self.files {
            let folder = quoted(Path::new(place).parent().unwrap_or(Path::new("/")));
            let (source, place) = (quoted(path), quoted(Path::new(place)));
            hooks.push(format!("--customize-hook=chroot \"$1\" mkdir -p {folder}"));
            hooks.push(format!("--customize-hook=upload {source} {place}"));
            let mode = mode_of(path)?;
            hooks.push(format!("--customize-hook=chroot \"$1\" chmod {mode:o} {place}"));
        }
        Ok(hooks)
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
            .arg(format!("--setup-hook={MANUALS}"))
            .args(LEFT_OUT.map(|path| format!("--dpkgopt=path-exclude={path}")))
            .arg(format!("--setup-hook=copy-in {} /var/lib/apt", quoted(lists)))
            .arg(format!("--setup-hook=copy-in {} /var/cache/apt", quoted(debs)))
            .arg(format!("--customize-hook={FORGET}"))
            .args(self.put_files()?)
            .arg(self.suite.name());
        Ok(command)
    }
}

/// Unpacks the files of a package, as they are.
pub(crate) fn unpack(deb: &Path, tree: &Path) -> Result<(), Error> {
    command::run(command::tool("dpkg-deb").arg("-x").arg(deb).arg(tree))
}

/// The mode that a file of the host gets in an image: what a check-out makes of it otherwise is
/// this host's affair.
pub(crate) fn mode_of(path: &Path) -> Result<u32, Error> {
    let may_run = fs::metadata(path)?.permissions().mode() & 0o100 != 0;
    Ok(if may_run { 0o755 } else { 0o644 })
}

/// A path as one word of the shell.
pub(super) fn quoted(path: &Path) -> String {
    format!("'{}'", path.to_string_lossy().replace('\'', "'\\''"))
}
