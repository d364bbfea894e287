//! Partial exits of a container: a part of the position is closed at each level that prices reach.
//!
//! Levels work from the bar on which the position begins; where a waiting order opened it, from the
//! next one. A bar that reaches a stop as well closes all of the position and no part, unless
//! targets come first.

use super::orders::{Execution, market};
use super::{BlockView, Container, ContainerRules, Sink};
use crate::kernel::next_outside;
use admf_formats::event::{ExitReason, Order, OrderType};

impl Container {
    /// Price of the next level and the part that it closes.
    fn next_scale_out(&self, rules: &ContainerRules, is_long: bool) -> Option<(f64, f64)> {
        let next = rules.exits.scale_out.get(self.managed.scaled)?;
        let sign = if is_long { 1.0 } else { -1.0 };
        let price = self.managed.anchor * (1.0 + sign * next.distance);
        Some((price, next.part))
    }

    /// The first bar from offset `from` on that reaches the next level; the number of bars where
    /// there is none.
    pub(super) fn next_scaled(
        &self,
        rules: &ContainerRules,
        is_long: bool,
        lows: &[f64],
        highs: &[f64],
        from: usize,
    ) -> usize {
        let (never_low, never_high) = (f64::NEG_INFINITY, f64::INFINITY);
        match self.next_scale_out(rules, is_long) {
            Some((price, _)) if is_long => next_outside(lows, highs, from, never_low, price),
            Some((price, _)) => next_outside(lows, highs, from, price, never_high),
            None => lows.len(),
        }
    }

    /// Closes the parts of every level that the bar at offset `at` reaches: ORDER and what
    /// [`Container::reduce_position`] tells, each.
    pub(super) fn scale_out<S: Sink>(
        &mut self,
        rules: &ContainerRules,
        block: BlockView<'_>,
        at: usize,
        sink: &mut S,
    ) {
        let bars = block.bars;
        let (open, high, low) = (bars.open[at], bars.high[at], bars.low[at]);
        let bar = bars.first_bar + at as u64;
        while let Some(held) = self.position.as_ref().map(|position| position.units) {
            let is_long = held > 0.0;
            let Some((level, part)) = self.next_scale_out(rules, is_long) else {
                return;
            };
            let is_reached = if is_long { high >= level } else { low <= level };
            if !is_reached {
                return;
            }
            self.managed.scaled += 1;
            let mut units = held * part;
            if rules.portfolio.whole_units {
                units = units.trunc();
            }
            if units == 0.0 {
                // Less than one whole unit: there is nothing to close at this level.
                continue;
            }
            // Only where something is told: a span is cut where its record is.
            self.fold_to(block, bar);
            let order = Order {
                limit_price: level,
                order_type: OrderType::Limit as u32,
                ..market(-units, Some(ExitReason::TakeProfit))
            };
            let order = self.exit_order(&order, bars.ts_ns[at], bar as u32, sink);
            let execution = Execution {
                // A gap fills at the open.
                reference_price: if is_long {
                    open.max(level)
                } else {
                    open.min(level)
                },
                limit: level,
                ts_ns: bars.ts_ns[at],
                bar: bar as u32,
                booked: bar,
                order,
            };
            self.reduce_position(rules, execution, units, ExitReason::TakeProfit, sink);
        }
    }
}
