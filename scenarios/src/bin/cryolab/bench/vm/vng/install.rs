//! Getting vng: into Cryolab's cache and never into the system, without root.
//!
//! Three things, each kept once it is complete: virtme-ng from PyPI in a virtual environment; the
//! virtiofsd that it needs, built from crates.io where the host has none (Debian 12 has only one
//! that QEMU brought, which does not do); and a static busybox out of Debian's package. The
//! kernel's modules are laid out as vng looks for them.

use std::ffi::{OsStr, OsString};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, bail, ensure};
use fs_err as fs;
use vm_images::{KernelImage, Progress};

/// What is installed, so that figures of different days can be compared.
pub(super) const VNG: &str = "virtme-ng==1.42";
const VIRTIOFSD: &str = "virtiofsd@1.14.0";

/// What building virtiofsd links, as packages of Debian.
const LIBRARIES: [&str; 2] = ["libcap-ng-dev", "libseccomp-dev"];

/// Programs that vng calls, or that are called here, and Debian's packages that have them.
const PROGRAMS: [(&str, &str); 6] = [
    ("python3", "python3"),
    ("file", "file"),
    ("modprobe", "kmod"),
    ("depmod", "kmod"),
    ("fsck.erofs", "erofs-utils"),
    ("xz", "xz-utils"),
];

/// Folders of the host that its guests do not see.
const HIDDEN: [&str; 2] = ["/tmp", "/run"];

/// Written into a folder of the cache when all is in it.
const COMPLETE: &str = ".complete";

/// A vng, and what it needs.
#[derive(Debug)]
pub(super) struct Installed {
    pub(super) vng: PathBuf,
    /// The `PATH` that it is run with.
    pub(super) path: OsString,
    /// A static one.
    pub(super) busybox: PathBuf,
}

impl Installed {
    /// Installs what is not there.
    pub(super) fn ensure(cache: &Path, progress: &dyn Progress) -> anyhow::Result<Installed> {
        for (program, package) in PROGRAMS {
            find(Path::new(program)).with_context(|| format!("install the package {package}"))?;
        }
        let cache = Cache { folder: cache.join("bench"), progress };
        for hidden in HIDDEN {
            let inside = cache.folder.starts_with(hidden);
            ensure!(!inside, "the cache is in {hidden}, of which its guests have one of their own");
        }
        let environment = cache.entry(VNG, |folder| {
            let made = run(Command::new("python3").args(["-m", "venv"]).arg(folder));
            made.context("make a virtual environment (package python3-venv)")?;
            let mut pip = Command::new(folder.join("bin/pip"));
            run(pip.args(["install", "--quiet", "--disable-pip-version-check", VNG]))
        })?;
        let busybox = cache.entry("busybox-static", |folder| {
            unpack(&["busybox-static"], folder)?;
            fs::copy(either(folder, &["bin/busybox", "usr/bin/busybox"])?, folder.join("busybox"))?;
            Ok(())
        })?;
        let mut folders = vec![environment.join("bin")];
        folders.extend(virtiofsd(&cache)?);
        let ours = std::env::var_os("PATH").unwrap_or_default();
        folders.extend(std::env::split_paths(&ours));
        // Users of Debian lack this one.
        folders.push("/usr/sbin".into());
        Ok(Installed {
            vng: environment.join("bin/vng"),
            path: std::env::join_paths(folders).context("PATH")?,
            busybox: busybox.join("busybox"),
        })
    }
}

/// The folder of a virtiofsd, unless the host has one where vng looks for it.
fn virtiofsd(cache: &Cache<'_>) -> anyhow::Result<Option<PathBuf>> {
    let known = ["virtiofsd", "/usr/libexec/virtiofsd", "/usr/lib/virtiofsd/virtiofsd"];
    let works = |program: &str| run(Command::new(program).arg("--version")).is_ok();
    if known.into_iter().any(works) {
        return Ok(None);
    }
    let built = cache.entry(VIRTIOFSD, |folder| {
        let packages = folder.join("packages");
        fs::create_dir(&packages)?;
        unpack(&LIBRARIES, &packages)?;
        let libraries = folder.join("libraries");
        fs::create_dir(&libraries)?;
        // Only the static ones, so that the program runs where these packages are not installed.
        for library in ["libcap-ng.a", "libseccomp.a"] {
            let inside = packages.join("usr/lib/x86_64-linux-gnu").join(library);
            fs::copy(inside, libraries.join(library))?;
        }
        let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        cargo.args(["install", "--quiet", "--locked", VIRTIOFSD, "--root"]).arg(folder);
        run(cargo.env("LIBRARY_PATH", &libraries).current_dir(folder))
    })?;
    Ok(Some(built.join("bin")))
}

/// The kernel as vng likes it: its modules beside it, not compressed, as its busybox loads no
/// others. The path of the bzImage.
pub(super) fn kernel_tree(
    cache: &Path,
    kernel: &KernelImage,
    progress: &dyn Progress,
) -> anyhow::Result<PathBuf> {
    let cache = Cache { folder: cache.join("bench"), progress };
    let entry = kernel.image.parent().and_then(Path::file_name).unwrap_or_default();
    let name = format!("kernel-{}", entry.to_string_lossy());
    let tree = cache.entry(&name, |folder| {
        let (boot, lib) = (folder.join("boot"), folder.join("lib"));
        fs::create_dir(&boot)?;
        fs::create_dir(&lib)?;
        symlink(&kernel.image, boot.join("vmlinuz"))?;
        let modules = lib.join("modules");
        let mut extract = OsString::from("--extract=");
        extract.push(&modules);
        run(Command::new("fsck.erofs").arg(extract).arg(&kernel.modules))?;
        let mut unpack = Command::new("find");
        unpack.arg(&modules).args(["-name", "*.ko.xz", "-exec", "xz", "--decompress", "{}", "+"]);
        run(&mut unpack)?;
        let depmod = find(Path::new("depmod"))?;
        run(Command::new(depmod).arg("--basedir").arg(folder).arg(&kernel.release))
    })?;
    Ok(tree.join("boot/vmlinuz"))
}

/// The part of the cache that is ours.
struct Cache<'a> {
    folder: PathBuf,
    progress: &'a dyn Progress,
}

impl Cache<'_> {
    /// A folder that `make` has filled, now or before. It is filled where it stays: a virtual
    /// environment cannot be moved.
    fn entry(
        &self,
        name: &str,
        make: impl FnOnce(&Path) -> anyhow::Result<()>,
    ) -> anyhow::Result<PathBuf> {
        fs::create_dir_all(&self.folder)?;
        let lock = fs::File::create(self.folder.join(format!(".{name}.lock")))?;
        lock.file().lock().with_context(|| format!("lock {}", lock.path().display()))?;
        let entry = self.folder.join(name);
        if entry.join(COMPLETE).exists() {
            return Ok(entry);
        }
        if entry.exists() {
            fs::remove_dir_all(&entry)?;
        }
        fs::create_dir(&entry)?;
        let step = self.progress.begin(&format!("{name}, for a peer, into the cache"));
        make(&entry).with_context(|| name.to_owned())?;
        fs::write(entry.join(COMPLETE), "")?;
        step.finish("there");
        Ok(entry)
    }
}

/// Unpacks packages of the host's Debian into a folder. Nothing is installed.
fn unpack(packages: &[&str], folder: &Path) -> anyhow::Result<()> {
    let download = || {
        let mut apt = Command::new("apt-get");
        run(apt.args(["--quiet=2", "download"]).args(packages).current_dir(folder))
    };
    if download().is_err() {
        // A host that has just been made may have no index yet. Without root, the index stays as
        // it is, and the second attempt tells why the first one failed.
        let _ = run(Command::new("apt-get").args(["--quiet=2", "update"]));
        download()?;
    }
    for file in fs::read_dir(folder)? {
        let path = file?.path();
        if path.extension() == Some(OsStr::new("deb")) {
            run(Command::new("dpkg-deb").arg("--extract").arg(&path).arg(folder))?;
        }
    }
    Ok(())
}

/// The first of these paths that is there.
fn either(folder: &Path, paths: &[&str]) -> anyhow::Result<PathBuf> {
    let mut candidates = paths.iter().map(|path| folder.join(path));
    let found = candidates.find(|path| path.is_file());
    found.with_context(|| format!("none of {} is in the package", paths.join(", ")))
}

/// Where a program is; users of Debian do not have the folders for administrators on their `PATH`.
pub(super) fn find(program: &Path) -> anyhow::Result<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain(["/usr/sbin".into(), "/sbin".into()]);
    let mut candidates = folders.map(|folder| folder.join(program));
    let found = candidates.find(|candidate| candidate.is_file());
    found.with_context(|| format!("{} is not there", program.display()))
}

/// Runs to the end; an error tells what it said last.
fn run(command: &mut Command) -> anyhow::Result<()> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command.stdin(Stdio::null()).output().with_context(|| program.clone())?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let last = said.lines().map(str::trim).rfind(|line| !line.is_empty());
    bail!("{program}: {}: {}", output.status, last.unwrap_or("it said nothing"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_finished_is_made_again() {
        let folder = tempfile::tempdir().expect("a folder");
        let progress = vm_images::Silent;
        let cache = Cache { folder: folder.path().to_owned(), progress: &progress };
        let failed = cache.entry("thing", |entry| {
            fs::write(entry.join("half"), "")?;
            bail!("no network")
        });
        assert_eq!(format!("{:#}", failed.expect_err("it failed")), "thing: no network");
        let made = cache.entry("thing", |entry| Ok(fs::write(entry.join("whole"), "")?));
        let made = made.expect("it is made");
        assert!(made.join("whole").exists() && !made.join("half").exists());
        cache.entry("thing", |_| panic!("made twice")).expect("it is there");
    }

    #[test]
    fn an_error_of_a_program_quotes_its_last_words() {
        let error = run(Command::new("sh").args(["-c", "echo first >&2; echo why >&2; exit 4"]));
        assert_eq!(error.expect_err("it fails").to_string(), "sh: exit status: 4: why");
    }
}
