//! Figures of one block of bars that every span over it shares.
//!
//! Built once per block and tile: prefix sums of returns (a span's sum is one subtraction), a sparse
//! table of the extremes of the bars (a span's are two look-ups), and for every close where it is
//! reached again.

use crate::kernel::{self, Four, lesser};
use admf_formats::units::QUANTUM_BARS;

/// Levels of the table: runs of 1, 2, 4 bars and so on, up to a whole block.
const LEVELS: usize = QUANTUM_BARS.ilog2() as usize + 1;

/// Extremes of a run of bars.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Range {
    /// Lowest close.
    pub min: f64,
    /// Highest close.
    pub max: f64,
    /// Lowest low.
    pub low: f64,
    /// Highest high.
    pub high: f64,
}

/// Where a close is reached again, and how deep closes fall before.
#[derive(Clone, Copy, Debug)]
struct Recovery {
    /// Offset of the first later close that is not below; the number of bars where there is none.
    at: usize,
    /// Largest `1 - close / this close` in between; 0 where nothing lies between.
    depth: f64,
}

/// Prefix sums and extremes of one block.
#[derive(Clone, Debug)]
pub struct BlockFigures {
    returns: Box<[Four; QUANTUM_BARS + 1]>,
    /// Lowest close, highest close negated, lowest low, highest high negated, of the runs that
    /// begin with each bar.
    runs: [Box<[Four; QUANTUM_BARS]>; LEVELS],
    recoveries: Box<[Recovery; QUANTUM_BARS]>,
}

const NONE: Four = Four([0.0; 4]);

impl BlockFigures {
    /// Figures of no block yet.
    pub fn new() -> BlockFigures {
        BlockFigures {
            returns: Box::new([NONE; QUANTUM_BARS + 1]),
            runs: std::array::from_fn(|_| Box::new([NONE; QUANTUM_BARS])),
            recoveries: Box::new([Recovery { at: 0, depth: 0.0 }; QUANTUM_BARS]),
        }
    }

    /// Bytes on the heap.
    pub const BYTES: usize = size_of::<[Four; QUANTUM_BARS + 1]>()
        + size_of::<[[Four; QUANTUM_BARS]; LEVELS]>()
        + size_of::<[Recovery; QUANTUM_BARS]>();

    /// Builds the figures of a block, which needs no other block. All columns are equally long.
    pub fn build(&mut self, lows: &[f64], highs: &[f64], closes: &[f64]) {
        self.build_from(lows, highs, closes, 0);
    }

    /// Builds the figures for spans that begin at offset `from` or later. Sums begin there, so that
    /// not even their rounding depends on a bar before it.
    pub fn build_from(&mut self, lows: &[f64], highs: &[f64], closes: &[f64], from: usize) {
        // Divisions first, several at a time: sums wait for one another.
        let mut changes = [0.0; QUANTUM_BARS];
        for (change, pair) in changes[1..].iter_mut().zip(closes.windows(2)) {
            *change = pair[1] / pair[0] - 1.0;
        }
        // The first bar's return belongs to the block before; a span takes it by itself.
        changes[..=from.min(closes.len() - 1)].fill(0.0);
        let mut sums = [0.0_f64; 3];
        for (into, change) in self.returns[1..=closes.len()].iter_mut().zip(changes) {
            let down = lesser(0.0, change);
            sums = [
                sums[0] + change,
                sums[1] + change * change,
                sums[2] + down * down,
            ];
            *into = Four([sums[0], sums[1], sums[2], 0.0]);
        }
        self.build_runs(lows, highs, closes);
        self.build_recoveries(closes);
    }

    fn build_runs(&mut self, lows: &[f64], highs: &[f64], closes: &[f64]) {
        let prices = closes.iter().zip(lows).zip(highs);
        for (run, ((close, low), high)) in self.runs[0].iter_mut().zip(prices) {
            *run = Four([*close, -close, *low, -high]);
        }
        for level in 1..LEVELS {
            let length = 1 << (level - 1);
            let Some(runs) = (closes.len() + 1).checked_sub(2 * length) else {
                return;
            };
            let [shorter, longer] = &mut self.runs[level - 1..=level] else {
                unreachable!("two levels are two");
            };
            kernel::double_runs(&**shorter, length, &mut longer[..runs]);
        }
    }

    /// From the last bar back: what lies between a close and its recovery is a chain of recoveries.
    fn build_recoveries(&mut self, closes: &[f64]) {
        let bars = closes.len();
        // Lowest close from a bar up to but without its recovery.
        let mut lowest = [0.0; QUANTUM_BARS];
        for (bar, &close) in closes.iter().enumerate().rev() {
            let (mut at, mut low) = (bar + 1, close);
            while at < bars && closes[at] < close {
                low = lesser(low, lowest[at]);
                at = self.recoveries[at].at;
            }
            lowest[bar] = low;
            let depth = 1.0 - low / close;
            self.recoveries[bar] = Recovery { at, depth };
        }
    }

    /// Extremes of the bars from offset `first` to `last`, both counted.
    #[inline(always)]
    pub fn range(&self, first: usize, last: usize) -> Range {
        let level = (last + 1 - first).ilog2() as usize;
        let row = &self.runs[level];
        let Four([min, max, low, high]) = row[first].least(row[last + 1 - (1 << level)]);
        Range {
            min,
            max: -max,
            low,
            high: -high,
        }
    }

    /// The first bar after `bar` whose close is not below its own (the number of bars of the block
    /// where there is none), and the largest `1 - close / own close` in between.
    #[inline(always)]
    pub fn recovery(&self, bar: usize) -> (usize, f64) {
        let recovery = self.recoveries[bar];
        (recovery.at, recovery.depth)
    }

    /// Sum of returns, of their squares and of the squares of the negative ones, for the bars from
    /// offset `first` up to but without `end`.
    #[inline(always)]
    pub fn return_sums(&self, first: usize, end: usize) -> [f64; 3] {
        let (Four(a), Four(b)) = (self.returns[first], self.returns[end]);
        [b[0] - a[0], b[1] - a[1], b[2] - a[2]]
    }
}

impl Default for BlockFigures {
    fn default() -> BlockFigures {
        BlockFigures::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_run_has_the_extremes_of_all_its_bars(
            closes in prop::collection::vec(1.0..200.0_f64, 1..=QUANTUM_BARS),
            ends in (0.0..1.0_f64, 0.0..1.0_f64),
        ) {
            let mut figures = BlockFigures::new();
            let lows: Vec<f64> = closes.iter().map(|close| close * 0.99).collect();
            let highs: Vec<f64> = closes.iter().rev().map(|close| close * 1.01).collect();
            figures.build(&lows, &highs, &closes);
            let at = |part: f64| (part * closes.len() as f64) as usize;
            let (first, last) = (at(ends.0).min(at(ends.1)), at(ends.0).max(at(ends.1)));
            let lowest = |of: &[f64]| of[first..=last].iter().copied().fold(f64::INFINITY, f64::min);
            let highest = |of: &[f64]| of[first..=last].iter().copied().fold(0.0, f64::max);
            let expected = Range {
                min: lowest(&closes),
                max: highest(&closes),
                low: lowest(&lows),
                high: highest(&highs),
            };
            prop_assert_eq!(figures.range(first, last), expected);
            let recovered = (first + 1..closes.len()).find(|later| closes[*later] >= closes[first]);
            let recovered = recovered.unwrap_or(closes.len());
            let between = &closes[first + 1..recovered];
            let depth = between.iter().map(|close| 1.0 - close / closes[first]).fold(0.0, f64::max);
            prop_assert_eq!(figures.recovery(first), (recovered, depth));
        }
    }
}
