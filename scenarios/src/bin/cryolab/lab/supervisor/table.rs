//! What is known of nodes without having the lab.

use std::collections::BTreeMap;
use std::rc::Rc;

use vm::lab::Lab;
use vm::{Guest, Node};

use crate::lab::home::Process;
use crate::lab::protocol::{NodeStatus, Refusal};

/// All nodes, by their names.
#[derive(Debug, Default)]
pub(super) struct Table {
    nodes: BTreeMap<String, Entry>,
}

/// A node.
#[derive(Debug)]
struct Entry {
    address: String,
    /// `uname -r` of its last boot.
    kernel: String,
    life: Life,
}

/// How a node is.
#[derive(Debug)]
pub(super) enum Life {
    /// It answers.
    Running(Rc<Running>),
    /// It is on its way up.
    Starting,
    /// It was taken down, in this way.
    Down(String),
    /// It ended by itself, for this reason.
    Ended(String),
}

/// A node that answers.
#[derive(Debug)]
pub(super) struct Running {
    pub(super) guest: Guest,
    pub(super) pid: u32,
    process: Option<Process>,
}

impl Running {
    pub(super) fn of(node: &Node) -> Self {
        let (guest, pid) = (node.guest().clone(), node.pid());
        Running { guest, pid, process: Process::of(pid) }
    }
}

impl Table {
    /// Takes note of a node of the lab.
    pub(super) fn enter(&mut self, lab: &Lab, name: &str, life: Life) {
        let address = lab.address(name).unwrap_or_default();
        let kernel = lab.running(name).map(|node| node.hello().kernel_release.clone());
        let before = self.nodes.remove(name).map(|entry| entry.kernel);
        let kernel = kernel.or(before).unwrap_or_default();
        self.nodes.insert(name.to_owned(), Entry { address, kernel, life });
    }

    /// From now on, the node is so.
    pub(super) fn set(&mut self, name: &str, life: Life) {
        if let Some(entry) = self.nodes.get_mut(name) {
            entry.life = life;
        }
    }

    /// Forgets all nodes.
    pub(super) fn clear(&mut self) {
        self.nodes.clear();
    }

    /// A node that answers.
    ///
    /// # Errors
    /// When there is none of this name, or it does not run.
    pub(super) fn running(&self, name: &str) -> Result<Rc<Running>, Refusal> {
        match &self.entry(name)?.life {
            Life::Running(running) => Ok(Rc::clone(running)),
            Life::Starting => Err(Refusal::lab(format!("{name} is booting: wait for that"))),
            Life::Down(why) | Life::Ended(why) => Err(Refusal::lab(format!(
                "{name} does not run: {why}; `cargo xtask lab reboot {name}` boots it"
            ))),
        }
    }

    /// Whether a node answers.
    ///
    /// # Errors
    /// When there is none of this name.
    pub(super) fn is_running(&self, name: &str) -> Result<bool, Refusal> {
        self.entry(name).map(|entry| matches!(entry.life, Life::Running(_)))
    }

    /// The pid of a node's machine, while it answers.
    pub(super) fn pid(&self, name: &str) -> Option<u32> {
        self.running(name).ok().map(|running| running.pid)
    }

    /// The names of all nodes.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.nodes.keys().map(String::as_str)
    }

    /// The names of nodes that answer.
    pub(super) fn all_running(&self) -> Vec<String> {
        let running = self.nodes.iter().filter(|(_, it)| matches!(it.life, Life::Running(_)));
        running.map(|(name, _)| name.clone()).collect()
    }

    /// Machines that run.
    pub(super) fn processes(&self) -> Vec<Process> {
        let running = self.nodes.values().filter_map(|entry| match &entry.life {
            Life::Running(running) => running.process,
            _ => None,
        });
        running.collect()
    }

    /// All nodes as they are.
    pub(super) fn status(&self) -> Vec<NodeStatus> {
        self.nodes.iter().map(|(name, entry)| entry.status(name)).collect()
    }

    fn entry(&self, name: &str) -> Result<&Entry, Refusal> {
        self.nodes.get(name).ok_or_else(|| {
            let known = self.names().collect::<Vec<_>>().join(", ");
            Refusal::usage(format!("there is no node `{name}`; there are: {known}"))
        })
    }
}

impl Entry {
    fn status(&self, name: &str) -> NodeStatus {
        let (state, pid, reason) = match &self.life {
            Life::Running(running) => ("running", Some(running.pid), None),
            Life::Starting => ("starting", None, None),
            Life::Down(why) => ("down", None, Some(why.clone())),
            Life::Ended(why) => ("ended", None, Some(why.clone())),
        };
        NodeStatus {
            name: name.to_owned(),
            pid,
            kernel: self.kernel.clone(),
            address: self.address.clone(),
            state: state.to_owned(),
            reason,
        }
    }
}

impl Refusal {
    /// The user asked for something that does not exist.
    pub(super) fn usage(message: impl Into<String>) -> Self {
        Refusal { code: 2, message: message.into() }
    }

    /// The lab does not do.
    pub(super) fn lab(message: impl Into<String>) -> Self {
        Refusal { code: 3, message: message.into() }
    }
}

impl From<vm::Error> for Refusal {
    fn from(error: vm::Error) -> Self {
        Refusal::lab(format!("{:#}", anyhow::Error::new(error)))
    }
}
