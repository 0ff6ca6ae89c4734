//! `cryolab images`: what there is, and having it made.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use runner::cell::Axes;
use serde::Serialize;
use vm_images::host::{self, Purpose};
use vm_images::{Bars, Cache, CriuListing, Images, KernelListing, Suite};

use crate::arguments::{ImageKind, ImagesCommand};
use crate::selection::workloads;
use crate::status::Exit;
use crate::supply::{Catalogue, failed, image_of};
use crate::{places, print};

/// Images that no run has used for so long are pruned.
const IDLE: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// What `images list` says.
#[derive(Serialize)]
struct Listing {
    kernels: Vec<KernelListing>,
    criu: Vec<CriuListing>,
    rootfs: Vec<Rootfs>,
}

/// A root filesystem of nodes.
#[derive(Serialize)]
struct Rootfs {
    suite: Suite,
}

/// Does what was asked for.
pub(crate) fn run(command: &ImagesCommand) -> Result<u8, Exit> {
    match command {
        ImagesCommand::List { json } => list(*json)?,
        ImagesCommand::Build { kernel, criu, workload } => build(kernel, criu, workload)?,
        ImagesCommand::Prune => prune()?,
        ImagesCommand::Path { what, selector } => path(*what, selector)?,
    }
    Ok(0)
}

fn images() -> Result<Images, Exit> {
    host::ensure_tools(Purpose::Run, &Bars::default()).map_err(failed)?;
    Ok(Images::new(Cache::open().map_err(failed)?, Arc::new(Bars::default())))
}

fn list(json: bool) -> Result<(), Exit> {
    let images = images()?;
    let listing = Listing {
        kernels: images.kernels(&Suite::ALL).map_err(failed)?,
        criu: images.criu_builds().map_err(failed)?,
        rootfs: vec![Rootfs { suite: Suite::Trixie }],
    };
    let text = if json {
        serde_json::to_string_pretty(&listing).context("listing as JSON")? + "\n"
    } else {
        for_people(&listing)
    };
    Ok(print(&text)?)
}

fn for_people(listing: &Listing) -> String {
    let mut text = String::new();
    let cached = |cached: bool| if cached { "cached" } else { "" };
    // Writing to a text cannot fail.
    for it in &listing.kernels {
        let name = format!("kernel {}/{}", it.suite, it.version);
        let _ = writeln!(
            text,
            "{name:<42} {:>5} MiB  {:<6}  {}",
            it.bytes >> 20,
            cached(it.cached),
            it.package
        );
    }
    for it in &listing.criu {
        let name = format!("criu {} ({})", it.suite, it.version);
        let _ = writeln!(text, "{name:<42} {:>5} KiB  {}", it.bytes >> 10, cached(it.cached));
    }
    for it in &listing.rootfs {
        let _ = writeln!(text, "root of nodes ({})", it.suite);
    }
    text
}

fn build(kernels: &[String], crius: &[String], wanted: &[String]) -> Result<(), Exit> {
    let mut catalogue = Catalogue::open()?;
    let workloads = workloads(wanted)?;
    let mut images = BTreeMap::new();
    for (name, chosen) in &workloads {
        images.insert(name.clone(), image_of(&chosen.workload)?);
    }
    let (kernels, crius) = catalogue.look_up(kernels, None, crius)?;
    let axes = Axes {
        kernels,
        crius,
        runtimes: vec!["cryolab".to_owned()],
        scenarios: vec!["reboot".to_owned()],
        workloads: images.keys().cloned().collect(),
        ..Axes::default()
    };
    catalogue.build(&axes.cells(), &images, Arc::new(Bars::default())).map_err(failed)?;
    Ok(())
}

fn prune() -> Result<(), Exit> {
    let pruned = Cache::open().and_then(|cache| cache.prune(IDLE)).map_err(failed)?;
    Ok(print(&format!("{} images removed, {} MiB\n", pruned.entries, pruned.bytes >> 20))?)
}

fn path(what: ImageKind, selector: &str) -> Result<(), Exit> {
    let images = images()?;
    let kernel = || {
        let kernels = images.resolve_kernel(selector, None)?;
        kernels.iter().map(|kernel| images.ensure_kernel(kernel)).collect::<Result<Vec<_>, _>>()
    };
    let paths = match what {
        ImageKind::Rootfs => images.ensure_rootfs().map(|path| vec![path]),
        ImageKind::Kernel => kernel().map(|all| all.into_iter().map(|it| it.image).collect()),
        ImageKind::Initramfs => kernel().and_then(|all| {
            all.iter().map(|it| images.ensure_initramfs(&places::agent(), it)).collect()
        }),
    };
    for path in paths.map_err(failed)? {
        print(&format!("{}\n", path.display()))?;
    }
    Ok(())
}
