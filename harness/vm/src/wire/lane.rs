//! One direction of a wire: decides what becomes of each frame that is put on it.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::random::{Draws, Random};
use super::shape::Shape;

/// Bytes that may stand in the queue before a wire with a rate: as many as pass in
/// [`QUEUE_TIME`], and at least these.
const QUEUE_BYTES: usize = 32 << 10;
const QUEUE_TIME: Duration = Duration::from_millis(100);

/// Memory that the frames on one lane may take; what comes beyond is dropped. A second of a gigabit.
const MOST_ON_IT: usize = 128 << 20;

/// A frame that is to be overtaken is held back for at least this time, and for the time of so many
/// frames of its size on a wire with a rate.
const HELD_BACK: Duration = Duration::from_millis(10);
const HELD_BACK_FRAMES: usize = 3;

/// What went through one direction of a wire, since there is such a wire.
///
/// Every frame is accounted for: `frames + duplicated = delivered + lost + dropped + on_the_way`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Traffic {
    /// Frames that were put on the wire, also those that it lost.
    pub frames: u64,
    /// Their bytes, Ethernet headers included.
    pub bytes: u64,
    /// Frames that came to the other end's card.
    pub delivered: u64,
    /// Frames that the wire lost: by its share of loss, or because it was cut.
    pub lost: u64,
    /// Frames that were made from others.
    pub duplicated: u64,
    /// Frames that were held back for others to overtake them.
    pub reordered: u64,
    /// Frames that found no room: in the queue before the wire, or at the other end, where no
    /// machine runs or one reads too slowly.
    pub dropped: u64,
    /// Frames on the wire at this moment.
    pub on_the_way: u64,
}

/// One direction of a wire.
#[derive(Clone, Debug)]
pub(super) struct Lane {
    /// Index of the node at its beginning.
    pub(super) from: usize,
    /// Index of the node at its end.
    pub(super) to: usize,
    /// Index of the lane in the other direction.
    pub(super) back: usize,
    pub(super) traffic: Traffic,
    pub(super) watched: bool,
    shape: Shape,
    cut: bool,
    random: Random,
    /// When the last frame in order arrives: the next one does not arrive sooner.
    last_due: Duration,
    /// When the last frame in the queue has left it.
    free_at: Duration,
    memory: usize,
}

/// What becomes of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It arrives.
    Passes {
        /// When.
        due: Duration,
        /// Whether it arrives twice.
        twice: bool,
        /// Whether it was held back, to be overtaken.
        held_back: bool,
    },
    /// The wire loses it.
    Lost,
    /// The wire is cut.
    Cut,
    /// There is no room for it.
    Dropped,
}

impl Lane {
    pub(super) fn new(from: usize, to: usize, back: usize, random: Random) -> Lane {
        Lane {
            from,
            to,
            back,
            traffic: Traffic::default(),
            watched: false,
            shape: Shape::default(),
            cut: false,
            random,
            last_due: Duration::ZERO,
            free_at: Duration::ZERO,
            memory: 0,
        }
    }

    pub(super) fn shape(&self) -> Shape {
        self.shape
    }

    /// From now on frames fare like this. They do not wait for those that are on their way under
    /// the old shape.
    pub(super) fn set_shape(&mut self, shape: Shape) {
        (self.last_due, self.free_at) = (Duration::ZERO, Duration::ZERO);
        self.shape = shape;
    }

    pub(super) fn reseed(&mut self, random: Random) {
        self.random = random;
    }

    pub(super) fn is_cut(&self) -> bool {
        self.cut
    }

    /// Cuts it or heals it. What is on it must be taken off by the caller.
    pub(super) fn set_cut(&mut self, cut: bool) {
        self.cut = cut;
    }

    /// Decides about a frame of so many bytes. Only what is shaped draws, so that the fate of the
    /// n-th frame after a shape was set does not hang on how much passed before.
    pub(super) fn decide(&mut self, now: Duration, bytes: usize) -> Fate {
        self.traffic.frames += 1;
        self.traffic.bytes += bytes as u64;
        let fate = if self.cut {
            Fate::Cut
        } else if self.memory > MOST_ON_IT {
            Fate::Dropped
        } else if self.shape.is_clean() {
            self.pass(now, None)
        } else {
            let draws = self.random.draw();
            self.shaped(now, bytes, draws)
        };
        match fate {
            Fate::Passes { twice, held_back, .. } => {
                self.traffic.duplicated += u64::from(twice);
                self.traffic.reordered += u64::from(held_back);
            }
            Fate::Lost | Fate::Cut => self.traffic.lost += 1,
            Fate::Dropped => self.traffic.dropped += 1,
        }
        fate
    }

    fn shaped(&mut self, now: Duration, bytes: usize, draws: Draws) -> Fate {
        let Some(left) = self.leave(now, bytes) else { return Fate::Dropped };
        if self.shape.loss.takes(draws.loss) {
            return Fate::Lost;
        }
        let due = left + self.travel(draws.jitter);
        let held_back = self.shape.reorder.takes(draws.reorder).then(|| self.hold_back(bytes));
        match self.pass(due, held_back) {
            Fate::Passes { due, held_back, .. } => {
                let twice = self.shape.duplicate.takes(draws.duplicate);
                Fate::Passes { due, twice, held_back }
            }
            other => other,
        }
    }

    /// When a frame has left the queue before the wire, unless there is no room in it.
    fn leave(&mut self, now: Duration, bytes: usize) -> Option<Duration> {
        let Some(rate) = self.shape.rate else { return Some(now) };
        let start = now.max(self.free_at);
        if start - now > rate.time_of(QUEUE_BYTES).max(QUEUE_TIME) {
            return None;
        }
        self.free_at = start + rate.time_of(bytes);
        Some(self.free_at)
    }

    /// How long a frame takes: the delay, give or take the jitter.
    fn travel(&self, draw: u64) -> Duration {
        let jitter = self.shape.jitter.as_nanos() as u64;
        let more = (u128::from(draw) * (2 * u128::from(jitter) + 1)) >> 64;
        (self.shape.delay + Duration::from_nanos(more as u64)).saturating_sub(self.shape.jitter)
    }

    fn hold_back(&self, bytes: usize) -> Duration {
        let frames = self.shape.rate.map(|rate| rate.time_of(HELD_BACK_FRAMES * bytes));
        HELD_BACK.max(frames.unwrap_or_default())
    }

    /// In order after the frames before it, or held back for so long.
    fn pass(&mut self, due: Duration, held_back: Option<Duration>) -> Fate {
        let in_order = due.max(self.last_due);
        if held_back.is_none() {
            self.last_due = in_order;
        }
        let due = in_order + held_back.unwrap_or_default();
        Fate::Passes { due, twice: false, held_back: held_back.is_some() }
    }

    /// A frame is on its way now.
    pub(super) fn enter(&mut self, memory: usize) {
        self.traffic.on_the_way += 1;
        self.memory += memory;
    }

    /// A frame is no longer on its way.
    pub(super) fn leave_it(&mut self, memory: usize) {
        self.traffic.on_the_way -= 1;
        self.memory -= memory;
    }
}
