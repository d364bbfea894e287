//! Runs a sequence: window after window, each phase of each, and what they come to.
//!
//! Nothing of a window is kept but its file below `windows/`: its containers are gone before the
//! next one starts. That file is written last, so a run that was killed goes on with the first
//! window that has none; within it, committed containers are not run again.

use super::comparison::{self, Comparison};
use super::monte_carlo::{self, Best};
use super::out_of_sample::{self, Roles};
use super::phase::{Outcome, PhaseRun, RunSettings, plan_phase_on, symbol_window};
use super::{Candidates, Phase, Piece, Sequence, WindowBars, gate, parts};
use crate::results::{Durability, PhaseDir, RunDir, write_atomic};
use crate::{Error, Result};
use admf_formats::report::{
    ChosenSet, Objective, SequenceWindow, SymbolWindow, WindowFigures, to_json_bytes,
};
use admf_formats::result::ResultRecord;
use std::path::{Path, PathBuf};

/// Folder of the windows' files.
const WINDOWS_FOLDER: &str = "windows";

/// Bytes that a window keeps until the end: its bars, and its part of the report twice, once as
/// values and once as text.
const WINDOW_BYTES: u64 = 4 << 10;
/// Likewise for each chosen set and each symbol.
const CHOSEN_BYTES: u64 = 2 << 10;

/// A sequence, ready to run.
pub struct Drive<'a> {
    /// What its phases have in common.
    pub settings: &'a RunSettings<'a>,
    /// The sequence.
    pub sequence: &'a Sequence,
    /// Its phases.
    pub phases: &'a [Phase],
    /// Its windows.
    pub windows: &'a [WindowBars],
}

/// Runs one planned phase into its folder; the label names phase and window.
pub type RunOne<'a> =
    &'a mut dyn FnMut(&PhaseRun<'_>, &str, &PhaseDir, &mut RunDir) -> Result<Outcome>;

impl Drive<'_> {
    /// The phases that run: of a shard those that need nothing of other shards.
    fn running(&self) -> impl Iterator<Item = (usize, &Phase)> {
        let is_shard = self.settings.shard.is_some();
        self.phases
            .iter()
            .enumerate()
            .filter(move |(_, phase)| !is_shard || phase.candidates == Candidates::Space)
    }

    /// Bytes that the windows keep.
    pub fn bytes(&self) -> u64 {
        let paths = self.sequence.paths();
        let paths = paths.map_or(0, |rule| {
            monte_carlo::bytes(self.settings, self.phases, rule)
        });
        if !self.sequence.has_windows() {
            return paths;
        }
        let chosen: u64 = self.phases.iter().map(|phase| phase.top_n).sum();
        let symbols = self.settings.symbols.len() as u64;
        self.windows.len() as u64 * (WINDOW_BYTES + CHOSEN_BYTES * (chosen + symbols))
            + out_of_sample::bytes(self.settings, self.phases)
            + paths
    }

    /// The plan of every phase, on the first window: a plan does not depend on the bars.
    ///
    /// Errors: a phase that does not fit.
    pub fn plans(
        &self,
        stand_ins: &dyn Fn(&Phase) -> Vec<ResultRecord>,
    ) -> Result<Vec<PhaseRun<'_>>> {
        if let Some(rule) = self.sequence.paths() {
            monte_carlo::check(self, rule)?;
        }
        self.running()
            .map(|(_, phase)| {
                let pieces = self.windows[0].pieces(phase.window);
                plan_phase_on(
                    self.settings,
                    phase,
                    &stand_ins(phase),
                    pieces[0],
                    self.bytes(),
                )
            })
            .collect()
    }

    /// Runs what is not finished yet, and writes what the windows come to.
    ///
    /// Errors: of a phase, or of a file of the results tree.
    pub fn run(&self, directory: &mut RunDir, run: RunOne<'_>) -> Result<()> {
        let roles = Roles::of(self.phases).filter(|_| self.sequence.has_windows());
        let mut best = None;
        for window in self.windows {
            let file = window_file(directory.path(), &window.folder);
            if roles.is_some() && file.is_file() {
                continue;
            }
            let report;
            (report, best) = self.run_window(window, roles, directory, run)?;
            if roles.is_some() {
                create_above(&file)?;
                write_atomic(&file, &to_json_bytes(&report), Durability::Machine)?;
            }
        }
        if let Some(roles) = roles {
            let is_gated = !directory.run().skipped.is_empty();
            out_of_sample::write(self, roles, directory.path(), is_gated)?;
        }
        match self.sequence.paths() {
            Some(rule) => monte_carlo::write(self, rule, roles, best, directory),
            None => Ok(()),
        }
    }

    /// What the paths came to, as JSON; none where none were drawn.
    pub fn paths_report(&self, root: &Path) -> Result<Option<(PathBuf, serde_json::Value)>> {
        let path = root.join(monte_carlo::RESULTS_FILE);
        if self.sequence.paths().is_none() || !path.is_file() {
            return Ok(None);
        }
        let report = read_json(&path)?;
        Ok(Some((path, report)))
    }

    /// What the windows came to, as JSON; none where the sequence has no such report.
    pub fn report(&self, root: &Path) -> Result<Option<serde_json::Value>> {
        if Roles::of(self.phases).is_none() || !self.sequence.has_windows() {
            return Ok(None);
        }
        read_json(&root.join(self.sequence.results_file())).map(Some)
    }

    /// Every window with the bars of its training and testing, as JSON.
    pub fn listing(&self) -> Result<serde_json::Value> {
        let list = self.windows.iter().map(|window| {
            let train = self.symbol_windows(window.train.iter().flatten().enumerate())?;
            let test = self.symbol_windows(window.test.iter().enumerate())?;
            Ok(serde_json::json!({"window": window.folder, "train": train, "test": test}))
        });
        list.collect::<Result<Vec<_>>>()
            .map(serde_json::Value::Array)
    }

    /// Runs the phases of a window; also gives the best container of the last one.
    fn run_window(
        &self,
        window: &WindowBars,
        roles: Option<Roles>,
        directory: &mut RunDir,
        run: RunOne<'_>,
    ) -> Result<(SequenceWindow, Option<Best>)> {
        let mut report = SequenceWindow {
            window: window.folder.clone(),
            train: self.symbol_windows(window.train.iter().flatten().enumerate())?,
            test: self.symbol_windows(window.test.iter().enumerate())?,
            chosen: Vec::new(),
            not_tested: None,
        };
        // What each phase hands over; nothing but records.
        let mut best: Vec<Vec<ResultRecord>> = Vec::with_capacity(self.phases.len());
        let mut comparison = Comparison::default();
        let mut last = None;
        // Why no further phase runs.
        let mut shut: Option<String> = None;
        for (place, phase) in self.running() {
            let pieces = window.pieces(phase.window);
            if let Some(reason) = &shut {
                let planned = plan_phase_on(self.settings, phase, &[], pieces[0], self.bytes())?;
                let folder = directory.phase_in(&phase.name, &window.folder);
                planned.write_not_run(&folder, reason)?;
                directory.note_skipped(&phase.name, &window.folder, reason)?;
                report.not_tested.get_or_insert_with(|| reason.clone());
                best.push(Vec::new());
                last = None;
                continue;
            }
            let chosen = match &phase.candidates {
                Candidates::Space => Vec::new(),
                Candidates::BestOf { phase: source, .. } => {
                    let source = self.phases.iter().position(|one| one.name == *source);
                    source.map_or(Vec::new(), |source| best[source].clone())
                }
            };
            let needs_chosen = matches!(phase.candidates, Candidates::BestOf { .. });
            if roles.is_some() && needs_chosen && chosen.is_empty() {
                report
                    .not_tested
                    .get_or_insert_with(|| "no container of the earlier phase finished".to_owned());
                best.push(Vec::new());
                continue;
            }
            let place_of = |part: &str| match (window.folder.as_str(), part) {
                ("", part) => part.to_owned(),
                (window, "") => window.to_owned(),
                (window, part) => format!("{window}/{part}"),
            };
            let mut run_piece = |piece: &[Piece], part: &str, directory: &mut RunDir| {
                let planned = plan_phase_on(self.settings, phase, &chosen, piece, self.bytes())?;
                let place = place_of(part);
                let folder = directory.phase_in(&phase.name, &place);
                let label = format!("{} {place}", phase.name);
                let outcome = run(&planned, label.trim_end(), &folder, directory)?;
                Ok::<_, Error>((planned, outcome))
            };
            let (planned, outcome) = match pieces[..] {
                [piece] => run_piece(piece, "", directory)?,
                _ => {
                    let mut last = None;
                    for (at, piece) in pieces.iter().enumerate() {
                        last = Some(run_piece(piece, &parts::folder(at), directory)?);
                    }
                    let (planned, _) = last.expect("a phase has pieces");
                    let folder = directory.phase_in(&phase.name, &window.folder);
                    let windows =
                        self.symbol_windows(pieces.iter().copied().flatten().enumerate())?;
                    let outcome = parts::merge(&planned, &folder, pieces.len(), windows)?;
                    (planned, outcome)
                }
            };
            if let Some(roles) = roles {
                if roles.training == place {
                    report.chosen = chosen_sets(&outcome);
                }
                if roles.testing == place {
                    let objective = &self.phases[roles.training].objective;
                    add_out_of_sample(&mut report.chosen, &outcome, &planned, objective);
                }
            }
            if !self.sequence.has_windows() {
                comparison.add(phase, &planned, &outcome);
            }
            shut = gate::shut(phase, &outcome);
            // What another phase chose is shown whatever it comes to, and a shard chooses nothing.
            if let (Candidates::Space, None, Some(message)) =
                (&phase.candidates, self.settings.shard, outcome.unmet)
            {
                if roles.is_none() {
                    return Err(Error::Unmet { message });
                }
                report.not_tested = Some(message);
            }
            let first = outcome.best.first().copied();
            last = match &shut {
                None => first.zip(outcome.aggregate.best.into_iter().next()),
                Some(_) => None,
            };
            best.push(outcome.best);
        }
        if !comparison.reports().is_empty() {
            write_atomic(
                &directory.path().join(comparison::RESULTS_FILE),
                &to_json_bytes(&comparison.reports()),
                Durability::Machine,
            )?;
        }
        if let (Some(reason), Some(_)) = (shut, self.sequence.paths())
            && roles.is_none()
        {
            directory.note_skipped(monte_carlo::NAME, "", &reason)?;
        }
        Ok((report, last))
    }

    fn symbol_windows<'p>(
        &self,
        pieces: impl Iterator<Item = (usize, &'p Piece)>,
    ) -> Result<Vec<SymbolWindow>> {
        let symbols = self.settings.symbols;
        pieces
            .map(|(at, piece)| symbol_window(&symbols[at % symbols.len()], piece.span))
            .collect()
    }
}

fn read_json(path: &Path) -> Result<serde_json::Value> {
    let text = std::fs::read(path).map_err(Error::io("read", path))?;
    serde_json::from_slice(&text).map_err(|error| Error::Results {
        path: path.to_path_buf(),
        message: error.to_string(),
    })
}

/// The file of a window.
pub(super) fn window_file(root: &Path, folder: &str) -> PathBuf {
    root.join(WINDOWS_FOLDER).join(format!("{folder}.json"))
}

fn create_above(file: &Path) -> Result<()> {
    let folder = file.parent().unwrap_or(file);
    std::fs::create_dir_all(folder).map_err(Error::io("create", folder))
}

/// What training chose, with its figures there.
fn chosen_sets(outcome: &Outcome) -> Vec<ChosenSet> {
    outcome
        .aggregate
        .best
        .iter()
        .filter(|best| best.meets_constraints)
        .map(|best| ChosenSet {
            container: best.container.clone(),
            symbol: best.symbol.clone(),
            parameters: best.parameters.clone(),
            in_sample: WindowFigures::of(&best.metrics, best.objective_value),
            out_of_sample: None,
        })
        .collect()
}

/// Adds the figures of testing: its container `n` ran the `n`th best of training.
fn add_out_of_sample(
    chosen: &mut [ChosenSet],
    outcome: &Outcome,
    planned: &PhaseRun<'_>,
    objective: &Objective,
) {
    let context = planned.report_context("", outcome.handed_over.len() as u64);
    for record in outcome
        .handed_over
        .iter()
        .filter(|record| record.is_completed())
    {
        let metrics = context.metrics(record);
        if let Some(set) = chosen.get_mut(record.index as usize) {
            let value = objective.value(&metrics);
            set.out_of_sample = Some(WindowFigures::of(&metrics, value));
        }
    }
}
