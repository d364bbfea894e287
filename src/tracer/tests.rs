//! Kept trades against a model that remembers every event.

use super::*;
use crate::segment::retention::{Backing, Compression, OnFull};
use crate::segment::{
    ArchiveOptions, ArchiveReader, ArchiveWriter, Condition, PoolReader, segments_max,
};
use admf_formats::event::{ExitReason, Fill, PositionOpen};
use admf_formats::manifest::Manifest;
use admf_formats::result::{EquityTotals, ExecutionTotals, ResultRecord, TradeTotals};
use proptest::prelude::*;

const FILL: Fill = Fill {
    qty: 1.0,
    price: 2.0,
    commission: 0.0,
    reference_price: 2.0,
    units_after: 1.0,
};
const OPEN: PositionOpen = PositionOpen {
    qty: 1.0,
    price: 2.0,
    commission: 0.0,
};

fn close(pnl: f64) -> PositionClose {
    PositionClose {
        entry_ts_ns: 0,
        entry_bar: 0,
        fills: 2,
        qty: 1.0,
        entry_price: 1.0,
        exit_price: 2.0,
        pnl,
        commission: 0.0,
        slippage: 0.0,
        borrow: 0.0,
        mae: 0.0,
        mfe: 0.0,
    }
}

fn manifest() -> Manifest {
    Manifest {
        workflow: "w".into(),
        phase: "p".into(),
        strategy: "s".into(),
        parameter_names: vec!["fast".into()],
        objective: "sharpe_ratio".into(),
        symbols: Vec::new(),
        containers: 1,
        initial_capital: 1.0,
        all_in: true,
        settings: "{}".into(),
        events: Manifest::event_schema(),
    }
}

fn rules(keep: Keep) -> TraceRules {
    TraceRules {
        events: EventSet::ALL,
        policy: RetentionPolicy::TradeComplete,
        bytes_per_container: 64 << 10,
        on_full: OnFull::Degrade,
        backing: Backing::Disk,
        store_trades: false,
        keep,
        compression: Compression::None,
    }
}

fn record(ledger: Ledger) -> ResultRecord {
    ResultRecord {
        index: 0,
        first_bar: 0,
        events: ledger.attempted,
        first_ts_ns: 0,
        last_ts_ns: 0,
        status: 1,
        symbol: 0,
        parameters: [0.0; 8],
        equity: EquityTotals::default(),
        trades: TradeTotals::default(),
        execution: ExecutionTotals::default(),
        ledger,
    }
}

/// What a life of events is kept as: sequences of the kept chunks and of the trace.
struct Outcome {
    kept: Vec<u64>,
    trace: Vec<u64>,
    ledger: Ledger,
}

/// One event: its trade, and the profit where it closes the trade.
type Told = (u32, Option<f64>);

fn run(rules: &TraceRules, told: &[Told]) -> Outcome {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (size, path) = (segment_bytes(rules), folder.path().join("t.pool"));
    let own = Tracer::segments_kept(rules, size) + Tracer::segments_spare(rules, size);
    let segments = own + Tracer::segments_on_their_way(rules);
    let mut pool =
        Pool::create(&path, 0, size as u32, segments as u32, &manifest()).expect("a pool");
    let all = pool.free();
    let options = ArchiveOptions {
        workers: 1,
        segment_bytes: size as usize,
        compression: Compression::None,
        delay: None,
    };
    let writer = ArchiveWriter::start(
        folder.path(),
        &manifest(),
        &options,
        Box::new(|_, _| Ok(())),
    )
    .expect("a writer");
    let handle = writer.handle();
    let mut tracer = Tracer::new(rules, 0);
    for (sequence, (trade, pnl)) in (1..).zip(told) {
        let stamp = Stamp {
            sequence,
            trade: *trade,
            bar: sequence as u32,
            code: ExitReason::Signal as u8,
            ..Stamp::default()
        };
        let archive = Some(&handle);
        let done = match pnl {
            Some(pnl) => tracer.emit(&mut pool, archive, 0, &stamp, &close(*pnl)),
            None if sequence % 3 == 0 => tracer.emit(&mut pool, archive, 0, &stamp, &OPEN),
            None => tracer.emit(&mut pool, archive, 0, &stamp, &FILL),
        };
        assert!(done.is_ok(), "{done:?}");
    }
    let mut batch = handle.batch().expect("a batch");
    let ledger = tracer
        .finish(&mut pool, Some(&handle), 0, &mut batch.frames)
        .expect("the writer goes on");
    batch.push(record(ledger), None);
    handle
        .commit(batch, pool.receipts())
        .expect("the writer goes on");
    drop(handle);
    writer.close().expect("everything is written");
    assert!(pool.free() <= all);
    let reader = ArchiveReader::open(&folder.path().join("archive_00000.admf")).expect("readable");
    let slot = reader.slot(0).expect("readable").expect("committed");
    let frames = |kind| {
        let mut found = Vec::new();
        let each = |frame: &admf_formats::segment::Frame| {
            found.push(frame.stamp.sequence);
            Ok(())
        };
        reader.frames(&slot, kind, each).expect("intact");
        found
    };
    Outcome {
        kept: frames(ChunkKind::Kept),
        trace: frames(ChunkKind::Trace),
        ledger,
    }
}

/// Every event is remembered; the sets are cut out of all closed trades at the end.
fn model(keep: Keep, told: &[Told]) -> (Vec<u64>, Vec<u64>) {
    let of = |trade: u32| {
        let events = (1..).zip(told).filter(move |(_, (own, _))| *own == trade);
        events.map(|(sequence, _)| sequence)
    };
    let closed: Vec<(u64, u32, f64)> = (1..)
        .zip(told)
        .filter_map(|(sequence, (trade, pnl))| Some((sequence, *trade, (*pnl)?)))
        .collect();
    let stamp = |sequence: u64| Stamp {
        bar: sequence as u32,
        code: ExitReason::Signal as u8,
        ..Stamp::default()
    };
    let is_asked = |(sequence, _, pnl): &&(u64, u32, f64)| {
        let condition = keep.condition;
        condition.is_some_and(|condition| condition.holds(&stamp(*sequence), &close(*pnl)))
    };
    let asked: Vec<u32> = closed.iter().filter(is_asked).map(|one| one.1).collect();
    let kept = asked.iter().flat_map(|trade| of(*trade)).collect();
    let mut by_profit = closed.clone();
    by_profit.sort_by(|one, other| one.2.total_cmp(&other.2));
    let worst = by_profit.iter().take(keep.worst as usize).map(|one| one.1);
    let mut by_loss = closed.clone();
    by_loss.sort_by(|one, other| other.2.total_cmp(&one.2));
    let best = by_loss.iter().take(keep.best as usize).map(|one| one.1);
    let last = closed
        .iter()
        .rev()
        .take(keep.last as usize)
        .map(|one| one.1);
    let in_sets: Vec<u32> = worst.chain(best).chain(last).collect();
    let trace = (1..).zip(told).filter(|(_, (trade, _))| {
        let is_open = *trade != 0 && !closed.iter().any(|(_, closed, _)| closed == trade);
        is_open || in_sets.contains(trade) && !asked.contains(trade)
    });
    (kept, trace.map(|(sequence, _)| sequence).collect())
}

/// Lives of trades that overlap, at most four open at once, some of no trade.
fn told() -> impl Strategy<Value = Vec<Told>> {
    let step = (0..4_usize, 0..9_u32, -5..6_i32);
    prop::collection::vec(step, 1..400).prop_map(|steps| {
        let (mut open, mut next) = ([1, 2, 3, 4_u32], 5);
        let mut told = Vec::new();
        for (place, what, pnl) in steps {
            let trade = open[place];
            match what {
                0 => told.push((0, None)),
                1..=2 => {
                    told.push((trade, Some(f64::from(pnl))));
                    (open[place], next) = (next, next + 1);
                }
                _ if told.iter().filter(|(own, _)| *own == trade).count() < 6 => {
                    told.push((trade, None));
                }
                _ => {}
            }
        }
        told
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(120))]
    #[test]
    fn kept_trades_are_those_of_the_model(
        told in told(),
        last in 0..5_u32,
        best in 0..5_u32,
        worst in 0..5_u32,
        condition in prop::option::of(prop_oneof![
            Just("pnl < -2"),
            Just("pnl >= 3 or pnl == -5"),
            Just("exit_reason == signal and bars_held > 100"),
            Just("pnl > 100"),
        ]),
    ) {
        let condition = condition.map(|text| Condition::parse(text).expect("a condition"));
        let keep = Keep { last, best, worst, condition };
        let rules = rules(keep);
        let outcome = run(&rules, &told);
        let (kept, trace) = model(keep, &told);
        prop_assert_eq!(&outcome.kept, &kept);
        prop_assert_eq!(&outcome.trace, &trace);
        let ledger = outcome.ledger;
        prop_assert!(ledger.balances(), "{:?}", ledger);
        prop_assert_eq!(ledger.attempted, told.len() as u64);
        prop_assert_eq!(ledger.retained, (kept.len() + trace.len()) as u64);
        prop_assert_eq!(ledger.dropped_at_cap, 0);
        let without_trade = told.iter().filter(|(trade, _)| *trade == 0).count() as u64;
        prop_assert_eq!(ledger.dropped_without_trade, without_trade);
    }
}

#[test]
fn a_hundred_thousand_trades_with_kept_sets_need_no_more_segments_than_counted() {
    let condition = Some(Condition::parse("pnl < -4.9").expect("a condition"));
    let keep = Keep {
        last: 10,
        best: 5,
        worst: 5,
        condition,
    };
    // As the workflow caps it.
    let rules = TraceRules {
        bytes_per_container: 21 * 1536,
        ..rules(keep)
    };
    // Eight events a trade, whose profits go up and down.
    let told: Vec<Told> = (1..=100_000_u32)
        .flat_map(|trade| {
            let pnl = f64::from(trade * 7919 % 1000) / 100.0 - 5.0;
            (0..7)
                .map(move |_| (trade, None))
                .chain([(trade, Some(pnl))])
        })
        .collect();
    let outcome = run(&rules, &told);
    assert_eq!(outcome.kept.len(), 8 * 1000, "a hundredth of all trades");
    // The worst ones were streamed, and so was the last one.
    assert_eq!(outcome.trace.len(), 8 * 14);
    assert!(outcome.ledger.balances() && outcome.ledger.dropped_at_cap == 0);
    let ring = segments_max(&rules, segment_bytes(&rules));
    assert!(ring * segment_bytes(&rules) < 100 << 10, "{ring} segments");
}

#[test]
fn a_killed_pool_has_the_kept_trades() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let keep = Keep {
        last: 1,
        best: 1,
        worst: 0,
        condition: None,
    };
    let rules = rules(keep);
    let (size, path) = (segment_bytes(&rules), folder.path().join("t.pool"));
    let segments =
        (Tracer::segments_kept(&rules, size) + Tracer::segments_spare(&rules, size)) as u32;
    let mut pool = Pool::create(&path, 0, size as u32, segments, &manifest()).expect("a pool");
    let mut tracer = Tracer::new(&rules, 0);
    for trade in 1..=500_u32 {
        let stamp = |at: u32| Stamp {
            sequence: u64::from(3 * (trade - 1) + at),
            trade,
            ..Stamp::default()
        };
        let pnl = if trade == 77 { 9.0 } else { 1.0 };
        for done in [
            tracer.emit(&mut pool, None, 0, &stamp(1), &OPEN),
            tracer.emit(&mut pool, None, 0, &stamp(2), &FILL),
            tracer.emit(&mut pool, None, 0, &stamp(3), &close(pnl)),
        ] {
            assert!(done.is_ok());
        }
    }
    let mut found = Vec::new();
    let reader = PoolReader::open(&path).expect("a pool");
    let each = |_, frame: &admf_formats::segment::Frame| {
        found.push(frame.stamp.sequence);
        Ok(())
    };
    reader.frames(each).expect("it decodes");
    for trade in [77, 500] {
        let own = 3 * (trade - 1) + 1..=3 * trade;
        assert!(
            own.clone().all(|sequence| found.contains(&sequence)),
            "{trade}"
        );
    }
}
