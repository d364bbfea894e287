//! The position of a container: opened, added to, reduced, closed, and what holding it costs.
//!
//! A position is one trade from its first fill to its last, however many come between; POSITION_CLOSE
//! carries all of it. What a trade came to is the sum over its fills less borrow fees.

use super::orders::{Execution, market, side};
use super::{BlockView, Container, ContainerRules, Pending, Sink};
use crate::execution::EntryOrder;
use crate::kernel::{greater, lesser};
use crate::portfolio::{Breaches, Entry, EntryTerms, Sizing};
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
    entry_price: f64,
    entry_ts_ns: i64,
    entry_bar: u32,
    /// Its trade.
    pub(super) trade: u32,
    /// Entries so far.
    pub(super) entries: u32,
    /// Fills so far.
    fills: u32,
    commission: f64,
    slippage: f64,
    borrow: f64,
    /// Units and value of all entries, signed like the units.
    entry_units: f64,
    entry_value: f64,
    /// Value of all partial exits, signed like the units.
    exit_value: f64,
    /// Profit or loss of the partial exits before costs. Negative zero adds nothing to any number,
    /// not even to another negative zero, so that trades without partial exits keep their bits.
    realized: f64,
    /// Lowest low and highest high of the bars held so far, the entry price counted.
    pub(super) low: f64,
    pub(super) high: f64,
    pub(super) open_sequence: u64,
}

/// What an exit came to, for its events.
pub(super) struct Closed {
    pub(super) trade: u32,
    fill: Fill,
    update: PortfolioUpdate,
    close: PositionClose,
}

impl Container {
    /// Units of an entry on the side of `sign` and the limits that it met; `measure` is what it is
    /// sized by, `stop` the price of its stop, each NaN for none.
    #[inline]
    pub(super) fn entry(
        &self,
        rules: &ContainerRules,
        sign: f64,
        measure: f64,
        stop: f64,
        price: f64,
    ) -> Entry {
        let commission = rules.execution.commission;
        let held = self.position.as_ref().map_or(0.0, |held| held.units);
        let bound = if held < 0.0 { 2.0 * held * price } else { 0.0 };
        let terms = EntryTerms {
            held: held.abs(),
            sign,
            equity: self.cash + held * price,
            // What was sold short is no money to spend, and as much again stands for it.
            cash: self.cash + bound,
            price,
            risk_per_unit: match rules.portfolio.sizing {
                Sizing::RiskPerTrade { .. } => sign * (price - stop),
                Sizing::Atr { multiple, .. } => multiple * measure,
                Sizing::Volatility { .. } => price * measure,
                _ => f64::NAN,
            },
            commission,
        };
        rules.portfolio.entry(&terms, &rules.risk)
    }

    /// Units that all cash buys, where all of it goes into every entry.
    #[inline(always)]
    pub(super) fn all_in_units(&self, rules: &ContainerRules, price: f64) -> Result<f64, Reason> {
        let commission = rules.execution.commission;
        let units = commission.units_for(self.cash, price, |a, b| a / b);
        if units > 0.0 {
            Ok(units)
        } else {
            Err(Reason::ZeroQuantity)
        }
    }

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
            self.execution.breach();
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
        let exits = if self.is_managed {
            self.exits_at(rules, price)
        } else {
            None
        };
        let units = if self.is_managed && exits.is_none() {
            Err(Reason::LevelUnknown)
        } else if self.is_all_in() {
            self.all_in_units(rules, price)
        } else {
            let stop = exits.map_or(f64::NAN, |levels| levels.stop(sign > 0.0).0);
            let entry = self.entry(rules, sign, pending.measure, stop, price);
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
        let commission = rules.execution.commission.of(units, price);
        self.cash = if self.is_all_in() {
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
        self.execution.fill(&fill);
        self.position = Some(Position {
            units,
            entry_price: price,
            entry_ts_ns: execution.ts_ns,
            entry_bar: execution.bar,
            trade: self.trade,
            entries: 1,
            fills: 1,
            commission,
            slippage: units * (price - execution.reference_price),
            borrow: 0.0,
            entry_units: units,
            entry_value: units * price,
            exit_value: 0.0,
            realized: -0.0,
            low: price,
            high: price,
            open_sequence: self.sequence + 2,
        });
        self.hold(units, price);
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
        let update = self.held(units, price);
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
        let stop = if self.is_managed {
            self.managed.levels.stop(sign > 0.0).0
        } else {
            f64::NAN
        };
        let entry = self.entry(rules, sign, pending.measure, stop, price);
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
        self.cash = self.cash - added * price - commission;
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
        self.execution.fill(&fill);
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
        self.cash += closed * price - commission;
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
        self.execution.fill(&fill);
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
        let position = self.position.as_ref()?;
        let sign = -position.units.signum();
        let reference_price = execution.reference_price;
        let price = rules.execution.price_cost.worsen(reference_price, sign);
        let price = EntryOrder::within_limit(sign > 0.0, price, execution.limit);
        let commission = rules.execution.commission.of(position.units, price);
        self.cash += position.units * price - commission;
        let fill = Fill {
            qty: -position.units,
            price,
            commission,
            reference_price,
            units_after: 0.0,
        };
        self.execution.fill(&fill);
        let commissions = position.commission + commission;
        let fills = position.fills + 1;
        // With one entry and one exit the prices are those of the fills, to the bit.
        let (entry_price, exit_price) = if fills == 2 {
            (position.entry_price, price)
        } else {
            let exit_value = position.exit_value + position.units * price;
            let units = position.entry_units;
            (position.entry_value / units, exit_value / units)
        };
        let (lowest, highest) = (lesser(position.low, price), greater(position.high, price));
        let (worst, best) = if sign < 0.0 {
            (lowest, highest)
        } else {
            (highest, lowest)
        };
        // Both are moves from the entry price as fractions of it, never below zero.
        let excursion = |to: f64| ((to - entry_price) / entry_price).abs();
        let gain = position.units * (price - position.entry_price) + position.realized;
        let close = PositionClose {
            entry_ts_ns: position.entry_ts_ns,
            entry_bar: position.entry_bar,
            fills,
            qty: position.entry_units,
            entry_price,
            exit_price,
            pnl: gain - commissions - position.borrow,
            commission: commissions,
            slippage: position.slippage + fill.qty * (price - reference_price),
            borrow: position.borrow,
            mae: excursion(worst),
            mfe: excursion(best),
        };
        self.trades.close(execution.bar, &close);
        let trade = position.trade;
        self.position = None;
        Some(Closed {
            trade,
            fill,
            update: self.hold(0.0, price),
            close,
        })
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
        self.cash -= amount;
        let accrual = Accrual {
            amount,
            units,
            price,
            days,
        };
        self.execution.accrual(&accrual);
        let (ts, bar) = (execution.ts_ns, execution.bar);
        let code = (Side::Flat as u8, 0);
        let accrual = self.tell(sink, ts, bar, trade, opened, code, &accrual);
        self.update(execution, units, price, trade, accrual, sink);
    }

    /// From the booked bar on the container holds this: the PORTFOLIO_UPDATE of it.
    #[inline(always)]
    fn hold(&mut self, units: f64, price: f64) -> PortfolioUpdate {
        self.equity.change(units, self.cash);
        let update = self.held(units, price);
        self.execution.update(&update);
        update
    }

    #[inline(always)]
    const fn held(&self, units: f64, price: f64) -> PortfolioUpdate {
        PortfolioUpdate {
            units,
            cash: self.cash,
            equity: self.cash + units * price,
        }
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
        let update = self.hold(units, price);
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
        self.execution.order(status);
        self.tell(sink, ts, bar, trade, execution.order, code, order);
    }
}
