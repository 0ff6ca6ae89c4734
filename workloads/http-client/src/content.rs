//! Content that everybody can make again: bytes that look random, by a seed and a position.

use observer::Lost;

/// A length of bytes of their own.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Content {
    pub(crate) seed: u64,
    pub(crate) length: usize,
}

impl Content {
    /// All of it.
    pub(crate) fn bytes(self) -> Vec<u8> {
        (0..self.length).map(|at| self.byte(at)).collect()
    }

    /// The byte at a position.
    pub(crate) fn byte(self, at: usize) -> u8 {
        let word = scramble(self.seed << 32 | (at / 8) as u64);
        word.to_le_bytes()[at % 8]
    }
}

/// Holds what was found against what must be there; the first byte that differs is told.
pub(crate) fn compare(lost: &mut Lost, name: &str, expected: &[u8], found: &[u8]) {
    let same = expected.iter().zip(found).take_while(|(expected, found)| expected == found).count();
    let (expects, finds) = (expected.len(), found.len());
    let expected_words = format!("its {expects} bytes");
    let is_same = expected == found;
    lost.holds(name, is_same, &expected_words, format_args!("{finds}, other from byte {same} on"));
}

/// The finaliser of SplitMix64.
fn scramble(seed: u64) -> u64 {
    let mut word = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    word ^ (word >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_depends_on_seed_and_position() {
        let (one, two) = (Content { seed: 1, length: 4096 }, Content { seed: 2, length: 4096 });
        assert_ne!(one.bytes(), two.bytes());
        assert_ne!(one.bytes()[..2048], one.bytes()[2048..]);
        assert!(one.bytes().iter().enumerate().all(|(at, byte)| one.byte(at) == *byte));
    }

    #[test]
    fn a_byte_that_differs_and_a_length_that_differs_are_losses() {
        let mut lost = Lost::default();
        compare(&mut lost, "a", b"same", b"same");
        compare(&mut lost, "b", b"same", b"some");
        compare(&mut lost, "c", b"same", b"sam");
        let told = [
            "lost: b: expected its 4 bytes, found 4, other from byte 1 on",
            "lost: c: expected its 4 bytes, found 3, other from byte 3 on",
            "verdict: 2 lost",
        ];
        assert_eq!(lost.lines(), told);
    }
}
