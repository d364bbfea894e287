//! A run that left its results, opened again to look at one of its containers.

use super::run::{BARS_CACHE, Prepared, placeholder};
use crate::sequencer::{Candidates, Phase, Piece, RunSettings, WindowBars};
use crate::topology::{Job, ParameterSet};
use crate::{Error, Result, workflow};
use admf_formats::report::{RunReport, container_id, container_index};
use admf_formats::result::ResultRecord;
use std::path::{Path, PathBuf};

/// A run, from its `run.json` and its bars.
pub(super) struct EarlierRun {
    results: PathBuf,
    report: RunReport,
    pub(super) prepared: Prepared,
}

/// One container of it.
pub(super) struct Place {
    /// Which of the workflow's phases.
    pub(super) phase: usize,
    /// Which of its windows.
    window: usize,
    /// Index of the container.
    pub(super) index: u64,
    /// Containers of the phase.
    pub(super) count: u64,
    /// Its parameters and symbol, and nothing else.
    pub(super) record: ResultRecord,
}

impl EarlierRun {
    /// Opens the run of this results directory.
    ///
    /// Errors: there is no run of admf in it, its bars are gone or are other ones.
    pub(super) fn open(results: &Path) -> Result<EarlierRun> {
        let run_file = results.join("run.json");
        let text = std::fs::read_to_string(&run_file).map_err(Error::io("read", &run_file))?;
        let report: RunReport = serde_json::from_str(&text).map_err(|error| Error::Results {
            path: run_file.clone(),
            message: format!("not a run of admf: {error}"),
        })?;
        let mut workflow = workflow::from_settings(&report.config, &run_file)?;
        for (symbol, data) in workflow.data.symbols.iter_mut().zip(&report.data) {
            symbol.path = bars_path(results, Path::new(&data.path));
        }
        let root = results.parent().unwrap_or(Path::new("."));
        let prepared = Prepared::new(workflow, root, Some(1), None)?;
        for (symbol, data) in prepared.symbols.iter().zip(&report.data) {
            if symbol.bars.digest() != data.digest {
                return Err(Error::Results {
                    path: symbol.bars.path().to_path_buf(),
                    message: format!(
                        "the bars of {} are not those of the run (another digest)",
                        data.symbol
                    ),
                });
            }
        }
        Ok(EarlierRun {
            results: results.to_path_buf(),
            report,
            prepared,
        })
    }

    /// The container that a user names.
    ///
    /// Errors: the phase or window is not named or did not run, or there is no such container.
    pub(super) fn place(
        &self,
        settings: &RunSettings<'_>,
        phase: Option<&str>,
        window: Option<u64>,
        container: &str,
    ) -> Result<Place> {
        let phases = &self.prepared.workflow.phases;
        let names: Vec<&str> = phases.iter().map(|phase| phase.name.as_str()).collect();
        let phase = match phase {
            Some(name) => names.iter().position(|known| *known == name),
            None if names.len() == 1 => Some(0),
            None => None,
        };
        let phase = phase.ok_or_else(|| Error::Usage {
            message: format!(
                "name the container's phase with --phase, one of: {}",
                names.join(", ")
            ),
        })?;
        let window = window_of(&self.prepared.windows, window)?;
        let (name, folder) = (names[phase], &self.prepared.windows[window].folder);
        self.check_ran(name, folder)?;
        // Phases that choose for this one hand over what their own aggregate says.
        let chosen = match &phases[phase].candidates {
            Candidates::Space => None,
            Candidates::BestOf { phase, .. } => {
                Some(best_of(&self.results.join(phase).join(folder), settings)?)
            }
        };
        let sets = settings.space.len() * settings.symbols.len() as u64;
        let count = chosen.as_ref().map_or(sets, |chosen| chosen.len() as u64);
        let index = container_index(container, count).ok_or_else(|| Error::Usage {
            message: match count {
                0 => format!(
                    "--container {container}: phase {name} has no containers, since none that it \
                     chooses from meets the constraints on results"
                ),
                _ => {
                    format!("--container {container}: phase {name} has containers 1 to {count}")
                }
            },
        })?;
        let record = match chosen {
            None => {
                let symbol = index / settings.space.len();
                let mut record = placeholder(settings.space.values(index % settings.space.len()));
                record.symbol = symbol as u32;
                record
            }
            Some(chosen) => chosen[index as usize],
        };
        Ok(Place {
            phase,
            window,
            index,
            count,
            record,
        })
    }

    /// A phase after a shut gate has no containers to look at.
    fn check_ran(&self, phase: &str, folder: &str) -> Result<()> {
        let is_this = |window: &Option<String>| window.as_deref().unwrap_or_default() == folder;
        let skipped = &self.report.skipped;
        match skipped
            .iter()
            .find(|skipped| skipped.phase == phase && is_this(&skipped.window))
        {
            Some(skipped) => Err(Error::Usage {
                message: format!(
                    "phase {phase}{}{folder} did not run: {}",
                    if folder.is_empty() { "" } else { " of " },
                    skipped.reason
                ),
            }),
            None => Ok(()),
        }
    }

    /// The phase of a container.
    pub(super) fn phase(&self, place: &Place) -> &Phase {
        &self.prepared.workflow.phases[place.phase]
    }

    /// The folder of its window below that of its phase; empty where the run has one window.
    pub(super) fn window(&self, place: &Place) -> &str {
        &self.prepared.windows[place.window].folder
    }

    /// The folder of its phase and window.
    pub(super) fn folder(&self, place: &Place) -> PathBuf {
        let phase = self.results.join(&self.phase(place).name);
        phase.join(self.window(place))
    }

    /// Name of a container.
    pub(super) fn container(&self, place: &Place) -> String {
        container_id(place.index, place.count)
    }

    /// The pieces of the data that it traded on, each with every symbol.
    pub(super) fn pieces(&self, place: &Place) -> Vec<&[Piece]> {
        self.prepared.windows[place.window].pieces(self.phase(place).window)
    }

    /// Its set, and the job that runs it on one of those pieces.
    pub(super) fn job<'a>(
        &'a self,
        settings: &RunSettings<'a>,
        place: &Place,
        pieces: &[Piece],
    ) -> (ParameterSet, Job<'a>) {
        let (phase, symbol) = (self.phase(place), place.record.symbol as u16);
        let piece = pieces[usize::from(symbol)];
        let set = ParameterSet {
            index: place.index,
            values: place.record.parameters,
        };
        let data = &self.prepared.symbols[usize::from(symbol)];
        let job = Job {
            strategy: settings.strategy,
            rules: &phase.container,
            bars: &data.bars,
            bars_per_year: data.bars_per_year,
            symbol,
            span: piece.span,
            features_from: piece.features_from(phase.warmup),
            stop: &self.prepared.stop,
        };
        (set, job)
    }
}

/// Where the bars of a run are: as the run says, or in the same place relative to results that were
/// moved or are seen from another folder.
fn bars_path(results: &Path, given: &Path) -> PathBuf {
    if given.is_file() {
        return given.to_path_buf();
    }
    let moved = given.file_name().and_then(|file| {
        results
            .ancestors()
            .skip(1)
            .map(|folder| folder.join(BARS_CACHE).join(file))
            .find(|candidate| candidate.is_file())
    });
    moved.unwrap_or_else(|| given.to_path_buf())
}

/// The place of the window that a user names by its number, from 1.
fn window_of(windows: &[WindowBars], number: Option<u64>) -> Result<usize> {
    let count = windows.len() as u64;
    match number {
        None if count == 1 => Ok(0),
        Some(number) if (1..=count).contains(&number) && !windows[0].folder.is_empty() => {
            Ok(number as usize - 1)
        }
        Some(_) if windows[0].folder.is_empty() => Err(Error::Usage {
            message: "--window: this run has no windows".to_owned(),
        }),
        _ => Err(Error::Usage {
            message: format!("name the container's window with --window, 1 to {count}"),
        }),
    }
}

/// What a finished phase handed over, from its own aggregate.
fn best_of(folder: &Path, settings: &RunSettings<'_>) -> Result<Vec<ResultRecord>> {
    let path = folder.join("aggregate_results.json");
    let text = std::fs::read_to_string(&path).map_err(Error::io("read", &path))?;
    let wrong = |message: &str| Error::Results {
        path: path.clone(),
        message: message.to_owned(),
    };
    let value: serde_json::Value =
        serde_json::from_str(&text).map_err(|error| wrong(&error.to_string()))?;
    let best = value["best"]
        .as_array()
        .ok_or_else(|| wrong("`best` is missing"))?;
    best.iter()
        .filter(|entry| entry["meets_constraints"] == true)
        .map(|entry| {
            let mut parameters = [0.0; admf_formats::units::PARAMETERS_MAX];
            for (value, name) in parameters.iter_mut().zip(settings.space.names()) {
                *value = entry["parameters"][name]
                    .as_f64()
                    .ok_or_else(|| wrong("a parameter is missing"))?;
            }
            let symbol = settings
                .symbols
                .iter()
                .position(|symbol| entry["symbol"] == symbol.symbol.as_str());
            let mut record = placeholder(parameters);
            record.symbol = symbol.ok_or_else(|| wrong("a symbol is unknown"))? as u32;
            Ok(record)
        })
        .collect()
}
