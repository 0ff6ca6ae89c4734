//! How fast frames go: through the fabric alone, and through the switch with its sockets, beside two
//! sockets that are copied from one to the other without looking.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::thread;
use std::time::Duration;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use vm::wire::fabric::Fabric;
use vm::wire::{Frame, Switch};

/// Frames of one pass of the fabric.
const FRAMES: u32 = 1000;

/// Bytes of one pass through sockets: fewer than a switch keeps for a reader before it drops.
const BYTES: usize = 6 << 20;

fn frame(size: usize) -> Frame {
    let mut bytes = vec![0; size];
    bytes[..6].fill(4);
    bytes[6..12].fill(2);
    Frame::new(&bytes).expect("short enough")
}

fn forward(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("fabric");
    group.throughput(Throughput::Elements(u64::from(FRAMES)));
    for shape in ["clean", "delay=10us", "delay=10us,jitter=5us,loss=1%,duplicate=1%,rate=100gbit"]
    {
        let mut fabric = Fabric::new(1);
        fabric.wire("a", "b").expect("two nodes");
        fabric.shape("a", "b", shape.parse().expect("a shape")).expect("a wire");
        let (a, b) = (fabric.node("a"), fabric.node("b"));
        fabric.plug(b);
        let (frame, mut now) = (frame(1514), Duration::ZERO);
        group.bench_function(shape, |bencher| {
            bencher.iter(|| {
                for _ in 0..FRAMES {
                    now += Duration::from_nanos(100);
                    fabric.advance(now);
                    fabric.send(now, a, &frame);
                }
                fabric.taken(b, fabric.waiting(b).len());
            });
        });
    }
    group.finish();
}

/// Sends and receives `BYTES` at the two ends, and waits until all have come.
fn pump(sender: &UnixStream, receiver: &UnixStream, encoded: &[u8]) {
    let total = BYTES / encoded.len() * encoded.len();
    thread::scope(|scope| {
        scope.spawn(|| {
            let batch = encoded.repeat(40);
            let mut left = total;
            while left > 0 {
                let now = left.min(batch.len());
                (&mut &*sender).write_all(&batch[..now]).expect("the other end reads");
                left -= now;
            }
        });
        let (mut buffer, mut left) = (vec![0; 1 << 18], total);
        while left > 0 {
            left -= (&mut &*receiver).read(&mut buffer).expect("the other end writes");
        }
    });
}

fn sockets(criterion: &mut Criterion) {
    let frame = frame(1514);
    let mut group = criterion.benchmark_group("sockets");
    group.throughput(Throughput::Bytes(BYTES as u64));

    let switch = Switch::start(1).expect("a thread");
    switch.wire("a", "b").expect("two nodes");
    let [a, b] = ["a", "b"].map(|it| UnixStream::from(switch.plug(it).expect("a socket")));
    group.bench_function("switch", |bencher| {
        bencher.iter(|| pump(&a, &b, frame.encoded()));
    });
    assert_eq!(switch.traffic("a", "b").expect("a wire").dropped, 0);

    let pair = || UnixStream::pair().expect("sockets");
    let ((c, mut from), (mut to, d)) = (pair(), pair());
    thread::spawn(move || {
        let mut buffer = vec![0; 1 << 18];
        while let Ok(bytes @ 1..) = from.read(&mut buffer) {
            if to.write_all(&buffer[..bytes]).is_err() {
                return;
            }
        }
    });
    group.bench_function("plain copy", |bencher| {
        bencher.iter(|| pump(&c, &d, frame.encoded()));
    });
    group.finish();
}

criterion_group!(benches, forward, sockets);
criterion_main!(benches);
