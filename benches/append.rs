//! Appending a FILL to a recycled pool, beside a raw copy of as many bytes into warm memory.

use admf::segment::retention::{Backing, OnFull, RetentionPolicy, TraceRules};
use admf::segment::{Pool, Ring, segments_max};
use admf_formats::event::{EventSet, Fill, Stamp};
use admf_formats::manifest::Manifest;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use std::hint::black_box;

fn append(criterion: &mut Criterion) {
    let rules = TraceRules {
        events: EventSet::ALL,
        policy: RetentionPolicy::SlidingWindow { events: 1000 },
        bytes_per_container: 1 << 16,
        on_full: OnFull::Degrade,
        backing: Backing::Disk,
        store_trades: false,
    };
    let manifest = Manifest {
        workflow: String::new(),
        phase: String::new(),
        strategy: String::new(),
        parameter_names: Vec::new(),
        objective: String::new(),
        symbols: Vec::new(),
        containers: 1,
        initial_capital: 1.0,
        all_in: true,
        settings: String::new(),
        events: Vec::new(),
    };
    let path = std::env::temp_dir().join(format!("admf-bench-{}.pool", std::process::id()));
    let segments = segments_max(&rules, 4096) as u32;
    let mut pool =
        Pool::create(&path, 0, 4096, segments, &manifest).expect("a pool in the temporary folder");
    let mut ring = Ring::new(rules, 0);
    let fill = Fill {
        qty: 1.0,
        price: 2.0,
        commission: 0.1,
        reference_price: 2.0,
        units_after: 1.0,
    };
    let mut group = criterion.benchmark_group("append");
    group.throughput(Throughput::Elements(1));
    let mut sequence = 0;
    group.bench_function("fill_to_recycled_ring", |bencher| {
        bencher.iter(|| {
            sequence += 1;
            let stamp = Stamp {
                sequence,
                ..Stamp::default()
            };
            black_box(ring.append(&mut pool, black_box(&stamp), black_box(&fill)))
        });
    });
    let (from, mut into, mut at) = ([7_u8; 80], vec![0_u8; 80 * 1024], 0);
    group.bench_function("raw_copy_of_80_bytes", |bencher| {
        bencher.iter(|| {
            at = (at + 80) % into.len();
            into[at..at + 80].copy_from_slice(black_box(&from));
        });
    });
    group.finish();
    std::fs::remove_file(&path).expect("the pool was ours");
}

criterion_group!(benches, append);
criterion_main!(benches);
