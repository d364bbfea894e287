//! A strategy of the user's own, as `examples/own_strategy.rs` shows it: short, and a strategy
//! like any other through the whole run.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The example's program, beside the test's own; built where it is missing or older than its
/// source.
fn program() -> PathBuf {
    let test = std::env::current_exe().expect("a running test");
    let profile = test
        .parent()
        .and_then(Path::parent)
        .expect("target/<profile>/deps");
    let program = profile.join("examples/own_strategy");
    let time = |path: &Path| path.metadata().and_then(|data| data.modified()).ok();
    if time(&program) < time(&root().join("examples/own_strategy.rs")) {
        let built = Command::new(env!("CARGO"))
            .args(["build", "--workspace", "--example", "own_strategy"])
            .current_dir(root())
            .status();
        assert!(built.expect("cargo starts").success());
    }
    program
}

fn run(program: &Path, arguments: &[&str]) -> Output {
    Command::new(program)
        .args(arguments)
        .current_dir(root())
        .output()
        .expect("the program starts")
}

#[test]
fn it_takes_less_than_forty_lines() {
    let source = std::fs::read_to_string(root().join("examples/own_strategy.rs")).expect("a file");
    let is_code = |line: &&str| !line.trim().is_empty() && !line.trim().starts_with("//");
    let lines = source.lines().filter(is_code).count();
    assert!((20..40).contains(&lines), "{lines} lines of code");
}

#[test]
fn it_runs_and_replays_from_a_workflow_like_any_other() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let results = folder.path().to_string_lossy().into_owned();
    let program = program();
    let arguments = [
        "run",
        "examples/own_strategy.yaml",
        "--results-root",
        &results,
        "--json",
    ];
    let out = run(&program, &arguments);
    let errors = String::from_utf8_lossy(&out.stderr).into_owned();
    assert!(out.status.success(), "{errors}");
    let summary: serde_json::Value = serde_json::from_slice(&out.stdout).expect("JSON");
    let best = &summary["phases"]["sweep"]["best"][0];
    assert!(best["parameters"]["dip"].as_f64().is_some(), "{best}");
    let container = best["container"].as_str().expect("an id").to_owned();
    let place = folder.path().join("own_strategy");
    let file = place.join(format!("sweep/containers/{container}_results.json"));
    let own = std::fs::read(file).expect("its result");
    let report: serde_json::Value = serde_json::from_slice(&own).expect("JSON");
    assert!(
        report["metrics"]["total_trades"].as_u64() > Some(0),
        "{report}"
    );
    let place = place.to_string_lossy().into_owned();
    let replay = run(
        &program,
        &["replay", &place, "--container", &container, "--json"],
    );
    let replayed: serde_json::Value = serde_json::from_slice(&replay.stdout).expect("JSON");
    assert_eq!(replayed["summary"], report["summary"]);
}

#[test]
fn the_plain_program_names_the_strategies_it_knows() {
    let admf = Path::new(env!("CARGO_BIN_EXE_admf"));
    let out = run(admf, &["validate", "examples/own_strategy.yaml"]);
    let errors = String::from_utf8_lossy(&out.stderr).into_owned();
    assert_eq!(out.status.code(), Some(2), "{errors}");
    assert!(errors.contains("dip_in_trend"), "{errors}");
}
