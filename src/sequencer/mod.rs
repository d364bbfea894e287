//! Phases and their windows: planned, run, and folded into their aggregate.

mod checkpoint;
mod comparison;
mod curve;
mod drive;
mod footprint;
mod gate;
mod layout;
mod listen;
mod merge;
mod monte_carlo;
mod out_of_sample;
mod parts;
mod pattern;
mod phase;
mod resample;
mod sequence;
mod tile;
mod traces;
mod windows;

pub use drive::{Drive, RunOne};
pub use listen::{Listened, Listener, listen};
pub use merge::merge_phase;
pub use pattern::Pattern;
pub use phase::{Outcome, PhaseRun, RunSettings, Symbol, plan_phase, plan_phase_on, run_phase};
pub use resample::{Method, PATHS_MAX, PathRule};
pub use sequence::{FoldRule, Iterations, LEVELS_MAX, Level, Sequence, Unit, WindowRule};
pub use traces::{ContainerTrace, Traces};
pub use windows::{Piece, WINDOWS_MAX, WindowBars, windows};

use crate::container::ContainerRules;
use admf_formats::report::{Objective, ResultConstraint};
use std::path::PathBuf;

/// Where results of a phase go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResultsStorage {
    /// Archive files and JSON.
    Disk,
    /// A planned table; only the aggregate and the summary are written.
    Memory,
}

/// Whether a JSON per container is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ContainerResults {
    /// JSON up to 1,000 containers, archive beyond.
    Auto,
    /// Always.
    Json,
    /// Never; the tools make them from the archive.
    Archive,
}

/// Containers up to which `auto` writes a JSON each.
const JSON_CONTAINERS_MAX: u64 = 1000;

impl ContainerResults {
    /// The word of the workflow, which a phase's summary repeats.
    pub fn by_name(name: &str) -> Option<ContainerResults> {
        match name {
            "auto" => Some(ContainerResults::Auto),
            "json" => Some(ContainerResults::Json),
            "archive" => Some(ContainerResults::Archive),
            _ => None,
        }
    }

    /// Whether each of so many containers gets a JSON.
    pub const fn writes_json(self, containers: u64) -> bool {
        match self {
            ContainerResults::Auto => containers <= JSON_CONTAINERS_MAX,
            ContainerResults::Json => true,
            ContainerResults::Archive => false,
        }
    }
}

/// What indicators see of the bars before a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Warmup {
    /// Every bar of the data before it.
    History,
    /// Nothing.
    None,
}

/// Data of one symbol.
#[derive(Clone, Debug, PartialEq)]
pub struct SymbolData {
    /// Symbol.
    pub symbol: String,
    /// CSV, Parquet or bars file.
    pub path: PathBuf,
}

/// Where training ends.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Split {
    /// So much of the bars (0 to 1, exclusive) is training.
    Ratio(f64),
    /// Training ends with the last bar of this UTC time (exclusive, nanoseconds).
    TrainEnd(i64),
}

/// Which bars of a window a phase trades on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Window {
    /// All.
    All,
    /// Those of training.
    Train,
    /// Those of testing.
    Test,
}

/// Which parameter sets a phase runs.
#[derive(Clone, Debug, PartialEq)]
pub enum Candidates {
    /// The whole parameter space.
    Space,
    /// The best of another phase.
    BestOf {
        /// Name of the earlier phase.
        phase: String,
        /// How many.
        count: u64,
    },
}

/// One phase of a workflow, checked, with every default filled in.
#[derive(Clone, Debug, PartialEq)]
pub struct Phase {
    /// Name, also of its folder.
    pub name: String,
    /// Window of the data.
    pub window: Window,
    /// Parameter sets.
    pub candidates: Candidates,
    /// Rules of its containers.
    pub container: ContainerRules,
    /// Trace level that its rules began with.
    pub trace_level: String,
    /// Rules of the containers whose names match a pattern.
    pub container_traces: Vec<ContainerTrace>,
    /// What ranks its containers.
    pub objective: Objective,
    /// What its best container must meet, or no later phase runs.
    pub gate: Vec<ResultConstraint>,
    /// How many best containers are reported and handed over.
    pub top_n: u64,
    /// Percentiles of the aggregate, in rising order.
    pub percentiles: Vec<f64>,
    /// Storage of results.
    pub results_storage: ResultsStorage,
    /// JSON per container.
    pub container_results: ContainerResults,
    /// Warm-up of indicators.
    pub warmup: Warmup,
}

impl Phase {
    /// What its containers trace.
    pub fn traces(&self) -> Traces {
        Traces::new(
            self.trace_level.clone(),
            self.container.trace,
            self.container_traces.clone(),
        )
    }
}
