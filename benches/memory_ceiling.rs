//! Containers against peak memory, per retention policy: predicted beside measured.
//!
//! `cargo bench --bench memory_ceiling` goes to 10,000 containers; with `-- full` to 1,000,000.
//! Each run is a process of its own on the bundled series, and tells its own VmHWM.

use std::path::Path;
use std::process::Command;

fn admf(arguments: &[&str]) -> serde_json::Value {
    let out = Command::new(env!("CARGO_BIN_EXE_admf"))
        .args(arguments)
        .output()
        .expect("the program starts");
    let text = String::from_utf8_lossy(&out.stderr);
    assert!(out.status.success(), "{arguments:?}: {text}");
    serde_json::from_slice(&out.stdout).expect("JSON")
}

/// A sweep of `fast` by `slow` averages.
fn workflow(policy: &str, fast: u64, slow: u64) -> String {
    let data =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/data/sp500_daily_2000_2020.csv");
    format!(
        "workflow: parameter_sweep
results_dir: ceiling
data: {{path: {}, symbols: [SP500]}}
strategy:
  name: sma_crossover
  parameters: {{fast: {{min: 2, max: {}, step: 1}}, slow: {{min: 1002, max: {}, step: 1}}}}
retention_policy: {policy}
container_results: archive
",
        data.display(),
        1 + fast,
        1001 + slow
    )
}

fn main() {
    let is_full = std::env::args().any(|argument| argument == "full");
    let folder = tempfile::tempdir().expect("a temporary folder");
    let root = folder.path().join("results").to_string_lossy().into_owned();
    let file = folder.path().join("ceiling.yaml");
    let name = file.to_string_lossy().into_owned();
    let sides = [(10, 10), (100, 10), (100, 100), (1000, 100), (1000, 1000)];
    println!("policy            containers   predicted KiB   measured KiB   against 10,000");
    for policy in ["trade_complete", "sliding_window", "minimal", "full"] {
        let mut reference = 0;
        for (fast, slow) in sides.into_iter().take(if is_full { 5 } else { 3 }) {
            std::fs::write(&file, workflow(policy, fast, slow)).expect("writable");
            let common = [
                "--results-root",
                &root,
                "--threads",
                "2",
                "--fresh",
                "--json",
            ];
            let run = |verb: &str| admf(&[&[verb, &name], &common[..]].concat());
            let predicted = run("plan")["phases"][0]["peak_bytes"].as_u64().unwrap_or(0) >> 10;
            let measured = run("run")["peak_memory_bytes"].as_u64().unwrap_or(0) >> 10;
            let containers = fast * slow;
            if containers == 10_000 {
                reference = measured;
            }
            let change = match reference {
                0 => String::new(),
                _ => format!(
                    "{:+.1} %",
                    100.0 * (measured as f64 / reference as f64 - 1.0)
                ),
            };
            println!("{policy:<16} {containers:>11} {predicted:>15} {measured:>14} {change:>16}");
        }
    }
}
