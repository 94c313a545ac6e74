//! Ring lookups, the first thing every request does: partition and primaries, and handoffs when a primary is down.
#![expect(clippy::unwrap_used, reason = "a bench that cannot be set up has nothing better to do than stop")]

use std::hint::black_box;

use apus_base::ring::{Device, IdWidth, Ring, Table};
use criterion::{Criterion, criterion_group, criterion_main};

/// 2^18 partitions, three replicas, 1,000 devices on 100 servers in 5 zones of 2 regions.
fn large_ring() -> Ring {
    let device = |id: u32| Device {
        id,
        region: id % 2,
        zone: id % 10,
        ip: format!("10.{}.0.{}", id % 10, id % 100),
        port: 6200,
        device: format!("sd{id}"),
        weight: 100.0,
        meta: String::new(),
        replication_ip: format!("10.{}.0.{}", id % 10, id % 100),
        replication_port: 6200,
    };
    let scattered = |cell: u32| (cell.wrapping_mul(2_654_435_761) >> 8) % 1000;
    let table = Table::new(18, IdWidth::TwoBytes, (0..3 << 18).map(scattered)).unwrap();
    Ring::new((0..1000).map(|id| Some(device(id))).collect(), table).unwrap()
}

fn lookups(criterion: &mut Criterion) {
    let ring = large_ring();
    let mut part = 0;
    let mut next = move || {
        part = (part + 77_777) % (1 << 18);
        part
    };
    let digest: [u8; 16] = std::array::from_fn(|i| u8::try_from(i * 13).unwrap());
    criterion.bench_function("ring: partition", |b| b.iter(|| ring.partition(black_box(&digest))));
    criterion.bench_function("ring: primaries", |b| {
        b.iter(|| ring.primaries(next()).map(|device| u64::from(device.port)).sum::<u64>());
    });
    criterion.bench_function("ring: first two handoffs", |b| b.iter(|| ring.handoffs(next()).take(2).count()));
    criterion.bench_function("ring: all handoffs", |b| b.iter(|| ring.handoffs(next()).count()));
    let file = ring.to_v2_bytes("object.ring.gz").unwrap();
    let mut slow = criterion.benchmark_group("ring files");
    slow.sample_size(10);
    slow.bench_function("read a version 2 file of 2^18 partitions", |b| b.iter(|| Ring::from_bytes(black_box(&file))));
}

criterion_group!(benches, lookups);
criterion_main!(benches);
