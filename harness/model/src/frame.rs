//! Messages as bytes on a stream: postcard with a CRC-32, framed by COBS, a zero byte at the end.
//!
//! A receiver that joins in the middle (after a reset, or because a kernel wrote to the port)
//! skips to the next zero byte and goes on: a damaged frame is reported and costs that frame only.

use serde::Serialize;
use serde::de::DeserializeOwned;

/// Most bytes of a frame, its end included. Longer ones are skipped as damaged.
pub const MAX_FRAME_BYTES: usize = 256 << 10;

const CRC: crc::Crc<u32> = crc::Crc::<u32>::new(&crc::CRC_32_ISCSI);

/// A frame was not a message.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// More than [`MAX_FRAME_BYTES`] without an end.
    #[error("frame longer than {MAX_FRAME_BYTES} bytes")]
    TooLong,
    /// Not COBS, a wrong checksum, or not the expected message.
    #[error("damaged frame of {bytes} bytes: {why}")]
    Damaged {
        /// Length of the frame.
        bytes: usize,
        /// What did not fit.
        why: String,
    },
}

/// Encodes a message as one frame.
///
/// # Errors
/// When the message does not fit into [`MAX_FRAME_BYTES`].
pub fn encode<M: Serialize>(message: &M) -> Result<Vec<u8>, FrameError> {
    let damaged = |why: postcard::Error| FrameError::Damaged { bytes: 0, why: why.to_string() };
    let plain = postcard::to_stdvec_crc32(message, CRC.digest()).map_err(damaged)?;
    let mut frame = cobs::encode_vec(&plain);
    frame.push(0);
    if frame.len() > MAX_FRAME_BYTES { Err(FrameError::TooLong) } else { Ok(frame) }
}

/// Cuts a stream of bytes into messages.
#[derive(Debug, Default)]
pub struct Decoder {
    pending: Vec<u8>,
    skipping: bool,
}

impl Decoder {
    /// Takes more bytes and returns what has become complete.
    pub fn push<M: DeserializeOwned>(&mut self, bytes: &[u8]) -> Vec<Result<M, FrameError>> {
        let mut messages = Vec::new();
        for part in bytes.split_inclusive(|&byte| byte == 0) {
            let complete = part.last() == Some(&0);
            if !self.skipping {
                self.pending.extend_from_slice(part);
            }
            if self.pending.len() > MAX_FRAME_BYTES {
                self.pending.clear();
                self.skipping = true;
                messages.push(Err(FrameError::TooLong));
            }
            if complete {
                if !self.skipping && self.pending.len() > 1 {
                    messages.push(decode(&mut self.pending));
                }
                self.pending.clear();
                self.skipping = false;
            }
        }
        messages
    }
}

fn decode<M: DeserializeOwned>(frame: &mut [u8]) -> Result<M, FrameError> {
    let bytes = frame.len();
    let damaged = |why: &str| FrameError::Damaged { bytes, why: why.to_owned() };
    let end = bytes - 1;
    let length =
        cobs::decode_in_place(&mut frame[..end]).map_err(|error| damaged(&error.to_string()))?;
    postcard::from_bytes_crc32(&frame[..length], CRC.digest())
        .map_err(|error| damaged(&error.to_string()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::message::{ToGuest, ToHost};

    fn all<M: DeserializeOwned>(bytes: &[u8]) -> Vec<Result<M, FrameError>> {
        Decoder::default().push(bytes)
    }

    #[test]
    fn a_frame_is_stable() {
        let frame = encode(&ToGuest::Hello { protocol: 1 }).expect("small");
        insta::assert_debug_snapshot!(frame);
    }

    #[test]
    fn an_endless_frame_costs_bounded_memory_and_the_next_one_is_read() {
        let mut decoder = Decoder::default();
        let noise = vec![7u8; MAX_FRAME_BYTES];
        let mut errors = 0;
        for _ in 0..8 {
            errors += decoder.push::<ToGuest>(&noise).len();
            assert!(decoder.pending.len() <= MAX_FRAME_BYTES);
        }
        assert_eq!(errors, 1);
        assert!(decoder.push::<ToGuest>(&[0]).is_empty());
        let hello = ToGuest::Hello { protocol: 1 };
        assert_eq!(decoder.push(&encode(&hello).expect("small")), vec![Ok(hello)]);
    }

    proptest! {
        #[test]
        fn what_was_sent_arrives_in_any_pieces(
            chunks in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..700), 1..8),
            piece in 1usize..97,
        ) {
            let sent: Vec<ToHost> =
                chunks.into_iter().map(|bytes| ToHost::Chunk { id: 3, bytes }).collect();
            let stream: Vec<u8> =
                sent.iter().flat_map(|message| encode(message).expect("small")).collect();
            let mut decoder = Decoder::default();
            let mut got = Vec::new();
            for part in stream.chunks(piece) {
                got.extend(decoder.push(part));
            }
            prop_assert_eq!(got, sent.into_iter().map(Ok).collect::<Vec<_>>());
        }

        #[test]
        fn noise_never_panics_and_a_message_after_it_is_read(
            noise in prop::collection::vec(any::<u8>(), 0..2000),
        ) {
            let hello = ToGuest::Hello { protocol: 9 };
            let mut stream = noise;
            stream.push(0);
            stream.extend(encode(&hello).expect("small"));
            prop_assert_eq!(all(&stream).pop(), Some(Ok(hello)));
        }

        #[test]
        fn one_flipped_bit_is_never_taken_for_a_message(
            bytes in prop::collection::vec(any::<u8>(), 1..300),
            place in any::<prop::sample::Index>(),
            bit in 0u8..8,
        ) {
            let mut frame = encode(&ToHost::Chunk { id: 1, bytes }).expect("small");
            let place = place.index(frame.len() - 1);
            frame[place] ^= 1 << bit;
            prop_assert!(all::<ToHost>(&frame).iter().all(Result::is_err));
        }
    }
}
