//! The JSON of a run: `run.json`, what a resume checks.
//!
//! The only file of the results tree that holds times of the wall clock and figures of the machine.

use serde::{Deserialize, Serialize};

/// What a run is and how far it came.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunReport {
    /// Version of admf that started it.
    pub admf: String,
    /// Name of the workflow.
    pub workflow: String,
    /// How far it came.
    pub status: RunStatus,
    /// SHA-256 of `config`, in hex.
    pub config_digest: String,
    /// Every setting that results depend on, defaults filled in; no budget, no thread count.
    pub config: serde_json::Value,
    /// The data, in the manifest's order.
    pub data: Vec<RunData>,
    /// Folders of its phases, one path component each.
    pub phases: Vec<String>,
    /// Phases whose results went elsewhere than the workflow says.
    pub storage_changes: Vec<StorageChange>,
    /// Phases that did not run, with the reason; absent where all ran.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub skipped: Vec<SkippedPhase>,
    /// The part of its containers that it ran; absent where it ran all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shard: Option<RunShard>,
    /// Worker threads of the last start.
    pub threads: u64,
    /// Memory budget of the last start, in bytes.
    pub memory_budget: u64,
    /// Wall time of the first start, RFC 3339 in UTC.
    pub started: String,
    /// Wall time of the end; null while it has none.
    pub finished: Option<String>,
}

/// A part of a run, made on its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunShard {
    /// Its number, from 1.
    pub number: u64,
    /// How many there are.
    pub count: u64,
}

/// How far a run came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RunStatus {
    /// It runs, or it was killed.
    Running,
    /// It ended; nothing is left to do.
    Finished,
    /// It was stopped by a signal, in order.
    Interrupted,
}

/// One data file of a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunData {
    /// Symbol.
    pub symbol: String,
    /// The file, as the workflow names it.
    pub path: String,
    /// Bars in it.
    pub bars: u64,
    /// Digest of its bars, in hex.
    pub digest: String,
}

/// A phase that did not run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SkippedPhase {
    /// Name of the phase, or `monte_carlo`.
    pub phase: String,
    /// Its window; null where there are none.
    pub window: Option<String>,
    /// Why, with figures.
    pub reason: String,
}

/// Results of a phase that went to disk because the budget could not hold them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StorageChange {
    /// Name of the phase.
    pub phase: String,
    /// What the workflow says: `memory`.
    pub from: String,
    /// Where they went: `disk`.
    pub to: String,
    /// Why, with figures.
    pub reason: String,
}
