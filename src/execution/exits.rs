//! Exits of an open position: levels of price, and what of a bar reaches them.
//!
//! A level is tested against the whole bar, but for the bar on which an order filled between the
//! open and the close: there against what a position of that bar can have seen ([`Seen`]).

use super::distance::{Amount, Distance, Line, Unit};
use super::scale_out::ScaleOuts;
use crate::kernel::next_outside;
use admf_formats::event::ExitReason;
use serde::{Deserialize, Serialize};

/// What levels are measured from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Anchor {
    /// The close of the bar of the signal.
    SignalClose,
    /// The price of the entry, slippage included.
    Fill,
}

/// Which exit holds where a bar reaches the stop and the target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BothTouched {
    /// The stop, whatever came first: the worst case.
    StopFirst,
    /// The target, unless the bar begins beyond the stop.
    TargetFirst,
}

/// When a direction may be entered again after an exit that no signal asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reentry {
    /// At the next close where the entry's condition holds.
    AtOnce,
    /// Once its condition did not hold at a close.
    AfterReset,
}

/// Exits beside those of the strategy.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ExitRules {
    /// Against the position.
    pub stop_loss: Option<Distance>,
    /// In its favour.
    pub take_profit: Option<Distance>,
    /// Behind the best price of the bars before.
    pub trailing_stop: Option<Distance>,
    /// Where parts are closed.
    pub scale_out: ScaleOuts,
    /// What stop loss, take profit and the levels of parts are measured from.
    pub anchor: Anchor,
    /// What holds where a bar reaches both.
    pub both_touched: BothTouched,
    /// Bars that a position is held at most.
    pub max_bars: Option<Amount>,
    /// Seconds after local midnight from which on a position is closed.
    pub end_of_day: Option<u32>,
    /// What is asked of the next entry in the same direction.
    pub reentry: Reentry,
}

impl ExitRules {
    /// The strategy's own exits alone.
    pub const NONE: ExitRules = ExitRules {
        stop_loss: None,
        take_profit: None,
        trailing_stop: None,
        scale_out: ScaleOuts::NONE,
        anchor: Anchor::SignalClose,
        both_touched: BothTouched::StopFirst,
        max_bars: None,
        end_of_day: None,
        reentry: Reentry::AtOnce,
    };

    /// Whether there is a level of price.
    #[inline]
    pub const fn has_levels(&self) -> bool {
        self.stop_loss.is_some()
            || self.take_profit.is_some()
            || self.trailing_stop.is_some()
            || self.scale_out.count() > 0
    }

    /// Whether a level lies as far away as a feature says at the signal.
    #[inline]
    pub fn follow_features(&self) -> bool {
        [self.stop_loss, self.take_profit, self.trailing_stop]
            .into_iter()
            .flatten()
            .any(|distance| matches!(distance.unit, Unit::Feature(_)))
    }

    /// Whether nothing closes a position but the strategy and the end of the window.
    #[inline]
    pub const fn is_none(&self) -> bool {
        !self.has_levels() && self.max_bars.is_none() && self.end_of_day.is_none()
    }
}

/// What a position sees of a bar.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Seen {
    /// The open, or the price of an entry that was filled later.
    pub start: f64,
    /// Highest price.
    pub high: f64,
    /// Lowest price.
    pub low: f64,
}

/// Levels of an open position; infinite where there is none.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Levels {
    /// Stop loss.
    pub stop: f64,
    /// Take profit.
    pub target: f64,
    /// The trailing stop, from the best price.
    pub trail: Line,
    /// Best price so far: that of the entry and the extremes of completed bars.
    pub best: f64,
}

/// A level that a bar reached.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Hit {
    /// Which one.
    pub reason: ExitReason,
    /// The level.
    pub level: f64,
    /// Price there before slippage: a gap fills at the start of the bar.
    pub price: f64,
}

impl Levels {
    /// Of no position.
    pub const NONE: Levels = Levels {
        stop: f64::NEG_INFINITY,
        target: f64::INFINITY,
        trail: Line::never(-1.0),
        best: 0.0,
    };

    /// The stop that is nearer: the first that prices reach. A trailing stop at the very price of
    /// the stop loss is the stop loss.
    #[inline(always)]
    pub fn stop(&self, is_long: bool) -> (f64, ExitReason) {
        let trail = self.trail.at(self.best);
        let is_nearer = if is_long {
            trail > self.stop
        } else {
            trail < self.stop
        };
        if is_nearer {
            (trail, ExitReason::TrailingStop)
        } else {
            (self.stop, ExitReason::StopLoss)
        }
    }

    /// What of the levels this bar reaches.
    #[inline]
    pub fn hit(&self, is_long: bool, both: BothTouched, seen: Seen) -> Option<Hit> {
        let (stop, reason) = self.stop(is_long);
        let (is_stopped, has_target, starts_beyond) = if is_long {
            (
                seen.low <= stop,
                seen.high >= self.target,
                seen.start <= stop,
            )
        } else {
            (
                seen.high >= stop,
                seen.low <= self.target,
                seen.start >= stop,
            )
        };
        let is_stop =
            is_stopped && !(has_target && both == BothTouched::TargetFirst && !starts_beyond);
        if is_stop {
            let price = if is_long {
                seen.start.min(stop)
            } else {
                seen.start.max(stop)
            };
            return Some(Hit {
                reason,
                level: stop,
                price,
            });
        }
        let target = self.target;
        has_target.then(|| Hit {
            reason: ExitReason::TakeProfit,
            level: target,
            price: if is_long {
                seen.start.max(target)
            } else {
                seen.start.min(target)
            },
        })
    }

    /// The first bar from `from` on that reaches a level under these rules; the number of bars where
    /// there is none. The bars before it have passed.
    #[inline(always)]
    pub fn next_reached(
        &mut self,
        rules: &ExitRules,
        is_long: bool,
        lows: &[f64],
        highs: &[f64],
        from: usize,
    ) -> usize {
        if rules.trailing_stop.is_some() {
            self.next_touch(is_long, lows, highs, from)
        } else if is_long {
            next_outside(lows, highs, from, self.stop, self.target)
        } else {
            next_outside(lows, highs, from, self.target, self.stop)
        }
    }

    /// The first bar from `from` on that reaches a level, bar by bar since the trailing stop moves;
    /// the number of bars where there is none. The bars before it have passed.
    fn next_touch(&mut self, is_long: bool, lows: &[f64], highs: &[f64], from: usize) -> usize {
        let bars = lows[from..].iter().zip(&highs[from..]);
        for (at, (&low, &high)) in bars.enumerate() {
            let (stop, _) = self.stop(is_long);
            let is_reached = if is_long {
                low <= stop || high >= self.target
            } else {
                high >= stop || low <= self.target
            };
            if is_reached {
                return from + at;
            }
            let start = low;
            self.pass(is_long, Seen { start, high, low });
        }
        lows.len()
    }

    /// The bar is over: the trailing stop of the next one may be nearer.
    #[inline(always)]
    pub fn pass(&mut self, is_long: bool, seen: Seen) {
        if is_long {
            self.best = if seen.high > self.best {
                seen.high
            } else {
                self.best
            };
        } else {
            self.best = if seen.low < self.best {
                seen.low
            } else {
                self.best
            };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Levels = Levels {
        stop: 95.0,
        target: 110.0,
        trail: Line {
            scale: 1.0,
            offset: -8.0,
        },
        best: 100.0,
    };

    fn seen(start: f64, high: f64, low: f64) -> Seen {
        Seen { start, high, low }
    }

    /// A bar against the levels, and mirrored at 100 against those of a short position.
    fn check(levels: Levels, both: BothTouched, bar: Seen, expected: Option<(ExitReason, f64)>) {
        let found = levels
            .hit(true, both, bar)
            .map(|hit| (hit.reason, hit.price));
        assert_eq!(found, expected, "{bar:?}");
        let short = Levels {
            stop: 200.0 - levels.stop,
            target: 200.0 - levels.target,
            trail: Line {
                offset: -levels.trail.offset,
                ..levels.trail
            },
            best: 200.0 - levels.best,
        };
        let mirrored = seen(200.0 - bar.start, 200.0 - bar.low, 200.0 - bar.high);
        let found = short
            .hit(false, both, mirrored)
            .map(|hit| (hit.reason, 200.0 - hit.price));
        assert_eq!(found, expected, "{bar:?} mirrored");
    }

    #[test]
    fn a_level_fills_there_and_a_gap_at_the_start_of_the_bar() {
        use BothTouched::StopFirst;
        use ExitReason::{StopLoss, TakeProfit};
        check(LONG, StopFirst, seen(100.0, 109.0, 96.0), None);
        check(
            LONG,
            StopFirst,
            seen(100.0, 101.0, 95.0),
            Some((StopLoss, 95.0)),
        );
        check(
            LONG,
            StopFirst,
            seen(94.0, 96.0, 93.0),
            Some((StopLoss, 94.0)),
        );
        check(
            LONG,
            StopFirst,
            seen(100.0, 110.0, 99.0),
            Some((TakeProfit, 110.0)),
        );
        check(
            LONG,
            StopFirst,
            seen(112.0, 113.0, 111.0),
            Some((TakeProfit, 112.0)),
        );
    }

    #[test]
    fn where_both_are_reached_the_rule_decides_but_never_against_a_gap() {
        use BothTouched::{StopFirst, TargetFirst};
        use ExitReason::{StopLoss, TakeProfit};
        let wide = seen(100.0, 111.0, 94.0);
        check(LONG, StopFirst, wide, Some((StopLoss, 95.0)));
        check(LONG, TargetFirst, wide, Some((TakeProfit, 110.0)));
        // The bar begins beyond the stop: no target was reached before it.
        check(
            LONG,
            TargetFirst,
            seen(94.0, 111.0, 93.0),
            Some((StopLoss, 94.0)),
        );
        // The worst case counts also where the bar begins beyond the target.
        check(
            LONG,
            StopFirst,
            seen(112.0, 113.0, 94.0),
            Some((StopLoss, 95.0)),
        );
    }

    #[test]
    fn a_trailing_stop_follows_the_best_price_of_the_bars_before() {
        let mut levels = LONG;
        levels.pass(true, seen(100.0, 108.0, 99.0));
        assert_eq!(levels.stop(true), (100.0, ExitReason::TrailingStop));
        levels.pass(true, seen(104.0, 105.0, 101.0));
        let expected = Some((ExitReason::TrailingStop, 100.0));
        check(
            levels,
            BothTouched::StopFirst,
            seen(104.0, 104.0, 99.0),
            expected,
        );
        let tie = Levels {
            best: 103.0,
            ..LONG
        };
        assert_eq!(tie.stop(true), (95.0, ExitReason::StopLoss));
    }
}
