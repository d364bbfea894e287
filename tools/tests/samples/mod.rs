//! Small files for tests, written by the engine's own store.
#![allow(dead_code, reason = "every test uses the samples that it needs")]

use admf::segment::retention::{Backing, Compression, Keep, OnFull, RetentionPolicy, TraceRules};
use admf::segment::{ArchiveOptions, ArchiveWriter, Pool, Receipts, Ring};
use admf_formats::archive::ChunkKind;
use admf_formats::event::{Bar, EventKind, EventSet, FieldType, Stamp};
use admf_formats::manifest::{Manifest, ManifestSymbol};
use admf_formats::result::{EquityTotals, ExecutionTotals, Ledger, ResultRecord, TradeTotals};
use admf_formats::segment::{commit_word, frame_bytes};
use std::path::Path;

/// Containers of the samples' phase.
pub(crate) const CONTAINERS: u64 = 5;

pub(crate) fn manifest(workflow: &str) -> Manifest {
    Manifest {
        workflow: workflow.to_owned(),
        phase: "sweep".into(),
        strategy: "sma_crossover".into(),
        parameter_names: vec!["fast".into(), "slow".into()],
        objective: "sharpe_ratio".into(),
        symbols: ["SP500", "\u{d6}\"\\\u{1}\u{1f4c8}"]
            .map(|symbol| ManifestSymbol {
                symbol: symbol.to_owned(),
                bars_file: "sp500.bars".into(),
                bars_digest: "00".repeat(32),
                first_bar: 0,
                end_bar: 100,
                bars_per_year: 252.0,
            })
            .into(),
        containers: CONTAINERS,
        initial_capital: 100_000.0,
        all_in: true,
        settings: "{\"commission\":0.001}".into(),
        events: Manifest::event_schema(),
    }
}

fn stamp(sequence: u64, trade: u32, code: u8) -> Stamp {
    Stamp {
        sequence,
        trade,
        ts_ns: 1_577_836_800_000_000_000 + sequence as i64 * 86_400_000_000_000,
        bar: sequence as u32,
        cause_back: u32::from(sequence > 1),
        code,
        ..Stamp::default()
    }
}

/// Numbers that are not easily written as text.
const HARD: [f64; 16] = [
    0.1,
    1e16,
    1.5e-7,
    -0.0,
    f64::MAX,
    5e-324,
    f64::NAN,
    123_456_789_012_345_680.0,
    1e-5,
    -0.000_012_34,
    1e15,
    f64::INFINITY,
    1.0,
    9_007_199_254_740_993.0,
    2.5e300,
    1.0 / 3.0,
];

/// A frame of any kind: its `f64` fields have `value` and more, the others small numbers.
fn frame(kind: EventKind, stamp: &Stamp, value: impl Fn(usize) -> f64) -> Vec<u8> {
    let mut frame = vec![0; 40];
    frame[..8].copy_from_slice(&commit_word(0, kind, frame_bytes(kind)).to_le_bytes());
    frame[8..16].copy_from_slice(&stamp.sequence.to_le_bytes());
    frame[16..24].copy_from_slice(&stamp.ts_ns.to_le_bytes());
    frame[24..28].copy_from_slice(&stamp.trade.to_le_bytes());
    frame[28..32].copy_from_slice(&stamp.bar.to_le_bytes());
    frame[32..36].copy_from_slice(&stamp.cause_back.to_le_bytes());
    frame[36..38].copy_from_slice(&stamp.symbol.to_le_bytes());
    frame[38] = stamp.code;
    frame[39] = stamp.detail;
    for (at, (_, field)) in kind.payload_fields().iter().enumerate() {
        match field {
            FieldType::F64 => frame.extend(value(at).to_le_bytes()),
            FieldType::I64 => frame.extend((stamp.ts_ns - 123_000_000).to_le_bytes()),
            FieldType::U64 => frame.extend((stamp.sequence << 33).to_le_bytes()),
            FieldType::U32 => frame.extend((at as u32).to_le_bytes()),
        }
    }
    frame.resize(frame_bytes(kind), 0);
    frame
}

/// The three frames of one trade, the first with this sequence.
pub(crate) fn trade(base: f64, sequence: u64, trade: u32) -> Vec<u8> {
    let value = |at: usize| base + (sequence + at as u64) as f64 / 7.0;
    let mut frames = frame(EventKind::Fill, &stamp(sequence, trade, 1), value);
    frames.extend(frame(
        EventKind::PositionOpen,
        &stamp(sequence + 1, trade, 1),
        value,
    ));
    frames.extend(close(base, sequence + 2, trade));
    frames
}

/// The frame of a closed trade.
pub(crate) fn close(base: f64, sequence: u64, trade: u32) -> Vec<u8> {
    let value = |at: usize| base + at as f64;
    frame(EventKind::PositionClose, &stamp(sequence, trade, 1), value)
}

/// One frame of every kind, with codes, times, symbols and numbers of all sorts.
pub(crate) fn every_kind(sequence: u64) -> Vec<u8> {
    let mut frames = Vec::new();
    for (sequence, kind) in (sequence..).zip(EventKind::ALL) {
        let at = kind as usize;
        let stamp = Stamp {
            ts_ns: [-1, i64::MIN, i64::MAX, 1_500_000_000, -86_400_000_000_001][at % 5],
            symbol: at as u16 % 2,
            code: at as u8 % 5,
            detail: at as u8 % 9,
            cause_back: if at == 7 { 1000 } else { at as u32 % 3 },
            ..stamp(sequence, at as u32 % 2, 0)
        };
        frames.extend(frame(kind, &stamp, |field| HARD[(3 * at + field) % 16]));
    }
    frames
}

pub(crate) fn record(base: f64, index: u64, retained: u64, trades: u64) -> ResultRecord {
    ResultRecord {
        index,
        first_bar: 0,
        events: retained + 1,
        first_ts_ns: 0,
        last_ts_ns: 0,
        status: if index == 2 { 2 } else { 1 },
        symbol: 0,
        parameters: [base, 20.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0],
        equity: EquityTotals::default(),
        trades: TradeTotals {
            trades,
            ..TradeTotals::default()
        },
        execution: ExecutionTotals::default(),
        ledger: Ledger {
            attempted: retained + 1,
            retained,
            dropped_without_trade: 1,
            ..Ledger::default()
        },
    }
}

/// Writes containers 0 and 1 into `archive_00000.admf` of the folder, and seals it. Prices are above `base`.
pub(crate) fn first_half(folder: &Path, manifest: &Manifest, base: f64) {
    let writer = writer(folder, manifest);
    let handle = writer.handle();
    let flush = |container, kind, frames: &[u8]| {
        handle
            .flush(container, kind, frames, &Receipts::default())
            .expect("the writer goes on");
    };
    flush(0, ChunkKind::Trace, &trade(base, 1, 1));
    flush(0, ChunkKind::Trace, &trade(base, 4, 2));
    flush(
        1,
        ChunkKind::Trades,
        &[close(base, 3, 1), close(base, 6, 2)].concat(),
    );
    let mut batch = handle.batch().expect("a batch");
    batch.frames.extend(trade(base, 7, 3));
    batch.frames.extend(every_kind(10));
    batch.push(record(base, 0, 26, 4), None);
    batch.frames.extend(trade(base, 10, 4));
    batch.push(record(base, 1, 3, 2), None);
    handle
        .commit(batch, &Receipts::default())
        .expect("the writer goes on");
    drop(handle);
    writer.close().expect("everything is written");
}

/// Adds containers 2 (failed) and 3 (no events), begins container 4, and seals the file.
pub(crate) fn second_half(folder: &Path, manifest: &Manifest, base: f64) {
    let writer = writer(folder, manifest);
    let handle = writer.handle();
    let mut batch = handle.batch().expect("a batch");
    batch.frames.extend(trade(base, 1, 1));
    batch.push(
        record(base, 2, 3, 1),
        Some("equity was exhausted".to_owned()),
    );
    batch.push(record(base, 3, 0, 0), None);
    handle
        .commit(batch, &Receipts::default())
        .expect("the writer goes on");
    handle
        .flush(
            4,
            ChunkKind::Trace,
            &trade(base, 2, 1),
            &Receipts::default(),
        )
        .expect("the writer goes on");
    drop(handle);
    writer.close().expect("everything is written");
}

/// Every other sequence from the first one on.
fn spread(mut frames: Vec<u8>) -> Vec<u8> {
    let (mut at, mut count) = (0, 0);
    while at < frames.len() {
        let sequence = admf_formats::segment::frame_sequence(&frames[at..]) + count;
        frames[at + 8..at + 16].copy_from_slice(&sequence.to_le_bytes());
        at += usize::from(frames[at + 5]) * 16;
        count += 1;
    }
    frames
}

/// Writes an archive whose chunks may be compressed: container 0 has an open trade behind two that a
/// condition kept, container 1 has many events, container 2 has begun.
pub(crate) fn kept(folder: &Path, manifest: &Manifest, compression: Compression) {
    let writer = writer_of(folder, manifest, compression);
    let handle = writer.handle();
    let flush = |container, kind, frames: &[u8]| {
        handle
            .flush(container, kind, frames, &Receipts::default())
            .expect("the writer goes on");
    };
    // The second trade began before the first one closed, and ends in another chunk.
    let (first, second) = (spread(trade(100.0, 10, 1)), spread(trade(100.0, 11, 2)));
    let (begin, end) = second.split_at(second.len() - 128);
    let cut = [&first[..], begin].concat();
    flush(0, ChunkKind::Kept, &cut);
    flush(0, ChunkKind::Kept, end);
    flush(2, ChunkKind::Kept, &trade(100.0, 1, 1));
    flush(2, ChunkKind::Trace, &trade(100.0, 4, 2));
    let mut batch = handle.batch().expect("a batch");
    batch.frames.extend(trade(100.0, 1, 3));
    batch.push(record(100.0, 0, 9, 2), None);
    for number in 0..200 {
        let sequence = u64::from(number) * 3 + 1;
        batch.frames.extend(trade(100.0, sequence, number + 1));
    }
    batch.push(record(100.0, 1, 600, 200), None);
    handle
        .commit(batch, &Receipts::default())
        .expect("the writer goes on");
    drop(handle);
    writer.close().expect("everything is written");
}

/// Writes a smaller archive with kept trades and seals it: container 0 has two that a condition kept,
/// the first of them in two chunks, and an open one.
pub(crate) fn kept_first_half(
    folder: &Path,
    manifest: &Manifest,
    base: f64,
    compression: Compression,
) {
    let writer = writer_of(folder, manifest, compression);
    let handle = writer.handle();
    let (first, second) = (spread(trade(base, 10, 1)), spread(trade(base, 11, 2)));
    let (begin, end) = second.split_at(second.len() - 128);
    for frames in [&[&first[..], begin].concat()[..], end] {
        handle
            .flush(0, ChunkKind::Kept, frames, &Receipts::default())
            .expect("the writer goes on");
    }
    let mut batch = handle.batch().expect("a batch");
    batch.frames.extend(trade(base, 1, 3));
    batch.push(record(base, 0, 9, 2), None);
    handle
        .commit(batch, &Receipts::default())
        .expect("the writer goes on");
    drop(handle);
    writer.close().expect("everything is written");
}

/// Adds container 1, with kept trades and a trace of many events, begins container 2, and seals it.
pub(crate) fn kept_second_half(
    folder: &Path,
    manifest: &Manifest,
    base: f64,
    compression: Compression,
) {
    let writer = writer_of(folder, manifest, compression);
    let handle = writer.handle();
    for (container, kind, sequence) in [
        (2, ChunkKind::Kept, 1),
        (1, ChunkKind::Kept, 40),
        (2, ChunkKind::Trace, 4),
        (1, ChunkKind::Kept, 43),
    ] {
        let frames = trade(base, sequence, sequence as u32);
        handle
            .flush(container, kind, &frames, &Receipts::default())
            .expect("the writer goes on");
    }
    let mut batch = handle.batch().expect("a batch");
    for number in 0..12 {
        let sequence = u64::from(number) * 3 + 1;
        batch.frames.extend(trade(base, sequence, number + 1));
    }
    batch.push(record(base, 1, 42, 14), None);
    handle
        .commit(batch, &Receipts::default())
        .expect("the writer goes on");
    drop(handle);
    writer.close().expect("everything is written");
}

fn writer(folder: &Path, manifest: &Manifest) -> ArchiveWriter {
    writer_of(folder, manifest, Compression::None)
}

fn writer_of(folder: &Path, manifest: &Manifest, compression: Compression) -> ArchiveWriter {
    let options = ArchiveOptions {
        workers: 1,
        segment_bytes: 1024,
        compression,
        delay: None,
    };
    ArchiveWriter::start(folder, manifest, &options, Box::new(|_, _| Ok(()))).expect("a writer")
}

/// A pool of four segments as a killed worker leaves it: container 3 has two open trades of which
/// one was in a recycled segment, container 4 has begun.
pub(crate) fn pool(path: &Path, manifest: &Manifest) {
    let rules = TraceRules {
        events: EventSet::ALL,
        policy: RetentionPolicy::TradeComplete,
        bytes_per_container: 1024,
        on_full: OnFull::Degrade,
        backing: Backing::Disk,
        store_trades: false,
        keep: Keep::NONE,
        compression: Compression::None,
    };
    let mut pool = Pool::create(path, 1, 512, 8, manifest).expect("a pool");
    let mut third = Ring::new(rules, 3);
    let open = Bar { bars: 7 };
    for sequence in 1..=16 {
        let trade = 1 + sequence as u32 / 4;
        third.append(&mut pool, &stamp(sequence, trade, 1), &open);
        if sequence == 12 {
            third.end_trade(&mut pool, 1);
            third.end_trade(&mut pool, 2);
        }
    }
    let mut fourth = Ring::new(rules, 4);
    fourth.append(&mut pool, &stamp(1, 1, 2), &open);
    // Neither ring is finished: the process is killed here.
}
