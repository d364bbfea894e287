//! Exits of a container: levels of price tested on every bar, and the clock.
//!
//! A level works from the bar on which the position begins, that bar counted. The bars between are
//! not touched one by one: the next that reaches a level is searched for, see
//! [`crate::kernel::next_outside`].

use super::orders::{Execution, market};
use super::{BlockView, Container, ContainerRules, Pending, Sink};
use crate::execution::{Anchor, BothTouched, Hit, Levels, Line, Reentry, Seen};
use admf_formats::event::{ExitReason, Order, OrderType};
use admf_formats::units::F64_NULL;
use serde::{Deserialize, Serialize};

/// Exits of an entry that is on its way, as they are known at its signal.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) struct Plan {
    /// Close of the bar of the signal.
    pub(super) close: f64,
    stop: Line,
    target: Line,
    trail: Line,
    /// Whether every price was defined at that bar.
    pub(super) is_known: bool,
}

impl Plan {
    pub(super) const NONE: Plan = Plan {
        close: 0.0,
        stop: Line::never(-1.0),
        target: Line::never(1.0),
        trail: Line::never(-1.0),
        is_known: true,
    };

    /// Levels of the planned position if it is entered at this price; `None` where one is not known.
    #[inline(always)]
    pub(super) fn levels(&self, anchor: Anchor, price: f64) -> Option<Levels> {
        let anchor = match anchor {
            Anchor::SignalClose => self.close,
            Anchor::Fill => price,
        };
        self.is_known.then(|| Levels {
            stop: self.stop.at(anchor),
            target: self.target.at(anchor),
            trail: self.trail,
            best: price,
        })
    }
}

impl Execution {
    /// Of the exit at this level, during the bar at this offset. Its order is not known yet.
    #[inline(always)]
    pub(super) fn at_level(hit: &Hit, block: BlockView<'_>, at: usize) -> Execution {
        let bar = block.bars.first_bar + at as u64;
        Execution {
            reference_price: hit.price,
            limit: if hit.reason == ExitReason::TakeProfit {
                hit.level
            } else {
                F64_NULL
            },
            ts_ns: block.bars.ts_ns[at],
            bar: bar as u32,
            booked: bar,
            order: 0,
        }
    }
}

impl Container {
    /// The exits of an entry of this sign that is decided on the close at offset `at`.
    pub(super) fn plan_exits(
        &self,
        rules: &ContainerRules,
        block: BlockView<'_>,
        at: usize,
        sign: f64,
    ) -> Plan {
        let feature = |number: u8| self.rule_feature(block, at, number);
        let line = |distance: Option<crate::execution::Distance>, away: f64| match distance {
            Some(distance) => distance.line(away, &self.parameters, feature),
            None => Line::never(away),
        };
        let (stop, target, trail) = (
            line(rules.exits.stop_loss, -sign),
            line(rules.exits.take_profit, sign),
            line(rules.exits.trailing_stop, -sign),
        );
        Plan {
            close: block.bars.close[at],
            stop,
            target,
            trail,
            is_known: stop.is_known() && target.is_known() && trail.is_known(),
        }
    }

    /// A position with these levels is held from bar `booked` on.
    pub(super) fn begin_exits(&mut self, rules: &ContainerRules, levels: Levels, booked: u64) {
        let bars = rules.exits.max_bars.map(|bars| bars.of(&self.parameters));
        self.managed.levels = levels;
        self.managed.booked = booked;
        self.managed.anchor = match rules.exits.anchor {
            Anchor::SignalClose => self.managed.plan.close,
            Anchor::Fill => levels.best,
        };
        self.managed.scaled = 0;
        self.managed.last_close = bars.map_or(u64::MAX, |bars| booked + bars as u64 - 1);
    }

    /// Tests the levels of the open position on the bars `from..until`, and closes parts of it at
    /// those of `scale_out`; where it is closed whole, the bar is returned.
    pub(super) fn test_levels<S: Sink>(
        &mut self,
        rules: &ContainerRules,
        block: BlockView<'_>,
        from: u64,
        until: u64,
        sink: &mut S,
    ) -> Option<u64> {
        let is_long = self.position.as_ref()?.units > 0.0;
        if !rules.exits.has_levels() {
            return None;
        }
        let bars = block.bars;
        let (mut first, end) = (
            (from - bars.first_bar) as usize,
            (until - bars.first_bar) as usize,
        );
        let scales = rules.exits.scale_out.count() > 0;
        let (at, is_scaled) = loop {
            // Up to the bar that reaches the next level of a part, that bar counted.
            let scaled = if scales {
                self.next_scaled(rules, is_long, &bars.low[..end], &bars.high[..end], first)
            } else {
                end
            };
            let until = (scaled + 1).min(end);
            let (lows, highs) = (&bars.low[..until], &bars.high[..until]);
            let levels = &mut self.managed.levels;
            let at = levels.next_reached(&rules.exits, is_long, lows, highs, first);
            if at < until {
                break (at, at == scaled);
            }
            if scaled == end {
                return None;
            }
            self.scale_out(rules, block, scaled, sink);
            first = scaled + 1;
        };
        let levels = &self.managed.levels;
        let hit = levels.hit(is_long, rules.exits.both_touched, block.seen(at));
        let hit = hit.expect("the search stops at bars that reach a level");
        let bar = bars.first_bar + at as u64;
        let targets_first = rules.exits.both_touched == BothTouched::TargetFirst;
        let begins_beyond = hit.price == bars.open[at];
        if is_scaled && (hit.reason == ExitReason::TakeProfit || targets_first && !begins_beyond) {
            self.scale_out(rules, block, at, sink);
        }
        self.leave_at(rules, block, bar, hit, sink);
        Some(bar)
    }

    /// The levels against what the position saw of the bar on which a waiting order filled.
    pub(super) fn test_first_bar<S: Sink>(
        &mut self,
        rules: &ContainerRules,
        block: BlockView<'_>,
        bar: u64,
        seen: Seen,
        sink: &mut S,
    ) {
        let Some(position) = &self.position else {
            return;
        };
        let is_long = position.units > 0.0;
        match (self.managed.levels).hit(is_long, rules.exits.both_touched, seen) {
            Some(hit) => self.leave_at(rules, block, bar, hit, sink),
            None => self.managed.levels.pass(is_long, seen),
        }
    }

    /// Closes the position at a level.
    fn leave_at<S: Sink>(
        &mut self,
        rules: &ContainerRules,
        block: BlockView<'_>,
        bar: u64,
        hit: Hit,
        sink: &mut S,
    ) {
        let Some(position) = &self.position else {
            return;
        };
        let units = position.units;
        self.fold_to(block, bar);
        let at = (bar - block.bars.first_bar) as usize;
        let mut execution = Execution::at_level(&hit, block, at);
        let plain = market(-units, Some(hit.reason));
        let order = if hit.reason == ExitReason::TakeProfit {
            Order {
                limit_price: hit.level,
                order_type: OrderType::Limit as u32,
                ..plain
            }
        } else {
            Order {
                stop_price: hit.level,
                order_type: OrderType::Stop as u32,
                ..plain
            }
        };
        execution.order = self.exit_order(&order, execution.ts_ns, execution.bar, sink);
        self.close_position(rules, execution, hit.reason, sink);
        self.block_reentry(rules, units);
    }

    /// The order that closes the position, on the close of `bar`, without a signal.
    pub(super) fn place_exit<S: Sink>(
        &mut self,
        block: BlockView<'_>,
        bar: u64,
        reason: ExitReason,
        sink: &mut S,
    ) {
        let Some(position) = &self.position else {
            return;
        };
        let order = market(-position.units, Some(reason));
        let at = (bar - block.bars.first_bar) as usize;
        let (close, ts_ns, bar) = (block.bars.close[at], block.bars.ts_ns[at], bar as u32);
        let exit_order = self.exit_order(&order, ts_ns, bar, sink);
        self.pending = Some(Pending {
            target: 0.0,
            close,
            ts_ns,
            bar,
            exit_order,
            exit_reason: reason,
            entry_order: 0,
            measure: f64::NAN,
        });
    }

    /// An exit that no signal asked for closed a position of so many units.
    pub(super) fn block_reentry(&mut self, rules: &ContainerRules, units: f64) {
        if rules.exits.reentry == Reentry::AfterReset {
            self.managed.blocked[usize::from(units < 0.0)] = true;
        }
    }
}
