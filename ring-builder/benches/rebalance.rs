//! Rebalances of 2^18 partitions on 1,000 devices: the first one, and after one device came or went.
#![expect(clippy::unwrap_used, reason = "a bench that cannot be set up has nothing better to do than stop")]

use apus_ring_builder::{Builder, NewDevice};
use criterion::{BatchSize, Criterion, criterion_group, criterion_main};

const NOW: u64 = 1_700_000_000;

fn device(n: u32) -> NewDevice {
    let (region, zone) = (1 + n % 2, n % 10);
    let ip = format!("10.{region}.{zone}.{}", n % 50);
    NewDevice {
        region,
        zone,
        replication_ip: ip.clone(),
        ip,
        port: 6200,
        replication_port: 6200,
        device: format!("sd{n}"),
        weight: [100.0, 100.0, 200.0, 50.0][n as usize % 4],
        meta: String::new(),
    }
}

fn rebalances(criterion: &mut Criterion) {
    let mut empty = Builder::create(18, 3.0, 1).unwrap();
    for n in 0..1000 {
        empty.add_device(device(n)).unwrap();
    }
    let mut placed = empty.clone();
    placed.rebalance(1, NOW).unwrap();
    let mut grown = placed.clone();
    grown.add_device(device(1000)).unwrap();
    let mut shrunk = placed.clone();
    shrunk.remove_device(500).unwrap();
    let mut group = criterion.benchmark_group("rebalance 2^18 x 1000");
    group.sample_size(10);
    for (name, before) in [("first", &empty), ("a device more", &grown), ("a device less", &shrunk)] {
        group.bench_function(name, |b| {
            b.iter_batched(|| before.clone(), |mut builder| builder.rebalance(2, NOW + 7200), BatchSize::LargeInput);
        });
    }
    group.finish();
}

criterion_group!(benches, rebalances);
criterion_main!(benches);
