//! What crosses the socket between a command and the supervisor of the lab.
//!
//! Both are usually one and the same build of this program, so there is no compatibility to keep:
//! [`PROTOCOL`] changes with this file, and a lab that was started by another build is refused
//! (`lab down` takes it down even so). Framing is that of `model::frame`. A connection carries one
//! request; what a program reads and writes goes along as streams, with the credit of
//! `model::message`.

use std::path::PathBuf;

use model::message::{Input, Stream, WindowSize};
use serde::{Deserialize, Serialize};
use vm::wire::Shape;

/// Tells these messages from those of other builds.
pub(crate) const PROTOCOL: u64 = digest(include_bytes!("protocol.rs"));

/// FNV-1a.
const fn digest(bytes: &[u8]) -> u64 {
    let (mut digest, mut at) = (0xcbf2_9ce4_8422_2325_u64, 0);
    while at < bytes.len() {
        digest = (digest ^ bytes[at] as u64).wrapping_mul(0x0100_0000_01b3);
        at += 1;
    }
    digest
}

/// From a command to the supervisor.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum ToSupervisor {
    /// The first message; it never changes.
    Hello {
        /// The command's [`PROTOCOL`].
        protocol: u64,
    },
    /// The second message.
    Ask(Request),
    /// For the program of [`Request::Exec`].
    Input(Input),
}

/// What a command wants.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Request {
    /// What stands. Answered by [`Reply::Status`].
    Status,
    /// Run a program. Answered by [`Reply::Exited`], after its output.
    Exec {
        /// Where.
        node: String,
        /// Program and arguments.
        command: Vec<String>,
        /// Environment, added to the node's own.
        env: Vec<(String, String)>,
        /// With a size, it gets a terminal.
        terminal: Option<WindowSize>,
    },
    /// Where the consoles of a node are written: [`ToCommand::Consoles`].
    Logs {
        /// Which.
        node: String,
        /// Tell of others, too, for as long as the lab stands.
        follow: bool,
    },
    /// Let something befall a wire. Answered by [`Reply::Status`].
    Wire {
        /// Which.
        wire: Ends,
        /// What.
        fate: WireFate,
    },
    /// Let something befall a node. Answered by [`Reply::Status`].
    Node {
        /// Which.
        node: String,
        /// What.
        fate: NodeFate,
    },
    /// Keep the whole lab, at one moment, under a name. Answered by [`Reply::Done`].
    Snapshot {
        /// Its name.
        name: String,
    },
    /// Let nodes be forks of a snapshot. Answered by [`Reply::Status`].
    Fork {
        /// The snapshot.
        name: String,
        /// Whether they take the place of the lab's nodes.
        replace: bool,
    },
    /// Take the lab down. Answered by [`Reply::Down`].
    Down,
}

/// A wire, or one direction of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Ends {
    /// A node.
    pub(crate) from: String,
    /// Another one.
    pub(crate) to: String,
    /// Only frames that go from `from` to `to`.
    pub(crate) one_way: bool,
}

/// What can befall a wire.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum WireFate {
    /// Nothing gets through.
    Cut,
    /// Frames get through again.
    Heal,
    /// It does this to frames from now on, and what is drawn is drawn from a seed.
    Shape(Shape, Option<u64>),
}

/// What can befall a node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum NodeFate {
    /// The power fails: what was not flushed is lost. It boots again, unless told otherwise.
    PowerCut {
        /// Leave it off.
        stay_down: bool,
    },
    /// It goes down in an orderly way and boots again; one that is down boots.
    Reboot {
        /// Another kernel from now on.
        kernel: Option<OtherKernel>,
    },
    /// The reset button: the machine begins anew at once, its disk keeps what it has taken.
    Reset,
    /// Its kernel panics.
    Panic,
}

/// A kernel with its images.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct OtherKernel {
    /// The bzImage.
    pub(crate) image: PathBuf,
    /// Its initramfs.
    pub(crate) initramfs: PathBuf,
    /// The disk of its modules.
    pub(crate) modules: PathBuf,
}

/// From the supervisor to a command.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum ToCommand {
    /// What takes a while begins.
    Doing(String),
    /// What took a while is done: with the result.
    Did(String),
    /// The program of [`Request::Exec`] wrote something.
    Output {
        /// Where to.
        stream: Stream,
        /// What.
        #[serde(with = "serde_bytes")]
        bytes: Vec<u8>,
    },
    /// The program took so many bytes of its input.
    Taken(u32),
    /// Folders in which consoles are, the oldest first.
    Consoles(Vec<PathBuf>),
    /// The last message.
    Done(Result<Reply, Refusal>),
}

/// The answer to a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Reply {
    /// Nothing to tell.
    Done,
    /// The lab as it is now.
    Status(Status),
    /// Exit code of a program.
    Exited(i32),
    /// The lab is gone.
    Down(Remains),
}

/// Why a request was not done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Refusal {
    /// The command's exit code.
    pub(crate) code: u8,
    /// In words.
    pub(crate) message: String,
}

/// The lab as it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Status {
    /// Nodes, by their names.
    pub(crate) nodes: Vec<NodeStatus>,
    /// Each direction of each wire.
    pub(crate) wires: Vec<WireStatus>,
    /// Names of snapshots.
    pub(crate) snapshots: Vec<String>,
    /// What is drawn at random is drawn from this.
    pub(crate) seed: u64,
    /// Pid of the supervisor.
    pub(crate) supervisor: u32,
}

/// A node as it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct NodeStatus {
    /// Its name.
    pub(crate) name: String,
    /// QEMU's pid, while there is a machine.
    pub(crate) pid: Option<u32>,
    /// `uname -r` of the kernel that runs, or ran last.
    pub(crate) kernel: String,
    /// Its address on the wires.
    pub(crate) address: String,
    /// `running`, `starting`, `down` or `ended`.
    pub(crate) state: String,
    /// Why it is not running, in one line.
    pub(crate) reason: Option<String>,
}

/// A direction of a wire as it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct WireStatus {
    /// Frames come from here ...
    pub(crate) from: String,
    /// ... and go there.
    pub(crate) to: String,
    /// Nothing gets through.
    pub(crate) cut: bool,
    /// What it does to frames.
    pub(crate) shape: Shape,
    /// Frames that were put on it.
    pub(crate) frames: u64,
    /// Their bytes.
    pub(crate) bytes: u64,
    /// Frames that came out of it.
    pub(crate) delivered: u64,
}

/// What is left of a lab.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Remains {
    /// Nodes that were in it.
    pub(crate) nodes: Vec<String>,
    /// Captures of its wires.
    pub(crate) pcap: Vec<PathBuf>,
}
