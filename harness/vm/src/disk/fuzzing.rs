//! A door for the fuzzer.

use std::io;
use std::path::Path;
use std::sync::Mutex;

use super::image::Image;
use super::medium::Medium;
use super::protocol::{GO, WRITE};
use super::{SECTOR, lock, session};
use crate::fuzzing::Source;

const DISK_BYTES: u64 = 256 << 10;
const CACHE_BYTES: usize = 32 << 10;

/// Whatever comes on the socket of a disk: the connection ends, the disk keeps its size, and the
/// cache its bounds. An odd first byte lets the rest through as it is; after an even one there is
/// a good handshake, and what follows decides about requests that are at least of good form.
///
/// # Panics
/// When that does not hold, or the host has no room for a file.
pub fn disk(data: &[u8]) {
    let Some((mode, data)) = data.split_first() else { return };
    let stream = if mode & 1 == 1 { data.to_vec() } else { well_formed(data) };
    let file = tempfile::tempfile().expect("a file");
    file.set_len(DISK_BYTES).expect("a sparse file");
    let image =
        Image::of(file.try_clone().expect("a descriptor"), Path::new("disk")).expect("a disk");
    let medium = Mutex::new(Medium::new(image, CACHE_BYTES));
    session::serve(stream.as_slice(), io::sink(), &medium);
    let mut medium = lock(&medium);
    assert!(medium.fits(), "the cache has outgrown its bounds");
    medium.settle().expect("the host is well");
    assert_eq!(file.metadata().expect("a file").len(), DISK_BYTES);
}

fn well_formed(data: &[u8]) -> Vec<u8> {
    let mut stream = [0, 0, 0, 3].to_vec();
    stream.extend(b"IHAVEOPT");
    stream.extend(GO.to_be_bytes());
    stream.extend(b"\0\0\0\x06\0\0\0\0\0\0");
    let mut source = Source(data);
    while let Some([flags, command, scale]) = source.array() {
        let Some(numbers) = source.array::<4>() else { break };
        request(&mut stream, flags.into(), command, scale, numbers);
    }
    stream
}

/// A request whose offset and length are sectors, or bytes, or absurd.
fn request(stream: &mut Vec<u8>, flags: u16, command: u8, scale: u8, numbers: [u8; 4]) {
    let [high, low, length_high, length_low] = numbers;
    let unit = [SECTOR, SECTOR, SECTOR, 1, 1 << 24, 1 << 48][usize::from(scale) % 6];
    let scaled = |bytes| u64::from(u16::from_be_bytes(bytes)).wrapping_mul(unit);
    let (offset, length) = (scaled([high, low]), scaled([length_high, length_low]) as u32);
    let command = u16::from(command % 9);
    stream.extend([0x25, 0x60, 0x95, 0x13]);
    stream.extend(flags.to_be_bytes());
    stream.extend(command.to_be_bytes());
    stream.extend([0; 8]);
    stream.extend(offset.to_be_bytes());
    stream.extend(length.to_be_bytes());
    if command == WRITE {
        let payload = u64::from(length).min(DISK_BYTES) as usize;
        stream.resize(stream.len() + payload, scale);
    }
}
