//! The disk is full, cannot be written, or fails; files vanish while they are read; two runs meet.
//!
//! Each ends with the documented exit code and an error that names the path; what was finished
//! before is as it was, and a later run goes on to the same bytes. Errors at every named write need
//! the feature `failpoints`; full and read-only disks are mounted, which needs root. A test that
//! cannot do that says so.

use std::collections::BTreeMap;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// No run here takes longer; one that does hangs.
const HANGS: Duration = Duration::from_secs(100);

/// A folder with a bars file and workflows, and results below it.
struct Place {
    folder: tempfile::TempDir,
}

/// How a run ended.
struct Ended {
    code: Option<i32>,
    signal: Option<i32>,
    told: String,
}

impl Ended {
    /// With this exit code, and an error that has all of this in it.
    #[track_caller]
    fn with(&self, code: i32, told: &[&str]) {
        assert_eq!(
            (self.code, self.signal),
            (Some(code), None),
            "{}",
            self.told
        );
        let is_told = told.iter().all(|part| self.told.contains(part));
        assert!(is_told, "{told:?} was expected: {}", self.told);
    }
}

/// A program that runs, its errors in a file.
struct Running {
    child: Child,
    errors: PathBuf,
}

impl Running {
    fn start(mut command: Command, errors: PathBuf) -> Running {
        let file = std::fs::File::create(&errors).expect("writable");
        let child = command
            .stdout(Stdio::null())
            .stderr(file)
            .spawn()
            .expect("it starts");
        Running { child, errors }
    }

    fn wait(mut self) -> Ended {
        let started = Instant::now();
        let status = loop {
            if let Some(status) = self.child.try_wait().expect("a child") {
                break status;
            }
            if started.elapsed() > HANGS {
                let _ = self.child.kill();
                panic!("it hangs");
            }
            std::thread::sleep(Duration::from_millis(2));
        };
        Ended {
            code: status.code(),
            signal: status.signal(),
            told: std::fs::read_to_string(&self.errors).expect("readable"),
        }
    }

    /// Waits until there is such a file with so many bytes.
    fn until(&mut self, path: &Path, bytes: u64) {
        let started = Instant::now();
        while !std::fs::metadata(path).is_ok_and(|found| found.len() >= bytes) {
            let ended = self.child.try_wait().expect("a child");
            let told = std::fs::read_to_string(&self.errors).unwrap_or_default();
            assert!(ended.is_none(), "it ended before: {told}");
            assert!(started.elapsed() < HANGS, "{} never came", path.display());
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

impl Place {
    /// With so many bars, and a workflow with so many parameter sets, `w.yaml`.
    fn new(bars: u64, sets: u64) -> Place {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let place = Place { folder };
        place.bars(bars, 1);
        place.workflow(sets, "0.001");
        place
    }

    fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn bars(&self, bars: u64, seed: u64) {
        let (bars, seed) = (bars.to_string(), seed.to_string());
        let made = Command::new(env!("CARGO_BIN_EXE_admf"))
            .args(["synth", "--bars", &bars, "--seed", &seed, "--out"])
            .arg(self.at("d.bars"))
            .output()
            .expect("it starts");
        assert!(made.status.success(), "{made:?}");
    }

    fn workflow(&self, sets: u64, commission: &str) {
        // The more containers, the less of each.
        let policy = if sets > 40 {
            "trade_complete"
        } else {
            "full\nstore_trades: true"
        };
        let text = format!(
            "workflow: parameter_sweep
results_dir: run
data: {{path: d.bars, symbols: [A]}}
strategy:
  name: sma_crossover
  parameters: {{fast: {{min: 3, max: {}, step: 1}}, slow: [60, 90]}}
execution: {{commission: {{rate: {commission}}}}}
event_tracing: all
retention_policy: {policy}
container_results: json
",
            2 + sets / 2
        );
        std::fs::write(self.at("w.yaml"), text).expect("writable");
    }

    fn command(&self, root: &Path, more: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_admf"));
        command
            .arg("run")
            .arg(self.at("w.yaml"))
            .arg("--results-root")
            .arg(root)
            .arg("-q")
            .args(more);
        if !more.contains(&"--threads") {
            command.args(["--threads", "2"]);
        }
        command
    }

    fn start(&self, root: &Path, more: &[&str]) -> Running {
        let errors = tempfile::NamedTempFile::new_in(self.folder.path()).expect("a file");
        let (_, errors) = errors.keep().expect("a file");
        Running::start(self.command(root, more), errors)
    }

    fn run(&self, root: &Path, more: &[&str]) -> Ended {
        self.start(root, more).wait()
    }

    /// The results of a run that nothing disturbs.
    fn undisturbed(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        let root = self.at("undisturbed");
        self.run(&root, &[]).with(0, &[]);
        results(&root)
    }
}

/// Every JSON of the results, whole; `run.json` has times.
fn results(root: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let (mut found, mut folders) = (BTreeMap::new(), vec![root.to_path_buf()]);
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|end| end == "json")
                && !path.ends_with("run.json")
            {
                let name = path.strip_prefix(root).expect("below").to_path_buf();
                found.insert(name, std::fs::read(&path).expect("readable"));
            }
        }
    }
    found
}

/// Everything but `run.json`, which says when a run was.
fn state(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let (mut found, mut folders) = (BTreeMap::new(), vec![folder.to_path_buf()]);
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).expect("readable").flatten() {
            if entry.path().is_dir() {
                folders.push(entry.path());
            } else {
                let bytes = std::fs::read(entry.path()).expect("readable");
                found.insert(entry.path(), bytes);
            }
        }
    }
    found
}

/// Nothing of it is other than in an undisturbed run: it lacks some at most.
#[track_caller]
fn is_part(some: &BTreeMap<PathBuf, Vec<u8>>, whole: &BTreeMap<PathBuf, Vec<u8>>) {
    for (name, bytes) in some {
        assert!(whole.get(name) == Some(bytes), "{} differs", name.display());
    }
}

/// A tmpfs of its own, where this user may mount one.
struct Disk(PathBuf);

impl Disk {
    fn mount(folder: &Path, size: &str) -> Option<Disk> {
        std::fs::create_dir_all(folder).expect("a folder");
        let is_mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={size}"), "tmpfs"])
            .arg(folder)
            .stderr(Stdio::null())
            .status()
            .is_ok_and(|status| status.success());
        if !is_mounted {
            eprintln!("SKIPPED: this user cannot mount a tmpfs (root can)");
        }
        is_mounted.then(|| Disk(folder.to_path_buf()))
    }

    fn remount(&self, options: &str) {
        let done = Command::new("mount")
            .args(["-o", &format!("remount,{options}")])
            .arg(&self.0)
            .status();
        assert!(done.expect("mount starts").success());
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let done = Command::new("umount").arg("-l").arg(&self.0).status();
        assert!(done.is_ok_and(|status| status.success()) || std::thread::panicking());
    }
}

#[test]
fn a_full_disk_at_any_moment_is_told_and_the_run_goes_on_with_room() {
    let place = Place::new(20_000, 40);
    let whole = place.undisturbed();
    let (mut at_pool, mut at_archive, mut finished) = (0, 0, 0);
    for kib in [4, 16, 64, 256, 512, 1024, 1536, 2048, 3072, 4096, 16384] {
        let size = format!("{kib}k");
        let Some(disk) = Disk::mount(&place.at("disk"), &size) else {
            return;
        };
        let ended = place.run(&disk.0, &[]);
        if ended.code == Some(0) {
            finished += 1;
        } else {
            let path = disk.0.display().to_string();
            ended.with(1, &[&path, "No space left on device"]);
            at_pool += u64::from(ended.told.contains(".pool: cannot allocate"));
            at_archive += u64::from(ended.told.contains(".admf: cannot"));
        }
        is_part(&results(&disk.0), &whole);
        disk.remount("size=64m");
        place.run(&disk.0, &[]).with(0, &[]);
        assert!(results(&disk.0) == whole, "{size}");
    }
    println!("{at_pool} at a pool, {at_archive} at an archive, {finished} finished");
    assert!(at_pool > 0 && at_archive > 0 && finished > 0);
}

#[test]
fn a_disk_that_checkpoints_fill_is_told_and_costs_no_result() {
    let place = Place::new(20_000, 40);
    let whole = place.undisturbed();
    let often = ["--checkpoint-seconds", "0", "--threads", "1"];
    let (mut warned, mut failed) = (0, 0);
    // With room for the pool, then for the archive, then for both and one checkpoint.
    for kib in [1536, 2048, 2560, 3072, 3584, 4096, 8192] {
        let Some(disk) = Disk::mount(&place.at("disk"), &format!("{kib}k")) else {
            return;
        };
        let ended = place.run(&disk.0, &often);
        let told = "cannot write checkpoint";
        warned += u64::from(ended.told.contains(told));
        assert!(ended.told.matches(told).count() <= 1, "{}", ended.told);
        if ended.code != Some(0) {
            failed += 1;
            ended.with(
                1,
                &[&disk.0.display().to_string(), "No space left on device"],
            );
        }
        is_part(&results(&disk.0), &whole);
        disk.remount("size=64m");
        place.run(&disk.0, &often).with(0, &[]);
        assert!(results(&disk.0) == whole, "{kib} KiB");
    }
    println!("{warned} told of a checkpoint, {failed} failed for another file");
    assert!(warned > 0 && failed > 0);
}

#[test]
fn a_read_only_disk_is_told_and_left_as_it_is() {
    let place = Place::new(2000, 4);
    let Some(disk) = Disk::mount(&place.at("disk"), "64m") else {
        return;
    };
    place.run(&disk.0, &[]).with(0, &[]);
    let before = state(&disk.0);
    disk.remount("ro");
    let path = disk.0.display().to_string();
    // A finished run needs no writing; another one does.
    place.run(&disk.0, &[]).with(0, &[]);
    let ended = place.run(&disk.0, &["--fresh"]);
    ended.with(1, &[&path, "Read-only file system"]);
    place
        .run(&disk.0.join("other"), &[])
        .with(1, &[&path, "Read-only file system"]);
    assert!(state(&disk.0) == before);
}

#[test]
fn a_results_root_below_a_file_is_told() {
    let place = Place::new(2000, 4);
    std::fs::write(place.at("file"), "mine").expect("writable");
    let root = place.at("file").join("results");
    let path = root.display().to_string();
    place.run(&root, &[]).with(1, &[&path, "Not a directory"]);
    let ended = place.run(&place.at("file"), &[]);
    ended.with(1, &[&place.at("file").display().to_string()]);
    std::fs::create_dir(place.at("root")).expect("a folder");
    std::fs::write(place.at("root/run"), "mine").expect("writable");
    let ended = place.run(&place.at("root"), &[]);
    ended.with(1, &[&place.at("root/run").display().to_string()]);
    assert_eq!(std::fs::read(place.at("root/run")).expect("there"), b"mine");
    assert_eq!(std::fs::read(place.at("file")).expect("there"), b"mine");
}

#[test]
fn bars_that_are_cut_while_a_run_reads_them_are_told() {
    let place = Place::new(400_000, 120);
    let root = place.at("results");
    let mut running = place.start(&root, &[]);
    running.until(&root.join("run/pools/sweep_00.pool"), 1);
    let bars = std::fs::File::options()
        .write(true)
        .open(place.at("d.bars"));
    bars.and_then(|file| file.set_len(100_000)).expect("cut");
    let path = place.at("d.bars").display().to_string();
    running.wait().with(1, &[&path]);
    let kept = results(&root);
    // With the bars back, it goes on.
    place.bars(400_000, 1);
    place.run(&root, &[]).with(0, &[]);
    let whole = results(&root);
    is_part(&kept, &whole);
    assert_eq!(whole.len(), 120 + 2);
}

#[test]
fn bars_that_are_removed_while_a_run_reads_them_are_read_to_the_end() {
    let place = Place::new(400_000, 120);
    let whole = place.undisturbed();
    let root = place.at("results");
    let mut running = place.start(&root, &[]);
    running.until(&root.join("run/pools/sweep_00.pool"), 1);
    std::fs::remove_file(place.at("d.bars")).expect("removed");
    running.wait().with(0, &[]);
    assert!(results(&root) == whole);
    // The next run needs them.
    let path = place.at("d.bars").display().to_string();
    place.run(&root, &["--fresh"]).with(2, &[&path]);
    assert!(results(&root) == whole);
}

#[test]
fn of_two_runs_on_one_directory_the_second_is_refused() {
    let place = Place::new(400_000, 200);
    let whole = place.undisturbed();
    let root = place.at("results");
    let mut running = place.start(&root, &[]);
    running.until(&root.join("run/pools/sweep_00.pool"), 1);
    let path = root.join("run").display().to_string();
    for more in [&[][..], &["--fresh"]] {
        place
            .run(&root, more)
            .with(4, &[&path, "another admf process"]);
    }
    running.wait().with(0, &[]);
    assert!(results(&root) == whole);
}

#[test]
fn an_interrupted_run_keeps_what_is_finished_and_goes_on_to_the_same_bytes() {
    use rustix::process::{Pid, Signal, kill_process};
    let place = Place::new(400_000, 200);
    let whole = place.undisturbed();
    for (name, signal) in [("term", Signal::TERM), ("int", Signal::INT)] {
        let root = place.at(name);
        let mut running = place.start(&root, &["--memory-budget", "11MiB"]);
        running.until(
            &root.join("run/sweep/containers/portfolio_001_results.json"),
            1,
        );
        kill_process(Pid::from_child(&running.child), signal).expect("signalled");
        running.wait().with(130, &["interrupted"]);
        let kept = results(&root);
        assert!(kept.len() < whole.len(), "{name}: it was finished before");
        is_part(&kept, &whole);
        place.run(&root, &["--threads", "1"]).with(0, &[]);
        assert!(results(&root) == whole, "{name}");
    }
}

#[test]
fn a_changed_workflow_or_data_file_is_refused_unless_fresh() {
    let place = Place::new(3000, 4);
    let root = place.at("results");
    place.run(&root, &[]).with(0, &[]);
    let path = root.join("run").display().to_string();
    let before = state(&root);
    place.run(&root, &["--memory-budget", "32MiB"]).with(0, &[]);
    place.workflow(4, "0.002");
    place
        .run(&root, &[])
        .with(4, &[&path, "another configuration", "--fresh"]);
    place.workflow(4, "0.001");
    place.bars(3000, 2);
    place
        .run(&root, &[])
        .with(4, &[&path, "other data", "--fresh"]);
    assert!(state(&root) == before);
    place.run(&root, &["--fresh"]).with(0, &[]);
    assert!(state(&root) != before);
}

#[cfg(feature = "failpoints")]
#[test]
fn an_error_at_any_write_is_told_and_the_run_goes_on_without_it() {
    let place = Place::new(20_000, 40);
    let whole = place.undisturbed();
    let mut number = 0;
    for (step, _) in admf::failpoint::STEPS
        .iter()
        // A checkpoint that cannot be written ends no run: `tests/kill/checkpoints.rs`.
        .filter(|(step, is_write)| *is_write && !step.starts_with("checkpoint"))
    {
        for part in ["", ".half", ".done"] {
            for (error, text) in [("eio", "Input/output error"), ("enospc", "No space left")] {
                number += 1;
                let root = place.at(&format!("results_{number}"));
                // The first JSON is `run.json`: nothing is there before it.
                let times = if *step == "archive.chunk" || *step == "json.file" {
                    5
                } else {
                    1
                };
                if *step == "archive.unseal" {
                    // Only a run that finds an archive takes its seal away.
                    let mut command = place.command(&root, &[]);
                    command.env("ADMF_FAILPOINT", "archive.seal=eio");
                    let ended = Running::start(command, place.at("errors")).wait();
                    ended.with(1, &["Input/output error"]);
                }
                let mut command = place.command(&root, &[]);
                command.env("ADMF_FAILPOINT", format!("{step}{part}:{times}={error}"));
                let ended = Running::start(command, place.at("errors")).wait();
                let path = root.join("run").display().to_string();
                ended.with(1, &[&path, "cannot", text]);
                let kept = results(&root);
                is_part(&kept, &whole);
                place.run(&root, &[]).with(0, &[]);
                assert!(results(&root) == whole, "{step}{part} {error}");
                std::fs::remove_dir_all(&root).expect("removable");
            }
        }
    }
    assert!(number >= 30);
}
