//! The pods of this node, as far as the agent itself must know them: the node's ends of their
//! containers' streams, and how the containers ended.

use std::collections::BTreeMap;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex};

use anyhow::Context;
use model::pod::PodStatus;

use crate::output::Output;
use crate::reaper::{Exit, Reaper};
use crate::sync::lock;

/// The node's ends of a container's streams.
#[derive(Clone, Debug)]
pub(crate) struct Streams {
    /// Collects standard output and error.
    pub(crate) output: Arc<Output>,
    /// Standard input: held open, so that the container does not see its end.
    pub(crate) _stdin: Arc<OwnedFd>,
}

/// A container that was started or restored here.
#[derive(Clone, Debug)]
pub(crate) struct Container {
    /// The end of its pid 1.
    pub(crate) exit: Arc<Exit>,
    /// Its streams, when they lead to the node.
    pub(crate) streams: Option<Streams>,
    /// The pod's address, when it is known.
    pub(crate) address: Option<String>,
}

/// All pods by name, and in them containers by name.
#[derive(Debug, Default)]
pub(crate) struct Pods {
    table: Mutex<BTreeMap<String, BTreeMap<String, Container>>>,
}

impl Pods {
    /// Takes a pod in, or more containers of one that is known.
    pub(crate) fn insert(
        &self,
        status: &PodStatus,
        address: Option<&str>,
        mut streams: BTreeMap<String, Streams>,
        reaper: &Reaper,
    ) {
        let containers = status.containers.iter().map(|container| {
            let (exit, address) = (reaper.watch(container.pid), address.map(str::to_owned));
            let streams = streams.remove(&container.name);
            (container.name.clone(), Container { exit, streams, address })
        });
        lock(&self.table).entry(status.name.clone()).or_default().extend(containers);
    }

    /// A container of a pod.
    pub(crate) fn container(&self, pod: &str, container: &str) -> anyhow::Result<Container> {
        let table = lock(&self.table);
        let containers = table.get(pod).with_context(|| format!("no pod {pod} on this node"))?;
        let found = containers.get(container);
        found.cloned().with_context(|| format!("no container {container} in pod {pod}"))
    }

    /// Whether a container of a pod is known.
    pub(crate) fn knows(&self, pod: &str, container: &str) -> bool {
        lock(&self.table).get(pod).is_some_and(|containers| containers.contains_key(container))
    }

    /// Forgets all pods but these, and reads from the containers of these again.
    pub(crate) fn keep(&self, pods: &[PodStatus]) {
        let known: Vec<String> = lock(&self.table).keys().cloned().collect();
        for name in known {
            match pods.iter().any(|pod| pod.name == name) {
                true => self.resume(&name),
                false => self.remove(&name),
            }
        }
    }

    /// Reads nothing more from the pod's containers: what is unread is their state.
    pub(crate) fn pause(&self, pod: &str) {
        self.each_output(pod, Output::pause);
    }

    /// Reads again.
    pub(crate) fn resume(&self, pod: &str) {
        self.each_output(pod, Output::resume);
    }

    /// Forgets a pod that is gone.
    pub(crate) fn remove(&self, pod: &str) {
        self.each_output(pod, Output::abandon);
        lock(&self.table).remove(pod);
    }

    fn each_output(&self, pod: &str, act: impl Fn(&Output)) {
        let table = lock(&self.table);
        let containers = table.get(pod).into_iter().flat_map(BTreeMap::values);
        containers.filter_map(|c| c.streams.as_ref()).for_each(|streams| act(&streams.output));
    }
}
