//! The plan of every built-in sequence, and of one inside another, as golden files: levels, phases
//! and windows. Bytes and tiles are left out, for they follow from the sizes of the program.
//!
//! Golden files change only on purpose: `ADMF_UPDATE_GOLDEN=1 cargo test --test golden_sequences`.

use serde_json::{Value, json};
use std::path::Path;
use std::process::Command;

/// The plan of these lines is the golden one.
fn check(name: &str, lines: &str) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("w.yaml");
    let data = root.join("examples/data/sp500_daily_2000_2020.csv");
    let text = format!(
        "{lines}\ndata: {{path: '{}', symbols: [SP500]}}\n\
         strategy: {{name: sma_crossover, parameters: {{fast: 5, slow: 20}}}}\n",
        data.display()
    );
    std::fs::write(&file, text).expect("writable");
    let out = Command::new(env!("CARGO_BIN_EXE_admf"))
        .args(["plan", "--json"])
        .arg(&file)
        .arg("--results-root")
        .arg(folder.path().join("results"))
        .output()
        .expect("the program starts");
    let message = String::from_utf8_lossy(&out.stderr);
    assert!(out.status.success(), "{name}: {message}");
    let plan: Value = serde_json::from_slice(&out.stdout).expect("JSON");
    let phases = plan["phases"].as_array().expect("a list").iter();
    let phases: Vec<Value> = phases
        .map(|phase| json!({"phase": phase["phase"], "containers": phase["containers"]}))
        .collect();
    let short = json!({
        "workflow": plan["settings"]["workflow"],
        "sequence": plan["settings"]["sequence"],
        "phases": phases,
        "windows": plan["windows"],
    });
    let golden = root
        .join("tests/golden/sequences")
        .join(format!("{name}.json"));
    let found = format!("{short:#}\n");
    if std::env::var_os("ADMF_UPDATE_GOLDEN").is_some() {
        std::fs::write(&golden, &found).expect("writable");
    }
    let expected = std::fs::read_to_string(&golden).expect("the golden file");
    assert_eq!(found, expected, "{name}");
}

#[test]
fn every_sequence_has_its_golden_plan() {
    check("single_pass", "workflow: single_backtest");
    check("parameter_sweep", "workflow: parameter_sweep");
    check("train_test", "workflow: train_test_optimization");
    check(
        "walk_forward",
        "workflow: walk_forward_optimization\nwalk_forward: {train: 1461, test: 365, step: 365}",
    );
    check(
        "walk_forward_anchored",
        "workflow: walk_forward_optimization\nwalk_forward: {train: 2000, test: 500, step: 500, unit: bars, anchored: true}",
    );
    check(
        "k_fold",
        "workflow: k_fold_optimization\nk_fold: {purge: 10, embargo: 5}",
    );
    check("monte_carlo", "workflow: monte_carlo");
    check(
        "monte_carlo_of_walk_forward",
        "workflow: monte_carlo\nmonte_carlo: {inside: walk_forward, method: trade_reshuffle}\n\
         walk_forward: {train: 2000, test: 1000, step: 1000, unit: bars}",
    );
    check(
        "walk_forward_of_train_test",
        "workflow: sequence\nsequence: rolling\nsequences: {rolling: {iterations: windows, inside: train_test}}\n\
         walk_forward: {train: 1000, test: 500, step: 1000, unit: bars}",
    );
}
