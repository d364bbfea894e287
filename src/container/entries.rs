//! Entries that wait: limit, stop and stop-limit orders of a container.
//!
//! At most one works at a time, while the container is flat. A contrary signal takes its place; a
//! further signal in its own direction leaves it as it is.

use super::orders::{Execution, market};
use super::{BlockView, Container, ContainerRules, Pending, Sink};
use crate::execution::{Distance, Entry, EntryOrder, Outcome, Seen, Waiting};
use crate::kernel::next_outside;
use admf_formats::event::{Order, OrderStatus, Reason, TimeInForce};
use admf_formats::units::F64_NULL;
use serde::{Deserialize, Serialize};

/// An order that works.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) struct Working {
    pub(super) order: EntryOrder,
    /// What it fills, `entry_order` its sequence.
    pub(super) pending: Pending,
    /// The bar after its signal.
    pub(super) first: u64,
    /// The last bar that it waits for.
    pub(super) last: u64,
}

impl Container {
    /// The order of an entry of this sign on the close at offset `at`, and the exits of what it
    /// opens; `None` for a market order, and where a price is not known: such an order is refused
    /// when it would fill.
    pub(super) fn plan_entry(
        &mut self,
        rules: &ContainerRules,
        block: BlockView<'_>,
        at: usize,
        sign: f64,
    ) -> Option<EntryOrder> {
        let mut plan = self.plan_exits(rules, block, at, sign);
        let feature = |number: u8| self.rule_feature(block, at, number);
        let price = |distance: Distance, sign: f64, from: f64| {
            distance.line(sign, &self.parameters, feature).at(from)
        };
        let (limit, stop) = match rules.execution.entry.order {
            Entry::Market => (None, None),
            Entry::Limit(distance) => (Some(price(distance, -sign, plan.close)), None),
            Entry::Stop(distance) => (None, Some(price(distance, sign, plan.close))),
            Entry::StopLimit { stop, limit } => {
                let stop = price(stop, sign, plan.close);
                (Some(price(limit, sign, stop)), Some(stop))
            }
        };
        let is_known = |price: Option<f64>| price.is_none_or(|price| !price.is_nan());
        plan.is_known &= is_known(limit) && is_known(stop);
        self.managed.plan = plan;
        let waits = plan.is_known && (limit.is_some() || stop.is_some());
        waits.then(|| EntryOrder {
            is_buy: sign > 0.0,
            limit: limit.unwrap_or(F64_NULL),
            stop: stop.unwrap_or(F64_NULL),
        })
    }

    /// The order as its events have it.
    pub(super) fn entry_payload(&self, rules: &ContainerRules, order: EntryOrder) -> Order {
        let (time_in_force, bars) = match rules.execution.entry.time_in_force {
            Waiting::UntilCancelled => (TimeInForce::GoodTillCancelled, 0.0),
            Waiting::Day => (TimeInForce::Day, 0.0),
            Waiting::Bars(bars) => (TimeInForce::Bars, bars.of(&self.parameters)),
        };
        Order {
            limit_price: order.limit,
            stop_price: order.stop,
            order_type: order.order_type() as u32,
            time_in_force: time_in_force as u32,
            valid_bars: bars as u32,
            ..market(F64_NULL, None)
        }
    }

    /// The order that was accepted on the close of `bar` works from the next one on.
    pub(super) fn start_working(
        &mut self,
        rules: &ContainerRules,
        order: EntryOrder,
        pending: Pending,
        bar: u64,
    ) {
        let last = match rules.execution.entry.time_in_force {
            Waiting::Bars(bars) => bar + bars.of(&self.parameters) as u64,
            Waiting::UntilCancelled | Waiting::Day => u64::MAX,
        };
        self.managed.working = Some(Working {
            order,
            pending,
            first: bar + 1,
            last,
        });
    }

    /// What the bars `from..until` do to the working order; the bar on which it fills, or of a day on
    /// which it works no more.
    pub(super) fn work<S: Sink>(
        &mut self,
        rules: &ContainerRules,
        block: BlockView<'_>,
        from: u64,
        until: u64,
        sink: &mut S,
    ) -> Option<u64> {
        let bars = block.bars;
        let over = self.day_is_over(rules, block, from, until);
        let (mut first, end) = (
            (from - bars.first_bar) as usize,
            (over.unwrap_or(until) - bars.first_bar) as usize,
        );
        let (lows, highs) = (&bars.low[..end], &bars.high[..end]);
        loop {
            let working = self.managed.working?;
            let (below, above) = working.order.waits_for();
            let at = next_outside(lows, highs, first, below, above);
            if at == end {
                let bar = over?;
                let at = (bars.ts_ns[at], bar as u32);
                let why = (OrderStatus::Expired, Reason::TimeInForce);
                self.end_working(rules, at, why, sink);
                return Some(bar);
            }
            let bar = bars.first_bar + at as u64;
            match (working.order).bar(bars.open[at], highs[at], lows[at], bars.close[at]) {
                Outcome::Works => unreachable!("the search stops at bars that change the order"),
                Outcome::Triggered => {
                    self.trigger(rules, block, bar, sink);
                    first = at + 1;
                }
                Outcome::Fills { triggers, seen } => {
                    if triggers {
                        self.trigger(rules, block, bar, sink);
                    }
                    self.fill_working(rules, block, bar, seen, sink);
                    return Some(bar);
                }
            }
        }
    }

    /// The first bar in `from..until` of another day than the first that the order worked on, where
    /// it works for a day.
    fn day_is_over(
        &self,
        rules: &ContainerRules,
        block: BlockView<'_>,
        from: u64,
        until: u64,
    ) -> Option<u64> {
        let working = self.managed.working.as_ref()?;
        if rules.execution.entry.time_in_force != Waiting::Day {
            return None;
        }
        self.next_day(block, from.max(working.first + 1), until)
    }

    /// ORDER triggered: the stop price is reached.
    fn trigger<S: Sink>(
        &mut self,
        rules: &ContainerRules,
        block: BlockView<'_>,
        bar: u64,
        sink: &mut S,
    ) {
        let Some(mut working) = self.managed.working else {
            return;
        };
        let payload = self.entry_payload(rules, working.order);
        working.order = working.order.triggered();
        let ts_ns = block.bars.ts_ns[(bar - block.bars.first_bar) as usize];
        let (trade, code) = (self.trade + 1, (OrderStatus::Triggered as u8, 0));
        let cause = working.pending.entry_order;
        working.pending.entry_order =
            self.tell(sink, ts_ns, bar as u32, trade, cause, code, &payload);
        self.managed.working = Some(working);
    }

    fn fill_working<S: Sink>(
        &mut self,
        rules: &ContainerRules,
        block: BlockView<'_>,
        bar: u64,
        seen: Seen,
        sink: &mut S,
    ) {
        let Some(working) = self.managed.working.take() else {
            return;
        };
        self.fold_to(block, bar);
        let execution = Execution {
            reference_price: seen.start,
            limit: working.order.limit,
            ts_ns: block.bars.ts_ns[(bar - block.bars.first_bar) as usize],
            bar: bar as u32,
            booked: bar,
            order: working.pending.entry_order,
        };
        let payload = self.entry_payload(rules, working.order);
        self.open_position(rules, execution, &working.pending, &payload, sink);
        self.test_first_bar(rules, block, bar, seen, sink);
    }

    /// ORDER cancelled or expired; its trade never opens.
    pub(super) fn end_working<S: Sink>(
        &mut self,
        rules: &ContainerRules,
        (ts_ns, bar): (i64, u32),
        (status, reason): (OrderStatus, Reason),
        sink: &mut S,
    ) {
        let Some(working) = self.managed.working.take() else {
            return;
        };
        self.trade += 1;
        let payload = self.entry_payload(rules, working.order);
        let cause = working.pending.entry_order;
        let (trade, code) = (self.trade, (status as u8, reason as u8));
        self.books.execution.order(code.0);
        self.tell(sink, ts_ns, bar, trade, cause, code, &payload);
        sink.end_trade(trade);
    }
}
