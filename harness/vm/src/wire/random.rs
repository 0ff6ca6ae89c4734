//! Chance that can be repeated: the n-th frame's draws are a function of a seed and n, and of
//! nothing else. What befalls one wire, or one frame, never changes what befalls another.
//!
//! The generator is `SplitMix64` (Steele, Lea, Flood: "Fast splittable pseudorandom number generators",
//! 2014). It is our own, because a seed that is written into a record must mean the same for ever, and
//! the crates promise no such thing from version to version.

/// The odd number nearest to 2^64 divided by the golden ratio.
const STEP: u64 = 0x9e37_79b9_7f4a_7c15;

/// How many numbers are drawn for a frame, used or not.
const DRAWS: u64 = 4;

/// A source of draws: a seed and how many frames have drawn from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Random {
    seed: u64,
    frames: u64,
}

/// What is drawn for one frame: numbers equally spread over all 64 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Draws {
    pub(super) loss: u64,
    pub(super) duplicate: u64,
    pub(super) reorder: u64,
    pub(super) jitter: u64,
}

impl Random {
    /// The source of the direction from one node to another. Both names count, so that the two
    /// directions of a wire differ under one seed, and the order of wiring does not.
    pub(super) fn of(seed: u64, from: &str, to: &str) -> Random {
        let names = from.bytes().chain([0]).chain(to.bytes());
        let seed = names.fold(mix(seed), |state, byte| mix(state ^ u64::from(byte)));
        Random { seed, frames: 0 }
    }

    pub(super) fn draw(&mut self) -> Draws {
        let first = self.frames.wrapping_mul(DRAWS);
        self.frames = self.frames.wrapping_add(1);
        let number = |n: u64| {
            let step = first.wrapping_add(n).wrapping_add(1).wrapping_mul(STEP);
            finish(self.seed.wrapping_add(step))
        };
        Draws { loss: number(0), duplicate: number(1), reorder: number(2), jitter: number(3) }
    }
}

fn mix(value: u64) -> u64 {
    finish(value.wrapping_add(STEP))
}

fn finish(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_means_the_same_for_ever() {
        let mut plain = Random { seed: 0, frames: 0 };
        // The first numbers of SplitMix64 from 0, as its authors' program prints them.
        assert_eq!(plain.draw().loss, 0xe220_a839_7b1d_cdaf);
        let mut random = Random::of(7, "a", "b");
        assert_eq!(random.draw(), Random::of(7, "a", "b").draw());
        assert_ne!(random.draw(), Random::of(7, "a", "b").draw());
    }

    #[test]
    fn directions_and_seeds_differ() {
        let first = |seed, from, to| Random::of(seed, from, to).draw().loss;
        let all = [first(1, "a", "b"), first(1, "b", "a"), first(2, "a", "b"), first(1, "ab", "")];
        assert!((1..4).all(|n| !all[..n].contains(&all[n])), "{all:x?}");
    }
}
