//! The JSON of the results tree is what its golden files and schemas say, byte for byte.
//!
//! Golden files change only on purpose: `ADMF_UPDATE_GOLDEN=1 cargo test --test report_schema`.

use admf::results::{Aggregator, FoldRoom, config_digest};
use admf_formats::event::EventKind;
use admf_formats::report::{
    ContainerReport, PhaseConfig, PhaseSummary, ReportContext, ReportSymbol, RunData, RunReport,
    RunStatus, StorageChange, SymbolWindow, to_json_bytes,
};
use admf_formats::result::{
    EquityTotals, ExecutionTotals, Ledger, ResultRecord, Status, TradeTotals,
};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

fn formats(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("formats")
        .join(path)
}

fn validator(schema: &str) -> jsonschema::Validator {
    let text = std::fs::read(formats("schema").join(format!("{schema}.schema.json"))).unwrap();
    let schema: Value = serde_json::from_slice(&text).unwrap();
    jsonschema::draft202012::meta::validate(&schema).unwrap();
    jsonschema::draft202012::new(&schema).unwrap()
}

/// Compares with the golden file, and validates against the schema.
fn check(golden: &str, schema: &str, bytes: &[u8]) {
    let path = formats("golden").join(golden);
    if std::env::var_os("ADMF_UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, bytes).unwrap();
    }
    let expected = std::fs::read(&path).unwrap();
    assert_eq!(
        String::from_utf8_lossy(bytes),
        String::from_utf8_lossy(&expected),
        "{golden}"
    );
    let value: Value = serde_json::from_slice(bytes).unwrap();
    let validator = validator(schema);
    let errors: Vec<String> = validator
        .iter_errors(&value)
        .map(|error| format!("{}: {error}", error.instance_path()))
        .collect();
    assert!(errors.is_empty(), "{golden}: {errors:?}");
    let mut extended = value;
    extended["not_in_the_schema"] = json!(1);
    assert!(
        !validator.is_valid(&extended),
        "{schema} allows unknown keys"
    );
}

fn context(objective: &str) -> ReportContext {
    ReportContext {
        phase: "training".to_owned(),
        strategy: "sma_crossover".to_owned(),
        parameter_names: vec!["slow".to_owned(), "fast".to_owned()],
        symbols: vec![ReportSymbol {
            symbol: "SPY".to_owned(),
            bars_per_year: 19_656.0,
        }],
        objective: objective.to_owned(),
        containers: 3,
    }
}

/// A container that traded.
fn traded() -> ResultRecord {
    ResultRecord {
        index: 1,
        first_bar: 512,
        events: 90,
        first_ts_ns: 1_711_978_200_000_000_000,
        last_ts_ns: 1_713_556_500_000_000_000,
        status: Status::Completed as u32,
        symbol: 0,
        parameters: [60.0, 12.5, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0],
        equity: EquityTotals {
            bars: 1_001,
            bars_in_market: 400,
            return_sum: 0.05,
            return_square_sum: 0.004,
            downside_square_sum: 0.0015,
            initial: 100_000.0,
            last: 104_900.0,
            peak: 106_000.0,
            drawdown_max: 0.02,
            units: 10.0,
            drawdowns: 12,
            drawdown_sum: 0.06,
            drawdown_bars_max: 310,
        },
        trades: TradeTotals {
            trades: 7,
            winning: 4,
            losing: 2,
            gross_profit: 6_000.0,
            gross_loss: 1_500.0,
            pnl: 4_500.0,
            commission: 210.5,
            pnl_square_sum: 9_250_000.0,
            bars_held: 385,
            mae_sum: 0.07,
            mfe_sum: 0.14,
            mae_max: 0.03,
        },
        execution: ExecutionTotals {
            fills: 15,
            rejected: 1,
            unfilled: 2,
            breaches: 3,
            turnover: 14.5,
            commission: 225.5,
            slippage: 40.25,
            borrow: 4.25,
        },
        ledger: Ledger {
            attempted: 40,
            retained: 5,
            recycled_trade_closed: 30,
            recycled_window: 2,
            dropped_without_trade: 1,
            dropped_at_cap: 2,
        },
    }
}

/// A container that never traded: most of its figures are null.
fn idle() -> ResultRecord {
    ResultRecord {
        index: 0,
        events: 2,
        parameters: [120.0, 5.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0],
        equity: EquityTotals {
            bars: 1_001,
            initial: 100_000.0,
            last: 100_000.0,
            peak: 100_000.0,
            ..EquityTotals::default()
        },
        trades: TradeTotals::default(),
        execution: ExecutionTotals::default(),
        ledger: Ledger::default(),
        ..traded()
    }
}

fn failed() -> ResultRecord {
    ResultRecord {
        index: 2,
        status: Status::Failed as u32,
        ..traded()
    }
}

fn aggregator(objective: &str) -> Aggregator {
    let mut aggregator = Aggregator::new(context(objective), 2).with_percentiles(&[2.5, 50.0]);
    let records = [idle(), traded(), failed()].map(Some);
    let room = FoldRoom {
        threads: 1,
        rows: 3,
    };
    let folded = aggregator.fold(&records[..], 0..3, room);
    folded.expect("nothing can fail");
    aggregator
}

#[test]
fn a_container_is_reported() {
    let context = context("sharpe_ratio");
    for (golden, record) in [
        ("container_completed.json", traded()),
        ("container_idle.json", idle()),
        ("container_failed.json", failed()),
    ] {
        let report = ContainerReport::of(&record, &context, Some("equity_exhausted at bar 700"));
        check(golden, "container", &to_json_bytes(&report));
    }
}

#[test]
fn numbers_that_json_cannot_hold_are_null() {
    let mut record = traded();
    record.equity.return_sum = f64::NAN;
    record.equity.last = f64::INFINITY;
    let report = ContainerReport::of(&record, &context("total_return"), None);
    let value: Value = serde_json::from_slice(&to_json_bytes(&report)).unwrap();
    for name in [
        "sharpe_ratio",
        "sortino_ratio",
        "total_return",
        "objective_value",
    ] {
        assert_eq!(value["metrics"][name], Value::Null, "{name}");
    }
}

#[test]
fn a_phase_is_aggregated() {
    let report = aggregator("sharpe_ratio").report();
    check("aggregate.json", "aggregate", &to_json_bytes(&report));
    let report = aggregator("profit_factor").report();
    check(
        "aggregate_profit_factor.json",
        "aggregate",
        &to_json_bytes(&report),
    );
    let objective = "minimize 0.5*max_drawdown + -1*total_return where total_trades >= 30 and \
                     max_drawdown <= 0.01";
    let report = aggregator(objective).report();
    check(
        "aggregate_constrained.json",
        "aggregate",
        &to_json_bytes(&report),
    );
}

#[test]
fn a_phase_is_summarised() {
    let aggregate = aggregator("sharpe_ratio").report();
    let kinds = [
        EventKind::Fill,
        EventKind::PositionOpen,
        EventKind::PositionClose,
    ];
    let summary = PhaseSummary {
        not_run: None,
        phase: aggregate.phase,
        containers: aggregate.containers,
        failed: aggregate.failed,
        window: vec![SymbolWindow {
            symbol: "SPY".to_owned(),
            bars: 1_001,
            first: admf_formats::units::rfc3339(1_711_978_200_000_000_000),
            last: admf_formats::units::rfc3339(1_713_556_500_000_000_000),
        }],
        metrics_summary: aggregate.aggregate_metrics,
        config: PhaseConfig {
            results_storage: "disk".to_owned(),
            container_results: "auto".to_owned(),
            event_tracing: kinds.map(|kind| kind.name().to_owned()).to_vec(),
            retention_policy: "trade_complete".to_owned(),
            sliding_window_size: None,
            sliding_window: None,
            store_trades: false,
            strategy: "sma_crossover".to_owned(),
            objective: "sharpe_ratio".to_owned(),
            top_n: 2,
            warmup: "history".to_owned(),
            percentiles: vec![5.0, 50.0],
            trace_level: "custom".to_owned(),
            initial_capital: 100_000.0,
        },
    };
    check(
        "phase_summary.json",
        "phase_summary",
        &to_json_bytes(&summary),
    );
}

#[test]
fn a_run_is_described() {
    let config = json!({"workflow": "train_test_optimization", "top_n": 2});
    let run = RunReport {
        skipped: Vec::new(),
        admf: "0.1.0".to_owned(),
        workflow: "train_test_optimization".to_owned(),
        status: RunStatus::Finished,
        config_digest: config_digest(&config),
        config,
        data: vec![RunData {
            symbol: "SPY".to_owned(),
            path: "data/SPY_5m.csv".to_owned(),
            bars: 20_769,
            digest: "00ff".to_owned(),
        }],
        phases: vec!["training".to_owned(), "testing".to_owned()],
        storage_changes: vec![StorageChange {
            phase: "testing".to_owned(),
            from: "memory".to_owned(),
            to: "disk".to_owned(),
            reason: "3 records of 424 bytes do not fit 512 bytes".to_owned(),
        }],
        shard: None,
        threads: 2,
        memory_budget: 67_108_864,
        started: "2024-04-01T00:00:00Z".to_owned(),
        finished: Some("2024-04-01T00:00:09Z".to_owned()),
    };
    let bytes = to_json_bytes(&run);
    check("run.json", "run", &bytes);
    assert_eq!(serde_json::from_slice::<RunReport>(&bytes).unwrap(), run);
}
