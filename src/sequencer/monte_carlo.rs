//! A Monte Carlo simulation: paths drawn from what a sequence came to.
//!
//! Made once the sequence is finished, from the best container of its last phase, or from the
//! stitched out-of-sample curve where it has windows: the container is told again bar by bar, as
//! the curve is, and nothing per bar is kept beyond the planned series of returns.

use super::curve::{Curve, CurveBar, Deaf, Listener, Segment};
use super::drive::Drive;
use super::out_of_sample::{self, Roles};
use super::phase::{RunSettings, Symbol};
use super::resample::{Draw, Figures, HELD_MAX, METRICS, Series, figures};
use super::{Method, PathRule, Phase};
use crate::market::{Noise, volatility};
use crate::plan::STACK_BYTES;
use crate::results::{Durability, RunDir, write_atomic};
use crate::{Error, Result};
use admf_formats::report::{
    BestContainer, CurveReport, MetricStatistics, MonteCarloReport, MonteCarloSource, PathMetric,
    PathStatistics, PercentileReport, SkippedPhase, to_json_bytes,
};
use admf_formats::result::ResultRecord;
use admf_formats::units::finite;
use std::io;
use std::path::PathBuf;
use std::sync::atomic::Ordering;

/// Name of the report.
pub(super) const RESULTS_FILE: &str = "monte_carlo_results.json";
/// The returns that are not held in memory, below the pools.
const RETURNS_FILE: &str = "monte_carlo_returns.f64";
/// What a simulation is called among phases.
pub(super) const NAME: &str = "monte_carlo";

/// The best container of a phase.
pub(super) type Best = (ResultRecord, BestContainer);

/// Returns that are held in memory.
fn held_max(settings: &RunSettings<'_>, rule: &PathRule) -> u64 {
    if matches!(rule.method, Method::PriceNoise { .. }) {
        return 0;
    }
    let bars = |symbol: &Symbol| symbol.data.end - symbol.data.first;
    settings.symbols.iter().map(bars).sum::<u64>().min(HELD_MAX)
}

/// Bytes that the simulation takes.
pub(super) fn bytes(settings: &RunSettings<'_>, phases: &[Phase], rule: &PathRule) -> u64 {
    let value = size_of::<f64>() as u64;
    let symbols = size_of_val(settings.symbols) as u64;
    let thread = match rule.method {
        Method::PriceNoise { .. } => out_of_sample::bytes(settings, phases) + symbols,
        _ => Draw::BYTES,
    };
    // The figures of every path, one metric of them sorted, and the series.
    rule.paths * (size_of::<Figures>() as u64 + value)
        + value * held_max(settings, rule)
        + settings.threads.min(rule.paths) * (thread + STACK_BYTES / 4)
        + out_of_sample::bytes(settings, phases)
}

/// Whether the paths can be drawn at all.
///
/// Errors: a block longer than the data, or windows that test nothing.
pub(super) fn check(drive: &Drive<'_>, rule: &PathRule) -> Result<()> {
    let sequence = drive.sequence;
    if sequence.has_windows() && Roles::of(drive.phases).is_none() {
        return Err(refused(
            drive,
            "the windows inside have no phase that tests the best of another; there is no \
             out-of-sample curve to draw paths from"
                .to_owned(),
        ));
    }
    let bars = |symbol: &Symbol| symbol.data.end - symbol.data.first;
    let most = drive.settings.symbols.iter().map(bars).max().unwrap_or(0);
    check_block(drive, rule, most)
}

fn check_block(drive: &Drive<'_>, rule: &PathRule, bars: u64) -> Result<()> {
    match rule.method {
        Method::BlockBootstrap { block } if block > bars => Err(refused(
            drive,
            format!(
                "a block of {block} bars is longer than the curve, which has {bars}; lower monte_carlo.block"
            ),
        )),
        _ => Ok(()),
    }
}

fn refused(drive: &Drive<'_>, message: String) -> Error {
    let (path, line) = drive.sequence.place.clone();
    Error::Config {
        path,
        line,
        message,
    }
}

/// What paths are drawn from.
struct Source<'a> {
    phase: &'a Phase,
    segments: Vec<Segment>,
    report: MonteCarloSource,
}

/// Draws the paths and writes the report; without anything to draw from, notes why.
pub(super) fn write(
    drive: &Drive<'_>,
    rule: &PathRule,
    roles: Option<Roles>,
    best: Option<Best>,
    directory: &mut RunDir,
) -> Result<()> {
    let source = match roles {
        Some(roles) => stitched(drive, roles, directory)?,
        None => best.and_then(|best| container(drive, best)),
    };
    let Some(source) = source else {
        let is_noted = |skipped: &SkippedPhase| skipped.phase == NAME;
        return match roles {
            Some(_) => directory.note_skipped(NAME, "", "no window was tested"),
            None if directory.run().skipped.iter().any(is_noted) => Ok(()),
            None => directory.note_skipped(NAME, "", "no container finished"),
        };
    };
    match simulate(drive, rule, source)? {
        Some(report) => {
            let path = directory.path().join(RESULTS_FILE);
            write_atomic(&path, &to_json_bytes(&report), Durability::Machine)
        }
        None => directory.note_skipped(NAME, "", "no trade was closed"),
    }
}

/// The stitched curve; none where no window was tested.
fn stitched<'a>(drive: &Drive<'a>, roles: Roles, directory: &RunDir) -> Result<Option<Source<'a>>> {
    let segments = out_of_sample::segments(drive, directory.path())?;
    let phase = &drive.phases[roles.testing];
    let is_tested = segments.iter().any(|segment| segment.values.is_some());
    Ok(is_tested.then(|| Source {
        phase,
        segments,
        report: MonteCarloSource {
            kind: "out_of_sample".to_owned(),
            phase: phase.name.clone(),
            container: None,
            symbol: None,
            parameters: None,
        },
    }))
}

fn container<'a>(drive: &Drive<'a>, (record, best): Best) -> Option<Source<'a>> {
    let phase = drive.phases.last()?;
    let piece = drive.windows[0].pieces(phase.window)[0][record.symbol as usize];
    Some(Source {
        phase,
        segments: vec![Segment {
            symbol: record.symbol as u16,
            piece,
            values: Some(record.parameters),
        }],
        report: MonteCarloSource {
            kind: "container".to_owned(),
            phase: phase.name.clone(),
            container: Some(best.container),
            symbol: Some(best.symbol),
            parameters: Some(best.parameters),
        },
    })
}

/// Tells every segment over these symbols.
fn tell<L: Listener>(
    settings: &RunSettings<'_>,
    source: &Source<'_>,
    listener: L,
) -> Result<(CurveReport, L)> {
    let capital = source.phase.container.portfolio.initial_capital;
    let mut curve = Curve::new(capital, listener);
    for segment in &source.segments {
        curve.push(settings, source.phase, "", *segment)?;
    }
    let (report, _, listener) = curve.finish(bars_per_year(settings, source));
    Ok((report, listener))
}

fn bars_per_year(settings: &RunSettings<'_>, source: &Source<'_>) -> f64 {
    let symbol = source.segments.first().map_or(0, |segment| segment.symbol);
    settings.symbols[symbol as usize].bars_per_year
}

/// Keeps the returns of bars, or of trades.
struct Returns {
    series: Series,
    of_trades: bool,
}

impl Listener for Returns {
    fn bar(&mut self, bar: &CurveBar<'_>) -> io::Result<()> {
        if self.of_trades {
            return Ok(());
        }
        self.series.push(bar.change)
    }

    fn trade(&mut self, change: f64) -> io::Result<()> {
        if !self.of_trades {
            return Ok(());
        }
        self.series.push(change)
    }
}

/// Draws every path; nothing where there are no trades to draw from.
fn simulate(
    drive: &Drive<'_>,
    rule: &PathRule,
    source: Source<'_>,
) -> Result<Option<MonteCarloReport>> {
    let settings = drive.settings;
    let (original, paths, returns) = if let Method::PriceNoise { noise } = rule.method {
        let (report, Deaf) = tell(settings, &source, Deaf)?;
        let deviations: Vec<f64> = settings
            .symbols
            .iter()
            .map(|symbol| {
                let span = symbol.data.first..symbol.data.end;
                Ok(noise * volatility(&symbol.bars, span)?)
            })
            .collect::<Result<_>>()?;
        let paths = draw_all(settings, rule, &|path, _| {
            perturbed(settings, rule, &source, &deviations, path)
        })?;
        (figures(&report.metrics), paths, report.bars)
    } else {
        let path: PathBuf = settings.pools.join(RETURNS_FILE);
        let listener = Returns {
            series: Series::new(held_max(settings, rule), path.clone()),
            of_trades: rule.method == Method::TradeReshuffle,
        };
        let (report, Returns { mut series, .. }) = tell(settings, &source, listener)?;
        series.settle().map_err(Error::io("write", &path))?;
        check_block(drive, rule, series.len())?;
        if series.len() == 0 {
            return Ok(None);
        }
        let per_bar = bars_per_year(settings, &source);
        let is_trades = rule.method == Method::TradeReshuffle;
        let draw = Draw {
            series: &series,
            method: rule.method,
            seed: rule.seed,
            capital: source.phase.container.portfolio.initial_capital,
            per_year: if is_trades {
                per_bar * series.len() as f64 / report.bars as f64
            } else {
                per_bar
            },
        };
        let original = if is_trades {
            draw.original()?
        } else {
            figures(&report.metrics)
        };
        let paths = draw_all(settings, rule, &|path, order| draw.path(path, order))?;
        let returns = series.len();
        series.remove()?;
        (original, paths, returns)
    };
    Ok(Some(MonteCarloReport {
        sequence: drive
            .sequence
            .levels
            .iter()
            .map(|level| level.pattern.clone())
            .collect(),
        method: rule.method.word().to_owned(),
        paths: rule.paths,
        seed: rule.seed,
        block: match rule.method {
            Method::BlockBootstrap { block } => Some(block),
            _ => None,
        },
        noise: match rule.method {
            Method::PriceNoise { noise } => Some(noise),
            _ => None,
        },
        source: source.report,
        returns,
        probability_of_loss: probability_of_loss(&paths),
        statistics: statistics(rule, original, &paths),
    }))
}

/// The container, or the curve, over bars with a path's noise.
fn perturbed(
    settings: &RunSettings<'_>,
    rule: &PathRule,
    source: &Source<'_>,
    deviations: &[f64],
    path: u64,
) -> Result<Figures> {
    let symbols: Vec<Symbol> = settings
        .symbols
        .iter()
        .zip(deviations)
        .enumerate()
        .map(|(at, (symbol, deviation))| {
            let noise = Noise::new(rule.seed, path, at as u16, *deviation);
            Ok(Symbol {
                symbol: symbol.symbol.clone(),
                bars: symbol.bars.perturbed(noise)?,
                data: symbol.data,
                bars_per_year: symbol.bars_per_year,
            })
        })
        .collect::<Result<_>>()?;
    let noisy = RunSettings {
        symbols: &symbols,
        pools: settings.pools.clone(),
        ..*settings
    };
    let (report, Deaf) = tell(&noisy, source, Deaf)?;
    Ok(figures(&report.metrics))
}

/// Draws one path; the list is a buffer of the thread.
type DrawOne<'a> = &'a (dyn Fn(u64, &mut Vec<u32>) -> Result<Figures> + Sync);

/// The figures of every path, in order of the paths.
fn draw_all(
    settings: &RunSettings<'_>,
    rule: &PathRule,
    draw: DrawOne<'_>,
) -> Result<Vec<Figures>> {
    let mut paths = vec![[f64::NAN; METRICS.len()]; rule.paths as usize];
    let threads = settings.threads.clamp(1, rule.paths);
    let share = rule.paths.div_ceil(threads) as usize;
    std::thread::scope(|scope| {
        let drawing: Vec<_> = paths
            .chunks_mut(share)
            .enumerate()
            .map(|(at, part)| {
                let first = (at * share) as u64;
                std::thread::Builder::new()
                    .name(format!("paths-{at}"))
                    .stack_size(STACK_BYTES as usize)
                    .spawn_scoped(scope, move || draw_part(settings, first, part, draw))
                    .map_err(Error::io("start a thread for", &settings.pools))
            })
            .collect();
        for thread in drawing {
            match thread?.join() {
                Ok(drawn) => drawn?,
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        Ok(())
    })?;
    Ok(paths)
}

fn draw_part(
    settings: &RunSettings<'_>,
    first: u64,
    part: &mut [Figures],
    draw: DrawOne<'_>,
) -> Result<()> {
    let mut order = Vec::new();
    for (path, figures) in (first..).zip(part) {
        if settings.stop.load(Ordering::Relaxed) {
            return Err(Error::Interrupted {
                finished: settings.finished.load(Ordering::Relaxed),
            });
        }
        *figures = draw(path, &mut order)?;
    }
    Ok(())
}

fn probability_of_loss(paths: &[Figures]) -> Option<f64> {
    let known = paths.iter().filter(|path| !path[0].is_nan()).count();
    let lost = paths.iter().filter(|path| path[0] < 0.0).count();
    (known > 0).then(|| lost as f64 / known as f64)
}

fn statistics(rule: &PathRule, original: Figures, paths: &[Figures]) -> PathStatistics {
    let mut values = Vec::with_capacity(paths.len());
    let metrics = METRICS.iter().enumerate().map(|(at, metric)| {
        values.clear();
        values.extend(
            paths
                .iter()
                .map(|path| path[at])
                .filter(|value| value.is_finite()),
        );
        PathMetric {
            original: finite(original[at]),
            paths: metric_statistics(metric, &mut values, &rule.percentiles),
        }
    });
    PathStatistics(metrics.collect())
}

/// Statistics of values, summed in order of the paths; the values are sorted afterwards.
fn metric_statistics(metric: &str, values: &mut [f64], percentiles: &[f64]) -> MetricStatistics {
    let count = values.len() as f64;
    let mean = values.iter().sum::<f64>() / count;
    let squares: f64 = values
        .iter()
        .map(|value| value - mean)
        .map(|off| off * off)
        .sum();
    values.sort_unstable_by(f64::total_cmp);
    let value_at = |percent: f64| {
        let rank = (percent / 100.0 * count).ceil().max(1.0) as usize;
        values.get(rank.min(values.len()).wrapping_sub(1)).copied()
    };
    MetricStatistics {
        metric: metric.to_owned(),
        count: values.len() as u64,
        mean: finite(mean),
        std: (count > 1.0)
            .then(|| (squares / (count - 1.0)).sqrt())
            .and_then(finite),
        min: values.first().copied(),
        max: values.last().copied(),
        percentiles: percentiles
            .iter()
            .map(|percent| PercentileReport {
                percent: *percent,
                value: value_at(*percent),
            })
            .collect(),
    }
}
