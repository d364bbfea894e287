//! Price levels: extremes, swings, lines through them, pivots.

use super::bars::Bar;
use super::indicator::{Carrying, carrying};
use super::window::{Extreme, Ring};
use serde::{Deserialize, Serialize};

/// Whether a level is made of highs or of lows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Side {
    High,
    Low,
}

impl Side {
    fn price(self, bar: &Bar) -> f64 {
        match self {
            Side::High => bar.high,
            Side::Low => bar.low,
        }
    }

    fn extreme(self, n: u32) -> Extreme {
        match self {
            Side::High => Extreme::highest(n),
            Side::Low => Extreme::lowest(n),
        }
    }

    /// Whether `a` lies further out than `b`; false where either is NaN.
    fn beyond(self, a: f64, b: f64) -> bool {
        match self {
            Side::High => a > b,
            Side::Low => a < b,
        }
    }
}

/// Extreme of the last n bars, this one among them.
pub(super) fn extreme(side: Side, n: u32) -> impl Carrying {
    carrying(side.extreme(n), move |extreme, bar| {
        extreme.next(side.price(bar))
    })
}

/// The extreme so far, before this price counts.
#[inline(always)]
fn before(extreme: &mut Extreme, price: f64) -> f64 {
    let before = extreme.current();
    extreme.next(price);
    before
}

/// Extreme of the n bars before this one.
pub(super) fn donchian(side: Side, n: u32) -> impl Carrying {
    carrying(side.extreme(n), move |extreme, bar| {
        before(extreme, side.price(bar))
    })
}

/// Highest and lowest of n values.
fn both(n: u32) -> (Extreme, Extreme) {
    (Extreme::highest(n), Extreme::lowest(n))
}

/// Middle between both extremes of the n bars before this one.
pub(super) fn donchian_middle(n: u32) -> impl Carrying {
    carrying(both(n), |(high, low), bar| {
        (before(high, bar.high) + before(low, bar.low)) / 2.0
    })
}

/// Middle between the highest high and the lowest low.
#[inline(always)]
fn middle((high, low): &mut (Extreme, Extreme), bar: &Bar) -> f64 {
    (high.next(bar.high) + low.next(bar.low)) / 2.0
}

pub(super) fn ichimoku_line(n: u32) -> impl Carrying {
    carrying(both(n), middle)
}

pub(super) fn ichimoku_span_a(conversion: u32, base: u32, shift: u32) -> impl Carrying {
    let state = (both(conversion), both(base), Ring::new(shift));
    carrying(state, |(conversion, base, delay), bar| {
        let value = (middle(conversion, bar) + middle(base, bar)) / 2.0;
        delay.push(value).unwrap_or(f64::NAN)
    })
}

pub(super) fn ichimoku_span_b(n: u32, shift: u32) -> impl Carrying {
    carrying((both(n), Ring::new(shift)), |(line, delay), bar| {
        delay.push(middle(line, bar)).unwrap_or(f64::NAN)
    })
}

pub(super) fn fibonacci(n: u32, ratio: f64) -> impl Carrying {
    carrying(both(n), move |(high, low), bar| {
        let (high, low) = (high.next(bar.high), low.next(bar.low));
        high - ratio * (high - low)
    })
}

/// Support or resistance: the extreme of the n bars before, where enough of them came near it.
pub(super) fn touched(side: Side, n: u32, touches: u32, tolerance: f64) -> impl Carrying {
    let state = (side.extreme(n), Ring::new(n));
    carrying(state, move |(extreme, prices), bar| {
        let level = extreme.current();
        let inside = match side {
            Side::High => level * (1.0 - tolerance),
            Side::Low => level * (1.0 + tolerance),
        };
        let near = prices.values().filter(|p| !side.beyond(inside, *p));
        let found = near.count() >= touches as usize;
        extreme.next(side.price(bar));
        prices.push(side.price(bar));
        if found { level } else { f64::NAN }
    })
}

/// Swings: a bar whose high (low) is strictly beyond those of k bars before and k bars after it;
/// known k bars later.
#[derive(Serialize, Deserialize)]
struct Swings {
    side: Side,
    k: u32,
    /// Extreme of the last k prices, now and k + 1 bars ago; the price k bars ago.
    recent: Extreme,
    older: Ring,
    middle: Ring,
    seen: u64,
}

impl Swings {
    fn new(side: Side, k: u32) -> Swings {
        Swings {
            side,
            k,
            recent: side.extreme(k),
            older: Ring::new(k + 1),
            middle: Ring::new(k),
            seen: 0,
        }
    }

    /// The swing that this bar confirms: its number among the bars, its price.
    #[inline(always)]
    fn next(&mut self, bar: &Bar) -> Option<(u64, f64)> {
        let price = self.side.price(bar);
        let recent = self.recent.next(price);
        let older = self.older.push(recent);
        let middle = self.middle.push(price);
        self.seen += 1;
        let (older, middle) = (older?, middle?);
        let is_full = self.seen > 2 * u64::from(self.k);
        let is_swing =
            is_full && self.side.beyond(middle, recent) && self.side.beyond(middle, older);
        is_swing.then_some((self.seen - 1 - u64::from(self.k), middle))
    }
}

pub(super) fn swing(side: Side, k: u32) -> impl Carrying {
    carrying((Swings::new(side, k), f64::NAN), |(swings, last), bar| {
        if let Some((_, price)) = swings.next(bar) {
            *last = price;
        }
        *last
    })
}

/// The line through the last two swings, at this bar.
pub(super) fn trendline(side: Side, k: u32) -> impl Carrying {
    let state = (Swings::new(side, k), [None::<(u64, f64)>; 2]);
    carrying(state, |(swings, last), bar| {
        if let Some(found) = swings.next(bar) {
            *last = [last[1], Some(found)];
        }
        let [Some((x1, y1)), Some((x2, y2))] = *last else {
            return f64::NAN;
        };
        let now = swings.seen - 1;
        y2 + (y2 - y1) / (x2 - x1) as f64 * (now - x2) as f64
    })
}

/// Floor traders' pivots of the UTC day before: 0 the pivot, 1 to 3 resistances, -1 to -3 supports.
pub(super) fn pivot(level: i32) -> impl Carrying {
    let state = (None::<(i64, [f64; 3])>, f64::NAN);
    carrying(state, move |(day, value), bar| {
        *day = match *day {
            Some((number, [high, low, _])) if number == bar.day() => {
                Some((number, [high.max(bar.high), low.min(bar.low), bar.close]))
            }
            finished => {
                if let Some((_, [high, low, close])) = finished {
                    let pivot = (high + low + close) / 3.0;
                    *value = match level {
                        3 => high + 2.0 * (pivot - low),
                        2 => pivot + (high - low),
                        1 => 2.0 * pivot - low,
                        -1 => 2.0 * pivot - high,
                        -2 => pivot - (high - low),
                        -3 => low - 2.0 * (high - pivot),
                        _ => pivot,
                    };
                }
                Some((bar.day(), [bar.high, bar.low, bar.close]))
            }
        };
        *value
    })
}
