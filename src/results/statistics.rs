//! Statistics of a phase's results: mean, deviation, extremes and exact percentiles of every
//! metric, in memory that does not grow with the results.
//!
//! The first pass over the records, in order of index, folds mean and deviation (B. P. Welford,
//! 1962) and the extremes. Percentiles are exact order statistics: each further pass counts the
//! values of an interval that holds the wanted rank in [`BUCKETS`] parts and goes on with the part
//! that holds it, until that part has one value only. A part is narrowed to the values that were
//! seen in it, so a pass divides the values left by some hundred; what fits in a list is collected
//! and sorted. Two passes do for ten thousand, three for a million, and eight for anything. Counts do not depend on the order, so shards and threads do not matter.

use admf_formats::report::{MetricStatistics, Metrics, Objective, PercentileReport};
use admf_formats::units::finite;

/// Parts of an interval.
const BUCKETS: usize = 256;

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
    count: u64,
    mean: f64,
    /// Sum of squares about the mean.
    squares: f64,
    least: f64,
    greatest: f64,
    targets: Vec<Target>,
    /// Whether all targets still have the same interval: one counts for all.
    is_shared: bool,
}

/// Statistics of every metric, and of the objective where it is none of them.
#[derive(Clone, Debug)]
pub(super) struct Statistics {
    objective: Objective,
    columns: Vec<Column>,
}

impl Statistics {
    /// Bytes of statistics with so many percentiles.
    pub(super) const fn bytes(percentiles: usize) -> usize {
        let target = size_of::<Target>() + BUCKETS * size_of::<Bucket>();
        (Metrics::OBJECTIVES.len() + 1) * (size_of::<Column>() + percentiles * target)
    }

    pub(super) fn new(objective: &Objective, percentiles: &[f64]) -> Statistics {
        let of_objective = (objective.short_name() == "objective").then_some("objective");
        let metrics = Metrics::OBJECTIVES
            .into_iter()
            .filter(|name| *name != CONSTANT);
        let columns = of_objective.into_iter().chain(metrics).map(|name| Column {
            name,
            count: 0,
            mean: 0.0,
            squares: 0.0,
            least: f64::INFINITY,
            greatest: f64::NEG_INFINITY,
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
            columns: columns.collect(),
        }
    }

    /// The first pass: the metrics of the next completed container.
    pub(super) fn push(&mut self, metrics: &Metrics) {
        for column in &mut self.columns {
            let Some(value) = value(&self.objective, metrics, column.name) else {
                continue;
            };
            column.count += 1;
            let before = value - column.mean;
            column.mean += before / column.count as f64;
            column.squares += before * (value - column.mean);
            column.least = column.least.min(value);
            column.greatest = column.greatest.max(value);
        }
    }

    /// After the first pass: where the wanted values lie.
    pub(super) fn start(&mut self) {
        for column in &mut self.columns {
            for target in &mut column.targets {
                // Nearest rank: the least value that so many percent of all do not exceed.
                let wanted = (target.percent * column.count as f64 / 100.0).ceil() as u64;
                target.rank = wanted.clamp(1, column.count.max(1)) - 1;
                (target.least, target.greatest) = match column.count {
                    0 => (0, 0),
                    _ => (key(column.least), key(column.greatest)),
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
        for column in &mut self.columns {
            if !column.targets.iter().any(Target::is_open) {
                continue;
            }
            let Some(value) = value(&self.objective, metrics, column.name) else {
                continue;
            };
            let key = key(value);
            let counting = if column.is_shared { 1 } else { usize::MAX };
            let open = column.targets.iter_mut().filter(|target| target.is_open());
            open.take(counting).for_each(|target| target.count(key));
        }
    }

    /// Ends a further pass.
    pub(super) fn narrow(&mut self) {
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
        let report = |column: &Column| MetricStatistics {
            metric: column.name.to_owned(),
            count: column.count,
            mean: (column.count > 0).then_some(column.mean).and_then(finite),
            std: (column.count > 1)
                .then(|| (column.squares / (column.count - 1) as f64).sqrt())
                .and_then(finite),
            min: finite(column.least),
            max: finite(column.greatest),
            percentiles: column
                .targets
                .iter()
                .map(|target| PercentileReport {
                    percent: target.percent,
                    value: (column.count > 0).then(|| number(target.least)),
                })
                .collect(),
        };
        self.columns.iter().map(report).collect()
    }
}

impl Target {
    const fn is_open(&self) -> bool {
        self.least < self.greatest
    }

    /// Keys of a bucket; the last one may have fewer.
    const fn width(&self) -> u64 {
        (self.greatest - self.least) / BUCKETS as u64 + 1
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
        let place = (key - self.least) / self.width();
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

/// A column's value of a container.
fn value(objective: &Objective, metrics: &Metrics, name: &str) -> Option<f64> {
    match name {
        "objective" => objective.value(metrics),
        _ => metrics.get(name),
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
