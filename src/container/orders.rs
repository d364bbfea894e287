//! Orders, fills and stops of a container.

use super::{BlockView, Container, ContainerRules, Pending, Position, Sink};
use crate::execution::{FillAt, StopHit, Stops};
use admf_formats::event::{
    ExitReason, Fill, Order, OrderRequest, OrderStatus, OrderType, PortfolioUpdate, PositionClose,
    PositionOpen, Reason, Side, Signal, TimeInForce,
};
use admf_formats::units::F64_NULL;

/// Where and when a fill happens.
#[derive(Clone, Copy)]
struct Execution {
    /// Price before slippage.
    reference_price: f64,
    ts_ns: i64,
    /// Bar that the fill carries.
    bar: u32,
    /// First bar whose close sees the new position.
    booked: u64,
    /// Sequence of the order.
    order: u64,
}

/// An order that fills at the next price, or not at all.
const fn market(qty: f64, exit: Option<ExitReason>) -> Order {
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

fn side(sign: f64) -> Side {
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
        _rules: &ContainerRules,
        block: BlockView<'_>,
        bar: u64,
        target: f64,
        sink: &mut S,
    ) {
        let at = (bar - block.bars.first_bar) as usize;
        let (price, ts_ns, bar) = (block.bars.close[at], block.bars.ts_ns[at], bar as u32);
        let held = self
            .position
            .as_ref()
            .map_or(0.0, |position| position.units);
        // The running trade where one is open, the next one otherwise.
        let trade = if held == 0.0 {
            self.trade + 1
        } else {
            self.trade
        };
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
        let request = OrderRequest { price, target };
        let mut order = |this: &mut Container, trade: u32, sign: f64, qty: f64, exit| {
            let code = side(sign) as u8;
            let request = this.tell(sink, ts_ns, bar, trade, signal, (code, 0), &request);
            let order = market(qty, exit);
            this.tell(
                sink,
                ts_ns,
                bar,
                trade,
                request,
                (OrderStatus::Accepted as u8, 0),
                &order,
            )
        };
        let exit_order = if held == 0.0 {
            0
        } else {
            let exit = Some(ExitReason::Signal);
            order(self, self.trade, -held, -held, exit)
        };
        let entry_order = if target == 0.0 {
            0
        } else {
            order(self, self.trade + 1, target, F64_NULL, None)
        };
        self.pending = Some(Pending {
            target,
            close: price,
            ts_ns,
            bar,
            exit_order,
            entry_order,
        });
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
            ts_ns,
            bar: fill_bar,
            booked: bar,
            order: 0,
        };
        // Equity up to here belongs to what was held.
        self.fold_to(block, bar);
        if pending.exit_order != 0 {
            execution.order = pending.exit_order;
            self.close_position(rules, execution, ExitReason::Signal, sink);
        }
        if pending.target != 0.0 {
            execution.order = pending.entry_order;
            self.open_position(rules, execution, pending, sink);
        }
    }

    #[inline]
    fn open_position<S: Sink>(
        &mut self,
        rules: &ContainerRules,
        execution: Execution,
        pending: Pending,
        sink: &mut S,
    ) {
        self.trade += 1;
        let (trade, sign) = (self.trade, pending.target);
        let price = rules.execution.slipped(execution.reference_price, sign);
        let units = match rules
            .portfolio
            .entry_units(self.cash, price, rules.execution.commission)
        {
            Ok(units) => sign * units,
            Err(reason) => {
                self.refuse(execution, OrderStatus::Rejected, reason, sink);
                return;
            }
        };
        let commission = rules.execution.commission.of(units, price);
        self.cash = if rules.portfolio.is_all_in() {
            0.0
        } else {
            self.cash - units * price - commission
        };
        let fill = Fill {
            qty: units,
            price,
            commission,
            reference_price: execution.reference_price,
            units_after: units,
        };
        let (ts, bar, code) = (execution.ts_ns, execution.bar, (side(sign) as u8, 0));
        self.execution.fill(&fill);
        let slippage = units * (price - execution.reference_price);
        let fill = self.tell(sink, ts, bar, trade, execution.order, code, &fill);
        let open = PositionOpen {
            qty: units,
            price,
            commission,
        };
        let open_sequence = self.tell(sink, ts, bar, trade, fill, code, &open);
        self.position = Some(Position {
            units,
            entry_price: price,
            entry_ts_ns: ts,
            entry_bar: bar,
            commission,
            slippage,
            low: price,
            high: price,
            stops: Stops::set(&rules.execution, sign, pending.close),
            open_sequence,
        });
        self.update(execution, units, price, trade, fill, sink);
    }

    /// Closes the position whole: FILL, PORTFOLIO_UPDATE, POSITION_CLOSE last, since it ends the
    /// trade's retention.
    #[inline]
    fn close_position<S: Sink>(
        &mut self,
        rules: &ContainerRules,
        execution: Execution,
        reason: ExitReason,
        sink: &mut S,
    ) {
        let Some(position) = self.position.take() else {
            return;
        };
        let trade = self.trade;
        let sign = -position.units.signum();
        let price = rules.execution.slipped(execution.reference_price, sign);
        let commission = rules.execution.commission.of(position.units, price);
        self.cash += position.units * price - commission;
        let fill = Fill {
            qty: -position.units,
            price,
            commission,
            reference_price: execution.reference_price,
            units_after: 0.0,
        };
        let (ts, bar) = (execution.ts_ns, execution.bar);
        self.execution.fill(&fill);
        let slippage = position.slippage + fill.qty * (price - execution.reference_price);
        let code = (side(sign) as u8, 0);
        let fill = self.tell(sink, ts, bar, trade, execution.order, code, &fill);
        self.update(execution, 0.0, price, trade, fill, sink);
        let commissions = position.commission + commission;
        let (lowest, highest) = (position.low.min(price), position.high.max(price));
        let (worst, best) = if sign < 0.0 {
            (lowest, highest)
        } else {
            (highest, lowest)
        };
        // Both are moves from the entry price as fractions of it, never below zero.
        let excursion = |to: f64| ((to - position.entry_price) / position.entry_price).abs();
        let close = PositionClose {
            entry_ts_ns: position.entry_ts_ns,
            entry_bar: position.entry_bar,
            fills: 2,
            qty: position.units,
            entry_price: position.entry_price,
            exit_price: price,
            pnl: position.units * (price - position.entry_price) - commissions,
            commission: commissions,
            slippage,
            borrow: 0.0,
            mae: excursion(worst),
            mfe: excursion(best),
        };
        self.trades.close(bar, &close);
        self.tell(sink, ts, bar, trade, fill, (reason as u8, 0), &close);
    }

    /// PORTFOLIO_UPDATE: from the booked bar on the container holds this.
    #[inline(always)]
    fn update<S: Sink>(
        &mut self,
        execution: Execution,
        units: f64,
        price: f64,
        trade: u32,
        cause: u64,
        sink: &mut S,
    ) {
        self.equity.change(units, self.cash);
        let update = PortfolioUpdate {
            units,
            cash: self.cash,
            equity: self.cash + units * price,
        };
        self.execution.update(&update);
        let (ts, bar, code) = (
            execution.ts_ns,
            execution.booked as u32,
            (side(units) as u8, 0),
        );
        self.tell(sink, ts, bar, trade, cause, code, &update);
    }

    /// ORDER rejected or expired; its trade never opens.
    fn refuse<S: Sink>(
        &mut self,
        execution: Execution,
        status: OrderStatus,
        reason: Reason,
        sink: &mut S,
    ) {
        let order = market(F64_NULL, None);
        let (ts, bar, code) = (execution.ts_ns, execution.bar, (status as u8, reason as u8));
        self.execution.order(status as u8);
        let trade = self.trade;
        self.tell(sink, ts, bar, trade, execution.order, code, &order);
        sink.end_trade(trade);
    }

    /// Tests the stops of the open position on the bars `from..until`; where one is reached, the
    /// position is closed and the bar returned.
    #[inline]
    pub(super) fn test_stops<S: Sink>(
        &mut self,
        rules: &ContainerRules,
        block: BlockView<'_>,
        from: u64,
        until: u64,
        sink: &mut S,
    ) -> Option<u64> {
        let position = self.position.as_ref()?;
        let stops = position.stops?;
        let position_units = position.units;
        let sign = position_units.signum();
        let bars = block.bars;
        for bar in from..until {
            let at = (bar - bars.first_bar) as usize;
            if let Some((hit, price)) = stops.hit(sign, bars.open[at], bars.high[at], bars.low[at])
            {
                let reason = match hit {
                    StopHit::Loss => ExitReason::StopLoss,
                    StopHit::Profit => ExitReason::TakeProfit,
                };
                self.fold_to(block, bar);
                let order = match hit {
                    StopHit::Loss => Order {
                        stop_price: stops.loss,
                        order_type: OrderType::Stop as u32,
                        ..market(-position_units, Some(reason))
                    },
                    StopHit::Profit => Order {
                        limit_price: stops.profit,
                        order_type: OrderType::Limit as u32,
                        ..market(-position_units, Some(reason))
                    },
                };
                let order = self.exit_order(&order, bars.ts_ns[at], bar as u32, sink);
                let execution = Execution {
                    reference_price: price,
                    ts_ns: bars.ts_ns[at],
                    bar: bar as u32,
                    booked: bar,
                    order,
                };
                self.close_position(rules, execution, reason, sink);
                return Some(bar);
            }
        }
        None
    }

    /// ORDER that no signal asked for: the position's own exit.
    fn exit_order<S: Sink>(&mut self, order: &Order, ts_ns: i64, bar: u32, sink: &mut S) -> u64 {
        let (trade, code) = (self.trade, (OrderStatus::Accepted as u8, 0));
        let cause = self.position.as_ref().map_or(0, |held| held.open_sequence);
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
                let exit = (!opens).then_some(ExitReason::Signal);
                let order = market(F64_NULL, exit);
                let code = (OrderStatus::Expired as u8, Reason::WindowEnd as u8);
                self.execution.order(code.0);
                let trade = self.trade + u32::from(opens);
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
        let held = self.position.as_ref().map(|position| position.units);
        if let (true, Some(units)) = (rules.portfolio.close_at_end, held) {
            let reason = ExitReason::CloseAtEnd;
            self.fold_to(block, last);
            // It is held through the whole of its last bar.
            self.extend_reach(block, at, at + 1);
            execution.order =
                self.exit_order(&market(-units, Some(reason)), ts_ns, last as u32, sink);
            self.close_position(rules, execution, reason, sink);
        }
    }
}
