//! Where a pod's state stands on the node, and what the engine remembers about it.
//!
//! Everything below the state folder is found by the pod's name alone, so that a pod can be removed
//! whatever an engine that died has left of it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use model::message::Afterwards;
use model::pod::{ContainerStatus, Namespace, PodSpec, PodStatus};
use serde::{Deserialize, Serialize};

use crate::archive::{self, ROUNDS};
use crate::claims::{Object, Settings};
use crate::error::{About, Error};
use crate::host::Descriptor;
use crate::lazy::Awaiting;
use crate::names;

/// Format of the record on disk.
const FORMAT: u32 = 4;

/// Places of a pod on its node.
#[derive(Clone, Debug)]
pub(crate) struct Places {
    /// Folder of the pod's state.
    pub(crate) folder: PathBuf,
    /// Folder of CRIU's logs and images; it outlives a checkpointed pod.
    pub(crate) work: PathBuf,
    /// The pod's cgroup.
    pub(crate) cgroup: PathBuf,
    /// The pod's `/dev/shm`.
    pub(crate) shm: PathBuf,
    /// The node's end of the pod's link.
    pub(crate) node_end: String,
    /// What is remembered about it.
    record: PathBuf,
}

impl Places {
    pub(crate) fn new(state: &Path, cgroup: &Path, pod: &str) -> Places {
        let folder = state.join("pods").join(pod);
        Places {
            work: state.join("work").join(pod),
            cgroup: cgroup.join(pod),
            shm: folder.join("shm"),
            node_end: names::node_end(pod),
            record: folder.join("pod.json"),
            folder,
        }
    }

    /// The file that pins a namespace of the sandbox.
    pub(crate) fn pin(&self, namespace: Namespace) -> PathBuf {
        self.folder.join("ns").join(namespace.name())
    }

    /// The pins of a sandbox that holds these kinds.
    pub(crate) fn pins(&self, share: &BTreeSet<Namespace>) -> BTreeMap<Namespace, PathBuf> {
        share.iter().map(|kind| (*kind, self.pin(*kind))).collect()
    }

    /// The cgroup of the process that holds a pid namespace. No container has such a name.
    pub(crate) fn holder(&self) -> PathBuf {
        self.cgroup.join(".sandbox")
    }

    /// Folder of the images of rounds on which no checkpoint builds yet.
    pub(crate) fn rounds(&self) -> PathBuf {
        self.work.join(ROUNDS)
    }

    /// Folder of the containers' roots.
    pub(crate) fn roots(&self) -> PathBuf {
        self.folder.join("roots")
    }

    /// A container's places, its pid not known yet.
    pub(crate) fn container(&self, name: &str) -> ContainerStatus {
        let folder = self.roots().join(name);
        ContainerStatus {
            name: name.to_owned(),
            pid: 0,
            cgroup: self.cgroup.join(name),
            root: folder.join("root"),
            upper: folder.join("upper"),
        }
    }

    /// The same places, with a record beside the pod's: of the containers that are about to come into
    /// it while it runs.
    pub(crate) fn joining(&self) -> Places {
        Places { record: self.folder.join("joining.json"), ..self.clone() }
    }

    /// Forgets what is remembered; there may be nothing.
    pub(crate) fn forget(&self) -> Result<(), Error> {
        archive::remove_file(&self.record)
    }
}

/// What the engine remembers about a pod.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Record {
    format: u32,
    /// What was asked for.
    pub(crate) spec: PodSpec,
    /// Node pids of the containers' first processes, in the order of the spec.
    pub(crate) pids: Vec<i32>,
    /// Names of the pipes given as standard streams, such as `pipe:[4711]`: three a container.
    pub(crate) streams: Vec<[Option<String>; 3]>,
    /// Whether the pod is there, or only begun.
    pub(crate) state: State,
    /// The checkpoint that is being taken of it.
    pub(crate) checkpoint: Option<Checkpointing>,
    /// The rounds on which the next one builds, in their order. None while a dump is under way: when
    /// that does not come to its end, the kernel has forgotten what changed since the round before.
    pub(crate) rounds: Vec<Round>,
    /// The pages that are still to come, while some are: a pod that is found so cannot go on without
    /// the engine that it had.
    pub(crate) awaiting: Option<Awaiting>,
    /// What has come into a pod that runs with containers which are not its own yet.
    pub(crate) brought: Brought,
}

/// What of a pod that runs is to be taken back when containers do not come into it after all.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Brought {
    /// Files below its `/dev/shm`, what is in a folder after the folder.
    pub(crate) files: Vec<PathBuf>,
    /// System V objects.
    pub(crate) objects: Vec<Object>,
    /// The settings that its ipc namespace had before.
    pub(crate) settings: Settings,
}

/// How far the making of a pod has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum State {
    /// It is being made: an engine that finds it so removes it.
    Begun,
    /// It is this node's: an engine that finds it so lets it run.
    There,
}

/// What an engine that starts must know about a checkpoint that another had under way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Checkpointing {
    /// The archive's name.
    pub(crate) archive: PathBuf,
    /// SHA-256 of what is about to get that name, in hexadecimal.
    pub(crate) sha256: Option<String>,
    /// What becomes of the pod then.
    pub(crate) afterwards: Afterwards,
    /// Sockets that may be bound where others are (`SO_REUSEADDR`).
    pub(crate) reusing: Vec<Descriptor>,
}

/// A round that was taken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Round {
    /// The checkpoint's archive.
    pub(crate) of: PathBuf,
    /// SHA-256 of the round's archive, in hexadecimal.
    pub(crate) sha256: String,
    /// Pages in it.
    pub(crate) pages: u64,
}

impl Record {
    /// A pod whose containers do not run yet.
    pub(crate) fn new(spec: &PodSpec) -> Record {
        Record {
            format: FORMAT,
            spec: spec.clone(),
            pids: Vec::new(),
            streams: Vec::new(),
            state: State::Begun,
            checkpoint: None,
            rounds: Vec::new(),
            awaiting: None,
            brought: Brought::default(),
        }
    }

    /// Takes in containers that have come into the pod.
    pub(crate) fn take_in(&mut self, joining: &Record) {
        self.pids.resize(self.spec.containers.len(), 0);
        self.pids.extend(&joining.pids);
        self.streams.resize(self.spec.containers.len(), Default::default());
        self.streams.extend(joining.streams.iter().cloned());
        self.spec.containers.extend(joining.spec.containers.iter().cloned());
    }

    /// Whether the pod has a container of this name.
    pub(crate) fn has(&self, container: &str) -> bool {
        self.spec.containers.iter().any(|it| it.name == container)
    }

    /// The same pod with these containers only; with all of them when none is named.
    pub(crate) fn only(mut self, containers: &[String]) -> Record {
        let index = |name: &String| self.spec.containers.iter().position(|it| it.name == *name);
        self.pids.resize(self.spec.containers.len(), 0);
        let kept: Vec<usize> = containers.iter().filter_map(index).collect();
        if !kept.is_empty() {
            self.pids = kept.iter().filter_map(|at| self.pids.get(*at).copied()).collect();
            self.streams = kept.iter().filter_map(|at| self.streams.get(*at).cloned()).collect();
            let all = std::mem::take(&mut self.spec.containers);
            self.spec.containers = kept.into_iter().map(|at| all[at].clone()).collect();
        }
        self
    }

    /// Reads the record of a pod.
    pub(crate) fn load(places: &Places, pod: &str) -> Result<Record, Error> {
        let path = places.record.clone();
        let bytes = match fs_err::read(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Err(Error::NoPod(pod.to_owned()));
            }
            other => other.about("read", &path)?,
        };
        let record: Record =
            serde_json::from_slice(&bytes).map_err(std::io::Error::from).about("parse", &path)?;
        if record.format != FORMAT {
            let why = format!("format {}, this engine reads {FORMAT}", record.format);
            return Err(std::io::Error::other(why)).about("read", &path);
        }
        Ok(record)
    }

    /// Writes the record: the old one or the new one is there at any moment.
    pub(crate) fn save(&self, places: &Places) -> Result<(), Error> {
        let path = &places.record;
        let fresh = path.with_extension("new");
        let text = serde_json::to_vec_pretty(self).map_err(std::io::Error::from);
        fs_err::write(&fresh, text.about("encode", path)?).about("write", &fresh)?;
        fs_err::rename(&fresh, path).about("rename", &fresh)
    }

    /// The pod as others see it.
    pub(crate) fn status(&self, places: &Places) -> PodStatus {
        let containers = self.spec.containers.iter().enumerate().map(|(index, spec)| {
            let pid = self.pids.get(index).copied().unwrap_or(0);
            ContainerStatus { pid, ..places.container(&spec.name) }
        });
        PodStatus {
            name: self.spec.name.clone(),
            namespaces: places.pins(&self.spec.share),
            cgroup: places.cgroup.clone(),
            shm: places.shm.clone(),
            containers: containers.collect(),
        }
    }
}
