//! Ethernet frames, as they come out of QEMU's `stream` netdev: each behind its length in four bytes,
//! big-endian (`net/socket.c`, `net/stream.c` and `net_fill_rstate` of `net/net.c` in QEMU; the same
//! from 7.2 to 10.x). There is no virtio-net header: the netdev has none to offer.

use std::sync::Arc;

/// Bytes of the length in front of a frame.
const PREFIX: usize = 4;

/// Most bytes of a frame: QEMU's own bound (`NET_BUFSIZE`), 64 KiB and a little more.
pub const LONGEST_FRAME: usize = 4096 + 65536;

/// Bytes of an Ethernet header: two addresses and a type.
const HEADER: usize = 14;

/// An address of a network card.
pub(super) type Mac = [u8; 6];

/// A frame. Copies share the bytes.
#[derive(Clone, PartialEq, Eq)]
pub struct Frame {
    /// The length and the frame, as they go through a socket.
    encoded: Arc<[u8]>,
}

/// A stream of frames has a length in it that no frame has; what comes after makes no sense.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a frame of {bytes} bytes was announced, more than {LONGEST_FRAME}")]
pub struct TooLong {
    /// The announced length.
    pub bytes: usize,
}

impl Frame {
    /// A frame of these bytes.
    ///
    /// # Errors
    ///
    /// There are more than [`LONGEST_FRAME`].
    pub fn new(bytes: &[u8]) -> Result<Frame, TooLong> {
        let length = u32::try_from(bytes.len()).ok().filter(|_| bytes.len() <= LONGEST_FRAME);
        let prefix = length.ok_or(TooLong { bytes: bytes.len() })?.to_be_bytes();
        Ok(Frame { encoded: [&prefix, bytes].concat().into() })
    }

    /// The frame itself.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.encoded[PREFIX..]
    }

    /// The frame behind its length.
    #[must_use]
    pub fn encoded(&self) -> &[u8] {
        &self.encoded
    }

    /// To whom and from whom it goes, unless it is too short to say.
    pub(super) fn addresses(&self) -> Option<(Mac, Mac)> {
        let header = self.bytes().first_chunk::<HEADER>()?;
        let (to, rest) = header.split_first_chunk()?;
        Some((*to, *rest.first_chunk()?))
    }
}

impl std::fmt::Debug for Frame {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Frame({} bytes)", self.bytes().len())
    }
}

/// Takes frames out of a stream of bytes. It holds at most one buffer of bytes, whatever comes.
pub(super) struct Decoder {
    buffer: Box<[u8]>,
    /// What is in the buffer and was not taken yet.
    from: usize,
    to: usize,
}

impl Decoder {
    pub(super) fn new() -> Decoder {
        Decoder { buffer: vec![0; 4 * 65536].into_boxed_slice(), from: 0, to: 0 }
    }

    /// Where the next bytes go; never empty once [`next`](Self::next) gave `None`.
    pub(super) fn room(&mut self) -> &mut [u8] {
        self.buffer.copy_within(self.from..self.to, 0);
        (self.from, self.to) = (0, self.to - self.from);
        &mut self.buffer[self.to..]
    }

    /// So many bytes were put into the [`room`](Self::room).
    pub(super) fn filled(&mut self, bytes: usize) {
        self.to += bytes;
    }

    /// The next whole frame.
    pub(super) fn next(&mut self) -> Result<Option<Frame>, TooLong> {
        let waiting = &self.buffer[self.from..self.to];
        let Some(prefix) = waiting.first_chunk::<PREFIX>() else { return Ok(None) };
        let bytes = usize::try_from(u32::from_be_bytes(*prefix)).unwrap_or(usize::MAX);
        if bytes > LONGEST_FRAME {
            return Err(TooLong { bytes });
        }
        let Some(encoded) = waiting.get(..PREFIX + bytes) else { return Ok(None) };
        self.from += encoded.len();
        Ok(Some(Frame { encoded: encoded.into() }))
    }
}

impl std::fmt::Debug for Decoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Decoder({} bytes waiting)", self.to - self.from)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Feeds a stream in pieces and takes out what there is.
    fn decode(stream: &[u8], piece: usize) -> Result<Vec<Frame>, TooLong> {
        let (mut decoder, mut frames, mut rest) = (Decoder::new(), Vec::new(), stream);
        while !rest.is_empty() {
            let room = decoder.room();
            let (now, later) = rest.split_at(piece.min(rest.len()).min(room.len()));
            room[..now.len()].copy_from_slice(now);
            decoder.filled(now.len());
            rest = later;
            while let Some(frame) = decoder.next()? {
                frames.push(frame);
            }
        }
        Ok(frames)
    }

    proptest! {
        #[test]
        fn frames_come_out_as_they_went_in(
            lengths in prop::collection::vec(prop_oneof![0..2000_usize, 60_000..=LONGEST_FRAME], 0..12),
            piece in 1..300_000_usize,
        ) {
            let frames = lengths.iter().zip(0..).map(|(length, n)| Frame::new(&vec![n; *length]));
            let frames: Vec<Frame> = frames.collect::<Result<_, _>>()?;
            let stream: Vec<u8> = frames.iter().flat_map(|it| it.encoded().to_vec()).collect();
            prop_assert_eq!(decode(&stream, piece), Ok(frames));
        }
    }

    proptest! {
        #[test]
        fn whatever_comes_fits_into_the_buffer(
            stream in prop::collection::vec(prop_oneof![9 => Just(0), 1 => any::<u8>()], 0..4000),
            piece in 1..500_usize,
        ) {
            let bytes = decode(&stream, piece).map_or(0, |frames| {
                frames.iter().map(|frame| frame.encoded().len()).sum()
            });
            prop_assert!(bytes <= stream.len());
        }
    }

    #[test]
    fn an_absurd_length_is_refused_before_anything_is_kept() {
        assert_eq!(decode(&[0xff; 4], 1), Err(TooLong { bytes: 0xffff_ffff }));
        assert_eq!(
            Frame::new(&vec![0; LONGEST_FRAME + 1]),
            Err(TooLong { bytes: LONGEST_FRAME + 1 })
        );
    }
}
