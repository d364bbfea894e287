//! What is wrong with a file: where, and what is lost by it.

use serde::Serialize;
use std::fmt;
use std::path::PathBuf;

/// Whether something was lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Something that was committed cannot be read.
    Loss,
    /// Remains of a run that was killed, and other things that lose nothing that was committed.
    Note,
}

/// One fault.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Fault {
    /// The file.
    pub file: PathBuf,
    /// Where in it.
    pub offset: u64,
    /// Part of the format, as in "slot".
    pub part: &'static str,
    /// Whether something was lost.
    pub severity: Severity,
    /// Id of the container that it concerns.
    pub container: Option<String>,
    /// First and last sequence of the events that it concerns, where known; what is lost lies
    /// within.
    pub sequences: Option<[u64; 2]>,
    /// What is wrong.
    pub problem: String,
    /// What is lost.
    pub lost: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self.severity {
            Severity::Loss => "LOSS",
            Severity::Note => "note",
        };
        write!(
            f,
            "{what} {}: at byte {}: {}",
            self.file.display(),
            self.offset,
            self.part
        )?;
        if let Some(container) = &self.container {
            write!(f, " of {container}")?;
        }
        write!(f, ": {}; lost: {}", self.problem, self.lost)?;
        if let Some([first, last]) = self.sequences {
            write!(f, " (within sequences {first} to {last})")?;
        }
        Ok(())
    }
}

/// What a file holds and what is wrong with it, counted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Findings {
    /// The file.
    pub file: PathBuf,
    /// "archive" or "pool".
    pub kind: &'static str,
    /// Whether an archive is sealed; a pool never is.
    pub sealed: bool,
    /// Containers that the file has room for; of a pool, those that own a segment.
    pub containers: u64,
    /// Committed containers.
    pub committed: u64,
    /// Intact events of committed containers.
    pub events: u64,
    /// Events of containers that are not committed.
    pub unsealed_events: u64,
    /// Faults that lose something.
    pub losses: u64,
    /// Faults that do not.
    pub notes: u64,
}
