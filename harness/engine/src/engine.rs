//! The engine: what it is told once, and what it knows about its pods.

use std::fmt;
use std::path::PathBuf;

use model::pod::{ContainerStatus, PodStatus};

use crate::error::{About, Error};
use crate::host::Host;
use crate::names;
use crate::store::{Places, Record};

/// Where CRIU finds the programs that it calls (`tar`, `ip`).
const PROGRAMS: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Where the engine's things are.
#[derive(Clone, Debug)]
pub struct EngineConfig {
    /// Folder of all state, on a file system that carries an overlay's upper layer (tmpfs, ext4).
    pub state: PathBuf,
    /// CRIU's program.
    pub criu: PathBuf,
    /// The cgroup below which pods get theirs, in a unified hierarchy.
    pub cgroup: PathBuf,
}

impl Default for EngineConfig {
    fn default() -> Self {
        EngineConfig {
            state: "/run/cryolab".into(),
            criu: "/criu/criu".into(),
            cgroup: "/sys/fs/cgroup/cryolab".into(),
        }
    }
}

/// Makes pods, takes checkpoints of them, and makes them again out of archives.
///
/// It keeps nothing in memory: another engine with the same configuration goes on where this one
/// ended. The process that uses it must be root and have one thread, because it forks.
pub struct Engine {
    config: EngineConfig,
    host: Box<dyn Host>,
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Engine").field("config", &self.config).finish_non_exhaustive()
    }
}

impl Engine {
    /// An engine on a host.
    #[must_use]
    pub fn new(config: EngineConfig, host: Box<dyn Host>) -> Engine {
        Engine { config, host }
    }

    /// A pod of this node.
    ///
    /// # Errors
    /// [`Error::NoPod`], or that its record cannot be read.
    pub fn status(&self, pod: &str) -> Result<PodStatus, Error> {
        self.status_of(pod, &[])
    }

    /// A pod of this node with these containers only; with all of them when none is named.
    ///
    /// # Errors
    /// As [`Engine::status`].
    pub fn status_of(&self, pod: &str, containers: &[String]) -> Result<PodStatus, Error> {
        let places = self.places(pod)?;
        Ok(self.record(&places, pod)?.only(containers).status(&places))
    }

    /// What is remembered about a pod, with those containers that are just coming into it.
    pub(crate) fn record(&self, places: &Places, pod: &str) -> Result<Record, Error> {
        let mut record = Record::load(places, pod)?;
        match Record::load(&places.joining(), pod) {
            Ok(joining) if !joining.spec.containers.iter().any(|it| record.has(&it.name)) => {
                record.take_in(&joining);
            }
            Ok(_) | Err(Error::NoPod(_)) => {}
            Err(error) => return Err(error),
        }
        Ok(record)
    }

    /// Names of the pods of this node, in order.
    ///
    /// # Errors
    /// When the state folder cannot be read.
    pub fn pods(&self) -> Result<Vec<String>, Error> {
        let folder = self.config.state.join("pods");
        if !folder.exists() {
            return Ok(Vec::new());
        }
        let entries = fs_err::read_dir(&folder).about("list", &folder)?;
        let mut pods = Vec::new();
        for entry in entries {
            pods.push(entry.about("list", &folder)?.file_name().to_string_lossy().into_owned());
        }
        pods.sort();
        Ok(pods)
    }

    pub(crate) fn config(&self) -> &EngineConfig {
        &self.config
    }

    pub(crate) fn host(&self) -> &dyn Host {
        &*self.host
    }

    /// The version of the CRIU that this engine uses.
    ///
    /// # Errors
    /// When it does not start or does not answer.
    pub fn criu_version(&self) -> Result<String, criu::rpc::Error> {
        self.host.criu_version(&self.config.criu)
    }

    /// How CRIU is started: with nothing of this process but where programs are.
    pub(crate) fn criu(&self) -> criu::rpc::Command {
        let mut command = criu::rpc::Command::new(&self.config.criu);
        command.env_clear().env("PATH", PROGRAMS);
        command
    }

    /// The places of a pod; its name is checked, since it becomes part of paths.
    pub(crate) fn places(&self, pod: &str) -> Result<Places, Error> {
        if !names::is_name(pod) {
            return Err(Error::NoPod(pod.to_owned()));
        }
        Ok(Places::new(&self.config.state, &self.config.cgroup, pod))
    }

    /// A container of a pod.
    pub(crate) fn container(&self, pod: &str, container: &str) -> Result<ContainerStatus, Error> {
        let status = self.status(pod)?;
        status.containers.into_iter().find(|found| found.name == container).ok_or_else(|| {
            Error::NoContainer { pod: pod.to_owned(), container: container.to_owned() }
        })
    }
}
