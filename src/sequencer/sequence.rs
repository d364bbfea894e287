//! What a sequence is: levels of iterations, the outermost first, around one list of phases.
//!
//! Leaves out how one is written (`workflow`) and which bars its windows have (`windows`).

use super::{PathRule, Split};
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

/// Folds: each is tested, and what lies around it trains.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FoldRule {
    /// Folds, 2 or more, of as many bars (one more or less).
    pub folds: u64,
    /// Dropped from training on both sides of the tested fold.
    pub purge: u64,
    /// Dropped from training after the tested fold, beyond the purge.
    pub embargo: u64,
    /// What purge and embargo count.
    pub unit: Unit,
}

/// What one level repeats.
#[derive(Clone, Debug, PartialEq)]
pub enum Iterations {
    /// Nothing: all the bars, once.
    Once,
    /// Nothing: the bars, cut into training and testing.
    Split(Split),
    /// Rolling windows.
    Windows(WindowRule),
    /// Folds.
    Folds(FoldRule),
    /// Nothing while it runs: the paths are drawn from what the sequence inside comes to.
    Paths(PathRule),
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
        self.levels.iter().any(|level| {
            matches!(
                level.iterations,
                Iterations::Windows(_) | Iterations::Folds(_)
            )
        })
    }

    /// The paths that are drawn from its results, where it has some.
    pub fn paths(&self) -> Option<&PathRule> {
        self.levels
            .iter()
            .find_map(|level| match &level.iterations {
                Iterations::Paths(rule) => Some(rule),
                _ => None,
            })
    }

    /// Whether training lies on both sides of testing.
    pub fn has_folds(&self) -> bool {
        self.levels
            .iter()
            .any(|level| matches!(level.iterations, Iterations::Folds(_)))
    }

    /// Name of the file with what the windows come to.
    pub fn results_file(&self) -> &'static str {
        if self.has_folds() {
            "k_fold_results.json"
        } else {
            "walk_forward_results.json"
        }
    }
}
