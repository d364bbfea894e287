//! Figures of one block of closes that every span over it shares.
//!
//! Built once per block and tile: prefix sums of returns (a span's sum is one subtraction), a
//! disjoint sparse table of the extremes of the closes and one of the lows and highs
//! (a span's extremes are two look-ups), and for every close where it is reached again.

use crate::kernel::{self, Extremes, LEVELS};
use admf_formats::units::QUANTUM_BARS;

/// Extremes of a run of closes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Extent {
    /// Lowest close.
    pub min: f64,
    /// Highest close.
    pub max: f64,
}

/// Where a close is reached again, and how deep closes fall before.
#[derive(Clone, Copy, Debug)]
struct Recovery {
    /// Offset of the first later close that is not below; the number of bars where there is none.
    at: usize,
    /// Largest `1 - close / this close` in between; 0 where nothing lies between.
    depth: f64,
}

/// Prices are never NaN, so that one comparison and no NaN rule is enough.
#[inline(always)]
fn greater(a: f64, b: f64) -> f64 {
    if a > b { a } else { b }
}

#[inline(always)]
fn lesser(a: f64, b: f64) -> f64 {
    if a < b { a } else { b }
}

/// Prefix sums and extremes of one block's closes.
#[derive(Clone, Debug)]
pub struct BlockFigures {
    returns: Box<[[f64; 3]; QUANTUM_BARS + 1]>,
    extents: Box<[Extremes; LEVELS]>,
    reaches: Box<[Extremes; LEVELS]>,
    /// For every bar, the run from it to the end of its part of the block, and the run from the
    /// beginning of that part to it; parts double from level to level.
    to_end: Box<Extremes>,
    from_start: Box<Extremes>,
    recoveries: Box<[Recovery; QUANTUM_BARS]>,
}

impl BlockFigures {
    /// Figures of no block yet.
    pub fn new() -> BlockFigures {
        BlockFigures {
            returns: Box::new([[0.0; 3]; QUANTUM_BARS + 1]),
            extents: Box::new([Extremes::NONE; LEVELS]),
            reaches: Box::new([Extremes::NONE; LEVELS]),
            to_end: Box::new(Extremes::NONE),
            from_start: Box::new(Extremes::NONE),
            recoveries: Box::new([Recovery { at: 0, depth: 0.0 }; QUANTUM_BARS]),
        }
    }

    /// Bytes on the heap.
    pub const BYTES: usize = size_of::<[[f64; 3]; QUANTUM_BARS + 1]>()
        + 2 * (LEVELS + 1) * size_of::<Extremes>()
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
            let down = lesser(change, 0.0);
            sums = [
                sums[0] + change,
                sums[1] + change * change,
                sums[2] + down * down,
            ];
            *into = sums;
        }
        let parts = [&mut *self.to_end, &mut *self.from_start];
        kernel::extremes_table(&mut self.extents, parts, closes, closes);
        let parts = [&mut *self.to_end, &mut *self.from_start];
        kernel::extremes_table(&mut self.reaches, parts, lows, highs);
        self.build_recoveries(closes);
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

    /// Extremes of the closes from offset `first` to `last`, both counted.
    #[inline(always)]
    pub fn extent(&self, first: usize, last: usize, closes: &[f64]) -> Extent {
        let (min, max) = extremes(&self.extents, first, last, closes, closes);
        Extent { min, max }
    }

    /// Lowest low and highest high of the bars from offset `first` to `last`, both counted.
    #[inline(always)]
    pub fn reach(&self, first: usize, last: usize, lows: &[f64], highs: &[f64]) -> (f64, f64) {
        extremes(&self.reaches, first, last, lows, highs)
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
        let (a, b) = (self.returns[first], self.returns[end]);
        [b[0] - a[0], b[1] - a[1], b[2] - a[2]]
    }
}

/// Extremes of the bars from offset `first` to `last`, both counted.
#[inline(always)]
fn extremes(
    table: &[Extremes; LEVELS],
    first: usize,
    last: usize,
    lows: &[f64],
    highs: &[f64],
) -> (f64, f64) {
    if first == last {
        return (lows[first], highs[first]);
    }
    let row = &table[(first ^ last).ilog2() as usize];
    (
        lesser(row.low[first], row.low[last]),
        greater(row.high[first], row.high[last]),
    )
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

    fn brute(closes: &[f64]) -> Extent {
        Extent {
            min: closes.iter().copied().fold(f64::INFINITY, f64::min),
            max: closes.iter().copied().fold(0.0, f64::max),
        }
    }

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
            prop_assert_eq!(figures.extent(first, last, &closes), brute(&closes[first..=last]));
            let low = lows[first..=last].iter().copied().fold(f64::INFINITY, f64::min);
            let high = highs[first..=last].iter().copied().fold(0.0, f64::max);
            prop_assert_eq!(figures.reach(first, last, &lows, &highs), (low, high));
            let recovered = (first + 1..closes.len()).find(|later| closes[*later] >= closes[first]);
            let recovered = recovered.unwrap_or(closes.len());
            let between = &closes[first + 1..recovered];
            let depth = between.iter().map(|close| 1.0 - close / closes[first]).fold(0.0, f64::max);
            prop_assert_eq!(figures.recovery(first), (recovered, depth));
        }
    }
}
