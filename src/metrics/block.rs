//! Figures of one block of closes that every span over it shares.
//!
//! Built once per block and tile: prefix sums of returns (a span's sum is one subtraction), a
//! disjoint sparse table of the extremes of the closes and one of the lows and highs
//! (a span's extremes are two look-ups), and for every close where it is reached again.

use admf_formats::units::QUANTUM_BARS;

/// Levels of the table: one per bit of an offset in the block.
const LEVELS: usize = QUANTUM_BARS.ilog2() as usize;

/// Extremes of a run of closes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Extent {
    /// Lowest close.
    pub min: f64,
    /// Highest close.
    pub max: f64,
}

/// Lowest low and highest high of one run per bar, as columns.
#[derive(Clone, Debug)]
struct Reaches {
    low: [f64; QUANTUM_BARS],
    high: [f64; QUANTUM_BARS],
}

impl Reaches {
    const NONE: Reaches = Reaches {
        low: [0.0; QUANTUM_BARS],
        high: [0.0; QUANTUM_BARS],
    };

    #[inline(always)]
    fn at(&self, bar: usize) -> (f64, f64) {
        (self.low[bar], self.high[bar])
    }

    #[inline(always)]
    fn copy(&mut self, from: &Reaches, first: usize, end: usize) {
        self.low[first..end].copy_from_slice(&from.low[first..end]);
        self.high[first..end].copy_from_slice(&from.high[first..end]);
    }

    /// Every run of `first..end` grows by a neighbour.
    #[inline(always)]
    fn join(&mut self, first: usize, end: usize, (low, high): (f64, f64)) {
        for value in &mut self.low[first..end] {
            *value = lesser(*value, low);
        }
        for value in &mut self.high[first..end] {
            *value = greater(*value, high);
        }
    }
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
    extents: Box<[Reaches; LEVELS]>,
    reaches: Box<[Reaches; LEVELS]>,
    /// For every bar, the run from it to the end of its part of the block, and the run from the
    /// beginning of that part to it; parts double from level to level.
    to_end: Box<Reaches>,
    from_start: Box<Reaches>,
    recoveries: Box<[Recovery; QUANTUM_BARS]>,
}

impl BlockFigures {
    /// Figures of no block yet.
    pub fn new() -> BlockFigures {
        BlockFigures {
            returns: Box::new([[0.0; 3]; QUANTUM_BARS + 1]),
            extents: Box::new([Reaches::NONE; LEVELS]),
            reaches: Box::new([Reaches::NONE; LEVELS]),
            to_end: Box::new(Reaches::NONE),
            from_start: Box::new(Reaches::NONE),
            recoveries: Box::new([Recovery { at: 0, depth: 0.0 }; QUANTUM_BARS]),
        }
    }

    /// Bytes on the heap.
    pub const BYTES: usize = size_of::<[[f64; 3]; QUANTUM_BARS + 1]>()
        + 2 * (LEVELS + 1) * size_of::<Reaches>()
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
        build_table(&mut self.extents, parts, closes, closes);
        let parts = [&mut *self.to_end, &mut *self.from_start];
        build_table(&mut self.reaches, parts, lows, highs);
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

/// Level L serves runs whose ends differ first in bit L: left of the middle it holds the run up to
/// the middle, right of it the run from the middle.
fn build_table(
    table: &mut [Reaches; LEVELS],
    [to_end, from_start]: [&mut Reaches; 2],
    lows: &[f64],
    highs: &[f64],
) {
    let bars = lows.len();
    for runs in [&mut *to_end, &mut *from_start] {
        runs.low[..bars].copy_from_slice(lows);
        runs.high[..bars].copy_from_slice(highs);
    }
    for (level, row) in table.iter_mut().enumerate() {
        let half = 1_usize << level;
        for first in (0..bars).step_by(2 * half) {
            let middle = first + half;
            if middle >= bars {
                // The rest is no longer than half: no run of this level lies in it.
                break;
            }
            let end = (middle + half).min(bars);
            row.copy(to_end, first, middle);
            row.copy(from_start, middle, end);
            let (left, right) = (to_end.at(first), from_start.at(end - 1));
            to_end.join(first, middle, right);
            from_start.join(middle, end, left);
        }
    }
}

/// Extremes of the bars from offset `first` to `last`, both counted.
#[inline(always)]
fn extremes(
    table: &[Reaches; LEVELS],
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
