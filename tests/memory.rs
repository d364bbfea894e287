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

/// Predicted and measured peak, in KiB, of a sweep of `side` by `side` containers.
fn peaks(folder: &Path, policy: &str, side: u64) -> (u64, u64) {
    let data =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/data/sp500_daily_2000_2020.csv");
    let (fast, slow) = (1 + side, 199 + side);
    let file = folder.join(format!("{policy}_{side}.yaml"));
    let text = format!(
        "workflow: parameter_sweep
results_dir: {policy}_{side}
data: {{path: {}, symbols: [SP500]}}
strategy:
  name: sma_crossover
  parameters: {{fast: {{min: 2, max: {fast}, step: 1}}, slow: {{min: 200, max: {slow}, step: 1}}}}
event_tracing: [ORDER, FILL, POSITION_OPEN, POSITION_CLOSE]
retention_policy: {policy}
container_results: archive
",
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

/// ADMF-PC gives 1 MB of active trades and 100 MB of 1,000-event windows for 100 portfolios, and
/// nothing for the rest of the process.
#[test]
fn the_measured_peak_is_within_a_tenth_of_the_predicted_one() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    println!("policy            containers   predicted KiB   measured KiB");
    let mut wrong = Vec::new();
    for policy in ["trade_complete", "sliding_window", "minimal", "full"] {
        for side in [1, 10, 100] {
            let (predicted, measured) = peaks(folder.path(), policy, side);
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
