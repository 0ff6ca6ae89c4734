//! What crosses the wall between host and guest.
//!
//! The host asks, the agent answers. Requests carry an id; several may be under way at once.
//! A checkpoint or a restore stops at each [`Phase`] and waits for [`ToGuest::Proceed`], so that
//! the host decides what happens in between (a hook, a capture) by ordinary requests.
//! Bulk data crosses in chunks of at most [`CHUNK_BYTES`].

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

mod afterwards;
mod analysis;
mod failure;
mod handover;
mod identity;
mod pages;
mod place;
mod report;

pub use afterwards::Afterwards;
pub use analysis::Sought;
pub use failure::{Cause, Failure};
pub use handover::{GIVING_PORT, HandOver};
pub use identity::{Card, Identity, KnownHost};
pub use pages::{FoundPage, MOST_PAGES, PageBytes, WantedPage};
pub use place::{Destination, Part, Place};
pub use report::{CheckpointReport, Recovered, RestoreReport, RoundReport};

use crate::pod::{PodSpec, PodStatus};
use crate::{Mark, Phase};

/// Version of these messages. Both sides refuse another one.
pub const PROTOCOL: u32 = 10;

/// Name of the virtio-serial port, below `/dev/virtio-ports/` and in sysfs.
pub const PORT: &str = "cryolab.agent";

/// Most bytes of bulk data in one message.
pub const CHUNK_BYTES: usize = 128 << 10;

/// Most bytes of a program's standard output, and of its standard error, in an answer: both and
/// the rest of the answer fit into one frame.
pub const OUTPUT_BYTES: usize = 126 << 10;

/// Bytes of standard input that may be under way to a program before it has taken any.
pub const INPUT_BYTES: u32 = 256 << 10;

/// Number of a request, chosen by the host.
pub type RequestId = u32;

/// From host to guest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ToGuest {
    /// Who is there? Answered by [`ToHost::Hello`] at any time. Whoever asks knows of no program
    /// that runs by [`Request::Exec`]: those of an earlier host are killed.
    Hello {
        /// The host's [`PROTOCOL`].
        protocol: u32,
    },
    /// Do this.
    Request {
        /// Chosen by the host.
        id: RequestId,
        /// What to do.
        request: Request,
    },
    /// More bytes for the request [`Request::Put`].
    Chunk {
        /// The request that they belong to.
        id: RequestId,
        /// At most [`CHUNK_BYTES`].
        #[serde(with = "serde_bytes")]
        bytes: Vec<u8>,
    },
    /// Something for the program of the request [`Request::Exec`].
    Input {
        /// The program's request.
        id: RequestId,
        /// What.
        input: Input,
    },
    /// Go on from the phase at which the operation waits.
    Proceed {
        /// The operation's request.
        id: RequestId,
        /// What the host decided.
        decision: Decision,
    },
}

/// Something for a program that runs by [`Request::Exec`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Input {
    /// Bytes for its standard input, at most [`CHUNK_BYTES`], and never more than was granted: at
    /// first [`INPUT_BYTES`], then what [`Event::Taken`] says.
    Bytes(#[serde(with = "serde_bytes")] Vec<u8>),
    /// Its standard input ends here.
    End,
    /// Its terminal has another size now.
    Resize(WindowSize),
    /// A signal for its process group.
    Signal(i32),
    /// So many bytes more of its output may be sent: at first none may.
    Grant(u32),
}

/// Size of a terminal, in characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WindowSize {
    /// Lines.
    pub rows: u16,
    /// Characters in a line.
    pub columns: u16,
}

/// How an operation goes on from a phase.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Decision {
    /// As planned.
    Continue,
    /// Give up: undo what can be undone, and answer with a failure.
    Abort,
}

/// From guest to host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ToHost {
    /// Sent once at start and whenever asked.
    Hello(Hello),
    /// An operation has reached something worth telling.
    Event {
        /// The operation's request.
        id: RequestId,
        /// What happened.
        event: Event,
    },
    /// More bytes of the answer to a request.
    Chunk {
        /// The request.
        id: RequestId,
        /// At most [`CHUNK_BYTES`].
        #[serde(with = "serde_bytes")]
        bytes: Vec<u8>,
    },
    /// The request is over. All its chunks were sent before.
    Done {
        /// The request.
        id: RequestId,
        /// The answer.
        outcome: Result<Reply, Failure>,
    },
}

/// Who the agent is and what it runs on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// The agent's [`PROTOCOL`].
    pub protocol: u32,
    /// Version of the agent's build.
    pub build: String,
    /// `uname -r`.
    pub kernel_release: String,
    /// CRIU's version by its VERSION answer (`4.1.1`), or why there is none.
    pub criu_version: Result<String, String>,
}

/// What the host may ask for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Request {
    /// Answered at once by [`Reply::Done`].
    Ping,
    /// Be ready to be forked: load what is still being loaded, write what is still to be written.
    /// Answered by [`Reply::Done`].
    Prepare,
    /// Be this node from now on: sent once to every machine, booted or forked, before anything
    /// else is asked of it. Mounts the data disk, if there is one. Answered by [`Reply::Became`].
    Become {
        /// Who to be.
        identity: Identity,
    },
    /// Write a file; its bytes follow as [`ToGuest::Chunk`]s.
    Put {
        /// Absolute path on the node; parents are made.
        path: PathBuf,
        /// Permission bits.
        mode: u32,
        /// Length in bytes; the file is complete when so many have come.
        bytes: u64,
    },
    /// Read a file: its bytes come as [`ToHost::Chunk`]s.
    Get {
        /// Absolute path on the node.
        path: PathBuf,
    },
    /// Names of the plain files below a folder, as [`Reply::Names`].
    List {
        /// Absolute path on the node.
        path: PathBuf,
    },
    /// Run a program to its end. Answered by [`Reply::Exited`].
    Run {
        /// Where.
        place: Place,
        /// Program and arguments.
        command: Vec<String>,
        /// Environment, added to the agent's own.
        env: BTreeMap<String, String>,
        /// It is killed when it takes longer.
        deadline_ms: u64,
    },
    /// Run a program whose input and output are streams. Its output comes as [`Event::Output`] as
    /// far as it was granted by [`Input::Grant`]. Answered by [`Reply::Exited`] without output.
    Exec {
        /// Program and arguments.
        command: Vec<String>,
        /// Environment, added to the agent's own.
        env: BTreeMap<String, String>,
        /// With a size, the program gets a terminal of its own, on which standard error is output
        /// like any other.
        terminal: Option<WindowSize>,
    },
    /// Load policies of AppArmor, or replace those of the same names. Answered by [`Reply::Done`].
    LoadPolicy {
        /// Policies, as `apparmor_parser` makes them.
        #[serde(with = "serde_bytes")]
        policy: Vec<u8>,
    },
    /// Make a pod and start its containers. Answered by [`Reply::Pod`].
    Start {
        /// The pod.
        pod: PodSpec,
    },
    /// Wait until a container is ready. Answered by [`Reply::Done`].
    AwaitReady {
        /// Name of the pod.
        pod: String,
        /// Name of the container.
        container: String,
        /// The sign to wait for.
        ready: Ready,
        /// How long to wait.
        deadline_ms: u64,
    },
    /// Freeze the pod, dump it, write the archive.
    /// Waits at `frozen` and `post-dump`. Answered by [`Reply::Checkpoint`].
    Checkpoint {
        /// Name of the pod.
        pod: String,
        /// The archive to write.
        archive: PathBuf,
        /// What becomes of the pod when that is done.
        afterwards: Afterwards,
        /// The engine's own deadline for the whole operation.
        deadline_ms: u64,
    },
    /// Take what memory of the pod changed since the last round, or all of it in the first, while the
    /// pod runs on: the checkpoint of that archive then holds the rest. Answered by [`Reply::Round`].
    PreDump {
        /// Name of the pod.
        pod: String,
        /// The archive of the checkpoint to come.
        archive: PathBuf,
        /// The engine's own deadline for the round.
        deadline_ms: u64,
    },
    /// Make the archive's pod again. Waits at `pre-restore` and `pre-resume`, tells `post-resume`
    /// and waits there too. Answered by [`Reply::Restore`].
    Restore {
        /// The archive.
        archive: PathBuf,
        /// Where it goes.
        destination: Destination,
        /// The engine's own deadline for the whole operation.
        deadline_ms: u64,
    },
    /// Make the pod again of which what it needs was taken by [`HandOver::TakeThin`], and let it run
    /// while its pages come. As [`Request::Restore`]; answered when all pages are there.
    RestoreLazily {
        /// What the archive of its checkpoint would be called here.
        archive: PathBuf,
        /// Where the node that gives it waits.
        from: SocketAddr,
        /// The engine's own deadline for the whole operation.
        deadline_ms: u64,
    },
    /// Kill a pod and remove all of it. Answered by [`Reply::Done`].
    Remove {
        /// Name of the pod.
        pod: String,
    },
    /// Move an archive between two nodes, by the engine's hand-over. Tells its steps. Answered by
    /// [`Reply::Gave`] or [`Reply::Took`].
    HandOver {
        /// This node's side of it.
        side: HandOver,
        /// How long the other node is waited for.
        deadline_ms: u64,
    },
    /// Let the next operation wait at a mark for [`ToGuest::Proceed`], or at none. Answered by
    /// [`Reply::Done`].
    WaitAt {
        /// Where.
        mark: Option<Mark>,
    },
    /// End whatever operation is under way, and bring order into what engines that died have left.
    /// Answered by [`Reply::Recovered`].
    Recover {
        /// The folder of the archives.
        archives: PathBuf,
    },
    /// Observe a frozen pod. [`Event::Looked`] comes as soon as the pod may go on; the chunks of
    /// the answer are what was seen, packed.
    Capture {
        /// The pod.
        pod: Part,
    },
    /// Look into CRIU's image files of a frozen pod. The chunks of the answer are a
    /// [`crate::Capture`] in postcard, of facts alone.
    Images {
        /// The pod.
        pod: Part,
        /// Which images.
        of: ImagesOf,
    },
    /// Look into pages of a pod that is restored and frozen. The chunks of the answer are, for each
    /// page in order, a [`FoundPage`], packed.
    Pages {
        /// The pod.
        pod: Part,
        /// At most [`MOST_PAGES`].
        wanted: Vec<WantedPage>,
    },
    /// Look into an archive, without restoring it. The chunks of the answer are what was found, as
    /// JSON in a text, packed.
    Analyse {
        /// The archive.
        archive: PathBuf,
        /// An earlier one of the same pod: what changed since is told.
        against: Option<PathBuf>,
        /// What to search memory for.
        wanted: Sought,
    },
    /// Send a signal to a container's pid 1 and wait for its end. Answered by [`Reply::Exited`],
    /// whose output is all that the container wrote since it was started or restored.
    Stop {
        /// Name of the pod.
        pod: String,
        /// Name of the container.
        container: String,
        /// Signal number.
        signal: i32,
        /// SIGKILL after this time.
        deadline_ms: u64,
    },
    /// Flush and unmount what must survive, then leave the machine.
    Shutdown {
        /// How.
        how: Shutdown,
    },
    /// Let the kernel panic at once. There is no answer.
    Panic,
}

/// Images of a pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ImagesOf {
    /// Those of the checkpoint that is being taken.
    Checkpoint,
    /// Those of a dump that is taken for this look alone: afterwards they are removed, and the pod
    /// is frozen as before.
    AnotherDump {
        /// The engine's own deadline for that dump.
        deadline_ms: u64,
    },
}

/// The sign by which a workload says that it is ready.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Ready {
    /// A line of standard output that contains this text.
    Line(String),
    /// A file of the container exists.
    File(String),
    /// A TCP port of the pod accepts a connection.
    Port(u16),
}

/// How a node goes down in an orderly way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Shutdown {
    /// `reboot(RB_AUTOBOOT)`.
    Reboot,
    /// `reboot(RB_POWER_OFF)`.
    PowerOff,
}

/// Something worth telling while an operation runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Event {
    /// A named step of the engine begins.
    Step {
        /// Its name, such as `dump.criu`.
        name: String,
        /// The node's monotonic clock, in nanoseconds.
        at_ns: u64,
    },
    /// The operation waits here for [`ToGuest::Proceed`].
    Phase {
        /// Where it stands.
        phase: Phase,
        /// The node's monotonic clock, in nanoseconds.
        at_ns: u64,
        /// Node pids of the main container's tasks in the order of their pids in the container,
        /// where they exist.
        pids: Vec<i32>,
        /// The folder of CRIU's images, where it exists.
        images: Option<PathBuf>,
    },
    /// The operation waits for [`ToGuest::Proceed`] at the mark of [`Request::WaitAt`].
    Waits {
        /// Where it stands.
        mark: Mark,
        /// The engine's process.
        engine: i32,
    },
    /// A program of [`Request::Exec`] wrote something.
    Output {
        /// Where to.
        stream: Stream,
        /// What.
        #[serde(with = "serde_bytes")]
        bytes: Vec<u8>,
    },
    /// The pod of [`Request::Capture`] was looked at and may go on: what was seen of it is on its way.
    Looked,
    /// A program of [`Request::Exec`] took so many bytes of its input: as many more may be sent.
    Taken {
        /// The number of bytes.
        bytes: u32,
    },
}

/// One of the streams that a program writes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Stream {
    /// Standard output, or the terminal.
    Stdout,
    /// Standard error.
    Stderr,
}

/// The answer to a request that succeeded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Reply {
    /// Nothing to tell.
    Done,
    /// See [`Request::Become`].
    Became {
        /// `/proc/sys/kernel/random/boot_id`: read here for the first time, so that forks differ.
        boot_id: String,
    },
    /// See [`Request::Start`].
    Pod(PodStatus),
    /// See [`Request::List`].
    Names(Vec<String>),
    /// A program ended.
    Exited {
        /// Exit code, or 128 + signal.
        code: i32,
        /// What it wrote to standard output: at most its last [`OUTPUT_BYTES`].
        #[serde(with = "serde_bytes")]
        stdout: Vec<u8>,
        /// The same for standard error.
        #[serde(with = "serde_bytes")]
        stderr: Vec<u8>,
    },
    /// See [`Request::Checkpoint`].
    Checkpoint(CheckpointReport),
    /// See [`Request::PreDump`].
    Round(RoundReport),
    /// See [`Request::Restore`].
    Restore(RestoreReport),
    /// See [`Request::Recover`].
    Recovered(Recovered),
    /// See [`HandOver::Give`]: the archive is not this node's any more.
    Gave {
        /// Whether the taker has said that it knows.
        thanked: bool,
    },
    /// See [`HandOver::Take`].
    Took {
        /// Length of the archive.
        bytes: u64,
    },
}
