//! `cryolab images`: what there is, having it made, and removing it.

mod listing;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use runner::cell::Axes;
use vm_images::host::{self, Purpose};
use vm_images::{Bars, Cache, Images, Pruned};

use crate::arguments::{ImageKind, ImagesBuild, ImagesCommand};
use crate::selection::workloads;
use crate::status::Exit;
use crate::supply::{Catalogue, failed, images_of};
use crate::{places, print};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// Does what was asked for.
pub(crate) fn run(command: &ImagesCommand) -> Result<u8, Exit> {
    match command {
        ImagesCommand::List { json } => listing::list(&images()?, *json)?,
        ImagesCommand::Build(wanted) => build(wanted)?,
        ImagesCommand::Prune { all, older } => prune(if *all { 0 } else { *older })?,
        ImagesCommand::Path { what, selector } => path(*what, selector)?,
    }
    Ok(0)
}

fn images() -> Result<Images, Exit> {
    host::ensure_tools(Purpose::Run, &Bars::default()).map_err(failed)?;
    Ok(Images::new(Cache::open().map_err(failed)?, Arc::new(Bars::default())))
}

fn build(wanted: &ImagesBuild) -> Result<(), Exit> {
    let every = |one: &str| vec![one.to_owned()];
    let ImagesBuild { kernel, criu, workload, .. } = wanted;
    let (kernels, crius, names) = match wanted.all {
        true => (every("*/*"), every("*"), every("*")),
        false => (kernel.clone(), criu.clone(), workload.clone()),
    };
    let mut catalogue = Catalogue::open()?;
    let mut images = BTreeMap::new();
    for (name, chosen) in &workloads(&names)? {
        images.insert(name.clone(), images_of(&chosen.workload)?);
    }
    let (kernels, crius) = catalogue.look_up(&kernels, wanted.modules.as_deref(), &crius)?;
    let axes = Axes {
        kernels,
        crius,
        runtimes: vec!["cryolab".to_owned()],
        scenarios: vec!["reboot".to_owned()],
        workloads: images.keys().cloned().collect(),
        ..Axes::default()
    };
    let built =
        catalogue.build(&axes.cells(), &images, Arc::new(Bars::default())).map_err(failed)?;
    let mut text = String::new();
    for (what, path) in built.paths() {
        // Writing to a text cannot fail.
        let _ = writeln!(text, "{what:<38} {}", path.display());
    }
    Ok(print(&text)?)
}

fn prune(days: u32) -> Result<(), Exit> {
    let pruned = Cache::open().and_then(|cache| cache.prune(DAY * days)).map_err(failed)?;
    Ok(print(&freed(&pruned))?)
}

/// What pruning did, for people.
fn freed(pruned: &Pruned) -> String {
    let mut text = String::new();
    // Writing to a text cannot fail.
    for it in &pruned.removed {
        let idle = match it.idle.as_secs() / DAY.as_secs() {
            0 => "used today".to_owned(),
            1 => "used yesterday".to_owned(),
            days => format!("used {days} days ago"),
        };
        let _ = writeln!(text, "removed {} ({} MiB, {idle})", it.name, it.bytes >> 20);
    }
    for it in &pruned.kept {
        let _ = writeln!(text, "kept {}: a process uses it", it.name);
    }
    let (removed, bytes) = (pruned.removed.len(), pruned.bytes() >> 20);
    let _ = writeln!(text, "{removed} removed, {bytes} MiB freed");
    text
}

fn path(what: ImageKind, selector: &str) -> Result<(), Exit> {
    let images = images()?;
    let kernel = || {
        let kernels = images.resolve_kernel(selector, None)?;
        kernels.iter().map(|kernel| images.ensure_kernel(kernel)).collect::<Result<Vec<_>, _>>()
    };
    let crius = || {
        let crius = images.resolve_criu(selector)?;
        crius.iter().map(|criu| images.ensure_criu(criu).map(|it| it.disk)).collect()
    };
    let initramfs = |agent: &Path| {
        kernel()?.iter().map(|kernel| images.ensure_initramfs(agent, kernel)).collect()
    };
    let paths = match what {
        ImageKind::Cache => Ok(vec![images.cache().root().to_owned()]),
        ImageKind::Criu => crius(),
        ImageKind::Rootfs => images.ensure_rootfs().map(|path| vec![path]),
        ImageKind::Kernel => kernel().map(|all| all.into_iter().map(|it| it.image).collect()),
        ImageKind::Modules => kernel().map(|all| all.into_iter().map(|it| it.modules).collect()),
        ImageKind::Initramfs => initramfs(&places::agent()),
    };
    for path in paths.map_err(failed)? {
        print(&format!("{}\n", path.display()))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pruning_tells_what_it_freed_and_what_is_in_use() {
        let removed = |name: &str, mib: u64, days: u32| vm_images::Removed {
            name: name.to_owned(),
            bytes: mib << 20,
            idle: DAY * days,
        };
        let kept = vm_images::Kept { name: "rootfs/trixie-3".to_owned() };
        let pruned = Pruned {
            removed: vec![removed("criu/sid-1", 25, 40), removed("kernels/6.1-2", 40, 0)],
            kept: vec![kept],
        };
        assert_eq!(
            freed(&pruned),
            "removed criu/sid-1 (25 MiB, used 40 days ago)\n\
             removed kernels/6.1-2 (40 MiB, used today)\n\
             kept rootfs/trixie-3: a process uses it\n\
             2 removed, 65 MiB freed\n"
        );
    }
}
