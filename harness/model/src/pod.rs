//! Pods and containers: what to start, and what is running.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

pub use crate::security::{Capabilities, Filter, Instruction, Security, UserNamespace};

/// A kind of namespace that the containers of a pod may share, by the kernel's name in `/proc/PID/ns`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Namespace {
    /// Network devices, addresses, sockets by name.
    Net,
    /// System V IPC and POSIX message queues.
    Ipc,
    /// Hostname.
    Uts,
    /// Pids.
    Pid,
}

impl Namespace {
    /// All that can be shared.
    pub const ALL: [Namespace; 4] =
        [Namespace::Net, Namespace::Ipc, Namespace::Uts, Namespace::Pid];

    /// The kernel's name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Namespace::Net => "net",
            Namespace::Ipc => "ipc",
            Namespace::Uts => "uts",
            Namespace::Pid => "pid",
        }
    }
}

/// A pod to start: a sandbox that holds the namespaces which its containers share, and these.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PodSpec {
    /// Name, unique on the node: letters, digits and dashes.
    pub name: String,
    /// Hostname within the pod.
    pub hostname: String,
    /// The pod's link; without it the pod has only a loopback device.
    pub link: Option<Link>,
    /// Namespaces that the sandbox holds for all containers. Of the other kinds each container has
    /// one of its own, where a link is only in a network namespace that is shared.
    pub share: BTreeSet<Namespace>,
    /// Size limit of the pod's `/dev/shm`, in MiB.
    pub shm_mib: u32,
    /// At least one container; the first is the main one.
    pub containers: Vec<ContainerSpec>,
}

/// The pod's network device `eth0`: one end of a veth pair whose other end is on the node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Link {
    /// The pod's address with prefix length, such as `10.88.0.2/24`.
    pub address: String,
    /// The node's address on the same wire, such as `10.88.0.1/24`; the pod's default route.
    pub gateway: String,
    /// Hardware address of `eth0` in the pod.
    pub mac: String,
}

/// Who a restored pod is, where it is not who it was.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PodIdentity {
    /// Name, unique on the node: letters, digits and dashes.
    pub name: String,
    /// Hostname within the pod.
    pub hostname: String,
    /// The pod's link; without it the pod has only a loopback device.
    pub link: Option<Link>,
}

/// A container: a program with its own mnt and cgroup namespaces, its own root, and of the other
/// namespaces those that its pod does not share.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContainerSpec {
    /// Name, unique in the pod.
    pub name: String,
    /// Folder on the node that is the read-only lower layer of the root.
    pub image: PathBuf,
    /// Program and arguments.
    pub command: Vec<String>,
    /// Environment, in this order.
    pub env: Vec<(String, String)>,
    /// Working directory in the container.
    pub directory: String,
    /// User and group id.
    pub uid: u32,
    /// Group id.
    pub gid: u32,
    /// Resource limits by the kernel's name in lower case (`nofile`): soft and hard.
    pub rlimits: BTreeMap<String, (u64, u64)>,
    /// Tmpfs volumes of the container, by destination: the size limit in MiB.
    pub tmpfs: BTreeMap<String, u32>,
    /// Paths that are covered (files by `/dev/null`, folders by an empty read-only tmpfs).
    pub masked: Vec<String>,
    /// Where standard input, output and error lead.
    pub stdio: Stdio,
    /// Memory limit of the container's cgroup, in MiB.
    pub memory_mib: Option<u32>,
    /// Options of CRIU that this container needs.
    pub criu: CriuOptions,
    /// What confines its programs.
    #[serde(default)]
    pub security: Security,
}

/// Where a container's standard streams lead.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stdio {
    /// Pipes to the node.
    #[default]
    Pipe,
    /// `/dev/null`.
    Null,
}

/// Options of CRIU that a workload may ask for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct CriuOptions {
    /// Carry established TCP connections along.
    pub tcp_established: bool,
    /// Carry file locks along.
    pub file_locks: bool,
    /// Allow hard links to be made for deleted files that still have a name.
    pub link_remap: bool,
    /// Largest deleted file that is carried along, in bytes.
    pub ghost_limit: u32,
}

impl Default for CriuOptions {
    /// What a container runtime would set.
    fn default() -> Self {
        CriuOptions {
            tcp_established: true,
            file_locks: true,
            link_remap: true,
            ghost_limit: 64 << 20,
        }
    }
}

/// A running pod as its node sees it: what a capture needs to find everything.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PodStatus {
    /// Name of the pod.
    pub name: String,
    /// Files that pin the sandbox's namespaces, by kind: those that all containers share.
    pub namespaces: BTreeMap<Namespace, PathBuf>,
    /// The pod's cgroup directory.
    pub cgroup: PathBuf,
    /// The pod's `/dev/shm` on the node.
    pub shm: PathBuf,
    /// Containers in the order of the spec.
    pub containers: Vec<ContainerStatus>,
}

/// A running container.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContainerStatus {
    /// Name of the container.
    pub name: String,
    /// The node's pid of the container's pid 1.
    pub pid: i32,
    /// The container's cgroup directory.
    pub cgroup: PathBuf,
    /// Its root on the node.
    pub root: PathBuf,
    /// The writable upper layer of the root.
    pub upper: PathBuf,
}
