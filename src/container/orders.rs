//! Orders and fills of a container.

use super::{BlockView, Container, ContainerRules, Pending, Sink};
use crate::execution::FillAt;
use admf_formats::event::{
    ExitReason, Order, OrderRequest, OrderStatus, OrderType, Reason, Side, Signal, TimeInForce,
};
use admf_formats::units::F64_NULL;

/// Where and when a fill happens.
#[derive(Clone, Copy)]
pub(super) struct Execution {
    /// Price before slippage.
    pub(super) reference_price: f64,
    /// No price is worse; null for none.
    pub(super) limit: f64,
    pub(super) ts_ns: i64,
    /// Bar that the fill carries.
    pub(super) bar: u32,
    /// First bar whose close sees the new position.
    pub(super) booked: u64,
    /// Sequence of the order.
    pub(super) order: u64,
}

/// An order that fills at the next price, or not at all.
pub(super) const fn market(qty: f64, exit: Option<ExitReason>) -> Order {
    Order {
        qty,
        limit_price: F64_NULL,
        stop_price: F64_NULL,
        order_type: OrderType::Market as u32,
        time_in_force: TimeInForce::GoodTillCancelled as u32,
        valid_bars: 0,
        exit_reason: match exit {
            Some(reason) => reason as u32,
            None => 0,
        },
    }
}

pub(super) fn side(sign: f64) -> Side {
    if sign > 0.0 {
        Side::Long
    } else if sign < 0.0 {
        Side::Short
    } else {
        Side::Flat
    }
}

impl Container {
    /// SIGNAL, ORDER_REQUEST and ORDER on the close of `bar`; a reversal has two orders.
    #[inline]
    pub(super) fn place<S: Sink>(
        &mut self,
        rules: &ContainerRules,
        block: BlockView<'_>,
        bar: u64,
        target: f64,
        sink: &mut S,
    ) {
        let at = (bar - block.bars.first_bar) as usize;
        let (price, ts_ns) = (block.bars.close[at], block.bars.ts_ns[at]);
        let (decided, bar) = (bar, bar as u32);
        let held = self.position.as_ref();
        let (held, running) = held.map_or((0.0, 0), |held| (held.units, held.trade));
        // An entry on the side that is held adds to the running trade.
        let adds = held * target > 0.0;
        // The running trade where one is open, the next one otherwise.
        let trade = if held == 0.0 { self.trade + 1 } else { running };
        let cause = self.features_sequence;
        let signal = Signal {
            price,
            strength: 1.0,
        };
        let signal = self.tell(
            sink,
            ts_ns,
            bar,
            trade,
            cause,
            (side(target) as u8, 0),
            &signal,
        );
        if self.managed.is_some() {
            let why = (OrderStatus::Cancelled, Reason::Superseded);
            self.end_working(rules, (ts_ns, bar), why, sink);
        }
        let request = OrderRequest { price, target };
        let mut accepted = |this: &mut Container, trade: u32, sign: f64, order: &Order| {
            let code = side(sign) as u8;
            let request = this.tell(sink, ts_ns, bar, trade, signal, (code, 0), &request);
            let code = (OrderStatus::Accepted as u8, 0);
            this.tell(sink, ts_ns, bar, trade, request, code, order)
        };
        let exit_order = if held == 0.0 || adds {
            0
        } else {
            let exit = market(-held, Some(ExitReason::Signal));
            accepted(self, running, -held, &exit)
        };
        let mut pending = Pending {
            target,
            close: price,
            ts_ns,
            bar,
            exit_order,
            exit_reason: ExitReason::Signal,
            entry_order: 0,
            measure: block.measure_at(at, rules),
        };
        if target != 0.0 {
            // What adds to a position leaves its exits where they are.
            let waits = if self.managed.is_some() && !adds {
                self.plan_entry(rules, block, at, target)
            } else {
                None
            };
            let order = waits.map_or(market(F64_NULL, None), |order| {
                self.entry_payload(rules, order)
            });
            let trade = if adds { running } else { self.trade + 1 };
            pending.entry_order = accepted(self, trade, target, &order);
            if let Some(order) = waits {
                self.start_working(rules, order, pending, decided);
                (pending.entry_order, pending.target) = (0, 0.0);
            }
        }
        self.pending = (exit_order != 0 || pending.target != 0.0).then_some(pending);
    }

    /// Fills what is pending, during `bar`.
    #[inline]
    pub(super) fn fill<S: Sink>(
        &mut self,
        rules: &ContainerRules,
        block: BlockView<'_>,
        bar: u64,
        sink: &mut S,
    ) {
        let Some(pending) = self.pending.take() else {
            return;
        };
        let at = (bar - block.bars.first_bar) as usize;
        let (reference_price, ts_ns, fill_bar) = match rules.execution.fill {
            FillAt::NextOpen => (block.bars.open[at], block.bars.ts_ns[at], bar as u32),
            FillAt::SameClose => (pending.close, pending.ts_ns, pending.bar),
        };
        let mut execution = Execution {
            reference_price,
            limit: F64_NULL,
            ts_ns,
            bar: fill_bar,
            booked: bar,
            order: 0,
        };
        // Equity up to here belongs to what was held. An order that adds may be rejected: then what
        // is held goes on, and its span is not cut.
        if pending.exit_order != 0 || self.position.is_none() {
            self.fold_to(block, bar);
        }
        if pending.exit_order != 0 {
            execution.order = pending.exit_order;
            let units = self.position.as_ref().map_or(0.0, |held| held.units);
            self.close_position(rules, execution, pending.exit_reason, sink);
            if pending.exit_reason == ExitReason::TimeStop {
                self.block_reentry(rules, units);
            }
        }
        if pending.target != 0.0 {
            execution.order = pending.entry_order;
            if self.position.is_none() {
                self.open_position(rules, execution, &pending, &market(F64_NULL, None), sink);
            } else {
                self.add_to_position(rules, block, execution, pending, sink);
            }
        }
    }

    /// ORDER that no signal asked for: the position's own exit.
    pub(super) fn exit_order<S: Sink>(
        &mut self,
        order: &Order,
        ts_ns: i64,
        bar: u32,
        sink: &mut S,
    ) -> u64 {
        let code = (OrderStatus::Accepted as u8, 0);
        let held = self.position.as_ref();
        let (trade, cause) = held.map_or((0, 0), |held| (held.trade, held.open_sequence));
        self.tell(sink, ts_ns, bar, trade, cause, code, order)
    }

    /// The last bar of the window: what is still pending expires, and the position is closed at
    /// the last close where the rules say so.
    pub(super) fn finish<S: Sink>(
        &mut self,
        rules: &ContainerRules,
        block: BlockView<'_>,
        end: u64,
        sink: &mut S,
    ) {
        let last = end - 1;
        let at = (last - block.bars.first_bar) as usize;
        let (price, ts_ns) = (block.bars.close[at], block.bars.ts_ns[at]);
        let mut execution = Execution {
            reference_price: price,
            limit: F64_NULL,
            ts_ns,
            bar: last as u32,
            booked: last,
            order: 0,
        };
        if let Some(pending) = self.pending.take() {
            for (order, opens) in [(pending.exit_order, false), (pending.entry_order, true)] {
                if order == 0 {
                    continue;
                }
                execution.order = order;
                let exit = (!opens).then_some(pending.exit_reason);
                let order = market(F64_NULL, exit);
                let code = (OrderStatus::Expired as u8, Reason::WindowEnd as u8);
                self.books.execution.order(code.0);
                let running = self.position.as_ref().map(|held| held.trade);
                // An entry without an exit adds to the position where one is held.
                let adds = opens && pending.exit_order == 0 && running.is_some();
                let opens = opens && !adds;
                let trade = if opens {
                    self.trade + 1
                } else {
                    running.unwrap_or(self.trade)
                };
                self.tell(
                    sink,
                    ts_ns,
                    last as u32,
                    trade,
                    execution.order,
                    code,
                    &order,
                );
                if opens {
                    sink.end_trade(trade);
                }
            }
        }
        if self.managed.is_some()
            && let Some(working) = self.managed.working.take()
        {
            let payload = self.entry_payload(rules, working.order);
            let code = (OrderStatus::Expired as u8, Reason::WindowEnd as u8);
            self.books.execution.order(code.0);
            let (trade, cause) = (self.trade + 1, working.pending.entry_order);
            self.tell(sink, ts_ns, last as u32, trade, cause, code, &payload);
            sink.end_trade(trade);
        }
        let held = self.position.as_ref().map(|position| position.units);
        if let (true, Some(units)) = (rules.portfolio.close_at_end, held) {
            let reason = ExitReason::CloseAtEnd;
            self.fold_to(block, last);
            // It is held through the whole of its last bar.
            let range = block.figures.range(at, at);
            if let Some(position) = &mut self.position {
                position.see(&range);
            }
            execution.order =
                self.exit_order(&market(-units, Some(reason)), ts_ns, last as u32, sink);
            self.close_position(rules, execution, reason, sink);
        }
    }
}
