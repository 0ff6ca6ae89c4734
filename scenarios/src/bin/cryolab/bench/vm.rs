//! `cryolab bench vm`: machines and wires beside their peers.
//!
//! Runs of ours and of the peers take turns, so that what else the host does meets all of them.
//! All boot the same kernel with as much memory and as many CPUs, and all of ours and the twin are
//! asked for the same: to be this node from now on. What a lab gives its nodes beyond what a peer's
//! machine has, a card and a disk to write to, is measured apart.

mod answers;
mod bed;
mod repeats;
mod twin;
mod vng;
mod wires;

use std::sync::Arc;

use anyhow::anyhow;
use runner::perform::Interrupts;
use vm_images::{Bars, Progress as _};

use self::bed::{Bed, Images};
use self::twin::Twin;
use self::vng::Vng;
use super::figure::Figure;
use crate::status::Exit;

/// Measures everything. What was measured before something went wrong is there in any case.
pub(super) fn measure(figures: &mut Vec<Figure>) -> Result<(), Exit> {
    let progress = Arc::new(Bars::default());
    let images = Images::ensure(&progress)?;
    // The machines die with the thread that started them, which is this one.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(Exit::lab)?.block_on(async {
        let mut interrupts = Interrupts::listen().map_err(Exit::lab)?;
        tokio::select! {
            biased;
            signal = interrupts.next() => Err(Exit { code: 130, error: anyhow!("{signal}") }),
            done = all(images, &progress, figures) => done.map_err(Exit::lab),
        }
    })
}

async fn all(
    images: Images,
    progress: &Arc<Bars>,
    figures: &mut Vec<Figure>,
) -> anyhow::Result<()> {
    let bed = Bed::make(images, progress).await?;
    let vng = Vng::prepare(&bed.plain, &bed.kernel, &bed.cache, &**progress);
    let step = progress.begin("a template, and the same for QEMU's own snapshot");
    let twin = Twin::prepare(&bed).await;
    for machine in [&bed.plain, &bed.lab] {
        bed.fork(machine, bed.seat(machine)?).await?.kill().await;
    }
    step.finish("ready");
    figures.extend(answers::measure(&bed, vng, twin, &**progress).await?);
    figures.extend(wires::measure(&bed, &**progress).await?);
    figures.extend(repeats::measure(&bed, &**progress).await?);
    Ok(())
}
