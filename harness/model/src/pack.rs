//! Data of many bytes on its way from a guest: postcard, compressed.
//!
//! The wire to a guest carries a few megabytes a second under emulation, and every byte is looked at
//! several times on its way. What a capture says compresses well, but for its digests, and LZ4 is
//! quick about it where zstd's first level takes 20 ms of an emulated CPU.

use lz4_flex::block;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// Bytes that are not what was expected.
#[derive(Debug, thiserror::Error)]
pub enum PackError {
    /// It is no LZ4 block.
    #[error("not what was packed: {0}")]
    Block(#[from] block::DecompressError),
    /// It ends too early.
    #[error("not all of what was packed")]
    Short,
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
    Ok(block::compress_prepend_size(&plain))
}

/// Unpacks a value of at most `most_bytes`, from a sender that is not trusted.
///
/// # Errors
/// When it is damaged, longer, or something else.
pub fn unpack<T: DeserializeOwned>(packed: &[u8], most_bytes: usize) -> Result<T, PackError> {
    let (bytes, block) = block::uncompressed_size(packed)?;
    if bytes > most_bytes {
        return Err(PackError::TooLong(most_bytes));
    }
    let plain = block::decompress(block, bytes)?;
    if plain.len() != bytes {
        return Err(PackError::Short);
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
        assert!(bomb.len() < 512 << 10);
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
