//! `admf explain` and `admf-tools trades` say the same of every trade, to the last digit.
//!
//! Without the usual harness: as `explain run ...` and `explain explain ...` it is the engine's own
//! program.

use serde_json::Value;
use std::path::Path;
use std::process::{Command, ExitCode, Output};

fn main() -> ExitCode {
    let verb = std::env::args().nth(1);
    if matches!(verb.as_deref(), Some("run" | "explain")) {
        return admf::cli::main();
    }
    for kept in [
        "event_tracing: all\nretention_policy: full\n",
        "store_trades: true\n",
    ] {
        let trades = check(kept);
        println!("test {trades}_trades_are_explained_as_they_are_printed ... ok");
    }
    ExitCode::SUCCESS
}

fn own(arguments: &[&str]) -> Output {
    let program = std::env::current_exe().expect("a path");
    let out = Command::new(program).args(arguments).output();
    let out = out.expect("the program starts");
    let errors = String::from_utf8_lossy(&out.stderr);
    assert!(out.status.success(), "{arguments:?}: {errors}");
    out
}

/// Runs a sweep that keeps this, and compares every trade of its archive.
fn check(kept: &str) -> usize {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let data = Path::new(env!("CARGO_MANIFEST_DIR"));
    let data = data.join("../examples/data/sp500_daily_2000_2020.csv");
    let file = folder.path().join("w.yaml").to_string_lossy().into_owned();
    let text = format!(
        "workflow: parameter_sweep\n{kept}data: {{path: {}, symbols: [SP500]}}\n\
         strategy: {{name: sma_crossover, parameters: {{fast: [15, 30], slow: 70}}}}\n\
         portfolio: {{direction: long_short, sizing: {{percent_of_equity: 60}}}}\n\
         execution: {{commission: {{rate: 0.0007}}, slippage: {{rate: 0.0003}}}}\n",
        data.display()
    );
    std::fs::write(&file, text).expect("writable");
    let root = folder.path().join("results");
    own(&[
        "run",
        "-q",
        "--results-root",
        &root.to_string_lossy(),
        &file,
    ]);
    let results = root.join("parameter_sweep");
    let printed = Command::new(env!("CARGO_BIN_EXE_admf-tools"))
        .arg("trades")
        .arg(&results)
        .output()
        .expect("the program starts");
    let printed = String::from_utf8_lossy(&printed.stdout).into_owned();
    let mut trades = 0;
    for line in printed.lines() {
        let line: Value = serde_json::from_str(line).expect("a line of JSON");
        let (container, trade) = (&line["container"], line["correlation_id"].to_string());
        let told = own(&[
            "explain",
            &results.to_string_lossy(),
            "--container",
            container.as_str().expect("an id"),
            "--trade",
            &trade,
            "--json",
        ]);
        let told: Value = serde_json::from_slice(&told.stdout).expect("JSON");
        assert_eq!(told["close"], line["payload"], "{container} {trade}");
        trades += 1;
    }
    assert!(trades > 50, "{trades} trades are no test");
    trades
}
