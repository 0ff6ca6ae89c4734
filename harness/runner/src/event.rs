//! Events: the one thing between doing and showing.
//!
//! Whoever does something says so by an event. Progress, table, `results.json` and `junit.xml`
//! know nothing but events, so all of them can be drawn again from a record. Cells are named by
//! [`Cell::name`], which is unique in a run.

use std::collections::BTreeMap;

use jiff::Timestamp;
use model::Phase;
use serde::{Deserialize, Serialize};

use crate::cell::Cell;
use crate::verdict::{Level, LevelVerdict, Outcome, Standing, Trouble};

/// An event and when it happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recorded {
    /// Wall clock of the host.
    pub at: Timestamp,
    /// What happened.
    #[serde(flatten)]
    pub event: Event,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum Event {
    /// The plan is made; always the first.
    RunStarted(Box<Plan>),
    /// An image is being made or fetched.
    ImageStarted {
        /// What it is, for people.
        name: String,
    },
    /// How far it is. Recorded at most twice a second for each image.
    ImageProgress {
        /// What it is.
        name: String,
        /// Bytes so far.
        done: u64,
        /// Bytes in the end, where that is known.
        total: Option<u64>,
    },
    /// Something worth knowing about images.
    ImageNote {
        /// In words.
        text: String,
    },
    /// An image is there.
    ImageFinished {
        /// What it is.
        name: String,
        /// What came of it, such as `built, 210 MiB`.
        result: String,
        /// How long it took, in milliseconds.
        ms: u64,
    },
    /// The accelerator of all machines is chosen.
    AccelChosen {
        /// `kvm` or `tcg`.
        accel: String,
        /// Why.
        reason: String,
    },
    /// A cell begins.
    CellStarted {
        /// The cell.
        cell: String,
    },
    /// A machine is started.
    NodeStarting {
        /// The cell.
        cell: String,
        /// Name of the node.
        node: String,
        /// Which start of this node, from 1.
        number: u32,
        /// How it is to start.
        start: Start,
    },
    /// The agent of a node has answered.
    NodeStarted {
        /// The cell.
        cell: String,
        /// The boot.
        #[serde(flatten)]
        boot: Boot,
        /// From the start of the machine, in milliseconds.
        ms: u64,
    },
    /// The workload said ready.
    Ready {
        /// The cell.
        cell: String,
        /// From the order to start the pod, in milliseconds.
        ms: u64,
    },
    /// The client outside the container has finished.
    ClientFinished {
        /// The cell.
        cell: String,
        /// `before` the checkpoint or `after` the event.
        when: String,
        /// Its exit code.
        code: i32,
        /// The last line that it wrote.
        said: String,
    },
    /// A step of the engine begins.
    Step {
        /// The cell.
        cell: String,
        /// Name of the step, such as `dump.criu`.
        name: String,
        /// The node's monotonic clock, in nanoseconds.
        at_ns: u64,
    },
    /// The story has reached a phase.
    PhaseReached {
        /// The cell.
        cell: String,
        /// The phase.
        phase: Phase,
    },
    /// Something befell a wire.
    WireChanged {
        /// The cell.
        cell: String,
        /// When.
        phase: Phase,
        /// What, in words.
        what: String,
    },
    /// A client on another node watches the service from now on.
    Observed {
        /// The cell.
        cell: String,
        /// The client's node.
        node: String,
    },
    /// What the wires between the nodes have carried in the end.
    WiresCarried {
        /// The cell.
        cell: String,
        /// Bytes of frames, in both directions.
        bytes: u64,
    },
    /// A round of a pre-copy was taken from the pod, which runs on, and is on the other node.
    PreCopied {
        /// The cell.
        cell: String,
        /// The round.
        #[serde(flatten)]
        round: Round,
    },
    /// The checkpoint is another node's now.
    HandedOver {
        /// The cell.
        cell: String,
        /// The node that had it.
        from: String,
        /// The node that has it.
        to: String,
        /// Bytes of frames that the wire carried there meanwhile.
        bytes: u64,
        /// How long it took, in milliseconds.
        ms: u64,
    },
    /// Another node has copies of the checkpoints.
    CheckpointsCopied {
        /// The cell.
        cell: String,
        /// The node that has them.
        from: String,
        /// The node that has copies now.
        to: String,
        /// Bytes of frames that the wire carried there meanwhile.
        bytes: u64,
        /// How long it took, in milliseconds.
        ms: u64,
    },
    /// Something worth knowing about a cell.
    CellNote {
        /// The cell.
        cell: String,
        /// In words.
        text: String,
    },
    /// A hook has run.
    HookFinished {
        /// The cell.
        cell: String,
        /// Where.
        phase: Phase,
        /// The file.
        hook: String,
        /// Its exit code.
        code: i32,
        /// How long it took, in milliseconds.
        ms: u64,
    },
    /// The pod was observed.
    Captured {
        /// The cell.
        cell: String,
        /// `a` before the event, `b` after it.
        capture: String,
        /// Facts in it.
        facts: u64,
        /// How long it took, in milliseconds.
        ms: u64,
    },
    /// The archive is complete.
    Checkpointed {
        /// The cell.
        cell: String,
        /// SHA-256 of the archive.
        sha256: String,
        /// Bytes of CRIU's images.
        images_bytes: u64,
        /// Bytes of the archive.
        archive_bytes: u64,
        /// Pids in the container.
        tasks: Vec<i32>,
    },
    /// The pod runs again.
    Restored {
        /// The cell.
        cell: String,
        /// Pids in the container.
        tasks: Vec<i32>,
    },
    /// The fault of a crash cell strikes.
    Struck {
        /// The cell.
        cell: String,
        /// The node.
        node: String,
        /// When and what, in words.
        what: String,
    },
    /// Order was brought into what a fault had left.
    Recovered {
        /// The cell.
        cell: String,
        /// How the pod came through, in words.
        how: String,
    },
    /// A copy of the pod runs.
    Copied {
        /// The cell.
        cell: String,
        /// Its address.
        address: String,
        /// Its hostname.
        hostname: String,
        /// From the order to restore all copies at once until this one had answered a client, in
        /// milliseconds; none without a client.
        first_answer_ms: Option<u64>,
    },
    /// Something that is as it must be and that users should know.
    Finding {
        /// The cell.
        cell: String,
        /// In words.
        text: String,
    },
    /// A level was judged, or is told why not.
    LevelJudged {
        /// The cell.
        cell: String,
        /// The level.
        level: Level,
        /// What it came to.
        verdict: LevelVerdict,
    },
    /// A cell is over.
    CellFinished {
        /// The cell.
        cell: String,
        /// How.
        #[serde(flatten)]
        end: Box<End>,
    },
    /// The run was told to stop.
    Interrupted {
        /// The signal, such as `SIGINT`.
        signal: String,
    },
    /// The run is over; always the last.
    RunFinished {
        /// The exit code.
        code: u8,
    },
}

/// What a run is going to do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// Version of the record: 1.
    pub schema: u32,
    /// Name of the run.
    pub run: String,
    /// Its folder.
    pub folder: String,
    /// The machine that it runs on.
    pub host: Host,
    /// How many cells run at once.
    pub jobs: usize,
    /// All cells, in order.
    pub cells: Vec<Cell>,
}

/// The machine that a run runs on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Host {
    /// Its operating system, such as `Debian GNU/Linux 12 (bookworm)`.
    pub os: String,
    /// `uname -r`.
    pub kernel: String,
    /// Processors that may be used.
    pub cpus: usize,
    /// Version of Cryolab.
    pub cryolab: String,
}

/// One boot of a node, as its agent told it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Boot {
    /// Name of the node.
    pub node: String,
    /// Which start of this node, from 1.
    pub boot: u32,
    /// How it started.
    pub start: Start,
    /// `/proc/sys/kernel/random/boot_id`.
    pub boot_id: String,
    /// `uname -r`.
    pub kernel_release: String,
    /// CRIU's VERSION answer; empty when CRIU gave none.
    pub criu_version: String,
}

/// A round of a pre-copy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Round {
    /// Which, from 1.
    pub number: u32,
    /// Pages of memory in it.
    pub pages: u64,
    /// Bytes of its archive.
    pub archive_bytes: u64,
    /// Bytes of frames that the wire carried for it.
    pub bytes: u64,
    /// How long CRIU took, in milliseconds. The pod stands still for a part of it.
    pub dump_ms: u64,
    /// How long it took to make the archive, in milliseconds.
    pub archive_ms: u64,
    /// How long it was on its way, in milliseconds.
    pub carry_ms: u64,
    /// Why there was no further round, in words.
    pub last: Option<String>,
}

/// How a node comes to run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Start {
    /// From the state of a machine that has booted before: no reboot.
    Fork,
    /// By firmware, kernel and init.
    Boot,
    /// From another cell that had come as far as `ready`.
    Branch,
}

/// How a cell ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct End {
    /// Its outcome.
    pub outcome: Outcome,
    /// The outcome that was expected.
    pub expected: Outcome,
    /// How the one stands against the other.
    pub standing: Standing,
    /// In one line; empty when there is nothing to say.
    pub reason: String,
    /// What is known about a failure.
    pub trouble: Option<Trouble>,
    /// Times by their name in `results.json`, in milliseconds.
    pub times_ms: BTreeMap<String, u64>,
    /// Names of the files in the cell's folder.
    pub artifacts: Vec<String>,
}

impl Event {
    /// The cell that an event is about.
    #[must_use]
    pub fn cell(&self) -> Option<&str> {
        match self {
            Event::CellStarted { cell }
            | Event::NodeStarting { cell, .. }
            | Event::NodeStarted { cell, .. }
            | Event::Ready { cell, .. }
            | Event::ClientFinished { cell, .. }
            | Event::Step { cell, .. }
            | Event::PhaseReached { cell, .. }
            | Event::WireChanged { cell, .. }
            | Event::Observed { cell, .. }
            | Event::WiresCarried { cell, .. }
            | Event::PreCopied { cell, .. }
            | Event::HandedOver { cell, .. }
            | Event::CheckpointsCopied { cell, .. }
            | Event::CellNote { cell, .. }
            | Event::HookFinished { cell, .. }
            | Event::Captured { cell, .. }
            | Event::Checkpointed { cell, .. }
            | Event::Restored { cell, .. }
            | Event::Struck { cell, .. }
            | Event::Recovered { cell, .. }
            | Event::Copied { cell, .. }
            | Event::Finding { cell, .. }
            | Event::LevelJudged { cell, .. }
            | Event::CellFinished { cell, .. } => Some(cell),
            Event::RunStarted(_)
            | Event::ImageStarted { .. }
            | Event::ImageProgress { .. }
            | Event::ImageNote { .. }
            | Event::ImageFinished { .. }
            | Event::AccelChosen { .. }
            | Event::Interrupted { .. }
            | Event::RunFinished { .. } => None,
        }
    }
}
