//! The wires without the sockets: frames in, frames out, and time is an argument.
//!
//! Everything is a function of what was asked, of the frames and of the seed, so that what befell them
//! can be repeated, and a clone goes on exactly like the original. A node stands at a small learning
//! switch of its own whose other ports are its wires: what it sends to a known address goes along one
//! wire, the rest along all; what comes along a wire goes to the node and to nobody else.

use std::collections::{BinaryHeap, VecDeque};
use std::time::Duration;

use super::error::Error;
use super::frame::{Frame, Mac};
use super::lane::Lane;
pub use super::lane::{Fate, Traffic};
use super::node::{Node, Presence, is_for_many, memory_of};
use super::random::Random;
use super::shape::Shape;

/// Nodes, wires between them, and what is on its way.
#[derive(Clone, Debug)]
pub struct Fabric {
    seed: u64,
    nodes: Vec<Node>,
    lanes: Vec<Lane>,
    on_the_way: BinaryHeap<OnTheWay>,
    /// Frames that ever were on their way: of two that are due at once, the older comes first.
    sequence: u64,
    sightings: Vec<Sighting>,
}

/// A node of one fabric and its clones.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(usize);

/// One direction of a wire, and how it is.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Direction {
    /// The node at its beginning.
    pub from: String,
    /// The node at its end.
    pub to: String,
    /// What it does to frames.
    pub shape: Shape,
    /// Whether it is cut.
    pub cut: bool,
    /// What went through it.
    pub traffic: Traffic,
}

/// A frame that was put on a watched wire, and what becomes of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sighting {
    /// From which node.
    pub from: NodeId,
    /// To which node.
    pub to: NodeId,
    /// The frame.
    pub frame: Frame,
    /// What becomes of it.
    pub fate: Fate,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct OnTheWay {
    due: Duration,
    sequence: u64,
    lane: usize,
    frame: Frame,
}

/// What is due sooner is greater, as the heap gives the greatest.
impl Ord for OnTheWay {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (other.due, other.sequence).cmp(&(self.due, self.sequence))
    }
}

impl PartialOrd for OnTheWay {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Fabric {
    /// No nodes and no wires yet.
    #[must_use]
    pub fn new(seed: u64) -> Fabric {
        Fabric {
            seed,
            nodes: Vec::new(),
            lanes: Vec::new(),
            on_the_way: BinaryHeap::new(),
            sequence: 0,
            sightings: Vec::new(),
        }
    }

    /// The node of this name; there is one from now on.
    pub fn node(&mut self, name: &str) -> NodeId {
        self.find(name).unwrap_or_else(|| {
            self.nodes.push(Node::new(name));
            NodeId(self.nodes.len() - 1)
        })
    }

    /// The node of this name, when there is one.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<NodeId> {
        self.nodes.iter().position(|node| node.name == name).map(NodeId)
    }

    /// The name of a node.
    #[must_use]
    pub fn name(&self, node: NodeId) -> &str {
        &self.nodes[node.0].name
    }

    /// Joins two nodes by a clean wire; nothing happens when there is one.
    ///
    /// # Errors
    ///
    /// They are the same node.
    pub fn wire(&mut self, a: &str, b: &str) -> Result<(), Error> {
        if a == b {
            return Err(Error::Itself { node: a.to_owned() });
        }
        if self.lane(a, b).is_ok() {
            return Ok(());
        }
        let (NodeId(at_a), NodeId(at_b)) = (self.node(a), self.node(b));
        let first = self.lanes.len();
        self.lanes.push(Lane::new(at_a, at_b, first + 1, Random::of(self.seed, a, b)));
        self.lanes.push(Lane::new(at_b, at_a, first, Random::of(self.seed, b, a)));
        self.nodes[at_a].lanes.push(first);
        self.nodes[at_b].lanes.push(first + 1);
        Ok(())
    }

    fn lane(&self, from: &str, to: &str) -> Result<usize, Error> {
        let ends = self.find(from).zip(self.find(to));
        let found = ends.and_then(|(NodeId(from), NodeId(to))| {
            self.nodes[from].lanes.iter().copied().find(|lane| self.lanes[*lane].to == to)
        });
        found.ok_or_else(|| Error::NoWire {
            from: from.to_owned(),
            to: to.to_owned(),
            wires: self.lanes.iter().step_by(2).map(|lane| self.lane_name(lane)).collect(),
        })
    }

    fn lane_name(&self, lane: &Lane) -> String {
        format!("{}-{}", self.nodes[lane.from].name, self.nodes[lane.to].name)
    }

    fn lane_mut(&mut self, from: &str, to: &str) -> Result<&mut Lane, Error> {
        let lane = self.lane(from, to)?;
        Ok(&mut self.lanes[lane])
    }

    /// From now on frames in this direction fare like this; those on their way arrive as they would
    /// have, and may be overtaken.
    ///
    /// # Errors
    ///
    /// There is no such wire. So it is with all that follow.
    pub fn shape(&mut self, from: &str, to: &str, shape: Shape) -> Result<(), Error> {
        self.lane_mut(from, to)?.set_shape(shape);
        Ok(())
    }

    /// From now on chance in this direction comes from this seed.
    pub fn reseed(&mut self, from: &str, to: &str, seed: u64) -> Result<(), Error> {
        self.lane_mut(from, to)?.reseed(Random::of(seed, from, to));
        Ok(())
    }

    /// Cuts this direction: what is on its way and what is sent from now on is lost, silently. Both
    /// cards still see a carrier.
    pub fn cut(&mut self, from: &str, to: &str) -> Result<(), Error> {
        let cut = self.lane(from, to)?;
        let lane = &mut self.lanes[cut];
        lane.set_cut(true);
        self.on_the_way.retain(|it| {
            if it.lane == cut {
                lane.leave_it(memory_of(&it.frame));
                lane.traffic.lost += 1;
            }
            it.lane != cut
        });
        Ok(())
    }

    /// Heals this direction.
    pub fn heal(&mut self, from: &str, to: &str) -> Result<(), Error> {
        self.lane_mut(from, to)?.set_cut(false);
        Ok(())
    }

    /// Whether frames in this direction are to be told by [`sightings`](Self::sightings).
    pub fn watch(&mut self, from: &str, to: &str, watched: bool) -> Result<(), Error> {
        self.lane_mut(from, to)?.watched = watched;
        Ok(())
    }

    /// What went through this direction.
    pub fn traffic(&self, from: &str, to: &str) -> Result<Traffic, Error> {
        Ok(self.lanes[self.lane(from, to)?].traffic)
    }

    /// All wires, each direction on its own, in the order in which they were laid.
    #[must_use]
    pub fn directions(&self) -> Vec<Direction> {
        let direction = |lane: &Lane| Direction {
            from: self.nodes[lane.from].name.clone(),
            to: self.nodes[lane.to].name.clone(),
            shape: lane.shape(),
            cut: lane.is_cut(),
            traffic: lane.traffic,
        };
        self.lanes.iter().map(direction).collect()
    }

    /// A machine runs at this node. It is another one than before, unless it goes on from a
    /// [`branch`](Self::branch): what waited is gone, and its addresses are forgotten.
    pub fn plug(&mut self, node: NodeId) {
        if self.nodes[node.0].presence != Presence::Awaited {
            self.forget(node);
        }
        self.nodes[node.0].presence = Presence::Present;
    }

    /// No machine runs at this node.
    pub fn unplug(&mut self, node: NodeId) {
        self.forget(node);
        self.nodes[node.0].presence = Presence::Absent;
    }

    fn forget(&mut self, node: NodeId) {
        self.nodes[node.0].forget_all();
        for at in 0..self.nodes[node.0].lanes.len() {
            let lane = &self.lanes[self.nodes[node.0].lanes[at]];
            self.nodes[lane.to].forget_behind(lane.back);
        }
    }

    /// A node sends a frame; what is too short to have addresses goes nowhere.
    pub fn send(&mut self, now: Duration, from: NodeId, frame: &Frame) {
        let Some((to, source)) = frame.addresses() else { return };
        let node = &self.nodes[from.0];
        let known = if is_for_many(&to) { None } else { node.lane_to(&to) };
        if let Some(lane) = known {
            self.put(now, lane, frame, source);
            return;
        }
        for at in 0..node.lanes.len() {
            let lane = self.nodes[from.0].lanes[at];
            self.put(now, lane, frame, source);
        }
    }

    fn put(&mut self, now: Duration, at: usize, frame: &Frame, source: Mac) {
        let lane = &mut self.lanes[at];
        let fate = lane.decide(now, frame.bytes().len());
        if lane.watched {
            let (from, to) = (NodeId(lane.from), NodeId(lane.to));
            self.sightings.push(Sighting { from, to, frame: frame.clone(), fate });
        }
        let Fate::Passes { due, twice, .. } = fate else { return };
        for _ in 0..=usize::from(twice) {
            if due <= now && self.lanes[at].traffic.on_the_way == 0 {
                self.arrive(at, frame.clone(), source);
            } else {
                self.travel(due, at, frame.clone());
            }
        }
    }

    fn travel(&mut self, due: Duration, lane: usize, frame: Frame) {
        self.lanes[lane].enter(memory_of(&frame));
        self.sequence += 1;
        self.on_the_way.push(OnTheWay { due, sequence: self.sequence, lane, frame });
    }

    /// When the next frame arrives.
    #[must_use]
    pub fn next_due(&self) -> Option<Duration> {
        self.on_the_way.peek().map(|next| next.due)
    }

    /// Lets all frames arrive that are due.
    pub fn advance(&mut self, now: Duration) {
        while self.next_due().is_some_and(|due| due <= now) {
            let Some(it) = self.on_the_way.pop() else { return };
            self.lanes[it.lane].leave_it(memory_of(&it.frame));
            let source = it.frame.addresses().map_or([0; 6], |(_, source)| source);
            self.arrive(it.lane, it.frame, source);
        }
    }

    fn arrive(&mut self, lane: usize, frame: Frame, source: Mac) {
        let Lane { to, back, .. } = self.lanes[lane];
        let taken = self.nodes[to].arrive(frame, source, back);
        let traffic = &mut self.lanes[lane].traffic;
        *(if taken { &mut traffic.delivered } else { &mut traffic.dropped }) += 1;
    }

    /// The frames that have arrived at a node and were not [`taken`](Self::taken) yet, in order.
    #[must_use]
    pub fn waiting(&self, node: NodeId) -> &VecDeque<Frame> {
        self.nodes[node.0].waiting()
    }

    /// The first so many frames that waited were read by their node.
    pub fn taken(&mut self, node: NodeId, frames: usize) {
        self.nodes[node.0].taken(frames);
    }

    /// Takes what was seen on watched wires since the last time.
    pub fn sightings(&mut self) -> Vec<Sighting> {
        std::mem::take(&mut self.sightings)
    }

    /// The same nodes and wires, with all that is on its way and all that chance will do, for
    /// machines that go on from this moment elsewhere. Nothing is watched there.
    #[must_use]
    pub fn branch(&self) -> Fabric {
        let mut branch = self.clone();
        branch.sightings.clear();
        branch.lanes.iter_mut().for_each(|lane| lane.watched = false);
        let present = branch.nodes.iter_mut().filter(|it| it.presence == Presence::Present);
        present.for_each(|node| node.presence = Presence::Awaited);
        branch
    }

    /// The machines go on; what was awaited and has not come is absent.
    pub fn go_on(&mut self) {
        for node in (0..self.nodes.len()).map(NodeId) {
            if self.nodes[node.0].presence == Presence::Awaited {
                self.unplug(node);
            }
        }
    }

    /// How many frames are on wires, or arrived and wait to be read.
    #[must_use]
    pub fn frames(&self) -> usize {
        let waiting: usize = self.nodes.iter().map(|node| node.waiting().len()).sum();
        self.on_the_way.len() + waiting
    }
}

#[cfg(test)]
mod tests;
