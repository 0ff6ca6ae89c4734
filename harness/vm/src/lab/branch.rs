//! Branching a lab that runs: nodes and wires as they were at one moment, to go on from many times.

use std::path::Path;
use std::time::{Duration, SystemTime};

use model::message::Request;
use tempfile::TempDir;
use tokio::task::spawn_blocking;

use super::{Lab, Slot};
use crate::disk::DataDisk;
use crate::node::BECOME;
use crate::snapshot::{Ram, Snapshot};
use crate::wire::{InFlight, Switch};
use crate::{Error, Machine, Node, Seat, Templates};

/// Nodes at one cut, with the frames that were on their way. Its files go when it is dropped.
#[derive(Debug)]
pub struct Branch {
    #[expect(dead_code, reason = "what counts is when it is dropped")]
    folder: TempDir,
    templates: Templates,
    seed: u64,
    members: Vec<Member>,
    wires: Vec<(String, String)>,
    in_flight: InFlight,
    unread: Vec<String>,
    /// When it was cut, and how far the lab's time was behind the host's then.
    cut: SystemTime,
    behind: Duration,
}

/// A node as it was.
#[derive(Debug)]
struct Member {
    name: String,
    number: u8,
    boot_id: String,
    data: Option<DataDisk>,
    snapshot: Snapshot,
}

impl Lab {
    /// Snapshots running nodes at one cut, from which they can be forked many times. They go on
    /// as if nothing had happened; no request may be under way, but an operation may wait at a
    /// phase.
    ///
    /// The cut: the switch holds frames back and waits until each node has taken what was already
    /// given to it; then the nodes stop, one after the other; what they had sent by then is in
    /// flight. What a node's card had taken, but its kernel had no room for, is lost in forks.
    ///
    /// # Errors
    /// When a node does not run, or QEMU cannot save it. The nodes go on even then.
    pub async fn branch(&mut self, names: &[&str]) -> Result<Branch, Error> {
        for name in names {
            // Nothing is on its way between agent and host when this is answered.
            self.member(name)?.1.guest().request(Request::Ping, BECOME).await?;
        }
        let folder = tempfile::Builder::new().prefix(".branch-").tempdir_in(&self.folder);
        let folder = folder.map_err(Error::host("make a folder for the branch"))?;
        let switch = self.switch.clone();
        let held = spawn_blocking(move || switch.hold()).await;
        let held = held.map_err(|error| Error::Lab(error.to_string()))?;
        let (now, cut) = (SystemTime::now(), self.cut(names, folder.path()).await);
        let resumed = self.resume(names).await;
        self.switch.go_on();
        let (members, in_flight) = cut?;
        resumed?;
        for member in &members {
            member.unpack(folder.path()).await?;
        }
        let inside = |(a, b): &(&str, &str)| names.contains(a) && names.contains(b);
        let wires = self.wires().filter(inside).map(|(a, b)| (a.to_owned(), b.to_owned()));
        let wires = wires.collect();
        let templates = self.templates.clone();
        let (seed, unread, behind) = (self.seed, held.unread, self.behind);
        Ok(Branch { folder, templates, seed, members, wires, in_flight, unread, cut: now, behind })
    }

    async fn cut(&self, names: &[&str], folder: &Path) -> Result<(Vec<Member>, InFlight), Error> {
        for name in names {
            self.member(name)?.1.stop_honestly().await?;
        }
        let in_flight = self.switch.in_flight()?;
        let mut members = Vec::new();
        for name in names {
            members.push(self.save(name, folder).await?);
        }
        Ok((members, in_flight))
    }

    async fn save(&self, name: &str, folder: &Path) -> Result<Member, Error> {
        let (slot, node) = self.member(name)?;
        let data = node.data().map(|data| data.branch(&folder.join(format!("{name}.data"))));
        let data = data.transpose().map_err(Error::host(format!("copy the disk of {name}")))?;
        node.save(&whole(folder, name), Ram::Within).await?;
        let snapshot = Snapshot {
            machine: node.machine().clone(),
            hello: node.hello().clone(),
            memory: folder.join(format!("{name}.ram")),
            state: folder.join(format!("{name}.state")),
            console: self.console(name).unwrap_or_default(),
            held: None,
        };
        let (name, number, boot_id) = (name.to_owned(), slot.number, node.boot_id().to_owned());
        Ok(Member { name, number, boot_id, data, snapshot })
    }

    async fn resume(&self, names: &[&str]) -> Result<(), Error> {
        let mut resumed = Ok(());
        for name in names {
            let (_, node) = self.member(name)?;
            resumed = resumed.and(node.resume_honestly().await);
        }
        resumed
    }

    fn member(&self, name: &str) -> Result<(&Slot, &Node), Error> {
        let slot = self.slot(name)?;
        let node = slot.node.as_ref();
        Ok((slot, node.ok_or_else(|| Error::Lab(format!("node {name} does not run")))?))
    }
}

fn whole(folder: &Path, name: &str) -> std::path::PathBuf {
    folder.join(format!("{name}.whole"))
}

impl Member {
    /// Puts the memory into a file of its own: once here, instead of at each fork.
    async fn unpack(&self, folder: &Path) -> Result<(), Error> {
        let whole = whole(folder, &self.name);
        let (seat, _far_ends) = Seat::aside(&self.name, &self.snapshot.machine, folder)?;
        self.snapshot.unpack(seat, &whole).await?;
        std::fs::remove_file(&whole).map_err(Error::host(format!("remove {}", whole.display())))
    }
}

impl Branch {
    /// The names of its nodes.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.members.iter().map(|member| member.name.as_str())
    }

    /// Nodes that had not taken in time what was given to them: these frames are missing in forks.
    #[must_use]
    pub fn unread(&self) -> &[String] {
        &self.unread
    }

    /// How many frames were on their way.
    #[must_use]
    pub fn frames(&self) -> usize {
        self.in_flight.frames()
    }

    /// The same nodes in a world of their own: they go on from the cut, as if they had never
    /// stopped. Nobody tells them; their clocks stand where they stood.
    ///
    /// # Errors
    /// When a node cannot be forked.
    pub async fn fork(&self, folder: &Path) -> Result<Lab, Error> {
        std::fs::create_dir_all(folder)
            .map_err(Error::host(format!("make {}", folder.display())))?;
        let switch = Switch::resume(&self.in_flight).map_err(Error::host("start the switch"))?;
        let mut lab = Lab::on(folder, self.templates.clone(), switch, self.seed);
        lab.wires = self.wires.iter().cloned().collect();
        lab.behind = self.behind + self.cut.elapsed().unwrap_or_default();
        for member in &self.members {
            let slot = member.slot(member.number, folder, &member.name)?;
            lab.slots.insert(member.name.clone(), slot);
        }
        for member in &self.members {
            let seat = lab.seat(&member.name)?;
            let mut node = member.snapshot.fork(seat).await?;
            node.boot_id.clone_from(&member.boot_id);
            lab.keep(&member.name, node)?;
        }
        for node in lab.nodes() {
            node.go_on().await?;
        }
        lab.switch.go_on();
        Ok(lab)
    }

    /// One of its nodes as another machine, called `name`, in a lab that goes on: with an
    /// identity of its own, wired to all that the original was wired to, and to it.
    ///
    /// # Errors
    /// When there is no such node, or one that is called `name`, or it cannot be forked.
    pub async fn fork_into(&self, lab: &mut Lab, original: &str, name: &str) -> Result<(), Error> {
        let member = self.members.iter().find(|member| member.name == original);
        let unknown = || Error::Lab(format!("the snapshot has no node {original}"));
        let member = member.ok_or_else(unknown)?;
        lab.node(name, member.snapshot.machine.clone())?;
        if let Err(error) = member.join(lab, name).await {
            lab.slots.remove(name);
            return Err(error);
        }
        // Only now: until it was somebody else it had the original's addresses, and would have
        // answered for it.
        for other in lab.neighbours(original) {
            lab.wire(name, &other)?;
        }
        lab.introduce().await
    }
}

impl Member {
    /// Starts as the node `name` that was just described, with nobody at the other end of its card.
    async fn join(&self, lab: &mut Lab, name: &str) -> Result<(), Error> {
        let number = lab.slot(name)?.number;
        lab.slots.insert(name.to_owned(), self.slot(number, &lab.folder, name)?);
        let seat = lab.seat(name)?;
        let (identity, behind) = (seat.identity.clone(), seat.behind);
        let mut node = self.snapshot.fork(seat).await?;
        node.go_on().await?;
        node.assume(identity, behind).await?;
        lab.keep(name, node).map(drop)
    }

    fn slot(&self, number: u8, folder: &Path, name: &str) -> Result<Slot, Error> {
        let path = folder.join(format!("data-{name}.img"));
        let data = self.data.as_ref().map(|data| data.branch(&path));
        let data = data.transpose().map_err(Error::host(format!("copy the disk of {name}")))?;
        let machine: Machine = self.snapshot.machine.clone();
        Ok(Slot { number, machine, data, starts: 1, node: None })
    }
}
