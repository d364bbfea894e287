//! The results tree: which run owns a directory, where files go, and how they are written.
//!
//! Promises: a directory belongs to one run and one process at a time; what another run or the user
//! put there is neither overwritten nor removed; a file of the tree is whole or absent, also after
//! a kill. Leaves out what the files say (`admf_formats::report`) and the archives.

mod aggregate;
mod percentiles;
mod phase;
mod scan;
mod statistics;
#[cfg(test)]
mod tests;

pub use aggregate::{Aggregator, FoldRoom};
pub use phase::{PhaseDir, WrittenReports};
pub use scan::{RecordReader, Records};

use crate::error::{Error, Result};
use crate::failpoint;
use admf_formats::report::{
    RunData, RunReport, RunShard, RunStatus, SkippedPhase, StorageChange, to_json_bytes,
};
use sha2::{Digest, Sha256};
use std::fs::{self, File, TryLockError};
use std::io::ErrorKind;
use std::path::{Component, Path, PathBuf};

/// Name of the file that says whose directory it is.
const RUN_FILE: &str = "run.json";

/// Folders that a run makes under its directory, besides those that its `run.json` names.
const RUN_FOLDERS: [&str; 7] = [
    "training", "testing", "sweep", "backtest", "traces", "pools", "windows",
];

/// Files that a run makes in its directory, besides `run.json`.
const RUN_FILES: [&str; 5] = [
    "monte_carlo_results.json",
    "walk_forward_results.json",
    "k_fold_results.json",
    "out_of_sample_equity.csv",
    "comparison_results.json",
];

/// Whether a file must outlive a power cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// It outlives a kill of the process: it is in the page cache.
    Process,
    /// It also outlives the machine: it is synced to the device.
    Machine,
}

/// What was found in a run's directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Existing {
    /// Nothing, or it was removed because a fresh start was asked for.
    None,
    /// The same run, not finished: go on where it stood.
    Resume,
    /// The same run, finished: nothing to do. Its `run.json` is left as it is.
    Finished,
}

/// What makes a run the one it is, and how it is run this time.
#[derive(Clone, Debug, PartialEq)]
pub struct RunPlan {
    /// Name of the workflow.
    pub workflow: String,
    /// Every setting that results depend on, defaults filled in; no budget, no thread count, for a
    /// run may be resumed under others.
    pub config: serde_json::Value,
    /// The data; its digests are part of the run's identity, its paths are not.
    pub data: Vec<RunData>,
    /// Names of the phases, one path component each.
    pub phases: Vec<String>,
    /// The part of its containers that it runs; all without one.
    pub shard: Option<RunShard>,
    /// Worker threads.
    pub threads: u64,
    /// Memory budget, in bytes.
    pub memory_budget: u64,
}

/// A run's directory, locked against every other process until it is dropped.
#[derive(Debug)]
pub struct RunDir {
    path: PathBuf,
    run: RunReport,
    /// Holds the lock. It is on the directory itself: a lock file could be removed by the process
    /// that ends while another one already waits on its inode.
    _lock: File,
}

impl RunDir {
    /// Opens or creates `results_dir` under `root` for a run.
    ///
    /// `fresh` removes what an earlier run made there, and nothing else.
    ///
    /// Errors: [`Error::Results`] where `results_dir` leads out of the root, another process uses
    /// the directory, it holds another run, or it is not empty and holds no run; [`Error::Io`]
    /// where it cannot be created, locked, read or written.
    pub fn open(
        root: &Path,
        results_dir: &str,
        plan: RunPlan,
        fresh: bool,
    ) -> Result<(RunDir, Existing)> {
        if !is_below(results_dir) {
            return Err(refused(
                Path::new(results_dir),
                "results_dir names a folder under the results root: no `..`, no leading `/`; \
                 choose the root with --results-root",
            ));
        }
        let path = root.join(results_dir);
        fs::create_dir_all(&path).map_err(Error::io("create results directory", &path))?;
        let lock = lock(&path)?;
        let mut run = new_run(plan);
        let existing = match read_run(&path)? {
            None => {
                refuse_strangers(&path)?;
                Existing::None
            }
            Some(earlier) if fresh => {
                remove_run(&path, &earlier)?;
                Existing::None
            }
            Some(earlier) => {
                refuse_other_run(&path, &earlier, &run)?;
                if earlier.status == RunStatus::Finished {
                    return Ok((
                        RunDir {
                            path,
                            run: earlier,
                            _lock: lock,
                        },
                        Existing::Finished,
                    ));
                }
                run.started = earlier.started;
                run.storage_changes = earlier.storage_changes;
                run.skipped = earlier.skipped;
                Existing::Resume
            }
        };
        let directory = RunDir {
            path,
            run,
            _lock: lock,
        };
        directory.write_run()?;
        Ok((directory, existing))
    }

    /// The directory.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What `run.json` says.
    pub const fn run(&self) -> &RunReport {
        &self.run
    }

    /// The folder for the workers' pool files.
    pub fn pools(&self) -> PathBuf {
        self.path.join("pools")
    }

    /// The folder of a phase, or of one of its windows (counted from 1); not yet created.
    pub fn phase(&self, name: &str, window: Option<u64>) -> PhaseDir {
        let folder = self.path.join(name);
        PhaseDir::new(match window {
            Some(number) => folder.join(format!("window_{number:02}")),
            None => folder,
        })
    }

    /// The folder of a phase in a window of a sequence, such as `window_03`, or of the phase itself
    /// where `window` is empty; not yet created.
    pub fn phase_in(&self, name: &str, window: &str) -> PhaseDir {
        PhaseDir::new(self.path.join(name).join(window))
    }

    /// The folder of a replay, emptied of an earlier one.
    pub fn replay_folder(target: &Path, name: &str) -> Result<PhaseDir> {
        let folder = target.join(name);
        match fs::remove_dir_all(&folder) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(Error::io("remove", &folder)(error))
            }
            _ => Ok(PhaseDir::new(folder)),
        }
    }

    /// Notes that a phase's results go to disk though the workflow says memory. A phase that is
    /// noted already (before a resume) gets the new reason.
    pub fn note_storage_change(&mut self, phase: &str, reason: &str) -> Result<()> {
        self.run
            .storage_changes
            .retain(|change| change.phase != phase);
        self.run.storage_changes.push(StorageChange {
            phase: phase.to_owned(),
            from: "memory".to_owned(),
            to: "disk".to_owned(),
            reason: reason.to_owned(),
        });
        self.write_run()
    }

    /// Notes that a phase of a window (empty where there are none) did not run, and why. What is
    /// noted already (before a resume) gets the new reason.
    pub fn note_skipped(&mut self, phase: &str, window: &str, reason: &str) -> Result<()> {
        let window = (!window.is_empty()).then(|| window.to_owned());
        self.run
            .skipped
            .retain(|skipped| skipped.phase != phase || skipped.window != window);
        self.run.skipped.push(SkippedPhase {
            phase: phase.to_owned(),
            window,
            reason: reason.to_owned(),
        });
        self.write_run()
    }

    /// Notes how the run ended, and lets go of the directory.
    pub fn close(mut self, status: RunStatus) -> Result<()> {
        self.run.status = status;
        self.run.finished = (status == RunStatus::Finished).then(now);
        self.write_run()
    }

    fn write_run(&self) -> Result<()> {
        write_atomic(
            &self.path.join(RUN_FILE),
            &to_json_bytes(&self.run),
            Durability::Machine,
        )
    }
}

/// SHA-256 of a configuration in hex. Keys are sorted, so their order in the file does not matter.
pub fn config_digest(config: &serde_json::Value) -> String {
    let text = config.to_string();
    Sha256::digest(text.as_bytes())
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

/// Writes a file whole or not at all: beside it under another name, then renamed over it.
///
/// A temporary file that a kill left is overwritten by the next attempt. One writer per path.
pub fn write_atomic(path: &Path, bytes: &[u8], durability: Durability) -> Result<()> {
    WrittenFile::write(path, bytes, durability)?.publish()?;
    match (durability, path.parent()) {
        (Durability::Machine, Some(folder)) => sync_folder(folder),
        _ => Ok(()),
    }
}

/// Makes the names in a folder outlive the machine.
fn sync_folder(folder: &Path) -> Result<()> {
    File::open(folder)
        .and_then(|folder| folder.sync_all())
        .map_err(Error::io("sync", folder))
}

/// A file of the tree that is written and has not got its name yet.
struct WrittenFile {
    temporary: PathBuf,
    path: PathBuf,
}

impl WrittenFile {
    fn write(path: &Path, bytes: &[u8], durability: Durability) -> Result<WrittenFile> {
        let written = WrittenFile {
            temporary: temporary_path(path),
            path: path.to_path_buf(),
        };
        let outcome = File::create(&written.temporary).and_then(|file| {
            failpoint::write("json.file", &file, bytes, 0)?;
            match durability {
                Durability::Machine => file.sync_all(),
                Durability::Process => Ok(()),
            }
        });
        match outcome {
            Ok(()) => Ok(written),
            Err(source) => Err(written.failed(source)),
        }
    }

    /// Gives the file its name.
    fn publish(self) -> Result<()> {
        fs::rename(&self.temporary, &self.path).map_err(|source| self.failed(source))?;
        failpoint::reach("json.rename");
        Ok(())
    }

    /// The first error is the one to tell; what is left is overwritten by the next attempt.
    fn failed(&self, source: std::io::Error) -> Error {
        let _ = fs::remove_file(&self.temporary);
        Error::Io {
            action: "write",
            path: self.path.clone(),
            source,
        }
    }
}

/// Where a file is written before it gets its name.
pub(crate) fn temporary_path(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!(".{name}.tmp"))
}

/// Whether a relative path names something strictly below the folder it is relative to.
fn is_below(path: &str) -> bool {
    let mut components = Path::new(path).components().peekable();
    components.peek().is_some() && components.all(|one| matches!(one, Component::Normal(_)))
}

fn new_run(plan: RunPlan) -> RunReport {
    RunReport {
        admf: env!("CARGO_PKG_VERSION").to_owned(),
        workflow: plan.workflow,
        status: RunStatus::Running,
        config_digest: config_digest(&plan.config),
        config: plan.config,
        data: plan.data,
        phases: plan.phases,
        storage_changes: Vec::new(),
        skipped: Vec::new(),
        shard: plan.shard,
        threads: plan.threads,
        memory_budget: plan.memory_budget,
        started: now(),
        finished: None,
    }
}

/// Wall time, RFC 3339 in UTC, to the second.
fn now() -> String {
    let now = jiff::Timestamp::now();
    jiff::Timestamp::from_second(now.as_second())
        .unwrap_or(now)
        .to_string()
}

fn refused(path: &Path, message: impl Into<String>) -> Error {
    Error::Results {
        path: path.to_path_buf(),
        message: message.into(),
    }
}

fn lock(path: &Path) -> Result<File> {
    let folder = File::open(path).map_err(Error::io("open results directory", path))?;
    match folder.try_lock() {
        Ok(()) => Ok(folder),
        Err(TryLockError::WouldBlock) => Err(refused(
            path,
            "another admf process is using this directory; wait for it, or use another results_dir",
        )),
        Err(TryLockError::Error(source)) => Err(Error::Io {
            action: "lock results directory",
            path: path.to_path_buf(),
            source,
        }),
    }
}

fn read_run(path: &Path) -> Result<Option<RunReport>> {
    let file = path.join(RUN_FILE);
    let bytes = match fs::read(&file) {
        Ok(bytes) => bytes,
        Err(source) if source.kind() == ErrorKind::NotFound => return Ok(None),
        Err(source) => {
            return Err(Error::Io {
                action: "read",
                path: file,
                source,
            });
        }
    };
    serde_json::from_slice(&bytes).map(Some).map_err(|error| {
        let message = format!(
            "this is no run.json of this version of admf ({error}); use another results_dir, or \
             move the directory away"
        );
        refused(&file, message)
    })
}

/// Refuses a directory without `run.json` that holds anything but what a kill of [`write_atomic`]
/// can leave there.
fn refuse_strangers(path: &Path) -> Result<()> {
    let ours = temporary_path(&path.join(RUN_FILE));
    for entry in fs::read_dir(path).map_err(Error::io("list", path))? {
        let entry = entry.map_err(Error::io("list", path))?.path();
        if entry != ours {
            let message = format!(
                "the directory is not empty ({}) and holds no run.json, so admf did not make it; \
                 use another results_dir",
                entry.file_name().unwrap_or_default().display()
            );
            return Err(refused(path, message));
        }
    }
    Ok(())
}

fn refuse_other_run(path: &Path, earlier: &RunReport, run: &RunReport) -> Result<()> {
    let advice = "use another results_dir, or --fresh to remove it and start anew";
    if earlier.config_digest != run.config_digest {
        let message = format!(
            "the directory holds a run of another configuration: its digest is {}, this one's {}; \
             {advice}",
            earlier.config_digest, run.config_digest
        );
        return Err(refused(path, message));
    }
    if earlier.shard != run.shard {
        let name = |shard: Option<RunShard>| {
            shard.map_or("all containers".to_owned(), |shard| {
                format!("shard {}/{}", shard.number, shard.count)
            })
        };
        let message = format!(
            "the directory holds {} of this run, not {}; {advice}",
            name(earlier.shard),
            name(run.shard)
        );
        return Err(refused(path, message));
    }
    let (theirs, ours) = (data_digests(&earlier.data), data_digests(&run.data));
    if theirs != ours {
        let message = format!(
            "the directory holds a run over other data: its digests are [{theirs}], this one's \
             [{ours}]; {advice}"
        );
        return Err(refused(path, message));
    }
    Ok(())
}

/// What the identity of a run takes from its data.
fn data_digests(data: &[RunData]) -> String {
    let each: Vec<String> = data
        .iter()
        .map(|one| format!("{}: {}", one.symbol, one.digest))
        .collect();
    each.join(", ")
}

/// Removes what an earlier run made, `run.json` last: until then a kill leaves a directory that is
/// still known as ours.
fn remove_run(path: &Path, earlier: &RunReport) -> Result<()> {
    // The file may have been edited: a phase is a folder of this directory, never elsewhere.
    let named = earlier
        .phases
        .iter()
        .map(String::as_str)
        .filter(|phase| is_below(phase));
    for folder in RUN_FOLDERS.into_iter().chain(named) {
        let folder = path.join(folder);
        match fs::remove_dir_all(&folder) {
            Err(source) if source.kind() != ErrorKind::NotFound => {
                return Err(Error::Io {
                    action: "remove",
                    path: folder,
                    source,
                });
            }
            _ => {}
        }
    }
    for name in RUN_FILES {
        let file = path.join(name);
        match fs::remove_file(&file) {
            Err(source) if source.kind() != ErrorKind::NotFound => {
                return Err(Error::Io {
                    action: "remove",
                    path: file,
                    source,
                });
            }
            _ => {}
        }
    }
    let file = path.join(RUN_FILE);
    fs::remove_file(&file).map_err(Error::io("remove", &file))
}
