//! The switch with real sockets: a thread of the test stands for each QEMU.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use pcap_file::pcapng::blocks::enhanced_packet::EnhancedPacketOption;
use pcap_file::pcapng::{Block, PcapNgReader};
use vm::wire::{Error, Frame, Plug, Switch};

/// A machine's end of its wire.
struct Card(UnixStream);

impl Card {
    fn plug(switch: &Switch, node: &str) -> Card {
        let socket = UnixStream::from(switch.plug(node).expect("a socket"));
        socket.set_read_timeout(Some(Duration::from_secs(10))).expect("a socket");
        Card(socket)
    }

    fn send(&mut self, frame: &Frame) {
        self.0.write_all(frame.encoded()).expect("the switch reads");
    }

    /// The number in the next frame; `None` at the end of the wire.
    fn receive(&mut self) -> Option<u32> {
        let mut length = [0; 4];
        self.0.read_exact(&mut length).ok()?;
        let mut bytes = vec![0; u32::from_be_bytes(length) as usize];
        self.0.read_exact(&mut bytes).expect("a whole frame");
        Some(u32::from_be_bytes(*bytes[14..].first_chunk().expect("a number")))
    }

    /// Nothing comes for a moment.
    fn hears_nothing(&mut self) -> bool {
        let short = Some(Duration::from_millis(50));
        self.0.set_read_timeout(short).expect("a socket");
        let heard = self.0.read(&mut [0]);
        self.0.set_read_timeout(Some(Duration::from_secs(10))).expect("a socket");
        heard.is_err()
    }
}

/// A frame to all that carries a number.
fn frame(number: u32, size: usize) -> Frame {
    let mut bytes = vec![0xff; size];
    bytes[6..12].fill(2);
    bytes[14..18].copy_from_slice(&number.to_be_bytes());
    Frame::new(&bytes).expect("short enough")
}

fn star(neighbours: &[&str]) -> Switch {
    let switch = Switch::start(1).expect("a thread");
    neighbours.iter().for_each(|it| switch.wire("a", it).expect("two nodes"));
    switch
}

fn wait_for(what: &str, is_so: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !is_so() {
        assert!(Instant::now() < deadline, "waited for {what}");
        std::thread::yield_now();
    }
}

#[test]
fn a_slow_reader_does_not_stop_others_and_costs_bounded_memory() {
    let switch = star(&["slow", "quick"]);
    let mut a = Card::plug(&switch, "a");
    let (_slow, mut quick) = (Card::plug(&switch, "slow"), Card::plug(&switch, "quick"));
    let writer = std::thread::spawn(move || {
        (0..20_000).for_each(|n| a.send(&frame(n, 1500)));
        a
    });
    (0..20_000).for_each(|n| assert_eq!(quick.receive(), Some(n)));
    let slow = switch.traffic("a", "slow").expect("a wire");
    assert!(slow.dropped > 10_000 && slow.delivered > 5_000, "{slow:?}");
    assert_eq!(switch.traffic("a", "quick").expect("a wire").dropped, 0);
    writer.join().expect("all was sent");
}

#[test]
fn an_absurd_length_shuts_that_port_alone() {
    let switch = star(&["b", "evil"]);
    let (mut a, mut b) = (Card::plug(&switch, "a"), Card::plug(&switch, "b"));
    let mut evil = Card::plug(&switch, "evil");
    evil.send(&frame(1, 60));
    evil.0.write_all(&[0x7f, 0xff, 0xff, 0xff]).expect("the switch reads");
    assert_eq!(a.receive(), Some(1), "what came before was right");
    assert_eq!(evil.receive(), None);
    let why = "a frame of 2147483647 bytes was announced, more than 69632".to_owned();
    assert_eq!(switch.plugged("evil"), Plug::Shut { why });
    a.send(&frame(2, 60));
    assert_eq!((b.receive(), switch.plugged("b")), (Some(2), Plug::In));
    drop(b);
    a.send(&frame(3, 60));
    wait_for("b to be plugged out", || switch.plugged("b") == Plug::Out);
}

#[test]
fn a_delay_is_kept_and_a_cut_is_silent() {
    let switch = star(&["b"]);
    let (mut a, mut b) = (Card::plug(&switch, "a"), Card::plug(&switch, "b"));
    switch.shape("a", "b", "delay=100ms".parse().expect("a shape")).expect("a wire");
    let sent = Instant::now();
    a.send(&frame(1, 60));
    assert_eq!(b.receive(), Some(1));
    assert!(sent.elapsed() >= Duration::from_millis(100), "{:?}", sent.elapsed());
    switch.shape("a", "b", "clean".parse().expect("a shape")).expect("a wire");
    switch.cut("a", "b").expect("a wire");
    a.send(&frame(2, 60));
    assert!(b.hears_nothing());
    switch.heal("a", "b").expect("a wire");
    a.send(&frame(3, 60));
    assert_eq!(b.receive(), Some(3));
}

#[test]
fn what_is_in_flight_waits_and_then_arrives_in_the_original_and_in_each_branch() {
    let switch = star(&["b"]);
    let (mut a, b) = (Card::plug(&switch, "a"), Card::plug(&switch, "b"));
    switch.shape("a", "b", "delay=200ms".parse().expect("a shape")).expect("a wire");
    assert!(matches!(switch.in_flight(), Err(Error::NotHeld)));
    a.send(&frame(1, 60));
    assert_eq!(switch.hold().unread, [] as [String; 0]);
    // The machine is not stopped yet: what it sends now belongs to the cut as well.
    a.send(&frame(2, 60));
    let cut = switch.in_flight().expect("held");
    assert_eq!(cut.frames(), 2);
    let branches = [(); 2].map(|()| Switch::resume(&cut).expect("a thread"));
    let mut cards = vec![b];
    cards.extend(branches.iter().map(|branch| Card::plug(branch, "b")));
    for _ in 0..5 {
        assert!(cards.iter_mut().all(Card::hears_nothing), "time stands while wires are held");
    }
    let going_on = Instant::now();
    branches.iter().chain([&switch]).for_each(Switch::go_on);
    for card in &mut cards {
        assert_eq!((card.receive(), card.receive()), (Some(1), Some(2)));
    }
    assert!(going_on.elapsed() >= Duration::from_millis(100), "{:?}", going_on.elapsed());
    assert!(branches.iter().all(|it| it.traffic("a", "b").expect("a wire").delivered == 2));
}

#[test]
fn a_hold_waits_for_readers_and_names_who_does_not_read() {
    let switch = star(&["b", "deaf"]);
    let mut a = Card::plug(&switch, "a");
    let (mut b, _deaf) = (Card::plug(&switch, "b"), Card::plug(&switch, "deaf"));
    a.send(&frame(1, 60));
    wait_for("the frame to be delivered", || {
        ["b", "deaf"].iter().all(|it| switch.traffic("a", it).expect("a wire").delivered == 1)
    });
    let reader = std::thread::spawn(move || b.receive());
    assert_eq!(switch.hold().unread, ["deaf"]);
    assert_eq!(reader.join().expect("read"), Some(1));
}

#[test]
fn a_capture_is_whole_and_says_what_was_lost() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("a-b.pcapng");
    let switch = star(&["b"]);
    let (mut a, mut b) = (Card::plug(&switch, "a"), Card::plug(&switch, "b"));
    switch.capture("b", "a", &file).expect("a file");
    a.send(&frame(1, 61));
    assert_eq!(b.receive(), Some(1));
    switch.shape("a", "b", "duplicate=100%".parse().expect("a shape")).expect("a wire");
    a.send(&frame(2, 62));
    assert_eq!((b.receive(), b.receive()), (Some(2), Some(2)));
    switch.cut("b", "a").expect("a wire");
    b.send(&frame(3, 63));
    assert!(a.hears_nothing());
    switch.stop_capture("a", "b").expect("whole");
    assert!(switch.stop_capture("a", "b").is_err());
    let expected = [
        (1, 61, None),
        (1, 62, None),
        (1, 62, Some("duplicate")),
        (0, 63, Some("lost: the wire is cut")),
    ];
    assert_eq!(packets(&file), expected.map(|(at, size, it)| (at, size, it.map(str::to_owned))));
}

/// Interface, length and comment of the packets of a file.
fn packets(file: &std::path::Path) -> Vec<(u32, usize, Option<String>)> {
    let mut reader = PcapNgReader::new(std::fs::File::open(file).expect("a file")).expect("pcapng");
    let mut packets = Vec::new();
    while let Some(block) = reader.next_block() {
        if let Block::EnhancedPacket(packet) = block.expect("a whole block") {
            let comment = packet.options.iter().find_map(|option| match option {
                EnhancedPacketOption::Comment(text) => Some(text.to_string()),
                _ => None,
            });
            packets.push((packet.interface_id, packet.data.len(), comment));
        }
    }
    packets
}
