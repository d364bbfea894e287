//! Rules that need more than the strategy's masks: borrow fees by the night, limits on drawdown and
//! daily loss.
//!
//! They take the slower path: a block is run in pieces, each a piece that could have been a block.
//! A piece ends before the first bar of another day, and with every bar where equity is watched.
//! Without such rules nothing here is called.
//!
//! Order within bar i: the fees of the night before; fills and stops; equity at the close is held
//! against the limits; the strategy decides. (Where orders fill at the close of their decision, what
//! they opened was held over night: they fill before the fees.) The engine runs the decision before
//! the limits and takes it back where one of them forbids it: its order is rejected with the reason
//! `risk_limit`, so that no wish of the strategy is lost.

use super::orders::{Execution, market};
use super::{BlockView, Container, ContainerRules, Pending, Sink};
use crate::execution::FillAt;
use crate::strategy::Masks;
use admf_formats::event::{ExitReason, OrderStatus, Reason, RiskBreach, RiskRule};
use admf_formats::units::F64_NULL;
use serde::{Deserialize, Serialize};

/// How long entries are rejected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Halt {
    None,
    /// To the end of the day.
    Day,
    /// To the end of the window.
    Window,
}

/// What the rules of this file know of the bars before.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) struct Watch {
    /// Local day and close of the last bar.
    day: i32,
    close: f64,
    /// Equity at that close, and at the last close of the day before it.
    equity: f64,
    day_start: f64,
    /// Highest equity at a close, the capital counted.
    peak: f64,
    halt: Halt,
}

impl Watch {
    /// Before the first bar.
    pub(super) const fn new(capital: f64) -> Watch {
        Watch {
            day: i32::MIN,
            close: f64::NAN,
            equity: capital,
            day_start: capital,
            peak: capital,
            halt: Halt::None,
        }
    }
}

impl Container {
    /// Runs the bars `first..end`, all in this block, piece by piece.
    pub(super) fn watch_bars<S: Sink>(
        &mut self,
        rules: &ContainerRules,
        masks: &Masks,
        block: BlockView<'_>,
        first: u64,
        end: u64,
        sink: &mut S,
    ) {
        let start = block.bars.first_bar;
        let watches_equity = rules.risk.watches_equity();
        let has_days = rules.watches_days();
        let mut from = first;
        while from < end {
            let at = (from - start) as usize;
            let day = if has_days { block.times.day[at] } else { 0 };
            if from == self.span.first {
                self.watch.day = day;
            } else if day != self.watch.day {
                self.begin_day(rules, block, from, day, sink);
            }
            let until = if watches_equity {
                from + 1
            } else {
                start + next_bit(&block.times.new_day, at + 1, (end - start) as usize) as u64
            };
            self.run_piece(rules, masks, block, from, until, sink);
            self.watch.close = block.bars.close[(until - 1 - start) as usize];
            if watches_equity {
                self.hold_against_limits(rules, block, from, sink);
            }
            from = until;
        }
    }

    /// `bar` is the first of another day than the bar before it.
    fn begin_day<S: Sink>(
        &mut self,
        rules: &ContainerRules,
        block: BlockView<'_>,
        bar: u64,
        day: i32,
        sink: &mut S,
    ) {
        let days = f64::from(day) - f64::from(self.watch.day);
        self.watch.day = day;
        self.watch.day_start = self.watch.equity;
        if self.watch.halt == Halt::Day {
            self.watch.halt = Halt::None;
        }
        if !rules.pays_by_the_night() {
            return;
        }
        if rules.execution.fill == FillAt::SameClose {
            self.fill(rules, block, bar, sink);
        }
        if self.position.as_ref().is_none_or(|held| held.units > 0.0) {
            return;
        }
        self.fold_to(block, bar);
        let at = (bar - block.bars.first_bar) as usize;
        let execution = Execution {
            reference_price: self.watch.close,
            limit: F64_NULL,
            ts_ns: block.bars.ts_ns[at],
            bar: bar as u32,
            booked: bar,
            order: 0,
        };
        self.accrue(rules, execution, days, sink);
    }

    /// Equity at the close of `bar`, and what the limits on it say.
    fn hold_against_limits<S: Sink>(
        &mut self,
        rules: &ContainerRules,
        block: BlockView<'_>,
        bar: u64,
        sink: &mut S,
    ) {
        let units = self.position.as_ref().map_or(0.0, |held| held.units);
        let equity = self.books.cash + units * self.watch.close;
        self.watch.equity = equity;
        self.watch.peak = self.watch.peak.max(equity);
        let drawdown = 1.0 - equity / self.watch.peak;
        let loss = 1.0 - equity / self.watch.day_start;
        let breach = if self.watch.halt != Halt::Window && drawdown >= rules.risk.max_drawdown {
            self.watch.halt = Halt::Window;
            Some((RiskRule::Drawdown, rules.risk.max_drawdown, drawdown))
        } else if self.watch.halt == Halt::None && loss >= rules.risk.max_daily_loss {
            self.watch.halt = Halt::Day;
            Some((RiskRule::DailyLoss, rules.risk.max_daily_loss, loss))
        } else {
            None
        };
        if self.watch.halt == Halt::None {
            return;
        }
        let at = (bar - block.bars.first_bar) as usize;
        let mut execution = Execution {
            reference_price: self.watch.close,
            limit: F64_NULL,
            ts_ns: block.bars.ts_ns[at],
            bar: bar as u32,
            booked: bar,
            order: 0,
        };
        let mut cause = 0;
        if let Some((rule, limit, value)) = breach {
            let held = self.position.as_ref();
            let (trade, opened) = held.map_or((0, 0), |held| (held.trade, held.open_sequence));
            let code = (rule as u8, Reason::RiskLimit as u8);
            let payload = RiskBreach { limit, value };
            self.books.execution.breach();
            let (ts, bar) = (execution.ts_ns, execution.bar);
            cause = self.tell(sink, ts, bar, trade, opened, code, &payload);
        }
        self.reject_entry(&mut execution, sink);
        if self.managed.is_some() {
            let at = (execution.ts_ns, execution.bar);
            let why = (OrderStatus::Cancelled, Reason::RiskLimit);
            self.end_working(rules, at, why, sink);
        }
        if self.position.is_some() {
            self.order_risk_exit(execution, cause, sink);
        }
    }

    /// What the strategy wants to enter at this close is rejected.
    fn reject_entry<S: Sink>(&mut self, execution: &mut Execution, sink: &mut S) {
        let Some(pending) = &mut self.pending else {
            return;
        };
        if pending.entry_order == 0 {
            return;
        }
        execution.order = pending.entry_order;
        (pending.entry_order, pending.target) = (0, 0.0);
        let has_exit = pending.exit_order != 0;
        if !has_exit {
            self.pending = None;
        }
        let order = market(F64_NULL, None);
        match &self.position {
            // It would have added to the running trade.
            Some(held) if !has_exit => {
                let trade = held.trade;
                self.refuse(*execution, trade, &order, Reason::RiskLimit, sink);
            }
            _ => {
                self.trade += 1;
                let trade = self.trade;
                self.refuse(*execution, trade, &order, Reason::RiskLimit, sink);
                sink.end_trade(trade);
            }
        }
    }

    /// The position is closed by the next fill, unless it is closed then anyway.
    fn order_risk_exit<S: Sink>(&mut self, execution: Execution, cause: u64, sink: &mut S) {
        let Some(position) = self.position.as_ref().filter(|_| self.pending.is_none()) else {
            return;
        };
        let (trade, qty) = (position.trade, -position.units);
        let order = market(qty, Some(ExitReason::Risk));
        let code = (OrderStatus::Accepted as u8, 0);
        let (ts_ns, bar) = (execution.ts_ns, execution.bar);
        let exit_order = self.tell(sink, ts_ns, bar, trade, cause, code, &order);
        self.pending = Some(Pending {
            target: 0.0,
            close: execution.reference_price,
            ts_ns,
            bar,
            exit_order,
            exit_reason: ExitReason::Risk,
            entry_order: 0,
            measure: f64::NAN,
        });
    }
}

/// The first set bit of the mask in `from..end`; `end` where there is none.
pub(super) fn next_bit(mask: &crate::kernel::Mask, from: usize, end: usize) -> usize {
    let mut at = from;
    while at < end {
        let bits = mask[at / 64] >> (at % 64);
        if bits != 0 {
            return (at + bits.trailing_zeros() as usize).min(end);
        }
        at = (at / 64 + 1) * 64;
    }
    end
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::WORDS;

    #[test]
    fn the_next_bit_is_found_across_words() {
        let mut mask = [0_u64; WORDS];
        (mask[0], mask[2]) = (1 << 5, 1);
        assert_eq!(next_bit(&mask, 0, 512), 5);
        assert_eq!(next_bit(&mask, 5, 512), 5);
        assert_eq!(next_bit(&mask, 6, 512), 128);
        assert_eq!(next_bit(&mask, 6, 100), 100);
        assert_eq!(next_bit(&mask, 129, 512), 512);
    }
}
