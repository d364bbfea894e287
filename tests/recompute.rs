//! The trace is the truth: every total of a container, and so every metric, follows from its full
//! trace and the bars, bit for bit.

mod random;

use admf::metrics::{EquityPath, Recomputation};
use admf::plan::Start;
use admf::results::PhaseDir;
use admf::segment::ArchiveReader;
use admf::sequencer::{RunSettings, Symbol, plan_phase, run_phase};
use admf_formats::archive::{ChunkKind, file_name};
use admf_formats::event::{AnyPayload, EventKind};
use admf_formats::report::Metrics;
use admf_formats::result::ResultRecord;
use random::{Case, Random, bars, seeds, write};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64};

fn bits(record: &ResultRecord) -> Vec<u8> {
    let metrics = serde_json::to_vec(&Metrics::of(record, 252.0)).expect("JSON");
    let totals = format!(
        "{:?} {:?} {:?}",
        record.equity, record.trades, record.execution
    );
    [metrics, totals.into_bytes()].concat()
}

#[test]
fn every_metric_follows_from_the_events_bit_for_bit() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut trades = 0;
    for seed in seeds(300) {
        let mut random = Random::new(seed);
        let case = Case::new(&mut random);
        let path = folder.path().join(format!("{seed}.bars"));
        let file = write(&bars(&mut random, 1300), &path);
        let (events, listened) = case.run(&file);
        if listened.failure.is_some() {
            continue;
        }
        let rules = &case.workflow.phases[0].container;
        let (capital, end) = (rules.portfolio.initial_capital, file.bars());
        let mut folds =
            Recomputation::new(&file, rules.equity_path(), capital, case.first, end).expect("bars");
        for (stamp, payload) in &events {
            folds.event(stamp, payload).expect("sound bars");
        }
        let mut recomputed = listened.record;
        folds
            .finish()
            .expect("sound bars")
            .put_into(&mut recomputed);
        assert!(
            bits(&recomputed) == bits(&listened.record),
            "seed {seed}\n{}\n{recomputed:#?}\n{:#?}",
            case.text,
            listened.record
        );
        trades += listened.record.trades.trades;
        std::fs::remove_file(&path).expect("it is there");
    }
    assert!(trades > 3_000, "{trades} trades are no test");
}

#[test]
fn the_last_bit_of_one_event_shows() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let text = "workflow: single_backtest\ndata: {path: none.bars}\n\
                strategy: {name: sma_crossover, parameters: {fast: 2, slow: 5}}\n\
                portfolio: {sizing: {percent_of_equity: 50}}\n";
    let mut random = Random::new(1);
    let case = Case::of(text.to_owned(), &mut random);
    let file = write(&bars(&mut random, 1300), &folder.path().join("x.bars"));
    let (mut events, listened) = case.run(&file);
    for (stamp, payload) in &mut events {
        if let AnyPayload::PortfolioUpdate(update) = payload
            && stamp.bar > 1000
        {
            update.cash = update.cash.next_up();
            break;
        }
    }
    let mut folds = Recomputation::new(&file, EquityPath::PerBar, 1e5, case.first, file.bars())
        .expect("sound bars");
    for (stamp, payload) in &events {
        folds.event(stamp, payload).expect("sound bars");
    }
    let mut recomputed = listened.record;
    folds
        .finish()
        .expect("sound bars")
        .put_into(&mut recomputed);
    assert!(bits(&recomputed) != bits(&listened.record));
}

/// The container of a case as the first of a phase on disk.
fn archived(case: &Case, bars: &Path, root: &Path) -> (ResultRecord, ResultRecord) {
    let bars = admf::market::BarsFile::open(bars).expect("sound bars");
    let end = bars.bars();
    let symbols = [Symbol {
        symbol: "X".to_owned(),
        data: admf::container::Span {
            first: case.first,
            end,
        },
        bars,
        bars_per_year: 252.0,
    }];
    let (stop, finished) = (AtomicBool::new(false), AtomicU64::new(0));
    let settings = RunSettings {
        workflow: &case.workflow.name,
        strategy: case.strategy,
        space: &case.workflow.space,
        symbols: &symbols,
        settings: &case.workflow.settings,
        budget: 64 << 20,
        start: Start::default(),
        shard: None,
        checkpoint_every: None,
        tell: &|_| {},
        threads: 1,
        pools: root.join("pools"),
        stop: &stop,
        finished: &finished,
    };
    let phase = &case.workflow.phases[0];
    let planned = plan_phase(&settings, phase, &[]).expect("it fits");
    let folder = PhaseDir::new(root.join("backtest"));
    run_phase(&planned, &folder).expect("it runs");
    let archive = ArchiveReader::open(&folder.traces().join(file_name(0))).expect("an archive");
    let slot = archive.slot(0).expect("readable").expect("committed");
    let rules = &phase.container;
    let (capital, path) = (rules.portfolio.initial_capital, rules.equity_path());
    let mut folds =
        Recomputation::new(&symbols[0].bars, path, capital, case.first, end).expect("bars");
    let mut frames = 0;
    archive
        .frames(&slot, ChunkKind::Trace, |frame| {
            frames += 1;
            folds.event(&frame.stamp, &frame.payload)
        })
        .expect("sound frames");
    assert_eq!(frames, slot.record.ledger.retained);
    let mut recomputed = slot.record;
    folds
        .finish()
        .expect("sound bars")
        .put_into(&mut recomputed);
    (slot.record, recomputed)
}

#[test]
fn what_a_full_archive_holds_gives_the_record_beside_it() {
    for seed in seeds(12) {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let mut random = Random::new(1000 + seed);
        let text = random::workflow(&mut random) + "event_tracing: all\nretention_policy: full\n";
        let case = Case::of(text, &mut random);
        let path = folder.path().join("x.bars");
        let file = write(&bars(&mut random, 1300), &path);
        let (record, recomputed) = archived(&case, &path, folder.path());
        let (events, listened) = case.run(&file);
        assert_eq!(record.ledger.retained, events.len() as u64, "{}", case.text);
        if record.is_completed() {
            assert!(
                bits(&record) == bits(&recomputed),
                "seed {seed}\n{}",
                case.text
            );
        }
        assert!(
            bits(&record) == bits(&listened.record),
            "seed {seed}\n{}",
            case.text
        );
    }
}

#[test]
fn whatever_is_kept_the_ledger_balances_and_no_metric_changes() {
    let policies = [
        "event_tracing: all\nretention_policy: trade_complete\n",
        "event_tracing: all\nretention_policy: sliding_window\nsliding_window_size: 40\n",
        "event_tracing: all\nretention_policy: minimal\nstore_trades: false\n",
        "event_tracing: [FILL, ORDER]\nretention_policy: full\n",
        "event_tracing: all\nretention_policy: trade_complete\ntrace: {bytes_per_container: 512B}\n",
    ];
    for seed in seeds(15) {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let mut random = Random::new(2000 + seed);
        let policy = policies[seed as usize % policies.len()];
        let case = Case::of(random::workflow(&mut random) + policy, &mut random);
        let path = folder.path().join("x.bars");
        let file = write(&bars(&mut random, 1300), &path);
        let (record, _) = archived(&case, &path, folder.path());
        let ledger = record.ledger;
        let parts = ledger.retained
            + ledger.recycled_trade_closed
            + ledger.recycled_window
            + ledger.dropped_without_trade
            + ledger.dropped_at_cap;
        assert_eq!(ledger.attempted, parts, "seed {seed}\n{}", case.text);
        let (events, listened) = case.run(&file);
        assert!(
            bits(&record) == bits(&listened.record),
            "seed {seed}\n{}",
            case.text
        );
        let wanted = case.workflow.phases[0].container.trace.events;
        let offered = events.iter().filter(|(_, p)| wanted.contains(p.kind()));
        assert_eq!(
            ledger.attempted,
            offered.count() as u64,
            "seed {seed}\n{}",
            case.text
        );
    }
}

/// What a trade may have follows from the kinds that are traced: see `trade_bytes_max`.
#[test]
fn a_ring_has_room_for_every_open_trade_whatever_is_traced() {
    let (mut bounded, mut recycled) = (0, 0);
    for seed in seeds(80) {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let mut random = Random::new(3000 + seed);
        let kinds = EventKind::ALL.into_iter();
        let mut kinds: Vec<&str> = kinds.map(EventKind::name).collect();
        kinds.retain(|name| *name == "POSITION_CLOSE" || random.once_in(2));
        let policy = random.one_of(&["trade_complete", "minimal"]);
        let lines = format!(
            "event_tracing: [{}]\nretention_policy: {policy}\nstore_trades: false\n",
            kinds.join(", ")
        );
        let case = Case::of(random::workflow(&mut random) + &lines, &mut random);
        let path = folder.path().join("x.bars");
        write(&bars(&mut random, 1300), &path);
        let (record, _) = archived(&case, &path, folder.path());
        let rules = &case.workflow.phases[0].container;
        if rules.trade_bytes_max(rules.trace.events) == rules.trace.bytes_per_container {
            bounded += 1;
            recycled += record.ledger.recycled_trade_closed;
            assert_eq!(
                record.ledger.dropped_at_cap, 0,
                "seed {seed}\n{}",
                case.text
            );
        }
    }
    assert!(bounded > 20 && recycled > 1_000, "{bounded}, {recycled}");
}
