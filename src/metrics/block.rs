//! Figures of one block of closes that every span over it shares.
//!
//! Built once per block and tile: prefix sums of returns (a span's sum is one subtraction) and a
//! disjoint sparse table of minimum, maximum and drawdown (a span's extremes are two look-ups).

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
            min: self.min.min(later.min),
            max: self.max.max(later.max),
            drawdown: self.drawdown.max(later.drawdown).max(across),
        }
    }
}

/// Prefix sums and extremes of one block's closes.
#[derive(Clone, Debug)]
pub struct BlockFigures {
    returns: Box<[[f64; 3]; QUANTUM_BARS + 1]>,
    extents: Box<[[Extent; QUANTUM_BARS]; LEVELS]>,
}

impl BlockFigures {
    /// Figures of no block yet.
    pub fn new() -> BlockFigures {
        BlockFigures {
            returns: Box::new([[0.0; 3]; QUANTUM_BARS + 1]),
            extents: Box::new([[Extent::of(0.0); QUANTUM_BARS]; LEVELS]),
        }
    }

    /// Bytes on the heap.
    pub const BYTES: usize =
        size_of::<[[f64; 3]; QUANTUM_BARS + 1]>() + size_of::<[[Extent; QUANTUM_BARS]; LEVELS]>();

    /// Builds the figures of a block, which needs no other block.
    pub fn build(&mut self, closes: &[f64]) {
        let mut sums = [0.0_f64; 3];
        // The first bar's return belongs to the block before; a span takes it by itself.
        let mut previous = closes[0];
        for (at, &close) in closes.iter().enumerate() {
            let change = close / previous - 1.0;
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
    }

    /// Level L serves runs whose ends differ first in bit L: left of the middle it holds the run
    /// up to the middle, right of it the run from the middle.
    fn build_extents(&mut self, closes: &[f64]) {
        for (level, row) in self.extents.iter_mut().enumerate() {
            let half = 1_usize << level;
            let mut middle = half;
            while middle < closes.len() {
                let mut run = Extent::of(closes[middle - 1]);
                row[middle - 1] = run;
                for at in (middle - half..middle - 1).rev() {
                    run = Extent::of(closes[at]).then(run);
                    row[at] = run;
                }
                let mut run = Extent::of(closes[middle]);
                row[middle] = run;
                for at in middle + 1..(middle + half).min(closes.len()) {
                    run = run.then(Extent::of(closes[at]));
                    row[at] = run;
                }
                middle += 2 * half;
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
        row[first].then(row[last])
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
            figures.build(&closes);
            let at = |part: f64| (part * closes.len() as f64) as usize;
            let (first, last) = (at(ends.0).min(at(ends.1)), at(ends.0).max(at(ends.1)));
            prop_assert_eq!(figures.extent(first, last, &closes), brute(&closes[first..=last]));
        }
    }
}
