//! Figures of one block of closes that every span over it shares.
//!
//! Built once per block and tile: prefix sums of returns (a span's sum is one subtraction), a
//! disjoint sparse table of minimum, maximum and drawdown of the closes and of the lows and highs
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
    /// Largest `1 - later / earlier` within the run; 0 where closes only rise.
    pub drawdown: f64,
}

impl Extent {
    const fn of(close: f64) -> Extent {
        Extent {
            min: close,
            max: close,
            drawdown: 0.0,
        }
    }

    /// The run made of this one and the one right after it.
    #[inline(always)]
    fn then(self, later: Extent) -> Extent {
        let across = 1.0 - later.min / self.max;
        Extent {
            min: lesser(self.min, later.min),
            max: greater(self.max, later.max),
            drawdown: greater(greater(self.drawdown, later.drawdown), across),
        }
    }
}

/// Extents of one run per bar, as columns.
#[derive(Clone, Debug)]
struct Runs {
    min: [f64; QUANTUM_BARS],
    max: [f64; QUANTUM_BARS],
    drawdown: [f64; QUANTUM_BARS],
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

impl Runs {
    const NONE: Runs = Runs {
        min: [0.0; QUANTUM_BARS],
        max: [0.0; QUANTUM_BARS],
        drawdown: [0.0; QUANTUM_BARS],
    };

    #[inline(always)]
    fn at(&self, bar: usize) -> Extent {
        Extent {
            min: self.min[bar],
            max: self.max[bar],
            drawdown: self.drawdown[bar],
        }
    }

    #[inline(always)]
    fn copy(&mut self, from: &Runs, first: usize, end: usize) {
        self.min[first..end].copy_from_slice(&from.min[first..end]);
        self.max[first..end].copy_from_slice(&from.max[first..end]);
        self.drawdown[first..end].copy_from_slice(&from.drawdown[first..end]);
    }

    /// Every run of `first..end` grows by the run right after it.
    #[inline(always)]
    fn then(&mut self, first: usize, end: usize, later: Extent) {
        let columns = (
            &mut self.min[first..end],
            &mut self.max[first..end],
            &mut self.drawdown[first..end],
        );
        for ((min, max), drawdown) in columns.0.iter_mut().zip(columns.1).zip(columns.2) {
            let across = 1.0 - later.min / *max;
            *drawdown = greater(greater(*drawdown, later.drawdown), across);
            *min = lesser(*min, later.min);
            *max = greater(*max, later.max);
        }
    }

    /// Every run of `first..end` grows by the run right before it.
    #[inline(always)]
    fn after(&mut self, earlier: Extent, first: usize, end: usize) {
        let columns = (
            &mut self.min[first..end],
            &mut self.max[first..end],
            &mut self.drawdown[first..end],
        );
        for ((min, max), drawdown) in columns.0.iter_mut().zip(columns.1).zip(columns.2) {
            let across = 1.0 - *min / earlier.max;
            *drawdown = greater(greater(earlier.drawdown, *drawdown), across);
            *min = lesser(earlier.min, *min);
            *max = greater(earlier.max, *max);
        }
    }
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
    extents: Box<[Runs; LEVELS]>,
    /// For every bar, the run from it to the end of its part of the block, and the run from the
    /// beginning of that part to it; parts double from level to level.
    to_end: Box<Runs>,
    from_start: Box<Runs>,
    reaches: Box<[Reaches; LEVELS]>,
    reach_to_end: Box<Reaches>,
    reach_from_start: Box<Reaches>,
    recoveries: Box<[Recovery; QUANTUM_BARS]>,
}

impl BlockFigures {
    /// Figures of no block yet.
    pub fn new() -> BlockFigures {
        BlockFigures {
            returns: Box::new([[0.0; 3]; QUANTUM_BARS + 1]),
            extents: Box::new([Runs::NONE; LEVELS]),
            to_end: Box::new(Runs::NONE),
            from_start: Box::new(Runs::NONE),
            reaches: Box::new([Reaches::NONE; LEVELS]),
            reach_to_end: Box::new(Reaches::NONE),
            reach_from_start: Box::new(Reaches::NONE),
            recoveries: Box::new([Recovery { at: 0, depth: 0.0 }; QUANTUM_BARS]),
        }
    }

    /// Bytes on the heap.
    pub const BYTES: usize = size_of::<[[f64; 3]; QUANTUM_BARS + 1]>()
        + (LEVELS + 2) * (size_of::<Runs>() + size_of::<Reaches>())
        + size_of::<[Recovery; QUANTUM_BARS]>();

    /// Builds the figures of a block, which needs no other block. All columns are equally long.
    pub fn build(&mut self, lows: &[f64], highs: &[f64], closes: &[f64]) {
        self.build_from(lows, highs, closes, 0);
    }

    /// Builds the figures for spans that begin at offset `from` or later. Sums begin there, so that
    /// not even their rounding depends on a bar before it.
    pub fn build_from(&mut self, lows: &[f64], highs: &[f64], closes: &[f64], from: usize) {
        let mut sums = [0.0_f64; 3];
        // The first bar's return belongs to the block before; a span takes it by itself.
        let mut previous = closes[0];
        for (at, &close) in closes.iter().enumerate() {
            let change = if at > from {
                close / previous - 1.0
            } else {
                0.0
            };
            let down = change.min(0.0);
            sums = [
                sums[0] + change,
                sums[1] + change * change,
                sums[2] + down * down,
            ];
            self.returns[at + 1] = sums;
            previous = close;
        }
        self.build_extents(closes);
        self.build_reaches(lows, highs);
        self.build_recoveries(closes);
    }

    fn build_reaches(&mut self, lows: &[f64], highs: &[f64]) {
        let bars = lows.len();
        for reach in [&mut *self.reach_to_end, &mut *self.reach_from_start] {
            reach.low[..bars].copy_from_slice(lows);
            reach.high[..bars].copy_from_slice(highs);
        }
        for (level, row) in self.reaches.iter_mut().enumerate() {
            let half = 1_usize << level;
            for first in (0..bars).step_by(2 * half) {
                let middle = first + half;
                if middle >= bars {
                    break;
                }
                let end = (middle + half).min(bars);
                row.copy(&self.reach_to_end, first, middle);
                row.copy(&self.reach_from_start, middle, end);
                let left = self.reach_to_end.at(first);
                let right = self.reach_from_start.at(end - 1);
                self.reach_to_end.join(first, middle, right);
                self.reach_from_start.join(middle, end, left);
            }
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

    /// Level L serves runs whose ends differ first in bit L: left of the middle it holds the run
    /// up to the middle, right of it the run from the middle.
    fn build_extents(&mut self, closes: &[f64]) {
        let bars = closes.len();
        for runs in [&mut *self.to_end, &mut *self.from_start] {
            runs.min[..bars].copy_from_slice(closes);
            runs.max[..bars].copy_from_slice(closes);
            runs.drawdown[..bars].fill(0.0);
        }
        for (level, row) in self.extents.iter_mut().enumerate() {
            let half = 1_usize << level;
            for first in (0..bars).step_by(2 * half) {
                let middle = first + half;
                if middle >= bars {
                    // The rest is no longer than half: no run of this level lies in it.
                    break;
                }
                let end = (middle + half).min(bars);
                row.copy(&self.to_end, first, middle);
                row.copy(&self.from_start, middle, end);
                let (left, right) = (self.to_end.at(first), self.from_start.at(end - 1));
                self.to_end.then(first, middle, right);
                self.from_start.after(left, middle, end);
            }
        }
    }

    /// Extremes of the closes from offset `first` to `last`, both counted.
    #[inline(always)]
    pub fn extent(&self, first: usize, last: usize, closes: &[f64]) -> Extent {
        if first == last {
            return Extent::of(closes[first]);
        }
        let row = &self.extents[(first ^ last).ilog2() as usize];
        row.at(first).then(row.at(last))
    }

    /// Lowest low and highest high of the bars from offset `first` to `last`, both counted.
    #[inline(always)]
    pub fn reach(&self, first: usize, last: usize, lows: &[f64], highs: &[f64]) -> (f64, f64) {
        if first == last {
            return (lows[first], highs[first]);
        }
        let row = &self.reaches[(first ^ last).ilog2() as usize];
        (
            lesser(row.low[first], row.low[last]),
            greater(row.high[first], row.high[last]),
        )
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
        let mut extent = Extent::of(closes[0]);
        for (i, &early) in closes.iter().enumerate() {
            extent.min = extent.min.min(early);
            extent.max = extent.max.max(early);
            for &late in &closes[i..] {
                extent.drawdown = extent.drawdown.max(1.0 - late / early);
            }
        }
        extent
    }

    proptest! {
        #[test]
        fn a_run_has_the_extremes_of_all_its_pairs(
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
