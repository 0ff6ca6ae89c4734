//! The disk as QEMU sees it: a small NBD client at the other end of the socket.

use std::fs::File;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;

use tempfile::TempDir;

use super::DataDisk;
use super::protocol::{EXPORT_NAME, FLUSH, FUA, GO, READ, TRIM, WRITE, WRITE_ZEROES};

const DISK_BYTES: u64 = 1 << 40;

const INVALID: u32 = 22;
const NO_SPACE: u32 = 28;

struct Bench {
    folder: TempDir,
    disk: DataDisk,
}

impl Bench {
    /// A tebibyte, nothing of which is allocated.
    fn new() -> Bench {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("disk");
        File::create_new(&path).and_then(|file| file.set_len(DISK_BYTES)).expect("a sparse file");
        Bench { disk: DataDisk::open(&path).expect("opens"), folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}

struct Client {
    stream: UnixStream,
}

impl Client {
    /// Shakes hands by `GO`.
    fn connect(disk: &DataDisk) -> Client {
        let mut client = Client::greeted(disk);
        client.option(GO, b"\0\0\0\x01x\0\0");
        let replies = client.array::<{ 2 * 20 + 12 + 14 + 20 }>();
        assert_eq!(
            replies[20..32],
            [[0, 0, 0, 0, 1, 0, 0, 0, 0, 0].as_slice(), &[0, 109]].concat()
        );
        assert_eq!(replies[replies.len() - 8..], [0, 0, 0, 1, 0, 0, 0, 0]);
        client
    }

    fn greeted(disk: &DataDisk) -> Client {
        let mut client = Client { stream: disk.serve().expect("serves").into() };
        assert_eq!(&client.array(), b"NBDMAGICIHAVEOPT\0\x03");
        client.send(&[0, 0, 0, 3]);
        client
    }

    fn option(&mut self, option: u32, data: &[u8]) {
        let length = (data.len() as u32).to_be_bytes();
        self.send(&[b"IHAVEOPT".as_slice(), &option.to_be_bytes(), &length, data].concat());
    }

    /// Makes a request; its error, zero for none.
    fn ask(&mut self, command: u16, flags: u16, offset: u64, length: u32, data: &[u8]) -> u32 {
        let mut request = vec![0x25, 0x60, 0x95, 0x13];
        request.extend(flags.to_be_bytes());
        request.extend(command.to_be_bytes());
        request.extend(*b"a cookie");
        request.extend(offset.to_be_bytes());
        request.extend(length.to_be_bytes());
        request.extend(data);
        self.send(&request);
        let reply = self.array::<16>();
        assert_eq!(
            (&reply[..4], &reply[8..]),
            ([0x67, 0x44, 0x66, 0x98].as_slice(), &b"a cookie"[..])
        );
        u32::from_be_bytes(*reply[4..].first_chunk().expect("four bytes"))
    }

    fn write(&mut self, flags: u16, offset: u64, data: &[u8]) {
        assert_eq!(self.ask(WRITE, flags, offset, data.len() as u32, data), 0);
    }

    fn flush(&mut self) {
        assert_eq!(self.ask(FLUSH, 0, 0, 0, &[]), 0);
    }

    /// The first byte of a sector.
    fn read(&mut self, offset: u64) -> u8 {
        assert_eq!(self.ask(READ, 0, offset, 512, &[]), 0);
        self.array::<512>()[0]
    }

    fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).expect("the disk listens");
    }

    fn array<const BYTES: usize>(&mut self) -> [u8; BYTES] {
        let mut bytes = [0; BYTES];
        self.stream.read_exact(&mut bytes).expect("the disk answers");
        bytes
    }

    fn is_gone(&mut self) -> bool {
        matches!(self.stream.read(&mut [0]), Ok(0))
    }
}

#[test]
fn what_was_flushed_or_forced_survives_a_power_cut_and_nothing_else() {
    let bench = Bench::new();
    let mut client = Client::connect(&bench.disk);
    client.write(0, 0, &[1; 1024]);
    client.flush();
    client.write(0, 0, &[2; 512]);
    client.write(FUA, 4096, &[3; 512]);
    client.write(0, DISK_BYTES - 512, &[4; 512]);
    assert_eq!(client.ask(TRIM, 0, 512, 512, &[]), 0);
    assert_eq!([0, 512, 4096, DISK_BYTES - 512].map(|at| client.read(at)), [2, 0, 3, 4]);

    bench.disk.power_cut().expect("cut");
    assert!(client.is_gone());
    let mut client = Client::connect(&bench.disk);
    assert_eq!([0, 512, 4096, DISK_BYTES - 512].map(|at| client.read(at)), [1, 1, 3, 0]);
}

#[test]
fn a_machine_that_is_reset_finds_its_cache_again() {
    let bench = Bench::new();
    let mut client = Client::connect(&bench.disk);
    client.write(0, 0, &[1; 512]);
    drop(client);
    let mut client = Client::connect(&bench.disk);
    assert_eq!(client.read(0), 1);
    drop(client);
    bench.disk.settle().expect("settles");
    bench.disk.power_cut().expect("cut");
    assert_eq!(Client::connect(&bench.disk).read(0), 1);
}

#[test]
fn a_branch_goes_its_own_way_with_what_was_cached() {
    let bench = Bench::new();
    let mut client = Client::connect(&bench.disk);
    client.write(FUA, 0, &[1; 512]);
    client.write(0, 512, &[2; 512]);
    bench.disk.hold_flushes();
    client.flush();
    let branch = bench.disk.branch(&bench.path("branch")).expect("branches");
    bench.disk.release_flushes();

    let mut other = Client::connect(&branch);
    other.write(FUA, 0, &[9; 512]);
    assert_eq!([other.read(0), other.read(512), client.read(0)], [9, 2, 1]);
    branch.power_cut().expect("cut");
    let mut other = Client::connect(&branch);
    assert_eq!([other.read(0), other.read(512), client.read(512)], [9, 0, 2]);
}

#[test]
fn a_flush_of_the_guest_is_kept_though_it_was_held() {
    let bench = Bench::new();
    let mut client = Client::connect(&bench.disk);
    bench.disk.hold_flushes();
    client.write(0, 0, &[1; 512]);
    client.flush();
    client.write(0, 0, &[2; 512]);
    client.write(0, 512, &[3; 512]);
    client.flush();
    bench.disk.honour_held_flush().expect("honoured");
    client.write(0, 512, &[4; 512]);
    client.flush();
    bench.disk.release_flushes();
    bench.disk.power_cut().expect("cut");
    let mut client = Client::connect(&bench.disk);
    assert_eq!([client.read(0), client.read(512)], [2, 3]);
}

#[test]
fn what_makes_no_sense_is_refused_and_the_connection_goes_on() {
    let bench = Bench::new();
    let mut client = Client::connect(&bench.disk);
    let all = !511;
    let last = DISK_BYTES - 512;
    for (command, flags, offset, length, error) in [
        (READ, 0, DISK_BYTES, 512, INVALID),
        (READ, 0, u64::MAX - 511, 1024, INVALID),
        (READ, 0, 0, all, INVALID),
        (READ, 0, 1, 512, INVALID),
        (READ, 1 << 15, 0, 512, INVALID),
        (TRIM, 0, last, 1024, INVALID),
        (TRIM, 0, 0, 1, INVALID),
        (WRITE_ZEROES, 0, last, all, NO_SPACE),
        (77, 0, 0, 512, INVALID),
        (READ, 0, 0, 0, 0),
        (WRITE_ZEROES, FUA, 0, all, 0),
        (FLUSH, 0, u64::MAX, 77, 0),
    ] {
        let found = client.ask(command, flags, offset, length, &[]);
        assert_eq!(found, error, "command {command}, flags {flags}, {length} bytes at {offset}");
    }
    assert_eq!(client.ask(WRITE, 0, last, 1024, &[1; 1024]), NO_SPACE);
    assert_eq!(client.ask(WRITE, 0, 0, 700, &[1; 700]), INVALID);
    assert_eq!(client.ask(WRITE, 0, 0, 33 << 20, &vec![1; 33 << 20]), INVALID);
    assert_eq!(client.read(0), 0);
    client.send(b"this is no request at all ..");
    assert!(client.is_gone());
}

#[test]
fn old_and_odd_handshakes_are_answered() {
    let bench = Bench::new();
    let mut client = Client::greeted(&bench.disk);
    let odd = [(8, 0, 0x8000_0001_u32), (GO, 3, 0x8000_0003), (3, 100_000, 0x8000_0009)];
    for (option, length, error) in odd {
        client.option(option, &vec![0; length]);
        assert_eq!(client.array::<20>()[12..16], error.to_be_bytes(), "option {option}");
    }
    client.option(EXPORT_NAME, b"data");
    assert_eq!(client.array::<10>(), [0, 0, 1, 0, 0, 0, 0, 0, 0, 109]);
    assert_eq!(client.read(0), 0);
}
