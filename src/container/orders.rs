//! Orders, fills and stops of a container.

use super::{BlockView, Container, ContainerRules, Pending, Position, Sink};
use crate::execution::{FillAt, StopHit, Stops};
use admf_formats::event::{
    ExitReason, Fill, Order, OrderRequest, OrderStatus, PortfolioUpdate, PositionClose,
    PositionOpen, Reason, Side, Signal,
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
    /// Sequence of the order; 0 where a stop or the end of the window executes without one.
    order: u64,
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
        let mut order = |this: &mut Container, trade: u32, sign: f64, qty: f64| {
            let code = side(sign) as u8;
            let request = this.tell(sink, ts_ns, bar, trade, signal, (code, 0), &request);
            let order = Order {
                qty,
                limit_price: F64_NULL,
                stop_price: F64_NULL,
            };
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
            order(self, self.trade, -held, -held)
        };
        let entry_order = if target == 0.0 {
            0
        } else {
            order(self, self.trade + 1, target, F64_NULL)
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
        let cause = if execution.order == 0 {
            position.open_sequence
        } else {
            execution.order
        };
        let fill = self.tell(sink, ts, bar, trade, cause, (side(sign) as u8, 0), &fill);
        self.update(execution, 0.0, price, trade, fill, sink);
        let commissions = position.commission + commission;
        let close = PositionClose {
            entry_ts_ns: position.entry_ts_ns,
            entry_bar: position.entry_bar,
            fills: 2,
            qty: position.units,
            entry_price: position.entry_price,
            exit_price: price,
            pnl: position.units * (price - position.entry_price) - commissions,
            commission: commissions,
        };
        self.trades.close(&close);
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
        let order = Order {
            qty: F64_NULL,
            limit_price: F64_NULL,
            stop_price: F64_NULL,
        };
        let (ts, bar, code) = (execution.ts_ns, execution.bar, (status as u8, reason as u8));
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
        let sign = position.units.signum();
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
                let execution = Execution {
                    reference_price: price,
                    ts_ns: bars.ts_ns[at],
                    bar: bar as u32,
                    booked: bar,
                    order: 0,
                };
                self.close_position(rules, execution, reason, sink);
                return Some(bar);
            }
        }
        None
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
                let order = Order {
                    qty: F64_NULL,
                    limit_price: F64_NULL,
                    stop_price: F64_NULL,
                };
                let code = (OrderStatus::Expired as u8, Reason::WindowEnd as u8);
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
        if rules.portfolio.close_at_end && self.position.is_some() {
            self.fold_to(block, last);
            execution.order = 0;
            self.close_position(rules, execution, ExitReason::Finalize, sink);
        }
    }
}
