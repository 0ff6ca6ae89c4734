//! Data of many bytes on its way from a guest: postcard, compressed.
//!
//! The wire to a guest carries a few megabytes a second under emulation, and every byte is looked at
//! several times on its way. What a capture says compresses to a tenth.

use std::io::Read;

use serde::Serialize;
use serde::de::DeserializeOwned;

/// Quick rather than small: most of what does not compress well are digests, which do not at all.
const LEVEL: i32 = 1;

/// Bytes that are not what was expected.
#[derive(Debug, thiserror::Error)]
pub enum PackError {
    /// It is no zstd stream, or ends too early.
    #[error("not what was packed: {0}")]
    Stream(#[from] std::io::Error),
    /// It is more than the receiver wants to take.
    #[error("more than {0} bytes when unpacked")]
    TooLong(usize),
    /// It is another message, or none.
    #[error("not what was expected: {0}")]
    Form(#[from] postcard::Error),
}

/// Packs a value.
///
/// # Errors
/// When it cannot be expressed in postcard.
pub fn pack(value: &impl Serialize) -> Result<Vec<u8>, PackError> {
    let plain = postcard::to_stdvec(value)?;
    Ok(zstd::bulk::compress(&plain, LEVEL)?)
}

/// Unpacks a value of at most `most_bytes`, from a sender that is not trusted.
///
/// # Errors
/// When it is damaged, longer, or something else.
pub fn unpack<T: DeserializeOwned>(packed: &[u8], most_bytes: usize) -> Result<T, PackError> {
    let mut plain = Vec::new();
    let stream = zstd::stream::read::Decoder::new(packed)?;
    stream.take(most_bytes as u64 + 1).read_to_end(&mut plain)?;
    if plain.len() > most_bytes {
        return Err(PackError::TooLong(most_bytes));
    }
    Ok(postcard::from_bytes(&plain)?)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_bomb_costs_no_more_than_was_granted() {
        let bomb = pack(&"0".repeat(64 << 20)).expect("a text");
        assert!(bomb.len() < 16 << 10);
        let refused = unpack::<String>(&bomb, 1 << 20).expect_err("too long");
        assert_eq!(refused.to_string(), "more than 1048576 bytes when unpacked");
    }

    #[test]
    fn what_is_cut_anywhere_is_an_error() {
        let packed = pack(&"as it was").expect("a text");
        assert_eq!(unpack::<String>(&packed, 100).expect("whole"), "as it was");
        for cut in 0..packed.len() {
            assert!(unpack::<String>(&packed[..cut], 100).is_err(), "{cut}");
        }
    }

    proptest! {
        #[test]
        fn anything_is_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
            let _ = unpack::<Vec<String>>(&bytes, 1 << 16);
        }
    }
}
