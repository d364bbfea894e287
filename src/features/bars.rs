//! What indicators are computed from: a run of bars, as columns or one by one.

use crate::market::BarBlock;
use serde::{Deserialize, Serialize};

/// Consecutive bars as columns of one length, oldest first.
#[derive(Clone, Copy, Debug)]
pub struct Bars<'a> {
    /// Timestamps, nanoseconds since 1970 UTC.
    pub ts_ns: &'a [i64],
    /// Opens.
    pub open: &'a [f64],
    /// Highs.
    pub high: &'a [f64],
    /// Lows.
    pub low: &'a [f64],
    /// Closes.
    pub close: &'a [f64],
    /// Volumes.
    pub volume: &'a [f64],
}

impl<'a> Bars<'a> {
    /// The valid bars of a block from offset `from` on.
    pub fn of(block: &'a BarBlock, from: usize) -> Bars<'a> {
        let range = from..block.bars;
        Bars {
            ts_ns: &block.ts_ns[range.clone()],
            open: &block.open[range.clone()],
            high: &block.high[range.clone()],
            low: &block.low[range.clone()],
            close: &block.close[range.clone()],
            volume: &block.volume[range],
        }
    }

    /// The bars at these places.
    pub fn range(&self, range: std::ops::Range<usize>) -> Bars<'a> {
        Bars {
            ts_ns: &self.ts_ns[range.clone()],
            open: &self.open[range.clone()],
            high: &self.high[range.clone()],
            low: &self.low[range.clone()],
            close: &self.close[range.clone()],
            volume: &self.volume[range],
        }
    }

    /// How many bars.
    pub const fn len(&self) -> usize {
        self.close.len()
    }

    /// Whether there is none.
    pub const fn is_empty(&self) -> bool {
        self.close.is_empty()
    }

    /// Bar number `k` of these.
    #[inline(always)]
    pub(super) fn bar(&self, k: usize) -> Bar {
        Bar {
            ts_ns: self.ts_ns[k],
            open: self.open[k],
            high: self.high[k],
            low: self.low[k],
            close: self.close[k],
            volume: self.volume[k],
        }
    }
}

/// One bar.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Bar {
    /// Nanoseconds since 1970 UTC.
    pub ts_ns: i64,
    /// Open.
    pub open: f64,
    /// High.
    pub high: f64,
    /// Low.
    pub low: f64,
    /// Close.
    pub close: f64,
    /// Volume.
    pub volume: f64,
}

impl Bar {
    /// (high + low + close) / 3.
    #[inline(always)]
    pub(super) fn typical(&self) -> f64 {
        (self.high + self.low + self.close) / 3.0
    }

    /// Number of its UTC day since 1970.
    #[inline(always)]
    pub(super) const fn day(&self) -> i64 {
        self.ts_ns.div_euclid(86_400_000_000_000)
    }

    /// The true range after a close: the range, widened to that close (Wilder 1978).
    #[inline(always)]
    pub(super) fn true_range(&self, before: f64) -> f64 {
        (self.high - self.low)
            .max((self.high - before).abs())
            .max((self.low - before).abs())
    }
}
