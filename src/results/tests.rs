use super::*;
use admf_formats::report::{Metrics, ReportContext, ReportSymbol};
use admf_formats::result::{EquityTotals, ExecutionTotals, Ledger, ResultRecord, TradeTotals};
use proptest::prelude::*;
use serde_json::json;

fn plan(fast: u64) -> RunPlan {
    RunPlan {
        workflow: "parameter_sweep".to_owned(),
        config: json!({"fast": fast}),
        data: vec![RunData {
            symbol: "SPY".to_owned(),
            path: "data/SPY.csv".to_owned(),
            bars: 10,
            digest: "aa".to_owned(),
        }],
        phases: vec!["sweep".to_owned()],
        shard: None,
        threads: 2,
        memory_budget: 1 << 26,
    }
}

fn message(result: Result<(RunDir, Existing)>) -> String {
    result.expect_err("it is refused").to_string()
}

#[test]
fn a_run_is_resumed_until_it_is_finished() {
    let root = tempfile::tempdir().unwrap();
    let (mut run, existing) = RunDir::open(root.path(), "one", plan(5), false).unwrap();
    assert_eq!(existing, Existing::None);
    run.note_storage_change("sweep", "no room").unwrap();
    drop(run);
    let other_machine = RunPlan {
        threads: 8,
        memory_budget: 1,
        ..plan(5)
    };
    let (run, existing) = RunDir::open(root.path(), "one", other_machine, false).unwrap();
    assert_eq!(existing, Existing::Resume);
    assert_eq!((run.run().threads, run.run().storage_changes.len()), (8, 1));
    run.close(RunStatus::Interrupted).unwrap();
    let (run, existing) = RunDir::open(root.path(), "one", plan(5), false).unwrap();
    assert_eq!(existing, Existing::Resume);
    run.close(RunStatus::Finished).unwrap();
    let (run, existing) = RunDir::open(root.path(), "one", plan(5), false).unwrap();
    assert_eq!(existing, Existing::Finished);
    assert!(run.run().finished.is_some());
}

#[test]
fn another_run_is_refused_with_both_digests() {
    let root = tempfile::tempdir().unwrap();
    drop(RunDir::open(root.path(), "one", plan(5), false).unwrap());
    let text = message(RunDir::open(root.path(), "one", plan(6), false));
    for part in [
        &config_digest(&plan(5).config),
        &config_digest(&plan(6).config),
        "--fresh",
    ] {
        assert!(text.contains(part), "{text}");
    }
    let mut other = plan(5);
    other.data[0].digest = "bb".to_owned();
    let text = message(RunDir::open(root.path(), "one", other, false));
    assert!(
        text.contains("SPY: aa") && text.contains("SPY: bb"),
        "{text}"
    );
}

#[test]
fn two_processes_do_not_share_a_directory() {
    let root = tempfile::tempdir().unwrap();
    let held = RunDir::open(root.path(), "one", plan(5), false).unwrap();
    for fresh in [false, true] {
        let text = message(RunDir::open(root.path(), "one", plan(5), fresh));
        assert!(text.contains("another admf process"), "{text}");
    }
    drop(held);
    assert!(RunDir::open(root.path(), "one", plan(5), false).is_ok());
}

#[test]
fn a_directory_of_someone_else_is_left_alone() {
    let root = tempfile::tempdir().unwrap();
    let notes = root.path().join("one/notes.txt");
    fs::create_dir(root.path().join("one")).unwrap();
    fs::write(&notes, "mine").unwrap();
    for fresh in [false, true] {
        let text = message(RunDir::open(root.path(), "one", plan(5), fresh));
        assert!(text.contains("notes.txt"), "{text}");
    }
    fs::rename(&notes, root.path().join("one/.run.json.tmp")).unwrap();
    let (_, existing) = RunDir::open(root.path(), "one", plan(5), false).unwrap();
    assert_eq!(existing, Existing::None);
}

#[test]
fn a_fresh_start_removes_what_the_run_made_and_nothing_else() {
    let root = tempfile::tempdir().unwrap();
    let outside = root.path().join("outside");
    fs::create_dir(&outside).unwrap();
    let mut hostile = plan(5);
    hostile.phases = ["../outside", "/", ".", "", "own"]
        .map(str::to_owned)
        .to_vec();
    let (run, _) = RunDir::open(root.path(), "one", hostile, false).unwrap();
    for phase in ["own", "sweep"] {
        run.phase(phase, Some(1)).create().unwrap();
    }
    let own = run.path().join("own");
    let notes = run.path().join("notes.txt");
    fs::write(&notes, "mine").unwrap();
    drop(run);
    let (run, existing) = RunDir::open(root.path(), "one", plan(6), true).unwrap();
    assert_eq!(existing, Existing::None);
    assert!(outside.exists() && notes.exists());
    assert!(!own.exists() && !run.path().join("sweep").exists());
    assert_eq!(run.run().config, plan(6).config);
}

#[test]
fn results_stay_under_their_root_and_errors_name_the_path() {
    let root = tempfile::tempdir().unwrap();
    for wrong in ["", ".", "..", "../x", "/x", "a/../../x"] {
        let text = message(RunDir::open(root.path(), wrong, plan(5), false));
        assert!(text.contains("--results-root"), "{wrong}: {text}");
    }
    let file = root.path().join("file");
    fs::write(&file, "").unwrap();
    let text = message(RunDir::open(&file, "one", plan(5), false));
    assert!(
        text.contains("file/one: cannot create results directory"),
        "{text}"
    );
    fs::create_dir(root.path().join("two")).unwrap();
    fs::write(root.path().join("two/run.json"), "{").unwrap();
    let text = message(RunDir::open(root.path(), "two", plan(5), true));
    assert!(text.contains("no run.json of this version"), "{text}");
}

#[test]
fn a_file_is_replaced_whole_and_leaves_no_temporary_one() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("a.json");
    for (bytes, durability) in [("one", Durability::Process), ("2", Durability::Machine)] {
        write_atomic(&path, bytes.as_bytes(), durability).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), bytes);
    }
    assert_eq!(fs::read_dir(root.path()).unwrap().count(), 1);
    fs::create_dir(root.path().join("folder")).unwrap();
    assert!(write_atomic(&root.path().join("folder"), b"x", Durability::Process).is_err());
    assert_eq!(fs::read_dir(root.path()).unwrap().count(), 2);
}

#[test]
fn a_phase_has_its_files_where_the_tree_says() {
    let root = tempfile::tempdir().unwrap();
    let (run, _) = RunDir::open(root.path(), "one", plan(5), false).unwrap();
    let phase = run.phase("training", Some(3));
    phase.create().unwrap();
    let below = |path: PathBuf| path.strip_prefix(run.path()).unwrap().display().to_string();
    assert_eq!(
        below(phase.container("portfolio_001")),
        "training/window_03/containers/portfolio_001_results.json"
    );
    assert_eq!(
        below(phase.aggregate()),
        "training/window_03/aggregate_results.json"
    );
    assert_eq!(
        below(run.phase("sweep", None).summary()),
        "sweep/phase_summary.json"
    );
    assert!(phase.traces().is_dir() && phase.containers().is_dir());
}

fn record(index: u64, completed: bool, trades: u64, pnl: f64) -> ResultRecord {
    ResultRecord {
        index,
        first_bar: 0,
        events: 0,
        first_ts_ns: 0,
        last_ts_ns: 0,
        status: if completed { 1 } else { 2 },
        symbol: 0,
        parameters: [index as f64; 8],
        equity: EquityTotals {
            bars: 10,
            initial: 100.0,
            last: 100.0 + pnl,
            peak: 100.0 + pnl.max(0.0),
            drawdown_max: (-pnl).max(0.0) / 100.0,
            ..EquityTotals::default()
        },
        trades: TradeTotals {
            trades,
            winning: trades / 2,
            gross_profit: pnl,
            gross_loss: (trades / 2) as f64,
            pnl,
            ..TradeTotals::default()
        },
        execution: ExecutionTotals::default(),
        ledger: Ledger::default(),
    }
}

/// Folds records that are each at the place of their index.
fn fold(aggregator: &mut Aggregator, records: &[ResultRecord], threads: usize, rows: u64) {
    let table: Vec<Option<ResultRecord>> = records.iter().copied().map(Some).collect();
    let folded = aggregator.fold(
        &table[..],
        0..table.len() as u64,
        FoldRoom { threads, rows },
    );
    folded.expect("a table is read without fail");
}

proptest! {
    #[test]
    fn the_aggregate_is_that_of_a_full_sort(
        rows in prop::collection::vec((prop::bool::weighted(0.9), 0..6_u64, -4..4_i8), 0..120),
        top_n in 0..12_u64,
        objective in prop::sample::select(Metrics::OBJECTIVES.to_vec()),
        rest in prop::sample::select(vec!["", " + 2*max_drawdown", " + -1*profit_factor"]),
        is_minimized in any::<bool>(),
        trades_min in 0..7_u64,
    ) {
        let records: Vec<ResultRecord> = rows
            .iter()
            .enumerate()
            .map(|(at, (completed, trades, pnl))| {
                record(at as u64, *completed, *trades, f64::from(*pnl))
            })
            .collect();
        let context = ReportContext {
            phase: "sweep".to_owned(),
            strategy: "sma_crossover".to_owned(),
            parameter_names: vec!["fast".to_owned()],
            symbols: vec![ReportSymbol { symbol: "SPY".to_owned(), bars_per_year: 252.0 }],
            objective: format!(
                "{}3*{objective}{rest} where total_trades >= {trades_min} and total_return <= 0.03",
                if is_minimized { "minimize " } else { "" },
            ),
            containers: records.len() as u64,
        };
        let mut aggregator = Aggregator::new(context.clone(), top_n);
        fold(&mut aggregator, &records, 2, 1000);

        let completed: Vec<&ResultRecord> = records.iter().filter(|one| one.status == 1).collect();
        let value = |one: &ResultRecord| -> Option<f64> {
            let metrics = Metrics::of(one, 252.0);
            let more = match rest {
                "" => Some(0.0),
                " + 2*max_drawdown" => Some(2.0 * metrics.max_drawdown),
                _ => metrics.profit_factor.map(|factor| -factor),
            };
            Some(3.0 * metrics.get(objective)? + more?)
        };
        let sign = if is_minimized { -1.0 } else { 1.0 };
        let key =
            |one: &ResultRecord| value(one).map_or(f64::NEG_INFINITY, |number| sign * number + 0.0);
        let meets = |one: &ResultRecord| {
            one.trades.trades >= trades_min && one.equity.last / one.equity.initial - 1.0 <= 0.03
        };
        let mut sorted = completed.clone();
        sorted.sort_by(|left, right| {
            let met_first = meets(right).cmp(&meets(left));
            met_first
                .then(key(right).total_cmp(&key(left)))
                .then(left.index.cmp(&right.index))
        });
        let met = completed.iter().filter(|one| meets(one)).count();
        let expected_best = sorted.first().filter(|one| meets(one)).and_then(|one| value(one));
        prop_assert_eq!(aggregator.metrics().best_objective, expected_best);
        prop_assert_eq!(aggregator.unmet().is_some(), met == 0 && !completed.is_empty());
        sorted.truncate(top_n as usize);
        let expected: Vec<u64> =
            sorted.iter().filter(|one| meets(one)).map(|one| one.index).collect();
        let actual: Vec<u64> = aggregator.best().map(|one| one.index).collect();
        prop_assert_eq!(actual, expected);

        let report = aggregator.report();
        prop_assert_eq!(report.containers, records.len() as u64);
        prop_assert_eq!(report.completed, completed.len() as u64);
        prop_assert_eq!(report.excluded, (completed.len() - met) as u64);
        let few = completed.iter().filter(|one| one.trades.trades < trades_min).count();
        prop_assert_eq!(report.result_constraints[0].missed, few as u64);
        let trades: u64 = completed.iter().map(|one| one.trades.trades).sum();
        prop_assert_eq!(report.total_trades, trades);
        let rates: Vec<f64> =
            completed.iter().filter_map(|one| Metrics::of(one, 252.0).win_rate).collect();
        let mean = (!rates.is_empty()).then(|| rates.iter().sum::<f64>() / rates.len() as f64);
        prop_assert_eq!(report.aggregate_metrics.avg_win_rate, mean);
        let best: Vec<String> = report.best.iter().map(|one| one.container.clone()).collect();
        let names: Vec<String> = sorted.iter().map(|one| context.container_id(one)).collect();
        prop_assert_eq!(best, names);
    }
}

#[test]
fn the_best_objective_is_told_even_if_no_container_is_listed() {
    let context = ReportContext {
        phase: "sweep".to_owned(),
        strategy: String::new(),
        parameter_names: Vec::new(),
        symbols: vec![ReportSymbol {
            symbol: "SPY".to_owned(),
            bars_per_year: 252.0,
        }],
        objective: "total_pnl".to_owned(),
        containers: 2,
    };
    let mut aggregator = Aggregator::new(context, 0);
    let records = [record(0, true, 1, 1.0), record(1, true, 1, 3.0)];
    fold(&mut aggregator, &records, 1, 0);
    assert_eq!(aggregator.metrics().best_objective, Some(3.0));
    assert_eq!(aggregator.best().len(), 0);
}

/// The statistics of one metric by sorting all of its values.
fn sorted_statistics(values: &mut [f64], percent: f64) -> (f64, Option<f64>) {
    values.sort_by(f64::total_cmp);
    let count = values.len() as f64;
    let mean = values.iter().sum::<f64>() / count;
    let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
    // The smallest value that has at least so many percent at or below it.
    let nearest = values.iter().find(|value| {
        let below = values.iter().filter(|other| other <= value).count() as f64;
        below * 100.0 >= percent * count
    });
    ((squares / (count - 1.0)).sqrt(), nearest.copied())
}

#[test]
fn the_percentiles_of_a_hundred_values_are_those_values() {
    let context = ReportContext {
        phase: "sweep".to_owned(),
        strategy: String::new(),
        parameter_names: Vec::new(),
        symbols: Vec::new(),
        objective: "total_pnl".to_owned(),
        containers: 100,
    };
    let percents: Vec<f64> = (1..=100).map(f64::from).collect();
    let mut aggregator = Aggregator::new(context, 1).with_percentiles(&percents);
    // 37 and 100 have no common divisor: each value from 1 to 100 once, in no order.
    let records: Vec<ResultRecord> = (0..100)
        .map(|at| record(at, true, 1, (at * 37 % 100 + 1) as f64))
        .collect();
    fold(&mut aggregator, &records, 1, 100);
    let report = aggregator.report().statistics;
    let found = report.0.iter().find(|one| one.metric == "total_pnl");
    for percentile in &found.unwrap().percentiles {
        assert_eq!(percentile.value, Some(percentile.percent));
    }
}

proptest! {
    #[test]
    fn statistics_are_those_of_sorted_values(
        pnls in prop::collection::vec(
            prop_oneof![-1e3..1e3_f64, Just(0.0), Just(-0.0), Just(5.0), -1e-300..1e-300_f64, any::<i32>().prop_map(f64::from)],
            0..400,
        ),
        percent in prop_oneof![(1..=100_u8).prop_map(f64::from), 0.01..100.0_f64],
        rows in prop_oneof![Just(0_u64), 1..9_u64, Just(1_000)],
        threads in 1..4_usize,
    ) {
        let records: Vec<ResultRecord> = pnls
            .iter()
            .enumerate()
            // Every seventh failed: it counts nowhere.
            .map(|(at, pnl)| record(at as u64, at % 7 != 6, 3, *pnl))
            .collect();
        let context = ReportContext {
            phase: "sweep".to_owned(),
            strategy: String::new(),
            parameter_names: Vec::new(),
            symbols: vec![ReportSymbol { symbol: "SPY".to_owned(), bars_per_year: 252.0 }],
            objective: "minimize 2*total_pnl".to_owned(),
            containers: records.len() as u64,
        };
        let mut aggregator = Aggregator::new(context, 1).with_percentiles(&[percent]);
        fold(&mut aggregator, &records, threads, rows);
        let mut values: Vec<f64> = records
            .iter()
            .filter(|one| one.status == 1)
            .map(|one| one.trades.pnl)
            .collect();
        let report = aggregator.report().statistics;
        let found = report.0.iter().find(|one| one.metric == "total_pnl").unwrap();
        prop_assert_eq!(found.count, values.len() as u64);
        if !values.is_empty() {
            let (deviation, nearest) = sorted_statistics(&mut values, percent);
            prop_assert_eq!(found.percentiles[0].value, nearest);
            prop_assert_eq!(found.min, values.first().copied());
            prop_assert_eq!(found.max, values.last().copied());
            if values.len() > 1 {
                let allowed = 1e-9 * values.iter().fold(1.0, |most: f64, one| most.max(one.abs()));
                prop_assert!((found.std.unwrap() - deviation).abs() <= allowed);
            }
            prop_assert_eq!(report.0[0].metric.as_str(), "objective");
            prop_assert_eq!(report.0[0].min, values.first().map(|least| 2.0 * least));
        } else {
            prop_assert_eq!((found.mean, found.percentiles[0].value), (None, None));
        }
    }
}
