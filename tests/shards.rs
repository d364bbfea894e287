//! A run in shards, merged, is the run that was never split; nothing else is accepted.

use admf::segment::ArchiveReader;
use admf_formats::archive::ChunkKind;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

fn admf(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_admf"))
        .args(arguments)
        .output()
        .expect("the program starts")
}

fn succeed(arguments: &[&str]) {
    let out = admf(arguments);
    let text = String::from_utf8_lossy(&out.stderr);
    assert!(out.status.success(), "{arguments:?}: {text}");
}

/// The refusal's exit code, and its text, which must hold these words.
fn refuse(arguments: &[&str], code: i32, words: &[&str]) {
    let out = admf(arguments);
    let text = String::from_utf8_lossy(&out.stderr);
    assert_eq!(out.status.code(), Some(code), "{arguments:?}: {text}");
    for word in words {
        assert!(text.contains(word), "`{word}` is missing: {text}");
    }
}

/// A folder with a workflow file, and its results roots.
struct Place {
    folder: tempfile::TempDir,
    file: String,
}

impl Place {
    fn new(text: &str) -> Place {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let data =
            Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/data/sp500_daily_2000_2020.csv");
        let file = folder.path().join("workflow.yaml");
        std::fs::write(&file, text.replace("DATA", &data.to_string_lossy())).expect("writable");
        let file = file.to_string_lossy().into_owned();
        Place { folder, file }
    }

    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).to_string_lossy().into_owned()
    }

    fn run(&self, root: &str, options: &[&str]) {
        let root = self.path(root);
        let mut arguments = vec!["run", &self.file, "--results-root", &root, "-q"];
        arguments.extend(options);
        succeed(&arguments);
    }

    /// Runs all shards; gives their directories, the last one first.
    fn shards(&self, root: &str, results_dir: &str, count: u64) -> Vec<String> {
        (1..=count)
            .rev()
            .map(|number| {
                // The split, the threads and the budget are not part of the results.
                let shard = format!("{number}/{count}");
                let (threads, budget) = if number % 2 == 0 {
                    ("1", "16MiB")
                } else {
                    ("2", "1GiB")
                };
                let options = [
                    "--shard",
                    &shard,
                    "--threads",
                    threads,
                    "--memory-budget",
                    budget,
                ];
                self.run(root, &options);
                self.path(&format!("{root}/{results_dir}.shard_{number}_of_{count}"))
            })
            .collect()
    }
}

fn merge(shards: &[String], out: &str) -> Output {
    let mut arguments = vec!["merge", "--out", out, "-q"];
    arguments.extend(shards.iter().map(String::as_str));
    admf(&arguments)
}

/// Every JSON of the tree but run.json, and each archive as its records and frames.
fn content(root: &Path) -> Vec<(PathBuf, String)> {
    let mut files = Vec::new();
    let mut folders = vec![root.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).expect("a results folder") {
            let path = entry.expect("an entry").path();
            let ending = path.extension().unwrap_or_default().to_owned();
            let text = if path.is_dir() {
                folders.push(path);
                continue;
            } else if ending == "admf" {
                decoded(&path)
            } else if ending == "json" && !path.ends_with("run.json") {
                std::fs::read_to_string(&path).expect("a readable file")
            } else {
                continue;
            };
            let name = path.strip_prefix(root).expect("below the root");
            files.push((name.to_path_buf(), text));
        }
    }
    files.sort();
    files
}

fn decoded(path: &Path) -> String {
    let archive = ArchiveReader::open(path).expect("an archive");
    let mut manifest = archive.manifest.clone();
    // Each results root has its own cache of imported bars.
    manifest.symbols[0].bars_file.clear();
    let mut text = format!("{manifest:?}\n");
    for index in archive.containers() {
        let Some(slot) = archive.slot(index).expect("a readable slot") else {
            continue;
        };
        text += &format!(
            "{:?} {:?}\n",
            slot.record,
            archive.failure(&slot).expect("a reason")
        );
        for kind in [ChunkKind::Trace, ChunkKind::Trades] {
            archive
                .frames(&slot, kind, |frame| {
                    text += &format!("{frame:?}\n");
                    Ok(())
                })
                .expect("readable frames");
        }
    }
    text
}

/// 310 containers: 7 shards of 44 and 45. Quantity 100 without enough capital lets some fail.
const SWEEP: &str = "workflow: parameter_sweep
results_dir: all
data: {path: DATA, symbols: [SP500]}
strategy:
  name: sma_crossover
  parameters: {fast: {min: 2, max: 21, step: 1}, slow: {min: 10, max: 105, step: 5}}
  constraints: ['fast < slow']
portfolio: {initial_capital: 40000, sizing: {quantity: 100}, direction: long_short}
execution: {commission: {rate: 0.001}}
store_trades: true
top_n: 5
";

#[test]
fn seven_shards_merged_are_one_run() {
    let place = Place::new(SWEEP);
    place.run("whole", &[]);
    let whole = content(Path::new(&place.path("whole/all")));
    assert!(whole.len() > 300 && whole.iter().any(|(_, text)| text.contains("\"failed\"")));
    let shards = place.shards("parts", "all", 7);
    let out = place.path("merged/other_name");
    assert!(merge(&shards, &out).status.success());
    let merged = content(Path::new(&out));
    same(&whole, &merged);
    // A finished merge is left alone; and it can be replayed and continued like any run.
    assert!(merge(&shards, &out).status.success());
    succeed(&["replay", &out, "--container", "300"]);
}

fn same(whole: &[(PathBuf, String)], merged: &[(PathBuf, String)]) {
    assert_eq!(names(whole), names(merged));
    for (one, other) in whole.iter().zip(merged) {
        let differs = || one.1.lines().zip(other.1.lines()).find(|(a, b)| a != b);
        assert!(one == other, "{}: {:?}", one.0.display(), differs());
    }
}

fn names(content: &[(PathBuf, String)]) -> Vec<&PathBuf> {
    content.iter().map(|(name, _)| name).collect()
}

#[test]
fn more_shards_than_containers_and_more_than_one_archive_file() {
    let few = Place::new(&SWEEP.replace(
        "fast: {min: 2, max: 21, step: 1}, slow: {min: 10, max: 105, step: 5}",
        "fast: [5, 10], slow: [30]",
    ));
    few.run("whole", &[]);
    let out = few.path("merged/all");
    assert!(merge(&few.shards("parts", "all", 3), &out).status.success());
    assert!(content(Path::new(&out)) == content(Path::new(&few.path("whole/all"))));
    let many = Place::new(&SWEEP.replace(
        "fast: {min: 2, max: 21, step: 1}, slow: {min: 10, max: 105, step: 5}",
        "fast: {min: 2, max: 51, step: 1}, slow: {min: 52, max: 151, step: 1}",
    ));
    many.run("whole", &[]);
    let out = many.path("merged/all");
    assert!(
        merge(&many.shards("parts", "all", 3), &out)
            .status
            .success()
    );
    let merged = content(Path::new(&out));
    assert_eq!(merged.len(), 4, "two archives, aggregate and summary");
    assert!(merged == content(Path::new(&many.path("whole/all"))));
}

#[test]
fn a_train_test_run_is_merged_and_goes_on_with_its_test() {
    let place = Place::new(
        &SWEEP
            .replace("parameter_sweep", "train_test_optimization")
            .replace("store_trades: true", "split: {ratio: 0.7}"),
    );
    place.run("whole", &[]);
    let shards = place.shards("parts", "all", 2);
    let elsewhere = place.path("merged/elsewhere");
    let refused = merge(&shards, &elsewhere);
    assert_eq!(refused.status.code(), Some(2));
    assert!(merge(&shards, &place.path("merged/all")).status.success());
    assert!(!Path::new(&place.path("merged/all/testing")).exists());
    place.run("merged", &[]);
    let merged = content(Path::new(&place.path("merged/all")));
    same(&content(Path::new(&place.path("whole/all"))), &merged);
}

#[test]
fn what_is_not_all_shards_of_one_run_is_refused() {
    let place = Place::new(SWEEP);
    let shards = place.shards("parts", "all", 2);
    let out = place.path("merged");
    refuse(&["merge", &shards[0], "--out", &out], 2, &["missing: 1/2"]);
    let twice = ["merge", &shards[0], &shards[1], &shards[0], "--out", &out];
    refuse(&twice, 4, &["shard 2/2 again"]);
    // Of another configuration.
    let other = Place::new(&SWEEP.replace("rate: 0.001", "rate: 0.002"));
    let foreign = other.shards("parts", "all", 2);
    let mixed = ["merge", &shards[0], &foreign[1], "--out", &out];
    refuse(&mixed, 4, &["another configuration"]);
    // Of another split.
    place.run("parts", &["--shard", "1/3"]);
    let third = place.path("parts/all.shard_1_of_3");
    refuse(
        &["merge", &third, &shards[0], "--out", &out],
        4,
        &["one split"],
    );
    // Not a shard, and no run at all.
    place.run("parts", &[]);
    let whole = place.path("parts/all");
    refuse(&["merge", &whole, "--out", &out], 4, &["no shard"]);
    refuse(
        &["merge", &place.path("nothing"), "--out", &out],
        2,
        &["run.json"],
    );
    // Never over a run that is there.
    refuse(
        &["merge", &foreign[0], &foreign[1], "--out", &whole],
        4,
        &["another configuration"],
    );
    assert!(!Path::new(&out).join("run.json").exists());
    // A container that is gone, and one too many.
    let archive = "sweep/traces/archive_00000.admf";
    let (one, two) = (
        Path::new(&shards[1]).join(archive),
        Path::new(&shards[0]).join(archive),
    );
    let kept = std::fs::read(&one).expect("an archive");
    std::fs::copy(&two, &one).expect("a copy");
    let all = ["merge", &shards[0], &shards[1], "--out", &out, "--fresh"];
    refuse(&all, 4, &["container 1 is missing"]);
    std::fs::write(&one, kept).expect("writable");
    std::fs::copy(Path::new(&whole).join(archive), &two).expect("a copy");
    refuse(
        &all,
        4,
        &["container 1 is there but belongs to another shard"],
    );
    // A shard that stopped half-way.
    let run = Path::new(&shards[0]).join("run.json");
    let text = std::fs::read_to_string(&run).expect("run.json");
    std::fs::write(&run, text.replace("\"finished\",", "\"running\",")).expect("writable");
    refuse(&all, 4, &["shard 2/2 is not finished"]);
}

#[test]
fn a_shard_that_cannot_be_merged_is_not_run() {
    let place = Place::new(&format!("{SWEEP}results_storage: memory\n"));
    let file = place.file.clone();
    refuse(
        &["run", &file, "--shard", "1/2"],
        2,
        &["results_storage: disk"],
    );
    refuse(&["run", &file, "--shard", "3/2"], 2, &["3/2 is no shard"]);
}
