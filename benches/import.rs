//! Import of a CSV file, beside the csv crate's bare read of the same file: MB/s and bars/s.
//!
//! `cargo bench --bench import`; best of three, both in one run.

use admf::market::{BarBlock, BarsFile, ImportOptions, import, synth};
use std::fmt::Write as _;
use std::path::Path;
use std::time::Instant;

const BARS: u64 = 500_000;

/// The series as CSV text; it is built by blocks of bars.
fn write_csv(bars: &Path, csv: &Path) {
    let bars = BarsFile::open(bars).expect("bars");
    let mut block = BarBlock::new();
    let mut text = String::from("timestamp,open,high,low,close,volume\n");
    for quantum in 0..BARS.div_ceil(512) {
        bars.read_quantum(quantum, &mut block).expect("a chunk");
        for at in 0..block.bars {
            let time = admf_formats::units::rfc3339(block.ts_ns[at]).expect("a time");
            let (open, high, low) = (block.open[at], block.high[at], block.low[at]);
            let (close, volume) = (block.close[at], block.volume[at]);
            writeln!(text, "{time},{open},{high},{low},{close},{volume}").expect("memory");
        }
    }
    std::fs::write(csv, text).expect("writable");
}

fn best_of_three(mut run: impl FnMut()) -> f64 {
    (0..3)
        .map(|_| {
            let start = Instant::now();
            run();
            start.elapsed().as_secs_f64()
        })
        .fold(f64::INFINITY, f64::min)
}

fn main() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let [source, csv, out] = ["synth.bars", "data.csv", "out.bars"].map(|n| folder.path().join(n));
    synth(BARS, 1, &source).expect("a series");
    write_csv(&source, &csv);
    // The same bars come out, or the times mean nothing.
    import(&csv, &ImportOptions::default(), &out).expect("an import");
    let digest = |path: &Path| BarsFile::open(path).expect("bars").digest();
    assert_eq!(digest(&source), digest(&out));
    let bytes = std::fs::metadata(&csv).expect("a file").len() as f64;
    let bare = best_of_three(|| {
        let mut reader = csv::Reader::from_path(&csv).expect("a file");
        let mut record = csv::ByteRecord::new();
        let mut rows = 0;
        while reader.read_byte_record(&mut record).expect("a row") {
            rows += 1;
        }
        assert_eq!(rows, BARS);
    });
    let imported = best_of_three(|| {
        import(&csv, &ImportOptions::default(), &out).expect("an import");
    });
    for (name, seconds) in [("csv crate, bare read", bare), ("admf import", imported)] {
        println!(
            "{name:<22} {:>7.1} MB/s {:>12.0} bars/s {:>6.2} of the bare read's time",
            bytes / seconds / 1e6,
            BARS as f64 / seconds,
            seconds / bare
        );
    }
}
