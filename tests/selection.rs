//! What ranks containers, and which of them go on to the next phase, shown on the program itself.

use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

fn admf(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_admf"))
        .args(arguments)
        .output()
        .expect("the program starts")
}

/// Runs a train-test workflow with these lines into `folder`.
fn run(folder: &Path, lines: &str) -> (Output, PathBuf) {
    let data =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/data/sp500_daily_2000_2020.csv");
    let text = format!(
        "workflow: train_test_optimization\nresults_dir: run\ndata: {{path: {}}}\nstrategy:\n  \
         name: sma_crossover\n  parameters: {{fast: [5, 10, 20], slow: [50, 100, 200]}}\n{lines}",
        data.display()
    );
    let file = folder.join("workflow.yaml");
    std::fs::write(&file, text).expect("the folder is writable");
    let root = folder.join("results");
    let out = admf(&[
        "run",
        &file.to_string_lossy(),
        "--results-root",
        &root.to_string_lossy(),
        "-q",
    ]);
    (out, root.join("run"))
}

fn json(path: &Path) -> Value {
    let text = std::fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_slice(&text).expect("valid JSON")
}

/// Parameters and metrics of every container of the training phase, in order.
fn containers(run: &Path) -> Vec<Value> {
    (1..=9)
        .map(|n| json(&run.join(format!("training/containers/portfolio_{n:03}_results.json"))))
        .collect()
}

#[test]
fn the_least_drawdown_with_enough_trades_is_handed_on() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let lines = "objective: {minimize: max_drawdown}\nresult_constraints: {min_trades: 30}\n";
    let (out, run) = run(folder.path(), lines);
    assert!(out.status.success(), "{out:?}");
    let metric = |one: &Value, name: &str| one["metrics"][name].as_f64().expect("a number");
    let all = containers(&run);
    let best = all
        .iter()
        .filter(|one| metric(one, "total_trades") >= 30.0)
        .min_by(|left, right| {
            metric(left, "max_drawdown").total_cmp(&metric(right, "max_drawdown"))
        })
        .expect("some trade often");
    let training = json(&run.join("training/aggregate_results.json"));
    assert_eq!(training["objective"], "minimize max_drawdown");
    assert_eq!(training["best"][0]["container"], best["container"]);
    assert_eq!(
        training["aggregate_metrics"]["best_objective"],
        best["metrics"]["max_drawdown"]
    );
    let few = all
        .iter()
        .filter(|one| metric(one, "total_trades") < 30.0)
        .count();
    assert!(few > 0);
    assert_eq!(training["excluded"], few);
    assert_eq!(
        training["result_constraints"][0]["constraint"],
        "total_trades >= 30"
    );
    // The test window is too short for 30 trades: its result is shown all the same.
    let testing = json(&run.join("testing/aggregate_results.json"));
    assert_eq!(testing["best"][0]["parameters"], best["parameters"]);
    assert_eq!(testing["best"][0]["meets_constraints"], false);
}

#[test]
fn a_constraint_that_no_parameter_set_meets_ends_the_run_with_figures() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let lines = "result_constraints: {min_trades: 100000, min_win_rate: 0.01}\n";
    for _ in 0..2 {
        let (out, run) = run(folder.path(), lines);
        assert_eq!(out.status.code(), Some(2), "{out:?}");
        let text = String::from_utf8_lossy(&out.stderr).into_owned();
        for part in [
            "phase training",
            "none of 9 completed containers",
            "total_trades >= 100000 is missed by 9",
            "win_rate >= 0.01 is missed by 0",
            "loosen",
        ] {
            assert!(text.contains(part), "{text} has no {part}");
        }
        // What was computed is kept, and nothing was handed on.
        assert_eq!(containers(&run).len(), 9);
        assert!(!run.join("testing").exists());
    }
}

#[test]
fn unknown_metrics_end_with_code_2_and_the_nearest_word() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    for (lines, part) in [
        ("objective: sharp_ratio\n", "did you mean `sharpe_ratio`"),
        (
            "objective: {maximize: {win_rat: 1}}\n",
            "did you mean `win_rate`",
        ),
        (
            "result_constraints: {min_trads: 1}\n",
            "did you mean `min_trades`",
        ),
    ] {
        let (out, _) = run(folder.path(), lines);
        let text = String::from_utf8_lossy(&out.stderr).into_owned();
        assert_eq!(out.status.code(), Some(2), "{text}");
        assert!(text.contains(part), "{text} has no {part}");
    }
}

#[test]
fn phases_are_compared_set_by_set_and_metric_by_metric() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (out, run) = run(folder.path(), "top_n: 3\nresults_storage: disk\n");
    assert!(out.status.success(), "{out:?}");
    let comparison = json(&run.join("comparison_results.json"))[0].clone();
    assert_eq!(comparison["from"], "training");
    assert_eq!(comparison["to"], "testing");
    assert_eq!(comparison["completed"], 3);
    let training = json(&run.join("training/aggregate_results.json"));
    let tested: Vec<Value> = (1..=3)
        .map(|n| json(&run.join(format!("testing/containers/portfolio_{n:03}_results.json"))))
        .collect();
    let close = |found: &Value, expected: f64| {
        let found = found.as_f64().expect("a number");
        let allowed = 1e-12 * expected.abs().max(1.0);
        assert!((found - expected).abs() <= allowed, "{found} {expected}");
    };
    let number = |value: &Value| value.as_f64().expect("a number");
    for metric in [
        "sharpe_ratio",
        "total_return",
        "max_drawdown",
        "total_trades",
    ] {
        let best = training["best"].as_array().expect("a list");
        let from = best
            .iter()
            .map(|one| number(&one["metrics"][metric]))
            .sum::<f64>()
            / 3.0;
        let to = tested
            .iter()
            .map(|one| number(&one["metrics"][metric]))
            .sum::<f64>()
            / 3.0;
        let found = &comparison["metrics"][metric];
        close(&found["from"], from);
        close(&found["to"], to);
        close(&found["change"], to - from);
        close(&found["ratio"], to / from);
    }
    for (at, one) in tested.iter().enumerate() {
        let set = &comparison["sets"][at];
        assert_eq!(set["parameters"], one["parameters"]);
        assert_eq!(set["container"], training["best"][at]["container"]);
        assert_eq!(set["from"], training["best"][at]["objective_value"]);
        assert_eq!(set["to"], one["metrics"]["objective_value"]);
    }
}
