//! The planner at its word: what it predicts is what a run takes, for every retention policy and
//! any number of containers.

use serde_json::Value;
use std::path::Path;
use std::process::Command;

/// The last line of standard output that is JSON.
fn admf(arguments: &[&str]) -> Value {
    let out = Command::new(env!("CARGO_BIN_EXE_admf"))
        .args(arguments)
        .arg("--json")
        .output()
        .expect("the program starts");
    let text = String::from_utf8_lossy(&out.stderr);
    assert!(out.status.success(), "{arguments:?}: {text}");
    serde_json::from_slice(&out.stdout).expect("JSON")
}

/// Predicted and measured peak, in KiB, of a workflow with these parameters.
fn peaks(folder: &Path, name: &str, parameters: &str) -> (u64, u64) {
    let data =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/data/sp500_daily_2000_2020.csv");
    let file = folder.join(format!("{name}.yaml"));
    let text = format!(
        "workflow: parameter_sweep
results_dir: {name}
data: {{path: {}, symbols: [SP500]}}
event_tracing: [ORDER, FILL, POSITION_OPEN, POSITION_CLOSE]
container_results: archive
{parameters}",
        data.display()
    );
    std::fs::write(&file, text).expect("writable");
    let file = file.to_string_lossy().into_owned();
    let root = folder.join("results").to_string_lossy().into_owned();
    // Two workers wherever the test runs.
    let options = [
        "--results-root",
        &root,
        "--threads",
        "2",
        "--memory-budget",
        "64MiB",
    ];
    let run = |verb: &str| {
        let mut arguments = vec![verb, &file];
        arguments.extend(options);
        admf(&arguments)
    };
    let predicted = run("plan")["phases"][0]["peak_bytes"].as_u64();
    let measured = run("run")["peak_memory_bytes"].as_u64();
    (
        predicted.expect("a prediction") >> 10,
        measured.expect("a measurement") >> 10,
    )
}

/// A sweep of `side` by `side` containers.
fn sweep(policy: &str, side: u64) -> String {
    let (fast, slow) = (1 + side, 199 + side);
    format!(
        "retention_policy: {policy}
strategy:
  name: sma_crossover
  parameters: {{fast: {{min: 2, max: {fast}, step: 1}}, slow: {{min: 200, max: {slow}, step: 1}}}}
"
    )
}

/// ADMF-PC gives 1 MB of active trades and 100 MB of 1,000-event windows for 100 portfolios, and
/// nothing for the rest of the process.
#[test]
fn the_measured_peak_is_within_a_tenth_of_the_predicted_one() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    println!("policy            containers   predicted KiB   measured KiB");
    let mut wrong = Vec::new();
    for policy in ["trade_complete", "sliding_window", "minimal", "full"] {
        for side in [1, 10, 100] {
            let name = format!("{policy}_{side}");
            let (predicted, measured) = peaks(folder.path(), &name, &sweep(policy, side));
            let containers = side * side;
            let line = format!("{policy:<16} {containers:>11} {predicted:>15} {measured:>14}");
            println!("{line}");
            if measured.abs_diff(predicted) * 10 > predicted || measured > 64 << 10 {
                wrong.push(line);
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Values that a workflow lists are read and kept one by one.
#[test]
fn values_that_are_listed_are_counted() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let value = |value: u32| (f64::from(value) / 2048.0 + 10.0).to_string();
    let values: Vec<String> = (0..30_000).map(value).collect();
    let parameters = format!(
        "strategy: {{name: rsi_bands, parameters: {{period: 14, oversold: [{}], overbought: 70}}}}\n",
        values.join(", ")
    );
    let (predicted, measured) = peaks(folder.path(), "listed", &parameters);
    println!("predicted {predicted} KiB, measured {measured} KiB");
    assert!(measured.abs_diff(predicted) * 10 <= predicted);
}

/// A tile that has as many columns as containers.
#[test]
fn columns_are_counted_as_they_are() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let parameters = "strategy:
  name: sma_crossover
  parameters: {fast: 5, slow: {min: 10, max: 1009, step: 1}}
";
    let (predicted, measured) = peaks(folder.path(), "columns", parameters);
    println!("predicted {predicted} KiB, measured {measured} KiB");
    assert!(measured.abs_diff(predicted) * 10 <= predicted);
}
