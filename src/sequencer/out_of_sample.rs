//! What the windows of a sequence come to: the stitched curve, efficiency, stability.
//!
//! Made from the windows' files and the bars once every window is finished, so that a resumed run
//! writes the same bytes.

use super::curve::{Curve, Deaf, Rows, Segment};
use super::drive::{Drive, window_file};
use super::phase::RunSettings;
use super::{Candidates, Phase, Piece, Window, WindowBars};
use crate::container::Span;
use crate::results::{Durability, write_atomic};
use crate::topology::{ParameterSet, feature_bytes};
use crate::{Error, Result};
use admf_formats::report::{
    ChosenSet, EfficiencyReport, ParameterStability, Sense, SequenceWindow, StabilityReport,
    WalkForwardReport, WindowFigures, to_json_bytes,
};
use admf_formats::units::{PARAMETERS_MAX, finite};
use std::fs::File;
use std::io::BufWriter;
use std::path::Path;

/// The curve's name.
const CURVE_FILE: &str = "out_of_sample_equity.csv";
/// The buffer of the curve's file.
const BUFFER_BYTES: usize = 64 << 10;

/// The phase that chooses and the phase that tests what it chose, by their place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Roles {
    pub(super) training: usize,
    pub(super) testing: usize,
}

impl Roles {
    /// The first phase that runs another one's best on testing's bars, and that other one.
    pub(super) fn of(phases: &[Phase]) -> Option<Roles> {
        phases.iter().enumerate().find_map(|(testing, phase)| {
            let Candidates::BestOf { phase: source, .. } = &phase.candidates else {
                return None;
            };
            let training = phases.iter().position(|one| one.name == *source)?;
            (phase.window == Window::Test).then_some(Roles { training, testing })
        })
    }
}

/// Bytes that making the report of these phases takes, the windows themselves apart.
pub(super) fn bytes(settings: &RunSettings<'_>, phases: &[Phase]) -> u64 {
    let set = ParameterSet {
        index: 0,
        values: settings.space.values(settings.space.len() - 1),
    };
    // Features that cannot be are refused when the phase is planned.
    let features = |phase: &Phase| {
        feature_bytes(settings.strategy, &phase.container, &[set]).unwrap_or(0) as u64
    };
    let features = phases.iter().map(features).max().unwrap_or(0);
    Curve::<Deaf>::bytes() + features + BUFFER_BYTES as u64
}

/// Writes the curve and the report.
///
/// Errors: [`Error::Unmet`] where no window was tested, once both are written; not behind a shut
/// gate (`is_gated`), which is no error.
pub(super) fn write(drive: &Drive<'_>, roles: Roles, root: &Path, is_gated: bool) -> Result<()> {
    let windows = read_windows(drive, root)?;
    let path = root.join(CURVE_FILE);
    let temporary = root.join(format!(".{CURVE_FILE}.tmp"));
    let io = |action| Error::io(action, &temporary);
    let file = File::create(&temporary).map_err(io("create"))?;
    let phase = &drive.phases[roles.testing];
    let rows = Rows::new(BufWriter::with_capacity(BUFFER_BYTES, file)).map_err(io("write"))?;
    let mut curve = Curve::new(phase.container.portfolio.initial_capital, rows);
    let mut bars_per_year = None;
    for (at, (window, bars)) in windows.iter().zip(drive.windows).enumerate() {
        let segment = segment(drive, window, bars, drive.windows.get(at + 1))?;
        let symbol = &drive.settings.symbols[segment.symbol as usize];
        bars_per_year.get_or_insert(symbol.bars_per_year);
        if segment.piece.span.first < segment.piece.span.end {
            curve.push(drive.settings, phase, &window.window, segment)?;
        }
    }
    let (out_of_sample, buy_and_hold, mut out) = curve.finish(bars_per_year.unwrap_or(f64::NAN));
    out.flush().map_err(io("write"))?;
    std::fs::rename(&temporary, &path).map_err(Error::io("write", &path))?;
    let tested = windows.iter().filter(|window| window.not_tested.is_none());
    let tested = tested.count() as u64;
    let untested = windows
        .first()
        .filter(|_| tested == 0 && !is_gated)
        .map(|first| {
            format!(
                "none of {} windows was tested; {}: {}",
                windows.len(),
                first.window,
                first.not_tested.as_deref().unwrap_or_default(),
            )
        });
    let objective = &drive.phases[roles.training].objective;
    let report = WalkForwardReport {
        sequence: drive
            .sequence
            .levels
            .iter()
            .map(|level| level.pattern.clone())
            .collect(),
        objective: objective.function(),
        windows: windows.len() as u64,
        tested,
        not_tested: windows.len() as u64 - tested,
        out_of_sample,
        buy_and_hold,
        efficiency: efficiency(&windows, objective.sense == Sense::Minimize),
        stability: stability(&windows, &drive.settings.space.names().collect::<Vec<_>>()),
        window_results: windows,
    };
    write_atomic(
        &root.join(drive.sequence.results_file()),
        &to_json_bytes(&report),
        Durability::Machine,
    )?;
    match untested {
        Some(message) => Err(Error::Unmet { message }),
        None => Ok(()),
    }
}

/// Every window's file.
fn read_windows(drive: &Drive<'_>, root: &Path) -> Result<Vec<SequenceWindow>> {
    drive
        .windows
        .iter()
        .map(|window| read_window(&window_file(root, &window.folder)))
        .collect()
}

/// The segments of the stitched curve that have bars, in order.
pub(super) fn segments(drive: &Drive<'_>, root: &Path) -> Result<Vec<Segment>> {
    let windows = read_windows(drive, root)?;
    let mut segments = Vec::with_capacity(windows.len());
    for (at, (window, bars)) in windows.iter().zip(drive.windows).enumerate() {
        let segment = segment(drive, window, bars, drive.windows.get(at + 1))?;
        if segment.piece.span.first < segment.piece.span.end {
            segments.push(segment);
        }
    }
    Ok(segments)
}

fn read_window(path: &Path) -> Result<SequenceWindow> {
    let text = std::fs::read(path).map_err(Error::io("read", path))?;
    serde_json::from_slice(&text).map_err(|error| Error::Results {
        path: path.to_path_buf(),
        message: format!(
            "this is no window of this version of admf ({error}); remove it, and the window is run again"
        ),
    })
}

/// What the curve holds on a window: its best set, until the next window's testing begins.
fn segment(
    drive: &Drive<'_>,
    window: &SequenceWindow,
    bars: &WindowBars,
    next: Option<&WindowBars>,
) -> Result<Segment> {
    let settings = drive.settings;
    let best = window.chosen.first();
    let symbol = match best {
        None => 0,
        Some(best) => settings
            .symbols
            .iter()
            .position(|symbol| symbol.symbol == best.symbol)
            .ok_or_else(|| Error::Usage {
                message: format!("{}: symbol {} is unknown", window.window, best.symbol),
            })?,
    };
    let piece = bars.test[symbol];
    let end = next.map_or(piece.span.end, |next| {
        let until = next.test[symbol].span.first;
        // A window that begins before this one's testing is of another kind of level.
        if until >= piece.span.first {
            piece.span.end.min(until)
        } else {
            piece.span.end
        }
    });
    let values = best
        .filter(|best| window.not_tested.is_none() && best.out_of_sample.is_some())
        .map(values);
    Ok(Segment {
        symbol: symbol as u16,
        piece: Piece {
            span: Span {
                first: piece.span.first,
                end,
            },
            ..piece
        },
        values,
    })
}

fn values(set: &ChosenSet) -> [f64; PARAMETERS_MAX] {
    let mut values = [0.0; PARAMETERS_MAX];
    for (value, (_, chosen)) in values.iter_mut().zip(&set.parameters.0) {
        *value = *chosen;
    }
    values
}

/// A mean, summed in order; `None` of nothing.
fn mean(values: impl Iterator<Item = f64>) -> Option<f64> {
    let (sum, count) = values.fold((0.0, 0_u64), |(sum, count), value| (sum + value, count + 1));
    (count > 0).then(|| sum / count as f64).and_then(finite)
}

/// Both figures of every window whose best set has them.
fn pairs<'a>(
    windows: &'a [SequenceWindow],
    figure: impl Fn(&WindowFigures) -> Option<f64> + 'a,
) -> impl Iterator<Item = (f64, f64)> + 'a {
    windows
        .iter()
        .filter_map(|window| window.chosen.first())
        .filter_map(move |best| {
            Some((
                figure(&best.in_sample)?,
                figure(best.out_of_sample.as_ref()?)?,
            ))
        })
}

fn efficiency(windows: &[SequenceWindow], is_minimized: bool) -> EfficiencyReport {
    let means = |figure: fn(&WindowFigures) -> Option<f64>| {
        (
            mean(pairs(windows, figure).map(|pair| pair.0)),
            mean(pairs(windows, figure).map(|pair| pair.1)),
        )
    };
    let share = |(inside, outside): (Option<f64>, Option<f64>)| {
        let inside = inside.filter(|inside| *inside > 0.0)?;
        finite(outside? / inside)
    };
    let annual = means(|figures| figures.annual_return);
    let objective = means(|figures| figures.objective);
    let returns = |figures: &WindowFigures| figures.total_return;
    EfficiencyReport {
        in_sample_annual_return: annual.0,
        out_of_sample_annual_return: annual.1,
        annual_return_efficiency: share(annual),
        in_sample_objective: objective.0,
        out_of_sample_objective: objective.1,
        objective_efficiency: share(objective).filter(|_| !is_minimized),
        objective_decay: objective
            .0
            .zip(objective.1)
            .map(|(inside, outside)| inside - outside)
            .map(|decay| if is_minimized { -decay } else { decay }),
        profitable_windows: mean(
            pairs(windows, returns).map(|pair| f64::from(u8::from(pair.1 > 0.0))),
        ),
    }
}

fn stability(windows: &[SequenceWindow], names: &[&str]) -> StabilityReport {
    let best: Vec<&ChosenSet> = windows
        .iter()
        .filter_map(|window| window.chosen.first())
        .collect();
    let same = |a: &ChosenSet, b: &ChosenSet| a.symbol == b.symbol && a.parameters == b.parameters;
    let distinct = (0..best.len())
        .filter(|at| !best[..*at].iter().any(|earlier| same(earlier, best[*at])))
        .count();
    let repeats = best
        .windows(2)
        .map(|pair| f64::from(u8::from(same(pair[0], pair[1]))));
    StabilityReport {
        distinct_sets: distinct as u64,
        repeated: mean(repeats),
        parameters: names
            .iter()
            .enumerate()
            .map(|(at, name)| {
                let values: Vec<f64> = best
                    .iter()
                    .filter_map(|set| set.parameters.0.get(at).map(|(_, value)| *value))
                    .collect();
                parameter_stability(name, values)
            })
            .collect(),
    }
}

fn parameter_stability(name: &str, mut values: Vec<f64>) -> ParameterStability {
    let count = values.len() as f64;
    let average = mean(values.iter().copied());
    let squares: f64 = values
        .iter()
        .map(|value| value - average.unwrap_or(0.0))
        .map(|off| off * off)
        .sum();
    values.sort_by(f64::total_cmp);
    let mut mode: Option<(f64, usize)> = None;
    let mut distinct = 0;
    for run in values.chunk_by(|a, b| a == b) {
        distinct += 1;
        if mode.is_none_or(|(_, most)| run.len() > most) {
            mode = Some((run[0], run.len()));
        }
    }
    ParameterStability {
        name: name.to_owned(),
        distinct,
        mode: mode.map(|(value, _)| value),
        mode_share: mode.map(|(_, most)| most as f64 / count),
        min: values.first().copied(),
        max: values.last().copied(),
        mean: average,
        standard_deviation: (count > 1.0).then(|| (squares / (count - 1.0)).sqrt()),
    }
}
