//! Promises of a run, shown on the program itself: same bytes, bounded memory, kept results.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

fn admf(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_admf"))
        .args(arguments)
        .output()
        .expect("the program starts")
}

fn data() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/data/sp500_daily_2000_2020.csv")
}

/// A workflow file in a folder of its own.
fn workflow(folder: &Path, lines: &str) -> String {
    let file = folder.join("workflow.yaml");
    std::fs::write(&file, lines.replace("DATA", &data().to_string_lossy()))
        .expect("the folder is writable");
    file.to_string_lossy().into_owned()
}

const SWEEP: &str = "workflow: parameter_sweep
data: {path: DATA, symbols: [SP500]}
strategy:
  name: sma_crossover
  parameters: {fast: {min: 2, max: 21, step: 1}, slow: {min: 10, max: 105, step: 5}}
  constraints: ['fast < slow']
execution: {commission: {rate: 0.001}}
";

/// Every JSON of the tree but run.json, and the decoded archives.
fn content(root: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut files = Vec::new();
    let mut folders = vec![root.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).expect("a results folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|ending| ending == "json")
                && !path.ends_with("run.json")
            {
                let name = path
                    .strip_prefix(root)
                    .expect("below the root")
                    .to_path_buf();
                files.push((name, std::fs::read(&path).expect("a readable file")));
            }
        }
    }
    files.sort();
    files
}

/// Every rule that watches days or equity, adds to positions or cuts entries.
const RULES: &str = "portfolio: {direction: long_short, sizing: {volatility: {annual: 0.3, period: 20}}, pyramiding: {max_entries: 2}}
execution: {commission: {per_share: {rate: 0.005, minimum: 1, maximum_rate: 0.01}}, spread: {fixed: 0.5}, borrow: {annual_rate: 0.03}}
risk: {max_exposure: 0.8, max_daily_loss: 0.02, max_drawdown: 0.4}
";

#[test]
fn results_are_the_same_bytes_for_any_threads_and_budget() {
    same_bytes(SWEEP);
    let plain = "execution: {commission: {rate: 0.001}}\n";
    assert!(SWEEP.contains(plain));
    let aggregate = same_bytes(&SWEEP.replace(plain, RULES));
    // The rules do something here.
    for metric in ["borrow_paid", "risk_breaches"] {
        let mean = &aggregate["statistics"][metric]["mean"];
        assert!(
            mean.as_f64().is_some_and(|mean| mean > 0.0),
            "{metric}: {mean}"
        );
    }
}

/// The results are the same bytes for any threads and budget; gives their aggregate.
fn same_bytes(lines: &str) -> serde_json::Value {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = workflow(folder.path(), lines);
    let mut runs = Vec::new();
    for (threads, budget) in [("1", "256MiB"), ("2", "64MiB"), ("2", "16MiB")] {
        let root = folder.path().join(format!("r{threads}{budget}"));
        let out = admf(&[
            "run",
            &file,
            "--results-root",
            &root.to_string_lossy(),
            "--threads",
            threads,
            "--memory-budget",
            budget,
            "-q",
        ]);
        assert!(
            out.status.success(),
            "{}",
            String::from_utf8_lossy(&out.stderr)
        );
        runs.push(content(&root));
    }
    assert!(runs[0].len() > 300);
    assert!(runs[0] == runs[1] && runs[1] == runs[2]);
    let aggregate = runs[0]
        .iter()
        .find(|(path, _)| path.ends_with("aggregate_results.json"));
    serde_json::from_slice(&aggregate.expect("an aggregate").1).expect("valid JSON")
}

#[test]
fn a_finished_run_is_left_alone_and_another_config_is_refused() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let root = folder.path().join("results").to_string_lossy().into_owned();
    let file = workflow(folder.path(), SWEEP);
    assert!(
        admf(&["run", &file, "--results-root", &root, "-q"])
            .status
            .success()
    );
    let before = content(Path::new(&root));
    let again = admf(&["run", &file, "--results-root", &root]);
    assert!(again.status.success() && String::from_utf8_lossy(&again.stdout).contains("finished"));
    let other = workflow(folder.path(), &SWEEP.replace("rate: 0.001", "rate: 0.002"));
    let refused = admf(&["run", &other, "--results-root", &root, "-q"]);
    assert_eq!(refused.status.code(), Some(4));
    assert!(content(Path::new(&root)) == before);
    let fresh = admf(&["run", &other, "--results-root", &root, "-q", "--fresh"]);
    assert!(fresh.status.success() && content(Path::new(&root)) != before);
}

#[test]
fn a_killed_run_goes_on_and_gives_the_same_bytes() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = workflow(folder.path(), SWEEP);
    let (whole, cut) = (folder.path().join("whole"), folder.path().join("cut"));
    assert!(
        admf(&[
            "run",
            &file,
            "--results-root",
            &whole.to_string_lossy(),
            "-q"
        ])
        .status
        .success()
    );
    for milliseconds in [5, 15, 25, 40] {
        let mut child = Command::new(env!("CARGO_BIN_EXE_admf"))
            .args([
                "run",
                &file,
                "--results-root",
                &cut.to_string_lossy(),
                "-q",
                "--threads",
                "1",
            ])
            .spawn()
            .expect("the program starts");
        std::thread::sleep(std::time::Duration::from_millis(milliseconds));
        // It may have finished by then, which is as good.
        let _ = child.kill();
        child.wait().expect("the child ends");
    }
    let last = admf(&["run", &file, "--results-root", &cut.to_string_lossy(), "-q"]);
    assert!(
        last.status.success(),
        "{}",
        String::from_utf8_lossy(&last.stderr)
    );
    assert!(content(&whole) == content(&cut));
}

#[test]
fn a_replay_gives_the_sweeps_own_result() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let root = folder.path().join("results");
    let lines = format!("{SWEEP}event_tracing: all\nretention_policy: full\n");
    let file = workflow(folder.path(), &lines);
    assert!(
        admf(&[
            "run",
            &file,
            "--results-root",
            &root.to_string_lossy(),
            "-q"
        ])
        .status
        .success()
    );
    let run = root.join("parameter_sweep");
    let replay = admf(&[
        "replay",
        &run.to_string_lossy(),
        "--container",
        "37",
        "--json",
    ]);
    let own =
        std::fs::read(run.join("sweep/containers/portfolio_037_results.json")).expect("its result");
    assert_eq!(
        String::from_utf8_lossy(&replay.stdout),
        String::from_utf8_lossy(&own)
    );
}

#[test]
fn a_budget_that_is_too_small_is_refused_with_figures() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = workflow(folder.path(), SWEEP);
    let root = folder.path().join("results").to_string_lossy().into_owned();
    let out = admf(&[
        "run",
        &file,
        "--results-root",
        &root,
        "--memory-budget",
        "1MiB",
    ]);
    assert_eq!(out.status.code(), Some(3));
    let text = String::from_utf8_lossy(&out.stderr).into_owned();
    assert!(
        text.contains("memory_budget") && text.contains("at least"),
        "{text}"
    );
}

/// A data file with these rows below the header fails with all of `parts` in its message.
fn check_rows(rows: &str, parts: &[&str]) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("d.csv");
    std::fs::write(
        &file,
        format!("date,open,high,low,close,volume\n2020-01-01,1,2,1,1,5\n{rows}\n"),
    )
    .expect("writable");
    let out = admf(&["import", &file.to_string_lossy()]);
    let text = String::from_utf8_lossy(&out.stderr).into_owned();
    assert_eq!(out.status.code(), Some(2), "{rows}: {text}");
    for part in parts {
        assert!(text.contains(part), "{rows}: {text} has no {part}");
    }
    assert!(!folder.path().join("d.bars").exists());
}

#[test]
fn bad_rows_are_named_with_file_and_line() {
    check_rows("2020-01-02,1,2,1,NaN,5", &["d.csv:3:", "close"]);
    check_rows("2020-01-02,1,2,1,x,5", &["d.csv:3:", "`x`"]);
    check_rows("2020-01-02,1,2,1", &["d.csv:3:", "4 fields"]);
    check_rows("2020-01-01,1,2,1,1,5", &["d.csv:3:", "duplicate"]);
    check_rows("2019-01-01,1,2,1,1,5", &["d.csv:3:", "sort"]);
    check_rows("2020-01-02,1,0.5,1,1,5", &["d.csv:3:", "high"]);
    check_rows("2020-01-02,1,2,1.5,1,5", &["d.csv:3:", "low"]);
    check_rows("2020-01-02,1,2,0,1,5", &["d.csv:3:", "low is 0"]);
    check_rows("someday,1,2,1,1,5", &["d.csv:3:", "no timestamp"]);
    check_rows(
        "2020-01-02,1,2,1,1,5\r\n2020-01-03,1,2,1,x,5\r\n",
        &["d.csv:4:"],
    );
    check_rows("\n\n2020-01-02,1,2,1,x,5", &["d.csv:5:", "`x`"]);
    check_rows("\n2020-01-02,1,2,1", &["d.csv:4:", "4 fields"]);
}

#[test]
fn bad_workflows_end_with_code_2_and_name_the_key() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let check = |lines: &str, part: &str| {
        let out = admf(&["validate", &workflow(folder.path(), lines)]);
        let text = String::from_utf8_lossy(&out.stderr).into_owned();
        assert_eq!(out.status.code(), Some(2), "{text}");
        assert!(text.contains(part), "{text} has no {part}");
    };
    check(
        &format!("{SWEEP}retention_polcy: full\n"),
        "did you mean `retention_policy`",
    );
    check(
        &format!("{SWEEP}event_tracing: [FIL]\n"),
        "did you mean `FILL`",
    );
    check(
        &SWEEP.replace("sma_crossover", "sma_crosover"),
        "did you mean `sma_crossover`",
    );
    let missing = admf(&["run", "no_such_file.yaml"]);
    assert_eq!(missing.status.code(), Some(2));
}

/// Files of a results tree, one per line, relative to it.
fn tree(root: &Path) -> String {
    let (mut names, mut folders) = (Vec::new(), vec![root.to_path_buf()]);
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).expect("a results folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let name = path.strip_prefix(root).expect("below the root");
                names.push(name.to_string_lossy().into_owned());
            }
        }
    }
    names.sort();
    names.join("\n")
}

#[test]
fn the_results_tree_is_the_golden_one_for_each_storage() {
    let base = "workflow: train_test_optimization
data: {path: DATA, symbols: [SP500]}
strategy: {name: sma_crossover, parameters: {fast: [5, 10], slow: 50}}
";
    let on_disk = "comparison_results.json
run.json
testing/aggregate_results.json
testing/containers/portfolio_001_results.json
testing/phase_summary.json
testing/traces/archive_00000.admf
training/aggregate_results.json
training/containers/portfolio_001_results.json
training/containers/portfolio_002_results.json
training/phase_summary.json
training/traces/archive_00000.admf";
    let in_memory = "comparison_results.json
run.json
testing/aggregate_results.json
testing/phase_summary.json
training/aggregate_results.json
training/phase_summary.json";
    for (storage, expected) in [("disk", on_disk), ("memory", in_memory)] {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let file = workflow(
            folder.path(),
            &format!("{base}results_storage: {storage}\n"),
        );
        let root = folder.path().join("results");
        let out = admf(&[
            "run",
            &file,
            "--results-root",
            &root.to_string_lossy(),
            "-q",
        ]);
        assert!(
            out.status.success(),
            "{}",
            String::from_utf8_lossy(&out.stderr)
        );
        assert_eq!(tree(&root.join("train_test_optimization")), expected);
    }
}
