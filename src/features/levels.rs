//! Price levels: extremes, swings, lines through them, pivots.

use super::bars::Bar;
use super::window::{Extreme, Ring};

/// Whether a level is made of highs or of lows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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
pub(super) fn extreme(side: Side, n: u32) -> impl FnMut(&Bar) -> f64 {
    let mut extreme = side.extreme(n);
    move |bar| extreme.next(side.price(bar))
}

/// Extreme of the n bars before this one.
pub(super) fn donchian(side: Side, n: u32) -> impl FnMut(&Bar) -> f64 {
    let mut extreme = side.extreme(n);
    move |bar| {
        let before = extreme.current();
        extreme.next(side.price(bar));
        before
    }
}

/// Middle between both extremes of the n bars before this one.
pub(super) fn donchian_middle(n: u32) -> impl FnMut(&Bar) -> f64 {
    let (mut high, mut low) = (donchian(Side::High, n), donchian(Side::Low, n));
    move |bar| (high(bar) + low(bar)) / 2.0
}

/// Middle between the highest high and the lowest low of n bars.
fn midrange(n: u32) -> impl FnMut(&Bar) -> f64 {
    let (mut high, mut low) = (Extreme::highest(n), Extreme::lowest(n));
    move |bar| (high.next(bar.high) + low.next(bar.low)) / 2.0
}

pub(super) fn ichimoku_line(n: u32) -> impl FnMut(&Bar) -> f64 {
    midrange(n)
}

pub(super) fn ichimoku_span_a(conversion: u32, base: u32, shift: u32) -> impl FnMut(&Bar) -> f64 {
    let (mut conversion, mut base) = (midrange(conversion), midrange(base));
    let mut delay = Ring::new(shift);
    move |bar| {
        let value = (conversion(bar) + base(bar)) / 2.0;
        delay.push(value).unwrap_or(f64::NAN)
    }
}

pub(super) fn ichimoku_span_b(n: u32, shift: u32) -> impl FnMut(&Bar) -> f64 {
    let (mut line, mut delay) = (midrange(n), Ring::new(shift));
    move |bar| delay.push(line(bar)).unwrap_or(f64::NAN)
}

pub(super) fn fibonacci(n: u32, ratio: f64) -> impl FnMut(&Bar) -> f64 {
    let (mut high, mut low) = (Extreme::highest(n), Extreme::lowest(n));
    move |bar| {
        let (high, low) = (high.next(bar.high), low.next(bar.low));
        high - ratio * (high - low)
    }
}

/// Support or resistance: the extreme of the n bars before, where enough of them came near it.
pub(super) fn touched(side: Side, n: u32, touches: u32, tolerance: f64) -> impl FnMut(&Bar) -> f64 {
    let (mut extreme, mut prices) = (side.extreme(n), Ring::new(n));
    move |bar| {
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
    }
}

/// Swings: a bar whose high (low) is strictly beyond those of k bars before and k bars after it;
/// known k bars later.
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

pub(super) fn swing(side: Side, k: u32) -> impl FnMut(&Bar) -> f64 {
    let (mut swings, mut last) = (Swings::new(side, k), f64::NAN);
    move |bar| {
        if let Some((_, price)) = swings.next(bar) {
            last = price;
        }
        last
    }
}

/// The line through the last two swings, at this bar.
pub(super) fn trendline(side: Side, k: u32) -> impl FnMut(&Bar) -> f64 {
    let mut swings = Swings::new(side, k);
    let mut last: [Option<(u64, f64)>; 2] = [None; 2];
    move |bar| {
        if let Some(found) = swings.next(bar) {
            last = [last[1], Some(found)];
        }
        let [Some((x1, y1)), Some((x2, y2))] = last else {
            return f64::NAN;
        };
        let now = swings.seen - 1;
        y2 + (y2 - y1) / (x2 - x1) as f64 * (now - x2) as f64
    }
}

/// Floor traders' pivots of the UTC day before: 0 the pivot, 1 to 3 resistances, -1 to -3 supports.
pub(super) fn pivot(level: i32) -> impl FnMut(&Bar) -> f64 {
    let mut day: Option<(i64, [f64; 3])> = None;
    let mut value = f64::NAN;
    move |bar| {
        day = match day {
            Some((number, [high, low, _])) if number == bar.day() => {
                Some((number, [high.max(bar.high), low.min(bar.low), bar.close]))
            }
            finished => {
                if let Some((_, [high, low, close])) = finished {
                    let pivot = (high + low + close) / 3.0;
                    value = match level {
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
        value
    }
}
