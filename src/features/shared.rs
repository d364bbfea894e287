//! Indicators of the close that look back on one shared history.

use super::feature::Feature;
use super::history::History;
use crate::kernel;
use serde::{Deserialize, Serialize};

/// What an indicator carries from bar to bar.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub(super) struct Carry {
    /// Bars seen.
    pub(super) seen: u64,
    /// Averages.
    pub(super) values: [f64; 3],
}

/// Means and standard deviations of the last closes of a block: all bands of a length are made of
/// them, whatever their width. Bands of one length follow one another, so one is kept.
///
/// With d the distances of the closes from the last one, the variance is the mean of d squared less
/// the square of the mean of d. Its error is that of a sum of n numbers, since of n closes none lies
/// further from their mean than sqrt(n - 1) deviations, and closes that are all the same have none. A
/// longer window's sum of squares goes on where that of a shorter one of the same bar ended.
pub(super) struct Deviations {
    /// The length, and the first bar; none where the block is new.
    of: Option<(u32, usize)>,
    means: Box<[f64]>,
    deviations: Box<[f64]>,
    /// Sums of squares, by bar of the block.
    squares: Box<[f64]>,
}

impl Deviations {
    /// Room for these features in blocks of at most so many bars.
    pub(super) fn new(features: &[Feature], block_bars_max: usize) -> Deviations {
        let bars = Deviations::bars(features, block_bars_max);
        Deviations {
            of: None,
            means: vec![0.0; bars].into(),
            deviations: vec![0.0; bars].into(),
            squares: vec![0.0; bars].into(),
        }
    }

    /// Bytes on the heap for these features.
    pub(super) fn bytes(features: &[Feature], block_bars_max: usize) -> usize {
        3 * Deviations::bars(features, block_bars_max) * size_of::<f64>()
    }

    fn bars(features: &[Feature], block_bars_max: usize) -> usize {
        let is_band = |feature: &Feature| matches!(feature, Feature::Bollinger(..));
        if features.iter().any(is_band) {
            block_bars_max
        } else {
            0
        }
    }

    /// Another block begins.
    pub(super) fn clear(&mut self) {
        self.of = None;
    }

    /// The means of the last `n` closes of each bar from `start` on, where they are at hand.
    fn means(&self, n: u32, start: usize) -> Option<&[f64]> {
        (self.of == Some((n, start))).then_some(&self.means)
    }

    /// Of the last `n` closes of each bar from `start` to `end`.
    fn over(&mut self, history: &History, n: u32, start: usize, end: usize) -> [&[f64]; 2] {
        let bars = end - start;
        let (means, deviations) = (&mut self.means[..bars], &mut self.deviations[..bars]);
        if self.of != Some((n, start)) {
            let window = n as usize;
            history.window_means(start, window, means);
            let first = history.origin() + start + 1 - window;
            let closes = &history.close[first..first + bars + window - 1];
            let squares = &mut self.squares[start..end];
            let summed = match self.of {
                Some((shorter, from)) if shorter < n && from <= start => shorter as usize,
                _ => {
                    squares.fill(0.0);
                    0
                }
            };
            kernel::window_deviations(closes, summed, means, squares, deviations);
            self.of = Some((n, start));
        }
        [means, deviations]
    }
}

/// Computes bars `from..bars` of the block that `history` took last.
pub(super) fn compute(
    feature: Feature,
    carry: &mut Carry,
    (history, shared): (&History, &mut Deviations),
    from: usize,
    into: &mut [f64],
) {
    let origin = history.origin();
    let close = &history.close[origin..];
    let first_defined = feature.first_defined();
    let seen = carry.seen;
    let (defined, bars) = (
        |k: usize| seen + (k - from) as u64 >= first_defined,
        into.len(),
    );
    into[..from].fill(f64::NAN);
    match feature {
        Feature::Sma(n) => {
            let start = first_defined_offset(seen, first_defined, from, bars);
            into[from..start].fill(f64::NAN);
            match shared.means(n, start) {
                Some(means) => into[start..].copy_from_slice(&means[..bars - start]),
                None => history.window_means(start, n as usize, &mut into[start..]),
            }
        }
        Feature::Ema(n) => {
            for k in from..bars {
                carry.values[0] = ema(carry.values[0], close[k], n, carry.seen == 0);
                carry.seen += 1;
                into[k] = if defined(k) {
                    carry.values[0]
                } else {
                    f64::NAN
                };
            }
            return;
        }
        Feature::Macd(fast, slow) | Feature::MacdSignal(fast, slow, _) => {
            for k in from..bars {
                let first = carry.seen == 0;
                carry.values[0] = ema(carry.values[0], close[k], fast, first);
                carry.values[1] = ema(carry.values[1], close[k], slow, first);
                let mut value = carry.values[0] - carry.values[1];
                if let Feature::MacdSignal(_, _, signal) = feature {
                    carry.values[2] = ema(carry.values[2], value, signal, first);
                    value = carry.values[2];
                }
                carry.seen += 1;
                into[k] = if defined(k) { value } else { f64::NAN };
            }
            return;
        }
        Feature::Rsi(n) => {
            for k in from..bars {
                into[k] = rsi(carry, history.close[origin + k - 1], close[k], n);
                carry.seen += 1;
            }
            return;
        }
        Feature::Bollinger(n, width) => {
            let start = first_defined_offset(seen, first_defined, from, bars);
            into[from..start].fill(f64::NAN);
            let [means, deviations] = shared.over(history, n, start, bars);
            kernel::bands(means, deviations, width, &mut into[start..]);
        }
        _ => unreachable!("{feature} has an indicator of its own"),
    }
    carry.seen += (bars - from) as u64;
}

/// The first bar of a block with a value, from bar `from` on; the number of bars where there is none.
pub(super) fn first_defined_offset(
    seen: u64,
    first_defined: u64,
    from: usize,
    bars: usize,
) -> usize {
    let missing = first_defined.saturating_sub(seen);
    (from as u64 + missing).min(bars as u64) as usize
}

#[inline(always)]
fn ema(previous: f64, value: f64, n: u32, first: bool) -> f64 {
    if first {
        value
    } else {
        previous + alpha(n) * (value - previous)
    }
}

/// How much of the way to a new value an average of n goes.
#[inline(always)]
pub(super) fn alpha(n: u32) -> f64 {
    2.0 / (f64::from(n) + 1.0)
}

/// The relative strength index of a line other than the shared closes.
#[derive(Serialize, Deserialize)]
pub(super) struct Rsi {
    n: u32,
    carry: Carry,
    before: f64,
}

impl Rsi {
    pub(super) fn new(n: u32) -> Rsi {
        Rsi {
            n,
            carry: Carry::default(),
            before: f64::NAN,
        }
    }

    pub(super) fn next(&mut self, value: f64) -> f64 {
        let index = rsi(&mut self.carry, self.before, value, self.n);
        self.carry.seen += 1;
        self.before = value;
        index
    }
}

/// `values` are the average gain and the average loss.
#[inline(always)]
pub(super) fn rsi(carry: &mut Carry, previous: f64, close: f64, n: u32) -> f64 {
    if carry.seen == 0 {
        return f64::NAN;
    }
    let (n_moves, n_f64) = (carry.seen, f64::from(n));
    let change = close - previous;
    let (gain, loss) = (change.max(0.0), (-change).max(0.0));
    if n_moves <= u64::from(n) {
        carry.values[0] += gain;
        carry.values[1] += loss;
        if n_moves < u64::from(n) {
            return f64::NAN;
        }
        carry.values[0] /= n_f64;
        carry.values[1] /= n_f64;
    } else {
        carry.values[0] = (carry.values[0] * (n_f64 - 1.0) + gain) / n_f64;
        carry.values[1] = (carry.values[1] * (n_f64 - 1.0) + loss) / n_f64;
    }
    match (carry.values[0], carry.values[1]) {
        (0.0, 0.0) => 50.0,
        (_, 0.0) => 100.0,
        (gain, loss) => 100.0 - 100.0 / (1.0 + gain / loss),
    }
}
