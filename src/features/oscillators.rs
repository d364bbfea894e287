//! Oscillators: where the close lies, or how far it moved.

use super::averages::Smooth;
use super::bars::Bar;
use super::shared::Rsi;
use super::window::{Extreme, Ring, RollingSum};

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

pub(super) fn stochastic_k(n: u32) -> impl FnMut(&Bar) -> f64 {
    let mut k = Stochastic::new(n);
    move |bar| k.next(bar.high, bar.low, bar.close)
}

pub(super) fn stochastic_d(n: u32, smooth: u32) -> impl FnMut(&Bar) -> f64 {
    let (mut k, mut d) = (Stochastic::new(n), Smooth::new(smooth));
    move |bar| d.next(k.next(bar.high, bar.low, bar.close))
}

pub(super) fn williams_r(n: u32) -> impl FnMut(&Bar) -> f64 {
    let mut k = Stochastic::new(n);
    move |bar| k.next(bar.high, bar.low, bar.close) - 100.0
}

pub(super) fn stochastic_rsi(rsi: u32, n: u32, k: u32, d: Option<u32>) -> impl FnMut(&Bar) -> f64 {
    let (mut rsi, mut place) = (Rsi::new(rsi), Stochastic::new(n));
    let (mut k, mut d) = (Smooth::new(k), Smooth::new(d.unwrap_or(1)));
    move |bar| {
        let rsi = rsi.next(bar.close);
        if rsi.is_nan() {
            return f64::NAN;
        }
        d.next(k.next(place.next(rsi, rsi, rsi)))
    }
}

pub(super) fn cci(n: u32) -> impl FnMut(&Bar) -> f64 {
    let (mut prices, mut sum) = (Ring::new(n), RollingSum::new(n));
    let length = f64::from(n);
    move |bar| {
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
    }
}

/// The value n bars before; NaN before there is one.
struct Delay(Ring);

impl Delay {
    #[inline(always)]
    fn next(&mut self, value: f64) -> f64 {
        self.0.push(value).unwrap_or(f64::NAN)
    }
}

pub(super) fn momentum(n: u32) -> impl FnMut(&Bar) -> f64 {
    let mut delay = Delay(Ring::new(n));
    move |bar| bar.close - delay.next(bar.close)
}

pub(super) fn roc(n: u32) -> impl FnMut(&Bar) -> f64 {
    let mut delay = Delay(Ring::new(n));
    move |bar| (bar.close / delay.next(bar.close) - 1.0) * 100.0
}

/// Aroon up: how recent the highest high of n + 1 bars is, 100 for this bar, 0 for n bars ago.
pub(super) fn aroon_up(n: u32) -> impl FnMut(&Bar) -> f64 {
    let mut high = Extreme::highest(n + 1);
    move |bar| recency(n, high.next_with_age(bar.high).1)
}

pub(super) fn aroon_down(n: u32) -> impl FnMut(&Bar) -> f64 {
    let mut low = Extreme::lowest(n + 1);
    move |bar| recency(n, low.next_with_age(bar.low).1)
}

pub(super) fn aroon_oscillator(n: u32) -> impl FnMut(&Bar) -> f64 {
    let (mut up, mut down) = (aroon_up(n), aroon_down(n));
    move |bar| up(bar) - down(bar)
}

fn recency(n: u32, age: u64) -> f64 {
    100.0 * (f64::from(n) - age as f64) / f64::from(n)
}

/// Williams' ultimate oscillator: buying pressure over true range, weighted 4, 2, 1.
pub(super) fn ultimate(lengths: [u32; 3]) -> impl FnMut(&Bar) -> f64 {
    let mut sums = lengths.map(|n| (RollingSum::new(n), RollingSum::new(n)));
    let mut before = None;
    move |bar| {
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
    }
}
