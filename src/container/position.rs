//! The position of a container: opened, added to, reduced, closed, and what holding it costs.
//!
//! A position is one trade from its first fill to its last, however many come between; POSITION_CLOSE
//! carries all of it. What a trade came to is the sum over its fills less borrow fees.

use super::orders::{Execution, market, side};
use super::{BlockView, Container, ContainerRules, Pending, Sink};
use crate::execution::EntryOrder;
use crate::kernel::{greater, lesser};
use crate::metrics::Range;
use crate::portfolio::Breaches;
use admf_formats::event::{
    Accrual, ExitReason, Fill, Order, OrderStatus, PortfolioUpdate, PositionClose, PositionOpen,
    PositionUpdate, Reason, RiskBreach, Side,
};
use admf_formats::units::F64_NULL;
use serde::{Deserialize, Serialize};

/// A position that is held.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) struct Position {
    /// Units held, signed.
    pub(super) units: f64,
    /// Average entry price of the units held.
    pub(super) entry_price: f64,
    pub(super) entry_ts_ns: i64,
    pub(super) entry_bar: u32,
    /// Its trade.
    pub(super) trade: u32,
    /// Entries so far.
    pub(super) entries: u32,
    /// Fills so far.
    pub(super) fills: u32,
    pub(super) commission: f64,
    pub(super) slippage: f64,
    pub(super) borrow: f64,
    /// Units and value of all entries, signed like the units.
    pub(super) entry_units: f64,
    pub(super) entry_value: f64,
    /// Value of all partial exits, signed like the units.
    pub(super) exit_value: f64,
    /// Profit or loss of the partial exits before costs. Negative zero adds nothing to any number,
    /// not even to another negative zero, so that trades without partial exits keep their bits.
    pub(super) realized: f64,
    /// Lowest low and highest high of the bars held so far, the entry price counted.
    pub(super) low: f64,
    pub(super) high: f64,
    pub(super) open_sequence: u64,
}

impl Position {
    /// It was held while these bars closed.
    #[inline(always)]
    pub(super) fn see(&mut self, range: &Range) {
        self.low = lesser(self.low, range.low);
        self.high = greater(self.high, range.high);
    }
}

/// What an exit came to, for its events.
pub(super) struct Closed {
    pub(super) trade: u32,
    pub(super) fill: Fill,
    pub(super) update: PortfolioUpdate,
    pub(super) close: PositionClose,
}

impl Container {
    /// RISK_BREACH for every limit that made an entry smaller.
    fn tell_breaches<S: Sink>(
        &mut self,
        breaches: &Breaches,
        execution: &Execution,
        trade: u32,
        sink: &mut S,
    ) {
        for breach in breaches.iter().flatten() {
            let code = (breach.rule as u8, Reason::RiskLimit as u8);
            let payload = RiskBreach {
                limit: breach.limit,
                value: breach.value,
            };
            self.books.execution.breach();
            let (ts, bar) = (execution.ts_ns, execution.bar);
            self.tell(sink, ts, bar, trade, execution.order, code, &payload);
        }
    }

    /// Opens a position, a trade of its own, or has its `order` rejected.
    #[inline]
    pub(super) fn open_position<S: Sink>(
        &mut self,
        rules: &ContainerRules,
        execution: Execution,
        pending: &Pending,
        order: &Order,
        sink: &mut S,
    ) {
        self.trade += 1;
        let (trade, sign) = (self.trade, pending.target);
        let reference_price = execution.reference_price;
        let price = rules.execution.price_cost.worsen(reference_price, sign);
        let price = EntryOrder::within_limit(sign > 0.0, price, execution.limit);
        let exits = if self.managed.is_some() {
            self.managed.plan.levels(rules.exits.anchor, price)
        } else {
            None
        };
        let units = if self.managed.is_some() && exits.is_none() {
            Err(Reason::LevelUnknown)
        } else if self.is_all_in() {
            self.books.all_in_units(rules.execution.commission, price)
        } else {
            let stop = exits.map_or(f64::NAN, |levels| levels.stop(sign > 0.0).0);
            let measure = pending.measure;
            let entry = self.books.entry(rules, 0.0, sign, measure, stop, price);
            self.tell_breaches(&entry.breaches, &execution, trade, sink);
            entry.units
        };
        let units = match units {
            Ok(units) => sign * units,
            Err(reason) => {
                self.refuse(execution, trade, order, reason, sink);
                sink.end_trade(trade);
                return;
            }
        };
        self.enter(rules, &execution, units, price);
        if let Some(levels) = exits {
            self.begin_exits(rules, levels, execution.booked);
        }
        self.tell_opened(execution, sink);
    }

    /// Takes the position that an entry of `units`, signed, at `price` opens: everything but its
    /// events, of which FILL comes next.
    #[inline(always)]
    pub(super) fn enter(
        &mut self,
        rules: &ContainerRules,
        execution: &Execution,
        units: f64,
        price: f64,
    ) {
        let of = (self.trade, self.sequence + 2);
        let position = self
            .books
            .opened(rules.execution.costs(), execution, of, units, price);
        self.position = Some(position);
    }

    /// FILL, POSITION_OPEN and PORTFOLIO_UPDATE of the entry that the position has had.
    #[inline(always)]
    pub(super) fn tell_opened<S: Sink>(&mut self, execution: Execution, sink: &mut S) {
        let Some(position) = &self.position else {
            return;
        };
        let (trade, units, price) = (position.trade, position.units, position.entry_price);
        let commission = position.commission;
        let fill = Fill {
            qty: units,
            price,
            commission,
            reference_price: execution.reference_price,
            units_after: units,
        };
        let open = PositionOpen {
            qty: units,
            price,
            commission,
        };
        let update = self.books.held(units, price);
        let (ts, bar, code) = (execution.ts_ns, execution.bar, (side(units) as u8, 0));
        let fill = self.tell(sink, ts, bar, trade, execution.order, code, &fill);
        self.tell(sink, ts, bar, trade, fill, code, &open);
        self.tell_update(execution, &update, trade, fill, sink);
    }

    /// Adds one more entry to the position: FILL, POSITION_UPDATE, PORTFOLIO_UPDATE. Its stops stay
    /// where they are.
    #[cold]
    pub(super) fn add_to_position<S: Sink>(
        &mut self,
        rules: &ContainerRules,
        block: BlockView<'_>,
        execution: Execution,
        pending: Pending,
        sink: &mut S,
    ) {
        let Some(mut position) = self.position else {
            return;
        };
        let (trade, sign) = (position.trade, pending.target);
        let reference_price = execution.reference_price;
        let price = rules.execution.price_cost.worsen(reference_price, sign);
        let stop = if self.managed.is_some() {
            self.managed.levels.stop(sign > 0.0).0
        } else {
            f64::NAN
        };
        let (held, measure) = (position.units, pending.measure);
        let entry = self.books.entry(rules, held, sign, measure, stop, price);
        self.tell_breaches(&entry.breaches, &execution, trade, sink);
        let added = match entry.units {
            Ok(units) => sign * units,
            Err(reason) => {
                self.refuse(execution, trade, &market(F64_NULL, None), reason, sink);
                return;
            }
        };
        self.fold_to(block, execution.booked);
        let commission = rules.execution.commission.of(added, price);
        self.books.cash = self.books.cash - added * price - commission;
        let held = position.units + added;
        position.entry_price = (position.units * position.entry_price + added * price) / held;
        position.units = held;
        position.entries += 1;
        position.fills += 1;
        position.commission += commission;
        position.slippage += added * (price - reference_price);
        position.entry_units += added;
        position.entry_value += added * price;
        position.low = lesser(position.low, price);
        position.high = greater(position.high, price);
        self.position = Some(position);
        let fill = Fill {
            qty: added,
            price,
            commission,
            reference_price,
            units_after: held,
        };
        self.books.execution.fill(&fill);
        let (ts, bar, code) = (execution.ts_ns, execution.bar, (side(sign) as u8, 0));
        let fill = self.tell(sink, ts, bar, trade, execution.order, code, &fill);
        let update = PositionUpdate {
            units: held,
            average_price: position.entry_price,
            realized_pnl: -commission,
        };
        self.tell(sink, ts, bar, trade, fill, code, &update);
        self.update(execution, held, price, trade, fill, sink);
    }

    /// Closes `closed` of the units held, signed like them and fewer: FILL, POSITION_UPDATE,
    /// PORTFOLIO_UPDATE. Equity up to the bar of the execution is folded already.
    pub(super) fn reduce_position<S: Sink>(
        &mut self,
        rules: &ContainerRules,
        execution: Execution,
        closed: f64,
        reason: ExitReason,
        sink: &mut S,
    ) {
        let Some(mut position) = self.position else {
            return;
        };
        let trade = position.trade;
        let sign = -position.units.signum();
        let reference_price = execution.reference_price;
        let price = rules.execution.price_cost.worsen(reference_price, sign);
        let price = EntryOrder::within_limit(sign > 0.0, price, execution.limit);
        let commission = rules.execution.commission.of(closed, price);
        self.books.cash += closed * price - commission;
        let gain = closed * (price - position.entry_price);
        let fill = Fill {
            qty: -closed,
            price,
            commission,
            reference_price,
            units_after: position.units - closed,
        };
        position.units = fill.units_after;
        position.fills += 1;
        position.commission += commission;
        position.slippage += fill.qty * (price - reference_price);
        position.exit_value += closed * price;
        position.realized += gain;
        position.low = lesser(position.low, price);
        position.high = greater(position.high, price);
        self.position = Some(position);
        self.books.execution.fill(&fill);
        let (ts, bar, code) = (execution.ts_ns, execution.bar, side(sign) as u8);
        let held = position.units;
        let fill = self.tell(sink, ts, bar, trade, execution.order, (code, 0), &fill);
        let update = PositionUpdate {
            units: held,
            average_price: position.entry_price,
            realized_pnl: gain - commission,
        };
        let code = (side(held) as u8, reason as u8);
        self.tell(sink, ts, bar, trade, fill, code, &update);
        self.update(execution, held, price, trade, fill, sink);
    }

    /// Closes the position whole: FILL, PORTFOLIO_UPDATE, POSITION_CLOSE last, since it ends the
    /// trade's retention.
    #[inline]
    pub(super) fn close_position<S: Sink>(
        &mut self,
        rules: &ContainerRules,
        execution: Execution,
        reason: ExitReason,
        sink: &mut S,
    ) {
        let Some(Closed {
            trade,
            fill,
            update,
            close,
        }) = self.leave(rules, &execution)
        else {
            return;
        };
        let (ts, bar, code) = (execution.ts_ns, execution.bar, (side(fill.qty) as u8, 0));
        let fill = self.tell(sink, ts, bar, trade, execution.order, code, &fill);
        self.tell_update(execution, &update, trade, fill, sink);
        self.tell(sink, ts, bar, trade, fill, (reason as u8, 0), &close);
    }

    /// Gives the position up whole: everything but the events.
    #[inline(always)]
    pub(super) fn leave(
        &mut self,
        rules: &ContainerRules,
        execution: &Execution,
    ) -> Option<Closed> {
        let position = self.position?;
        self.position = None;
        Some(
            self.books
                .closed(rules.execution.costs(), execution, &position),
        )
    }

    /// The borrow fee of `days` nights for the short position: ACCRUAL, PORTFOLIO_UPDATE. Equity up
    /// to the bar of the execution is folded already; its reference price is the close before.
    pub(super) fn accrue<S: Sink>(
        &mut self,
        rules: &ContainerRules,
        execution: Execution,
        days: f64,
        sink: &mut S,
    ) {
        let (Some(borrow), Some(position)) = (rules.execution.borrow, &mut self.position) else {
            return;
        };
        let (price, units) = (execution.reference_price, position.units);
        let amount = borrow.fee(units, price, days);
        position.borrow += amount;
        let (trade, opened) = (position.trade, position.open_sequence);
        self.books.cash -= amount;
        let accrual = Accrual {
            amount,
            units,
            price,
            days,
        };
        self.books.execution.accrual(&accrual);
        let (ts, bar) = (execution.ts_ns, execution.bar);
        let code = (Side::Flat as u8, 0);
        let accrual = self.tell(sink, ts, bar, trade, opened, code, &accrual);
        self.update(execution, units, price, trade, accrual, sink);
    }

    #[inline(always)]
    fn tell_update<S: Sink>(
        &mut self,
        execution: Execution,
        update: &PortfolioUpdate,
        trade: u32,
        cause: u64,
        sink: &mut S,
    ) {
        let (ts, bar) = (execution.ts_ns, execution.booked as u32);
        let code = (side(update.units) as u8, 0);
        self.tell(sink, ts, bar, trade, cause, code, update);
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
        let update = self.books.hold(units, price);
        self.tell_update(execution, &update, trade, cause, sink);
    }

    /// ORDER of an entry that is rejected.
    pub(super) fn refuse<S: Sink>(
        &mut self,
        execution: Execution,
        trade: u32,
        order: &Order,
        reason: Reason,
        sink: &mut S,
    ) {
        let status = OrderStatus::Rejected as u8;
        let (ts, bar, code) = (execution.ts_ns, execution.bar, (status, reason as u8));
        self.books.execution.order(status);
        self.tell(sink, ts, bar, trade, execution.order, code, order);
    }
}
