//! The workflow file: YAML in, checked phases out.
//!
//! Precedence for every key: the workflow's default, then the top level, then
//! `phase_overrides.<phase>`. Nothing is ignored: a key that is unknown, of the wrong type or of no
//! use to the workflow is an error that names its line and what was expected.

mod amounts;
mod check;
mod costs;
mod document;
mod exits;
mod levels;
mod monte_carlo;
mod objective;
mod phases;
mod portfolio;
mod sequence;
mod space;
mod trace;
mod words;

#[cfg(test)]
mod tests;

use crate::market::ImportOptions;
use crate::sequencer::{Phase, Sequence, SymbolData};
use crate::sweep::Space;
use crate::{Error, Result, heap};
use document::Document;
use serde_json::Value;
use std::path::Path;

/// The data of a workflow.
#[derive(Clone, Debug, PartialEq)]
pub struct DataSettings {
    /// One file per symbol.
    pub symbols: Vec<SymbolData>,
    /// First time traded on, nanoseconds since 1970 UTC.
    pub start: Option<i64>,
    /// End of the times traded on, exclusive.
    pub end: Option<i64>,
    /// How files are read.
    pub import: ImportOptions,
    /// Bars per year, where it isn't taken from the data.
    pub bars_per_year: Option<f64>,
}

/// A checked workflow, with every default filled in.
#[derive(Clone, Debug, PartialEq)]
pub struct Workflow {
    /// `train_test_optimization`, `parameter_sweep` and so on; see the README.
    pub name: String,
    /// Folder under the results root.
    pub results_dir: String,
    /// Bytes for everything.
    pub memory_budget: u64,
    /// The data.
    pub data: DataSettings,
    /// Name of the strategy.
    pub strategy: String,
    /// Its parameter sets.
    pub space: Space,
    /// What the phases run in: one pass, a split, windows.
    pub sequence: Sequence,
    /// The phases of every window, in the order in which they run.
    pub phases: Vec<Phase>,
    /// The effective settings with sorted keys: what `run.json` keeps and a resume compares. The
    /// memory budget is not part of them.
    pub settings: Value,
}

/// Reads and checks a workflow file.
///
/// Errors: [`Error::Io`] where it cannot be read, [`Error::Config`] for everything wrong in it.
pub fn load(path: &Path) -> Result<Workflow> {
    let text = std::fs::read_to_string(path).map_err(Error::io("read", path))?;
    let workflow = parse(&text, path);
    heap::give_back();
    workflow
}

/// Checks a workflow text; `path` names it in errors, and data files are relative to its folder.
pub fn parse(text: &str, path: &Path) -> Result<Workflow> {
    let document = Document::parse(text, path)?;
    document.refuse_empty()?;
    check::workflow(&document)
}

/// The workflow whose effective settings a run kept; `path` names the file in errors.
pub fn from_settings(settings: &Value, path: &Path) -> Result<Workflow> {
    let mut document = serde_json::Map::new();
    for key in ["workflow", "results_dir", "data", "strategy"] {
        document.insert(key.to_owned(), settings[key].clone());
    }
    if let Some(sequence) = settings["sequence"].as_object() {
        document.extend(sequence.clone());
    }
    if let Some(gates) = settings.get("gates") {
        document.insert("gates".to_owned(), gates.clone());
    }
    document.insert("phase_overrides".to_owned(), settings["phases"].clone());
    // Here null is what a run kept of a setting without a value.
    check::workflow(&Document::parse(
        &Value::Object(document).to_string(),
        path,
    )?)
}
