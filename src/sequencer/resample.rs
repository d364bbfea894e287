//! Paths drawn from a series of returns.
//!
//! Each path has a stream of random numbers of its own, fixed by the seed and the path's number, so
//! that it does not matter which thread draws it, or when.

use crate::sweep::Permutation;
use crate::{Error, Result};
use admf_formats::report::{Metrics, curve_metrics};
use admf_formats::result::{EquityTotals, ExecutionTotals, TradeTotals};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// Returns that are held in memory; further ones lie in a file.
pub(super) const HELD_MAX: u64 = 1 << 20;
/// Returns that are read at once.
const RUN: usize = 512;
/// Trades up to which a path's order is shuffled in memory; beyond, it is a computed permutation.
const SHUFFLED_MAX: u64 = 1 << 16;

/// Paths at most.
pub const PATHS_MAX: u64 = 1_000_000;

/// What a path changes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Method {
    /// Returns of bars, drawn with replacement in blocks of so many bars; the series is a circle.
    ///
    /// Source: D. N. Politis and J. P. Romano, A Circular Block-Resampling Procedure for Stationary
    /// Data (1992).
    BlockBootstrap {
        /// Bars, 1 or more.
        block: u64,
    },
    /// The order of the closed trades' returns.
    TradeReshuffle,
    /// Prices, by noise whose standard deviation is this share of that of the bars' returns.
    PriceNoise {
        /// Above 0.
        noise: f64,
    },
}

impl Method {
    /// Its word in a workflow file.
    pub const fn word(self) -> &'static str {
        match self {
            Method::BlockBootstrap { .. } => "block_bootstrap",
            Method::TradeReshuffle => "trade_reshuffle",
            Method::PriceNoise { .. } => "price_noise",
        }
    }
}

/// Which paths are drawn.
#[derive(Clone, Debug, PartialEq)]
pub struct PathRule {
    /// What a path changes.
    pub method: Method,
    /// Paths, 1 to [`PATHS_MAX`].
    pub paths: u64,
    /// What every random number comes from.
    pub seed: u64,
    /// Percentiles of the report, in rising order.
    pub percentiles: Vec<f64>,
}

/// Metrics of a path, in this order.
pub(super) const METRICS: [&str; 4] = [
    "total_return",
    "max_drawdown",
    "sharpe_ratio",
    "final_value",
];

/// Values of [`METRICS`]; NaN where one is null.
pub(super) type Figures = [f64; METRICS.len()];

/// The figures of a path's metrics.
pub(super) fn figures(metrics: &Metrics) -> Figures {
    [
        metrics.total_return.unwrap_or(f64::NAN),
        metrics.max_drawdown,
        metrics.sharpe_ratio.unwrap_or(f64::NAN),
        metrics.current_value,
    ]
}

/// Returns in order, the first ones in memory, the others in a file.
#[derive(Debug)]
pub(super) struct Series {
    held: Vec<f64>,
    held_max: usize,
    path: PathBuf,
    rest: Option<BufWriter<File>>,
    len: u64,
}

impl Series {
    /// An empty series that holds at most `held_max` returns; a file, where it needs one, is `path`.
    pub(super) fn new(held_max: u64, path: PathBuf) -> Series {
        Series {
            held: Vec::with_capacity(held_max as usize),
            held_max: held_max as usize,
            path,
            rest: None,
            len: 0,
        }
    }

    pub(super) fn push(&mut self, value: f64) -> io::Result<()> {
        self.len += 1;
        if self.held.len() < self.held_max {
            self.held.push(value);
            return Ok(());
        }
        if self.rest.is_none() {
            std::fs::create_dir_all(self.path.parent().unwrap_or(Path::new(".")))?;
            let file = File::options()
                .read(true)
                .write(true)
                .create(true)
                .truncate(true)
                .open(&self.path)?;
            self.rest = Some(BufWriter::new(file));
        }
        match &mut self.rest {
            Some(rest) => rest.write_all(&value.to_le_bytes()),
            None => Ok(()),
        }
    }

    /// Nothing more comes: what was pushed can be read.
    pub(super) fn settle(&mut self) -> io::Result<()> {
        self.rest.as_mut().map_or(Ok(()), Write::flush)
    }

    pub(super) const fn len(&self) -> u64 {
        self.len
    }

    /// Reads as many returns as `into` has, from `first` on.
    pub(super) fn read(&self, first: u64, into: &mut [f64]) -> Result<()> {
        let held = &self.held[(first as usize).min(self.held.len())..];
        let held = &held[..held.len().min(into.len())];
        let (from_memory, from_file) = into.split_at_mut(held.len());
        from_memory.copy_from_slice(held);
        if from_file.is_empty() {
            return Ok(());
        }
        let Some(rest) = &self.rest else {
            return Err(Error::Results {
                path: self.path.clone(),
                message: "returns beyond the end of the series were asked for".to_owned(),
            });
        };
        let mut bytes = [0; 8 * RUN];
        let mut at = (first + held.len() as u64 - self.held.len() as u64) * 8;
        for part in from_file.chunks_mut(RUN) {
            let bytes = &mut bytes[..8 * part.len()];
            rest.get_ref()
                .read_exact_at(bytes, at)
                .map_err(Error::io("read", &self.path))?;
            for (value, bytes) in part.iter_mut().zip(bytes.as_chunks::<8>().0) {
                *value = f64::from_le_bytes(*bytes);
            }
            at += bytes.len() as u64;
        }
        Ok(())
    }

    /// Removes the file, where there is one.
    pub(super) fn remove(self) -> Result<()> {
        match self.rest {
            Some(_) => std::fs::remove_file(&self.path).map_err(Error::io("remove", &self.path)),
            None => Ok(()),
        }
    }
}

/// The equity that returns compound to.
struct Fold(EquityTotals);

impl Fold {
    fn new(capital: f64) -> Fold {
        Fold(EquityTotals {
            initial: capital,
            last: capital,
            peak: capital,
            ..EquityTotals::default()
        })
    }

    fn push(&mut self, change: f64) {
        let totals = &mut self.0;
        let down = change.min(0.0);
        totals.bars += 1;
        totals.return_sum += change;
        totals.return_square_sum += change * change;
        totals.downside_square_sum += down * down;
        totals.last = (totals.last * (1.0 + change)).max(0.0);
        totals.peak = totals.peak.max(totals.last);
        totals.drawdown_max = totals.drawdown_max.max(1.0 - totals.last / totals.peak);
    }

    fn figures(&self, per_year: f64) -> Figures {
        // Times and executions have no part in these metrics.
        let (trades, execution) = (TradeTotals::default(), ExecutionTotals::default());
        figures(&curve_metrics(self.0, trades, execution, [0, 0], per_year))
    }
}

/// A series that paths are drawn from.
pub(super) struct Draw<'a> {
    pub(super) series: &'a Series,
    pub(super) method: Method,
    pub(super) seed: u64,
    /// Equity before the first return.
    pub(super) capital: f64,
    /// Returns per year.
    pub(super) per_year: f64,
}

impl Draw<'_> {
    /// Bytes that one thread keeps.
    pub(super) const BYTES: u64 = 16 * RUN as u64 + 4 * SHUFFLED_MAX;

    /// The series in its own order.
    pub(super) fn original(&self) -> Result<Figures> {
        let mut fold = self.fold();
        self.push_run(&mut fold, 0, self.series.len())?;
        Ok(fold.figures(self.per_year))
    }

    /// One path; the series is not empty.
    pub(super) fn path(&self, path: u64, order: &mut Vec<u32>) -> Result<Figures> {
        let mut random = ChaCha8Rng::seed_from_u64(self.seed);
        random.set_stream(path);
        let mut fold = self.fold();
        match self.method {
            Method::BlockBootstrap { block } => self.bootstrap(&mut fold, &mut random, block)?,
            _ => self.reshuffle(&mut fold, &mut random, order)?,
        }
        Ok(fold.figures(self.per_year))
    }

    /// Closes have one return less than there are of them, trades have one each.
    fn fold(&self) -> Fold {
        let mut fold = Fold::new(self.capital);
        fold.0.bars = u64::from(self.method == Method::TradeReshuffle);
        fold
    }

    fn bootstrap(&self, fold: &mut Fold, random: &mut ChaCha8Rng, block: u64) -> Result<()> {
        let mut left = self.series.len();
        while left > 0 {
            let first = below(random, self.series.len());
            let bars = block.min(left);
            // The part up to the end of the series, and what goes on at its beginning.
            let to_end = bars.min(self.series.len() - first);
            self.push_run(fold, first, to_end)?;
            self.push_run(fold, 0, bars - to_end)?;
            left -= bars;
        }
        Ok(())
    }

    fn reshuffle(
        &self,
        fold: &mut Fold,
        random: &mut ChaCha8Rng,
        order: &mut Vec<u32>,
    ) -> Result<()> {
        let count = self.series.len();
        if count > SHUFFLED_MAX {
            let permutation = Permutation::new(count, std::array::from_fn(|_| random.next_u64()));
            return (0..count).try_for_each(|place| self.push_run(fold, permutation.of(place), 1));
        }
        order.clear();
        order.extend(0..count as u32);
        for last in (1..order.len()).rev() {
            order.swap(last, below(random, last as u64 + 1) as usize);
        }
        order
            .iter()
            .try_for_each(|at| self.push_run(fold, u64::from(*at), 1))
    }

    fn push_run(&self, fold: &mut Fold, first: u64, count: u64) -> Result<()> {
        let mut values = [0.0; RUN];
        let (mut first, mut left) = (first, count);
        while left > 0 {
            let run = left.min(RUN as u64);
            let values = &mut values[..run as usize];
            self.series.read(first, values)?;
            values.iter().for_each(|change| fold.push(*change));
            (first, left) = (first + run, left - run);
        }
        Ok(())
    }
}

/// A number below `count`; its bias is `count` times 2^-64 at most.
fn below(random: &mut ChaCha8Rng, count: u64) -> u64 {
    ((u128::from(random.next_u64()) * u128::from(count)) >> 64) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A series of these returns, so many of them in memory.
    fn series(values: &[f64], held_max: u64, folder: &Path) -> Series {
        let mut series = Series::new(held_max, folder.join("returns.f64"));
        for value in values {
            series.push(*value).expect("a writable folder");
        }
        series.settle().expect("a writable folder");
        series
    }

    fn draw(series: &Series, method: Method) -> Draw<'_> {
        Draw {
            series,
            method,
            seed: 7,
            capital: 1000.0,
            per_year: 252.0,
        }
    }

    fn returns(count: u64) -> Vec<f64> {
        let mut random = ChaCha8Rng::seed_from_u64(3);
        (0..count)
            .map(|_| below(&mut random, 2001) as f64 / 50_000.0 - 0.0195)
            .collect()
    }

    #[test]
    fn paths_are_the_same_from_memory_and_from_a_file() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let values = returns(2000);
        let other = folder.path().join("other");
        let held = series(&values, 5000, &other);
        assert!(!other.exists(), "nothing is written where all is held");
        for held_max in [0, 1, 700] {
            let filed = series(&values, held_max, folder.path());
            for method in [
                Method::BlockBootstrap { block: 700 },
                Method::TradeReshuffle,
            ] {
                let path = |series, path| {
                    let figures = draw(series, method).path(path, &mut Vec::new());
                    figures.expect("readable").map(f64::to_bits)
                };
                for number in 0..5 {
                    assert_eq!(path(&held, number), path(&filed, number));
                }
                assert_ne!(path(&held, 0), path(&held, 1));
            }
            filed.remove().expect("removable");
        }
    }

    #[test]
    fn a_block_of_all_bars_only_turns_the_circle() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let held = series(&returns(300), 300, folder.path());
        let draw = draw(&held, Method::BlockBootstrap { block: 300 });
        let original = draw.original().expect("readable");
        for path in 0..20 {
            let figures = draw.path(path, &mut Vec::new()).expect("readable");
            // The same returns in another order: the same growth, but for rounding.
            assert!((figures[0] - original[0]).abs() < 1e-9, "path {path}");
            assert!((figures[2] - original[2]).abs() < 1e-9, "path {path}");
        }
    }

    #[test]
    fn a_bootstrap_has_the_mean_and_the_spread_of_its_returns() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let values = returns(400);
        let held = series(&values, 400, folder.path());
        let draw = draw(&held, Method::BlockBootstrap { block: 1 });
        let paths = 4000;
        let logs: Vec<f64> = (0..paths)
            .map(|path| draw.path(path, &mut Vec::new()).expect("readable")[3])
            .map(|last| libm::log(last / 1000.0))
            .collect();
        let count = paths as f64;
        let mean = logs.iter().sum::<f64>() / count;
        let variance = logs
            .iter()
            .map(|log| (log - mean) * (log - mean))
            .sum::<f64>()
            / count;
        // Independent draws: sums of 400 logarithms of returns.
        let own: Vec<f64> = values.iter().map(|value| libm::log(1.0 + value)).collect();
        let own_mean = own.iter().sum::<f64>() / 400.0;
        let own_variance = own
            .iter()
            .map(|log| (log - own_mean) * (log - own_mean))
            .sum::<f64>()
            / 400.0;
        let error = (400.0 * own_variance / count).sqrt();
        assert!((mean - 400.0 * own_mean).abs() < 4.0 * error, "{mean}");
        let ratio = variance / (400.0 * own_variance);
        assert!((0.9..1.1).contains(&ratio), "{ratio}");
    }

    #[test]
    fn every_order_of_three_trades_comes_as_often() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        // The largest drawdown tells most orders apart; a half and a third lost, a half won.
        let held = series(&[-0.5, 0.5, -0.25], 3, folder.path());
        let draw = draw(&held, Method::TradeReshuffle);
        let mut counts = std::collections::BTreeMap::new();
        let mut order = Vec::new();
        for path in 0..6000 {
            draw.path(path, &mut order).expect("readable");
            *counts.entry(order.clone()).or_insert(0_u32) += 1;
        }
        assert_eq!(counts.len(), 6);
        for (order, count) in counts {
            assert!((850..1150).contains(&count), "{order:?}: {count}");
        }
    }

    #[test]
    fn all_trades_come_once_under_any_count() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let count = SHUFFLED_MAX + 10;
        let values: Vec<f64> = (0..count)
            .map(|at| if at == 9 { -1.0 } else { 0.0 })
            .collect();
        let held = series(&values, count, folder.path());
        let draw = draw(&held, Method::TradeReshuffle);
        // Without the one that loses all, or with it twice, this would differ.
        let figures = draw.path(0, &mut Vec::new()).expect("readable");
        assert_eq!((figures[1], figures[3]), (1.0, 0.0));
    }
}
