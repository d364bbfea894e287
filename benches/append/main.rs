//! Appending a FILL to a recycled pool, beside a raw copy of the same bytes into the same warm map
//! and beside an append to a map that nobody touched: a table of percentiles, events per second
//! and page faults, then the same operations under Criterion.
//!
//! `cargo bench --bench append` runs both; `-- --table` the table alone.

mod operations;
mod table;

use criterion::{BenchmarkGroup, Criterion, Throughput, measurement::WallTime};
use operations::{Appender, Copier, DISK, TMPFS};
use std::time::Duration;

fn main() {
    table::print();
    if !std::env::args().any(|argument| argument == "--table") {
        let mut criterion = Criterion::default().configure_from_args();
        let mut group = criterion.benchmark_group("append");
        group
            .throughput(Throughput::Elements(1))
            .warm_up_time(Duration::from_millis(500))
            .measurement_time(Duration::from_secs(2));
        for backing in [TMPFS, DISK] {
            measure(&mut group, backing);
        }
        group.finish();
        criterion.final_summary();
    }
}

fn measure(group: &mut BenchmarkGroup<'_, WallTime>, backing: operations::Folder) {
    let mut appender = Appender::recycled(backing);
    group.bench_function(format!("fill_recycled_{}", backing.name), |bencher| {
        bencher.iter(|| appender.fill());
    });
    group.bench_function(format!("fill_and_checksum_{}", backing.name), |bencher| {
        bencher.iter(|| appender.fill_and_checksum());
    });
    let mut copier = Copier::new(backing);
    group.bench_function(format!("raw_copy_{}", backing.name), |bencher| {
        bencher.iter(|| copier.copy());
    });
}
