//! What a sequence is: levels of iterations, the outermost first, around one list of phases.
//!
//! Leaves out how one is written (`workflow`) and which bars its windows have (`windows`).

use super::Split;
use std::path::PathBuf;

/// Levels that a sequence has at most.
pub const LEVELS_MAX: usize = 4;

/// What lengths count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Calendar days, in the time zone of the data.
    Days,
    /// Bars.
    Bars,
}

impl Unit {
    /// Its word in a workflow file.
    pub const fn word(self) -> &'static str {
        match self {
            Unit::Days => "days",
            Unit::Bars => "bars",
        }
    }
}

/// Windows that roll through the data: training, and right after it testing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WindowRule {
    /// Length of training (of the first one where `anchored`), 1 or more.
    pub train: u64,
    /// Length of testing, 1 or more.
    pub test: u64,
    /// From one window to the next, 1 or more.
    pub step: u64,
    /// What lengths count.
    pub unit: Unit,
    /// Training always begins with the data, and grows.
    pub anchored: bool,
}

/// What one level repeats.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Iterations {
    /// Nothing: all the bars, once.
    Once,
    /// Nothing: the bars, cut into training and testing.
    Split(Split),
    /// Rolling windows.
    Windows(WindowRule),
}

/// One level.
#[derive(Clone, Debug, PartialEq)]
pub struct Level {
    /// Name of its pattern.
    pub pattern: String,
    /// What it repeats.
    pub iterations: Iterations,
}

/// A sequence, checked.
#[derive(Clone, Debug, PartialEq)]
pub struct Sequence {
    /// Levels, outermost first; 1 to [`LEVELS_MAX`].
    pub levels: Vec<Level>,
    /// The file that asks for it, and the line, for errors that only the data shows.
    pub place: (PathBuf, Option<u64>),
}

impl Sequence {
    /// Name of the outermost pattern.
    pub fn name(&self) -> &str {
        &self.levels[0].pattern
    }

    /// Whether it has windows whose testing is out of sample, so that they have results of their own.
    pub fn has_windows(&self) -> bool {
        self.levels
            .iter()
            .any(|level| matches!(level.iterations, Iterations::Windows(_)))
    }
}
