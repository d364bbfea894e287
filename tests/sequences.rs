//! Promises of sequences, shown on the program itself: windows where a calendar says, nothing of
//! testing in training, the memory of one window, the same bytes after kills.
//!
//! Longer than other files: all sequences are run by the same few helpers, on the program itself.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

fn admf(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_admf"))
        .args(arguments)
        .output()
        .expect("the program starts")
}

fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

fn bundled() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/data/sp500_daily_2000_2020.csv")
}

/// A workflow file in a folder of its own.
fn workflow(folder: &Path, name: &str, lines: &str) -> String {
    let file = folder.join(format!("{name}.yaml"));
    std::fs::write(&file, lines).expect("the folder is writable");
    text(&file)
}

/// Runs a workflow that must succeed, and gives its results directory.
fn run(file: &str, root: &Path, more: &[&str]) -> PathBuf {
    let root_text = text(root);
    let mut arguments = vec!["run", file, "--results-root", &root_text, "-q"];
    arguments.extend(more);
    let out = admf(&arguments);
    let message = String::from_utf8_lossy(&out.stderr);
    assert!(out.status.success(), "{message}");
    root.join("r")
}

/// Every JSON and CSV of the tree but run.json.
fn content(root: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut files = Vec::new();
    let mut folders = vec![root.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).expect("a results folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|e| e == "json" || e == "csv")
                && !path.ends_with("run.json")
            {
                let name = path.strip_prefix(root).expect("below").to_path_buf();
                files.push((name, std::fs::read(&path).expect("a readable file")));
            }
        }
    }
    files.sort();
    files
}

/// The JSON is what its schema says.
fn check_schema(schema: &str, value: &serde_json::Value) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("formats/schema")
        .join(format!("{schema}.schema.json"));
    let validator = jsonschema::draft202012::new(&json(&file)).expect("a valid schema");
    let errors: Vec<String> = validator
        .iter_errors(value)
        .map(|error| format!("{}: {error}", error.instance_path()))
        .collect();
    assert!(errors.is_empty(), "{schema}: {errors:?}");
}

fn json(path: &Path) -> serde_json::Value {
    let bytes = std::fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_slice(&bytes).expect("valid JSON")
}

/// Days of a month, counted by hand: the calendar of these tests is not the program's.
fn days_of(year: u32, month: u32) -> u32 {
    match month {
        2 if year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400)) => {
            29
        }
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Every day of these years, as `2020-01-31`.
fn calendar(years: std::ops::RangeInclusive<u32>) -> Vec<String> {
    let mut days = Vec::new();
    for year in years {
        for month in 1..=12 {
            for day in 1..=days_of(year, month) {
                days.push(format!("{year}-{month:02}-{day:02}"));
            }
        }
    }
    days
}

/// A small generator of numbers from 0 to 1, for data.
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> f64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as f64 / (1_u64 << 31) as f64
    }
}

/// Daily bars: closes by day, each bar opening at the close before.
fn write_bars(file: &Path, days: &[String], closes: &[f64]) {
    let mut rows = String::from("date,open,high,low,close,volume\n");
    let mut open = closes[0];
    for (day, &close) in days.iter().zip(closes) {
        let (high, low) = (open.max(close), open.min(close));
        rows += &format!("{day},{open},{high},{low},{close},1000\n");
        open = close;
    }
    std::fs::write(file, rows).expect("writable");
}

/// A random walk; `momentum` is how much of a change the next one repeats.
fn walk(bars: usize, seed: u64, momentum: f64) -> Vec<f64> {
    let (mut numbers, mut close, mut change) = (Numbers(seed), 100.0_f64, 0.0);
    (0..bars)
        .map(|_| {
            let shock = (0..4).map(|_| numbers.next() - 0.5).sum::<f64>() * 0.02;
            change = momentum * change + shock;
            close = (close * (1.0 + change)).max(1.0);
            (close * 10_000.0).round() / 10_000.0
        })
        .collect()
}

const STRATEGY: &str =
    "strategy: {name: sma_crossover, parameters: {fast: [2, 3, 5], slow: [8, 13, 21]}}\n";

#[test]
fn windows_are_where_the_calendar_says() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let all = calendar(2020..=2023);
    // Weekdays only: 2020-01-01 was a Wednesday.
    let traded: Vec<String> = all
        .iter()
        .enumerate()
        .filter(|(at, _)| (at + 2) % 7 < 5)
        .map(|(_, day)| day.clone())
        .collect();
    write_bars(
        &folder.path().join("d.csv"),
        &traded,
        &walk(traded.len(), 1, 0.0),
    );
    let lines = format!(
        "workflow: walk_forward_optimization\ndata: {{path: d.csv, start: 2020-01-01, end: 2024-01-01}}\n{STRATEGY}"
    );
    for anchored in [false, true] {
        let settings =
            format!("walk_forward: {{train: 252, test: 63, step: 21, anchored: {anchored}}}\n");
        let file = workflow(folder.path(), "w", &format!("{lines}{settings}"));
        let root = text(&folder.path().join("r"));
        let out = admf(&["plan", &file, "--json", "--results-root", &root]);
        let plan: serde_json::Value = serde_json::from_slice(&out.stdout).expect("JSON");
        let windows = plan["windows"].as_array().expect("a list");
        // Upstream's count for these dates.
        assert_eq!(windows.len(), 55);
        for (number, window) in windows.iter().enumerate() {
            let begin = number * 21;
            let train = if anchored { 0 } else { begin }..begin + 252;
            let test = begin + 252..begin + 252 + 63;
            for (part, days) in [("train", train), ("test", test)] {
                let inside: Vec<&String> = traded
                    .iter()
                    .filter(|day| all[days.clone()].contains(day))
                    .collect();
                let found = &window[part][0];
                let time = |day: &str| format!("{day}T00:00:00Z");
                assert_eq!(found["bars"], inside.len(), "{number} {part}");
                assert_eq!(found["first"], time(inside[0]), "{number} {part}");
                assert_eq!(
                    found["last"],
                    time(inside[inside.len() - 1]),
                    "{number} {part}"
                );
            }
            assert!(window["train"][0]["last"].as_str() < window["test"][0]["first"].as_str());
        }
        let last = all[54 * 21 + 252 + 63 - 1].as_str();
        assert!(last <= "2023-12-31" && all.len() < 55 * 21 + 252 + 63);
    }
}

#[test]
fn windows_of_bars_are_counted_in_bars() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let days = calendar(2020..=2020);
    write_bars(
        &folder.path().join("d.csv"),
        &days,
        &walk(days.len(), 1, 0.0),
    );
    let lines = format!(
        "workflow: walk_forward_optimization\ndata: {{path: d.csv}}\n{STRATEGY}walk_forward: {{train: 100, test: 30, step: 40, unit: bars}}\n"
    );
    let root = text(&folder.path().join("r"));
    let file = workflow(folder.path(), "w", &lines);
    let out = admf(&["plan", &file, "--json", "--results-root", &root]);
    let plan: serde_json::Value = serde_json::from_slice(&out.stdout).expect("JSON");
    let windows = plan["windows"].as_array().expect("a list");
    // 366 bars: the last window begins at 200 and ends before 330.
    assert_eq!(windows.len(), 6);
    for (number, window) in windows.iter().enumerate() {
        let time = |bar: usize| format!("{}T00:00:00Z", days[bar]);
        assert_eq!(window["train"][0]["first"], time(number * 40));
        assert_eq!(window["train"][0]["last"], time(number * 40 + 99));
        assert_eq!(window["test"][0]["first"], time(number * 40 + 100));
        assert_eq!(window["test"][0]["last"], time(number * 40 + 129));
    }
}

/// A walk-forward over the bundled series, in windows of bars.
fn bundled_walk_forward(train: u64, test: u64, step: u64, more: &str) -> String {
    format!(
        "workflow: walk_forward_optimization
results_dir: r
data: {{path: '{}', symbols: [SP500]}}
strategy:
  name: sma_crossover
  parameters: {{fast: {{min: 2, max: 11, step: 1}}, slow: {{min: 15, max: 60, step: 5}}}}
execution: {{commission: {{rate: 0.001}}}}
container_results: archive
walk_forward: {{train: {train}, test: {test}, step: {step}, unit: bars}}
{more}",
        bundled().display()
    )
}

#[test]
fn a_killed_walk_forward_goes_on_and_gives_the_same_bytes() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = workflow(folder.path(), "w", &bundled_walk_forward(500, 250, 250, ""));
    let whole = run(&file, &folder.path().join("whole"), &["--threads", "2"]);
    let cut = folder.path().join("cut");
    let windows = json(&whole.join("walk_forward_results.json"))["windows"].as_u64();
    assert_eq!(windows, Some(18));
    let mut kills = 0;
    for milliseconds in [60, 90, 40, 130, 70, 110, 50] {
        let mut child = Command::new(env!("CARGO_BIN_EXE_admf"))
            .args([
                "run",
                &file,
                "--results-root",
                &text(&cut),
                "-q",
                "--threads",
                "1",
            ])
            .spawn()
            .expect("the program starts");
        std::thread::sleep(std::time::Duration::from_millis(milliseconds));
        // It may have finished by then, which is as good.
        let _ = child.kill();
        kills += usize::from(!child.wait().expect("the child ends").success());
    }
    println!("{kills} kills");
    let cut = run(&file, &cut, &[]);
    assert!(content(&whole) == content(&cut));
    for number in 1..=18 {
        for phase in ["training", "testing"] {
            let window = whole.join(format!("{phase}/window_{number:02}"));
            assert!(window.join("aggregate_results.json").is_file());
            assert!(window.join("phase_summary.json").is_file());
        }
        // Roots, threads and kills leave no mark in an archive either.
        let archive = format!("training/window_{number:02}/traces/archive_00000.admf");
        let [one, other] =
            [&whole, &cut].map(|root| std::fs::read(root.join(&archive)).expect("an archive"));
        assert!(one == other, "{archive}");
        assert!(
            whole
                .join(format!("windows/window_{number:02}.json"))
                .is_file()
        );
    }
}

/// Runs to the end and gives the peak of resident memory, in KiB, as the kernel saw it.
fn peak_kib(file: &str, root: &Path) -> u64 {
    let mut child = Command::new(env!("CARGO_BIN_EXE_admf"))
        .args([
            "run",
            file,
            "--results-root",
            &text(root),
            "-q",
            "--threads",
            "2",
        ])
        .stdout(Stdio::null())
        .spawn()
        .expect("the program starts");
    let status = format!("/proc/{}/status", child.id());
    let mut peak = 0;
    while child.try_wait().expect("the child is ours").is_none() {
        let text = std::fs::read_to_string(&status).unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kib = line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok());
        peak = peak.max(kib.unwrap_or(0));
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
    assert!(child.wait().expect("the child is ours").success());
    peak
}

#[test]
fn many_windows_take_the_memory_of_a_few() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let few = bundled_walk_forward(500, 100, 1000, "");
    let many = bundled_walk_forward(500, 100, 100, "");
    // Which pages of the program itself are resident is chance, so the least of some runs counts.
    let peak = |name: &str, lines: &str| {
        let file = workflow(folder.path(), name, lines);
        let runs = (0..4).map(|run| peak_kib(&file, &folder.path().join(format!("{name}{run}"))));
        runs.min().expect("four runs")
    };
    let (few, many) = (peak("few", &few), peak("many", &many));
    let of = |name: &str| json(&folder.path().join(name).join("r/walk_forward_results.json"));
    assert_eq!(
        (
            of("few0")["windows"].as_u64(),
            of("many0")["windows"].as_u64()
        ),
        (Some(5), Some(46))
    );
    println!("{few} KiB with 5 windows, {many} KiB with 46");
    assert!(
        many as f64 <= few as f64 * 1.05,
        "{many} KiB after {few} KiB"
    );
    assert!(many < 64 << 10);
}

#[test]
fn what_is_chosen_knows_nothing_of_testing() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let days = calendar(2020..=2021);
    let closes = walk(days.len(), 7, 0.0);
    let lines = format!(
        "workflow: walk_forward_optimization\nresults_dir: r\ndata: {{path: d.csv, bars_per_year: 365}}\n{STRATEGY}\
         event_tracing: all\nretention_policy: full\nwalk_forward: {{train: 300, test: 100, step: 100, unit: bars}}\n"
    );
    let mut runs = Vec::new();
    for (name, factor) in [("a", 1.0), ("b", 1.7)] {
        let place = folder.path().join(name);
        std::fs::create_dir(&place).expect("writable");
        // Bars 300 to 399 are testing of the first window only.
        let changed: Vec<f64> = closes
            .iter()
            .enumerate()
            .map(|(at, close)| {
                if (300..400).contains(&at) {
                    close * factor + at as f64 * (factor - 1.0)
                } else {
                    *close
                }
            })
            .collect();
        write_bars(&place.join("d.csv"), &days, &changed);
        let file = workflow(&place, "w", &lines);
        runs.push(run(&file, &place.join("results"), &[]));
    }
    let training = |root: &Path| content(&root.join("training/window_01"));
    assert!(training(&runs[0]).len() >= 11);
    assert!(training(&runs[0]) == training(&runs[1]));
    let window = |root: &Path| json(&root.join("windows/window_01.json"));
    let (a, b) = (window(&runs[0]), window(&runs[1]));
    assert_eq!(a["chosen"][0]["parameters"], b["chosen"][0]["parameters"]);
    assert_eq!(a["chosen"][0]["in_sample"], b["chosen"][0]["in_sample"]);
    // The change is real: testing and the training that contains it differ.
    assert_ne!(
        a["chosen"][0]["out_of_sample"],
        b["chosen"][0]["out_of_sample"]
    );
    assert!(
        content(&runs[0].join("training/window_02"))
            != content(&runs[1].join("training/window_02"))
    );
}

/// The report of a walk-forward over a walk with this momentum.
fn decay(folder: &Path, name: &str, momentum: f64) -> serde_json::Value {
    let days = calendar(2000..=2010);
    let place = folder.join(name);
    std::fs::create_dir(&place).expect("writable");
    write_bars(&place.join("d.csv"), &days, &walk(days.len(), 11, momentum));
    let lines = "workflow: walk_forward_optimization
results_dir: r
data: {path: d.csv, bars_per_year: 365}
portfolio: {direction: long_short}
strategy: {name: sma_crossover, parameters: {fast: {min: 1, max: 10, step: 1}, slow: {min: 12, max: 60, step: 4}}}
container_results: archive
walk_forward: {train: 365, test: 182, step: 182, unit: bars}
";
    let root = run(&workflow(&place, "w", lines), &place.join("results"), &[]);
    json(&root.join("walk_forward_results.json"))["efficiency"].clone()
}

#[test]
fn the_best_of_noise_decays_and_a_planted_edge_survives() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let noise = decay(folder.path(), "noise", 0.0);
    let edge = decay(folder.path(), "edge", 0.6);
    println!("noise {noise}\nedge {edge}");
    let figure = |report: &serde_json::Value, key: &str| report[key].as_f64().expect("a figure");
    let inside = figure(&noise, "in_sample_objective");
    let outside = figure(&noise, "out_of_sample_objective");
    assert!(inside > 0.8 && outside < inside / 3.0, "{inside} {outside}");
    assert!(figure(&noise, "objective_decay") > 0.5);
    let inside = figure(&edge, "in_sample_objective");
    let outside = figure(&edge, "out_of_sample_objective");
    assert!(
        outside > inside / 2.0 && outside > 0.8,
        "{inside} {outside}"
    );
}

#[test]
fn the_stitched_curve_is_the_windows_one_after_the_other() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let lines = bundled_walk_forward(
        600,
        300,
        300,
        "phase_overrides: {testing: {results_storage: disk}}\n",
    );
    let root = run(
        &workflow(folder.path(), "w", &lines),
        &folder.path().join("x"),
        &[],
    );
    let report = json(&root.join("walk_forward_results.json"));
    let windows = report["window_results"].as_array().expect("a list");
    check_schema("walk_forward", &report);
    check_schema("window", &json(&root.join("windows/window_01.json")));
    let growth = windows.iter().fold(1.0, |growth, window| {
        let change = window["chosen"][0]["out_of_sample"]["total_return"].as_f64();
        growth * (1.0 + change.expect("a figure"))
    });
    let metrics = &report["out_of_sample"]["metrics"];
    let total = metrics["total_return"].as_f64().expect("a figure");
    assert!((total - (growth - 1.0)).abs() < 1e-9, "{total} {growth}");
    // An independent pass over the curve's own rows.
    let curve = std::fs::read_to_string(root.join("out_of_sample_equity.csv")).expect("the curve");
    let rows: Vec<Vec<&str>> = curve
        .lines()
        .skip(1)
        .map(|row| row.split(',').collect())
        .collect();
    assert_eq!(report["out_of_sample"]["bars"], rows.len());
    assert_eq!(rows.len(), windows.len() * 300);
    for (column, key) in [(2, "out_of_sample"), (3, "buy_and_hold")] {
        let equity: Vec<f64> = rows
            .iter()
            .map(|row| row[column].parse().expect("a number"))
            .collect();
        let (mut peak, mut drawdown) = (1e5_f64, 0.0_f64);
        for value in &equity {
            peak = peak.max(*value);
            drawdown = drawdown.max(1.0 - value / peak);
        }
        let metrics = &report[key]["metrics"];
        assert_eq!(metrics["max_drawdown"].as_f64(), Some(drawdown), "{key}");
        assert_eq!(
            metrics["current_value"].as_f64(),
            equity.last().copied(),
            "{key}"
        );
        // Per-bar returns, in two passes.
        let mut before = vec![1e5];
        before.extend(&equity);
        let returns: Vec<f64> = before
            .windows(2)
            .map(|pair| pair[1] / pair[0] - 1.0)
            .collect();
        let count = (returns.len() - 1) as f64;
        let mean = returns.iter().sum::<f64>() / count;
        let squares: f64 = returns.iter().map(|one| one * one).sum();
        let deviation = ((squares - count * mean * mean) / (count - 1.0)).sqrt();
        let per_year = metrics["bars_per_year"].as_f64().expect("a figure");
        let sharpe = metrics["sharpe_ratio"].as_f64().expect("a figure");
        assert!(
            (sharpe - mean / deviation * per_year.sqrt()).abs() < 1e-9,
            "{key}"
        );
    }
    // The benchmark is the close, from the one before the first window to the last.
    let closes: Vec<f64> = std::fs::read_to_string(bundled())
        .expect("the bundled data")
        .lines()
        .skip(1)
        .map(|row| {
            row.split(',')
                .nth(4)
                .expect("a close")
                .parse()
                .expect("a number")
        })
        .collect();
    let held = closes[600 + windows.len() * 300 - 1] / closes[599];
    let last: f64 = rows[rows.len() - 1][3].parse().expect("a number");
    assert!((last / 1e5 / held - 1.0).abs() < 1e-9);
}

/// A run of these lines ends with code 2 and all of `parts` in its message.
fn refused(name: &str, lines: &str, parts: &[&str]) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = workflow(folder.path(), name, lines);
    let root = text(&folder.path().join("results"));
    for verb in ["run", "plan"] {
        let out = admf(&[verb, &file, "--results-root", &root]);
        let message = String::from_utf8_lossy(&out.stderr).into_owned();
        assert_eq!(out.status.code(), Some(2), "{lines}: {message}");
        for part in parts {
            assert!(message.contains(part), "{lines}: {message} has no {part}");
        }
    }
    assert!(!folder.path().join("results/r").exists());
}

#[test]
fn windows_that_cannot_be_are_refused_with_code_2() {
    refused(
        "long",
        &bundled_walk_forward(5000, 500, 100, ""),
        &[
            "long.yaml:1:",
            "train 5000 and test 500 are 5500 bars",
            "make the windows shorter",
        ],
    );
    refused(
        "zero",
        &bundled_walk_forward(500, 100, 0, ""),
        &[
            "zero.yaml:9:",
            "`walk_forward.step`: 0 was found",
            "1 or more",
        ],
    );
    refused(
        "few",
        &bundled_walk_forward(500, 1, 100, ""),
        &["testing of window_01 has 1 bars", "at least 2"],
    );
    refused(
        "cycle",
        &format!(
            "workflow: sequence\ndata: {{path: '{}'}}\n{STRATEGY}sequence: a\nsequences:\n  a: {{iterations: windows, inside: b}}\n  b: {{iterations: once, inside: a}}\n",
            bundled().display()
        ),
        &["a cycle: a > b > a"],
    );
}

/// A k-fold over 100 daily bars.
fn k_fold(folder: &Path, settings: &str) -> String {
    let days = calendar(2020..=2020);
    write_bars(&folder.join("d.csv"), &days[..100], &walk(100, 3, 0.0));
    format!(
        "workflow: k_fold_optimization\nresults_dir: r\ndata: {{path: d.csv, bars_per_year: 365}}\n\
         strategy: {{name: sma_crossover, parameters: {{fast: [1, 2], slow: [3, 4]}}}}\n\
         event_tracing: all\nretention_policy: full\nk_fold: {settings}\n"
    )
}

#[test]
fn folds_are_where_an_independent_listing_puts_them() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let days = calendar(2020..=2020);
    for (unit, purge, embargo) in [
        ("bars", 0, 0),
        ("bars", 4, 3),
        ("days", 4, 3),
        ("days", 0, 2),
    ] {
        let settings = format!("{{folds: 3, purge: {purge}, embargo: {embargo}, unit: {unit}}}");
        let file = workflow(folder.path(), "w", &k_fold(folder.path(), &settings));
        let root = text(&folder.path().join("results"));
        let out = admf(&["plan", &file, "--json", "--results-root", &root]);
        let plan: serde_json::Value = serde_json::from_slice(&out.stdout).expect("JSON");
        let windows = plan["windows"].as_array().expect("a list");
        assert_eq!(windows.len(), 3);
        // A bar a day: days and bars are the same measure here.
        let cuts = [0, 33, 66, 100];
        for (number, window) in windows.iter().enumerate() {
            let (first, end) = (cuts[number], cuts[number + 1]);
            let trained = (0..100_usize).filter(|bar| {
                let before = bar + purge < first;
                let after = *bar >= end + purge + embargo;
                before || after
            });
            let trained: Vec<usize> = trained.collect();
            let pieces: Vec<&[usize]> = trained.chunk_by(|a, b| a + 1 == *b).collect();
            let expected: Vec<serde_json::Value> = pieces
                .iter()
                .map(|piece| {
                    let time = |bar: usize| format!("{}T00:00:00Z", days[bar]);
                    serde_json::json!({"symbol": "d", "bars": piece.len(), "first": time(piece[0]), "last": time(piece[piece.len() - 1])})
                })
                .collect();
            assert_eq!(
                window["train"],
                serde_json::Value::Array(expected),
                "{unit} {number}"
            );
            assert_eq!(
                window["test"][0]["first"],
                format!("{}T00:00:00Z", days[first])
            );
            assert_eq!(
                window["test"][0]["last"],
                format!("{}T00:00:00Z", days[end - 1])
            );
        }
    }
}

#[test]
fn training_around_a_fold_knows_nothing_of_it() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut runs = Vec::new();
    for (name, factor) in [("a", 1.0), ("b", 1.9)] {
        let place = folder.path().join(name);
        std::fs::create_dir(&place).expect("writable");
        let file = workflow(&place, "w", &k_fold(&place, "{folds: 3, purge: 1}"));
        let days = calendar(2020..=2020);
        // Bars 33 to 65 are the second fold. The bar after opens where the last of them closed, and
        // the purge keeps it out of training.
        let closes: Vec<f64> = walk(100, 3, 0.0)
            .iter()
            .enumerate()
            .map(|(at, close)| {
                if (33..66).contains(&at) {
                    close * factor
                } else {
                    *close
                }
            })
            .collect();
        write_bars(&place.join("d.csv"), &days[..100], &closes);
        runs.push(run(&file, &place.join("results"), &[]));
    }
    let window = |root: &Path, n: usize| content(&root.join(format!("training/window_0{n}")));
    assert!(window(&runs[0], 2).len() >= 14);
    assert!(window(&runs[0], 2) == window(&runs[1], 2));
    assert!(window(&runs[0], 1) != window(&runs[1], 1));
    let chosen = |root: &Path| json(&root.join("windows/window_02.json"))["chosen"][0].clone();
    assert_eq!(
        chosen(&runs[0])["parameters"],
        chosen(&runs[1])["parameters"]
    );
    check_schema("walk_forward", &json(&runs[0].join("k_fold_results.json")));
}

#[test]
fn the_parts_around_a_fold_are_put_together() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = workflow(
        folder.path(),
        "w",
        &k_fold(folder.path(), "{folds: 3}\ntop_n: 4"),
    );
    let root = run(&file, &folder.path().join("results"), &[]);
    let window = root.join("training/window_02");
    let whole = json(&window.join("aggregate_results.json"));
    assert_eq!(whole["best"].as_array().map(Vec::len), Some(4));
    for best in whole["best"].as_array().expect("a list") {
        let name = best["container"].as_str().expect("a name");
        let part = |n: usize| {
            json(&window.join(format!("part_{n}/containers/{name}_results.json")))["metrics"]
                .clone()
        };
        let (a, b) = (part(1), part(2));
        let figure = |part: &serde_json::Value, key: &str| {
            part["overall"]
                .get(key)
                .or_else(|| part.get(key))
                .and_then(serde_json::Value::as_f64)
        };
        let total =
            |part: &serde_json::Value| 1.0 + figure(part, "total_return").expect("a figure");
        let metrics = &best["metrics"];
        let joined = 1.0 + metrics["total_return"].as_f64().expect("a figure");
        assert!((joined - total(&a) * total(&b)).abs() < 1e-12, "{name}");
        let count = |part: &serde_json::Value| figure(part, "total_trades").expect("a figure");
        assert_eq!(
            metrics["total_trades"].as_f64(),
            Some(count(&a) + count(&b)),
            "{name}"
        );
        let drawdown = |part: &serde_json::Value| figure(part, "max_drawdown").expect("a figure");
        assert_eq!(
            metrics["max_drawdown"].as_f64(),
            Some(drawdown(&a).max(drawdown(&b)))
        );
    }
}

#[test]
fn what_a_pattern_would_ignore_is_refused_with_code_2() {
    let lines = |sequence: &str| {
        let data = bundled();
        format!(
            "workflow: sequence\ndata: {{path: '{}'}}\n{STRATEGY}sequence: {sequence}\n",
            data.display()
        )
    };
    let phases = |more: &str| format!("phases: [{{name: training, on: all{more}}}]");
    let once = |more: &str| lines(&format!("{{iterations: once, {}}}", phases(more)));
    refused(
        "once",
        &lines(&format!(
            "{{iterations: once, settings: {{step: 5}}, {}}}",
            phases("")
        )),
        &["`sequence.settings`: `iterations: once` has no settings"],
    );
    refused(
        "key",
        &once(", defaults: {top_nn: 3}"),
        &["`sequence.phases.defaults.top_nn`: unknown key, did you mean `top_n`?"],
    );
    refused(
        "whole",
        &once(", defaults: {memory_budget: 3}"),
        &["`memory_budget` belongs to the whole workflow"],
    );
    refused(
        "map",
        &once(", defaults: 7"),
        &["`sequence.phases.defaults`: 7 was found; a map"],
    );
    refused(
        "first",
        &once(", best_of: earlier"),
        &["`earlier` is unknown: no phase stands before `training`"],
    );
    refused(
        "seen",
        &lines(
            "{iterations: folds, phases: [{name: a, on: all}, {name: b, on: test, best_of: a}]}",
        ),
        &["`b` tests what `a` chose on the very bars of testing"],
    );
    refused(
        "setting",
        &lines(&format!(
            "{{iterations: windows, settings: {{step: 0}}, {}}}",
            phases("")
        )),
        &["setting.yaml:4:", "`sequence.settings.step`: 0 was found"],
    );
    for (name, more) in [
        ("level", "objective:\n"),
        ("override", "phase_overrides: {training: {top_n: }}\n"),
        ("item", "percentiles: [5, null]\n"),
    ] {
        refused(
            name,
            &bundled_walk_forward(500, 100, 100, more),
            &["no value stands here"],
        );
    }
}

#[test]
fn folds_that_cannot_be_are_refused_with_code_2() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let lines = |settings: &str| {
        let data = format!("path: '{}'", bundled().display());
        k_fold(folder.path(), settings).replace("path: d.csv", &data)
    };
    refused(
        "purge",
        &lines("{folds: 5, purge: 2000}"),
        &[
            "purge 2000 and embargo 0 bars",
            "leave",
            "before the fold of window_02",
        ],
    );
    refused(
        "embargo",
        &lines("{folds: 3, embargo: 4000}"),
        &["embargo 4000", "after the fold of window_01"],
    );
    refused(
        "one",
        &lines("{folds: 1}"),
        &["`k_fold.folds`: 1 was found; 2 to"],
    );
    refused("many", &lines("{folds: 9000}"), &["less than 2 bars each"]);
    refused(
        "minus",
        &lines("{purge: -1}"),
        &["`k_fold.purge`: -1 was found", "0 or more"],
    );
    refused(
        "memory",
        &lines("{folds: 3}\nresults_storage: memory"),
        &["set results_storage: disk"],
    );
}

#[test]
fn constraints_that_no_window_meets_end_with_code_2_and_the_reason() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let gate = "result_constraints: {min_trades: 1000000}\n";
    let lines = bundled_walk_forward(2000, 500, 1000, gate);
    let file = workflow(folder.path(), "w", &lines);
    let results = folder.path().join("x");
    let root = results.join("r");
    // Again with what is finished: the same answer.
    for _ in 0..2 {
        let out = admf(&["run", &file, "--results-root", &text(&results), "-q"]);
        let message = String::from_utf8_lossy(&out.stderr).into_owned();
        assert_eq!(out.status.code(), Some(2), "{message}");
        for part in [
            "windows was tested; window_01: phase training: none of",
            "total_trades >= 1000000",
        ] {
            assert!(message.contains(part), "{message} has no {part}");
        }
    }
    let report = json(&root.join("walk_forward_results.json"));
    check_schema("walk_forward", &report);
    assert_eq!(report["tested"], 0);
    assert_eq!(report["not_tested"], report["windows"]);
    let reason = report["window_results"][0]["not_tested"]
        .as_str()
        .expect("a reason");
    assert!(reason.contains("trades"), "{reason}");
    assert!(!root.join("testing").exists());
    // Nothing is held where nothing was tested.
    assert_eq!(report["out_of_sample"]["metrics"]["total_return"], 0.0);
}
