//! The closes that indicators look back on, and their prefix sums: one for all indicators.

use crate::kernel::{self, two_sum};
use crate::state::{StateReader, StateWriter};
use std::io;

/// A block's closes with the last `keep` before them in front.
#[derive(Clone, Debug)]
pub(super) struct History {
    keep: usize,
    /// Bars of the block that it took last.
    bars: usize,
    /// Closes; index `keep + k` is bar k of the block.
    pub(super) close: Vec<f64>,
    /// Sum of all closes up to the bar, in double-double, high and low parts: a window's sum is
    /// the difference of two, correct to the last bit however long the series is.
    sum: [Vec<f64>; 2],
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
            sum: [
                vec![0.0; keep + block_bars_max],
                vec![0.0; keep + block_bars_max],
            ],
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
        let [high, low] = &mut self.sum;
        for column in [&mut self.close, &mut *high, &mut *low] {
            column.copy_within(last.clone(), 0);
        }
        self.bars = close.len();
        self.close[self.keep..self.keep + close.len()].copy_from_slice(close);
        let mut total = [high[self.keep - 1], low[self.keep - 1]];
        for (k, value) in close.iter().enumerate() {
            if k >= from {
                total = add(total, *value);
            }
            [high[self.keep + k], low[self.keep + k]] = total;
        }
    }

    /// Writes what the next block needs of those before it.
    pub(super) fn save(&self, into: &mut StateWriter<'_>) -> io::Result<()> {
        let History {
            keep,
            bars,
            close,
            sum: [high, low],
        } = self;
        into.put(keep)?;
        for k in *bars..bars + keep {
            into.put(&[close[k], high[k], low[k]])?;
        }
        Ok(())
    }

    /// Goes on from one that looked back as far or further.
    pub(super) fn load(&mut self, from: &mut StateReader<'_>) -> io::Result<()> {
        let saved: usize = from.get()?;
        // The next push takes them from the end of the block before.
        self.bars = self.close.len() - self.keep;
        let Some(more) = saved.checked_sub(self.keep) else {
            return Err(io::Error::other("a history that looks back less far"));
        };
        for k in 0..saved {
            let [close, high, low] = from.get()?;
            if k >= more {
                let at = self.bars + k - more;
                self.close[at] = close;
                (self.sum[0][at], self.sum[1][at]) = (high, low);
            }
        }
        Ok(())
    }

    /// Means of the `window` closes that end with each of the bars from `start` on.
    pub(super) fn window_means(&self, start: usize, window: usize, into: &mut [f64]) {
        let last = self.keep + start;
        let part = |from: usize| [&self.sum[0][from..], &self.sum[1][from..]];
        kernel::window_means(part(last), part(last - window), window as f64, into);
    }
}

#[inline(always)]
fn add(total: [f64; 2], value: f64) -> [f64; 2] {
    let (sum, error) = two_sum(total[0], value);
    let low = total[1] + error;
    let high = sum + low;
    [high, low - (high - sum)]
}
