//! Everything that the engine asks of a kernel, in one trait.
//!
//! What stands below the engine's own state folder, and archives, are plain files that the engine
//! reads and writes itself; cgroups, `/proc`, mounts, namespaces, links, processes, pipes and the
//! clock are asked for here. The engine's verbs hold no system call.

mod child;
mod confine;
mod linux;
mod network;
mod pages;
mod sockets;
mod sys;
mod users;

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::Duration;

use criu::rpc::{Answer, Command, DumpOptions, Features, Notification, RestoreOptions};
use model::pod::{Link, Namespace, Security, UserNamespace};
use nix::mount::MsFlags;
use serde::{Deserialize, Serialize};

use crate::claims::Object;

pub use linux::LinuxHost;
pub use pages::{PageDaemon, PageProgram};

/// One mount.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mount {
    /// Device, folder or file; with file systems that need none, the name shown in mountinfo.
    pub source: PathBuf,
    /// Where it goes.
    pub target: PathBuf,
    /// File system; `None` with a bind mount.
    pub kind: Option<&'static str>,
    /// Flags of mount(2).
    pub flags: MsFlags,
    /// Options of the file system.
    pub options: String,
}

impl Mount {
    /// Makes `source` appear at `target` too.
    #[must_use]
    pub fn bind(source: impl Into<PathBuf>, target: impl Into<PathBuf>) -> Mount {
        Mount {
            source: source.into(),
            target: target.into(),
            kind: None,
            flags: MsFlags::MS_BIND,
            options: String::new(),
        }
    }

    /// A new file system of this kind, with no programs of other users and no devices in it.
    #[must_use]
    pub fn new(
        kind: &'static str,
        target: impl Into<PathBuf>,
        options: impl Into<String>,
    ) -> Mount {
        Mount {
            source: kind.into(),
            target: target.into(),
            kind: Some(kind),
            flags: MsFlags::MS_NOSUID | MsFlags::MS_NODEV,
            options: options.into(),
        }
    }
}

/// What is put into a container's root while it is built, in this order. Paths are those in the
/// container, and are followed within its root only.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fitting {
    /// A mount; its source is a path on the node.
    Mount(Mount),
    /// A folder.
    Folder(PathBuf),
    /// An empty file.
    File(PathBuf),
    /// A character device that everyone may use.
    Device {
        /// Where.
        path: PathBuf,
        /// Major and minor number.
        number: (u64, u64),
    },
    /// A symbolic link.
    Symlink {
        /// Where.
        path: PathBuf,
        /// What it says.
        target: PathBuf,
    },
}

impl fmt::Display for Fitting {
    /// What is being done: `mount proc on /proc`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fitting::Mount(mount) => {
                write!(f, "mount {} on {}", mount.source.display(), mount.target.display())
            }
            Fitting::Folder(path) => write!(f, "make folder {}", path.display()),
            Fitting::File(path) => write!(f, "make file {}", path.display()),
            Fitting::Device { path, .. } => write!(f, "make device {}", path.display()),
            Fitting::Symlink { path, .. } => write!(f, "make link {}", path.display()),
        }
    }
}

/// An open file of a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Descriptor {
    /// The node's pid of the task.
    pub pid: i32,
    /// Its number there.
    pub fd: i32,
}

/// Standard input, output and error of a container; what is missing is the container's `/dev/null`.
#[derive(Debug, Default)]
pub struct Streams(pub [Option<OwnedFd>; 3]);

impl Streams {
    /// Whether all three lead to the container's `/dev/null`.
    #[must_use]
    pub fn is_null(&self) -> bool {
        self.0.iter().all(Option::is_none)
    }
}

/// Where a process lives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Home {
    /// It is the first process of a new container: new mnt and cgroup namespaces, and a new one of
    /// each kind that it does not join.
    New {
        /// The pod's namespaces, by the files that pin them.
        join: BTreeMap<Namespace, PathBuf>,
        /// Hostname in a uts namespace of its own.
        hostname: String,
        /// The mounted root on the node.
        root: PathBuf,
        /// What is put into it.
        fittings: Vec<Fitting>,
        /// A user namespace of its own, which owns its other new ones.
        ids: Option<UserNamespace>,
    },
    /// All namespaces of the process with this pid, and its root.
    Of(i32),
}

/// A program to start in a container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Process {
    /// The cgroup in which it is born.
    pub cgroup: PathBuf,
    /// Where it lives.
    pub home: Home,
    /// Program and arguments. A name without a slash is looked up in the environment's `PATH`.
    pub command: Vec<String>,
    /// Its whole environment, in this order.
    pub env: Vec<(String, String)>,
    /// Working directory in the container.
    pub directory: PathBuf,
    /// User id.
    pub uid: u32,
    /// Group id.
    pub gid: u32,
    /// Resource limits by the kernel's name in lower case: soft and hard.
    pub rlimits: BTreeMap<String, (u64, u64)>,
    /// What confines it.
    pub security: Security,
}

/// A process could not be started.
#[derive(Debug, thiserror::Error)]
#[error("cannot {doing}: {source}")]
pub struct SpawnError {
    /// What was being done.
    pub doing: String,
    /// The kernel's answer.
    pub source: io::Error,
}

/// What answers CRIU's notifications.
pub type Callback<'a> = &'a mut dyn FnMut(Notification) -> Answer;

/// A kernel with its files, mounts, namespaces, links, processes and clock.
///
/// Errors are plain [`io::Error`]s: the caller knows the path and names it.
#[expect(clippy::missing_errors_doc, reason = "every method passes on the kernel's answer")]
pub trait Host: fmt::Debug {
    /// The monotonic clock.
    fn now(&self) -> Duration;

    /// Reads a file of a kernel file system.
    fn read(&self, path: &Path) -> io::Result<Vec<u8>>;
    /// Writes a file of a kernel file system, by one write.
    fn write(&self, path: &Path, text: &str) -> io::Result<()>;
    /// Names in a folder, in order.
    fn list(&self, path: &Path) -> io::Result<Vec<String>>;
    /// What a symbolic link says.
    fn read_link(&self, path: &Path) -> io::Result<PathBuf>;
    /// The inode number of what a path leads to.
    fn inode(&self, path: &Path) -> io::Result<u64>;
    /// Makes a folder and those above it; it may exist.
    fn make_folder(&self, path: &Path) -> io::Result<()>;
    /// Removes an empty folder; it may be missing.
    fn remove_folder(&self, path: &Path) -> io::Result<()>;
    /// Waits until a file that tells its changes by poll (`cgroup.events`) holds `wanted` as one
    /// of its lines. `Ok(Err(text))`: it did not in time, and this was read last.
    fn await_line(
        &self,
        path: &Path,
        wanted: &str,
        limit: Duration,
    ) -> io::Result<Result<(), String>>;

    /// Mounts.
    fn mount(&self, mount: &Mount) -> io::Result<()>;
    /// Unmounts, even when it is in use; what is no mount point is left alone.
    fn unmount(&self, path: &Path) -> io::Result<()>;

    /// Makes new namespaces and pins each by a bind mount on the file of that path. The loopback
    /// device is up. A pid namespace needs a process that is its pid 1: it is born in the cgroup
    /// `holder`, waits for nothing and reaps what has lost its parent.
    fn pin_namespaces(
        &self,
        pins: &BTreeMap<Namespace, PathBuf>,
        hostname: &str,
        holder: &Path,
    ) -> io::Result<()>;
    /// Reads files as a process in this namespace sees them.
    fn read_in(&self, namespace: (Namespace, &Path), files: &[&Path]) -> io::Result<Vec<Vec<u8>>>;

    /// Writes a file as a process in this namespace would, by one write.
    fn write_in(&self, namespace: (Namespace, &Path), file: &Path, text: &str) -> io::Result<()>;
    /// Those of these pids that somebody has in a pid namespace, as a task, thread or process group.
    fn taken_pids(&self, pin: &Path, pids: &[i32]) -> io::Result<Vec<i32>>;
    /// Removes System V objects from an ipc namespace; what is attached stays until it is not.
    fn remove_objects(&self, pin: &Path, objects: &[Object]) -> io::Result<()>;

    /// Makes `eth0` in a network namespace and its other end on the node, up and gated.
    fn make_link(&self, net: &Path, link: &Link, node_end: &str) -> io::Result<()>;
    /// Lets a link work, or drops all that crosses it, without a trace in the pod.
    fn gate_link(&self, node_end: &str, open: bool) -> io::Result<()>;
    /// Removes a link; it may be missing.
    fn remove_link(&self, node_end: &str) -> io::Result<()>;

    /// Removes network locks that a CRIU which was killed has left in a network namespace.
    fn remove_locks(&self, net: &Path) -> io::Result<()>;

    /// TCP sockets of a task that may be bound where others are (`SO_REUSEADDR`).
    fn reusing_sockets(&self, pid: i32) -> io::Result<Vec<Descriptor>>;
    /// Takes TCP sockets of a task out of the repair mode in which a CRIU that was killed has left
    /// them. It takes `SO_REUSEADDR` with it (net/ipv4/tcp.c, `TCP_REPAIR_OFF`), so those that had it
    /// are named.
    fn end_repair(&self, pid: i32, reusing: &[Descriptor]) -> io::Result<()>;

    /// Starts a program. It becomes a child of this process.
    fn spawn(&self, process: &Process, streams: Streams) -> Result<i32, SpawnError>;
    /// Sends a signal; the process may be gone.
    fn signal(&self, pid: i32, signal: i32) -> io::Result<()>;
    /// Waits for the end of a child and reaps it: exit code, or 128 + signal; 0 at once for what is
    /// no child of this process. `None`: it did not end in time.
    fn await_exit(&self, pid: i32, limit: Duration) -> io::Result<Option<i32>>;

    /// Waits for the end of a process that is no child of this one. `false`: it did not end in time.
    fn await_gone(&self, pid: i32, limit: Duration) -> io::Result<bool>;

    /// CRIU's version.
    fn criu_version(&self, program: &Path) -> Result<String, criu::rpc::Error>;
    /// What this CRIU finds in this kernel.
    fn criu_features(&self, command: &Command) -> Result<Features, criu::rpc::Error>;
    /// Has CRIU take the memory of a tree of tasks, which goes on.
    fn pre_dump(
        &self,
        command: &Command,
        options: &DumpOptions<'_>,
        limit: Duration,
    ) -> Result<(), criu::rpc::Error>;
    /// Has CRIU dump a tree of tasks.
    fn dump(
        &self,
        command: &Command,
        options: &DumpOptions<'_>,
        limit: Duration,
        callback: Callback<'_>,
    ) -> Result<(), criu::rpc::Error>;
    /// Has CRIU restore a tree of tasks. The pid of its root, a child of this process.
    fn restore(
        &self,
        command: &Command,
        options: &RestoreOptions<'_>,
        limit: Duration,
        callback: Callback<'_>,
    ) -> Result<i32, criu::rpc::Error>;

    /// Starts a page server, which is a child of this process and ends with its connection. Its pid.
    fn serve_pages(&self, pages: PageProgram) -> io::Result<i32>;
    /// Starts a daemon that puts in the pages of a container, and a guard: before the daemon can end
    /// without having put in all of them, all in this cgroup is killed. Returns when the daemon
    /// listens.
    fn bring_pages(&self, pages: PageProgram, group: &Path) -> io::Result<PageDaemon>;
    /// Kills a daemon, and so before all that waits for its pages. The guard ends by it.
    fn end_pages(&self, daemon: PageDaemon) -> io::Result<()>;

    /// What waits unread in a pipe, given by any path that leads to it; it stays there.
    fn peek_pipe(&self, path: &Path) -> io::Result<Vec<u8>>;
    /// Puts bytes into a pipe, given by either end, without waiting.
    fn fill_pipe(&self, end: BorrowedFd<'_>, bytes: &[u8]) -> io::Result<()>;
}
