//! What cells are made of: kernels, CRIUs and roots, looked up and built by `vm-images`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context as _;
use runner::cell::{Cell, Pick, Target};
use runner::stage::Supply;
use runner::workload::{Container, Root, Workload};
use vm::{Disk, Machine};
use vm_images::host::{self, Purpose};
use vm_images::{
    Bars, Cache, Criu, CriuImage, Images, Kernel, KernelImage, Progress, Silent, Suite, Want,
    WorkloadImage,
};

use crate::places;
use crate::status::Exit;

/// Kernels and CRIUs that were selected, by the selector that means exactly one.
#[derive(Debug)]
pub(crate) struct Catalogue {
    cache: Cache,
    images: Images,
    kernels: BTreeMap<String, Kernel>,
    crius: BTreeMap<String, Criu>,
    tools: bool,
}

/// The images of a kernel and a CRIU, built.
#[derive(Debug)]
pub(crate) struct Built {
    rootfs: PathBuf,
    kernels: BTreeMap<String, (KernelImage, PathBuf)>,
    crius: BTreeMap<String, CriuImage>,
    workloads: BTreeMap<String, Vec<(String, PathBuf)>>,
}

/// Images of a workload's containers, each with the serial of its disk.
pub(crate) type RootImages = Vec<(String, WorkloadImage)>;

impl Catalogue {
    /// Opens the cache of images.
    pub(crate) fn open() -> Result<Self, Exit> {
        let cache = Cache::open().map_err(failed)?;
        let images = Images::new(cache.clone(), Arc::new(Bars::default()));
        let (kernels, crius) = (BTreeMap::new(), BTreeMap::new());
        Ok(Catalogue { cache, images, kernels, crius, tools: false })
    }

    /// The folder of the cache.
    pub(crate) fn cache(&self) -> &Path {
        self.cache.root()
    }

    /// Looks kernels and CRIUs up. What cannot be a suite's goes first: such a name is refused
    /// before the host is asked for tools or the mirror for what it has.
    pub(crate) fn look_up(
        &mut self,
        kernels: &[String],
        modules: Option<&Path>,
        crius: &[String],
    ) -> Result<(Vec<Pick>, Vec<Pick>), Exit> {
        for kernel in kernels.iter().filter(|selector| !may_be_of_suite(selector)) {
            self.kernels(kernel, modules)?;
        }
        for criu in crius.iter().filter(|selector| !may_be_of_suite(selector)) {
            self.crius(criu)?;
        }
        self.ensure_tools()?;
        let (mut of_kernels, mut of_crius) = (Vec::new(), Vec::new());
        for kernel in kernels {
            of_kernels.extend(self.kernels(kernel, modules)?);
        }
        for criu in crius {
            of_crius.extend(self.crius(criu)?);
        }
        Ok((once_each(of_kernels), once_each(of_crius)))
    }

    fn ensure_tools(&mut self) -> Result<(), Exit> {
        if !self.tools {
            host::ensure_tools(Purpose::Run, &Bars::default()).map_err(failed)?;
            self.tools = true;
        }
        Ok(())
    }

    fn kernels(&mut self, selector: &str, modules: Option<&Path>) -> Result<Vec<Pick>, Exit> {
        let found = self.images.resolve_kernel(selector, modules).map_err(failed)?;
        let mut picks = Vec::new();
        for kernel in found {
            let pick = pick_of_kernel(&kernel);
            self.kernels.insert(pick.selector.clone(), kernel);
            picks.push(pick);
        }
        Ok(picks)
    }

    fn crius(&mut self, selector: &str) -> Result<Vec<Pick>, Exit> {
        let found = self.images.resolve_criu(selector).map_err(failed)?;
        let mut picks = Vec::new();
        for criu in found {
            let pick = pick_of_criu(&criu);
            self.crius.insert(pick.selector.clone(), criu);
            picks.push(pick);
        }
        Ok(picks)
    }

    /// Has everything built that the cells need. May take minutes the first time.
    pub(crate) fn build(
        &self,
        cells: &[Cell],
        workloads: &BTreeMap<String, RootImages>,
        progress: Arc<dyn Progress>,
    ) -> Result<Built, vm_images::Error> {
        let images = Images::new(self.cache.clone(), progress);
        let mut wants = vec![Want::Rootfs];
        let roots = workloads.values().flatten().map(|(_, image)| Want::Workload(image.clone()));
        wants.extend(roots);
        wants.extend(self.kernels_of(cells).map(|(_, kernel)| Want::Kernel(kernel.clone())));
        wants.extend(self.crius_of(cells).map(|(_, criu)| Want::Criu(criu.clone())));
        images.ensure_all(&wants)?;
        self.found(cells, workloads, &images)
    }

    /// The paths of images that were all built before; an initramfs is made here, by `making`.
    fn found(
        &self,
        cells: &[Cell],
        workloads: &BTreeMap<String, RootImages>,
        making: &Images,
    ) -> Result<Built, vm_images::Error> {
        let images = Images::new(self.cache.clone(), Arc::new(Silent));
        let mut built = Built {
            rootfs: images.ensure_rootfs()?,
            kernels: BTreeMap::new(),
            crius: BTreeMap::new(),
            workloads: BTreeMap::new(),
        };
        for (selector, kernel) in self.kernels_of(cells) {
            let kernel = images.ensure_kernel(kernel)?;
            let initramfs = making.ensure_initramfs(&places::agent(), &kernel)?;
            built.kernels.insert(selector.clone(), (kernel, initramfs));
        }
        for (selector, criu) in self.crius_of(cells) {
            built.crius.insert(selector.clone(), images.ensure_criu(criu)?);
        }
        for (name, roots) in workloads {
            let root = |(disk, image): &(String, WorkloadImage)| {
                Ok((disk.clone(), images.ensure_workload(image)?))
            };
            let roots = roots.iter().map(root).collect::<Result<_, vm_images::Error>>()?;
            built.workloads.insert(name.clone(), roots);
        }
        Ok(built)
    }

    /// The kernels that some cell has.
    fn kernels_of<'a>(
        &'a self,
        cells: &'a [Cell],
    ) -> impl Iterator<Item = (&'a String, &'a Kernel)> {
        let wanted = |selector: &String| {
            let target = |cell: &Cell| cell.target.as_ref().map(|it| it.kernel.selector.clone());
            let has = |cell: &Cell| cell.kernel.selector == *selector;
            cells.iter().any(|cell| has(cell) || target(cell).as_ref() == Some(selector))
        };
        self.kernels.iter().filter(move |(selector, _)| wanted(selector))
    }

    /// The CRIUs that some cell has.
    fn crius_of<'a>(&'a self, cells: &'a [Cell]) -> impl Iterator<Item = (&'a String, &'a Criu)> {
        let wanted = |selector: &String| {
            let target = |cell: &Cell| cell.target.as_ref().map(|it| it.criu.selector.clone());
            let has = |cell: &Cell| cell.criu.selector == *selector;
            cells.iter().any(|cell| has(cell) || target(cell).as_ref() == Some(selector))
        };
        self.crius.iter().filter(move |(selector, _)| wanted(selector))
    }
}

impl Built {
    /// Some kernel with its initramfs, to try an accelerator with.
    pub(crate) fn some_kernel(&self) -> anyhow::Result<(&Path, &Path)> {
        let (kernel, initramfs) = self.kernels.values().next().context("no kernel was built")?;
        Ok((&kernel.image, initramfs))
    }

    /// What was built, and where it is.
    pub(crate) fn paths(&self) -> impl Iterator<Item = (String, &Path)> {
        let node = [("root of nodes".to_owned(), &*self.rootfs)];
        let kernels = self.kernels.iter();
        let kernels = kernels.map(|(name, (it, _))| (format!("kernel {name}"), &*it.image));
        let crius = self.crius.iter().map(|(name, it)| (format!("criu {name}"), &*it.disk));
        let workloads = self.workloads.iter().flat_map(|(name, roots)| {
            let further = |disk: &str| disk.strip_prefix("workload").unwrap_or(disk).to_owned();
            let root = move |disk: &str| format!("workload {name}{}", further(disk));
            roots.iter().map(move |(disk, path)| (root(disk), &**path))
        });
        node.into_iter().chain(kernels).chain(crius).chain(workloads)
    }

    /// The machine of a cell, with the disks that nobody writes.
    pub(crate) fn machine(
        &self,
        cell: &Cell,
        qemu: &vm::Qemu,
        accel: vm::Accel,
    ) -> anyhow::Result<Machine> {
        self.machine_with(cell, [&cell.kernel, &cell.criu], qemu, accel)
    }

    /// The machine to which a cell's pod goes, where that is another one.
    pub(crate) fn target(
        &self,
        cell: &Cell,
        qemu: &vm::Qemu,
        accel: vm::Accel,
    ) -> anyhow::Result<Option<Machine>> {
        let target = cell.target.as_ref();
        let machine = |it: &Target| self.machine_with(cell, [&it.kernel, &it.criu], qemu, accel);
        target.map(machine).transpose()
    }

    fn machine_with(
        &self,
        cell: &Cell,
        [kernel, criu]: [&Pick; 2],
        qemu: &vm::Qemu,
        accel: vm::Accel,
    ) -> anyhow::Result<Machine> {
        let missing = || format!("the images of {} were not built", cell.name);
        let roots = self.workloads.get(&cell.workload).with_context(missing)?;
        let mut machine = self.bare(&kernel.selector, &criu.selector, qemu, accel)?;
        machine.disks.extend(roots.iter().map(|(serial, path)| Disk::read_only(serial, path)));
        Ok(machine)
    }

    /// A machine without a workload.
    pub(crate) fn bare(
        &self,
        kernel: &str,
        criu: &str,
        qemu: &vm::Qemu,
        accel: vm::Accel,
    ) -> anyhow::Result<Machine> {
        let missing = || format!("the images of kernel {kernel} and CRIU {criu} were not built");
        let (image, initramfs) = self.kernels.get(kernel).with_context(missing)?;
        let criu = self.crius.get(criu).with_context(missing)?;
        let mut machine = Machine::new(qemu.clone(), accel, &image.image, initramfs);
        machine.disks.extend([
            Disk::read_only("root", &self.rootfs),
            Disk::read_only("modules", &image.modules),
            Disk::read_only("criu", &criu.disk),
        ]);
        Ok(machine)
    }

    /// A kernel with its initramfs.
    pub(crate) fn kernel(&self, kernel: &str) -> Option<&(KernelImage, PathBuf)> {
        self.kernels.get(kernel)
    }
}

impl Supply for Catalogue {
    fn data_disk(&self, path: &Path, mib: u64) -> Result<(), String> {
        self.images.data_disk(path, mib).map_err(|error| error.to_string())
    }

    fn apparmor_policy(&self, profile: &Path, features: &Path) -> Result<Vec<u8>, String> {
        vm_images::apparmor_policy(profile, features).map_err(|error| error.to_string())
    }

    fn neighbour(&self) -> PathBuf {
        places::guest_programs().join("witness")
    }
}

/// What the roots of a workload's containers are made of, in the words of `vm-images`.
pub(crate) fn images_of(workload: &Workload) -> Result<RootImages, Exit> {
    let of = |container: &Container| Ok((container.disk(), image_of(workload, &container.root)?));
    workload.containers.iter().map(of).collect()
}

fn image_of(workload: &Workload, root: &Root) -> Result<WorkloadImage, Exit> {
    Ok(match root {
        Root::Binary(path) => {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            WorkloadImage::Binary { name, path: path.clone() }
        }
        Root::Packages { suite, names, files } => {
            let suite = suite.as_deref().unwrap_or(Suite::Trixie.name());
            let suite = suite.parse().map_err(|unknown: vm_images::Unknown| {
                let file = workload.folder.join(runner::workload::FILE);
                Exit::usage(anyhow::Error::new(unknown).context(file.display().to_string()))
            })?;
            WorkloadImage::Packages { suite, packages: names.clone(), files: files.clone() }
        }
        Root::Rootfs(path) => WorkloadImage::Tar { path: path.clone() },
    })
}

/// An error of `vm-images`: the user's fault, or the host's.
pub(crate) fn failed(error: vm_images::Error) -> Exit {
    if error.is_usage() { Exit::usage(error) } else { Exit::lab(error) }
}

fn may_be_of_suite(selector: &str) -> bool {
    let suite = selector.split('/').next().unwrap_or_default();
    runner::names::is_glob(suite) || suite.parse::<Suite>().is_ok()
}

fn pick_of_kernel(kernel: &Kernel) -> Pick {
    let selector = kernel.to_string();
    match kernel {
        Kernel::Debian { suite, version, packages, .. } => {
            let package = packages.first().map(|it| format!("{} {}", it.name, it.version));
            let source = format!("{suite}: {}", package.unwrap_or_default());
            Pick { selector, version: version.clone(), source }
        }
        Kernel::File { release, .. } => {
            Pick { version: release.clone(), source: selector.clone(), selector }
        }
    }
}

fn pick_of_criu(criu: &Criu) -> Pick {
    let selector = criu.to_string();
    match criu {
        Criu::Debian { suite, package } => {
            let upstream = package.version.split(['-', '+', '~']).next().unwrap_or_default();
            let source = format!("{suite}: {} {}", package.name, package.version);
            Pick { selector, version: upstream.to_owned(), source }
        }
        Criu::Selinux { suite, package } => {
            let upstream = package.version.split(['-', '+', '~']).next().unwrap_or_default();
            let source = format!(
                "{suite}: source of {} {}, built with libselinux",
                package.name, package.version
            );
            Pick { selector, version: format!("{upstream}+selinux"), source }
        }
        Criu::File { version, .. } | Criu::Tree { version, .. } => {
            Pick { version: version.clone(), source: selector.clone(), selector }
        }
    }
}

fn once_each(picks: Vec<Pick>) -> Vec<Pick> {
    let mut kept: Vec<Pick> = Vec::new();
    for pick in picks {
        if !kept.contains(&pick) {
            kept.push(pick);
        }
    }
    kept
}
