use super::retention::{Backing, Compression, Keep, OnFull, RetentionPolicy, TraceRules};
use super::*;
use admf_formats::event::{EventSet, Fill, PositionClose, PositionOpen, Stamp};
use admf_formats::manifest::Manifest;
use admf_formats::result::Ledger;
use admf_formats::segment::read_frame;
use proptest::prelude::*;

pub(super) fn manifest() -> Manifest {
    Manifest {
        workflow: "w".into(),
        phase: "p".into(),
        strategy: "s".into(),
        parameter_names: vec!["fast".into()],
        objective: "sharpe_ratio".into(),
        symbols: Vec::new(),
        containers: 10_000,
        initial_capital: 1.0,
        all_in: true,
        settings: "{}".into(),
        events: Manifest::event_schema(),
    }
}

pub(super) fn rules(policy: RetentionPolicy) -> TraceRules {
    TraceRules {
        events: EventSet::ALL,
        policy,
        bytes_per_container: 16 << 10,
        on_full: OnFull::Degrade,
        backing: Backing::Disk,
        store_trades: false,
        keep: Keep::NONE,
        compression: Compression::None,
    }
}

pub(super) fn pool(folder: &std::path::Path, rules: &TraceRules) -> Pool {
    let segments = segments_max(rules, 1024) as u32;
    Pool::create(&folder.join("t.pool"), 1, 1024, segments, &manifest()).expect("a pool")
}

pub(super) fn stamp(sequence: u64, trade: u32) -> Stamp {
    Stamp {
        sequence,
        trade,
        ts_ns: sequence as i64,
        ..Stamp::default()
    }
}

pub(super) const FILL: Fill = Fill {
    qty: 1.0,
    price: 2.0,
    commission: 0.0,
    reference_price: 2.0,
    units_after: 1.0,
};
pub(super) const OPEN: PositionOpen = PositionOpen {
    qty: 1.0,
    price: 2.0,
    commission: 0.0,
};
pub(super) const CLOSE: PositionClose = PositionClose {
    entry_ts_ns: 0,
    entry_bar: 0,
    fills: 2,
    qty: 1.0,
    entry_price: 1.0,
    exit_price: 2.0,
    pnl: 1.0,
    commission: 0.0,
    slippage: 0.0,
    borrow: 0.0,
    mae: 0.0,
    mfe: 0.0,
};

pub(super) fn sequences(frames: &[u8]) -> Vec<u64> {
    let (mut at, mut found) = (0, Vec::new());
    while at < frames.len() {
        let frame = read_frame(&frames[at..]).expect("a whole frame");
        at += frame.bytes;
        found.push(frame.stamp.sequence);
    }
    found
}

/// One step of a random life: an event of an open trade, or the end of one.
#[derive(Clone, Copy, Debug)]
enum Step {
    Open(u32),
    Partial(u32),
    Close(u32),
    Loose,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = (0..10_u32, 1..6_u32).prop_map(|(what, trade)| match what {
        0..=2 => Step::Open(trade),
        3..=6 => Step::Partial(trade),
        7..=8 => Step::Close(trade),
        _ => Step::Loose,
    });
    prop::collection::vec(step, 1..600)
}

/// Sequences of what a reader finds in the pool, all of it whole.
fn readable(pool: &Pool) -> Vec<u64> {
    let mut found = Vec::new();
    let reader = PoolReader::open(pool.path()).expect("a pool");
    let each = |_, frame: &admf_formats::segment::Frame| {
        found.push(frame.stamp.sequence);
        Ok(())
    };
    assert_eq!(reader.frames(each).expect("readable"), 0);
    found
}

proptest! {
    #[test]
    fn rings_keep_what_the_model_keeps(steps in steps(), window in 1_u64..100) {
        let folder = tempfile::tempdir().expect("a temporary folder");
        for policy in [RetentionPolicy::TradeComplete, RetentionPolicy::SlidingWindow { events: window }] {
            let rules = rules(policy);
            let mut pool = pool(folder.path(), &rules);
            let all = pool.free();
            let mut ring = Ring::new(rules, 7);
            // The model: every event that is kept, as (sequence, trade).
            let mut model: Vec<(u64, u32)> = Vec::new();
            // A trade's number is never used again: each of the five places counts its trades.
            let mut numbers = [1_u32, 2, 3, 4, 5];
            for (sequence, step) in (1..).zip(&steps) {
                let number = |place: u32| numbers[place as usize - 1];
                let (trade, done) = match *step {
                    Step::Open(place) => (number(place), ring.append(&mut pool, &stamp(sequence, number(place)), &OPEN)),
                    Step::Partial(place) => (number(place), ring.append(&mut pool, &stamp(sequence, number(place)), &FILL)),
                    Step::Close(place) => (number(place), ring.append(&mut pool, &stamp(sequence, number(place)), &CLOSE)),
                    Step::Loose => (0, ring.append(&mut pool, &stamp(sequence, 0), &FILL)),
                };
                prop_assert_eq!(done, Append::Done);
                model.push((sequence, trade));
                if policy == RetentionPolicy::TradeComplete {
                    model.retain(|(_, trade)| *trade != 0);
                    if let Step::Close(place) = *step {
                        numbers[place as usize - 1] += 5;
                        ring.end_trade(&mut pool, trade);
                        model.retain(|(_, other)| *other != trade);
                    }
                } else if model.len() as u64 > window {
                    model.remove(0);
                }
            }
            // Nothing of it exceeds the cap, so that the model need not degrade.
            prop_assume!(model.len() * 96 < 16 << 10);
            let mut frames = Vec::new();
            let ledger = ring.finish(&mut pool, &mut frames);
            if ledger.dropped_at_cap == 0 {
                prop_assert_eq!(sequences(&frames), model.iter().map(|(sequence, _)| *sequence).collect::<Vec<_>>());
            }
            prop_assert!(ledger.balances(), "{:?}", ledger);
            prop_assert_eq!(ledger.attempted, steps.len() as u64);
            prop_assert_eq!(pool.free(), all);
        }
    }
}

proptest! {
    /// At every moment a reader of the pool finds what belongs to open trades, as far as the cap had
    /// room for it; at the end nothing else is left.
    #[test]
    fn minimal_decodes_to_the_events_of_open_trades_only(steps in steps(), cap in 100_u64..4000, look in 1_usize..200) {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let rules = TraceRules { bytes_per_container: cap, ..rules(RetentionPolicy::Minimal) };
        let mut pool = pool(folder.path(), &rules);
        let all = pool.free();
        let mut ring = Ring::new(rules, 7);
        // Sequence, trade and bytes of what is kept; what was lost, by reason.
        let mut model: Vec<(u64, u32, u64)> = Vec::new();
        let (mut closed, mut loose, mut dropped) = (0, 0, 0);
        for ((sequence, step), (trade, closes)) in (1..).zip(&steps).zip(trades(&steps, 5)) {
            let stamp = stamp(sequence, trade);
            let (done, bytes) = match step {
                Step::Open(_) => (ring.append(&mut pool, &stamp, &OPEN), 64),
                Step::Close(_) => (ring.append(&mut pool, &stamp, &CLOSE), 128),
                Step::Partial(_) | Step::Loose => (ring.append(&mut pool, &stamp, &FILL), 80),
            };
            prop_assert_eq!(done, Append::Done);
            let held: u64 = model.iter().map(|(.., bytes)| bytes).sum();
            match trade {
                0 => loose += 1,
                _ if held + bytes > cap => dropped += 1,
                _ => model.push((sequence, trade, bytes)),
            }
            if closes {
                ring.end_trade(&mut pool, trade);
                let before = model.len();
                model.retain(|(_, other, _)| *other != trade);
                closed += (before - model.len()) as u64;
            }
            if (sequence as usize).is_multiple_of(look) {
                let found = readable(&pool);
                let lost = model.iter().find(|(sequence, ..)| !found.contains(sequence));
                prop_assert_eq!(lost, None);
            }
        }
        let mut frames = Vec::new();
        let ledger = ring.finish(&mut pool, &mut frames);
        let expected: Vec<u64> = model.iter().map(|(sequence, ..)| *sequence).collect();
        prop_assert_eq!(sequences(&frames), expected);
        let counted = (ledger.recycled_trade_closed, ledger.dropped_without_trade, ledger.dropped_at_cap);
        prop_assert_eq!(counted, (closed, loose, dropped));
        prop_assert!(ledger.balances(), "{:?}", ledger);
        prop_assert_eq!(pool.free(), all);
    }
}

#[test]
fn a_million_round_trips_with_partial_closes_and_flips_use_constant_segments() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let rules = rules(RetentionPolicy::TradeComplete);
    let mut pool = pool(folder.path(), &rules);
    let mut ring = Ring::new(rules, 1);
    let mut sequence = 0;
    let mut most = 0;
    for trade in 1..=1_000_000_u32 {
        let mut tell = |ring: &mut Ring, pool: &mut Pool, trade: u32, what: u8| {
            sequence += 1;
            let stamp = stamp(sequence, trade);
            match what {
                0 => ring.append(pool, &stamp, &OPEN),
                1 => ring.append(pool, &stamp, &FILL),
                _ => ring.append(pool, &stamp, &CLOSE),
            };
        };
        // A flip: the next trade's order comes before this one's end; a partial close between.
        tell(&mut ring, &mut pool, trade, 0);
        tell(&mut ring, &mut pool, trade, 1);
        tell(&mut ring, &mut pool, trade + 1, 1);
        tell(&mut ring, &mut pool, trade, 2);
        ring.end_trade(&mut pool, trade);
        most = most.max(ring.segments());
    }
    let mut frames = Vec::new();
    let ledger = ring.finish(&mut pool, &mut frames);
    assert_eq!(
        sequences(&frames).len(),
        1,
        "only the trade that is still open"
    );
    assert!(ledger.balances() && ledger.attempted == 4_000_000 && ledger.dropped_at_cap == 0);
    assert!(most <= 3, "{most} segments");
}

#[test]
fn a_ring_at_its_cap_degrades_with_an_exact_count_or_refuses() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut rules = rules(RetentionPolicy::TradeComplete);
    rules.bytes_per_container = 800;
    let mut pool_of_ten = pool(folder.path(), &rules);
    let mut ring = Ring::new(rules, 1);
    for sequence in 1..=25 {
        ring.append(&mut pool_of_ten, &stamp(sequence, 1), &FILL);
    }
    let ledger = ring.finish(&mut pool_of_ten, &mut Vec::new());
    assert_eq!((ledger.retained, ledger.dropped_at_cap), (10, 15));
    drop(pool_of_ten);
    rules.on_full = OnFull::Strict;
    let mut strict_pool = pool(folder.path(), &rules);
    let mut ring = Ring::new(rules, 1);
    let refused =
        (1..=25).find(|n| ring.append(&mut strict_pool, &stamp(*n, 1), &FILL) == Append::Full);
    assert_eq!(refused, Some(11));
}

#[test]
fn nothing_is_lost_behind_a_slow_disk() {
    use admf_formats::archive::ChunkKind;
    use admf_formats::result::{EquityTotals, ExecutionTotals, Ledger, ResultRecord, TradeTotals};
    let folder = tempfile::tempdir().expect("a temporary folder");
    let options = ArchiveOptions {
        workers: 1,
        segment_bytes: 1024,
        compression: Compression::Zstd,
        delay: Some(std::time::Duration::from_millis(2)),
    };
    let writer = ArchiveWriter::start(
        folder.path(),
        &manifest(),
        &options,
        Box::new(|_, _| Ok(())),
    )
    .expect("a writer");
    let handle = writer.handle();
    let rules = rules(RetentionPolicy::Full);
    let mut pool = pool(folder.path(), &rules);
    let mut ring = Ring::new(rules, 5000);
    for sequence in 1..=2000 {
        while ring.append(&mut pool, &stamp(sequence, 1), &FILL) == Append::Flush {
            handle
                .flush(
                    5000,
                    ChunkKind::Trace,
                    ring.streaming(&pool),
                    pool.receipts(),
                )
                .expect("the writer goes on");
            ring.flushed(&mut pool);
        }
    }
    let mut batch = handle.batch().expect("a batch");
    let ledger = ring.finish(&mut pool, &mut batch.frames);
    let record = ResultRecord {
        index: 5000,
        first_bar: 0,
        events: 2000,
        first_ts_ns: 0,
        last_ts_ns: 0,
        status: 1,
        symbol: 0,
        parameters: [0.0; 8],
        equity: EquityTotals::default(),
        trades: TradeTotals::default(),
        execution: ExecutionTotals::default(),
        ledger,
    };
    batch.push(record, Some("why".to_owned()));
    handle
        .commit(batch, pool.receipts())
        .expect("the writer goes on");
    drop(handle);
    writer.close().expect("everything is written");
    assert_eq!(
        ledger,
        Ledger {
            attempted: 2000,
            retained: 2000,
            ..Ledger::default()
        }
    );
    let reader =
        ArchiveReader::open(&folder.path().join("archive_00001.admf")).expect("an archive");
    let slot = reader.slot(5000).expect("readable").expect("committed");
    let mut found = Vec::new();
    let each = |frame: &admf_formats::segment::Frame| {
        found.push(frame.stamp.sequence);
        Ok(())
    };
    reader
        .frames(&slot, ChunkKind::Trace, each)
        .expect("intact");
    assert_eq!(found, (1..=2000).collect::<Vec<u64>>());
    assert_eq!(
        reader.failure(&slot).expect("intact").as_deref(),
        Some("why")
    );
    assert_eq!(
        committed(folder.path(), 10_000).expect("readable")[5000 / 64],
        1 << (5000 % 64)
    );
}

/// The trade of each step, at most so many open at once, and whether the step closes it; a number is
/// never used again.
fn trades(steps: &[Step], open: u32) -> Vec<(u32, bool)> {
    let mut closed = [0; 6];
    let mut of = |slot: u32, closes: bool| {
        let slot = 1 + slot % open;
        let trade = slot + 6 * closed[slot as usize];
        closed[slot as usize] += u32::from(closes);
        (trade, closes)
    };
    let of = |step: &Step| match *step {
        Step::Open(slot) | Step::Partial(slot) => of(slot, false),
        Step::Close(slot) => of(slot, true),
        Step::Loose => (0, false),
    };
    steps.iter().map(of).collect()
}

/// What a ring keeps and counts when every event goes straight to it.
fn unstaged(trades: &[(u32, bool)], rules: TraceRules, pool: &mut Pool) -> (Vec<u8>, Ledger) {
    let mut ring = Ring::new(rules, 7);
    for (at, (trade, closes)) in trades.iter().enumerate() {
        ring.append(pool, &stamp(at as u64 + 1, *trade), &FILL);
        if *closes {
            ring.end_trade(pool, *trade);
        }
    }
    let mut frames = Vec::new();
    let ledger = ring.finish(pool, &mut frames);
    (frames, ledger)
}

proptest! {
    /// A stage that is settled at any moments, and a lane, change neither what is kept nor a count.
    #[test]
    fn a_stage_and_a_lane_leave_no_trace(
        steps in steps(),
        block in 1_usize..80,
        cap in 200_u64..3000,
        directs in any::<u64>(),
        open in 1..6_u32,
        look in 1_usize..40,
    ) {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let rules = TraceRules { bytes_per_container: cap, ..rules(RetentionPolicy::TradeComplete) };
        let mut pool = pool(folder.path(), &rules);
        let beside = tempfile::tempdir().expect("a temporary folder");
        let mut other = self::pool(beside.path(), &rules);
        let trades = trades(&steps, open);
        let expected = unstaged(&trades, rules, &mut other);
        let (mut ring, mut stage, mut lane) = (Ring::new(rules, 7), Stage::new(), Lane::default());
        ring.lend(&pool, &mut lane);
        for (at, (trade, closes)) in trades.iter().copied().enumerate() {
            let stamp = stamp(at as u64 + 1, trade);
            // What lies in the stage comes first.
            let is_direct = directs >> (at % 64) & 1 == 1 && trade != 0 && stage.is_empty();
            let is_taken = if is_direct {
                lane.append(&mut pool, 7, &stamp, &FILL)
            } else {
                stage.push(&mut lane, &stamp, &FILL)
            };
            if !is_taken {
                stage.settle(&mut lane, 7, &mut ring, &mut pool);
                ring.take_back(&pool, &mut lane);
                ring.append(&mut pool, &stamp, &FILL);
                ring.lend(&pool, &mut lane);
            }
            if closes && !stage.end_trade(&mut lane, trade) {
                ring.take_back(&pool, &mut lane);
                ring.end_trade(&mut pool, trade);
                ring.lend(&pool, &mut lane);
            }
            if at % block == 0 {
                stage.settle(&mut lane, 7, &mut ring, &mut pool);
            }
            if at % block == 0 && at % look == 0 {
                // Who reads the pool now finds all that is kept.
                let found = readable(&pool);
                let (kept, _) = unstaged(&trades[..=at], rules, &mut other);
                let lost = sequences(&kept).into_iter().find(|sequence| !found.contains(sequence));
                prop_assert_eq!(lost, None);
            }
        }
        stage.settle(&mut lane, 7, &mut ring, &mut pool);
        ring.take_back(&pool, &mut lane);
        let mut frames = Vec::new();
        let ledger = ring.finish(&mut pool, &mut frames);
        prop_assert!(ledger.balances());
        prop_assert_eq!((frames, ledger), expected);
    }
}
