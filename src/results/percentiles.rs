//! Exact percentiles of every column of the results, in bounded memory.
//!
//! A percentile is an order statistic: of n values the one whose rank is `ceil(percent * n / 100)`.
//! Where a [`Table`] has room for all rows, it is selected in there. Where it has not, the table
//! holds a sample that is spread over the results, which says between which values each wanted one
//! lies; a [`Search`] counts, while all rows pass, how many lie below that interval and how many in
//! each of [`BUCKETS`] parts of it, and the next pass collects the part with the wanted rank. A
//! sample that misled, or values that crowd in one part, cost a pass more and never a wrong value.
//! Counts do not depend on the order of rows, so threads count beside each other.

use super::scan::PIECE;
use super::statistics::{COLUMNS, Row};
use crate::kernel::{self, WORDS};
use crate::spread::Spread;
use std::sync::{Mutex, PoisonError};

/// Parts of an interval.
const BUCKETS: usize = 256;

/// Values of a part that are collected: they take no more memory than the parts.
const COLLECTED: u64 = (BUCKETS * size_of::<Bucket>() / size_of::<u64>()) as u64;

/// Passes that no data needs: every pass of a [`Search`] divides what is left by a hundred.
const PASSES_MAX: u32 = 40;

/// Rows for which a second thread is worth its start.
const ROWS_PER_THREAD: usize = 2048;

/// Stands where a row has no value: behind every number.
const NONE: u64 = u64::MAX;

/// Rows as one list of keys per column.
pub(super) struct Table {
    columns: Vec<usize>,
    keys: Vec<u64>,
    /// Keys from one column to the next.
    stride: usize,
    rows: usize,
}

impl Table {
    /// Bytes of a table for so many rows.
    pub(super) const fn bytes(rows: u64) -> u64 {
        (COLUMNS as u64) * Table::stride(rows as usize) as u64 * size_of::<u64>() as u64
    }

    /// Columns begin an odd number of cache lines apart: a row's values would share few sets.
    const fn stride(rows: usize) -> usize {
        const LINE: usize = 64 / size_of::<u64>();
        (rows.div_ceil(LINE) | 1) * LINE
    }

    /// Room for so many rows of these columns; memory is touched as rows come.
    pub(super) fn new(columns: &[usize], rows: u64) -> Table {
        let stride = Table::stride(rows as usize);
        Table {
            columns: columns.to_vec(),
            keys: vec![0; columns.len() * stride],
            stride,
            rows: 0,
        }
    }

    /// Adds rows, column by column: those of one lie beside each other.
    pub(super) fn push(&mut self, rows: &[Row]) {
        let columns = self.keys.chunks_mut(self.stride).zip(&self.columns);
        for (keys, column) in columns {
            for (place, row) in keys[self.rows..].iter_mut().zip(rows) {
                let value = row[*column];
                *place = if value.is_nan() { NONE } else { key(value) };
            }
        }
        self.rows += rows.len();
    }

    /// Gives every column, in any order, to `each` with what there is to be found about it.
    fn each_column<T: Send>(
        &mut self,
        threads: usize,
        found: &mut [T],
        each: impl Fn(usize, &mut [u64], &mut T) + Sync,
    ) {
        let threads = threads.min(1 + self.rows / ROWS_PER_THREAD);
        let rows = self.rows;
        let columns = self.keys.chunks_mut(self.stride).zip(found).enumerate();
        let queue = Mutex::new(columns);
        let work = || {
            let next = || queue.lock().unwrap_or_else(PoisonError::into_inner).next();
            while let Some((place, (keys, found))) = next() {
                each(place, &mut keys[..rows], found);
            }
        };
        std::thread::scope(|scope| {
            let mut spread = Spread::new();
            let anywhere = spread.anywhere();
            for number in 1..threads as u32 {
                let begin = move || {
                    anywhere.go();
                    work();
                };
                // Where the system gives no thread, this one does the work.
                let start = || std::thread::Builder::new().spawn_scoped(scope, begin);
                let _ = spread.start(number, start);
            }
            spread.home();
            anywhere.go();
            work();
        });
    }

    /// The percentiles of every column where the table has all rows; `counts` are the values of
    /// each column.
    pub(super) fn percentiles(
        mut self,
        percents: &[f64],
        counts: &[u64],
        threads: usize,
    ) -> Vec<Vec<f64>> {
        let mut found = vec![vec![0.0; percents.len()]; self.columns.len()];
        self.each_column(threads, &mut found, |place, keys, found| {
            if counts[place] == 0 {
                return;
            }
            let rank = |percent: &f64| rank(*percent, counts[place]) as usize;
            let ranks: Vec<usize> = percents.iter().map(rank).collect();
            select(keys, 0, &ranks);
            for (found, rank) in found.iter_mut().zip(&ranks) {
                *found = number(keys[*rank]);
            }
        });
        found
    }
}

/// Rank of a percentile among so many values, from 0: the least value that so many percent of all
/// do not exceed.
fn rank(percent: f64, count: u64) -> u64 {
    let wanted = (percent * count as f64 / 100.0).ceil() as u64;
    wanted.clamp(1, count.max(1)) - 1
}

/// Puts the values of these ranks, which rise, to their places; the first of `keys` has rank
/// `first`.
fn select(keys: &mut [u64], first: usize, ranks: &[usize]) {
    if ranks.is_empty() || keys.len() < 2 {
        return;
    }
    let middle = ranks[ranks.len() / 2];
    let (below, _, above) = keys.select_nth_unstable(middle - first);
    select(
        below,
        first,
        &ranks[..ranks.partition_point(|rank| *rank < middle)],
    );
    select(
        above,
        middle + 1,
        &ranks[ranks.partition_point(|rank| *rank <= middle)..],
    );
}

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

/// What a pass keeps of the values in an interval.
enum Kept {
    /// How many lie in each part.
    Parts(Vec<Bucket>),
    /// The few that are left, as keys.
    All(Vec<u64>),
}

/// One percentile of one column on its way.
struct Target {
    percent: f64,
    /// The interval that should hold it, as keys.
    least: u64,
    greatest: u64,
    /// Parts of it to a unit, where it is divided by values; by keys where there is none.
    scale: Option<f64>,
    /// Values below the interval in this pass.
    below: u64,
    kept: Kept,
    found: Option<u64>,
}

/// Percentiles of every column on their way.
pub(super) struct Search {
    columns: Vec<(usize, Mutex<Vec<Target>>)>,
    passes: u32,
}

impl Search {
    /// Bytes of a search for so many percentiles.
    pub(super) const fn bytes(percentiles: u64) -> u64 {
        COLUMNS as u64 * percentiles * (size_of::<Target>() + BUCKETS * size_of::<Bucket>()) as u64
    }

    /// Looks where a sample of the rows says that the percentiles lie.
    pub(super) fn new(mut sample: Table, percents: &[f64], threads: usize) -> Search {
        let mut intervals = vec![vec![(0, 0); percents.len()]; sample.columns.len()];
        sample.each_column(threads, &mut intervals, |_, keys, intervals| {
            keys.sort_unstable();
            let values = &keys[..keys.partition_point(|key| *key != NONE)];
            for (own, percent) in intervals.iter_mut().zip(percents) {
                *own = interval(values, *percent);
            }
        });
        let target = |(percent, (least, greatest)): (&f64, &(u64, u64))| {
            Target::new(*percent, *least, *greatest)
        };
        let targets = |intervals: &Vec<(u64, u64)>| {
            Mutex::new(percents.iter().zip(intervals).map(target).collect())
        };
        let columns = sample.columns.iter().copied();
        Search {
            columns: columns.zip(intervals.iter().map(targets)).collect(),
            passes: 0,
        }
    }

    /// Counts rows, a piece at most; any threads may at once.
    pub(super) fn count(&self, rows: &[Row]) {
        let mut values = [f64::INFINITY; PIECE];
        for (column, targets) in &self.columns {
            let mut targets = targets.lock().unwrap_or_else(PoisonError::into_inner);
            if targets.iter().all(|target| target.found.is_some()) {
                continue;
            }
            for (value, row) in values.iter_mut().zip(rows) {
                let own = row[*column];
                // Values are finite: what is not there lies above every interval.
                *value = if own.is_nan() { f64::INFINITY } else { own };
            }
            for target in targets.iter_mut().filter(|target| target.found.is_none()) {
                target.count(&values);
            }
        }
    }

    /// Ends a pass; `counts` are the values of each column. Whether all is found.
    pub(super) fn narrow(&mut self, counts: &[u64]) -> bool {
        self.passes += 1;
        assert!(
            self.passes < PASSES_MAX,
            "every pass sees the same records of an archive that nobody else writes"
        );
        let mut is_found = true;
        for ((_, targets), count) in self.columns.iter_mut().zip(counts) {
            let targets = targets.get_mut().unwrap_or_else(PoisonError::into_inner);
            for target in targets.iter_mut().filter(|target| target.found.is_none()) {
                target.narrow(*count);
                is_found &= target.found.is_some();
            }
        }
        is_found
    }

    /// The percentiles of every column.
    pub(super) fn found(self) -> Vec<Vec<f64>> {
        let columns = self.columns.into_iter();
        let values = columns.map(|(_, targets)| {
            let targets = targets.into_inner().unwrap_or_else(PoisonError::into_inner);
            let found = targets.iter().filter_map(|target| target.found);
            found.map(number).collect()
        });
        values.collect()
    }
}

/// Between which values a percentile lies, as the sorted values of a sample say it.
fn interval(sample: &[u64], percent: f64) -> (u64, u64) {
    /// Standard deviations of the rank in a sample: one in ten thousand percentiles lies outside.
    const DEVIATIONS: f64 = 4.0;
    let (Some(first), Some(last)) = (sample.first(), sample.last()) else {
        return (key(f64::MIN), key(f64::MAX));
    };
    let (share, count) = (percent / 100.0, sample.len() as f64);
    let reach = DEVIATIONS * (count * share * (1.0 - share)).sqrt() + 2.0;
    let (low, high) = (count * share - reach, count * share + reach);
    let at = |place: f64| number(sample[place.clamp(0.0, count - 1.0) as usize]);
    let (from, to) = (at(low), at(high));
    // Beyond the sample the values may go on for a while.
    let beyond = number(*last) - number(*first);
    let from = if low < 0.0 { from - beyond } else { from };
    let to = if high >= count { to + beyond } else { to };
    (key(from.max(f64::MIN)), key(to.min(f64::MAX)))
}

impl Target {
    fn new(percent: f64, least: u64, greatest: u64) -> Target {
        Target {
            percent,
            least,
            greatest,
            scale: scale(least, greatest),
            below: 0,
            kept: Kept::Parts(vec![EMPTY; BUCKETS]),
            found: None,
        }
    }

    /// A part has two to this power keys, where the interval is divided by them.
    const fn shift(&self) -> u32 {
        let bits = u64::BITS - (self.greatest - self.least).leading_zeros();
        bits.saturating_sub(BUCKETS.ilog2())
    }

    /// Most values lie outside, which vectors tell.
    fn count(&mut self, values: &[f64; PIECE]) {
        let below = kernel::below_level(values, number(self.least));
        let above = kernel::above_level(values, number(self.greatest));
        let (least, width, shift) = (self.least, self.greatest - self.least, self.shift());
        let (scale, from) = (self.scale, number(least));
        for word in 0..WORDS {
            self.below += u64::from(below[word].count_ones());
            let mut inside = !(below[word] | above[word]);
            while inside != 0 {
                let value = values[word * 64 + inside.trailing_zeros() as usize % 64];
                let own = key(value);
                inside &= inside - 1;
                let away = own.wrapping_sub(least);
                // Where the interval ends at the zero that has no key, both zeros come through.
                if away > width {
                    continue;
                }
                match &mut self.kept {
                    Kept::All(keys) => keys.push(own),
                    Kept::Parts(parts) => {
                        // Rounding keeps the order of values, so that parts have theirs.
                        let part = match scale {
                            Some(scale) => ((value - from) * scale) as usize,
                            None => (away >> shift) as usize,
                        };
                        let part = &mut parts[part.min(BUCKETS - 1)];
                        part.count += 1;
                        part.least = part.least.min(own);
                        part.greatest = part.greatest.max(own);
                    }
                }
            }
        }
    }

    fn narrow(&mut self, count: u64) {
        let below = std::mem::take(&mut self.below);
        if count == 0 {
            // Nobody asks for a percentile of nothing.
            self.found = Some(0);
            return;
        }
        let rank = rank(self.percent, count);
        let inside = match &self.kept {
            Kept::Parts(parts) => parts.iter().map(|part| part.count).sum(),
            Kept::All(keys) => keys.len() as u64,
        };
        if rank < below {
            *self = Target::new(self.percent, key(f64::MIN), self.least - 1);
            return;
        }
        if rank >= below + inside {
            *self = Target::new(self.percent, self.greatest + 1, key(f64::MAX));
            return;
        }
        let mut rank = rank - below;
        match &mut self.kept {
            Kept::All(keys) => self.found = Some(*keys.select_nth_unstable(rank as usize).1),
            Kept::Parts(parts) => {
                let holding = parts.iter().find(|part| {
                    let is_holding = rank < part.count;
                    rank -= if is_holding { 0 } else { part.count };
                    is_holding
                });
                let part = *holding.expect("the parts have all values of the interval");
                (self.least, self.greatest) = (part.least, part.greatest);
                if part.least == part.greatest {
                    self.found = Some(part.least);
                } else if part.count <= COLLECTED {
                    self.kept = Kept::All(Vec::with_capacity(part.count as usize));
                } else {
                    parts.fill(EMPTY);
                    // Where that did not divide them, keys do.
                    self.scale = match self.scale {
                        Some(_) => None,
                        None => scale(part.least, part.greatest),
                    };
                }
            }
        }
    }
}

/// Parts to a unit of an interval between these keys, where it is better divided by values.
///
/// Equal parts of the keys tell values of any size apart, and end a search whatever they are. But
/// half of all keys lie close about zero: an interval with zero in it has its values in few of them.
fn scale(least: u64, greatest: u64) -> Option<f64> {
    let (least, greatest) = (number(least), number(greatest));
    let scale = BUCKETS as f64 / (greatest - least);
    let is_width = scale.is_finite() && scale > 0.0;
    (least < 0.0 && greatest > 0.0 && is_width).then_some(scale)
}

/// A number as an integer of the same order; both zeros are one.
fn key(number: f64) -> u64 {
    let bits = (number + 0.0).to_bits();
    // All ones where it is negative: whoever makes many keys makes them without a branch.
    let sign = (bits as i64 >> 63) as u64;
    bits ^ (sign | 1 << 63)
}

fn number(key: u64) -> f64 {
    let is_negative = key >> 63 == 0;
    f64::from_bits(if is_negative { !key } else { key & !(1 << 63) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn rows(values: &[f64]) -> Vec<Row> {
        let row = |value: &f64| {
            let mut row = [f64::NAN; COLUMNS];
            row[3] = *value;
            row
        };
        values.iter().map(row).collect()
    }

    /// What a search finds of a column that begins from a sample, and its passes.
    fn searched(values: &[f64], sample: &[f64], percents: &[f64]) -> (Vec<f64>, u32) {
        let mut table = Table::new(&[0, 3], sample.len() as u64);
        table.push(&rows(sample));
        let mut search = Search::new(table, percents, 2);
        let counts = [
            0,
            values.iter().filter(|value| !value.is_nan()).count() as u64,
        ];
        loop {
            for piece in rows(values).chunks(PIECE) {
                search.count(piece);
            }
            if search.narrow(&counts) {
                let passes = search.passes;
                return (search.found().swap_remove(1), passes);
            }
        }
    }

    /// The same of a table that has all rows.
    fn selected(values: &[f64], percents: &[f64]) -> Vec<f64> {
        let mut table = Table::new(&[0, 3], values.len() as u64);
        table.push(&rows(values));
        let count = values.iter().filter(|value| !value.is_nan()).count() as u64;
        let mut found = table.percentiles(percents, &[0, count], 3).swap_remove(1);
        found.truncate(if count == 0 { 0 } else { percents.len() });
        found
    }

    fn sorted(values: &[f64], percents: &[f64]) -> Vec<f64> {
        let mut values: Vec<f64> = values.iter().copied().filter(|v| !v.is_nan()).collect();
        values.sort_by(f64::total_cmp);
        let count = values.len() as u64;
        if count == 0 {
            return Vec::new();
        }
        let of = |percent: &f64| values[rank(*percent, count) as usize] + 0.0;
        percents.iter().map(of).collect()
    }

    fn value() -> impl Strategy<Value = f64> {
        prop_oneof![
            4 => -1e3..1e3_f64,
            2 => -1.0..1.0_f64,
            1 => Just(0.0),
            1 => Just(-0.0),
            1 => Just(5.0),
            1 => Just(f64::NAN),
            1 => -1e-300..1e-300_f64,
            1 => prop::num::f64::NORMAL | prop::num::f64::SUBNORMAL,
            2 => any::<i8>().prop_map(f64::from),
        ]
    }

    proptest! {
        #[test]
        fn keys_have_the_order_of_their_numbers(left in any::<f64>(), right in any::<f64>()) {
            prop_assume!(left.is_finite() && right.is_finite());
            prop_assert_eq!(key(left) < key(right), left < right);
            prop_assert_eq!(number(key(left)), left);
        }

        /// Whatever the sample says, also where it is of other data.
        #[test]
        fn percentiles_are_those_of_sorted_values(
            values in prop::collection::vec(value(), 0..1500),
            strangers in prop::collection::vec(value(), 0..20),
            stride in 1..40_usize,
            percents in prop::collection::btree_set(1..=400_u32, 1..7),
        ) {
            let percents: Vec<f64> = percents.iter().map(|one| f64::from(*one) / 4.0).collect();
            let expected = sorted(&values, &percents);
            prop_assert_eq!(&selected(&values, &percents), &expected);
            let sample: Vec<f64> = values.iter().copied().step_by(stride).collect();
            for sample in [&sample, &strangers] {
                let (found, passes) = searched(&values, sample, &percents);
                let found = if expected.is_empty() { Vec::new() } else { found };
                prop_assert_eq!(&found, &expected);
                prop_assert!(passes <= 20, "{} passes", passes);
            }
        }
    }

    #[test]
    fn a_sample_of_a_large_set_leaves_two_passes() {
        // Multiples of the golden ratio, which spread evenly and in no order.
        let spread = |at: usize| (at as f64 * 0.618_033_988_749_895).fract();
        // The median of the first ones is so near to zero that its interval has that in it.
        let shapes: [fn(f64) -> f64; 3] = [
            |part| part - 0.49,
            |part| part.powi(3) - 0.2,
            |part| (20.0 * part).exp(),
        ];
        for shape in shapes {
            let values: Vec<f64> = (0..200_000).map(|at| shape(spread(at))).collect();
            let sample: Vec<f64> = (0..1800).map(|at| values[at * 111 + at % 7]).collect();
            let percents = [5.0, 25.0, 50.0, 75.0, 95.0];
            let (found, passes) = searched(&values, &sample, &percents);
            assert_eq!((found, passes), (sorted(&values, &percents), 2));
        }
    }
}
