//! The command line.

pub(crate) mod archive;
pub(crate) mod lab;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::bench::Bench;

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
    /// Draw the reports of a run again from its record, or what a cell's captures say side by side
    Report(Report),
    /// Look into a checkpoint's archive
    Archive(archive::Archive),
    /// Kernels, root filesystems and CRIU builds
    Images(Images),
    /// A lab left standing: nodes to enter, wires to cut
    ///
    /// It belongs to its checkout and stands until it is taken down, also when the terminal is
    /// closed. Its nodes are called a, b, c ... and reach each other by these names; every two of
    /// them are joined by a wire of their own. What is below /data survives a reboot. (CRYOLAB_LAB
    /// names another folder for it than target/cryolab/lab, so that there can be several.)
    Lab(Box<lab::Lab>),
    /// Spoil restored pods on purpose: the verifier must notice each time
    Mutants(Box<Mutants>),
    /// What is captured, from which source, compared how, tolerated why
    Facts {
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Measure, beside peers that do the same where there are any
    Bench {
        /// Which bench; without one, they are listed
        #[arg(value_enum)]
        name: Option<Bench>,
        /// One JSON object a line
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
    /// CRIUs: a Debian suite, SUITE+selinux (its source, built with libselinux), or a path to a
    /// binary or to a built tree (with its own image schema)
    #[arg(long, value_delimiter = ',', default_value = "trixie", value_name = "LIST")]
    pub(crate) criu: Vec<String>,
    /// Kernels of the node to which a pod goes, or that runs after the reboot [default: the same]
    #[arg(long, value_delimiter = ',', value_name = "LIST")]
    pub(crate) target_kernel: Vec<String>,
    /// CRIUs of that node [default: the same]
    #[arg(long, value_delimiter = ',', value_name = "LIST")]
    pub(crate) target_criu: Vec<String>,
    /// Runtimes: `cryolab`, the engine itself
    #[arg(long, value_delimiter = ',', default_value = "cryolab", value_name = "LIST")]
    pub(crate) runtime: Vec<String>,
    /// Scenarios: `reboot`, `quick-start` (many copies of one checkpoint), `migration` (to another
    /// node), or `in-place` (checkpoint and restore on the same boot); `NAME/*` for all variants
    #[arg(long, value_delimiter = ',', default_values = scenarios::DEFAULT, value_name = "LIST")]
    pub(crate) scenario: Vec<String>,
    /// Workloads: a name from `workloads/`, or a path to a folder with a `workload.toml`
    /// [default: counter,redis]
    #[arg(long, value_delimiter = ',', value_name = "LIST")]
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
    /// Whether the nodes of a cell are left running, as a lab that `cargo xtask lab enter NODE`
    /// enters: those of the first cell that is not as expected, or of the first of all
    #[arg(long, value_enum, default_value_t = Stand::Never)]
    pub(crate) stand: Stand,
    /// Run FILE (a script for the node's /bin/sh, or a static binary) in the node at a phase, as
    /// root; may be given several times. It finds CRYOLAB_PHASE, CRYOLAB_NODE, CRYOLAB_POD,
    /// CRYOLAB_CONTAINER, CRYOLAB_PIDS and CRYOLAB_IMAGES
    #[arg(long, value_name = "PHASE=FILE")]
    pub(crate) hook: Vec<String>,
    /// Let a fault strike at every step of the engine that matches, once just before and once just
    /// after it; STEP is a name, a glob or `all`, FAULT is `power` (the default), `kill-engine`,
    /// `kill-criu`, `full-disk` or `cut-wire`
    #[arg(long, value_name = "STEP[:FAULT][@NODE]")]
    pub(crate) crash: Option<String>,
    /// What is drawn at random is drawn from this [default: another one each time, recorded]
    #[arg(long, value_name = "N")]
    pub(crate) seed: Option<u64>,
    /// How many cells run at once [default: the number of processors]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) jobs: Option<u16>,
    /// How often each cell runs; ten of them begin in the same way: where the first was ready, the
    /// others go on from a branch of its nodes
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) repeat: u32,
    /// How many copies `quick-start` makes of one checkpoint
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..=64))]
    pub(crate) copies: u16,
    /// How time passes in guests: `virtual` counts instructions, so that times measured there
    /// repeat on a noisy host; it takes two to three times as long, and guests have one CPU
    #[arg(long, value_enum, default_value_t = Time::Real)]
    pub(crate) time: Time,
    /// Write all frames on each wire between nodes to a pcapng file in the cell's folder
    #[arg(long)]
    pub(crate) pcap: bool,
    /// Print results.json and nothing else on standard output
    #[arg(long)]
    pub(crate) json: bool,
}

/// A restored pod is spoiled in hundreds of ways, one at a time, each in a fork of a machine that
/// stands where the restore waits; and the verifier must notice each of them by name. Controls
/// that change nothing must be judged so.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Families:
  image   a field of an image, between dump and restore
  live    the restored and frozen pod, from outside
  memory  its memory

Exit codes:
  0    each mutant was noticed
  1    one survived, or a control that changes nothing was called diverged
  2    usage: something is unknown or malformed; nothing was booted
  3    the lab or the host is broken
  130  interrupted")]
pub(crate) struct Mutants {
    /// All mutants whose name contains this, or matches it as a glob [default: some of each
    /// operator, drawn by the seed]
    pub(crate) filter: Option<String>,
    /// At most so many of each family and workload, drawn by the seed; 0 for all that are possible
    #[arg(long, value_name = "N")]
    pub(crate) most: Option<usize>,
    /// The kernel
    #[arg(long, default_value = "trixie", value_name = "KERNEL")]
    pub(crate) kernel: String,
    /// The CRIU
    #[arg(long, default_value = "trixie", value_name = "CRIU")]
    pub(crate) criu: String,
    /// Workloads that are spoiled
    #[arg(long, value_delimiter = ',', default_value = "counter,redis", value_name = "LIST")]
    pub(crate) workload: Vec<String>,
    /// The folder for mutants.json [default: target/cryolab/runs/TIME]
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
    /// How guests run; `auto` takes KVM where a kernel really boots under it
    #[arg(long, value_enum, default_value_t = Accel::Auto)]
    pub(crate) accel: Accel,
    /// Which of the possible mutants run is drawn from this
    #[arg(long, value_name = "N", default_value_t = 5)]
    pub(crate) seed: u64,
    /// How many forks at once [default: the number of processors]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) jobs: Option<u16>,
    /// Print mutants.json and nothing else on standard output
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  cargo xtask report DIR
  cargo xtask report DIR --cell 'reboot-redis*'
  cargo xtask report DIR --cell 'reboot-redis*' --facts 'task.1.fd.*.socket.*'
  cargo xtask report DIR DIR      (or a folder of runs: their cells, counted up)")]
pub(crate) struct Report {
    /// The run's folder; of several, or of a folder that holds runs, the cells are counted up
    #[arg(required = true, value_name = "DIR")]
    pub(crate) folders: Vec<PathBuf>,
    /// Show both captures of this cell (or of these: a glob) side by side, and how each fact was
    /// judged: what differs first
    #[arg(long, value_name = "NAME")]
    pub(crate) cell: Option<String>,
    /// Only facts that fit this glob, equal ones too; without --cell of all cells
    #[arg(long, value_name = "PATTERN")]
    pub(crate) facts: Option<String>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Time {
    Real,
    Virtual,
}

impl Time {
    pub(crate) fn setting(self) -> vm::Time {
        match self {
            Time::Real => vm::Time::Real,
            Time::Virtual => vm::Time::Virtual,
        }
    }
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
pub(crate) enum Stand {
    Never,
    /// Of cells that are not as expected
    Failed,
    Always,
}

impl Stand {
    pub(crate) fn setting(self) -> runner::stage::Stand {
        match self {
            Stand::Never => runner::stage::Stand::Never,
            Stand::Failed => runner::stage::Stand::Failed,
            Stand::Always => runner::stage::Stand::Always,
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
    /// Make images ahead, with parallel downloads, and print their paths
    Build(ImagesBuild),
    /// Remove images that no run has used for a month; never what a process uses
    Prune {
        /// All that no process uses, and the package indexes
        #[arg(long, conflicts_with = "older")]
        all: bool,
        /// What was not used for so many days
        #[arg(long, value_name = "DAYS", default_value_t = 30)]
        older: u32,
    },
    /// Print the path of an image, made first if it is not in the cache
    Path {
        /// Which image
        #[arg(value_enum)]
        what: ImageKind,
        /// Which kernel, or which CRIU
        #[arg(default_value = "trixie")]
        selector: String,
    },
}

#[derive(Debug, Args)]
pub(crate) struct ImagesBuild {
    /// The newest kernel of every series of every suite, every CRIU, every workload
    #[arg(long, conflicts_with_all = ["kernel", "criu", "workload", "modules"])]
    pub(crate) all: bool,
    /// Kernels: SUITE, SUITE/VERSION, globs of either (`trixie*/6.*`), or a path to a bzImage
    #[arg(long, value_delimiter = ',', default_value = "trixie", value_name = "LIST")]
    pub(crate) kernel: Vec<String>,
    /// The modules of a kernel that is given by path
    #[arg(long, value_name = "DIR")]
    pub(crate) modules: Option<PathBuf>,
    /// CRIUs: SUITE, SUITE+selinux, or a path to a binary or to a built tree
    #[arg(long, value_delimiter = ',', default_value = "trixie", value_name = "LIST")]
    pub(crate) criu: Vec<String>,
    /// Workloads: a name from `workloads/`, or a path to a folder with a `workload.toml`
    #[arg(long, value_delimiter = ',', default_value = "counter,redis", value_name = "LIST")]
    pub(crate) workload: Vec<String>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum ImageKind {
    /// The bzImage
    Kernel,
    /// The disk of this kernel's modules
    Modules,
    /// The initramfs of this kernel, with the agent as its init
    Initramfs,
    /// The root filesystem of nodes
    Rootfs,
    /// The disk with this CRIU
    Criu,
    /// The cache that holds them all
    Cache,
}
