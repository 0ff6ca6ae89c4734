//! Workloads: programs in a container that carry state and can prove it, described by data.
//!
//! A folder with a `workload.toml` is a workload. What the file may say stands in `workload/file.rs`;
//! this module is what the rest of the harness sees of it.

mod file;
mod seccomp;
mod security;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use model::message::{Ready, Sought};
use model::pod::{
    ContainerSpec, CriuOptions, Link, Namespace, PodIdentity, PodSpec, Security, Stdio,
};

pub use self::file::WorkloadError;
use crate::version::Versions;

/// Name of the file that makes a folder a workload.
pub const FILE: &str = "workload.toml";

/// Where a node has the images of containers, each by its disk's serial.
const IMAGES: &str = "/run/cryolab/images";

/// Name of the main container.
const MAIN: &str = "main";

/// A workload, read and checked.
#[derive(Clone, Debug)]
pub struct Workload {
    /// Its name: letters, digits and dashes.
    pub name: String,
    /// What it is, in a line.
    pub summary: String,
    /// The folder of its file.
    pub folder: PathBuf,
    /// Namespaces that its containers share.
    pub share: BTreeSet<Namespace>,
    /// Its containers, the first of which is the main one.
    pub containers: Vec<Container>,
    /// A client outside the container.
    pub client: Option<Client>,
    /// A client on another node that watches the service all along.
    pub observer: Option<Observer>,
    /// What its memory is searched for in a checkpoint.
    pub forensic: Sought,
    /// What it can run on.
    pub needs: Needs,
    /// What it asks for and Cryolab cannot do yet, in words; its cells are `unsupported`.
    pub not_yet: Vec<String>,
}

/// A container of a workload.
#[derive(Clone, Debug)]
pub struct Container {
    /// Its name in the pod; the first one is `main`.
    pub name: String,
    /// What its root is made of.
    pub root: Root,
    /// Program and arguments.
    pub command: Vec<String>,
    /// Environment.
    pub env: Vec<(String, String)>,
    /// User and group id.
    pub user: (u32, u32),
    /// Memory limit of its cgroup, in MiB.
    pub memory_mib: Option<u32>,
    /// Tmpfs volumes by destination: the size in MiB.
    pub tmpfs: BTreeMap<String, u32>,
    /// Resource limits by the kernel's name in lower case: soft and hard.
    pub rlimits: BTreeMap<String, (u64, u64)>,
    /// Covered paths.
    pub masked: Vec<String>,
    /// Where its standard streams lead.
    pub stdio: Stdio,
    /// The sign that it is ready.
    pub ready: Ready,
    /// How it proves itself after the event.
    pub proof: Proof,
    /// Options of CRIU that it needs.
    pub criu: CriuOptions,
    /// What confines it.
    pub security: Security,
    /// The source of its AppArmor profile.
    pub profile: Option<PathBuf>,
}

/// What a container's root is made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Root {
    /// A static executable, placed at `/NAME`.
    Binary(PathBuf),
    /// Debian packages of a suite.
    Packages {
        /// The suite; the node's own when not given.
        suite: Option<String>,
        /// Names of packages.
        names: Vec<String>,
        /// Files of the host that are put beside them, by their absolute path in the container.
        files: BTreeMap<String, PathBuf>,
    },
    /// A tar archive of a root filesystem, or an OCI archive.
    Rootfs(PathBuf),
}

/// How a workload proves itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Proof {
    /// A command that runs in the container; 0 means still right.
    Check(Vec<String>),
    /// The program prints its verdict on SIGTERM, as CRIU's zdtm tests do.
    OnSigterm,
    /// It cannot.
    None,
}

/// A static program that runs on the node, outside the container, and knows the service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Client {
    /// The executable on the host.
    pub binary: PathBuf,
    /// Its arguments before the checkpoint.
    pub before: Vec<String>,
    /// Its arguments after the event.
    pub after: Vec<String>,
}

/// A static program that runs on another node and keeps one raw connection to the service. What
/// it must say stands in `stage/outside.rs`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Observer {
    /// The executable on the host.
    pub binary: PathBuf,
    /// Its arguments.
    pub command: Vec<String>,
}

/// What a workload needs of the node.
#[derive(Clone, Debug, Default)]
pub struct Needs {
    /// Versions of the kernel.
    pub kernel: Option<Versions>,
    /// Versions of CRIU.
    pub criu: Option<Versions>,
}

/// Where workloads and their programs are looked for.
#[derive(Clone, Debug)]
pub struct Sources {
    /// The folder of the workloads that are known by name.
    pub workloads: PathBuf,
    /// The folder of static executables that were built from this repository.
    pub programs: PathBuf,
}

impl Sources {
    /// Names of the known workloads, in order.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        let entries = std::fs::read_dir(&self.workloads).into_iter().flatten().flatten();
        let mut names: Vec<String> = entries
            .filter(|entry| entry.path().join(FILE).is_file())
            .filter_map(|entry| entry.file_name().into_string().ok())
            .collect();
        names.sort();
        names
    }

    /// Reads a known workload.
    ///
    /// # Errors
    /// When its file is missing or wrong, naming file, line and field.
    pub fn named(&self, name: &str) -> Result<Workload, WorkloadError> {
        self.load(&self.workloads.join(name))
    }

    /// Reads the workload of any folder.
    ///
    /// # Errors
    /// When its file is missing or wrong, naming file, line and field.
    pub fn load(&self, folder: &Path) -> Result<Workload, WorkloadError> {
        file::load(folder, &self.programs)
    }
}

impl Workload {
    /// The pod to start, with a hostname that differs from the node's, and a link of its own if there
    /// is a network that its containers share.
    #[must_use]
    pub fn pod(&self) -> PodSpec {
        let PodIdentity { name, hostname, link } = self.identity();
        let containers = self.containers.iter().map(Container::spec).collect();
        PodSpec { name, hostname, link, share: self.share.clone(), shm_mib: 64, containers }
    }

    /// The main container.
    #[must_use]
    pub fn main(&self) -> &Container {
        &self.containers[0]
    }

    /// Who the pod is.
    #[must_use]
    pub fn identity(&self) -> PodIdentity {
        let (name, hostname) = (self.name.clone(), format!("{}-pod", self.name));
        PodIdentity { name, hostname, link: self.link(0) }
    }

    /// Who its copy of this number is, from 1.
    #[must_use]
    pub fn copy(&self, number: u16) -> PodIdentity {
        let name = format!("{}-{number}", self.name);
        let hostname = format!("{}-copy-{number}", self.name);
        PodIdentity { name, hostname, link: self.link(number) }
    }

    fn link(&self, number: u16) -> Option<Link> {
        self.share.contains(&Namespace::Net).then(|| link(number))
    }
}

impl Container {
    fn spec(&self) -> ContainerSpec {
        ContainerSpec {
            name: self.name.clone(),
            image: Path::new(IMAGES).join(self.disk()),
            command: self.command.clone(),
            env: self.env.clone(),
            directory: "/".to_owned(),
            uid: self.user.0,
            gid: self.user.1,
            rlimits: self.rlimits.clone(),
            tmpfs: self.tmpfs.clone(),
            masked: self.masked.clone(),
            stdio: self.stdio,
            memory_mib: self.memory_mib,
            criu: self.criu.clone(),
            security: self.security.clone(),
        }
    }

    /// The serial of the disk that has its image.
    #[must_use]
    pub fn disk(&self) -> String {
        match self.name.as_str() {
            MAIN => "workload".to_owned(),
            name => format!("workload-{name}"),
        }
    }
}

/// The pod's address, for its clients.
pub const ADDRESS: &str = "10.88.0.2";

/// All networks between pods and their node.
pub const NETWORK: &str = "10.88.0.0/16";

/// The link of the pod of this number, below 256, with a network of its own.
fn link(number: u16) -> Link {
    Link {
        address: format!("10.88.{number}.2/24"),
        gateway: format!("10.88.{number}.1/24"),
        mac: format!("0a:58:0a:58:{number:02x}:02"),
    }
}
