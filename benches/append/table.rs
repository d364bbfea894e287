//! The table: percentiles, events per second and minor faults of each operation, in one run.
//!
//! Method. *Rate*: the median of a hundred loops, each between two readings of the clock, so that
//! other programs on the machine do not count. *Percentiles*: batches of
//! sixteen calls between two readings, the median cost of the reading itself (measured in the same
//! run, printed) subtracted, divided by sixteen; a reading costs more than a call, so single calls
//! are listed apart, where p99 and p99.9 tell of the slowest calls and p50 of the clock's
//! resolution. *Faults*: `minflt` of /proc/self/stat, the counter that getrusage reports, around
//! the loop of the rate.

use crate::operations::{Appender, Copier, DISK, FILL_BYTES, Folder, TMPFS};
use std::hint::black_box;
use std::time::Instant;

/// Calls between two readings of the clock.
const BATCH: usize = 16;
/// Batches, and single calls, of a row.
const BATCHES: usize = 200_000;
/// Calls of the loop that rates and faults are counted over.
const CALLS: u64 = 10_000_000;
/// Loops that they are cut into.
const LOOPS: usize = 100;
/// The same for a map that nobody has touched, which each call makes larger.
const FRESH_CALLS: u64 = 200_000;

struct Row {
    name: String,
    /// p50, p99, p99.9 of batches, in ns per call.
    batches: [f64; 3],
    /// The same of single calls.
    single: [f64; 3],
    ns_per_call: f64,
    faults_per_million: f64,
}

/// Measures and prints everything.
pub(crate) fn print() {
    let clock = clock_cost();
    println!(
        "append of a FILL ({FILL_BYTES} bytes); ns per call; a reading of the clock costs {clock:.1} ns and is subtracted"
    );
    println!(
        "{:<36} {:>6} {:>6} {:>6}   {:>6} {:>6} {:>6}  {:>6} {:>9} {:>11} {:>7}",
        "", "p50", "p99", "p99.9", "1:p50", "p99", "p99.9", "mean", "M/s", "faults/M", "x raw"
    );
    let mut verdicts = Vec::new();
    for folder in [TMPFS, DISK] {
        let mut copier = Copier::new(folder);
        let raw = row(folder, "raw copy, same warm map", clock, CALLS, || {
            copier.copy();
        });
        drop(copier);
        show(&raw, &raw);
        let mut appender = Appender::recycled(folder);
        let append = row(folder, "append, recycled ring", clock, CALLS, || {
            appender.fill();
        });
        show(&append, &raw);
        let checked = row(folder, "  with a CRC-32C per frame", clock, CALLS, || {
            appender.fill_and_checksum();
        });
        show(&checked, &raw);
        drop(appender);
        let mut trades = Appender::trades(folder);
        show(
            &row(folder, "append, trades of 4 events", clock, CALLS, || {
                trades.trade_event();
            }),
            &raw,
        );
        drop(trades);
        show(&fresh(folder, clock), &raw);
        if folder.name == TMPFS.name {
            verdicts = wanted(&append, &raw);
        }
    }
    println!();
    verdicts.iter().for_each(|line| println!("{line}"));
    println!(
        "checksums are taken over sealed chunks of the archive, by its writer: {:.2} ns per FILL",
        sealed_checksum_ns()
    );
    println!(
        "published by others, on their hardware, of their own records: Quill 8 ns p50, 12 ns p99.9\n\
         (volatile queue); NanoLog 8 ns p50, 203 ns p99.9; Chronicle Queue 780 ns p99 from write to read"
    );
    println!();
}

/// What was wanted of a FILL on tmpfs, and whether it holds in this run.
fn wanted(append: &Row, raw: &Row) -> Vec<String> {
    let line =
        |holds: bool, text: String| format!("{} {text}", if holds { "holds:" } else { "FAILS:" });
    let ratio = append.ns_per_call / raw.ns_per_call;
    let millions = 1e3 / append.ns_per_call;
    vec![
        line(
            append.batches[0] <= 20.0,
            format!("p50 {:.1} ns, at most 20 wanted", append.batches[0]),
        ),
        line(
            millions >= 40.0,
            format!("{millions:.0} million events per second and core, at least 40 wanted"),
        ),
        line(
            ratio <= 4.0,
            format!("{ratio:.1} times the raw copy, at most 4 wanted"),
        ),
        line(
            append.faults_per_million < 1.0,
            format!(
                "{:.2} minor faults per million appends on tmpfs, fewer than 1 wanted",
                append.faults_per_million
            ),
        ),
    ]
}

fn row(folder: Folder, name: &str, clock: f64, calls: u64, mut call: impl FnMut()) -> Row {
    let faults_before = minor_faults();
    let ns_per_call = percentiles(clock, calls as usize / LOOPS, LOOPS, &mut call)[0];
    let faults = minor_faults() - faults_before;
    Row {
        name: format!("{name} ({})", folder.name),
        batches: percentiles(clock, BATCH, BATCHES, &mut call),
        single: percentiles(clock, 1, BATCHES, &mut call),
        ns_per_call,
        faults_per_million: faults as f64 * 1e6 / calls as f64,
    }
}

/// The map has to be new for each figure.
fn fresh(folder: Folder, clock: f64) -> Row {
    let mut appender = Appender::fresh(folder, FRESH_CALLS);
    let faults_before = minor_faults();
    let start = Instant::now();
    (0..FRESH_CALLS).for_each(|_| appender.fill());
    let ns_per_call = start.elapsed().as_nanos() as f64 / FRESH_CALLS as f64;
    let faults = minor_faults() - faults_before;
    drop(appender);
    let mut appender = Appender::fresh(folder, FRESH_CALLS);
    let batches = FRESH_CALLS as usize / BATCH;
    let of_batches = percentiles(clock, BATCH, batches, || appender.fill());
    drop(appender);
    let mut appender = Appender::fresh(folder, FRESH_CALLS);
    let single = percentiles(clock, 1, FRESH_CALLS as usize, || appender.fill());
    Row {
        name: format!("append, fresh map ({})", folder.name),
        batches: of_batches,
        single,
        ns_per_call,
        faults_per_million: faults as f64 * 1e6 / FRESH_CALLS as f64,
    }
}

/// p50, p99 and p99.9, in ns per call.
fn percentiles(clock: f64, batch: usize, batches: usize, mut call: impl FnMut()) -> [f64; 3] {
    let mut took = Vec::with_capacity(batches);
    for _ in 0..batches {
        let start = Instant::now();
        (0..batch).for_each(|_| call());
        took.push(start.elapsed().as_nanos() as u64);
    }
    took.sort_unstable();
    [0.5, 0.99, 0.999].map(|share| {
        let at = ((took.len() - 1) as f64 * share) as usize;
        (took[at] as f64 - clock).max(0.0) / batch as f64
    })
}

/// Median of two readings of the clock with nothing between them.
fn clock_cost() -> f64 {
    percentiles(0.0, 1, BATCHES, || {
        black_box(());
    })[0]
}

/// What CRC-32C of a chunk costs, by frame in it.
fn sealed_checksum_ns() -> f64 {
    const FRAMES: usize = 200;
    let chunk = vec![7_u8; FRAMES * FILL_BYTES];
    let rounds = 20_000;
    let start = Instant::now();
    for _ in 0..rounds {
        black_box(crc32c::crc32c(black_box(&chunk)));
    }
    start.elapsed().as_nanos() as f64 / (rounds * FRAMES) as f64
}

fn minor_faults() -> u64 {
    let stat = std::fs::read_to_string("/proc/self/stat").expect("a Linux system");
    // The name of the program may hold spaces; it ends with the last parenthesis.
    let fields = stat.rsplit(')').next().unwrap_or_default();
    let field = fields.split_whitespace().nth(7);
    field
        .and_then(|faults| faults.parse().ok())
        .expect("minflt is the tenth field")
}

fn show(row: &Row, raw: &Row) {
    let [p50, p99, p999] = row.batches;
    let [single50, single99, single999] = row.single;
    println!(
        "{:<36} {p50:>6.1} {p99:>6.1} {p999:>6.1}   {single50:>6.0} {single99:>6.0} {single999:>6.0}  {:>6.1} {:>9.1} {:>11.2} {:>7.2}",
        row.name,
        row.ns_per_call,
        1e3 / row.ns_per_call,
        row.faults_per_million,
        row.ns_per_call / raw.ns_per_call,
    );
}
