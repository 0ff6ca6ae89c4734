//! A door for the fuzzer.

use std::time::Duration;

use super::fabric::Fabric;
use super::frame::{Decoder, Frame};
use crate::fuzzing::Source;

/// Whatever comes from a machine's card, in pieces: the frames are what was sent, up to the first
/// length that no frame has, and each goes along the wires or nowhere.
///
/// # Panics
/// When that does not hold.
pub fn wire(data: &[u8]) {
    let mut source = Source(data);
    let Some([piece, seed, bad]) = source.array() else { return };
    let frames = frames(source.0, usize::from(piece) * 64 + 1);
    let sent: Vec<u8> = frames.iter().flat_map(Frame::encoded).copied().collect();
    assert_eq!(sent, source.0[..sent.len()]);
    carry(&frames, seed.into(), bad & 1 == 1);
}

fn frames(stream: &[u8], piece: usize) -> Vec<Frame> {
    let (mut decoder, mut frames) = (Decoder::new(), Vec::new());
    for piece in stream.chunks(piece) {
        decoder.room()[..piece.len()].copy_from_slice(piece);
        decoder.filled(piece.len());
        loop {
            match decoder.next() {
                Ok(Some(frame)) => frames.push(frame),
                Ok(None) => break,
                Err(_) => return frames,
            }
        }
    }
    frames
}

/// Two nodes on a wire, and the frames sent by both.
fn carry(frames: &[Frame], seed: u64, bad: bool) {
    let mut fabric = Fabric::new(seed);
    fabric.wire("a", "b").expect("two nodes");
    let nodes = ["a", "b"].map(|name| fabric.node(name));
    nodes.iter().for_each(|node| fabric.plug(*node));
    if bad {
        let shape = "delay=10ms,jitter=5ms,loss=10%,duplicate=10%,reorder=10%,rate=1mbit";
        fabric.shape("a", "b", shape.parse().expect("a shape")).expect("a wire");
    }
    for ((frame, from), at) in frames.iter().zip(nodes.iter().cycle()).zip(0..) {
        let now = Duration::from_millis(at);
        fabric.send(now, *from, frame);
        fabric.advance(now);
    }
    fabric.advance(Duration::MAX);
    assert_eq!(fabric.next_due(), None);
    for (node, back) in nodes.iter().zip([("b", "a"), ("a", "b")]) {
        let delivered = fabric.traffic(back.0, back.1).expect("a wire").delivered;
        assert_eq!(fabric.waiting(*node).len() as u64, delivered);
    }
}
