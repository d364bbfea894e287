//! Small files for tests, written by the engine's own store.
#![allow(dead_code, reason = "every test uses the samples that it needs")]

use admf::segment::retention::{Backing, OnFull, RetentionPolicy, TraceRules};
use admf::segment::{ArchiveOptions, ArchiveWriter, Pool, Ring};
use admf_formats::archive::ChunkKind;
use admf_formats::event::{EventKind, EventSet, Fill, Payload, PositionClose, PositionOpen, Stamp};
use admf_formats::manifest::{Manifest, ManifestSymbol};
use admf_formats::result::{EquityTotals, Ledger, ResultRecord, TradeTotals};
use admf_formats::segment::{commit_word, frame_bytes, write_frame};
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
        symbols: vec![ManifestSymbol {
            symbol: "SP500".into(),
            bars_file: "sp500.bars".into(),
            bars_digest: "00".repeat(32),
            first_bar: 0,
            end_bar: 100,
            bars_per_year: 252.0,
        }],
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

fn frame<P: Payload>(stamp: &Stamp, payload: &P) -> Vec<u8> {
    let bytes = frame_bytes(P::KIND);
    let mut frame = vec![0; bytes];
    write_frame(&mut frame, stamp, payload);
    frame[..8].copy_from_slice(&commit_word(0, P::KIND, bytes).to_le_bytes());
    frame
}

/// The three frames of one trade, the first with this sequence.
pub(crate) fn trade(base: f64, sequence: u64, trade: u32) -> Vec<u8> {
    let price = base + sequence as f64 / 7.0;
    let fill = Fill {
        qty: 1e-7,
        price,
        commission: f64::NAN,
        reference_price: price,
        units_after: 1e16,
    };
    let open = PositionOpen {
        qty: 1e-7,
        price,
        commission: 0.25,
    };
    let mut frames = frame(&stamp(sequence, trade, 1), &fill);
    frames.extend(frame(&stamp(sequence + 1, trade, 1), &open));
    frames.extend(close(sequence + 2, trade));
    frames
}

/// The frame of a closed trade.
pub(crate) fn close(sequence: u64, trade: u32) -> Vec<u8> {
    let payload = PositionClose {
        entry_ts_ns: 1_577_836_800_123_000_000,
        entry_bar: 1,
        fills: 2,
        qty: 10.0,
        entry_price: 100.0,
        exit_price: 101.5,
        pnl: 15.0,
        commission: 0.0,
    };
    frame(&stamp(sequence, trade, 1), &payload)
}

pub(crate) fn record(base: f64, index: u64, retained: u64, trades: u64) -> ResultRecord {
    ResultRecord {
        index,
        first_bar: 0,
        events: retained + 1,
        status: if index == 2 { 2 } else { 1 },
        symbol: 0,
        parameters: [base, 20.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0],
        equity: EquityTotals::default(),
        trades: TradeTotals {
            trades,
            ..TradeTotals::default()
        },
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
            .flush(container, kind, frames)
            .expect("the writer goes on");
    };
    flush(0, ChunkKind::Trace, &trade(base, 1, 1));
    flush(0, ChunkKind::Trace, &trade(base, 4, 2));
    flush(1, ChunkKind::Trades, &[close(3, 1), close(6, 2)].concat());
    let mut batch = handle.batch().expect("a batch");
    batch.frames.extend(trade(base, 7, 3));
    batch.push(record(base, 0, 9, 3), None);
    batch.frames.extend(trade(base, 10, 4));
    batch.push(record(base, 1, 3, 2), None);
    handle.commit(batch).expect("the writer goes on");
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
    handle.commit(batch).expect("the writer goes on");
    handle
        .flush(4, ChunkKind::Trace, &trade(base, 2, 1))
        .expect("the writer goes on");
    drop(handle);
    writer.close().expect("everything is written");
}

fn writer(folder: &Path, manifest: &Manifest) -> ArchiveWriter {
    let options = ArchiveOptions {
        workers: 1,
        segment_bytes: 1024,
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
    };
    let mut pool = Pool::create(path, 1, 512, 8, manifest).expect("a pool");
    let mut third = Ring::new(rules, 3);
    let open = PositionOpen {
        qty: 1.0,
        price: 2.0,
        commission: 0.0,
    };
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
    assert!(EventKind::ALL.len() == 16);
}
