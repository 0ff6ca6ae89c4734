//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

/// Does a container come back exactly as it was?
///
/// Boots real kernels in QEMU, runs workloads in pods, checkpoints them by CRIU, lets something
/// befall them, restores them, and compares what came back with what went in: every fact that the
/// kernel shows and every page.
#[derive(Debug, Parser)]
#[command(name = "cryolab", version, max_term_width = 100)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run cells: kernel x CRIU x runtime x scenario x workload
    E2e(Box<E2e>),
    /// Draw the reports of a run again from its record
    Report {
        /// The run's folder
        folder: PathBuf,
    },
    /// Kernels, root filesystems and CRIU builds
    Images(Images),
    /// What is captured, from which source, compared how, tolerated why
    Facts {
        /// As JSON
        #[arg(long)]
        json: bool,
    },
}

/// Selectors take lists (`trixie,sid`) and, where names are known, globs (`*`). Several values
/// make the cross product.
#[derive(Debug, Args)]
#[command(
    args_override_self = true,
    after_long_help = "\
Phases, in order:
  ready        the workload said ready
  frozen       the pod is frozen, capture A is taken
  post-dump    CRIU has written its images; the archive is made after it
  pre-restore  the archive is verified and unpacked, CRIU is not asked yet
  pre-resume   all is restored and nothing has run; before capture B, so what is spoiled here must
               be noticed
  post-resume  the pod runs again

Exit codes:
  0    all as expected
  1    an outcome other than expected, or a known failure that no longer happens
  2    usage: something is unknown or malformed; nothing was booted
  3    the lab or the host is broken
  130  interrupted

Examples:
  cargo xtask e2e
  cargo xtask e2e --kernel trixie,bookworm,trixie-backports/6.18 --criu trixie,sid
  cargo xtask e2e --workload ../my-workload --hook pre-resume=spoil.sh"
)]
pub(crate) struct E2e {
    /// Kernels: a Debian suite (its newest cloud kernel), SUITE/VERSION, or a path to a bzImage
    #[arg(long, value_delimiter = ',', default_value = "trixie", value_name = "LIST")]
    pub(crate) kernel: Vec<String>,
    /// The modules of a kernel that is given by path
    #[arg(long, value_name = "DIR")]
    pub(crate) modules: Option<PathBuf>,
    /// CRIUs: a Debian suite
    #[arg(long, value_delimiter = ',', default_value = "trixie", value_name = "LIST")]
    pub(crate) criu: Vec<String>,
    /// Runtimes: `cryolab`, the engine itself
    #[arg(long, value_delimiter = ',', default_value = "cryolab", value_name = "LIST")]
    pub(crate) runtime: Vec<String>,
    /// Scenarios: `reboot`, or `in-place` (checkpoint and restore on the same boot); `NAME/*` for
    /// all variants
    #[arg(long, value_delimiter = ',', default_values = scenarios::DEFAULT, value_name = "LIST")]
    pub(crate) scenario: Vec<String>,
    /// Workloads: a name from `workloads/`, or a path to a folder with a `workload.toml`
    #[arg(long, value_delimiter = ',', default_value = "counter,redis", value_name = "LIST")]
    pub(crate) workload: Vec<String>,
    /// The run's folder [default: target/cryolab/runs/TIME; `latest` there points to the newest]
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
    /// How guests run; `auto` takes KVM where a kernel really boots under it
    #[arg(long, value_enum, default_value_t = Accel::Auto)]
    pub(crate) accel: Accel,
    /// When the large artefacts of a cell are kept: its archive, images of what failed
    #[arg(long, value_enum, default_value_t = Keep::Failed)]
    pub(crate) keep: Keep,
    /// Run FILE (a script for the node's /bin/sh, or a static binary) in the node at a phase, as
    /// root; may be given several times. It finds CRYOLAB_PHASE, CRYOLAB_NODE, CRYOLAB_POD,
    /// CRYOLAB_CONTAINER, CRYOLAB_PIDS and CRYOLAB_IMAGES
    #[arg(long, value_name = "PHASE=FILE")]
    pub(crate) hook: Vec<String>,
    /// What is drawn at random is drawn from this [default: another one each time, recorded]
    #[arg(long, value_name = "N")]
    pub(crate) seed: Option<u64>,
    /// How many cells run at once [default: the number of processors]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) jobs: Option<u16>,
    /// How often each cell runs
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) repeat: u32,
    /// Print results.json and nothing else on standard output
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Accel {
    Auto,
    Kvm,
    Tcg,
}

impl Accel {
    pub(crate) fn setting(self) -> vm::accel::Setting {
        match self {
            Accel::Auto => vm::accel::Setting::Auto,
            Accel::Kvm => vm::accel::Setting::Kvm,
            Accel::Tcg => vm::accel::Setting::Tcg,
        }
    }
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Keep {
    /// Of cells that are not as expected
    Failed,
    Always,
    Never,
}

impl Keep {
    pub(crate) fn setting(self) -> runner::stage::Keep {
        match self {
            Keep::Failed => runner::stage::Keep::Failed,
            Keep::Always => runner::stage::Keep::Always,
            Keep::Never => runner::stage::Keep::Never,
        }
    }
}

#[derive(Debug, Args)]
pub(crate) struct Images {
    #[command(subcommand)]
    pub(crate) command: ImagesCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ImagesCommand {
    /// Kernels, CRIUs and root filesystems that the mirror has, and which of them are in the cache
    List {
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Make the images now that these would need
    Build {
        /// Kernels
        #[arg(long, value_delimiter = ',', default_value = "trixie", value_name = "LIST")]
        kernel: Vec<String>,
        /// CRIUs
        #[arg(long, value_delimiter = ',', default_value = "trixie", value_name = "LIST")]
        criu: Vec<String>,
        /// Workloads
        #[arg(long, value_delimiter = ',', default_value = "counter,redis", value_name = "LIST")]
        workload: Vec<String>,
    },
    /// Remove what no run has used for a month
    Prune,
    /// Print the path of an image, made first if it is not in the cache
    Path {
        /// Which image
        #[arg(value_enum)]
        what: ImageKind,
        /// Which kernel
        #[arg(default_value = "trixie")]
        selector: String,
    },
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum ImageKind {
    /// The bzImage
    Kernel,
    /// The initramfs of this kernel, with the agent as its init
    Initramfs,
    /// The root filesystem of nodes
    Rootfs,
}
