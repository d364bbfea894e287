//! What windows and kept trades leave of a run is what the full trace of the same run has of it.

use admf::segment::{ArchiveReader, Condition};
use admf_formats::archive::ChunkKind;
use admf_formats::event::{AnyPayload, EventKind, PositionClose};
use admf_formats::result::Ledger;
use admf_formats::segment::Frame;
use std::path::{Path, PathBuf};
use std::process::Command;

const SWEEP: &str = "workflow: parameter_sweep
data: {path: DATA, symbols: [SP500]}
strategy:
  name: sma_crossover
  parameters: {fast: [3, 8, 20], slow: [30, 90, 200]}
portfolio: {direction: long_short}
execution: {fill: FILL_AT, commission: {rate: 0.001}}
event_tracing: all
container_results: archive
";

/// What a container left.
struct Left {
    kept: Vec<Frame>,
    trace: Vec<Frame>,
    ledger: Ledger,
}

/// Runs the sweep with these lines.
fn run(folder: &Path, fill: &str, lines: &str, arguments: &[&str]) -> Vec<Left> {
    let data =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/data/sp500_daily_2000_2020.csv");
    let root = tempfile::tempdir_in(folder).expect("a temporary folder");
    let file = root.path().join("w.yaml");
    let text = SWEEP
        .replace("DATA", &data.to_string_lossy())
        .replace("FILL_AT", fill);
    std::fs::write(&file, text + lines).expect("writable");
    let out = Command::new(env!("CARGO_BIN_EXE_admf"))
        .arg("run")
        .arg(&file)
        .arg("--results-root")
        .arg(root.path())
        .args(["-q"])
        .args(arguments)
        .output()
        .expect("the program starts");
    let told = String::from_utf8_lossy(&out.stderr);
    assert!(out.status.success(), "{lines}: {told}");
    let archive: PathBuf = root
        .path()
        .join("parameter_sweep/sweep/traces/archive_00000.admf");
    let archive = ArchiveReader::open(&archive).expect("an archive");
    let of = |index| {
        let slot = archive.slot(index).expect("readable").expect("committed");
        let frames = |kind| {
            let mut found = Vec::new();
            let each = |frame: &Frame| {
                found.push(*frame);
                Ok(())
            };
            archive.frames(&slot, kind, each).expect("intact");
            found
        };
        Left {
            kept: frames(ChunkKind::Kept),
            trace: frames(ChunkKind::Trace),
            ledger: slot.record.ledger,
        }
    };
    archive.containers().map(of).collect()
}

/// Fails where frames differ; a NaN equals itself.
fn check(what: &str, found: &[Frame], expected: &[&Frame]) {
    let text = |frame: &Frame| format!("{frame:?}");
    let found: Vec<String> = found.iter().map(text).collect();
    let expected: Vec<String> = expected.iter().map(|frame| text(frame)).collect();
    assert_eq!(found.len(), expected.len(), "{what}");
    for (found, expected) in found.iter().zip(&expected) {
        assert_eq!(found, expected, "{what}");
    }
}

#[test]
fn a_window_has_the_last_bars_or_days_of_the_full_trace() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    for fill in ["next_open", "same_close"] {
        let full = run(folder.path(), fill, "retention_policy: full\n", &[]);
        assert!(full.iter().all(|left| left.trace.len() > 100));
        for (window, bars, days) in [
            ("{bars: 700}", 700, i64::MAX),
            ("{bars: 1}", 1, i64::MAX),
            ("{duration: 900 days}", i64::MAX, 900),
            ("{duration: 100 weeks}", i64::MAX, 700),
        ] {
            let lines = format!("retention_policy: sliding_window\nsliding_window: {window}\n");
            let left = run(folder.path(), fill, &lines, &[]);
            for (left, full) in left.iter().zip(&full) {
                // An event counts where it was told: no earlier than those before it.
                let (mut bar, mut ts_ns) = (0, i64::MIN);
                let mut told = Vec::new();
                for frame in &full.trace {
                    bar = bar.max(i64::from(frame.stamp.bar));
                    ts_ns = ts_ns.max(frame.stamp.ts_ns);
                    told.push((bar, ts_ns, frame));
                }
                let ns = days.saturating_mul(86_400_000_000_000);
                let is_in = |told: &&(i64, i64, &Frame)| bar - told.0 < bars && ts_ns - told.1 < ns;
                let expected: Vec<&Frame> = told.iter().filter(is_in).map(|told| told.2).collect();
                check(window, &left.trace, &expected);
                let out = full.ledger.attempted - expected.len() as u64;
                assert_eq!(
                    (left.ledger.recycled_window, left.ledger.dropped_at_cap),
                    (out, 0)
                );
                assert!(left.ledger.balances());
            }
        }
    }
}

#[test]
fn minimal_has_the_open_position_of_the_full_trace_and_nothing_else() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut open = 0;
    for fill in ["next_open", "same_close"] {
        let full = run(folder.path(), fill, "retention_policy: full\n", &[]);
        let minimal = run(folder.path(), fill, "retention_policy: minimal\n", &[]);
        for (left, full) in minimal.iter().zip(&full) {
            let trades = |kind| {
                let of_kind = move |frame: &&Frame| frame.payload.kind() == kind;
                full.trace
                    .iter()
                    .filter(of_kind)
                    .map(|frame| frame.stamp.trade)
            };
            let closed: Vec<u32> = trades(EventKind::PositionClose).collect();
            let last = trades(EventKind::PositionOpen).find(|trade| !closed.contains(trade));
            let is_of_it = |frame: &&Frame| Some(frame.stamp.trade) == last;
            let expected: Vec<&Frame> = full.trace.iter().filter(is_of_it).collect();
            check(fill, &left.trace, &expected);
            assert!(left.kept.is_empty() && left.ledger.balances());
            assert_eq!(left.ledger.attempted, full.ledger.attempted);
            assert_eq!(left.ledger.dropped_at_cap, 0);
            open += expected.len();
        }
    }
    assert!(open > 20, "{open} events of open positions");
}

/// The trades of a full trace in order of closing.
fn closed(full: &[Frame]) -> Vec<(&Frame, PositionClose)> {
    let close = |frame| match frame {
        Frame {
            payload: AnyPayload::PositionClose(close),
            ..
        } => Some(close),
        _ => None,
    };
    full.iter()
        .filter_map(|frame| Some((frame, close(*frame)?)))
        .collect()
}

#[test]
fn kept_trades_have_every_event_of_the_full_trace_however_they_are_run() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let full = run(folder.path(), "next_open", "retention_policy: full\n", &[]);
    let condition = "pnl < -2000 and bars_held > 5 or mfe > 0.12";
    let keep = format!("keep: {{last: 3, best: 2, worst: 4, where: '{condition}'}}");
    let condition = Condition::parse(condition).expect("a condition");
    let mut streamed = 0;
    for (trace, arguments) in [
        (format!("trace: {{{keep}}}\n"), vec![]),
        (
            format!("trace: {{{keep}, compression: zstd}}\nstore_trades: true\n"),
            vec!["--threads", "1", "--memory-budget", "16MiB"],
        ),
    ] {
        let left = run(folder.path(), "next_open", &trace, &arguments);
        for (left, full) in left.iter().zip(&full) {
            let closed = closed(&full.trace);
            let is_asked =
                |(frame, close): &&(&Frame, PositionClose)| condition.holds(&frame.stamp, close);
            let trades = |closed: Vec<&(&Frame, PositionClose)>| -> Vec<u32> {
                closed.iter().map(|(frame, _)| frame.stamp.trade).collect()
            };
            let asked = trades(closed.iter().filter(is_asked).collect());
            let of = |trade: u32| {
                full.trace
                    .iter()
                    .filter(move |frame| frame.stamp.trade == trade)
            };
            let kept: Vec<&Frame> = asked.iter().flat_map(|trade| of(*trade)).collect();
            check("where", &left.kept, &kept);
            streamed += asked.len();
            let mut sorted: Vec<&(&Frame, PositionClose)> = closed.iter().collect();
            sorted.sort_by(|one, other| one.1.pnl.total_cmp(&other.1.pnl));
            let worst = trades(sorted.iter().copied().take(4).collect());
            let best = trades(sorted.iter().rev().copied().take(2).collect());
            let last = trades(closed.iter().rev().take(3).collect());
            let sets = [worst, best, last].concat();
            let all = trades(closed.iter().collect());
            let is_left = |frame: &&Frame| {
                let trade = frame.stamp.trade;
                let is_in_set = sets.contains(&trade) && !asked.contains(&trade);
                trade != 0 && (is_in_set || !all.contains(&trade))
            };
            // A trade that was rejected or never filled has ended too.
            let is_opened = |frame: &&Frame| {
                of(frame.stamp.trade).any(|one| one.payload.kind() == EventKind::PositionOpen)
            };
            let trace = full.trace.iter().filter(is_left).filter(is_opened);
            check("sets", &left.trace, &trace.collect::<Vec<_>>());
            let retained = (left.kept.len() + left.trace.len()) as u64;
            assert_eq!(
                (left.ledger.retained, left.ledger.dropped_at_cap),
                (retained, 0)
            );
            assert!(left.ledger.balances());
            assert_eq!(left.ledger.attempted, full.ledger.attempted);
        }
    }
    assert!(streamed > 20, "{streamed}");
}
