//! A ring keeps what a queue keeps, whatever is done with it, and a reader sees at least that.

use admf::segment::retention::{
    Backing, Compression, Keep, OnFull, Reach, RetentionPolicy, TraceRules,
};
use admf::segment::{Append, Pool, PoolReader, Ring, segments_max};
use admf_formats::event::{Bar, EventSet, Fill, PositionClose, Stamp};
use admf_formats::manifest::Manifest;
use admf_formats::segment::{PoolHeader, read_frame};
use std::collections::{BTreeSet, VecDeque};
use std::path::Path;

const GOLDEN: &[u8] = include_bytes!("../../formats/golden/v1/worker_1.pool");
const SEGMENT_BYTES: u32 = 512;
/// Bytes that a ring of open trades may hold.
const BYTES: u64 = 16 << 10;

fn manifest() -> Manifest {
    let header = PoolHeader::decode(GOLDEN).expect("the golden header");
    let bytes = &GOLDEN[header.manifest_offset()..][..header.manifest_bytes as usize];
    Manifest::decode(bytes).expect("the golden manifest")
}

/// The ring under test and what it should hold.
struct Pair {
    rules: TraceRules,
    pool: Pool,
    /// Opened once, as a reader of a running sweep does.
    reader: PoolReader,
    /// How often it may still look.
    reads: u32,
    segments: usize,
    ring: Ring,
    /// Sequence, trade and bytes of every event that is kept, in order.
    model: VecDeque<(u64, u32, u64)>,
    /// Where each of them stands, for a window by bars, and the latest bar.
    bars: VecDeque<u64>,
    latest: u64,
    attempted: u64,
}

impl Pair {
    fn new(policy: RetentionPolicy, path: &Path) -> Pair {
        let rules = TraceRules {
            events: EventSet::ALL,
            policy,
            bytes_per_container: BYTES,
            on_full: OnFull::Degrade,
            backing: Backing::Disk,
            store_trades: false,
            keep: Keep::NONE,
            compression: Compression::None,
        };
        let segments = segments_max(&rules, u64::from(SEGMENT_BYTES)) as u32;
        let pool = Pool::create(path, 1, SEGMENT_BYTES, segments, &manifest()).expect("a pool");
        Pair {
            rules,
            reader: PoolReader::open(pool.path()).expect("a pool"),
            reads: 8,
            pool,
            segments: segments as usize,
            ring: Ring::new(rules, 7),
            model: VecDeque::new(),
            bars: VecDeque::new(),
            latest: 0,
            attempted: 0,
        }
    }

    fn append(&mut self, sequence: u64, trade: u32, kind: u8) {
        // Four events a bar, and a bar that comes late now and then.
        let bar = (sequence / 4) as u32;
        let stamp = Stamp {
            sequence,
            trade,
            bar: if sequence.is_multiple_of(11) {
                bar.saturating_sub(2)
            } else {
                bar
            },
            ..Stamp::default()
        };
        let (ring, pool) = (&mut self.ring, &mut self.pool);
        let (done, bytes) = match kind % 3 {
            0 => (ring.append(pool, &stamp, &Bar { bars: sequence }), 48),
            1 => (ring.append(pool, &stamp, &fill(sequence)), 80),
            _ => (ring.append(pool, &stamp, &close(sequence)), 128),
        };
        assert_eq!(done, Append::Done);
        self.attempted += 1;
        match self.rules.policy {
            RetentionPolicy::SlidingWindow { events } => {
                self.model.push_back((sequence, trade, bytes));
                while self.model.len() as u64 > events {
                    self.model.pop_front();
                }
            }
            RetentionPolicy::SlidingPast { reach } => {
                // It stands at the latest bar of it and all before it.
                let latest = self.latest.max(u64::from(stamp.bar));
                self.latest = latest;
                self.model.push_back((sequence, trade, bytes));
                self.bars.push_back(latest);
                let Reach::Bars(length) = reach else {
                    unreachable!("windows of this target are in bars");
                };
                while self.bars.front().is_some_and(|bar| latest - bar >= length)
                    || self.bytes() > BYTES
                {
                    self.model.pop_front();
                    self.bars.pop_front();
                }
            }
            _ if trade != 0 && self.bytes() + bytes <= BYTES => {
                self.model.push_back((sequence, trade, bytes));
            }
            _ => {}
        }
    }

    fn end(&mut self, trade: u32) {
        self.ring.end_trade(&mut self.pool, trade);
        if self.ring.keeps_open_trades() {
            self.model.retain(|(_, of, _)| *of != trade);
        }
    }

    fn bytes(&self) -> u64 {
        self.model.iter().map(|(.., bytes)| bytes).sum()
    }

    /// What a reader of the file finds now.
    fn read(&mut self) {
        let Some(reads) = self.reads.checked_sub(1) else {
            return;
        };
        self.reads = reads;
        let mut found = BTreeSet::new();
        let changed = self.reader.frames(|container, frame| {
            assert_eq!(container, 7);
            assert!(found.insert(frame.stamp.sequence), "told twice");
            Ok(())
        });
        assert_eq!(changed.expect("readable"), 0);
        for (sequence, ..) in &self.model {
            assert!(found.contains(sequence), "{sequence} is not read");
        }
    }

    fn finish(&mut self) {
        let (mut frames, mut at, mut found) = (Vec::new(), 0, Vec::new());
        let ledger = self.ring.finish(&mut self.pool, &mut frames);
        while at < frames.len() {
            let frame = read_frame(&frames[at..]).expect("a whole frame");
            at += frame.bytes;
            found.push((frame.stamp.sequence, frame.stamp.trade));
        }
        let expected = self
            .model
            .iter()
            .map(|(sequence, trade, _)| (*sequence, *trade));
        assert!(
            found.iter().copied().eq(expected),
            "{found:?}, not {:?}",
            self.model
        );
        assert!(ledger.balances(), "{ledger:?}");
        assert_eq!(ledger.attempted, self.attempted);
        assert_eq!(self.pool.free(), self.segments);
        self.ring = Ring::new(self.rules, 7);
        self.model.clear();
        self.bars.clear();
        (self.attempted, self.latest) = (0, 0);
    }
}

fn fill(sequence: u64) -> Fill {
    Fill {
        qty: sequence as f64,
        price: 2.0,
        commission: 0.0,
        reference_price: 2.0,
        units_after: 1.0,
    }
}

fn close(sequence: u64) -> PositionClose {
    PositionClose {
        entry_ts_ns: 0,
        entry_bar: 0,
        fills: 2,
        qty: sequence as f64,
        entry_price: 1.0,
        exit_price: 2.0,
        pnl: 1.0,
        commission: 0.0,
        slippage: 0.0,
        borrow: 0.0,
        mae: 0.0,
        mfe: 0.0,
    }
}

/// The target: the first byte chooses the policy, each other one is a step.
pub(crate) fn run(input: &[u8]) {
    let Some((policy, steps)) = input.split_first() else {
        return;
    };
    let policy = match policy {
        0..=99 => RetentionPolicy::TradeComplete,
        100..=109 => RetentionPolicy::Minimal,
        110..=127 => RetentionPolicy::SlidingPast {
            reach: Reach::Bars(1 + 3 * u64::from(*policy - 110)),
        },
        _ => RetentionPolicy::SlidingWindow {
            events: u64::from(*policy & 127) + 1,
        },
    };
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut pair = Pair::new(policy, &folder.path().join("t.pool"));
    // Trades of five places; a number is never used again.
    let mut trades = [1_u32, 2, 3, 4, 5];
    let mut sequence = 0;
    for step in steps.iter().take(1 << 12) {
        let place = usize::from(*step & 7);
        match step >> 5 {
            7 if place == 7 => pair.finish(),
            7 if place == 6 => pair.read(),
            6 if place < 5 => {
                pair.end(trades[place]);
                trades[place] += 5;
            }
            events => {
                for _ in 0..=events {
                    sequence += 1;
                    let trade = trades.get(place).copied().unwrap_or(0);
                    pair.append(sequence, trade, *step >> 3);
                }
            }
        }
    }
    pair.reads = 1;
    pair.read();
    pair.finish();
}
