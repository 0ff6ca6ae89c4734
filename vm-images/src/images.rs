//! The face of this room: what there is, and having it built.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::panic::resume_unwind;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use fs_err as fs;

use crate::apt::{Apt, Package};
use crate::build::debian::{self, System};
use crate::build::workload::{self, WorkloadImage};
use crate::build::{criu, disk, initramfs, kernel, protos, selinux};
use crate::cache::{self, Bound, Cache, Key, Kind};
use crate::host::{self, Purpose};
use crate::selector::{Criu, Kernel};
use crate::{Error, Progress, Step, Suite};

/// The root of nodes: Debian's essential packages, and what guests and hooks need.
pub(crate) const NODE: System<'static> = System {
    suite: Suite::Trixie,
    packages: &[
        "mount",
        "util-linux",
        "iproute2",
        "iputils-ping",
        "nftables",
        "iptables",
        "procps",
        "coreutils",
        "sed",
        "kmod",
        "e2fsprogs",
        "tar",
        "libcap2-bin",
    ],
    files: &BTreeMap::new(),
};

/// Suites that have a CRIU of their own.
pub(crate) const CRIU_SUITES: [Suite; 5] =
    [Suite::Bookworm, Suite::Trixie, Suite::Forky, Suite::Sid, Suite::Experimental];

/// Names of disks in their entries.
const ROOT: &str = "root.erofs";
const INITRAMFS: &str = "initramfs.cpio";

/// A new agent makes a new initramfs of every kernel: so many are kept.
const INITRAMFS_KEPT: Bound = Bound::Entries(24);

/// How many are built at once: while some are downloaded, others are unpacked and written.
const AT_ONCE: usize = 4;

/// All images of this host: what there is, and what was built.
#[derive(Debug)]
pub struct Images {
    pub(crate) cache: Cache,
    pub(crate) apt: Apt,
    pub(crate) progress: Arc<dyn Progress>,
}

/// A kernel ready to boot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KernelImage {
    /// As `uname -r` will say it.
    pub release: String,
    /// The bzImage.
    pub image: PathBuf,
    /// The disk to mount on `/lib/modules`.
    pub modules: PathBuf,
    /// Folder of modules for the initramfs.
    early: PathBuf,
}

/// A CRIU ready to be mounted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CriuImage {
    /// The disk to mount on `/criu`.
    pub disk: PathBuf,
    /// The serialized descriptors of its image messages, also on the disk.
    pub schema: PathBuf,
}

/// Something to have built by [`Images::ensure_all`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Want {
    /// See [`Images::ensure_kernel`].
    Kernel(Kernel),
    /// See [`Images::ensure_rootfs`].
    Rootfs,
    /// See [`Images::ensure_criu`].
    Criu(Criu),
    /// See [`Images::ensure_workload`].
    Workload(WorkloadImage),
}

/// What [`Images::ensure_all`] has for a [`Want`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Made {
    /// A kernel.
    Kernel(KernelImage),
    /// The disk of a node's root.
    Rootfs(PathBuf),
    /// A CRIU.
    Criu(CriuImage),
    /// The disk of a container's root.
    Workload(PathBuf),
}

impl Images {
    /// The images in `cache`; what takes time is told to `progress`.
    #[must_use]
    pub fn new(cache: Cache, progress: Arc<dyn Progress>) -> Self {
        Images { apt: Apt::new(&cache), cache, progress }
    }

    /// The cache that holds them.
    #[must_use]
    pub fn cache(&self) -> &Cache {
        &self.cache
    }

    /// A kernel, built if it was not.
    pub fn ensure_kernel(&self, kernel: &Kernel) -> Result<KernelImage, Error> {
        let entry = self.make(
            Kind::Kernels,
            &kernel_key(kernel)?,
            &format!("kernel {kernel}"),
            |entry, step| match kernel {
                Kernel::File { image, modules, .. } => {
                    kernel::from_files(image, modules.as_deref(), entry)
                }
                Kernel::Debian { suite, release, packages, unlisted, .. } => {
                    let debs = tempfile::tempdir_in(entry)?;
                    let paths = self.apt.download(*suite, packages, debs.path(), step)?;
                    let unlisted = self.unlisted(kernel, *suite, unlisted, debs.path(), step)?;
                    step.say("unpacking, writing the disk of modules");
                    kernel::from_packages(&paths, &unlisted, release, entry)
                }
            },
        )?;
        Ok(KernelImage {
            release: fs::read_to_string(entry.join(kernel::RELEASE))?,
            image: entry.join(kernel::IMAGE),
            modules: entry.join(kernel::MODULES),
            early: entry.join(kernel::EARLY),
        })
    }

    /// Packages of a kernel that the suite no longer lists, from the mirror's pool.
    fn unlisted(
        &self,
        kernel: &Kernel,
        suite: Suite,
        packages: &[Package],
        into: &Path,
        step: &dyn Step,
    ) -> Result<Vec<PathBuf>, Error> {
        let mut paths = Vec::new();
        for package in packages {
            step.say(&format!("downloading {}, which the suite no longer lists", package.name));
            let gone = || Error::content(kernel, &format!("{} is gone", package.name));
            paths.push(self.apt.unlisted(suite, package, into)?.ok_or_else(gone)?);
        }
        Ok(paths)
    }

    /// The initramfs of a kernel with `agent` (a static executable) as its `/init`.
    pub fn ensure_initramfs(&self, agent: &Path, kernel: &KernelImage) -> Result<PathBuf, Error> {
        let mut key = Key::new(&kernel.release, initramfs::RECIPE).with_file(agent)?;
        for module in cache::files(&kernel.early)? {
            key = key.with_file(&module)?;
        }
        let mut built = false;
        let entry = self.cache.make(Kind::Initramfs, &key, &*self.progress, |entry| {
            built = true;
            initramfs::write(agent, &kernel.early, &entry.join(INITRAMFS))
        })?;
        if built {
            self.cache.trim(Kind::Initramfs, INITRAMFS_KEPT)?;
        }
        Ok(entry.join(INITRAMFS))
    }

    /// The root of nodes: what this room and the contract of hooks promise; no kernel, no CRIU.
    pub fn ensure_rootfs(&self) -> Result<PathBuf, Error> {
        self.ensure_system(Kind::Rootfs, "node root", NODE)
    }

    /// A CRIU with its libraries and its image schema, built if it was not.
    pub fn ensure_criu(&self, criu: &Criu) -> Result<CriuImage, Error> {
        let what = format!("criu {criu}");
        let entry = match criu {
            Criu::Debian { suite, .. } => {
                let (key, packages) = self.criu_key(*suite)?;
                self.make(Kind::Criu, &key, &what, |entry, step| {
                    let debs = tempfile::tempdir_in(entry)?;
                    let paths = self.apt.download(*suite, &packages, debs.path(), step)?;
                    step.say("unpacking, writing the disk");
                    criu::from_packages(&paths, entry)
                })?
            }
            Criu::Selinux { suite, package } => {
                let key = self.selinux_key(*suite, package)?;
                self.make(Kind::Criu, &key, &what, |entry, step| {
                    if !selinux::build(&self.apt, *suite, package, entry, step)? {
                        let lacking = "the mirror lacks Debian's changes to the source";
                        self.progress.note(&format!("{what}: {lacking}, built from upstream's"));
                    }
                    Ok(())
                })?
            }
            Criu::File { binary, version } => {
                let schema = self.nearest_schema(version)?;
                self.built_criu(&what, binary, &schema)?
            }
            Criu::Tree { folder, .. } => {
                let schema = protos::descriptor_set(folder)?;
                self.built_criu(&what, &folder.join(criu::BINARY_OF_TREE), &schema)?
            }
        };
        Ok(CriuImage { disk: entry.join(criu::IMAGE), schema: entry.join(criu::SCHEMA) })
    }

    /// The entry of a CRIU that the user built.
    fn built_criu(&self, what: &str, binary: &Path, schema: &[u8]) -> Result<PathBuf, Error> {
        let mut key = Key::new("file", criu::RECIPE).with_file(binary)?.with(schema);
        for library in criu::libraries_of(binary)? {
            key = key.with(library.to_string_lossy().as_bytes()).with_file(&library)?;
        }
        self.make(Kind::Criu, &key, what, |entry, _| criu::from_binary(binary, schema, entry))
    }

    /// The root of a container, built if it was not.
    pub fn ensure_workload(&self, workload: &WorkloadImage) -> Result<PathBuf, Error> {
        match workload {
            WorkloadImage::Packages { suite, packages, files } => {
                let names: Vec<&str> = packages.iter().map(String::as_str).collect();
                workload::check_names(&names)?;
                let system = System { suite: *suite, packages: &names, files };
                self.ensure_system(Kind::Workloads, &packages.join("+"), system)
            }
            WorkloadImage::Binary { name, path } => {
                let key = Key::new(name, workload::RECIPE).with(name).with_file(path)?;
                let build = |entry: &Path| workload::of_binary(name, path, &entry.join(ROOT));
                let entry = self.cache.make(Kind::Workloads, &key, &*self.progress, build)?;
                Ok(entry.join(ROOT))
            }
            WorkloadImage::Tar { path } => {
                let label = path.file_stem().unwrap_or_default().to_string_lossy();
                let key = Key::new(&label, workload::RECIPE).with_file(path)?;
                let entry =
                    self.make(Kind::Workloads, &key, &format!("root from {label}"), |entry, _| {
                        crate::build::erofs::of_tar(path, &entry.join(ROOT))
                    })?;
                Ok(entry.join(ROOT))
            }
        }
    }

    /// Has everything built, some at a time; gives what was made in the order of `wants`.
    ///
    /// # Errors
    /// The first failure in the order of `wants`; what was not begun by then is not begun.
    pub fn ensure_all(&self, wants: &[Want]) -> Result<Vec<Made>, Error> {
        let next = AtomicUsize::new(0);
        let work = || {
            let mut results = Vec::new();
            loop {
                let at = next.fetch_add(1, Ordering::Relaxed);
                let Some(want) = wants.get(at) else { return results };
                let result = self.ensure(want);
                if result.is_err() {
                    next.store(wants.len(), Ordering::Relaxed);
                }
                results.push((at, result));
            }
        };
        let mut results: Vec<_> = thread::scope(|scope| {
            let workers: Vec<_> = (0..AT_ONCE).map(|_| scope.spawn(work)).collect();
            let done = workers.into_iter().map(|worker| worker.join());
            done.flat_map(|done| done.unwrap_or_else(|panic| resume_unwind(panic))).collect()
        });
        results.sort_by_key(|(at, _)| *at);
        results.into_iter().map(|(_, result)| result).collect()
    }

    /// Makes a sparse ext4 disk at `path`. Needs no root.
    pub fn data_disk(&self, path: &Path, mib: u64) -> Result<(), Error> {
        disk::data(path, mib)
    }

    fn ensure(&self, want: &Want) -> Result<Made, Error> {
        match want {
            Want::Kernel(kernel) => self.ensure_kernel(kernel).map(Made::Kernel),
            Want::Rootfs => self.ensure_rootfs().map(Made::Rootfs),
            Want::Criu(criu) => self.ensure_criu(criu).map(Made::Criu),
            Want::Workload(workload) => self.ensure_workload(workload).map(Made::Workload),
        }
    }

    fn ensure_system(&self, kind: Kind, name: &str, system: System<'_>) -> Result<PathBuf, Error> {
        let (key, closure) = self.system_key(name, system)?;
        let entry =
            self.make(kind, &key, &format!("{name} ({})", system.suite), |entry, step| {
                system.build(&self.apt, &closure, &entry.join(ROOT), step)
            })?;
        Ok(entry.join(ROOT))
    }

    /// The key of a system, and the packages that it is made from.
    pub(crate) fn system_key(
        &self,
        name: &str,
        system: System<'_>,
    ) -> Result<(Key, Vec<Package>), Error> {
        let closure = system.closure(&self.apt, &*self.progress)?;
        let key = Key::new(&format!("{}-{name}", system.suite), debian::RECIPE);
        let mut key = key.with(exact(&closure)).with(system.packages.join(","));
        for (place, path) in system.files {
            let mode = debian::mode_of(path)?;
            key = key.with(place).with(mode.to_le_bytes()).with_file(path)?;
        }
        Ok((key, closure))
    }

    /// The entry of a key, built with progress that is shown.
    fn make(
        &self,
        kind: Kind,
        key: &Key,
        what: &str,
        build: impl FnOnce(&Path, &dyn Step) -> Result<(), Error>,
    ) -> Result<PathBuf, Error> {
        let mut built = false;
        let entry = self.cache.make(kind, key, &*self.progress, |entry| {
            built = true;
            host::ensure_tools(Purpose::Build, &*self.progress)?;
            let step = self.progress.begin(what);
            build(entry, &*step)?;
            step.finish(&format!("built, {} MiB", cache::size(entry)? >> 20));
            Ok(())
        })?;
        if !built {
            self.progress.note(&format!("{what}: from cache"));
        }
        Ok(entry)
    }

    /// The key of a suite's CRIU that is built with libselinux: its source, and all that builds it.
    fn selinux_key(&self, suite: Suite, package: &Package) -> Result<Key, Error> {
        let target = format!("--target-release={suite}");
        let wanted = [&[&*target, "?essential"][..], &selinux::PACKAGES].concat();
        let closure = self.apt.closure(suite, &wanted, &*self.progress)?;
        let key = Key::new(&format!("{suite}+selinux"), criu::RECIPE);
        Ok(key.with(selinux::RECIPE.to_string()).with(package.exact()).with(exact(&closure)))
    }

    /// The key of a suite's CRIU, and the packages that it is made from.
    pub(crate) fn criu_key(&self, suite: Suite) -> Result<(Key, Vec<Package>), Error> {
        let target = format!("--target-release={suite}");
        let mut wanted = vec![target.as_str(), "criu"];
        if self.apt.catalogue(suite, &*self.progress)?.has_pycriu {
            wanted.push("python3-pycriu");
        }
        let mut packages = self.apt.closure(suite, &wanted, &*self.progress)?;
        packages.retain(|package| criu::is_wanted(&package.name));
        Ok((Key::new(suite.name(), criu::RECIPE).with(exact(&packages)), packages))
    }
}

fn exact(packages: &[Package]) -> String {
    packages.iter().map(Package::exact).collect::<Vec<_>>().join(" ")
}

pub(crate) fn kernel_key(kernel: &Kernel) -> Result<Key, Error> {
    match kernel {
        Kernel::Debian { release, packages, unlisted, .. } => {
            let key = Key::new(release, kernel::RECIPE).with(exact(packages));
            Ok(if unlisted.is_empty() { key } else { key.with(exact(unlisted)) })
        }
        Kernel::File { image, modules, release } => {
            let mut key = Key::new("file", kernel::RECIPE).with_file(image)?;
            let Some(modules) = modules else { return Ok(key) };
            // Hundreds of MiB: what nobody wrote to is taken to be what it was.
            for path in cache::files(&kernel::modules_of(modules, release)?)? {
                let file = fs::symlink_metadata(&path)?;
                let changed = format!("{}.{}", file.ctime(), file.ctime_nsec());
                key = key.with(path.to_string_lossy().as_bytes());
                key = key.with(format!("{} {} {changed}", file.ino(), file.len()));
            }
            Ok(key)
        }
    }
}
