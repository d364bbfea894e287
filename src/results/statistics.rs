//! Statistics of a phase's results: mean, deviation, extremes and exact percentiles of every
//! metric, in memory that does not grow with the results.
//!
//! Values come as one row per container, NaN where a metric is null. Rows are folded in order of
//! index: mean and deviation (B. P. Welford, 1962) and the extremes, all columns of a row at once.
//! How percentiles are found is in `percentiles`.

use crate::kernel::{self, Wide};
use admf_formats::report::{MetricStatistics, Metrics, PercentileReport};
use admf_formats::units::finite;

/// Columns of a row: every metric, and the value of the objective.
pub(super) const COLUMNS: usize = Metrics::OBJECTIVES.len() + 1;

/// Where the objective stands in a row.
pub(super) const OBJECTIVE: usize = COLUMNS - 1;

/// A value per column; NaN where there is none.
pub(super) type Row = [f64; COLUMNS];

/// The metric that is left out: it is the data's, not the container's.
const CONSTANT: &str = "bars_per_year";

/// What is folded of the rows, a place per column.
#[derive(Clone, Debug)]
pub(super) struct Moments {
    count: Row,
    mean: Row,
    /// Sums of squares about the mean.
    squares: Row,
    least: Row,
    greatest: Row,
}

impl Moments {
    const NONE: Moments = Moments {
        count: [0.0; COLUMNS],
        mean: [0.0; COLUMNS],
        squares: [0.0; COLUMNS],
        least: [f64::INFINITY; COLUMNS],
        greatest: [f64::NEG_INFINITY; COLUMNS],
    };

    /// The rows of the next containers, all NaN where one failed.
    pub(super) fn push(&mut self, rows: &[Row]) {
        let moments = self;
        kernel::run_wide(Rows { moments, rows });
    }

    #[inline(always)]
    fn push_row(&mut self, row: &Row) {
        for (at, value) in row.iter().copied().enumerate() {
            // Without a branch, so that columns are folded several at a time.
            let is_there = !value.is_nan();
            let chosen = |new: f64, old: f64| if is_there { new } else { old };
            let (count, old) = (self.count[at] + 1.0, self.mean[at]);
            let before = value - old;
            let mean = old + before / count;
            let squares = self.squares[at];
            self.squares[at] = chosen(squares + before * (value - mean), squares);
            self.count[at] = chosen(count, self.count[at]);
            self.mean[at] = chosen(mean, old);
            let (least, greatest) = (self.least[at], self.greatest[at]);
            self.least[at] = if value < least { value } else { least };
            self.greatest[at] = if value > greatest { value } else { greatest };
        }
    }

    /// Values of a column.
    pub(super) fn count(&self, column: usize) -> u64 {
        self.count[column] as u64
    }
}

/// Rows on their way into the moments.
struct Rows<'a> {
    moments: &'a mut Moments,
    rows: &'a [Row],
}

impl Wide for Rows<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        for row in self.rows {
            self.moments.push_row(row);
        }
    }
}

/// Statistics of every metric, and of the objective where it is none of them.
#[derive(Clone, Debug)]
pub(super) struct Statistics {
    /// The columns that are reported, in order of the report.
    pub(super) columns: Vec<usize>,
    pub(super) percentiles: Vec<f64>,
    pub(super) moments: Box<Moments>,
    /// The value of every percentile, a list for each of `columns`; empty where none was looked for.
    pub(super) found: Vec<Vec<f64>>,
}

impl Statistics {
    /// Statistics of nothing yet. The objective has a column where it is no metric.
    pub(super) fn new(has_objective: bool, percentiles: &[f64]) -> Statistics {
        let metrics = Metrics::OBJECTIVES.iter().enumerate();
        let told = metrics.filter_map(|(at, name)| (*name != CONSTANT).then_some(at));
        // The objective stands first.
        let objective = has_objective.then_some(OBJECTIVE);
        Statistics {
            columns: objective.into_iter().chain(told).collect(),
            percentiles: percentiles.to_vec(),
            moments: Box::new(Moments::NONE),
            found: Vec::new(),
        }
    }

    /// What was found, by metric.
    pub(super) fn report(&self) -> Vec<MetricStatistics> {
        let moments = &self.moments;
        let report = |(place, &at): (usize, &usize)| {
            let count = moments.count[at];
            let found = self.found.get(place).filter(|_| count > 0.0);
            let percentiles = self.percentiles.iter().enumerate();
            MetricStatistics {
                metric: Metrics::OBJECTIVES
                    .get(at)
                    .map_or("objective", |name| *name)
                    .to_owned(),
                count: count as u64,
                mean: (count > 0.0).then_some(moments.mean[at]).and_then(finite),
                std: (count > 1.0)
                    .then(|| (moments.squares[at] / (count - 1.0)).sqrt())
                    .and_then(finite),
                min: finite(moments.least[at]),
                max: finite(moments.greatest[at]),
                percentiles: percentiles
                    .map(|(which, percent)| PercentileReport {
                        percent: *percent,
                        value: found.map(|values| values[which]),
                    })
                    .collect(),
            }
        };
        self.columns.iter().enumerate().map(report).collect()
    }
}
