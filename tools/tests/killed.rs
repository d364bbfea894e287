//! The trace of a killed run: this program and the independent decoder print the same bytes.
//!
//! Without the usual harness: as `killed run FILE ...` it is the engine's own program, which the
//! test then kills with SIGKILL in the middle of a sweep.

mod python;

use admf_tools::decode::What;
use admf_tools::{decode, files, line, verify};
use std::path::Path;
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

fn main() -> ExitCode {
    if std::env::args().nth(1).as_deref() == Some("run") {
        return admf::cli::main();
    }
    for policy in ["full", "sliding_window", "trade_complete"] {
        killed(policy);
        println!("test a_killed_run_under_{policy}_is_decoded_the_same_by_both ... ok");
    }
    ExitCode::SUCCESS
}

fn killed(policy: &str) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let data = Path::new(env!("CARGO_MANIFEST_DIR"));
    let data = data.join("../examples/data/sp500_daily_2000_2020.csv");
    let file = folder.path().join("w.yaml");
    let text = format!(
        "workflow: parameter_sweep\nevent_tracing: all\nretention_policy: {policy}\n\
         sliding_window_size: 60\nstore_trades: true\ndata: {{path: {}, symbols: [SP500]}}\n\
         strategy:\n  name: sma_crossover\n  parameters:\n    fast: {{min: 2, max: 90, step: 1}}\n    \
         slow: {{min: 100, max: 240, step: 2}}\n",
        data.display()
    );
    std::fs::write(&file, text).expect("writable");
    let root = folder.path().join("results");
    let mut child = Command::new(std::env::current_exe().expect("a path"))
        .args(["run", "-q", "--threads", "1", "--results-root"])
        .args([&root, &file])
        .spawn()
        .expect("the program starts");
    // Killed once the archive has grown, wherever the run is by then.
    let archive = root.join("parameter_sweep/sweep/traces/archive_00000.admf");
    let begun = Instant::now();
    let size = || archive.metadata().map_or(0, |data| data.len());
    while size() < 1_900_000 && begun.elapsed() < Duration::from_secs(60) {
        std::thread::sleep(Duration::from_micros(200));
    }
    child.kill().expect("it still runs");
    let status = child.wait().expect("it ends");
    assert!(
        !status.success(),
        "{policy}: the run was over before it was killed"
    );

    let mut lines = Vec::new();
    let (mut unsealed, mut pools, mut losses) = (0_u64, 0, Vec::new());
    for (path, kind) in files::list(&root).expect("a killed run leaves files") {
        pools += u32::from(kind == admf::segment::FileKind::Pool);
        decode::file(&path, kind, What::Events, &|_, _| Ok(true), &mut |event| {
            unsealed += u64::from(!event.sealed);
            serde_json::to_writer(&mut lines, &line::of(event)).expect("memory is writable");
            lines.push(b'\n');
            Ok(())
        })
        .expect("what was committed decodes");
        verify::file(&path, kind, &mut |fault| losses.push(fault)).expect("readable");
    }
    losses.retain(|fault| fault.severity == admf_tools::fault::Severity::Loss);
    assert!(losses.is_empty(), "{policy}: {losses:?}");
    assert!(
        unsealed > 0 && pools > 0,
        "{policy}: {unsealed} unsealed events in {pools} pools"
    );
    assert!(lines.len() > 1_000, "{policy}: {} bytes", lines.len());
    if let Some(decoded) = python::decode(&root) {
        assert!(decoded == lines, "{policy}: the Python decoder disagrees");
    }
}
