//! `admf explain`: a trade's story is that trade, from the archive or from a replay, in every kind
//! of run.
//!
//! Longer than other files by a line: every kind of run has its own workflow here.

mod random;

use admf::segment::ArchiveReader;
use admf::story::{Gatherer, Story, sentence};
use admf_formats::archive::ChunkKind;
use admf_formats::event::{AnyPayload, ExitReason};
use admf_formats::report::event_payload;
use random::{Case, Random};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::atomic::AtomicBool;

fn admf(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_admf"))
        .args(arguments)
        .output()
        .expect("the program starts")
}

/// Runs a workflow over the bundled data; its results directory.
fn run(folder: &Path, name: &str, text: &str) -> PathBuf {
    run_on(folder, name, "", text)
}

/// Runs it with more keys of `data`.
fn run_on(folder: &Path, name: &str, keys: &str, text: &str) -> PathBuf {
    let data = Path::new(env!("CARGO_MANIFEST_DIR"));
    let data = data.join("examples/data/sp500_daily_2000_2020.csv");
    let file = folder.join(format!("{name}.yaml"));
    let text = format!(
        "results_dir: {name}\ndata: {{path: {}, symbols: [SP500]{keys}}}\n{text}",
        data.display()
    );
    std::fs::write(&file, text).expect("writable");
    let root = folder.join("results");
    let out = admf(&[
        "run",
        "-q",
        "--results-root",
        &root.to_string_lossy(),
        &file.to_string_lossy(),
    ]);
    let errors = String::from_utf8_lossy(&out.stderr);
    assert!(out.status.success(), "{name}: {errors}");
    root.join(name)
}

fn explain(results: &Path, arguments: &str) -> Output {
    let results = results.to_string_lossy();
    let mut all = vec!["explain", &results];
    all.extend(arguments.split_whitespace());
    admf(&all)
}

/// The story as JSON, valid against its schema.
fn story(results: &Path, arguments: &str) -> Value {
    let out = explain(results, &format!("{arguments} --json"));
    let errors = String::from_utf8_lossy(&out.stderr).into_owned();
    assert_eq!(out.status.code(), Some(0), "{arguments}: {errors}");
    let story: Value = serde_json::from_slice(&out.stdout).expect("JSON");
    check_schema(&story);
    story
}

fn check_schema(story: &Value) {
    let schema = Path::new(env!("CARGO_MANIFEST_DIR")).join("formats/schema/story.schema.json");
    let schema: Value = serde_json::from_slice(&std::fs::read(schema).expect("a schema"))
        .expect("a schema is JSON");
    jsonschema::draft202012::meta::validate(&schema).expect("a schema");
    let validator = jsonschema::draft202012::new(&schema).expect("a schema");
    let errors: Vec<String> = validator
        .iter_errors(story)
        .map(|error| format!("{}: {error}", error.instance_path()))
        .collect();
    assert!(errors.is_empty(), "{errors:?}");
    let mut extended = story.clone();
    extended["not_in_the_schema"] = Value::Null;
    assert!(!validator.is_valid(&extended));
}

/// Every closed trade of a container in the archive, by number: what `admf-tools trades` prints.
fn trades(traces: &Path, container: u64) -> BTreeMap<u32, Value> {
    let archive = ArchiveReader::open(&traces.join("archive_00000.admf")).expect("an archive");
    let slot = archive
        .slot(container)
        .expect("readable")
        .expect("committed");
    let mut trades = BTreeMap::new();
    for kind in [ChunkKind::Trades, ChunkKind::Kept, ChunkKind::Trace] {
        archive
            .frames(&slot, kind, |frame| {
                if matches!(frame.payload, AnyPayload::PositionClose(_)) {
                    let payload = event_payload(&frame.stamp, &frame.payload);
                    trades.insert(frame.stamp.trade, payload);
                }
                Ok(())
            })
            .expect("sound frames");
    }
    trades
}

const CROSSOVER: &str = "strategy: {name: sma_crossover, parameters: {fast: 20, slow: [60, 100]}}\n\
                         execution: {commission: {rate: 0.001}, slippage: {rate: 0.0005}}\n";

/// The story of every trade has the figures that were kept, wherever it comes from.
fn check(results: &Path, phase: &str, container: u64, source: &str) -> usize {
    let folder = results.join(phase);
    let trades = trades(&folder.join("traces"), container);
    for (trade, payload) in &trades {
        let arguments = format!("--container {} --trade {trade}", container + 1);
        let story = story(results, &arguments);
        assert_eq!(&story["close"], payload, "trade {trade}");
        assert_eq!(story["source"], source, "{}", story["replayed_because"]);
        let figures = &story["figures"];
        for key in ["pnl", "commission", "slippage", "borrow", "fills"] {
            assert_eq!(figures[key], payload[key], "{key} of trade {trade}");
        }
        let kinds: Vec<&str> = story["events"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|event| event["event_type"].as_str())
            .collect();
        assert!(
            kinds.contains(&"SIGNAL") && kinds.contains(&"ORDER"),
            "{kinds:?}"
        );
        assert!(kinds.last() == Some(&"POSITION_CLOSE"), "{kinds:?}");
    }
    trades.len()
}

#[test]
fn a_kept_trade_is_told_from_the_archive_and_another_from_a_replay() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let full = "workflow: parameter_sweep\nevent_tracing: all\nretention_policy: full\n";
    let full = run(folder.path(), "full", &format!("{full}{CROSSOVER}"));
    assert!(check(&full, "sweep", 0, "archive") > 10);
    let some =
        "workflow: parameter_sweep\nstore_trades: true\nportfolio: {direction: long_short}\n";
    let some = run(folder.path(), "some", &format!("{some}{CROSSOVER}"));
    assert!(check(&some, "sweep", 1, "replay") > 10);
    let window = "workflow: parameter_sweep\nevent_tracing: all\nretention_policy: sliding_window\n\
                  sliding_window_size: 40\n";
    let window = run(folder.path(), "window", &format!("{window}{CROSSOVER}"));
    // The last trades are whole in the window; what was cut is told by a replay, the same.
    let kept = trades(&window.join("sweep/traces"), 0);
    let sources: Vec<Value> = kept
        .keys()
        .map(|trade| {
            let told = story(&window, &format!("--container 1 --trade {trade}"));
            assert_eq!(&told["close"], &kept[trade]);
            let other = story(&full, &format!("--container 1 --trade {trade}"));
            for key in [
                "events",
                "signals",
                "figures",
                "bars_at_entry",
                "bars_at_exit",
            ] {
                assert_eq!(told[key], other[key], "{key}");
            }
            told["source"].clone()
        })
        .collect();
    assert!(sources.contains(&"archive".into()), "{sources:?}");
}

#[test]
fn trades_that_trace_keep_kept_are_told_from_the_archive_as_the_full_trace_tells_them() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    for (direction, kinds, sources) in [
        // Each trade begins with a signal of its own.
        ("long_only", "all", [20, 0]),
        // A reversal's signal is an event of the trade that it ends, which may not be kept.
        ("long_short", "all", [8, 2]),
        // What lies between two events that were traced may be of the trade.
        (
            "long_only",
            "[SIGNAL, ORDER, FILL, POSITION_CLOSE]",
            [0, 20],
        ),
    ] {
        let name = |kept: &str| format!("{kept}_{direction}_{}", kinds.len());
        let of = |kept: &str, events: &str, lines: &str| {
            let text = format!(
                "workflow: parameter_sweep\nevent_tracing: {events}\n{lines}\
                 portfolio: {{direction: {direction}}}\n{CROSSOVER}"
            );
            run(folder.path(), &name(kept), &text)
        };
        let full = of("full", "all", "retention_policy: full\n");
        let kept = of(
            "kept",
            kinds,
            "trace: {keep: {last: 2, best: 2, worst: 1, where: 'bars_held > 60'}}\n",
        );
        let minimal = of("minimal", "all", "retention_policy: minimal\n");
        let mut counts = [0, 0];
        for container in 0..2 {
            let closed = trades(&full.join("sweep/traces"), container);
            let mut wanted: Vec<(&PathBuf, u32)> = Vec::new();
            let there = trades(&kept.join("sweep/traces"), container);
            wanted.extend(there.keys().map(|trade| (&kept, *trade)));
            // The one that is open at the end is all that `minimal` has.
            let open = closed.len() as u32 + 1;
            let has_open = explain(
                &full,
                &format!("--container {} --trade {open}", container + 1),
            );
            if has_open.status.success() {
                wanted.extend([(&kept, open), (&minimal, open)]);
            }
            for (results, trade) in wanted {
                let arguments = format!("--container {} --trade {trade}", container + 1);
                let (told, other) = (story(results, &arguments), story(&full, &arguments));
                for key in ["state", "close", "events", "signals", "figures", "levels"] {
                    assert_eq!(told[key], other[key], "{key} of {direction} {trade}");
                }
                let is_replayed = told["source"] == "replay";
                counts[usize::from(is_replayed)] += 1;
            }
        }
        println!("{direction} {kinds}: {counts:?} from archive and replay");
        for (count, least) in counts.into_iter().zip(sources) {
            assert!(count >= least, "{direction} {kinds}: {counts:?}");
            assert_eq!(count == 0, least == 0, "{direction} {kinds}: {counts:?}");
        }
    }
}

#[test]
fn a_story_shows_what_the_strategy_saw_and_the_bars_around() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let text = format!("workflow: parameter_sweep\n{CROSSOVER}");
    let results = run(folder.path(), "sweep", &text);
    let story = story(&results, "--container portfolio_001 --trade 2");
    let signal = &story["signals"][0];
    assert_eq!(signal["conditions"], serde_json::json!(["enter_long"]));
    let [fast, slow] = [0, 1].map(|which| &signal["features"][which]);
    assert_eq!(
        (&fast["name"], &fast["parameters"][0]),
        (&"sma".into(), &20.0.into())
    );
    assert_eq!(
        (&slow["name"], &slow["parameters"][0]),
        (&"sma".into(), &60.0.into())
    );
    let value = |feature: &Value, key: &str| feature[key].as_f64().expect("a value");
    assert!(value(fast, "before") < value(slow, "before"));
    assert!(value(fast, "value") > value(slow, "value"));
    // The mean of the closes, from the data itself.
    let data = Path::new(env!("CARGO_MANIFEST_DIR"));
    let data = data.join("examples/data/sp500_daily_2000_2020.csv");
    let text = std::fs::read_to_string(data).expect("the bundled data");
    let closes: Vec<f64> = text
        .lines()
        .skip(1)
        .map(|line| {
            line.split(',')
                .nth(4)
                .expect("a close")
                .parse()
                .expect("a number")
        })
        .collect();
    let bar = signal["bar"].as_u64().expect("a bar") as usize;
    let mean = closes[bar - 19..=bar].iter().sum::<f64>() / 20.0;
    assert!((mean - value(fast, "value")).abs() < 1e-9 * mean);
    let entry = story["bars_at_entry"].as_array().expect("bars");
    assert_eq!(entry.len(), 7);
    assert_eq!(entry[2]["bar"].as_u64(), Some(bar as u64));
    assert_eq!(entry[2]["close"].as_f64(), Some(closes[bar]));

    let text = explain(&results, "--container 1 --trade 2");
    let text = String::from_utf8_lossy(&text.stdout).into_owned();
    for part in [
        "portfolio_001 of sweep, SP500: trade 2, long, closed by signal: ",
        "sma_crossover: fast 20, slow 60",
        "told from a replay: its archive has no event of this trade",
        "holds: enter_long",
        "sma(20)",
        "the bar before",
        "accepted: market, sized at its fill",
        "costs ",
        "against the position",
        "SIGNAL",
    ] {
        assert!(text.contains(part), "{part} is not in\n{text}");
    }
}

#[test]
fn a_reader_that_has_seen_enough_is_no_error() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let text = format!("workflow: parameter_sweep\n{CROSSOVER}");
    let results = run(folder.path(), "sweep", &text);
    for json in [&[] as &[&str], &["--json"]] {
        let mut child = Command::new(env!("CARGO_BIN_EXE_admf"))
            .arg("explain")
            .arg(&results)
            .args(["--container", "1", "--trade", "1"])
            .args(json)
            .stdout(std::process::Stdio::piped())
            .stderr(std::process::Stdio::piped())
            .spawn()
            .expect("the program starts");
        drop(child.stdout.take());
        let out = child.wait_with_output().expect("it ends");
        let errors = String::from_utf8_lossy(&out.stderr).into_owned();
        assert_eq!((out.status.code(), errors.as_str()), (Some(0), ""));
    }
}

#[test]
fn phases_and_windows_have_their_own_trades() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let memory = format!("workflow: train_test_optimization\nresults_storage: memory\n{CROSSOVER}");
    let memory = run(folder.path(), "memory", &memory);
    for phase in ["training", "testing"] {
        let told = story(&memory, &format!("--phase {phase} --container 1 --trade 1"));
        let because = told["replayed_because"]
            .as_str()
            .unwrap_or_default()
            .to_owned();
        assert!(because.contains("results_storage: memory"), "{because}");
        assert_eq!(told["phase"], phase);
    }
    let unnamed = explain(&memory, "--container 1 --trade 1");
    assert_eq!(unnamed.status.code(), Some(2));
    let walk = format!(
        "workflow: walk_forward_optimization\nwalk_forward: {{train: 1500, test: 700, step: 700, unit: bars}}\n\
         store_trades: true\n{CROSSOVER}"
    );
    let walk = run(folder.path(), "walk", &walk);
    let mut told = Vec::new();
    for window in ["1", "3"] {
        let arguments = format!("--phase testing --window {window} --container 1 --trade 1");
        let story = story(&walk, &arguments);
        assert_eq!(story["window"], format!("window_0{window}"));
        told.push(story["close"]["entry_time"].clone());
    }
    assert_ne!(told[0], told[1]);
    let folds = format!(
        "workflow: k_fold_optimization\nk_fold: {{folds: 3}}\nstore_trades: true\n{CROSSOVER}"
    );
    let folds = run(folder.path(), "folds", &folds);
    let second = "--phase training --window 2 --container 1 --trade 1";
    let unnamed = explain(&folds, second);
    let errors = String::from_utf8_lossy(&unnamed.stderr).into_owned();
    assert!(errors.contains("--part, 1 to 2"), "{errors}");
    let [first, last] = [1, 2].map(|part| story(&folds, &format!("{second} --part {part}")));
    let traces = |part: u64| folds.join(format!("training/window_02/part_{part}/traces"));
    assert_eq!(first["close"], trades(&traces(1), 0)[&1]);
    assert_eq!(last["close"], trades(&traces(2), 0)[&1]);
}

#[test]
fn trades_that_never_closed_or_never_opened_have_a_story_too() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let text = format!("workflow: parameter_sweep\n{CROSSOVER}");
    let results = run_on(folder.path(), "open", ", end: 2019-12-01", &text);
    let count = explain(&results, "--container 1 --trade 4000");
    let errors = String::from_utf8_lossy(&count.stderr).into_owned();
    assert_eq!(count.status.code(), Some(2), "{errors}");
    let last = errors
        .trim()
        .rsplit(' ')
        .next()
        .expect("a number")
        .to_owned();
    assert!(
        errors.contains("portfolio_001 has trades 1 to "),
        "{errors}"
    );
    let told = story(&results, &format!("--container 1 --trade {last}"));
    assert_eq!(
        (&told["state"], &told["close"]),
        (&"open".into(), &Value::Null)
    );
    assert!(told["figures"]["pnl"].as_f64().is_some() && told["bars_at_exit"][0].is_null());

    let dear =
        format!("workflow: parameter_sweep\nportfolio: {{sizing: {{quantity: 90}}}}\n{CROSSOVER}");
    let dear = run(folder.path(), "dear", &dear);
    let told = story(&dear, "--container 1 --trade 1");
    assert_eq!(told["state"], "never_opened");
    let events = told["events"].as_array().expect("events");
    let end = &events.last().expect("an event")["payload"];
    assert_eq!(
        (&end["status"], &end["reason"]),
        (&"rejected".into(), &"insufficient_cash".into())
    );
}

#[test]
fn a_failed_container_has_the_trades_it_made() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    // Sells at RSI 70 and waits for an RSI of 1, which never comes; the market doubles.
    let text = "workflow: parameter_sweep\nportfolio: {direction: short_only, sizing: {quantity: 60}}\n\
                strategy: {name: rsi_bands, parameters: {period: 14, oversold: 1, overbought: 70}}\n";
    let results = run(folder.path(), "failed", text);
    let told = story(&results, "--container 1 --trade 1");
    let file = results.join("sweep/containers/portfolio_001_results.json");
    let report: Value =
        serde_json::from_slice(&std::fs::read(file).expect("a result")).expect("JSON");
    assert_eq!(report["status"], "failed");
    assert_eq!(told["failure"], report["failure"]);
    assert_eq!(
        (&told["state"], &told["side"]),
        (&"open".into(), &"short".into())
    );
    let pnl = told["figures"]["pnl"].as_f64().expect("a number");
    let value = report["summary"]["final_value"].as_f64().expect("a number");
    assert!((pnl - (value - 100_000.0)).abs() < 1e-6, "{pnl}, {value}");
}

/// Asks for something that is not there: the exit code, and words of the message.
fn check_refused(results: &Path, arguments: &str, code: i32, words: &str) {
    let out = explain(results, arguments);
    let errors = String::from_utf8_lossy(&out.stderr).into_owned();
    assert_eq!(out.status.code(), Some(code), "{arguments}: {errors}");
    assert!(
        errors.contains(words),
        "{arguments}: {errors} has no {words}"
    );
    assert!(out.stdout.is_empty());
}

#[test]
fn what_is_not_there_is_refused_with_what_there_is() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let text = format!("workflow: parameter_sweep\n{CROSSOVER}");
    let results = run(folder.path(), "sweep", &text);
    check_refused(&results, "--container 3 --trade 1", 2, "containers 1 to 2");
    check_refused(
        &results,
        "--container portfolio_0x --trade 1",
        2,
        "containers 1 to 2",
    );
    check_refused(&results, "--container 1 --trade 0", 2, "trades 1 to");
    check_refused(
        &results,
        "--container 1 --trade 1 --phase best",
        2,
        "one of: sweep",
    );
    check_refused(
        &results,
        "--container 1 --trade 1 --window 2",
        2,
        "no windows",
    );
    check_refused(&results, "--container 1 --trade 1 --part 2", 2, "no parts");
    check_refused(folder.path(), "--container 1 --trade 1", 2, "run.json");
    // Bars of another content are another run.
    let bars = folder.path().join("results/.bars");
    let file = std::fs::read_dir(&bars)
        .expect("bars")
        .next()
        .expect("one")
        .expect("one")
        .path();
    admf(&["synth", "--bars", "2000", "--out", &file.to_string_lossy()]);
    check_refused(&results, "--container 1 --trade 1", 4, "digest");
    std::fs::remove_file(&file).expect("it is there");
    check_refused(&results, "--container 1 --trade 1", 2, ".bars");
}

#[test]
fn results_that_were_moved_with_their_bars_are_explained_from_anywhere() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let text = format!("workflow: parameter_sweep\n{CROSSOVER}");
    let results = run(folder.path(), "sweep", &text);
    let before = story(&results, "--container 2 --trade 1");
    let moved = folder.path().join("elsewhere");
    std::fs::rename(folder.path().join("results"), &moved).expect("the same disk");
    assert_eq!(
        story(&moved.join("sweep"), "--container 2 --trade 1"),
        before
    );
}

/// What the exit's ORDER says of the level that was reached is what the story said at the entry.
fn check_levels(story: &Value, seen: &mut BTreeMap<String, u32>) {
    let orders = story["events"].as_array().into_iter().flatten();
    for order in orders.filter(|event| event["event_type"] == "ORDER") {
        let payload = &order["payload"];
        let exit = payload["exit_reason"].as_u64().unwrap_or_default();
        let (name, level) = match u8::try_from(exit).ok().and_then(ExitReason::from_number) {
            Some(ExitReason::StopLoss) => ("stop_loss", &payload["stop_price"]),
            Some(ExitReason::TakeProfit) => ("take_profit", &payload["limit_price"]),
            Some(ExitReason::TrailingStop) => ("trailing_stop", &payload["stop_price"]),
            _ => continue,
        };
        let mut parts = story["levels"]["scale_out"]
            .as_array()
            .into_iter()
            .flatten();
        if name == "take_profit" && parts.any(|part| &part["price"] == level) {
            *seen.entry("scale_out".to_owned()).or_default() += 1;
            continue;
        }
        *seen.entry(name.to_owned()).or_default() += 1;
        let at_entry = &story["levels"][name];
        if name == "trailing_stop" {
            let (now, then) = (level.as_f64(), at_entry.as_f64());
            let is_nearer = if story["side"] == "long" {
                now >= then
            } else {
                now <= then
            };
            assert!(is_nearer, "{now:?} after {then:?}");
        } else {
            assert_eq!(level, at_entry, "{name}");
        }
    }
}

#[test]
fn the_story_of_any_trade_is_the_one_that_its_events_tell() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (mut seen, mut told) = (BTreeMap::new(), 0);
    for seed in random::seeds(120) {
        let mut random = Random::new(5000 + seed);
        let case = Case::new(&mut random);
        let path = folder.path().join(format!("{seed}.bars"));
        let file = random::write(&random::bars(&mut random, 900), &path);
        let (events, listened) = case.run(&file);
        let last = events
            .iter()
            .map(|(stamp, _)| stamp.trade)
            .max()
            .unwrap_or(0);
        // The first trades, the last ones, and some between.
        for trade in (1..=last).filter(|trade| *trade < 4 || *trade > last - 2 || *trade % 9 == 0) {
            let stop = AtomicBool::new(false);
            let (job, set) = case.job(&file, &stop);
            let mut gatherer = Gatherer::new(trade);
            for (stamp, payload) in &events {
                gatherer.event(stamp, payload);
            }
            let gathered = gatherer.finish(Some(events.len() as u64));
            let own = events
                .iter()
                .filter(|(stamp, _)| stamp.trade == trade)
                .count();
            if own == 0 {
                continue;
            }
            assert!(
                gathered.is_whole,
                "seed {seed}, trade {trade}\n{}",
                case.text
            );
            assert!(gathered.events.len() + gathered.left_out as usize >= own);
            let story = Story {
                container: "portfolio_001".to_owned(),
                phase: "backtest".to_owned(),
                window: None,
                symbol: "X".to_owned(),
                parameters: case.workflow.space.names().map(str::to_owned).collect(),
                job,
                set,
                trade,
                replayed_because: None,
                failure: listened.failure.clone(),
                last_bar: Some(file.bars() - 1),
                told: gathered,
            };
            let report = story.report().expect("sound bars");
            let value = serde_json::to_value(&report).expect("JSON");
            if told % 50 == 0 {
                check_schema(&value);
            }
            told += 1;
            check_levels(&value, &mut seen);
            for (stamp, payload) in &story.told.events {
                assert!(!sentence(stamp, payload).contains("NaN"), "{payload:?}");
            }
            // What a strategy said on the bar of a signal is why there was one.
            for signal in &report.signals {
                assert!(!signal.conditions.is_empty(), "seed {seed}\n{}", case.text);
            }
            let pnl = report.figures.pnl;
            if let (Some((_, close)), Some(pnl)) = (story.told.close, pnl) {
                assert_eq!(pnl.to_bits(), close.pnl.to_bits());
                let moved = 1e-9 * (story.told.entry_value.abs() + 1.0) * f64::from(close.fills);
                assert!((story.told.cash_flow - pnl).abs() <= moved, "{pnl}");
            }
        }
        std::fs::remove_file(&path).expect("it is there");
    }
    assert!(told > 600 && seen.len() == 4, "{told} stories, {seen:?}");
}
