use proptest::prelude::*;

use super::*;
use crate::wire::{Rate, Share};

const ALL: u8 = 0xff;

/// A frame to an address from another, `size` bytes long, that carries a number. An even number is
/// the address of one card.
fn frame(to: u8, from: u8, number: u32, size: usize) -> Frame {
    let mut bytes = vec![0; size];
    bytes[..6].fill(to);
    bytes[6..12].fill(from);
    bytes[14..18].copy_from_slice(&number.to_be_bytes());
    Frame::new(&bytes).expect("short enough")
}

fn number(frame: &Frame) -> u32 {
    u32::from_be_bytes(*frame.bytes()[14..].first_chunk().expect("a number"))
}

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// A fabric with these wires, and a machine at each node.
fn fabric(seed: u64, wires: &[(&str, &str)]) -> Fabric {
    let mut fabric = Fabric::new(seed);
    for (a, b) in wires {
        fabric.wire(a, b).expect("two nodes");
        for node in [a, b] {
            let node = fabric.node(node);
            fabric.plug(node);
        }
    }
    fabric
}

/// Takes the numbers of what waits for a node.
fn take(fabric: &mut Fabric, node: &str) -> Vec<u32> {
    let node = fabric.node(node);
    let numbers: Vec<_> = fabric.waiting(node).iter().map(number).collect();
    fabric.taken(node, numbers.len());
    numbers
}

fn send(fabric: &mut Fabric, now: Duration, from: &str, frame: &Frame) {
    let from = fabric.node(from);
    fabric.send(now, from, frame);
}

/// Sends frames at these times and says what arrives when, until nothing is on its way.
fn fates(fabric: &mut Fabric, times: &[Duration]) -> Vec<(Duration, u32)> {
    let mut arrived = Vec::new();
    let mut sent = times.iter().zip(0..).peekable();
    loop {
        let next = sent.peek().map(|(time, _)| **time);
        let Some(now) = fabric.next_due().into_iter().chain(next).min() else { return arrived };
        fabric.advance(now);
        while let Some((_, n)) = sent.next_if(|(time, _)| **time <= now) {
            send(fabric, now, "a", &frame(ALL, 2, n, 100));
        }
        arrived.extend(take(fabric, "b").into_iter().map(|n| (now, n)));
    }
}

fn shaped(text: &str, seed: u64) -> Fabric {
    let mut fabric = fabric(seed, &[("a", "b")]);
    fabric.shape("a", "b", text.parse().expect(text)).expect("a wire");
    fabric
}

fn every_ms(frames: u64) -> Vec<Duration> {
    (0..frames).map(ms).collect()
}

fn shapes() -> impl Strategy<Value = Shape> {
    let time = || prop_oneof![Just(0), 0..200_000_u64].prop_map(Duration::from_micros);
    let share = || prop_oneof![Just(0), 0..=1_000_000_u32].prop_map(Share::per_million);
    let rate = prop::option::of((10_000..100_000_000_u64).prop_map(Rate::bits_per_second));
    (time(), time(), share(), share(), share(), rate).prop_map(
        |(delay, jitter, loss, duplicate, reorder, rate)| Shape {
            delay,
            jitter,
            loss,
            duplicate,
            reorder,
            rate,
        },
    )
}

fn times() -> impl Strategy<Value = Vec<Duration>> {
    let gaps = prop::collection::vec(0..20_000_u64, 1..60);
    gaps.prop_map(|gaps| {
        let mut now = 0;
        let time = |gap| {
            now += gap;
            Duration::from_micros(now)
        };
        gaps.into_iter().map(time).collect()
    })
}

proptest! {
    #[test]
    fn one_seed_one_fate_whatever_happens_on_other_wires(
        shape in shapes(), other in shapes(), times in times(), seed in any::<u64>(),
    ) {
        let mut alone = fabric(seed, &[("a", "b")]);
        let mut beside = fabric(seed, &[("c", "b"), ("a", "c"), ("a", "b")]);
        beside.shape("a", "c", other).expect("a wire");
        for fabric in [&mut alone, &mut beside] {
            fabric.shape("a", "b", shape).expect("a wire");
        }
        prop_assert_eq!(fates(&mut alone, &times), fates(&mut beside, &times));
    }

    #[test]
    fn every_frame_is_accounted_for(
        shape in shapes(), times in times(), seed in any::<u64>(), cut in any::<bool>(),
    ) {
        let mut fabric = fabric(seed, &[("a", "b")]);
        fabric.shape("a", "b", shape).expect("a wire");
        for (time, n) in times.iter().zip(0..) {
            send(&mut fabric, *time, "a", &frame(ALL, 2, n, 100));
        }
        if cut {
            fabric.cut("a", "b").expect("a wire");
        }
        let it = fabric.traffic("a", "b").expect("a wire");
        prop_assert_eq!(
            it.frames + it.duplicated,
            it.delivered + it.lost + it.dropped + it.on_the_way
        );
        prop_assert_eq!(it.on_the_way + it.delivered, fabric.frames() as u64);
    }

    #[test]
    fn order_is_kept_unless_reordering_is_asked_for(
        shape in shapes(), times in times(), seed in any::<u64>(),
    ) {
        let mut fabric = fabric(seed, &[("a", "b")]);
        let shape = Shape { reorder: Share::default(), ..shape };
        fabric.shape("a", "b", shape).expect("a wire");
        prop_assert!(fates(&mut fabric, &times).is_sorted());
    }

    #[test]
    fn a_branch_goes_on_like_the_original(
        shape in shapes(), times in times(), later in times(), seed in any::<u64>(),
    ) {
        let mut fabric = fabric(seed, &[("a", "b")]);
        fabric.shape("a", "b", shape).expect("a wire");
        times.iter().zip(0..).for_each(|(time, n)| {
            send(&mut fabric, *time, "a", &frame(ALL, 2, n, 100));
        });
        let mut branch = fabric.branch();
        let b = branch.node("b");
        branch.plug(b);
        branch.go_on();
        prop_assert_eq!(fates(&mut branch, &later), fates(&mut fabric, &later));
    }
}

#[test]
fn a_clean_wire_brings_each_frame_once_and_at_once() {
    let mut fabric = shaped("clean", 1);
    let times = every_ms(100);
    let expected: Vec<_> = times.iter().copied().zip(0..).collect();
    assert_eq!(fates(&mut fabric, &times), expected);
}

#[test]
fn a_delay_is_exact() {
    let mut fabric = shaped("delay=100ms", 1);
    let arrived: Vec<_> = every_ms(9).into_iter().map(|time| time + ms(100)).zip(0..).collect();
    assert_eq!(fates(&mut fabric, &every_ms(9)), arrived);
}

#[test]
fn jitter_spreads_around_the_delay() {
    let times: Vec<_> = (0..2000).map(|n| ms(100 * n)).collect();
    let arrived = fates(&mut shaped("delay=50ms,jitter=10ms", 1), &times);
    let took: Vec<_> = arrived.iter().zip(&times).map(|((at, _), sent)| *at - *sent).collect();
    assert!(took.iter().all(|it| (ms(40)..=ms(60)).contains(it)));
    let mean = took.iter().sum::<Duration>() / 2000;
    assert!((ms(49)..ms(51)).contains(&mean), "{mean:?}");
    assert!(took.iter().any(|it| *it < ms(41)) && took.iter().any(|it| *it > ms(59)));
}

#[test]
fn chance_takes_its_share() {
    let mut fabric = shaped("delay=1s,loss=20%,duplicate=5%,reorder=10%", 7);
    (0..20_000).for_each(|n| send(&mut fabric, ms(0), "a", &frame(ALL, 2, n, 100)));
    let it = fabric.traffic("a", "b").expect("a wire");
    assert!((3_800..4_200).contains(&it.lost), "{it:?}");
    assert!((700..900).contains(&it.duplicated), "{it:?}");
    assert!((1_500..1_700).contains(&it.reordered), "{it:?}");
}

#[test]
fn a_reordered_frame_is_overtaken() {
    let arrived = fates(&mut shaped("reorder=10%", 3), &every_ms(500));
    let numbers: Vec<_> = arrived.iter().map(|(_, n)| *n).collect();
    assert!(!numbers.is_sorted() && numbers.len() == 500);
}

#[test]
fn a_rate_spreads_frames_and_its_queue_ends() {
    let mut fabric = shaped("rate=10mbit", 1);
    (0..300).for_each(|n| send(&mut fabric, ms(0), "a", &frame(ALL, 2, n, 1250)));
    let arrivals = fates(&mut fabric, &[]);
    // A frame of 10,000 bits takes a millisecond; 100 ms of them wait, and one is being sent.
    let expected: Vec<_> = (0..101).map(|n| (ms(u64::from(n) + 1), n)).collect();
    assert_eq!(arrivals, expected);
    assert_eq!(fabric.traffic("a", "b").expect("a wire").dropped, 199);
}

#[test]
fn a_cut_loses_what_is_on_the_way_and_a_healed_wire_brings_again() {
    let mut fabric = shaped("delay=10ms", 1);
    send(&mut fabric, ms(0), "a", &frame(ALL, 2, 0, 100));
    fabric.cut("a", "b").expect("a wire");
    send(&mut fabric, ms(1), "a", &frame(ALL, 2, 1, 100));
    send(&mut fabric, ms(1), "b", &frame(ALL, 4, 7, 100));
    fabric.heal("a", "b").expect("a wire");
    send(&mut fabric, ms(2), "a", &frame(ALL, 2, 2, 100));
    fabric.advance(ms(50));
    assert_eq!(take(&mut fabric, "b"), [2]);
    assert_eq!(take(&mut fabric, "a"), [7], "the other direction was not cut");
    assert_eq!(fabric.traffic("a", "b").expect("a wire").lost, 2);
}

#[test]
fn known_addresses_get_frames_alone_and_others_go_to_all_neighbours_but_no_further() {
    let mut fabric = fabric(1, &[("a", "b"), ("a", "c"), ("c", "d")]);
    send(&mut fabric, ms(0), "a", &frame(ALL, 2, 0, 60));
    assert_eq!((take(&mut fabric, "b"), take(&mut fabric, "c")), (vec![0], vec![0]));
    assert_eq!(take(&mut fabric, "d"), [] as [u32; 0], "a node is not a hop");
    send(&mut fabric, ms(0), "b", &frame(2, 4, 1, 60));
    assert_eq!(take(&mut fabric, "a"), [1]);
    send(&mut fabric, ms(0), "a", &frame(4, 2, 2, 60));
    assert_eq!((take(&mut fabric, "b"), take(&mut fabric, "c")), (vec![2], vec![]));
}

#[test]
fn an_address_moves_with_what_it_sends_and_is_forgotten_with_its_machine() {
    let mut fabric = fabric(1, &[("a", "b"), ("a", "c")]);
    send(&mut fabric, ms(0), "b", &frame(ALL, 8, 0, 60));
    send(&mut fabric, ms(0), "c", &frame(ALL, 8, 1, 60));
    send(&mut fabric, ms(0), "a", &frame(8, 2, 2, 60));
    assert_eq!((take(&mut fabric, "b"), take(&mut fabric, "c")), (vec![], vec![2]));
    let c = fabric.node("c");
    fabric.plug(c);
    send(&mut fabric, ms(0), "a", &frame(8, 2, 3, 60));
    assert_eq!((take(&mut fabric, "b"), take(&mut fabric, "c")), (vec![3], vec![3]));
}

#[test]
fn what_nobody_reads_ends_and_is_counted() {
    let mut fabric = shaped("clean", 1);
    (0..200).for_each(|n| send(&mut fabric, ms(0), "a", &frame(ALL, 2, n, 65_000)));
    let it = fabric.traffic("a", "b").expect("a wire");
    assert_eq!(it.delivered + it.dropped, 200);
    assert!((120..130).contains(&it.delivered), "{it:?}");
    let b = fabric.node("b");
    fabric.unplug(b);
    send(&mut fabric, ms(0), "a", &frame(ALL, 2, 0, 100));
    assert_eq!(fabric.traffic("a", "b").expect("a wire").dropped, it.dropped + 1);
}

#[test]
fn errors_name_the_wire_and_those_that_there_are() {
    let mut fabric = fabric(1, &[("a", "b")]);
    let error = fabric.cut("a", "z").expect_err("no such wire");
    assert_eq!(error.to_string(), "no wire from `a` to `z`; there are a-b");
    assert!(fabric.wire("a", "a").is_err());
}
