//! Moving averages of the close, and what is built of them alone.

use super::indicator::{Carrying, carrying};
use super::window::{RollingMean, RollingSum, WeightedSum};
use serde::{Deserialize, Serialize};

/// Exponential mean, alpha = 2 / (n + 1), seeded with its first value.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Ema {
    alpha: f64,
    value: Option<f64>,
}

impl Ema {
    pub(super) fn new(n: u32) -> Ema {
        Ema {
            alpha: 2.0 / (f64::from(n) + 1.0),
            value: None,
        }
    }

    #[inline(always)]
    pub(super) fn next(&mut self, value: f64) -> f64 {
        let next = match self.value {
            Some(previous) => previous + self.alpha * (value - previous),
            None => value,
        };
        self.value = Some(next);
        next
    }
}

/// Weighted mean: 1 for the oldest value to n for the newest.
#[derive(Serialize, Deserialize)]
pub(super) struct Wma {
    sums: WeightedSum,
    weights: f64,
}

impl Wma {
    pub(super) fn new(n: u32) -> Wma {
        let length = f64::from(n);
        Wma {
            sums: WeightedSum::new(n),
            weights: length * (length + 1.0) / 2.0,
        }
    }

    #[inline(always)]
    pub(super) fn next(&mut self, value: f64) -> f64 {
        self.sums.next(value).1.value() / self.weights
    }
}

/// Mean of the last n values of a line that begins as NaN; NaN until it has n of them.
#[derive(Serialize, Deserialize)]
pub(super) struct Smooth {
    mean: RollingMean,
    missing: u32,
}

impl Smooth {
    pub(super) fn new(n: u32) -> Smooth {
        Smooth {
            mean: RollingMean::new(n),
            missing: n,
        }
    }

    #[inline(always)]
    pub(super) fn next(&mut self, value: f64) -> f64 {
        if value.is_nan() {
            return f64::NAN;
        }
        let mean = self.mean.next(value);
        self.missing = self.missing.saturating_sub(1);
        if self.missing == 0 { mean } else { f64::NAN }
    }
}

pub(super) fn dema(n: u32) -> impl Carrying {
    let averages = [Ema::new(n), Ema::new(n)];
    carrying(averages, |averages, bar| {
        let first = averages[0].next(bar.close);
        let second = averages[1].next(first);
        2.0 * first - second
    })
}

pub(super) fn tema(n: u32) -> impl Carrying {
    let averages = [Ema::new(n), Ema::new(n), Ema::new(n)];
    carrying(averages, |averages, bar| {
        let first = averages[0].next(bar.close);
        let second = averages[1].next(first);
        let third = averages[2].next(second);
        3.0 * first - 3.0 * second + third
    })
}

pub(super) fn wma(n: u32) -> impl Carrying {
    carrying(Wma::new(n), |average, bar| average.next(bar.close))
}

pub(super) fn hma(n: u32) -> impl Carrying {
    let averages = [n / 2, n, n.isqrt()].map(Wma::new);
    carrying(averages, |[half, full, smooth], bar| {
        let difference = 2.0 * half.next(bar.close) - full.next(bar.close);
        smooth.next(difference)
    })
}

pub(super) fn vwma(n: u32) -> impl Carrying {
    let sums = [RollingSum::new(n), RollingSum::new(n)];
    carrying(sums, |[value, volume], bar| {
        value.next(bar.close * bar.volume) / volume.next(bar.volume)
    })
}

pub(super) fn macd_histogram(fast: u32, slow: u32, signal: u32) -> impl Carrying {
    let averages = [fast, slow, signal].map(Ema::new);
    carrying(averages, |[fast, slow, signal], bar| {
        let line = fast.next(bar.close) - slow.next(bar.close);
        line - signal.next(line)
    })
}
