//! Spoiling a restored pod on purpose, to see whether the verifier notices.
//!
//! `list` looks at a pod, or at a folder of images, and offers every way to spoil it that it can
//! think of; `do` carries one out. The operators are made from what is there, not written one by
//! one: a new descriptor, sysctl or field of an image brings its mutants. They know nothing of what
//! the verifier looks at, and ask the kernel by ways of their own.
//!
//! `do` reads back what it wrote: a mutant that changed nothing is an error, and one that the
//! kernel does not take ends with [`NOT_POSSIBLE`](model::mutant::NOT_POSSIBLE).

mod act;
mod descriptors;
mod files;
mod image;
mod injected;
mod ipc;
mod limits;
mod memory;
mod mounts;
mod network;
mod outcome;
mod places;
mod pod;
mod queues;
mod schedule;
mod settings;
mod sockets;
mod sys;
mod tasks;
mod traced;
mod values;

use std::io::Write;
use std::path::PathBuf;

use anyhow::Context;
use clap::{Args, Subcommand};
use engine::{Engine, EngineConfig, LinuxHost};
use model::mutant::Mutant;

use act::{Act, Offers};
use pod::Pod;

pub(crate) use outcome::code_of;

/// What to spoil.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Offer ways to spoil a restored and frozen pod, or its images: one JSON object a line. The
    /// pod is tried out meanwhile, and is not what it was afterwards.
    List {
        /// Name of the pod.
        #[arg(long, required_unless_present = "images")]
        pod: Option<String>,
        /// The folder of CRIU's images, to spoil them instead.
        #[arg(long)]
        images: Option<PathBuf>,
    },
    /// Tell what a folder of images says, as a capture in postcard.
    Facts {
        /// The folder of CRIU's images.
        images: PathBuf,
    },
    /// Carry one out.
    Do {
        /// Its `act`, as it was offered.
        act: String,
    },
}

/// Lists or does.
pub(crate) fn main(arguments: &Arguments) -> anyhow::Result<()> {
    match &arguments.action {
        Action::List { pod, images } => {
            let mut offers = Offers::default();
            match (pod, images) {
                (_, Some(images)) => image::offer(images, &mut offers)?,
                (Some(pod), None) => live(pod, &mut offers)?,
                (None, None) => {}
            }
            print(&offers.finish())
        }
        Action::Facts { images } => image::tell(images),
        Action::Do { act } => {
            let act: Act = serde_json::from_str(act).context("the act is none of ours")?;
            act.carry_out()
        }
    }
}

/// Everything that can be done to a pod, the least harmful first: what is tried out is put back,
/// but who knows.
fn live(name: &str, offers: &mut Offers) -> anyhow::Result<()> {
    let engine = Engine::new(EngineConfig::default(), Box::new(LinuxHost));
    let pod = Pod::find(engine.status(name)?)?;
    offers.controls();
    limits::offer(&pod, offers)?;
    schedule::offer(&pod, offers)?;
    traced::offer(&pod, offers)?;
    tasks::offer(&pod, offers)?;
    memory::offer(&pod, offers)?;
    files::offer(&pod, offers)?;
    ipc::offer(&pod, offers)?;
    queues::offer(&pod, offers)?;
    mounts::offer(&pod, offers)?;
    network::offer(&pod, offers)?;
    descriptors::offer(&pod, offers)?;
    sockets::offer(&pod, offers)?;
    settings::offer(&pod, offers)?;
    injected::offer(&pod, offers)
}

fn print(mutants: &[Mutant]) -> anyhow::Result<()> {
    let mut output = std::io::BufWriter::new(std::io::stdout().lock());
    for mutant in mutants {
        serde_json::to_writer(&mut output, mutant)?;
        writeln!(output)?;
    }
    Ok(output.flush()?)
}
