//! How long a message takes on its way into a frame and out of it: a small one, as most are, and
//! the largest that there is.

use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, Criterion, Throughput, criterion_group, criterion_main};
use model::frame::{Decoder, encode};
use model::message::{CHUNK_BYTES, Request, ToGuest};

/// As much as is read from a guest at once.
const PIECE_BYTES: usize = 64 << 10;

fn frames(criterion: &mut Criterion) {
    let ping = ToGuest::Request { id: 7, request: Request::Ping };
    // Zeros are what COBS has the most work with.
    let bytes = (0..CHUNK_BYTES).map(|at| if at % 3 == 0 { 0 } else { (at % 251) as u8 }).collect();
    let chunk = ToGuest::Chunk { id: 7, bytes };
    let mut group = criterion.benchmark_group("frame");
    both_ways(&mut group, "ping", &ping);
    group.throughput(Throughput::Bytes(CHUNK_BYTES as u64));
    both_ways(&mut group, "chunk", &chunk);
    group.finish();
}

fn both_ways(group: &mut BenchmarkGroup<'_, WallTime>, name: &str, message: &ToGuest) {
    group.bench_function(format!("encode {name}"), |bencher| bencher.iter(|| encode(message)));
    let frame = encode(message).expect("it fits into a frame");
    group.bench_function(format!("decode {name}"), |bencher| {
        bencher.iter(|| {
            let mut decoder = Decoder::default();
            let pieces = frame.chunks(PIECE_BYTES);
            pieces.flat_map(|piece| decoder.push::<ToGuest>(piece)).collect::<Vec<_>>()
        });
    });
}

criterion_group!(benches, frames);
criterion_main!(benches);
