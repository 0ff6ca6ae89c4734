//! What nodes of a lab are made of: a kernel and a CRIU each, and no workload.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use anyhow::anyhow;
use runner::cell::{Axes, Cell, Pick};
use vm_images::Bars;

use super::protocol::OtherKernel;
use crate::status::Exit;
use crate::supply::{Built, Catalogue, failed};

/// Has everything built that nodes with these kernels and CRIUs need.
pub(super) fn build(
    catalogue: &Catalogue,
    kernels: Vec<Pick>,
    crius: Vec<Pick>,
    bars: Arc<Bars>,
) -> Result<Built, Exit> {
    catalogue.build(&cells(kernels, crius), &BTreeMap::new(), bars).map_err(failed)
}

/// Has one kernel built.
pub(super) fn build_kernel(kernel: &str, modules: Option<&Path>) -> Result<OtherKernel, Exit> {
    let mut catalogue = Catalogue::open()?;
    let (kernels, _) = catalogue.look_up(&[kernel.to_owned()], modules, &[])?;
    let pick = only(kernel, kernels)?;
    // Any CRIU does: none of that name is looked for.
    let built = build(&catalogue, vec![pick.clone()], vec![pick.clone()], Arc::default())?;
    let missing = || Exit::lab(anyhow!("kernel {} was not built", pick.selector));
    let (image, initramfs) = built.kernel(&pick.selector).ok_or_else(missing)?;
    Ok(OtherKernel {
        image: image.image.clone(),
        initramfs: initramfs.clone(),
        modules: image.modules.clone(),
    })
}

/// The one that was meant.
pub(super) fn only(selector: &str, picks: Vec<Pick>) -> Result<Pick, Exit> {
    match <[Pick; 1]>::try_from(picks) {
        Ok([pick]) => Ok(pick),
        Err(picks) => {
            let named = picks.iter().map(|pick| pick.selector.as_str()).collect::<Vec<_>>();
            let named = named.join(", ");
            Err(Exit::usage(anyhow!("`{selector}` is more than one: {named}; choose one")))
        }
    }
}

fn cells(kernels: Vec<Pick>, crius: Vec<Pick>) -> Vec<Cell> {
    let one = || vec![String::new()];
    let (runtimes, scenarios, workloads) = (one(), one(), one());
    let axes = Axes { kernels, crius, runtimes, scenarios, workloads, ..Axes::default() };
    axes.cells()
}
