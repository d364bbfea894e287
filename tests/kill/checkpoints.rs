//! Runs that are killed after a checkpoint go on from it, and from nothing that is not one.

use crate::engine::{Content, admf, files, read};
use crate::{Random, kills, was_killed};
use admf_formats::checkpoint::{CheckpointHeader, HEADER_BYTES};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// A folder with bars, a workflow, and the results of a run that nothing disturbs.
pub(crate) struct Place {
    pub(crate) folder: tempfile::TempDir,
    pub(crate) whole: Content,
}

impl Place {
    fn new(sets: &str, rules: &str) -> Place {
        Place::of(&format!(
            "workflow: parameter_sweep
data: {{path: '{{symbol}}.bars', symbols: [A, B]}}
strategy: {{name: sma_crossover, parameters: {{{sets}}}}}
container_results: json
{rules}
"
        ))
    }

    /// Of a workflow over symbols `A` and `B`.
    pub(crate) fn of(text: &str) -> Place {
        let folder = tempfile::tempdir().expect("a temporary folder");
        for (symbol, seed) in [("A", 1), ("B", 2)] {
            let bars = folder.path().join(format!("{symbol}.bars"));
            admf::market::synth(6000, seed, &bars).expect("a synthetic series");
        }
        std::fs::write(folder.path().join("w.yaml"), text).expect("writable");
        let mut place = Place {
            folder,
            whole: Content::default(),
        };
        let out = place.run("whole", 2, "64MiB", None);
        assert!(out.status.success(), "{}", told(&out));
        assert!(!told(&out).contains("resumed"));
        place.whole = read(&place.root("whole"));
        place
    }

    pub(crate) fn root(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A run into the folder of this name, on two threads.
    pub(crate) fn command(&self, name: &str) -> Command {
        admf(
            &self.folder.path().join("w.yaml"),
            &self.root(name),
            2,
            "64MiB",
        )
    }

    /// One run into the folder of this name, with a checkpoint at every block.
    pub(crate) fn run(
        &self,
        name: &str,
        threads: u64,
        budget: &str,
        failpoint: Option<&str>,
    ) -> Output {
        let file = self.folder.path().join("w.yaml");
        let mut command: Command = admf(&file, &self.root(name), threads, budget);
        command.args(["--checkpoint-seconds", "0"]);
        if let Some(failpoint) = failpoint {
            command.env("ADMF_FAILPOINT", failpoint);
        }
        command.output().expect("it starts")
    }

    /// Killed right after that many checkpoints.
    pub(crate) fn kill(&self, name: &str, threads: u64, checkpoints: u64) {
        let failpoint = format!("checkpoint.written:{checkpoints}=kill");
        let out = self.run(name, threads, "64MiB", Some(&failpoint));
        assert!(was_killed(out.status), "{}", told(&out));
    }

    /// Bytes that checkpoints take on disk at most, as the plan says.
    fn planned_bytes(&self, threads: u64, budget: &str) -> u64 {
        let out = Command::new(env!("CARGO_BIN_EXE_admf"))
            .arg("plan")
            .arg(self.folder.path().join("w.yaml"))
            .args(["--json", "--threads", &threads.to_string()])
            .args(["--memory-budget", budget])
            .output()
            .expect("it starts");
        assert!(out.status.success(), "{}", told(&out));
        let plan: serde_json::Value = serde_json::from_slice(&out.stdout).expect("JSON");
        let phase = &plan["phases"][0];
        let (bytes, disk) = (
            phase["checkpoint_bytes"].as_u64(),
            phase["disk_bytes"].as_u64(),
        );
        assert!(bytes > Some(0) && disk > bytes, "{phase}");
        bytes.expect("a number")
    }

    /// The bars that tiles go on from, in a run to the end that gives the same bytes.
    #[track_caller]
    pub(crate) fn finish(&self, name: &str, threads: u64, budget: &str) -> Vec<u64> {
        let out = self.run(name, threads, budget, None);
        assert!(out.status.success(), "{}", told(&out));
        self.is_whole(name);
        resumed(&out)
    }

    #[track_caller]
    pub(crate) fn is_whole(&self, name: &str) {
        let content = read(&self.root(name));
        assert!(content.json == self.whole.json, "other JSON");
        assert_eq!(content.committed, self.whole.committed);
        assert!(checkpoints(&self.root(name)).is_empty(), "nothing is left");
    }
}

pub(crate) fn told(out: &Output) -> String {
    String::from_utf8_lossy(&out.stderr).into_owned()
}

/// The bars at which tiles were resumed, in order of the notes.
pub(crate) fn resumed(out: &Output) -> Vec<u64> {
    let told = told(out);
    let notes = told.lines().filter(|line| line.contains(": resumed "));
    notes
        .map(|note| {
            let bar = note.rsplit(' ').next().and_then(|bar| bar.parse().ok());
            bar.unwrap_or_else(|| panic!("no bar: {note}"))
        })
        .collect()
}

/// Every checkpoint below a folder, the newest of each tile first.
pub(crate) fn checkpoints(root: &Path) -> Vec<(CheckpointHeader, PathBuf)> {
    let mut found: Vec<(CheckpointHeader, PathBuf)> = files(root)
        .into_iter()
        .filter(|path| path.extension().is_some_and(|end| end == "checkpoint"))
        .filter_map(|path| {
            let bytes = std::fs::read(&path).expect("readable");
            let header = CheckpointHeader::decode(bytes.first_chunk::<HEADER_BYTES>()?)?;
            Some((header, path))
        })
        .collect();
    found.sort_by_key(|(header, _)| std::cmp::Reverse(header.generation));
    found
}

/// Size of all checkpoints below a folder.
fn bytes_of(root: &Path) -> u64 {
    let all = checkpoints(root).into_iter();
    let size = |path: PathBuf| path.metadata().expect("it is there").len();
    all.map(|(_, path)| size(path)).sum()
}

/// Changes the bytes of a file.
fn change(path: &Path, change: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = std::fs::read(path).expect("readable");
    change(&mut bytes);
    std::fs::write(path, bytes).expect("writable");
}

const SETS: &str = "fast: [3, 8], slow: [20, 35, 50]";

#[test]
fn tiles_go_on_from_checkpoints_to_the_same_bytes_under_every_policy() {
    let mut random = Random(7);
    let (mut killed, mut fullest) = (0, 0.0_f64);
    for rules in [
        "event_tracing: all\nretention_policy: full\nstore_trades: true",
        "event_tracing: all\nretention_policy: trade_complete\nstore_trades: true",
        "event_tracing: [POSITION_OPEN, FILL]\nretention_policy: trade_complete",
        "event_tracing: all\nretention_policy: minimal\nportfolio: {direction: long_short}",
        "event_tracing: all\nretention_policy: sliding_window\nsliding_window_size: 40",
        "event_tracing: all\nsliding_window: {bars: 700}\nretention_policy: sliding_window",
        "event_tracing: all\ntrace: {keep: {last: 3, best: 2, worst: 1, where: 'pnl < -100'}}",
        "event_tracing: all\nportfolio: {direction: long_short, sizing: {quantity: 5}}\n\
         exits: {trailing_stop: {atr: 3, period: 14}, max_bars: 90, reentry: after_reset}\n\
         execution: {entry: {stop: {percent: 0.01}, time_in_force: {bars: 30}}}",
        "event_tracing: []\nportfolio: {sizing: {quantity: 5}}",
        "event_tracing: all\nportfolio: {direction: long_short, sizing: {atr: {percent: 1, multiple: 2, period: 14}}, \
         pyramiding: {max_entries: 3}}\nexecution: {borrow: {annual_rate: 0.05}}\n\
         risk: {max_daily_loss: 0.02}",
        "event_tracing: all\nretention_policy: full\n\
         container_settings: {portfolio_00*: {trace_level: none}, portfolio_003: {trace_level: debug}}",
    ] {
        let place = Place::new(SETS, rules);
        let mut bars = Vec::new();
        for _ in 0..kills().div_ceil(10) {
            let _ = std::fs::remove_dir_all(place.root("killed"));
            // Twelve blocks and two tiles: a checkpoint at every one of them.
            let mut left = 1 + random.below(20);
            for attempt in 0..3 {
                let threads = 1 + random.below(2);
                let budget = ["24MiB", "64MiB"][random.below(2) as usize];
                let failpoint = format!("checkpoint.written:{left}=kill");
                let out = place.run("killed", threads, budget, Some(&failpoint));
                bars.extend(resumed(&out));
                if !was_killed(out.status) {
                    assert!(out.status.success(), "{}", told(&out));
                    break;
                }
                killed += 1;
                left = 1 + random.below(left);
                // Before anything is resumed there are two files per worker.
                if attempt == 0 {
                    let bytes = bytes_of(&place.root("killed"));
                    let planned = place.planned_bytes(threads, budget);
                    assert!(bytes <= planned, "{rules}: {bytes} of {planned} bytes");
                    fullest = fullest.max(bytes as f64 / planned as f64);
                }
            }
            if !checkpoints(&place.root("killed")).is_empty() {
                bars.extend(place.finish("killed", 1 + random.below(2), "64MiB"));
            }
            place.is_whole("killed");
        }
        assert!(bars.iter().any(|bar| *bar > 0), "{rules}: {bars:?}");
    }
    println!(
        "checkpoints: {killed} kills after one; files of up to {:.0} percent of the plan",
        100.0 * fullest
    );
}

#[test]
fn the_older_checkpoint_holds_where_the_newest_is_damaged_and_none_where_both_are() {
    let rules = "event_tracing: all\nretention_policy: full\nstore_trades: true";
    let place = Place::new(SETS, rules);
    let damages: [fn(&mut Vec<u8>); 4] = [
        |bytes| *bytes.last_mut().expect("a payload") ^= 1,
        |bytes| bytes[40] ^= 1,
        |bytes| bytes.truncate(bytes.len() - 1),
        |bytes| bytes.clear(),
    ];
    for damage in damages {
        let _ = std::fs::remove_dir_all(place.root("killed"));
        place.kill("killed", 1, 6);
        let [(newest, path), (older, _)] = &checkpoints(&place.root("killed"))[..] else {
            panic!("two files of one tile");
        };
        assert_eq!(newest.generation, older.generation + 1);
        change(path, damage);
        let bar = older.next_block * 512;
        assert_eq!(place.finish("killed", 1, "64MiB"), [bar]);
        let _ = std::fs::remove_dir_all(place.root("killed"));
        place.kill("killed", 1, 6);
        for (_, path) in checkpoints(&place.root("killed")) {
            change(&path, damage);
        }
        assert_eq!(place.finish("killed", 2, "64MiB"), [0; 0]);
    }
}

#[test]
fn no_checkpoint_of_another_program_phase_or_archive_is_used() {
    let rules = "event_tracing: all\nretention_policy: full\nstore_trades: true";
    let place = Place::new(SETS, rules);
    let others: [fn(&mut CheckpointHeader); 3] = [
        |header| header.program[0] ^= 1,
        |header| header.phase[0] ^= 1,
        |header| header.containers += 1,
    ];
    for other in others {
        let _ = std::fs::remove_dir_all(place.root("killed"));
        place.kill("killed", 1, 6);
        for (mut header, path) in checkpoints(&place.root("killed")) {
            other(&mut header);
            let encoded = header.encode();
            change(&path, |bytes| {
                bytes[..HEADER_BYTES].copy_from_slice(&encoded)
            });
        }
        let out = place.run("killed", 1, "64MiB", None);
        assert!(
            out.status.success() && resumed(&out).is_empty(),
            "{}",
            told(&out)
        );
        // One of another phase may be needed there.
        for (_, path) in checkpoints(&place.root("killed")) {
            std::fs::remove_file(path).expect("removable");
        }
        place.is_whole("killed");
    }
    // What it streamed is gone: the power was cut, or somebody removed it.
    let _ = std::fs::remove_dir_all(place.root("killed"));
    place.kill("killed", 1, 6);
    for path in files(&place.root("killed")) {
        if path.extension().is_some_and(|end| end == "admf") {
            std::fs::remove_file(path).expect("removable");
        }
    }
    assert_eq!(place.finish("killed", 1, "64MiB"), [0; 0]);
}

#[test]
fn a_tile_that_does_not_fit_a_smaller_budget_goes_on_in_parts() {
    let rules = "event_tracing: all\nretention_policy: sliding_window\nsliding_window_size: 1000";
    let place = Place::new(
        "fast: {min: 2, max: 11, step: 1}, slow: {min: 20, max: 29, step: 1}",
        rules,
    );
    place.kill("killed", 1, 9);
    let bars = place.finish("killed", 2, "16MiB");
    assert!(
        bars.len() > 1 && bars.iter().all(|bar| *bar == 8 * 512),
        "{bars:?}"
    );
}

#[test]
fn a_stopped_run_keeps_the_state_of_its_tiles() {
    let place = Place::new(SETS, "event_tracing: all\nretention_policy: full");
    let out = place.run("killed", 2, "64MiB", Some("checkpoint.written:9=term"));
    assert_eq!(out.status.code(), Some(130), "{}", told(&out));
    let bars = place.finish("killed", 1, "64MiB");
    assert!(
        bars.len() == 2 && bars.iter().any(|bar| *bar > 512),
        "{bars:?}"
    );
}

#[test]
fn a_checkpoint_that_cannot_be_written_is_told_once_and_costs_nothing_else() {
    let rules = "event_tracing: all\nretention_policy: full\nstore_trades: true";
    let place = Place::new(SETS, rules);
    for (number, (step, error)) in [
        ("checkpoint.payload", "enospc"),
        ("checkpoint.payload.half", "eio"),
        ("checkpoint.header", "eio"),
        ("checkpoint.header.half", "enospc"),
        ("checkpoint.header.done", "eio"),
    ]
    .into_iter()
    .enumerate()
    {
        let name = format!("failed_{number}");
        let twice = format!("{step}:3={error};{step}:5={error}");
        let out = place.run(&name, 1, "64MiB", Some(&twice));
        assert!(out.status.success(), "{}", told(&out));
        let warnings = told(&out).matches("cannot write checkpoint").count();
        assert_eq!(warnings, 1, "{}", told(&out));
        place.is_whole(&name);
        // A kill after it goes on from the last one that was written.
        let name = format!("killed_{number}");
        let failed = format!("{step}:4={error};checkpoint.begin:5=kill");
        let out = place.run(&name, 1, "64MiB", Some(&failed));
        assert!(was_killed(out.status), "{}", told(&out));
        let bars = place.finish(&name, 1, "64MiB");
        assert_eq!(bars.len(), 1, "{step}");
    }
}
