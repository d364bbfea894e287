//! The closes that indicators look back on, and their prefix sums: one for all indicators.

/// A block's closes with the last `keep` before them in front.
#[derive(Clone, Debug)]
pub(super) struct History {
    keep: usize,
    /// Bars of the block that it took last.
    bars: usize,
    /// Closes; index `keep + k` is bar k of the block.
    pub(super) close: Vec<f64>,
    /// Sum of all closes up to the bar, in double-double (high part, low part): a window's sum is
    /// the difference of two, correct to the last bit however long the series is.
    sum: Vec<[f64; 2]>,
}

impl History {
    /// A history of the last `keep` bars before blocks of at most `block_bars_max`.
    pub(super) fn new(keep: usize, block_bars_max: usize) -> History {
        // One more than asked: the sum of the first window needs the bar before it.
        let keep = keep + 1;
        History {
            keep,
            bars: 0,
            close: vec![0.0; keep + block_bars_max],
            sum: vec![[0.0; 2]; keep + block_bars_max],
        }
    }

    /// Bytes on the heap for a history of `keep` bars.
    pub(super) const fn bytes(keep: usize, block_bars_max: usize) -> usize {
        (keep + 1 + block_bars_max) * 3 * size_of::<f64>()
    }

    /// Index of the block's first bar in every column.
    pub(super) const fn origin(&self) -> usize {
        self.keep
    }

    /// Takes the next block; bars before offset `from` do not exist for the indicators.
    pub(super) fn push(&mut self, close: &[f64], from: usize) {
        let last = self.bars..self.bars + self.keep;
        self.close.copy_within(last.clone(), 0);
        self.sum.copy_within(last, 0);
        self.bars = close.len();
        self.close[self.keep..self.keep + close.len()].copy_from_slice(close);
        let mut total = self.sum[self.keep - 1];
        for (k, value) in close.iter().enumerate() {
            if k >= from {
                total = add(total, *value);
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
