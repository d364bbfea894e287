//! The folder of a phase or of one of its windows.

use super::{Durability, WrittenFile, sync_folder, write_atomic};
use crate::error::{Error, Result};
use crate::failpoint;
use admf_formats::report::{AggregateReport, ContainerReport, PhaseSummary, to_json_bytes};
use std::fs;
use std::path::{Path, PathBuf};

/// The folder of a phase or of one of its windows: names of files, and how each is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PhaseDir {
    path: PathBuf,
}

impl PhaseDir {
    /// The folder of this path, which need not exist.
    pub const fn new(path: PathBuf) -> PhaseDir {
        PhaseDir { path }
    }

    /// Creates the folder with `containers/` and `traces/`, where they are not there yet.
    pub fn create(&self) -> Result<()> {
        for folder in [self.containers(), self.traces()] {
            fs::create_dir_all(&folder).map_err(Error::io("create", &folder))?;
        }
        Ok(())
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The folder of the containers' JSON.
    pub fn containers(&self) -> PathBuf {
        self.path.join("containers")
    }

    /// The folder of the archives.
    pub fn traces(&self) -> PathBuf {
        self.path.join("traces")
    }

    /// The JSON of a container, named as `admf_formats::report::container_id` does.
    pub fn container(&self, id: &str) -> PathBuf {
        self.containers().join(format!("{id}_results.json"))
    }

    /// The JSON of the aggregate.
    pub fn aggregate(&self) -> PathBuf {
        self.path.join("aggregate_results.json")
    }

    /// The JSON of the summary.
    pub fn summary(&self) -> PathBuf {
        self.path.join("phase_summary.json")
    }

    /// Writes a container's JSON. It is derived from the archive, so it need not outlive a power
    /// cut: a resume writes it again where it is missing.
    pub fn write_container(&self, report: &ContainerReport) -> Result<()> {
        let path = self.container(&report.container);
        write_atomic(&path, &to_json_bytes(report), Durability::Process)
    }

    /// Writes the aggregate and the summary beside their names, and waits until both are on the
    /// device: at the same time, for each wait takes what the other does.
    ///
    /// Nobody relies on either before the run, or the window, says that it is finished; a phase that
    /// is resumed makes both again from its archives. So they need no order among each other, and
    /// may wait while archives are sealed.
    pub fn write_reports(
        &self,
        aggregate: &AggregateReport,
        summary: &PhaseSummary,
    ) -> Result<WrittenReports> {
        let (aggregate_bytes, summary_bytes) = (to_json_bytes(aggregate), to_json_bytes(summary));
        let write = |step: &'static str, path: PathBuf, bytes: &[u8]| {
            failpoint::reach(step);
            WrittenFile::write(&path, bytes, Durability::Machine)
        };
        let written = std::thread::scope(|scope| {
            let other = || write("aggregate.file", self.aggregate(), &aggregate_bytes);
            let other = std::thread::Builder::new().spawn_scoped(scope, other);
            let summary = write("summary.file", self.summary(), &summary_bytes);
            let aggregate = match other {
                Ok(other) => other.join().expect("writing a file does not panic"),
                // The system gives no thread: one after the other.
                Err(_) => write("aggregate.file", self.aggregate(), &aggregate_bytes),
            };
            [aggregate, summary]
        });
        let [aggregate, summary] = written;
        Ok(WrittenReports {
            folder: self.path.clone(),
            files: [aggregate?, summary?],
        })
    }

    /// Writes the summary alone, where the phase does not run.
    pub fn write_summary(&self, report: &PhaseSummary) -> Result<()> {
        failpoint::reach("summary.file");
        write_atomic(&self.summary(), &to_json_bytes(report), Durability::Machine)
    }
}

/// The reports of a phase, written and without their names.
pub struct WrittenReports {
    folder: PathBuf,
    files: [WrittenFile; 2],
}

impl WrittenReports {
    /// Gives them their names, which outlive the machine when this returns.
    pub fn publish(self) -> Result<()> {
        for file in self.files {
            file.publish()?;
        }
        sync_folder(&self.folder)
    }
}
