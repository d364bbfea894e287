//! Orders of entries: their prices, how long they wait, and what of a bar fills them.
//!
//! An order works from the bar after its signal on. Where a bar begins beyond its price it fills
//! at the open, otherwise at its price. What the position then sees of that bar is the worst that
//! may have happened after the fill, see [`EntryOrder::bar`].

use super::distance::{Amount, Distance};
use super::exits::Seen;
use admf_formats::event::OrderType;
use admf_formats::units::F64_NULL;
use serde::{Deserialize, Serialize};

/// How a position is entered.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Entry {
    /// At the next price there is.
    Market,
    /// At a price better than the close of the signal by this distance, or better.
    Limit(Distance),
    /// Once the price is worse than that close by this distance.
    Stop(Distance),
    /// Likewise, at no price that is worse than the stop price by more than `limit`.
    StopLimit {
        /// From the close of the signal.
        stop: Distance,
        /// From the stop price.
        limit: Distance,
    },
}

/// How long an order of an entry waits.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Waiting {
    /// Until a signal withdraws it.
    UntilCancelled,
    /// On the local day of the bar after its signal.
    Day,
    /// So many bars.
    Bars(Amount),
}

/// The orders of entries.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct EntryRules {
    /// Type and prices.
    pub order: Entry,
    /// Time in force.
    pub time_in_force: Waiting,
}

impl EntryRules {
    /// At the next price, always.
    pub const MARKET: EntryRules = EntryRules {
        order: Entry::Market,
        time_in_force: Waiting::UntilCancelled,
    };
}

/// A working order of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct EntryOrder {
    /// Whether it buys.
    pub is_buy: bool,
    /// Limit price; null for none.
    pub limit: f64,
    /// Stop price; null for none, or once it was reached.
    pub stop: f64,
}

/// What a bar does to a working order.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Outcome {
    /// Nothing.
    Works,
    /// The stop price of a stop-limit order was reached, its limit not.
    Triggered,
    /// It fills.
    Fills {
        /// Whether it was a stop-limit order until then.
        triggers: bool,
        /// The start is the price before slippage; the rest is what the position sees of the bar.
        seen: Seen,
    },
}

impl EntryOrder {
    /// The type it has at the moment.
    pub const fn order_type(&self) -> OrderType {
        match (self.limit.is_nan(), self.stop.is_nan()) {
            (true, true) => OrderType::Market,
            (false, true) => OrderType::Limit,
            (true, false) => OrderType::Stop,
            (false, false) => OrderType::StopLimit,
        }
    }

    /// Prices that it waits for: a bar with a low at or below the first, or a high at or above the
    /// second, changes it. No other does.
    #[inline]
    pub const fn waits_for(&self) -> (f64, f64) {
        // A stop comes from the other side than a limit.
        let (price, is_from_above) = if self.stop.is_nan() {
            (self.limit, self.is_buy)
        } else {
            (self.stop, !self.is_buy)
        };
        if is_from_above {
            (price, f64::INFINITY)
        } else {
            (f64::NEG_INFINITY, price)
        }
    }

    /// What a bar does to it.
    ///
    /// Where it fills at the open the position sees the whole bar. A limit reached later was come
    /// to from the better side: of that side the position surely sees the close only. A stop
    /// reached later was come to from the worse side, which may or may not have come before: it
    /// counts.
    pub fn bar(&self, open: f64, high: f64, low: f64, close: f64) -> Outcome {
        let whole = Seen {
            start: open,
            high,
            low,
        };
        let is_buy = self.is_buy;
        // Whether the first price is as bad for the order as the second, or worse.
        let is_at = |price: f64, than: f64| if is_buy { price >= than } else { price <= than };
        let reaches_stop = is_at(if is_buy { high } else { low }, self.stop);
        let reaches_limit = is_at(self.limit, if is_buy { low } else { high });
        let later_at_limit = Seen {
            start: self.limit,
            high: if is_buy { close.max(self.limit) } else { high },
            low: if is_buy { low } else { close.min(self.limit) },
        };
        let at_limit = |triggers: bool| {
            let seen = if is_at(self.limit, open) {
                whole
            } else {
                later_at_limit
            };
            Outcome::Fills { triggers, seen }
        };
        if self.stop.is_nan() {
            return if reaches_limit {
                at_limit(false)
            } else {
                Outcome::Works
            };
        }
        if !reaches_stop {
            return Outcome::Works;
        }
        let begins_beyond = is_at(open, self.stop);
        let has_limit = !self.limit.is_nan();
        if has_limit && begins_beyond {
            return if reaches_limit {
                at_limit(true)
            } else {
                Outcome::Triggered
            };
        }
        Outcome::Fills {
            triggers: has_limit,
            seen: if begins_beyond {
                whole
            } else {
                Seen {
                    start: self.stop,
                    high,
                    low,
                }
            },
        }
    }

    /// A price after slippage, no worse than the limit.
    #[inline(always)]
    pub fn within_limit(is_buy: bool, price: f64, limit: f64) -> f64 {
        // A null limit leaves the price as it is.
        if is_buy {
            price.min(limit)
        } else {
            price.max(limit)
        }
    }

    /// The same order once its stop price was reached.
    #[must_use]
    pub const fn triggered(self) -> EntryOrder {
        EntryOrder {
            stop: F64_NULL,
            ..self
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NULL: f64 = F64_NULL;

    /// A buy with these prices against a bar, and the sell that mirrors it at 100.
    fn check(limit: f64, stop: f64, [open, high, low, close]: [f64; 4], expected: Outcome) {
        let buy = EntryOrder {
            is_buy: true,
            limit,
            stop,
        };
        assert_eq!(buy.bar(open, high, low, close), expected);
        let mirror = |price: f64| 200.0 - price;
        let sell = EntryOrder {
            is_buy: false,
            limit: mirror(limit),
            stop: mirror(stop),
        };
        let expected = match expected {
            Outcome::Fills { triggers, seen } => Outcome::Fills {
                triggers,
                seen: Seen {
                    start: mirror(seen.start),
                    high: mirror(seen.low),
                    low: mirror(seen.high),
                },
            },
            other => other,
        };
        let found = sell.bar(mirror(open), mirror(low), mirror(high), mirror(close));
        assert_eq!(found, expected, "mirrored");
        for (order, low, high) in [(buy, low, high), (sell, mirror(high), mirror(low))] {
            let (below, above) = order.waits_for();
            assert_eq!(low <= below || high >= above, expected != Outcome::Works);
        }
    }

    fn fills(triggers: bool, start: f64, high: f64, low: f64) -> Outcome {
        Outcome::Fills {
            triggers,
            seen: Seen { start, high, low },
        }
    }

    #[test]
    fn a_limit_fills_there_or_at_a_better_open() {
        check(98.0, NULL, [100.0, 101.0, 98.5, 99.0], Outcome::Works);
        // The high came before the fill; the close after it.
        check(
            98.0,
            NULL,
            [100.0, 103.0, 97.0, 99.0],
            fills(false, 98.0, 99.0, 97.0),
        );
        check(
            98.0,
            NULL,
            [100.0, 103.0, 97.0, 97.5],
            fills(false, 98.0, 98.0, 97.0),
        );
        check(
            98.0,
            NULL,
            [97.0, 103.0, 96.0, 99.0],
            fills(false, 97.0, 103.0, 96.0),
        );
    }

    #[test]
    fn a_stop_fills_there_or_at_a_worse_open() {
        check(NULL, 102.0, [100.0, 101.0, 98.5, 99.0], Outcome::Works);
        check(
            NULL,
            102.0,
            [100.0, 103.0, 97.0, 99.0],
            fills(false, 102.0, 103.0, 97.0),
        );
        check(
            NULL,
            102.0,
            [104.0, 105.0, 101.0, 103.0],
            fills(false, 104.0, 105.0, 101.0),
        );
    }

    #[test]
    fn a_stop_limit_fills_at_no_price_beyond_its_limit() {
        let (limit, stop) = (103.0, 102.0);
        check(limit, stop, [100.0, 101.0, 98.5, 99.0], Outcome::Works);
        check(
            limit,
            stop,
            [100.0, 105.0, 98.0, 101.0],
            fills(true, 102.0, 105.0, 98.0),
        );
        check(
            limit,
            stop,
            [102.5, 105.0, 101.0, 101.0],
            fills(true, 102.5, 105.0, 101.0),
        );
        check(
            limit,
            stop,
            [104.0, 105.0, 103.5, 104.0],
            Outcome::Triggered,
        );
        check(
            limit,
            stop,
            [104.0, 105.0, 101.0, 102.0],
            fills(true, 103.0, 103.0, 101.0),
        );
        let order = EntryOrder {
            is_buy: true,
            limit,
            stop,
        };
        assert_eq!(order.order_type(), OrderType::StopLimit);
        assert_eq!(order.triggered().order_type(), OrderType::Limit);
    }

    #[test]
    fn slippage_never_passes_a_limit() {
        assert_eq!(EntryOrder::within_limit(true, 99.0, 98.0), 98.0);
        assert_eq!(EntryOrder::within_limit(false, 97.0, 98.0), 98.0);
        assert_eq!(EntryOrder::within_limit(true, 99.0, NULL), 99.0);
    }
}
