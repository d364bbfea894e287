//! The books of a container: its cash, and its metrics as folds over what it does.
//!
//! They are plain values without a pointer, so that the fastest path can take them out of the
//! container, live through a block, and put them back.

use super::orders::Execution;
use super::position::{Closed, Position};
use super::{BlockView, ContainerRules};
use crate::execution::{Commission, Costs, EntryOrder};
use crate::kernel::{greater, lesser};
use crate::metrics::{EquityFold, EquityPath, ExecutionFold, Range, TradeFold};
use crate::portfolio::{Entry, EntryTerms, Sizing};
use admf_formats::event::{Fill, PortfolioUpdate, PositionClose, Reason};
use serde::{Deserialize, Serialize};

/// Cash and metrics.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) struct Books {
    pub(super) cash: f64,
    pub(super) equity: EquityFold,
    pub(super) trades: TradeFold,
    pub(super) execution: ExecutionFold,
    /// Next bar of the block that equity was not folded for, absolute.
    pub(super) folded: u64,
}

impl Books {
    /// Books before the first bar.
    pub(super) fn new(rules: &ContainerRules, first_bar: u64) -> Books {
        let capital = rules.portfolio.initial_capital;
        Books {
            cash: capital,
            equity: EquityFold::new(rules.equity_path(), capital),
            trades: TradeFold::default(),
            execution: ExecutionFold::default(),
            folded: first_bar,
        }
    }

    /// As [`ContainerRules::is_all_in`].
    #[inline(always)]
    pub(super) fn is_all_in(&self) -> bool {
        self.equity.path() == EquityPath::AllIn
    }

    /// Offsets in the block of the bars that are not folded yet, up to but without `bar`: they are
    /// from now on.
    #[inline(always)]
    const fn take_to(&mut self, block: BlockView<'_>, bar: u64) -> (usize, usize) {
        let start = block.bars.first_bar;
        let first = std::mem::replace(&mut self.folded, bar);
        ((first - start) as usize, (bar - start) as usize)
    }

    /// As [`Books::fold_to`] while nothing is held.
    #[inline(always)]
    pub(super) fn flat_to(&mut self, bar: u64) {
        self.equity.fold_flat(bar - self.folded);
        self.folded = bar;
    }

    /// As [`Books::fold_to`] while a position is held, for at least a bar.
    #[inline(always)]
    pub(super) fn held_to(&mut self, block: BlockView<'_>, bar: u64) -> Range {
        let (first, end) = self.take_to(block, bar);
        self.equity
            .fold_held(first, end, block.closes(), block.figures)
    }

    /// Folds equity up to but without `bar`; gives what a position saw that is held meanwhile.
    #[inline(always)]
    pub(super) fn fold_to(&mut self, block: BlockView<'_>, bar: u64) -> Option<Range> {
        let (first, end) = self.take_to(block, bar);
        self.equity.fold(first, end, block.closes(), block.figures)
    }

    /// Units of an entry on the side of `sign`, where so many are held already, and the limits that
    /// it met; `measure` is what it is sized by, `stop` the price of its stop, each NaN for none.
    #[inline]
    pub(super) fn entry(
        &self,
        rules: &ContainerRules,
        held: f64,
        sign: f64,
        measure: f64,
        stop: f64,
        price: f64,
    ) -> Entry {
        let commission = rules.execution.commission;
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
    pub(super) fn all_in_units(&self, commission: Commission, price: f64) -> Result<f64, Reason> {
        let units = commission.units_for(self.cash, price, |a, b| a / b);
        if units > 0.0 {
            Ok(units)
        } else {
            Err(Reason::ZeroQuantity)
        }
    }

    /// The position of [`Container::enter`]; `of` is its trade and the sequence of its POSITION_OPEN.
    #[inline(always)]
    pub(super) fn opened(
        &mut self,
        costs: Costs,
        execution: &Execution,
        (trade, open_sequence): (u32, u64),
        units: f64,
        price: f64,
    ) -> Position {
        let commission = costs.commission.of(units, price);
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
        self.hold(units, price);
        Position {
            units,
            entry_price: price,
            entry_ts_ns: execution.ts_ns,
            entry_bar: execution.bar,
            trade,
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
            open_sequence,
        }
    }

    /// What giving this position up comes to, which is the container's no longer.
    #[inline(always)]
    pub(super) fn closed(
        &mut self,
        costs: Costs,
        execution: &Execution,
        position: &Position,
    ) -> Closed {
        let sign = -position.units.signum();
        let reference_price = execution.reference_price;
        let price = costs.price_cost.worsen(reference_price, sign);
        let price = EntryOrder::within_limit(sign > 0.0, price, execution.limit);
        let commission = costs.commission.of(position.units, price);
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
        Closed {
            trade: position.trade,
            fill,
            update: self.hold(0.0, price),
            close,
        }
    }

    /// From the booked bar on the container holds this: the PORTFOLIO_UPDATE of it.
    #[inline(always)]
    pub(super) fn hold(&mut self, units: f64, price: f64) -> PortfolioUpdate {
        self.equity.change(units, self.cash);
        let update = self.held(units, price);
        self.execution.update(&update);
        update
    }

    #[inline(always)]
    pub(super) const fn held(&self, units: f64, price: f64) -> PortfolioUpdate {
        PortfolioUpdate {
            units,
            cash: self.cash,
            equity: self.cash + units * price,
        }
    }
}
