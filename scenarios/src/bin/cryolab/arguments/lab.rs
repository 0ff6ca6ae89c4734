//! The command line of `lab`.

use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgGroup, Args, Subcommand};
use vm::wire::{Rate, Shape, Share};

use super::Accel;

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  cargo xtask lab up --nodes 2 --kernel trixie,bookworm
  cargo xtask lab enter a
  cargo xtask lab exec a -- ping -c 3 b
  cargo xtask lab cp ./my-program a:/usr/local/bin/
  cargo xtask lab wire a b --delay 100ms --loss 20% --seed 7
  cargo xtask lab power-cut b
  cargo xtask lab down")]
pub(crate) struct Lab {
    #[command(subcommand)]
    pub(crate) command: LabCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum LabCommand {
    /// Start a lab
    Up(Up),
    /// A shell on a node. Enter, ~, . leaves one that does not answer any more
    Enter {
        /// Its name
        node: String,
    },
    /// Run a program on a node: its exit code, its standard input, output and error are the command's
    #[command(after_help = "\
Ctrl-C interrupts the program on the node; a second one kills it.

Examples:
  cargo xtask lab exec a -- uname -r
  cargo xtask lab exec a -- sh -c 'cat > /data/list' < list
  cargo xtask lab exec -t a -- top")]
    Exec {
        /// Give it a terminal
        #[arg(short, long)]
        terminal: bool,
        /// The node's name
        node: String,
        /// Program and arguments
        #[arg(last = true, required = true)]
        command: Vec<String>,
    },
    /// Copy files and folders to or from a node: one of the two is NODE:PATH
    #[command(after_help = "\
Modes, times and links are kept. A folder that exists is copied into.

Examples:
  cargo xtask lab cp target/debug/tool a:/usr/local/bin/
  cargo xtask lab cp a:/var/log ./log-of-a")]
    Cp {
        /// What: PATH or NODE:PATH
        from: String,
        /// Where to: PATH or NODE:PATH
        to: String,
    },
    /// The consoles of a node: of its boots so far, the oldest first
    Logs {
        /// Its name
        node: String,
        /// Go on with what comes, also over reboots
        #[arg(short, long)]
        follow: bool,
    },
    /// What stands: nodes, wires and what went through them, snapshots
    Status {
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Cut a wire: nothing gets through
    Cut(Between),
    /// Heal a wire that was cut
    Heal(Between),
    /// Let a wire delay, lose, duplicate, reorder or limit what is on it. What is not named is as on
    /// a clean wire
    #[command(after_help = "\
Examples:
  cargo xtask lab wire a b --delay 100ms --jitter 10ms
  cargo xtask lab wire a b --one-way --loss 20% --rate 10mbit --seed 7
  cargo xtask lab wire a b --clear")]
    Wire(Wire),
    /// Cut a node's power: what it has not flushed to its disk is lost. Then boot it again
    PowerCut {
        /// Its name
        node: String,
        /// Leave it off; `reboot` boots it
        #[arg(long)]
        stay_down: bool,
    },
    /// Take a node down in an orderly way and boot it again; one that is down is booted
    Reboot {
        /// Its name
        node: String,
        /// With another kernel: a Debian suite, SUITE/VERSION, or a path to a bzImage
        #[arg(long, value_name = "KERNEL")]
        kernel: Option<String>,
        /// The modules of a kernel that is given by path
        #[arg(long, value_name = "DIR", requires = "kernel")]
        modules: Option<PathBuf>,
    },
    /// Press a node's reset button: it boots anew at once, its disk keeps what it has taken
    Reset {
        /// Its name
        node: String,
    },
    /// Let a node's kernel panic. It stays down; `reboot` boots it
    Panic {
        /// Its name
        node: String,
    },
    /// Keep the whole lab as it is at one moment, frames on the wires included
    Snapshot {
        /// A name for it
        name: String,
    },
    /// Fork the nodes of a snapshot: they come beside the others, with the next letters, as nodes of
    /// their own that are wired to the others
    Fork {
        /// The snapshot's name
        name: String,
        /// They take the place of the lab's nodes instead: the lab is as it was, clocks included
        #[arg(long)]
        replace: bool,
    },
    /// Take the lab down, or clear what is left of one. Consoles and captures stay until the next
    Down {
        /// Print nodes and captures as JSON
        #[arg(long)]
        json: bool,
    },
}

#[derive(Debug, Args)]
pub(crate) struct Up {
    /// How many nodes
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=26))]
    pub(crate) nodes: u8,
    /// Their kernels, one after the other, the last for the rest: a Debian suite (its newest cloud
    /// kernel), SUITE/VERSION, or a path to a bzImage
    #[arg(long, value_delimiter = ',', default_value = "trixie", value_name = "LIST")]
    pub(crate) kernel: Vec<String>,
    /// The modules of a kernel that is given by path
    #[arg(long, value_name = "DIR")]
    pub(crate) modules: Option<PathBuf>,
    /// The CRIU on the nodes: a Debian suite
    #[arg(long, default_value = "trixie", value_name = "CRIU")]
    pub(crate) criu: String,
    /// How nodes run; `auto` takes KVM where a kernel really boots under it
    #[arg(long, value_enum, default_value_t = Accel::Auto)]
    pub(crate) accel: Accel,
    /// Memory of a node
    #[arg(long, value_name = "MIB", default_value_t = 1024, value_parser = clap::value_parser!(u32).range(256..=65536))]
    pub(crate) memory: u32,
    /// Capture each wire to a file that Wireshark reads; `down` names them
    #[arg(long)]
    pub(crate) pcap: bool,
    /// What is drawn at random is drawn from this [default: another one each time, shown by `status`]
    #[arg(long, value_name = "N")]
    pub(crate) seed: Option<u64>,
}

#[derive(Debug, Args)]
pub(crate) struct Between {
    /// A node
    pub(crate) from: String,
    /// Another one
    pub(crate) to: String,
    /// Only what goes from the first to the second
    #[arg(long)]
    pub(crate) one_way: bool,
}

#[derive(Debug, Args)]
#[command(group = ArgGroup::new("what").required(true).multiple(true)
    .args(["delay", "jitter", "loss", "duplicate", "reorder", "rate", "clear"]))]
pub(crate) struct Wire {
    #[command(flatten)]
    pub(crate) between: Between,
    #[command(flatten)]
    pub(crate) shape: ShapeOptions,
    /// Draw what is lost, doubled and so on from this, from now on
    #[arg(long, value_name = "N")]
    pub(crate) seed: Option<u64>,
    /// A clean wire again
    #[arg(long, conflicts_with_all = ["delay", "jitter", "loss", "duplicate", "reorder", "rate"])]
    pub(crate) clear: bool,
}

#[derive(Debug, Args)]
pub(crate) struct ShapeOptions {
    /// How long each frame takes, such as 100ms
    #[arg(long, value_name = "TIME", value_parser = vm::wire::duration)]
    delay: Option<Duration>,
    /// How much longer or shorter than that it may take
    #[arg(long, value_name = "TIME", value_parser = vm::wire::duration)]
    jitter: Option<Duration>,
    /// How many are lost, such as 20%
    #[arg(long, value_name = "SHARE")]
    loss: Option<Share>,
    /// How many come twice
    #[arg(long, value_name = "SHARE")]
    duplicate: Option<Share>,
    /// How many are overtaken by those after them
    #[arg(long, value_name = "SHARE")]
    reorder: Option<Share>,
    /// How fast frames leave, such as 10mbit
    #[arg(long, value_name = "RATE")]
    rate: Option<Rate>,
}

impl ShapeOptions {
    /// What they say.
    pub(crate) fn shape(&self) -> Shape {
        Shape {
            delay: self.delay.unwrap_or_default(),
            jitter: self.jitter.unwrap_or_default(),
            loss: self.loss.unwrap_or_default(),
            duplicate: self.duplicate.unwrap_or_default(),
            reorder: self.reorder.unwrap_or_default(),
            rate: self.rate,
        }
    }
}
