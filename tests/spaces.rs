//! Parameter spaces on the program itself: samples are the same bytes on any machine, take no
//! memory each, and what is wrong with a space is said with its line.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

fn admf(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_admf"))
        .args(arguments)
        .output()
        .expect("the program starts")
}

/// A workflow over the bundled data with this strategy and these lines.
fn workflow(folder: &Path, strategy: &str, lines: &str) -> String {
    let data =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/data/sp500_daily_2000_2020.csv");
    let text = format!(
        "workflow: parameter_sweep\nresults_dir: run\ndata: {{path: {}}}\n{lines}strategy: {strategy}\n",
        data.display()
    );
    let file = folder.join("workflow.yaml");
    std::fs::write(&file, text).expect("the folder is writable");
    file.to_string_lossy().into_owned()
}

/// A sampled Bollinger sweep.
fn bollinger(method: &str, samples: u64) -> String {
    format!(
        "{{name: bollinger_bands, parameters: {{period: {{min: 5, max: 200, scale: log, integer: \
         true}}, std_dev: {{min: 0.5, max: 4, scale: log}}}}, constraints: ['period * std_dev < \
         500'], sampling: {{method: {method}, samples: {samples}, seed: 7}}}}"
    )
}

/// Every JSON of a results tree but run.json.
fn content(root: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let (mut files, mut folders) = (Vec::new(), vec![root.to_path_buf()]);
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).expect("a results folder") {
            let path = entry.expect("an entry").path();
            let is_json = path.extension().is_some_and(|ending| ending == "json");
            if path.is_dir() {
                folders.push(path);
            } else if is_json && !path.ends_with("run.json") {
                let name = path.strip_prefix(root).expect("below the root");
                files.push((name.to_owned(), std::fs::read(&path).expect("readable")));
            }
        }
    }
    files.sort();
    files
}

#[test]
fn sampled_sweeps_are_the_same_bytes_for_any_threads_and_budget() {
    for method in ["random", "sobol", "latin_hypercube"] {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let file = workflow(folder.path(), &bollinger(method, 150), "");
        let mut runs = Vec::new();
        for (threads, budget) in [("1", "256MiB"), ("2", "64MiB"), ("2", "11MiB")] {
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
            assert!(out.status.success(), "{out:?}");
            runs.push(content(&root));
        }
        assert!(runs[0].len() > 100, "{method}: {}", runs[0].len());
        assert!(runs[0] == runs[1] && runs[1] == runs[2], "{method}");
    }
}

/// The plan of the only phase.
fn plan(file: &str) -> serde_json::Value {
    let out = admf(&["plan", file, "--json", "--threads", "2"]);
    assert!(out.status.success(), "{out:?}");
    let plan: serde_json::Value = serde_json::from_slice(&out.stdout).expect("valid JSON");
    plan["phases"][0].clone()
}

#[test]
fn a_million_samples_are_planned_in_the_memory_of_twenty_thousand() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    for method in ["random", "sobol", "latin_hypercube"] {
        let of = |samples: u64| plan(&workflow(folder.path(), &bollinger(method, samples), ""));
        // As many tiles are looked at for both.
        let (few, many) = (of(20_000), of(1_000_000));
        assert!(many["containers"].as_u64() > Some(900_000));
        let bytes = |plan: &serde_json::Value| plan["peak_bytes"].as_u64().expect("a number");
        // 1 bit per container and 8 bytes per 64 samples.
        assert!(bytes(&many) - bytes(&few) < 300_000, "{method}");
        assert!(bytes(&many) < 64 << 20);
    }
}

/// Runs a workflow and gives the most memory it held, in bytes.
fn peak_of_run(file: &str, root: &Path) -> u64 {
    let mut child = Command::new(env!("CARGO_BIN_EXE_admf"))
        .args(["run", file, "-q", "--threads", "2", "--results-root"])
        .arg(root)
        .spawn()
        .expect("the program starts");
    let status = PathBuf::from(format!("/proc/{}/status", child.id()));
    let mut peak = 0;
    loop {
        let text = std::fs::read_to_string(&status).unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kib = line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<u64>().ok());
        peak = peak.max(kib.unwrap_or(0) << 10);
        if let Some(status) = child.try_wait().expect("the child can be waited for") {
            assert!(status.success());
            return peak;
        }
        std::thread::sleep(std::time::Duration::from_micros(100));
    }
}

/// Measures sampled sweeps of these lengths on 60 bars.
fn check_memory(few: u64, many: u64) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let lines = "memory_budget: 32MiB\ncontainer_results: archive\n";
    let peaks = [few, many].map(|samples| {
        let file = workflow(
            folder.path(),
            &bollinger("latin_hypercube", samples),
            &format!("{lines}results_storage: disk\n"),
        );
        let text = std::fs::read_to_string(&file).expect("it was written");
        let text = text.replace(".csv}", ".csv, end: 2000-04-01}");
        std::fs::write(&file, text).expect("writable");
        let root = folder.path().join(samples.to_string());
        let peak = peak_of_run(&file, &root);
        let planned = plan(&file)["peak_bytes"].as_u64().expect("a number");
        assert!(
            peak <= planned,
            "{samples} samples took {peak} of {planned} bytes"
        );
        std::fs::remove_dir_all(&root).expect("removable");
        peak
    });
    println!(
        "peak bytes: {few} samples {}, {many} samples {}",
        peaks[0], peaks[1]
    );
    assert!(peaks[1] < peaks[0] * 21 / 20 + (1 << 20), "{peaks:?}");
}

#[test]
fn samples_take_no_memory_each() {
    // So many that both workers have all they need at once.
    check_memory(5_000, 50_000);
}

#[test]
#[ignore = "minutes: cargo test --release --test spaces -- --ignored --nocapture"]
fn a_million_samples_run_in_the_memory_of_ten_thousand() {
    check_memory(10_000, 1_000_000);
}

#[test]
fn wrong_spaces_end_with_code_2_and_say_what_to_do() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let check = |strategy: &str, parts: &[&str]| {
        let out = admf(&["validate", &workflow(folder.path(), strategy, "")]);
        let text = String::from_utf8_lossy(&out.stderr).into_owned();
        assert_eq!(out.status.code(), Some(2), "{strategy}: {text}");
        for part in parts {
            assert!(text.contains(part), "{strategy}: {text} has no {part}");
        }
    };
    let slow =
        |range: &str| format!("{{name: sma_crossover, parameters: {{fast: 5, slow: {range}}}}}");
    check(
        &slow("{min: 0, max: 50, scale: log, count: 5}"),
        &[
            "workflow.yaml:4",
            "strategy.parameters.slow",
            "log range needs min above 0",
        ],
    );
    check(
        &slow("{min: -3, max: 50, scale: log, count: 5}"),
        &["min above 0, -3 was found"],
    );
    check(
        &slow("{min: 5, max: 50, scale: lin, count: 5}"),
        &["linear"],
    );
    check(
        &slow("{min: 5, max: 50}"),
        &["`step` or `count` is missing"],
    );
    check(&slow("{min: 5, max: 50, step: 1, count: 5}"), &["keep one"]);
    check(
        &slow("{min: 5, max: 50, step: 2, scale: log}"),
        &["no step"],
    );
    check(&slow("{min: 5, max: 50, count: 0}"), &["1 or more"]);
    check(&slow("{min: 5, max: 50, count: 1}"), &["two ends"]);
    check(&slow("{min: 5, max: 50, count: 5}"), &["whole number"]);
    check(
        &slow("{min: 5.5, max: 50, integer: true}"),
        &["a whole number"],
    );
    check(&slow("{min: 5, max: 50, integer: 1}"), &["true or false"]);
    check(
        &slow("{min: 5, max: 50, cuont: 4}"),
        &["did you mean `count`"],
    );
    check(&slow("{choice: []}"), &["at least one item"]);
    check(&slow("{choice: [5, 5]}"), &["listed twice"]);
    check(&slow("{choice: [5], min: 3}"), &["unknown key"]);

    let sampled = |range: &str, sampling: &str| {
        format!(
            "{{name: sma_crossover, parameters: {{fast: 5, slow: {range}}}, sampling: {sampling}}}"
        )
    };
    let whole = "{min: 5, max: 50, integer: true}";
    let all = "{method: sobol, samples: 10, seed: 1}";
    check(&sampled("{min: 5, max: 50}", all), &["add `integer: true`"]);
    check(&sampled("{min: 5.5, max: 50}", all), &["whole number"]);
    check(
        &sampled(whole, "{method: sobol, seed: 1}"),
        &["strategy.sampling", "`samples` is missing"],
    );
    check(
        &sampled(whole, "{method: sobol, samples: 10}"),
        &["`seed` is missing"],
    );
    for (samples, part) in [
        ("0", "1 or more"),
        ("-5", "1 or more"),
        ("2.5", "1 or more"),
        ("ten", "1 or more"),
        ("5000000000", "1 to 1073741824"),
        ("47", "47 samples of 46 parameter sets"),
    ] {
        let sampling = format!("{{method: random, samples: {samples}, seed: 1}}");
        check(&sampled(whole, &sampling), &["strategy.sampling", part]);
    }
    check(
        &sampled(whole, "{method: sobel, samples: 10, seed: 1}"),
        &["did you mean `sobol`"],
    );
    check(
        &sampled(whole, "{method: sobol, samples: 10, seed: -1}"),
        &["0 to 2^64 - 1"],
    );
    check(
        &sampled("[5, 6]", "{method: grid, samples: 10}"),
        &["a grid has every set"],
    );
    check(
        "{name: sma_crossover, parameters: {fast: [50, 60], slow: [5, 6]}, constraints: ['fast < \
         slow'], sampling: {method: random, samples: 3, seed: 1}}",
        &["no parameter set satisfies the constraints"],
    );
}

#[test]
fn grids_of_counts_and_logs_have_the_values_one_expects() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let strategy = "{name: bollinger_bands, parameters: {period: {min: 10, max: 1000, scale: log, \
                    count: 5, integer: true}, std_dev: {min: 1, max: 2, count: 3}}}";
    let file = workflow(folder.path(), strategy, "");
    let root = folder.path().join("results");
    let out = admf(&[
        "run",
        &file,
        "-q",
        "--results-root",
        &root.to_string_lossy(),
    ]);
    assert!(out.status.success(), "{out:?}");
    let value = |n: u32, name: &str| {
        let path = format!("run/sweep/containers/portfolio_{n:03}_results.json");
        let text = std::fs::read(root.join(path)).expect("a result");
        let json: serde_json::Value = serde_json::from_slice(&text).expect("valid JSON");
        json["parameters"][name].as_f64().expect("a number")
    };
    for (at, period) in [10.0, 32.0, 100.0, 316.0, 1000.0].into_iter().enumerate() {
        for (beside, std_dev) in [1.0, 1.5, 2.0].into_iter().enumerate() {
            let n = (at * 3 + beside) as u32 + 1;
            assert_eq!((value(n, "period"), value(n, "std_dev")), (period, std_dev));
        }
    }
}
