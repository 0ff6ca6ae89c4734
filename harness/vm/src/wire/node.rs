//! A node as the wires see it: its card, what waits before it, and behind which wire each address is.

use std::collections::{BTreeMap, VecDeque};

use super::frame::{Frame, Mac};

/// Memory of the frames that may wait for a node to read them; what arrives beyond is dropped.
const MOST_WAITING: usize = 8 << 20;

/// Addresses that are remembered. A node that shows more is hostile; then all are learned again.
const MOST_LEARNED: usize = 4096;

/// What a frame takes beside its bytes.
const OVERHEAD: usize = 96;

/// Whether somebody reads what arrives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Presence {
    /// No machine runs.
    Absent,
    /// A machine that was running when a branch was made is about to go on.
    Awaited,
    /// A machine runs.
    Present,
}

/// A node.
#[derive(Clone, Debug)]
pub(super) struct Node {
    pub(super) name: String,
    pub(super) presence: Presence,
    /// The lanes that begin here.
    pub(super) lanes: Vec<usize>,
    /// The lane that leads to an address.
    learned: BTreeMap<Mac, usize>,
    waiting: VecDeque<Frame>,
    memory: usize,
}

impl Node {
    pub(super) fn new(name: &str) -> Node {
        Node {
            name: name.to_owned(),
            presence: Presence::Absent,
            lanes: Vec::new(),
            learned: BTreeMap::new(),
            waiting: VecDeque::new(),
            memory: 0,
        }
    }

    /// The lane on which a frame to this address leaves, when that is known.
    pub(super) fn lane_to(&self, to: &Mac) -> Option<usize> {
        self.learned.get(to).copied()
    }

    /// Takes in a frame from `from`, to be answered on `lane`; false when there is no room.
    pub(super) fn arrive(&mut self, frame: Frame, from: Mac, lane: usize) -> bool {
        let memory = memory_of(&frame);
        if self.presence == Presence::Absent || self.memory + memory > MOST_WAITING {
            return false;
        }
        self.learn(from, lane);
        self.memory += memory;
        self.waiting.push_back(frame);
        true
    }

    fn learn(&mut self, from: Mac, lane: usize) {
        if is_for_many(&from) || self.learned.get(&from) == Some(&lane) {
            return;
        }
        if self.learned.len() >= MOST_LEARNED {
            self.learned.clear();
        }
        self.learned.insert(from, lane);
    }

    /// Nothing is known any more of what is behind `lane`.
    pub(super) fn forget_behind(&mut self, lane: usize) {
        self.learned.retain(|_, behind| *behind != lane);
    }

    /// Nothing waits, nothing is known: another machine, or none.
    pub(super) fn forget_all(&mut self) {
        self.learned.clear();
        self.waiting.clear();
        self.memory = 0;
    }

    pub(super) fn waiting(&self) -> &VecDeque<Frame> {
        &self.waiting
    }

    /// The first so many frames were read.
    pub(super) fn taken(&mut self, frames: usize) {
        let taken = self.waiting.drain(..frames);
        self.memory -= taken.map(|frame| memory_of(&frame)).sum::<usize>();
    }
}

/// Whether an address is that of a group or of all.
pub(super) fn is_for_many(address: &Mac) -> bool {
    address[0] & 1 == 1
}

/// What a frame takes in memory, about.
pub(super) fn memory_of(frame: &Frame) -> usize {
    frame.bytes().len() + OVERHEAD
}
