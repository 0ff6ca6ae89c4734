//! The switch as its thread and its handles share it: the fabric, the sockets, the captures and the
//! clock. All of it is behind one lock, which is never held while anybody waits.

use std::collections::BTreeMap;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use super::capture::Capture;
use super::fabric::{Fabric, NodeId};
use super::port::{End, Port};

/// How often the port of a stopped machine is read at most: its socket holds far less.
const MOST_READS: usize = 64;

/// How often the thread looks whether the machines have read what was written, while wires are held.
const LOOK_AGAIN: Duration = Duration::from_millis(1);

/// All that there is.
#[derive(Debug)]
pub(super) struct State {
    pub(super) fabric: Fabric,
    pub(super) clock: Clock,
    pub(super) ports: BTreeMap<NodeId, Port>,
    /// Ports that were shut because of what their machine sent.
    pub(super) shut: BTreeMap<NodeId, String>,
    pub(super) captures: Vec<Capture>,
    /// The last handle is gone.
    pub(super) ended: bool,
}

/// The fabric's time: stands still while wires are held.
#[derive(Debug)]
pub(super) struct Clock {
    before: Duration,
    running_since: Option<Instant>,
}

/// What the thread waits for at a port.
#[derive(Debug)]
pub(super) struct Watch {
    pub(super) node: NodeId,
    pub(super) socket: Arc<UnixStream>,
    pub(super) for_room: bool,
}

impl Clock {
    /// A clock that stands at this time.
    pub(super) fn standing_at(before: Duration) -> Clock {
        Clock { before, running_since: None }
    }

    pub(super) fn now(&self) -> Duration {
        self.before + self.running_since.map(|since| since.elapsed()).unwrap_or_default()
    }

    pub(super) fn stands(&self) -> bool {
        self.running_since.is_none()
    }

    pub(super) fn stop(&mut self) {
        *self = Clock::standing_at(self.now());
    }

    pub(super) fn go_on(&mut self) {
        self.running_since.get_or_insert_with(Instant::now);
    }
}

impl State {
    /// Wires that are held.
    pub(super) fn new(fabric: Fabric, now: Duration) -> State {
        State {
            fabric,
            clock: Clock::standing_at(now),
            ports: BTreeMap::new(),
            shut: BTreeMap::new(),
            captures: Vec::new(),
            ended: false,
        }
    }

    /// Takes what these nodes sent, and gives all nodes what has arrived for them.
    pub(super) fn turn(&mut self, readable: &[NodeId]) {
        for node in readable {
            self.read(*node);
        }
        if !self.clock.stands() {
            self.fabric.advance(self.clock.now());
        }
        let nodes: Vec<_> = self.ports.keys().copied().collect();
        for node in nodes {
            self.write(node);
        }
        self.record();
    }

    /// Reads a node's port once; false when there was nothing.
    fn read(&mut self, node: NodeId) -> bool {
        let State { ports, fabric, clock, .. } = self;
        let (Some(port), now) = (ports.get_mut(&node), clock.now()) else { return false };
        match port.read(|frame| fabric.send(now, node, frame)) {
            Ok(more) => more,
            Err(end) => {
                self.end(node, end);
                false
            }
        }
    }

    /// Writes to a node's port what it takes. While wires are held, that is only the rest of a frame
    /// that was begun.
    fn write(&mut self, node: NodeId) {
        while let Some(port) = self.ports.get_mut(&node) {
            let held = self.clock.stands();
            let most = if held { usize::from(port.has_begun()) } else { usize::MAX };
            match port.write(self.fabric.waiting(node), most) {
                Ok(0) => return,
                Ok(frames) => self.fabric.taken(node, frames),
                Err(end) => self.end(node, end),
            }
        }
    }

    fn end(&mut self, node: NodeId, end: End) {
        self.ports.remove(&node);
        self.fabric.unplug(node);
        if let End::Absurd(why) = end {
            self.shut.insert(node, why.to_string());
        }
    }

    /// Brings what was seen on captured wires to the files.
    fn record(&mut self) {
        let sightings = self.fabric.sightings();
        if sightings.is_empty() {
            return;
        }
        let time = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        for capture in &mut self.captures {
            sightings.iter().for_each(|seen| capture.write(time, seen));
            capture.flush();
        }
    }

    /// Reads all that stopped machines have sent.
    pub(super) fn drain(&mut self) {
        let nodes: Vec<_> = self.ports.keys().copied().collect();
        for node in nodes {
            let mut reads = 0;
            while reads < MOST_READS && self.read(node) {
                reads += 1;
            }
        }
        self.record();
    }

    /// Nodes that have not read all that was written to them.
    pub(super) fn unread(&self) -> Vec<NodeId> {
        let unread = self.ports.iter().filter(|(_, port)| !port.is_read_empty());
        unread.map(|(node, _)| *node).collect()
    }

    /// What to wait for before the next turn, and how long at most.
    pub(super) fn plan(&self, watches: &mut Vec<Watch>) -> Option<Duration> {
        watches.clear();
        watches.extend(self.ports.iter().map(|(node, port)| Watch {
            node: *node,
            socket: port.socket(),
            for_room: port.is_blocked(),
        }));
        if self.clock.stands() {
            return (!self.unread().is_empty()).then_some(LOOK_AGAIN);
        }
        Some(self.fabric.next_due()?.saturating_sub(self.clock.now()))
    }
}
