//! What the machines are made of: the images, the accelerator, the workloads.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;

use anyhow::{Context as _, anyhow};
use runner::cell::{Axes, Cell};
use runner::workload::Workload;
use vm::accel::{self, Trial};
use vm::{Machine, Notice, Qemu, Templates};
use vm_images::{Bars, Progress as _};

use crate::arguments::Mutants;
use crate::selection::{self, Chosen};
use crate::status::Exit;
use crate::supply::{Catalogue, failed, images_of};

/// What the user selected, looked up before anything is built.
#[derive(Debug)]
pub(super) struct Prepared {
    catalogue: Catalogue,
    cells: Vec<Cell>,
    workloads: BTreeMap<String, Chosen>,
}

/// Everything that all machines have in common.
#[derive(Debug)]
pub(super) struct Bed {
    catalogue: Arc<Catalogue>,
    templates: Templates,
    machines: Vec<(Cell, Machine, Rc<Workload>)>,
}

/// A workload that is to be played, and where.
#[derive(Debug)]
pub(super) struct Play {
    pub(super) workload: Rc<Workload>,
    pub(super) machine: Machine,
    pub(super) templates: Templates,
    pub(super) catalogue: Arc<Catalogue>,
    pub(super) folder: PathBuf,
    pub(super) seed: u64,
}

impl Prepared {
    pub(super) fn look_up(wanted: &Mutants) -> Result<Prepared, Exit> {
        let mut catalogue = Catalogue::open()?;
        let workloads = selection::workloads(&wanted.workload)?;
        let one = |selector: &String| vec![selector.clone()];
        let (kernels, crius) = catalogue.look_up(&one(&wanted.kernel), None, &one(&wanted.criu))?;
        if kernels.len() != 1 || crius.len() != 1 {
            return Err(Exit::usage(anyhow!("mutants run on one kernel and one CRIU")));
        }
        let axes = Axes {
            kernels,
            crius,
            runtimes: vec!["cryolab".to_owned()],
            scenarios: vec!["in-place".to_owned()],
            workloads: workloads.iter().map(|(name, _)| name.clone()).collect(),
            repeat: 1,
            seed: wanted.seed,
            ..Axes::default()
        };
        let workloads = workloads.into_iter().collect();
        Ok(Prepared { catalogue, cells: axes.cells(), workloads })
    }
}

impl Bed {
    /// Builds images, finds QEMU and chooses the accelerator, which is told.
    pub(super) async fn make(wanted: &Mutants, prepared: Prepared) -> Result<Bed, Exit> {
        let Prepared { catalogue, cells, workloads } = prepared;
        let images = workloads.iter();
        let images = images.map(|(name, it)| Ok((name.clone(), images_of(&it.workload)?)));
        let images = images.collect::<Result<BTreeMap<_, _>, Exit>>()?;
        let bars = Arc::new(Bars::default());
        let built = catalogue.build(&cells, &images, bars.clone()).map_err(failed)?;
        let qemu = Qemu::find().await.map_err(Exit::lab)?;
        let (kernel, initramfs) = built.some_kernel()?;
        let (kernel, initramfs) = (kernel.to_owned(), initramfs.to_owned());
        let trial = Trial { qemu: qemu.clone(), kernel, initramfs };
        let choice = accel::choose(wanted.accel.setting(), &trial, catalogue.cache()).await;
        let choice = choice.map_err(Exit::lab)?;
        bars.note(&format!("accelerator: {} ({})", choice.accel, choice.reason));
        let templates = Templates::new(catalogue.cache(), move |notice: Notice| {
            bars.note(&notice.to_string());
        });
        let mut machines = Vec::new();
        for cell in cells {
            let machine = built.machine(&cell, &qemu, choice.accel)?;
            let chosen = workloads.get(&cell.workload).context("a workload was lost")?;
            machines.push((cell, machine, Rc::clone(&chosen.workload)));
        }
        Ok(Bed { catalogue: Arc::new(catalogue), templates, machines })
    }

    /// What is to be played, a workload each.
    pub(super) fn plays(&self, folder: &Path) -> Result<Vec<Play>, Exit> {
        let play = |(cell, machine, workload): &(Cell, Machine, Rc<Workload>)| Play {
            workload: Rc::clone(workload),
            machine: machine.clone(),
            templates: self.templates.clone(),
            catalogue: Arc::clone(&self.catalogue),
            folder: folder.join(&workload.name),
            seed: cell.seed,
        };
        Ok(self.machines.iter().map(play).collect())
    }
}
