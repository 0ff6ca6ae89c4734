//! What a verdict costs beside the reading itself: the digests of pages, the line of the registry
//! that is valid for a fact, and the comparison of two captures.

use std::collections::BTreeMap;

use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, Criterion, Throughput, criterion_group, criterion_main};
use model::{Capture, Digest, Memory, PageObject, PageRun, Value};

const PAGE: usize = 4096;

/// As many facts as a small pod has.
const FACTS: usize = 5_000;

/// As many pages as 64 MiB have.
const PAGES: usize = 16 << 10;

fn verdict(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("verdict");
    digest(&mut group);
    rule(&mut group);
    compare(&mut group);
    group.finish();
}

/// Pages of noise and pages of zeroes.
fn digest(group: &mut BenchmarkGroup<'_, WallTime>) {
    let noise =
        (0..256 * PAGE as u64).map(|at| (at.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as u8);
    for (what, bytes) in [("noise", noise.collect()), ("zeroes", vec![0; 256 * PAGE])] {
        let bytes: Vec<u8> = bytes;
        group.throughput(Throughput::Bytes(bytes.len() as u64));
        group.bench_function(format!("digest pages of {what}"), |bencher| {
            let digests = || bytes.chunks_exact(PAGE).map(state::page_digest);
            bencher.iter(|| digests().fold(0, |all, digest| all ^ digest.0));
        });
    }
}

fn rule(group: &mut BenchmarkGroup<'_, WallTime>) {
    let names: Vec<String> = capture().facts.into_keys().collect();
    group.throughput(Throughput::Elements(names.len() as u64));
    group.bench_function("rules of facts", |bencher| {
        bencher.iter(|| {
            let rules = names.iter().map(|name| state::registry::rule(name));
            rules.filter(|rule| rule.reason.is_empty()).count()
        });
    });
}

fn compare(group: &mut BenchmarkGroup<'_, WallTime>) {
    let (before, after) = (capture(), capture());
    group.throughput(Throughput::Elements((FACTS + PAGES) as u64));
    group.bench_function("compare equal captures", |bencher| {
        bencher.iter(|| state::compare(&before, &after, 1_000_000_000));
    });
    let mut after = capture();
    let last = after.facts.len() - 1;
    for value in after.facts.values_mut().skip(last / 2).step_by(50) {
        *value = Value::Exact("lost".to_owned());
    }
    group.bench_function("compare captures with differences", |bencher| {
        bencher.iter(|| state::compare(&before, &after, 1_000_000_000));
    });
}

fn capture() -> Capture {
    let facts = (0..FACTS).map(|number| {
        let name = match number % 4 {
            0 => format!("task.1.fd.{number}.socket.so_rcvbuf"),
            1 => format!("task.{number}.status.capbnd"),
            2 => format!("pod.sysctl.net.ipv4.conf.eth{number}.rp_filter"),
            _ => format!("task.1.map.7f{number:010x}-7fffffffffff.vmflags"),
        };
        (name, Value::Exact(number.to_string()))
    });
    let digests = (0..PAGES as u64).map(Digest).collect();
    let object = PageObject {
        labels: Vec::new(),
        runs: vec![PageRun::Pages { first: 0x7f00_0000, digests }],
    };
    let objects = BTreeMap::from([("task.1.memory".to_owned(), object)]);
    let memory = Memory { page_bytes: PAGE as u32, objects };
    Capture { schema: 1, facts: facts.collect(), memory, ..Capture::default() }
}

criterion_group!(benches, verdict);
criterion_main!(benches);
