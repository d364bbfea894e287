//! Statistics of a phase's results: mean, deviation, extremes and exact percentiles of every
//! metric, in memory that does not grow with the results.
//!
//! The first pass over the records, in order of index, folds mean and deviation (B. P. Welford,
//! 1962) and the extremes. Percentiles are exact order statistics: each further pass counts the
//! values of an interval that holds the wanted rank in [`BUCKETS`] parts and goes on with the part
//! that holds it, until that part has one value only. A part is narrowed to the values that were
//! seen in it, so a pass divides the values left by some hundred; what fits in a list is collected
//! and sorted. Two passes do for ten thousand, three for a million, and eight for anything. Counts
//! do not depend on the order, so shards and threads do not matter.
//!
//! Values come as one row per container, NaN where a metric is null. The first pass folds a row at
//! a time, over all columns at once; the others collect rows and go through them column by column.

use admf_formats::report::{MetricStatistics, Metrics, Objective, PercentileReport};
use admf_formats::units::finite;

/// Parts of an interval.
const BUCKETS: usize = 256;

/// Columns at most: every metric, and the objective.
const COLUMNS: usize = Metrics::OBJECTIVES.len() + 1;

/// Rows that are collected before they are counted.
const ROWS: usize = 64;

/// A value per column; NaN where there is none.
type Row = [f64; COLUMNS];

/// The metric that is left out: it is the data's, not the container's.
const CONSTANT: &str = "bars_per_year";

/// The values of a part of an interval.
#[derive(Clone, Copy, Debug)]
struct Bucket {
    count: u64,
    least: u64,
    greatest: u64,
}

const EMPTY: Bucket = Bucket {
    count: 0,
    least: u64::MAX,
    greatest: 0,
};

/// One percentile on its way.
#[derive(Clone, Debug)]
struct Target {
    percent: f64,
    /// Values below the interval that the wanted one is above.
    rank: u64,
    /// The interval that holds it, as keys.
    least: u64,
    greatest: u64,
    buckets: Vec<Bucket>,
    /// Whether so few values are left that the next pass collects them, as `least` of the buckets.
    is_list: bool,
    collected: usize,
}

/// One metric.
#[derive(Clone, Debug)]
struct Column {
    name: &'static str,
    targets: Vec<Target>,
    /// Whether all targets still have the same interval: one counts for all.
    is_shared: bool,
}

/// What the first pass folds, a place per column.
#[derive(Clone, Debug)]
struct Moments {
    count: Row,
    mean: Row,
    /// Sums of squares about the mean.
    squares: Row,
    least: Row,
    greatest: Row,
}

/// Statistics of every metric, and of the objective where it is none of them.
#[derive(Clone, Debug)]
pub(super) struct Statistics {
    objective: Objective,
    /// Whether the objective has a column, the last one.
    has_objective: bool,
    columns: Vec<Column>,
    moments: Box<Moments>,
    rows: Vec<Row>,
}

impl Statistics {
    /// Bytes of statistics with so many percentiles.
    pub(super) const fn bytes(percentiles: usize) -> usize {
        let target = size_of::<Target>() + BUCKETS * size_of::<Bucket>();
        COLUMNS * (size_of::<Column>() + percentiles * target)
            + size_of::<Moments>()
            + ROWS * size_of::<Row>()
    }

    pub(super) fn new(objective: &Objective, percentiles: &[f64]) -> Statistics {
        let has_objective = objective.short_name() == "objective";
        let of_objective = has_objective.then_some("objective");
        let columns = Metrics::OBJECTIVES
            .into_iter()
            .chain(of_objective)
            .map(|name| Column {
                name,
                is_shared: true,
                targets: percentiles
                    .iter()
                    .map(|percent| Target {
                        percent: *percent,
                        rank: 0,
                        least: 0,
                        greatest: u64::MAX,
                        buckets: vec![EMPTY; BUCKETS],
                        is_list: false,
                        collected: 0,
                    })
                    .collect(),
            });
        Statistics {
            objective: objective.clone(),
            has_objective,
            columns: columns.collect(),
            moments: Box::new(Moments {
                count: [0.0; COLUMNS],
                mean: [0.0; COLUMNS],
                squares: [0.0; COLUMNS],
                least: [f64::INFINITY; COLUMNS],
                greatest: [f64::NEG_INFINITY; COLUMNS],
            }),
            rows: Vec::with_capacity(ROWS),
        }
    }

    fn row(&self, metrics: &Metrics) -> Row {
        let mut row = [f64::NAN; COLUMNS];
        row[..COLUMNS - 1].copy_from_slice(&metrics.values());
        if self.has_objective {
            row[COLUMNS - 1] = self.objective.value(metrics).unwrap_or(f64::NAN);
        }
        row
    }

    /// The first pass: the metrics of the next completed container.
    pub(super) fn push(&mut self, metrics: &Metrics) {
        let row = self.row(metrics);
        let moments = &mut *self.moments;
        for (at, value) in row.into_iter().enumerate() {
            // Without a branch, so that columns are folded several at a time.
            let is_there = !value.is_nan();
            let chosen = |new: f64, old: f64| if is_there { new } else { old };
            let (count, old) = (moments.count[at] + 1.0, moments.mean[at]);
            let before = value - old;
            let mean = old + before / count;
            let squares = moments.squares[at];
            moments.squares[at] = chosen(squares + before * (value - mean), squares);
            moments.count[at] = chosen(count, moments.count[at]);
            moments.mean[at] = chosen(mean, old);
            let (least, greatest) = (moments.least[at], moments.greatest[at]);
            moments.least[at] = if value < least { value } else { least };
            moments.greatest[at] = if value > greatest { value } else { greatest };
        }
    }

    /// After the first pass: where the wanted values lie.
    pub(super) fn start(&mut self) {
        for (at, column) in self.columns.iter_mut().enumerate() {
            let count = self.moments.count[at];
            let (least, greatest) = (self.moments.least[at], self.moments.greatest[at]);
            // The data has it, not the container: nobody asks.
            let is_open = count > 0.0 && column.name != CONSTANT;
            for target in &mut column.targets {
                // Nearest rank: the least value that so many percent of all do not exceed.
                let wanted = (target.percent * count / 100.0).ceil() as u64;
                target.rank = wanted.clamp(1, (count as u64).max(1)) - 1;
                (target.least, target.greatest) = if is_open {
                    (key(least), key(greatest))
                } else {
                    (0, 0)
                };
            }
        }
    }

    /// Whether a value is not known yet.
    pub(super) fn is_open(&self) -> bool {
        self.columns
            .iter()
            .any(|column| column.targets.iter().any(Target::is_open))
    }

    /// A further pass: the metrics of a completed container, in any order.
    pub(super) fn count(&mut self, metrics: &Metrics) {
        self.rows.push(self.row(metrics));
        if self.rows.len() == ROWS {
            self.count_rows();
        }
    }

    fn count_rows(&mut self) {
        for (at, column) in self.columns.iter_mut().enumerate() {
            let counting = if column.is_shared { 1 } else { usize::MAX };
            let open = column.targets.iter_mut().filter(|target| target.is_open());
            for target in open.take(counting) {
                for row in &self.rows {
                    if !row[at].is_nan() {
                        target.count(key(row[at]));
                    }
                }
            }
        }
        self.rows.clear();
    }

    /// Ends a further pass.
    pub(super) fn narrow(&mut self) {
        self.count_rows();
        for column in &mut self.columns {
            if let ([first, others @ ..], true) = (column.targets.as_mut_slice(), column.is_shared)
            {
                for other in others {
                    other.buckets.copy_from_slice(&first.buckets);
                }
            }
            column.is_shared = false;
            for target in column.targets.iter_mut().filter(|target| target.is_open()) {
                target.narrow();
            }
        }
    }

    /// What was found, by metric.
    pub(super) fn report(&self) -> Vec<MetricStatistics> {
        let moments = &self.moments;
        let report = |(at, column): (usize, &Column)| {
            let count = moments.count[at];
            MetricStatistics {
                metric: column.name.to_owned(),
                count: count as u64,
                mean: (count > 0.0).then_some(moments.mean[at]).and_then(finite),
                std: (count > 1.0)
                    .then(|| (moments.squares[at] / (count - 1.0)).sqrt())
                    .and_then(finite),
                min: finite(moments.least[at]),
                max: finite(moments.greatest[at]),
                percentiles: column
                    .targets
                    .iter()
                    .map(|target| PercentileReport {
                        percent: target.percent,
                        value: (count > 0.0).then(|| number(target.least)),
                    })
                    .collect(),
            }
        };
        let mut columns: Vec<(usize, &Column)> = self.columns.iter().enumerate().collect();
        // The objective stands first.
        columns.rotate_right(usize::from(self.has_objective));
        columns
            .into_iter()
            .filter(|(_, column)| column.name != CONSTANT)
            .map(report)
            .collect()
    }
}

impl Target {
    const fn is_open(&self) -> bool {
        self.least < self.greatest
    }

    /// A bucket has two to this power keys.
    const fn shift(&self) -> u32 {
        let bits = u64::BITS - (self.greatest - self.least).leading_zeros();
        bits.saturating_sub(BUCKETS.ilog2())
    }

    #[inline]
    fn count(&mut self, key: u64) {
        if !(self.least..=self.greatest).contains(&key) {
            return;
        }
        if self.is_list {
            self.buckets[self.collected].least = key;
            self.collected += 1;
            return;
        }
        let place = (key - self.least) >> self.shift();
        let bucket = &mut self.buckets[place as usize];
        bucket.count += 1;
        bucket.least = bucket.least.min(key);
        bucket.greatest = bucket.greatest.max(key);
    }

    fn narrow(&mut self) {
        if self.is_list {
            let values = &mut self.buckets[..self.collected];
            values.sort_unstable_by_key(|bucket| bucket.least);
            let found = values[self.rank as usize].least;
            (self.least, self.greatest) = (found, found);
            return;
        }
        let mut below = 0;
        for bucket in &self.buckets {
            if self.rank < below + bucket.count {
                self.rank -= below;
                (self.least, self.greatest) = (bucket.least, bucket.greatest);
                self.is_list = bucket.count <= BUCKETS as u64;
                self.buckets.fill(EMPTY);
                return;
            }
            below += bucket.count;
        }
        unreachable!("every pass sees the same records");
    }
}

/// A number as an integer of the same order; both zeros are one.
fn key(number: f64) -> u64 {
    let bits = (number + 0.0).to_bits();
    if bits >> 63 == 1 {
        !bits
    } else {
        bits | 1 << 63
    }
}

fn number(key: u64) -> f64 {
    let is_negative = key >> 63 == 0;
    f64::from_bits(if is_negative { !key } else { key & !(1 << 63) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn keys_have_the_order_of_their_numbers(left in any::<f64>(), right in any::<f64>()) {
            prop_assume!(left.is_finite() && right.is_finite());
            prop_assert_eq!(key(left) < key(right), left < right);
            prop_assert_eq!(number(key(left)), left);
        }
    }
}
