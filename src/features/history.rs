//! The closes that indicators look back on, and their prefix sums: one for all indicators.

use crate::kernel::{self, two_sum};
use crate::state::{StateReader, StateWriter};
use std::io;

/// How many bars before a block are looked back on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Lookback {
    /// On their closes.
    pub(super) closes: usize,
    /// On sums up to them: far by long means, which have no use for the closes themselves.
    pub(super) sums: usize,
}

/// A block's closes and sums with those before them in front.
#[derive(Clone, Debug)]
pub(super) struct History {
    /// Bars before the block that are kept: one more than asked, for the sum of the first window
    /// needs the bar before it.
    keep: Lookback,
    /// Bars of the block that it took last.
    bars: usize,
    /// Closes; index `keep.closes + k` is bar k of the block.
    pub(super) close: Vec<f64>,
    /// Sum of all closes up to the bar, in double-double, high and low parts: a window's sum is
    /// the difference of two, correct to the last bit however long the series is.
    sum: [Vec<f64>; 2],
}

impl History {
    /// A history that looks back so far from blocks of at most `block_bars_max`.
    pub(super) fn new(Lookback { closes, sums }: Lookback, block_bars_max: usize) -> History {
        let keep = Lookback {
            closes: closes + 1,
            sums: sums + 1,
        };
        let sum = || vec![0.0; keep.sums + block_bars_max];
        History {
            keep,
            bars: 0,
            close: vec![0.0; keep.closes + block_bars_max],
            sum: [sum(), sum()],
        }
    }

    /// Bytes on the heap for a history that looks back so far.
    pub(super) const fn bytes(lookback: Lookback, block_bars_max: usize) -> usize {
        let closes = lookback.closes + 1 + block_bars_max;
        let sums = lookback.sums + 1 + block_bars_max;
        (closes + 2 * sums) * size_of::<f64>()
    }

    /// Index of the block's first bar among the closes.
    pub(super) const fn origin(&self) -> usize {
        self.keep.closes
    }

    /// Takes the next block; bars before offset `from` do not exist for the indicators.
    pub(super) fn push(&mut self, close: &[f64], from: usize) {
        let Lookback { closes, sums } = self.keep;
        let last = |keep| self.bars..self.bars + keep;
        let [high, low] = &mut self.sum;
        self.close.copy_within(last(closes), 0);
        high.copy_within(last(sums), 0);
        low.copy_within(last(sums), 0);
        self.bars = close.len();
        self.close[closes..closes + close.len()].copy_from_slice(close);
        let mut total = [high[sums - 1], low[sums - 1]];
        for (k, value) in close.iter().enumerate() {
            if k >= from {
                total = add(total, *value);
            }
            [high[sums + k], low[sums + k]] = total;
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
        for (list, keep) in [(close, keep.closes), (high, keep.sums), (low, keep.sums)] {
            into.put(&keep)?;
            list[*bars..bars + keep]
                .iter()
                .try_for_each(|value| into.put(value))?;
        }
        Ok(())
    }

    /// Goes on from one that looked back as far or further.
    pub(super) fn load(&mut self, from: &mut StateReader<'_>) -> io::Result<()> {
        let Lookback { closes, sums } = self.keep;
        // The next push takes them from the end of the block before.
        self.bars = self.close.len() - closes;
        let [high, low] = &mut self.sum;
        for (list, keep) in [(&mut self.close, closes), (high, sums), (low, sums)] {
            let saved: usize = from.get()?;
            let Some(more) = saved.checked_sub(keep) else {
                return Err(io::Error::other("a history that looks back less far"));
            };
            for k in 0..saved {
                let value = from.get()?;
                if k >= more {
                    list[self.bars + k - more] = value;
                }
            }
        }
        Ok(())
    }

    /// Means of the `window` closes that end with each of the bars from `start` on.
    pub(super) fn window_means(&self, start: usize, window: usize, into: &mut [f64]) {
        let last = self.keep.sums + start;
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

#[cfg(test)]
mod tests {
    use super::*;

    fn closes(block: usize) -> Vec<f64> {
        let close = |bar: usize| 100.0 + (bar as f64 * 0.7).sin() / 3.0;
        (block * 8..block * 8 + 8).map(close).collect()
    }

    #[test]
    fn a_history_goes_on_from_one_that_looked_back_further() {
        let far = Lookback {
            closes: 5,
            sums: 13,
        };
        for (closes_back, sums) in [(0, 13), (5, 0), (2, 7), (5, 13)] {
            let near = Lookback {
                closes: closes_back,
                sums,
            };
            let (mut saved, mut whole) = (History::new(far, 8), History::new(near, 8));
            for block in 0..3 {
                saved.push(&closes(block), 0);
                whole.push(&closes(block), 0);
            }
            let mut state = Vec::new();
            let written = saved.save(&mut StateWriter::new(&mut state));
            written.expect("a list can be written");
            let mut resumed = History::new(near, 8);
            let read = resumed.load(&mut StateReader::new(&mut &state[..]));
            read.expect("it looks back less far");
            for block in 3..5 {
                resumed.push(&closes(block), 0);
                whole.push(&closes(block), 0);
                let origin = whole.origin();
                assert_eq!(resumed.close[..origin + 8], whole.close[..origin + 8]);
                for window in 1..=sums {
                    let means = |history: &History| {
                        let mut means = [0.0; 8];
                        history.window_means(0, window, &mut means);
                        means.map(f64::to_bits)
                    };
                    assert_eq!(means(&resumed), means(&whole), "{near:?}, window {window}");
                }
            }
            let mut short = Vec::new();
            let written = resumed.save(&mut StateWriter::new(&mut short));
            written.expect("a list can be written");
            let read = saved.load(&mut StateReader::new(&mut &short[..]));
            assert_eq!(read.is_ok(), near == far);
        }
    }
}
