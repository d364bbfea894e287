//! The bars that indicators look back on, and the prefix sums of closes.

use crate::market::BarBlock;
use admf_formats::units::QUANTUM_BARS;

/// A block's columns with the last `keep` values before it in front.
#[derive(Clone, Debug)]
pub(super) struct History {
    keep: usize,
    /// Closes; index `keep + k` is bar k of the block.
    pub(super) close: Vec<f64>,
    /// Highs.
    pub(super) high: Vec<f64>,
    /// Lows.
    pub(super) low: Vec<f64>,
    /// Sum of all closes up to the bar, in double-double (high part, low part): a window's sum is
    /// the difference of two, correct to the last bit however long the series is.
    sum: Vec<[f64; 2]>,
}

impl History {
    /// A history of the last `keep` bars before a block.
    pub(super) fn new(keep: usize) -> History {
        // One more than asked: the sum of the first window needs the bar before it.
        let keep = keep + 1;
        let column = vec![0.0; keep + QUANTUM_BARS];
        History {
            keep,
            close: column.clone(),
            high: column.clone(),
            low: column,
            sum: vec![[0.0; 2]; keep + QUANTUM_BARS],
        }
    }

    /// Bytes on the heap for a history of `keep` bars.
    pub(super) const fn bytes(keep: usize) -> usize {
        (keep + 1 + QUANTUM_BARS) * 5 * size_of::<f64>()
    }

    /// Index of the block's first bar in every column.
    pub(super) const fn origin(&self) -> usize {
        self.keep
    }

    /// Takes the next block; bars before offset `from` do not exist for the indicators.
    pub(super) fn push(&mut self, block: &BarBlock, from: usize) {
        let end = self.keep + QUANTUM_BARS;
        for column in [&mut self.close, &mut self.high, &mut self.low] {
            column.copy_within(QUANTUM_BARS..end, 0);
        }
        self.sum.copy_within(QUANTUM_BARS..end, 0);
        let bars = block.bars;
        self.close[self.keep..self.keep + bars].copy_from_slice(&block.close[..bars]);
        self.high[self.keep..self.keep + bars].copy_from_slice(&block.high[..bars]);
        self.low[self.keep..self.keep + bars].copy_from_slice(&block.low[..bars]);
        let mut total = self.sum[self.keep - 1];
        for k in 0..QUANTUM_BARS {
            if k >= from && k < bars {
                total = add(total, block.close[k]);
            }
            self.sum[self.keep + k] = total;
        }
    }

    /// Sum of the `window` closes that end with bar `k` of the block.
    #[inline(always)]
    pub(super) fn window_sum(&self, k: usize, window: usize) -> f64 {
        let (a, b) = (self.sum[self.keep + k], self.sum[self.keep + k - window]);
        let (difference, error) = two_sum(a[0], -b[0]);
        difference + (error + (a[1] - b[1]))
    }
}

/// `a + b` as its rounded value and the exact error of the rounding (Knuth).
#[inline(always)]
fn two_sum(a: f64, b: f64) -> (f64, f64) {
    let sum = a + b;
    let b_part = sum - a;
    (sum, (a - (sum - b_part)) + (b - b_part))
}

#[inline(always)]
fn add(total: [f64; 2], value: f64) -> [f64; 2] {
    let (sum, error) = two_sum(total[0], value);
    let low = total[1] + error;
    let high = sum + low;
    [high, low - (high - sum)]
}
