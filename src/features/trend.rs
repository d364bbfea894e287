//! True ranges, directional movement, and what follows a trend: Wilder's and their kin.

use super::averages::Ema;
use super::bars::Bar;
use super::indicator::{Carrying, carrying};
use super::window::RollingSum;
use serde::{Deserialize, Serialize};

/// Average true range.
///
/// The true range of a bar needs the close before it. The first average is the plain mean of n
/// true ranges, then (previous * (n - 1) + true range) / n.
#[derive(Serialize, Deserialize)]
pub(super) struct Atr {
    n: f64,
    before: Option<f64>,
    /// Whether the first bar counts, with its plain range.
    counts_first: bool,
    seen: f64,
    value: f64,
}

impl Atr {
    pub(super) fn new(n: u32) -> Atr {
        Atr {
            n: f64::from(n),
            before: None,
            counts_first: false,
            seen: 0.0,
            value: 0.0,
        }
    }

    /// One that counts the range of the first bar, so that it is defined a bar earlier.
    pub(super) fn from_first_bar(n: u32) -> Atr {
        Atr {
            counts_first: true,
            ..Atr::new(n)
        }
    }

    #[inline(always)]
    pub(super) fn next(&mut self, bar: &Bar) -> f64 {
        let range = match self.before.replace(bar.close) {
            Some(before) => bar.true_range(before),
            None if self.counts_first => bar.high - bar.low,
            None => return f64::NAN,
        };
        self.seen += 1.0;
        if self.seen > self.n {
            self.value = (self.value * (self.n - 1.0) + range) / self.n;
            return self.value;
        }
        self.value += range;
        if self.seen == self.n {
            self.value /= self.n;
            return self.value;
        }
        f64::NAN
    }
}

pub(super) fn atr(n: u32) -> impl Carrying {
    carrying(Atr::new(n), Atr::next)
}

pub(super) fn keltner(n: u32, width: f64) -> impl Carrying {
    let parts = (Ema::new(n), Atr::new(n));
    carrying(parts, move |(middle, atr), bar| {
        middle.next(bar.close) + width * atr.next(bar)
    })
}

/// Wilder's directional movement, smoothed: up, down and the true range.
///
/// As in TA-Lib the first n - 1 moves are summed; from bar n on a sum loses its n-th part and
/// gains the new move.
#[derive(Serialize, Deserialize)]
struct Directional {
    n: f64,
    before: Option<Bar>,
    seen: f64,
    sums: [f64; 3],
}

impl Directional {
    fn new(n: u32) -> Directional {
        Directional {
            n: f64::from(n),
            before: None,
            seen: 0.0,
            sums: [0.0; 3],
        }
    }

    /// The directional indicators: 100 times movement over true range.
    #[inline(always)]
    fn next(&mut self, bar: &Bar) -> Option<[f64; 2]> {
        let before = self.before.replace(*bar)?;
        let (up, down) = (bar.high - before.high, before.low - bar.low);
        let moves = [
            if up > 0.0 && up > down { up } else { 0.0 },
            if down > 0.0 && down > up { down } else { 0.0 },
            bar.true_range(before.close),
        ];
        self.seen += 1.0;
        let is_smoothed = self.seen >= self.n;
        for (sum, step) in self.sums.iter_mut().zip(moves) {
            let loss = if is_smoothed { *sum / self.n } else { 0.0 };
            *sum = *sum - loss + step;
        }
        let [up, down, range] = self.sums;
        let part = |movement: f64| {
            if range > 0.0 {
                100.0 * (movement / range)
            } else {
                0.0
            }
        };
        is_smoothed.then_some([part(up), part(down)])
    }
}

pub(super) fn directional_indicator(n: u32, which: usize) -> impl Carrying {
    carrying(Directional::new(n), move |movement, bar| {
        movement.next(bar).map_or(f64::NAN, |found| found[which])
    })
}

pub(super) fn adx(n: u32) -> impl Carrying {
    let state = (Directional::new(n), 0.0, 0.0);
    let n = f64::from(n);
    carrying(state, move |(movement, seen, value), bar| {
        let Some([up, down]) = movement.next(bar) else {
            return f64::NAN;
        };
        let total = up + down;
        let index = if total > 0.0 {
            100.0 * ((up - down).abs() / total)
        } else {
            0.0
        };
        *seen += 1.0;
        if *seen <= n {
            *value += index;
            if *seen == n {
                *value /= n;
            }
        } else {
            *value = (*value * (n - 1.0) + index) / n;
        }
        *value
    })
}

pub(super) fn vortex(n: u32, is_up: bool) -> impl Carrying {
    let state = (RollingSum::new(n), RollingSum::new(n), None::<Bar>);
    carrying(state, move |(movement, ranges, before), bar| {
        let Some(before) = before.replace(*bar) else {
            return f64::NAN;
        };
        let step = if is_up {
            bar.high - before.low
        } else {
            bar.low - before.high
        };
        movement.next(step.abs()) / ranges.next(bar.true_range(before.close))
    })
}

/// The line, and whether it lies below the price.
#[derive(Serialize, Deserialize)]
pub(super) struct Supertrend {
    atr: Atr,
    width: f64,
    upper: f64,
    lower: f64,
    close: f64,
    is_up: bool,
    is_first: bool,
}

impl Supertrend {
    pub(super) fn new(n: u32, width: f64) -> Supertrend {
        Supertrend {
            atr: Atr::from_first_bar(n),
            width,
            upper: f64::NAN,
            lower: f64::NAN,
            close: f64::NAN,
            is_up: false,
            is_first: true,
        }
    }

    #[inline(always)]
    pub(super) fn next(&mut self, bar: &Bar) -> (f64, bool) {
        let had_atr = self.atr.seen >= self.atr.n;
        let atr = self.atr.next(bar);
        let before = std::mem::replace(&mut self.close, bar.close);
        // The bands begin on the bar after the first average, as in talipp.
        if !had_atr {
            return (f64::NAN, false);
        }
        let middle = (bar.high + bar.low) / 2.0;
        let (upper, lower) = (middle + self.width * atr, middle - self.width * atr);
        if self.is_first || upper < self.upper || before > self.upper {
            self.upper = upper;
        }
        if self.is_first || lower > self.lower || before < self.lower {
            self.lower = lower;
        }
        self.is_first = false;
        // Down to begin with; each side holds until the close is strictly beyond its band.
        self.is_up = if self.is_up {
            bar.close >= self.lower
        } else {
            bar.close > self.upper
        };
        (if self.is_up { self.lower } else { self.upper }, self.is_up)
    }
}

pub(super) fn supertrend(n: u32, width: f64) -> impl Carrying {
    carrying(Supertrend::new(n, width), |line, bar| line.next(bar).0)
}

pub(super) fn supertrend_direction(n: u32, width: f64) -> impl Carrying {
    carrying(Supertrend::new(n, width), |line, bar| {
        if line.next(bar).1 { 1.0 } else { -1.0 }
    })
}

/// Wilder's parabolic stop and reverse, with TA-Lib's start.
#[derive(Serialize, Deserialize)]
struct Psar {
    step: f64,
    step_max: f64,
    before: Option<Bar>,
    is_long: bool,
    is_first: bool,
    stop: f64,
    extreme: f64,
    acceleration: f64,
}

impl Psar {
    fn next(&mut self, bar: &Bar) -> f64 {
        let Some(mut before) = self.before.replace(*bar) else {
            return f64::NAN;
        };
        if self.is_first {
            self.is_first = false;
            let (up, down) = (bar.high - before.high, before.low - bar.low);
            self.is_long = !(down > 0.0 && down > up);
            (self.stop, self.extreme) = if self.is_long {
                (before.low, bar.high)
            } else {
                (before.high, bar.low)
            };
            before = *bar;
        }
        let (lows, highs) = (before.low.min(bar.low), before.high.max(bar.high));
        // Both sides alike: the stop stays outside the last two bars.
        let outside = |stop: f64, is_long: bool| {
            if is_long {
                stop.min(lows)
            } else {
                stop.max(highs)
            }
        };
        let is_hit = if self.is_long {
            bar.low <= self.stop
        } else {
            bar.high >= self.stop
        };
        let (value, extreme) = if is_hit {
            self.is_long = !self.is_long;
            self.acceleration = self.step;
            let value = outside(self.extreme, self.is_long);
            let extreme = if self.is_long { bar.high } else { bar.low };
            self.stop = value;
            (value, extreme)
        } else {
            let extreme = if self.is_long {
                self.extreme.max(bar.high)
            } else {
                self.extreme.min(bar.low)
            };
            if extreme != self.extreme {
                self.acceleration = (self.acceleration + self.step).min(self.step_max);
            }
            (self.stop, extreme)
        };
        self.extreme = extreme;
        let moved = self.stop + self.acceleration * (self.extreme - self.stop);
        self.stop = outside(moved, self.is_long);
        value
    }
}

pub(super) fn psar(step: f64, step_max: f64) -> impl Carrying {
    let psar = Psar {
        step,
        step_max,
        before: None,
        is_long: true,
        is_first: true,
        stop: f64::NAN,
        extreme: f64::NAN,
        acceleration: step,
    };
    carrying(psar, Psar::next)
}
