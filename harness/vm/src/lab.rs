//! A lab: nodes and the wires between them, described first, then started.
//!
//! ```no_run
//! # async fn example(machine: vm::Machine, templates: vm::Templates) -> Result<(), vm::Error> {
//! use std::path::Path;
//! use vm::lab::Lab;
//!
//! let mut lab = Lab::new(Path::new("lab"), templates, 7)?;
//! lab.node("a", machine.clone())?;
//! lab.node("b", machine)?;
//! lab.wire("a", "b")?;
//! lab.start_all().await?;
//! lab.switch().cut("a", "b")?;
//! let checkpointed = lab.branch(&["a", "b"]).await?;
//! let again = checkpointed.fork(Path::new("again")).await?;
//! # drop(again);
//! # Ok(())
//! # }
//! ```
//!
//! A node's first start is a fork of its machine's template; every later one is a boot, with
//! firmware, kernel and init. What a node is called, which addresses it has and what is drawn at
//! random comes from the lab's seed.

mod branch;
mod identity;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use model::message::{Identity, Request, Shutdown};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

pub use self::branch::Branch;
use crate::disk::DataDisk;
use crate::node::BECOME;
use crate::wire::Switch;
use crate::{Error, Machine, Node, Seat, Templates};

/// So many machines start at once: each keeps a processor busy.
const STARTS: usize = 2;

/// Nodes on wires.
#[derive(Debug)]
pub struct Lab {
    folder: PathBuf,
    templates: Templates,
    switch: Switch,
    seed: u64,
    slots: BTreeMap<String, Slot>,
    wires: BTreeSet<(String, String)>,
    /// How far its time of day is behind the host's: in a lab that goes on from a branch nobody has
    /// noticed that time passed, and no reboot may tell.
    behind: Duration,
}

/// A node as it was described, and what became of it.
#[derive(Debug)]
struct Slot {
    /// Counts the nodes, from 1: the last part of its address.
    number: u8,
    machine: Machine,
    data: Option<DataDisk>,
    starts: u32,
    node: Option<Node>,
}

impl Lab {
    /// A lab without nodes. Its consoles go to `folder`.
    ///
    /// # Errors
    /// When the folder or the switch cannot be made.
    pub fn new(folder: &Path, templates: Templates, seed: u64) -> Result<Lab, Error> {
        std::fs::create_dir_all(folder)
            .map_err(Error::host(format!("make {}", folder.display())))?;
        let switch = Switch::start(seed).map_err(Error::host("start the switch"))?;
        Ok(Lab::on(folder, templates, switch, seed))
    }

    fn on(folder: &Path, templates: Templates, switch: Switch, seed: u64) -> Lab {
        let (slots, wires, behind) = Default::default();
        Lab { folder: folder.to_owned(), templates, switch, seed, slots, wires, behind }
    }

    /// Describes a node.
    ///
    /// # Errors
    /// When there is one of this name, or no address is left.
    pub fn node(&mut self, name: &str, machine: Machine) -> Result<(), Error> {
        if self.slots.contains_key(name) {
            return Err(Error::Lab(format!("there is a node {name} already")));
        }
        let last = self.slots.values().map(|slot| slot.number).max().unwrap_or(0);
        let number = last.checked_add(1).filter(|number| *number < u8::MAX);
        let number = number.ok_or_else(|| Error::Lab("a lab has room for 254 nodes".to_owned()))?;
        let slot = Slot { number, machine, data: None, starts: 0, node: None };
        self.slots.insert(name.to_owned(), slot);
        Ok(())
    }

    /// Gives a node the disk that survives whatever befalls it.
    ///
    /// # Errors
    /// When there is no such node.
    pub fn data_disk(&mut self, name: &str, disk: DataDisk) -> Result<(), Error> {
        let slot = self.slot_mut(name)?;
        slot.machine.data_bytes = Some(disk.bytes());
        slot.data = Some(disk);
        Ok(())
    }

    /// Joins two nodes by a wire. Each of them has one card, on which all its wires end.
    ///
    /// # Errors
    /// When there is no such node, or it runs already without a card.
    pub fn wire(&mut self, a: &str, b: &str) -> Result<(), Error> {
        for name in [a, b] {
            let slot = self.slot_mut(name)?;
            if slot.node.is_some() && slot.machine.cards == 0 {
                return Err(Error::Lab(format!("node {name} runs already, and has no card")));
            }
            slot.machine.cards = 1;
        }
        self.switch.wire(a, b)?;
        let (a, b) = if a < b { (a, b) } else { (b, a) };
        self.wires.insert((a.to_owned(), b.to_owned()));
        Ok(())
    }

    /// From the next boot on, the node is another machine: with another kernel, say. It keeps its
    /// disk and its card.
    ///
    /// # Errors
    /// When there is no such node.
    pub fn set_machine(&mut self, name: &str, machine: Machine) -> Result<(), Error> {
        let slot = self.slot_mut(name)?;
        let (data_bytes, cards) = (slot.machine.data_bytes, slot.machine.cards);
        slot.machine = Machine { data_bytes, cards, ..machine };
        Ok(())
    }

    /// Starts a node: a fork when it never ran, else a boot.
    ///
    /// # Errors
    /// When it runs already, or does not start.
    pub async fn start(&mut self, name: &str) -> Result<&Node, Error> {
        let launch = self.launch(name)?;
        let node = if launch.first { launch.fork().await } else { launch.boot().await };
        self.keep(name, node?)
    }

    /// Boots a node: firmware, kernel and init run, the first time, too.
    ///
    /// # Errors
    /// As [`Lab::start`].
    pub async fn boot(&mut self, name: &str) -> Result<&Node, Error> {
        let node = self.launch(name)?.boot().await?;
        self.keep(name, node)
    }

    /// Starts all nodes that never ran, several at once.
    ///
    /// # Errors
    /// When one does not start: then none of those that were started here is left.
    pub async fn start_all(&mut self) -> Result<(), Error> {
        let fresh = self.slots.iter().filter(|(_, slot)| slot.starts == 0);
        let fresh: Vec<String> = fresh.map(|(name, _)| name.clone()).collect();
        let (mut started, turns) = (JoinSet::new(), Arc::new(Semaphore::new(STARTS)));
        for name in fresh {
            let (launch, turns) = (self.launch(&name)?, Arc::clone(&turns));
            started.spawn(async move {
                let _turn = turns.acquire_owned().await;
                Ok((name, launch.fork().await?))
            });
        }
        let mut nodes = Vec::new();
        while let Some(joined) = started.join_next().await {
            nodes.push(joined.unwrap_or_else(|error| Err(Error::Lab(error.to_string())))?);
        }
        for (name, node) in nodes {
            self.keep(&name, node)?;
        }
        Ok(())
    }

    /// The names of all nodes, in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.slots.keys().map(String::as_str)
    }

    /// The pairs of nodes that are joined by a wire.
    pub fn wires(&self) -> impl Iterator<Item = (&str, &str)> {
        self.wires.iter().map(|(a, b)| (a.as_str(), b.as_str()))
    }

    /// A node that was started and not taken down.
    #[must_use]
    pub fn running(&self, name: &str) -> Option<&Node> {
        self.slots.get(name)?.node.as_ref()
    }

    /// All nodes that were started and not taken down.
    pub fn nodes(&self) -> impl Iterator<Item = &Node> {
        self.slots.values().filter_map(|slot| slot.node.as_ref())
    }

    /// Ends the lab: kills every node, and waits until it is gone.
    pub async fn end(self) {
        for slot in self.slots.into_values() {
            if let Some(node) = slot.node {
                node.kill().await;
            }
        }
    }

    /// A node's machine.
    #[must_use]
    pub fn machine(&self, name: &str) -> Option<&Machine> {
        self.slots.get(name).map(|slot| &slot.machine)
    }

    /// A node's address on its wires, if it has any.
    #[must_use]
    pub fn address(&self, name: &str) -> Option<String> {
        let slot = self.slots.get(name).filter(|slot| slot.machine.cards > 0)?;
        Some(identity::address(slot.number))
    }

    /// The wires: to cut, heal and shape them, and to read what they carried.
    #[must_use]
    pub fn switch(&self) -> &Switch {
        &self.switch
    }

    /// Takes a node down in an orderly way.
    ///
    /// # Errors
    /// When it does not run, or does not get down in time.
    pub async fn shut_down(&mut self, name: &str, how: Shutdown) -> Result<(), Error> {
        self.take(name)?.shut_down(how).await
    }

    /// Presses a node's reset button: it is gone at once; its disk keeps what it has taken.
    ///
    /// # Errors
    /// When it does not run.
    pub async fn reset(&mut self, name: &str) -> Result<(), Error> {
        self.take(name)?.kill().await;
        Ok(())
    }

    /// Cuts a node's power: it is gone at once, and what it has not flushed is lost.
    ///
    /// # Errors
    /// When it does not run.
    pub async fn power_cut(&mut self, name: &str) -> Result<(), Error> {
        self.take(name)?.cut_power().await
    }

    /// Makes a node's kernel panic.
    ///
    /// # Errors
    /// When it does not run, or survives.
    pub async fn panic(&mut self, name: &str) -> Result<(), Error> {
        self.take(name)?.panic().await
    }

    /// Takes note that a node has ended by itself.
    pub fn forget(&mut self, name: &str) {
        if let Ok(slot) = self.slot_mut(name) {
            slot.node = None;
        }
    }

    /// Where the console of a node's latest start is.
    #[must_use]
    pub fn console(&self, name: &str) -> Option<PathBuf> {
        let slot = self.slots.get(name)?;
        Some(self.folder.join(console_name(name, slot.starts)))
    }

    fn keep(&mut self, name: &str, node: Node) -> Result<&Node, Error> {
        Ok(self.slot_mut(name)?.node.insert(node))
    }

    fn take(&mut self, name: &str) -> Result<Node, Error> {
        let node = self.slot_mut(name)?.node.take();
        node.ok_or_else(|| Error::Lab(format!("node {name} does not run")))
    }

    fn slot(&self, name: &str) -> Result<&Slot, Error> {
        self.slots.get(name).ok_or_else(|| self.unknown(name))
    }

    fn slot_mut(&mut self, name: &str) -> Result<&mut Slot, Error> {
        let unknown = self.unknown(name);
        self.slots.get_mut(name).ok_or(unknown)
    }

    fn unknown(&self, name: &str) -> Error {
        let known = self.names().collect::<Vec<_>>().join(", ");
        Error::Lab(format!("there is no node {name}; there are: {known}"))
    }

    /// Everything for the next start of a node.
    fn launch(&mut self, name: &str) -> Result<Launch, Error> {
        if self.slot(name)?.node.is_some() {
            return Err(Error::Lab(format!("node {name} runs already")));
        }
        let slot = self.slot_mut(name)?;
        slot.starts += 1;
        let (machine, first) = (slot.machine.clone(), slot.starts == 1);
        let seat = self.seat(name)?;
        Ok(Launch { templates: self.templates.clone(), machine, seat, first })
    }

    fn seat(&self, name: &str) -> Result<Seat, Error> {
        let slot = self.slot(name)?;
        let mut seat = Seat::new(name, self.folder.join(console_name(name, slot.starts)));
        seat.identity = self.identity(name)?;
        seat.behind = self.behind;
        seat.seed = Some(identity::number(self.seed, name, slot.starts));
        seat.data = slot.data.clone();
        if slot.machine.cards > 0 {
            let plug = self.switch.plug(name);
            seat.cards.push(plug.map_err(Error::host(format!("plug {name} in")))?);
        }
        Ok(seat)
    }

    fn identity(&self, name: &str) -> Result<Identity, Error> {
        let slot = self.slot(name)?;
        let others = self.slots.iter().filter(|(_, slot)| slot.machine.cards > 0);
        let hosts = others.map(|(name, slot)| identity::host(name, slot.number));
        let cards = (slot.machine.cards > 0).then(|| identity::card(self.seed, name, slot.number));
        Ok(Identity {
            hostname: name.to_owned(),
            machine_id: identity::machine_id(self.seed, name),
            entropy: identity::entropy(self.seed, name, slot.starts),
            clock_ns: None,
            cards: cards.into_iter().collect(),
            hosts: hosts.collect(),
        })
    }

    /// A node and all that it is wired to, if it is wired.
    fn neighbours(&self, name: &str) -> BTreeSet<String> {
        let ends = self.wires.iter().filter(|(a, b)| a == name || b == name);
        ends.flat_map(|(a, b)| [a.clone(), b.clone()]).collect()
    }

    /// Tells every running node which other nodes there are now.
    async fn introduce(&self) -> Result<(), Error> {
        for (name, slot) in &self.slots {
            let Some(node) = &slot.node else { continue };
            let identity = Identity { entropy: Vec::new(), ..self.identity(name)? };
            node.guest().request(Request::Become { identity }, BECOME).await?;
        }
        Ok(())
    }
}

/// A start that is due.
struct Launch {
    templates: Templates,
    machine: Machine,
    seat: Seat,
    first: bool,
}

impl Launch {
    async fn fork(self) -> Result<Node, Error> {
        self.templates.fork(&self.machine, self.seat).await
    }

    async fn boot(self) -> Result<Node, Error> {
        self.machine.boot(self.seat).await
    }
}

fn console_name(node: &str, start: u32) -> String {
    format!("console-{node}-{start}.log")
}
