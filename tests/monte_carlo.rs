//! Promises of Monte Carlo simulations and of gates between phases, shown on the program itself.

use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

const SWEEP: &str =
    "strategy: {name: sma_crossover, parameters: {fast: [5, 20, 50], slow: [60, 120, 200]}}";
const METHODS: [&str; 3] = [
    "{method: block_bootstrap, paths: 200, seed: 7, block: 30}",
    "{method: trade_reshuffle, paths: 200, seed: 7}",
    "{method: price_noise, paths: 20, seed: 7, noise: 0.3}",
];

fn data() -> String {
    let file =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/data/sp500_daily_2000_2020.csv");
    format!("data: {{path: '{}', symbols: [SP500]}}", file.display())
}

fn admf(lines: &str, folder: &Path, more: &[&str]) -> Output {
    let file = folder.join("w.yaml");
    let text = format!("{lines}\nresults_dir: r\n{}\n", data());
    std::fs::write(&file, text).expect("writable");
    Command::new(env!("CARGO_BIN_EXE_admf"))
        .arg("run")
        .arg(&file)
        .arg("--results-root")
        .arg(folder)
        .args(more)
        .output()
        .expect("the program starts")
}

/// Runs what must succeed; gives the results directory and what was printed.
fn run(lines: &str, folder: &Path, more: &[&str]) -> (PathBuf, String) {
    let out = admf(lines, folder, more);
    let message = String::from_utf8_lossy(&out.stderr);
    assert!(out.status.success(), "{message}");
    let printed = String::from_utf8_lossy(&out.stdout).into_owned();
    (folder.join("r"), printed)
}

fn bytes(path: &Path) -> Vec<u8> {
    std::fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn json(path: &Path) -> Value {
    serde_json::from_slice(&bytes(path)).expect("valid JSON")
}

fn check_schema(schema: &str, value: &Value) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("formats/schema")
        .join(format!("{schema}.schema.json"));
    let validator = jsonschema::draft202012::new(&json(&file)).expect("a valid schema");
    let errors: Vec<String> = validator
        .iter_errors(value)
        .map(|error| format!("{}: {error}", error.instance_path()))
        .collect();
    assert!(errors.is_empty(), "{schema}: {errors:?}");
}

fn close(value: &Value, expected: f64, what: &str) {
    let value = value.as_f64().expect(what);
    let allowed = 1e-9 * expected.abs().max(1.0);
    assert!(
        (value - expected).abs() < allowed,
        "{what}: {value}, {expected}"
    );
}

/// The paths of one method in a folder of their own.
fn paths(method: &str, more: &[&str]) -> (tempfile::TempDir, Vec<u8>) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let lines = format!("workflow: monte_carlo\nmonte_carlo: {method}\n{SWEEP}");
    let (results, _) = run(&lines, folder.path(), more);
    let report = bytes(&results.join("monte_carlo_results.json"));
    (folder, report)
}

#[test]
fn the_seed_alone_decides_the_paths() {
    for method in METHODS {
        let (_one, single) = paths(method, &["--threads", "1"]);
        let (_two, double) = paths(method, &["--threads", "2"]);
        assert_eq!(single, double, "{method}");
        let (_other, other) = paths(&method.replace("seed: 7", "seed: 8"), &[]);
        let (single, other): (Value, Value) = (
            serde_json::from_slice(&single).expect("JSON"),
            serde_json::from_slice(&other).expect("JSON"),
        );
        let drawdown = |report: &Value| report["statistics"]["max_drawdown"]["mean"].clone();
        assert_ne!(drawdown(&single), drawdown(&other), "{method}");
    }
}

#[test]
fn a_simulation_tells_the_best_container_and_its_paths() {
    for method in METHODS {
        let (folder, report) = paths(method, &[]);
        let report: Value = serde_json::from_slice(&report).expect("JSON");
        check_schema("monte_carlo", &report);
        let aggregate = json(&folder.path().join("r/backtest/aggregate_results.json"));
        let best = &aggregate["best"][0];
        assert_eq!(report["source"]["container"], best["container"]);
        let statistics = &report["statistics"];
        let metrics = &best["metrics"];
        let original = |metric: &str| &statistics[metric]["original"];
        if method.contains("trade_reshuffle") {
            assert_eq!(report["returns"], metrics["total_trades"]);
            // What was closed, without a position that is open at the end.
            let pnl = metrics["total_pnl"].as_f64().expect("a number");
            close(original("final_value"), 100_000.0 + pnl, method);
            // Another order makes the same of the capital, but on another way.
            close(&statistics["final_value"]["mean"], 100_000.0 + pnl, method);
            assert_ne!(
                statistics["max_drawdown"]["min"],
                statistics["max_drawdown"]["max"]
            );
        } else {
            for metric in ["total_return", "max_drawdown", "sharpe_ratio"] {
                close(
                    original(metric),
                    metrics[metric].as_f64().expect("a number"),
                    metric,
                );
            }
            close(
                original("final_value"),
                metrics["current_value"].as_f64().expect("a number"),
                method,
            );
        }
        for (metric, values) in statistics.as_object().expect("metrics") {
            assert_eq!(values["count"], report["paths"], "{metric}");
            let order = ["5", "25", "50", "75", "95"].map(|percent| {
                values["percentiles"][percent]
                    .as_f64()
                    .expect("a percentile")
            });
            assert!(order.is_sorted(), "{metric}: {order:?}");
            let end = |key: &str| values[key].as_f64().expect("a number");
            assert!(end("min") <= order[0] && order[4] <= end("max"), "{metric}");
        }
    }
}

#[test]
fn a_simulation_of_a_walk_forward_draws_from_the_stitched_curve() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    for method in ["block_bootstrap", "trade_reshuffle", "price_noise"] {
        let lines = format!(
            "workflow: monte_carlo\nmonte_carlo: {{inside: walk_forward, method: {method}, paths: 20}}\n\
             walk_forward: {{train: 1500, test: 700, step: 700, unit: bars}}\n{SWEEP}"
        );
        let (results, _) = run(&lines, folder.path(), &["--fresh"]);
        let report = json(&results.join("monte_carlo_results.json"));
        check_schema("monte_carlo", &report);
        assert_eq!(report["source"]["kind"], "out_of_sample");
        assert_eq!(report["sequence"][0], "monte_carlo");
        let curve = &json(&results.join("walk_forward_results.json"))["out_of_sample"];
        let metrics = &curve["metrics"];
        if method == "trade_reshuffle" {
            assert_eq!(report["returns"], metrics["total_trades"]);
        } else {
            assert_eq!(report["returns"], curve["bars"]);
            for metric in ["total_return", "max_drawdown", "sharpe_ratio"] {
                let original = &report["statistics"][metric]["original"];
                assert_eq!(original, &metrics[metric], "{metric}");
            }
        }
    }
}

#[test]
fn a_thousand_paths_fit_64_mib() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let lines = format!("workflow: monte_carlo\nmemory_budget: 64MiB\n{SWEEP}");
    let (_, printed) = run(&lines, folder.path(), &["--json", "--threads", "2"]);
    let printed: Value = serde_json::from_str(&printed).expect("JSON");
    assert_eq!(printed["monte_carlo"]["paths"], 1000);
    let peak = printed["peak_memory_bytes"].as_u64().expect("bytes");
    assert!(peak < 64 << 20, "{peak}");
}

#[test]
fn a_shut_gate_ends_the_run_with_its_reason() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let lines = format!("workflow: train_test_optimization\n{SWEEP}\n");
    let gated = |gate: &str| format!("{lines}gates: {{training: {gate}}}");
    let (results, printed) = run(
        &gated("{min_sharpe: 50, max_drawdown: 0.9, min_trades: 1}"),
        folder.path(),
        &[],
    );
    let report = json(&results.join("run.json"));
    check_schema("run", &report);
    assert_eq!(report["status"], "finished");
    let skipped = &report["skipped"][0];
    assert_eq!(skipped["phase"], "testing");
    let reason = skipped["reason"].as_str().expect("a reason");
    assert!(reason.contains("sharpe_ratio >= 50 is missed"), "{reason}");
    assert!(
        !reason.contains("drawdown"),
        "only what is missed: {reason}"
    );
    assert!(printed.contains(reason), "{printed}");
    let summary = json(&results.join("testing/phase_summary.json"));
    check_schema("phase_summary", &summary);
    assert_eq!(
        (&summary["not_run"], &summary["containers"]),
        (&skipped["reason"], &0.into())
    );
    assert!(!results.join("testing/aggregate_results.json").exists());

    // An open gate changes nothing.
    let (results, _) = run(
        &gated("{min_sharpe: -50, min_trades: 1}"),
        folder.path(),
        &["--fresh"],
    );
    assert!(json(&results.join("run.json")).get("skipped").is_none());
    let tested = bytes(&results.join("testing/aggregate_results.json"));
    let (results, _) = run(&lines, folder.path(), &["--fresh"]);
    assert_eq!(
        tested,
        bytes(&results.join("testing/aggregate_results.json"))
    );
}

#[test]
fn gates_hold_for_each_window() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let lines = format!(
        "workflow: walk_forward_optimization\n{SWEEP}\n\
         walk_forward: {{train: 1000, test: 500, step: 500, unit: bars}}\n"
    );
    let (results, _) = run(&lines, folder.path(), &[]);
    let open = json(&results.join("walk_forward_results.json"));
    let objectives: Vec<f64> = open["window_results"]
        .as_array()
        .expect("windows")
        .iter()
        .map(|window| window["chosen"][0]["in_sample"]["sharpe_ratio"].as_f64())
        .map(|sharpe| sharpe.expect("a ratio"))
        .collect();
    // A limit that some windows meet and others miss.
    let mut sorted = objectives.clone();
    sorted.sort_by(f64::total_cmp);
    let limit = sorted[sorted.len() / 2];
    let gated = format!("{lines}gates: {{training: {{min_sharpe_ratio: {limit}}}}}");
    let (results, _) = run(&gated, folder.path(), &["--fresh"]);
    let report = json(&results.join("walk_forward_results.json"));
    check_schema("walk_forward", &report);
    let skipped = json(&results.join("run.json"))["skipped"].clone();
    let skipped = skipped.as_array().expect("a list");
    let windows = report["window_results"].as_array().expect("windows");
    let mut shut = 0;
    for (window, sharpe) in windows.iter().zip(objectives) {
        let name = window["window"].as_str().expect("a name");
        let note = skipped.iter().find(|note| note["window"] == name);
        assert_eq!(window["not_tested"].is_string(), sharpe < limit, "{name}");
        assert_eq!(note.is_some(), sharpe < limit, "{name}");
        let summary = json(
            &results
                .join("testing")
                .join(name)
                .join("phase_summary.json"),
        );
        assert_eq!(summary.get("not_run").is_some(), sharpe < limit, "{name}");
        shut += u64::from(sharpe < limit);
    }
    assert!(shut > 0 && shut < windows.len() as u64, "{shut}");
    assert_eq!(report["not_tested"], shut);
    // Even all windows behind a shut gate are no error.
    let gated = format!("{lines}gates: {{training: {{min_sharpe_ratio: 50}}}}");
    let (results, _) = run(&gated, folder.path(), &["--fresh"]);
    assert_eq!(
        json(&results.join("walk_forward_results.json"))["tested"],
        0
    );
}

#[test]
fn a_simulation_behind_a_shut_gate_does_not_run() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let lines = format!("workflow: monte_carlo\ngates: {{backtest: {{min_sharpe: 50}}}}\n{SWEEP}");
    let (results, printed) = run(&lines, folder.path(), &[]);
    assert!(!results.join("monte_carlo_results.json").exists());
    assert!(
        printed.contains("monte_carlo did not run: the gate of phase backtest"),
        "{printed}"
    );
    assert_eq!(
        json(&results.join("run.json"))["skipped"][0]["phase"],
        "monte_carlo"
    );
}

#[test]
fn what_cannot_be_is_refused() {
    let check = |lines: &str, expected: &str| {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let out = admf(&format!("{lines}\n{SWEEP}"), folder.path(), &[]);
        let message = String::from_utf8_lossy(&out.stderr);
        // What does not fit has a code of its own.
        let code = if lines.contains("memory_budget") {
            3
        } else {
            2
        };
        assert_eq!(out.status.code(), Some(code), "{lines}: {message}");
        assert!(message.contains(expected), "{lines}: {message}");
    };
    let paths = |settings: &str, expected: &str| {
        check(
            &format!("workflow: monte_carlo\nmonte_carlo: {settings}"),
            expected,
        );
    };
    paths("{method: bootstrap}", "did you mean `block_bootstrap`");
    paths("{path: 10}", "did you mean `paths`");
    paths("{paths: 0}", "1 or more");
    paths("{paths: 1000001}", "1000000 paths at most");
    paths("{block: 0}", "1 or more");
    paths("{block: 100000}", "longer than the curve");
    paths("{seed: -1}", "0 or more");
    paths(
        "{method: trade_reshuffle, block: 5}",
        "trade_reshuffle has no block",
    );
    paths("{noise: 0.1}", "block_bootstrap has no noise");
    paths("{method: price_noise, noise: 0}", "above 0");
    paths("{percentiles: [101]}", "100 at most");
    paths("{inside: monte_carlo}", "a cycle");
    paths(
        "{paths: 1000000}\nmemory_budget: 16MiB",
        "raise memory_budget",
    );
    check(
        "workflow: parameter_sweep\nmonte_carlo: {paths: 10}",
        "parameter_sweep has no monte_carlo",
    );
    check(
        "workflow: sequence\nsequence: {iterations: windows, inside: monte_carlo}",
        "nothing can stand around it",
    );
    let gate = |gates: &str, expected: &str| {
        check(
            &format!("workflow: train_test_optimization\ngates: {gates}"),
            expected,
        );
    };
    gate("{train: {min_sharpe: 1}}", "did you mean `training`");
    gate("{training: {sharpe: 1}}", "`sharpe` is no constraint");
    gate("{training: {}}", "a map such as");
    gate("{training: {min_sharpe: high}}", "a number was expected");
    gate(
        "{testing: {min_sharpe: 1}}",
        "nothing follows phase testing",
    );
}
