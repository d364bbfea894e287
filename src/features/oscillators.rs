//! Oscillators: where the close lies, or how far it moved.

use super::averages::Smooth;
use super::indicator::{Carrying, carrying};
use super::shared::Rsi;
use super::window::{Extreme, Ring, RollingSum};
use serde::{Deserialize, Serialize};

/// Place of a value between a low and a high, 0 to 100; 50 where they are one.
#[inline(always)]
fn place(value: f64, low: f64, high: f64) -> f64 {
    if high > low {
        100.0 * (value - low) / (high - low)
    } else {
        50.0
    }
}

/// Place of the close between the extremes of n bars.
#[derive(Serialize, Deserialize)]
struct Stochastic {
    high: Extreme,
    low: Extreme,
    missing: u32,
}

impl Stochastic {
    fn new(n: u32) -> Stochastic {
        Stochastic {
            high: Extreme::highest(n),
            low: Extreme::lowest(n),
            missing: n,
        }
    }

    #[inline(always)]
    fn next(&mut self, high: f64, low: f64, value: f64) -> f64 {
        let (high, low) = (self.high.next(high), self.low.next(low));
        self.missing = self.missing.saturating_sub(1);
        if self.missing > 0 {
            return f64::NAN;
        }
        place(value, low, high)
    }
}

pub(super) fn stochastic_k(n: u32) -> impl Carrying {
    carrying(Stochastic::new(n), |k, bar| {
        k.next(bar.high, bar.low, bar.close)
    })
}

pub(super) fn stochastic_d(n: u32, smooth: u32) -> impl Carrying {
    let state = (Stochastic::new(n), Smooth::new(smooth));
    carrying(state, |(k, d), bar| {
        d.next(k.next(bar.high, bar.low, bar.close))
    })
}

pub(super) fn williams_r(n: u32) -> impl Carrying {
    carrying(Stochastic::new(n), |k, bar| {
        k.next(bar.high, bar.low, bar.close) - 100.0
    })
}

pub(super) fn stochastic_rsi(rsi: u32, n: u32, k: u32, d: Option<u32>) -> impl Carrying {
    let lines = (Rsi::new(rsi), Stochastic::new(n));
    let means = (Smooth::new(k), Smooth::new(d.unwrap_or(1)));
    carrying((lines, means), |((rsi, place), (k, d)), bar| {
        let rsi = rsi.next(bar.close);
        if rsi.is_nan() {
            return f64::NAN;
        }
        d.next(k.next(place.next(rsi, rsi, rsi)))
    })
}

pub(super) fn cci(n: u32) -> impl Carrying {
    let length = f64::from(n);
    let state = (Ring::new(n), RollingSum::new(n));
    carrying(state, move |(prices, sum), bar| {
        let price = bar.typical();
        prices.push(price);
        let mean = sum.next(price) / length;
        if prices.filled() < n as usize {
            return f64::NAN;
        }
        let deviations = prices.values().fold(0.0, |sum, p| sum + (p - mean).abs());
        let distance = price - mean;
        if distance == 0.0 || deviations == 0.0 {
            0.0
        } else {
            distance / (0.015 * (deviations / length))
        }
    })
}

/// The value n bars before; NaN before there is one.
#[derive(Serialize, Deserialize)]
struct Delay(Ring);

impl Delay {
    #[inline(always)]
    fn next(&mut self, value: f64) -> f64 {
        self.0.push(value).unwrap_or(f64::NAN)
    }
}

pub(super) fn momentum(n: u32) -> impl Carrying {
    carrying(Delay(Ring::new(n)), |delay, bar| {
        bar.close - delay.next(bar.close)
    })
}

pub(super) fn roc(n: u32) -> impl Carrying {
    carrying(Delay(Ring::new(n)), |delay, bar| {
        (bar.close / delay.next(bar.close) - 1.0) * 100.0
    })
}

/// Aroon up: how recent the highest high of n + 1 bars is, 100 for this bar, 0 for n bars ago.
pub(super) fn aroon_up(n: u32) -> impl Carrying {
    carrying(Extreme::highest(n + 1), move |high, bar| {
        recency(n, high.next_with_age(bar.high).1)
    })
}

pub(super) fn aroon_down(n: u32) -> impl Carrying {
    carrying(Extreme::lowest(n + 1), move |low, bar| {
        recency(n, low.next_with_age(bar.low).1)
    })
}

pub(super) fn aroon_oscillator(n: u32) -> impl Carrying {
    let state = (Extreme::highest(n + 1), Extreme::lowest(n + 1));
    carrying(state, move |(high, low), bar| {
        let (up, down) = (high.next_with_age(bar.high), low.next_with_age(bar.low));
        recency(n, up.1) - recency(n, down.1)
    })
}

fn recency(n: u32, age: u64) -> f64 {
    100.0 * (f64::from(n) - age as f64) / f64::from(n)
}

/// Williams' ultimate oscillator: buying pressure over true range, weighted 4, 2, 1.
pub(super) fn ultimate(lengths: [u32; 3]) -> impl Carrying {
    let sums = lengths.map(|n| (RollingSum::new(n), RollingSum::new(n)));
    carrying((sums, None), |(sums, before), bar| {
        let Some(before) = before.replace(bar.close) else {
            return f64::NAN;
        };
        let pressure = bar.close - bar.low.min(before);
        let range = bar.true_range(before);
        let parts = sums.each_mut().map(|(pressures, ranges)| {
            let (pressures, ranges) = (pressures.next(pressure), ranges.next(range));
            if ranges > 0.0 {
                pressures / ranges
            } else {
                0.0
            }
        });
        100.0 * (4.0 * parts[0] + 2.0 * parts[1] + parts[2]) / 7.0
    })
}
