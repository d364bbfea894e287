//! The folder of a phase or of one of its windows.

use super::{Durability, write_atomic};
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

    /// Writes the aggregate.
    pub fn write_aggregate(&self, report: &AggregateReport) -> Result<()> {
        failpoint::reach("aggregate.file");
        write_atomic(
            &self.aggregate(),
            &to_json_bytes(report),
            Durability::Machine,
        )
    }

    /// Writes the summary.
    pub fn write_summary(&self, report: &PhaseSummary) -> Result<()> {
        failpoint::reach("summary.file");
        write_atomic(&self.summary(), &to_json_bytes(report), Durability::Machine)
    }
}
