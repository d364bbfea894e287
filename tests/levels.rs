//! Trace levels and container settings on the program itself: they change what is kept, never what
//! is computed, and what is wrong with them is said.

use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// Runs `admf VERB` on a sweep of 24 containers with these lines.
fn admf(folder: &Path, verb: &str, lines: &str, arguments: &[&str]) -> (Output, PathBuf) {
    let data =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/data/sp500_daily_2000_2020.csv");
    let text = format!(
        "workflow: parameter_sweep\nresults_dir: run\ndata: {{path: {}}}\nstrategy:\n  name: \
         sma_crossover\n  parameters: {{fast: {{min: 1, max: 12, step: 1}}, slow: [20, 50]}}\n{lines}",
        data.display()
    );
    let file = folder.join("workflow.yaml");
    std::fs::write(&file, text).expect("the folder is writable");
    let root = folder.join("results");
    let out = Command::new(env!("CARGO_BIN_EXE_admf"))
        .arg(verb)
        .arg(&file)
        .args(arguments)
        .output()
        .expect("the program starts");
    (out, root.join("run"))
}

/// Results of every container.
fn containers(folder: &Path, lines: &str, budget: &str) -> Vec<Value> {
    let root = folder.join("results");
    let root = root.to_string_lossy();
    let arguments = [
        "-q",
        "--fresh",
        "--results-root",
        &root,
        "--memory-budget",
        budget,
    ];
    let (out, run) = admf(folder, "run", lines, &arguments);
    assert!(out.status.success(), "{lines}: {out:?}");
    (1..=24)
        .map(|n| {
            let path = run.join(format!("sweep/containers/portfolio_{n:03}_results.json"));
            let text = std::fs::read(path).expect("a result");
            serde_json::from_slice(&text).expect("valid JSON")
        })
        .collect()
}

/// Results without what the tracer says of itself.
fn figures(containers: &[Value]) -> Vec<Value> {
    let strip = |one: &Value| {
        let mut one = one.clone();
        one["events"] = Value::Null;
        one["metrics"]["events_retained"] = Value::Null;
        one
    };
    containers.iter().map(strip).collect()
}

const MIXED: &str = "trace_level: minimal
container_settings:
  portfolio_00*: {trace_level: debug, max_events: 40}
  portfolio_003: {trace_level: normal}
  portfolio_01?: {event_tracing: all, retention_policy: full}
  portfolio_02[!0-2]: {enabled: false}
";

#[test]
fn no_level_changes_a_metric() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let plain = containers(folder.path(), "", "64MiB");
    for lines in [
        "trace_level: none\n",
        "trace_level: minimal\n",
        "trace_level: normal\n",
        "trace_level: debug\n",
        "trace_level: custom\nretention_policy: full\nevent_tracing: all\n",
        MIXED,
    ] {
        let traced = containers(folder.path(), lines, "64MiB");
        assert_eq!(figures(&traced), figures(&plain), "{lines}");
    }
}

#[test]
fn each_container_keeps_what_its_own_pattern_says() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let all = containers(folder.path(), MIXED, "64MiB");
    let events = |n: usize, key: &str| all[n - 1]["events"][key].as_u64().expect("a count");
    for n in 1..=24 {
        let (total, attempted, kept) = (
            events(n, "total"),
            events(n, "attempted"),
            events(n, "retained"),
        );
        match n {
            // Everything that the open trade, if there is one, needs.
            3 => assert!(attempted < total && kept < 10, "{n}: {kept}"),
            1..=9 => assert_eq!((attempted, kept), (total, 40), "{n}"),
            10..=19 => assert_eq!((attempted, kept), (total, total), "{n}"),
            23 | 24 => assert_eq!((attempted, kept), (0, 0), "{n}"),
            _ => assert!(
                attempted < events(3, "attempted") * 4 && kept < 10,
                "{n}: {kept}"
            ),
        }
    }
    // The smallest tiles give the same bytes: patterns follow the name, not the place in a tile.
    assert_eq!(containers(folder.path(), MIXED, "11MiB"), all);
}

#[test]
fn wrong_levels_and_patterns_end_with_code_2() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let check = |lines: &str, parts: &[&str]| {
        let (out, _) = admf(folder.path(), "validate", lines, &[]);
        let text = String::from_utf8_lossy(&out.stderr).into_owned();
        assert_eq!(out.status.code(), Some(2), "{lines}: {text}");
        for part in parts {
            assert!(text.contains(part), "{lines}: {text} has no {part}");
        }
    };
    check("trace_level: debgu", &["did you mean `debug`"]);
    check("trace_level: 3", &["text was expected"]);
    check(
        "container_settings: {portfolio_025: {trace_level: debug}}",
        &[
            "workflow.yaml:7",
            "`portfolio_025` matches no container of phase sweep",
            "portfolio_024",
        ],
    );
    check(
        "container_settings: {portfolio_1*: {}}",
        &["matches no container"],
    );
    check(
        "container_settings: {data_*: {}}",
        &["matches no container"],
    );
    check(
        "phase_overrides: {sweep: {container_settings: {portfolio_9*: {}}}}",
        &[
            "phase_overrides.sweep.container_settings",
            "matches no container",
        ],
    );
    check("container_settings: {'portfolio_00[1': {}}", &["no `]`"]);
    check("container_settings: [portfolio_001]", &["a map such as"]);
    let one = |settings: &str| format!("container_settings: {{portfolio_001: {settings}}}");
    check(
        &one("{trace_levle: debug}"),
        &["did you mean `trace_level`"],
    );
    check(&one("{trace_level: debgu}"), &["did you mean `debug`"]);
    check(&one("{event_tracing: [FIL]}"), &["did you mean `FILL`"]);
    check(&one("{retention_policy: ful}"), &["did you mean `full`"]);
    check(
        &one("{trace_level: debug, max_events: 5, sliding_window_size: 5}"),
        &["keep one"],
    );
    check(&one("{max_events: 0}"), &["1 or more"]);
    check(
        &one("{max_events: 5}"),
        &["a window has no use under retention_policy trade_complete"],
    );
    check(
        &one("{enabled: false, store_trades: true}"),
        &["`store_trades` has no use"],
    );
    check(&one("{enabled: 0}"), &["true or false"]);
}
