//! The plain loop: what a container with exits and waiting orders trades, bar by bar.

use super::*;

struct Held {
    side: f64,
    units: f64,
    price: f64,
    entry_bar: u32,
    commission: f64,
    /// In prices of its side.
    stop: f64,
    target: f64,
    best: f64,
    /// The bar of the first close that it is held at.
    first_close: usize,
    signal_bar: usize,
}

struct Waiting {
    side: f64,
    limit: Option<f64>,
    stop: Option<f64>,
    signal_bar: usize,
}

/// What is done at the next price.
struct Intent {
    leaves: Option<ExitReason>,
    enters: f64,
    bar: usize,
}

pub(super) struct Loop<'a> {
    pub(super) rules: &'a ContainerRules,
    pub(super) parameters: [f64; 8],
    pub(super) bars: &'a [Bar],
    pub(super) story: Story,
    held: Option<Held>,
    waiting: Option<Waiting>,
    intent: Option<Intent>,
    /// Long, short.
    must_reset: [bool; 2],
}

impl<'a> Loop<'a> {
    pub(super) fn new(rules: &'a ContainerRules, parameters: [f64; 8], bars: &'a [Bar]) -> Self {
        let story = Story {
            cash: rules.portfolio.initial_capital,
            ..Story::default()
        };
        let (held, waiting, intent, must_reset) = (None, None, None, [false; 2]);
        Loop {
            rules,
            parameters,
            bars,
            story,
            held,
            waiting,
            intent,
            must_reset,
        }
    }

    fn number(&self, amount: Amount) -> f64 {
        match amount {
            Amount::Value(value) => value,
            Amount::Parameter { place, divisor } => self.parameters[place as usize] / divisor,
        }
    }

    /// Average true range at a bar.
    fn atr(&self, at: usize) -> f64 {
        let n = 3.0;
        let range = |at: usize| {
            let (bar, before) = (self.bars[at], self.bars[at - 1].close);
            bar.high.max(before) - bar.low.min(before)
        };
        if at < 3 {
            return f64::NAN;
        }
        let first = (range(1) + range(2) + range(3)) / n;
        (4..=at).fold(first, |atr, at| (atr * (n - 1.0) + range(at)) / n)
    }

    /// `distance` away from a price: `way` 1 is up.
    fn away(&self, from: f64, way: f64, distance: Distance, signal_bar: usize) -> f64 {
        let amount = self.number(distance.amount);
        match distance.unit {
            Unit::Fraction => from * (1.0 + way * amount),
            Unit::Money => from + way * amount,
            Unit::Feature(_) => from + way * (amount * self.atr(signal_bar)),
        }
    }

    fn end(&mut self, bar: usize, status: OrderStatus, reason: Reason) {
        self.story.ended.push(Ended {
            bar: bar as u32,
            status,
            reason,
        });
    }

    /// A price after slippage, within a limit.
    fn paid(&self, price: f64, buys: bool, limit: Option<f64>) -> f64 {
        let rate = self.rules.execution.price_cost.rate;

        let slipped = price * (1.0 + if buys { rate } else { -rate });
        match limit {
            Some(limit) if buys => slipped.min(limit),
            Some(limit) => slipped.max(limit),
            None => slipped,
        }
    }

    /// `now` is the bar that it happens in, `bar` the one that the trade carries.
    fn open(
        &mut self,
        side: f64,
        price: f64,
        limit: Option<f64>,
        bar: usize,
        now: usize,
        signal_bar: usize,
    ) {
        let exits = &self.rules.exits;
        let lines = [exits.stop_loss, exits.take_profit, exits.trailing_stop];
        let entry = match self.rules.execution.entry.order {
            Entry::Market => [None, None],
            Entry::Limit(distance) | Entry::Stop(distance) => [Some(distance), None],
            Entry::StopLimit { stop, limit } => [Some(stop), Some(limit)],
        };
        let is_unknown = |distance: &Option<Distance>| {
            distance.is_some_and(|d| {
                matches!(d.unit, Unit::Feature(_)) && self.atr(signal_bar).is_nan()
            })
        };
        if lines.iter().chain(&entry).any(is_unknown) {
            return self.end(bar, OrderStatus::Rejected, Reason::LevelUnknown);
        }
        let price = self.paid(price, side > 0.0, limit);
        let commission = self.rules.execution.commission;
        let terms = EntryTerms {
            held: 0.0,
            sign: side,
            equity: self.story.cash,
            cash: self.story.cash,
            price,
            risk_per_unit: f64::NAN,
            commission,
        };
        let portfolio = &self.rules.portfolio;
        let units = if portfolio.is_all_in() {
            // To the last bit of the cash, which is zero from here on.
            Ok(commission.units_for(self.story.cash, price, |a, b| a / b))
        } else {
            portfolio.entry(&terms, &self.rules.risk).units
        };
        let units = match units {
            Ok(units) => side * units,
            Err(reason) => return self.end(bar, OrderStatus::Rejected, reason),
        };
        let commission = commission.of(units, price);
        self.story.cash = if self.rules.portfolio.is_all_in() {
            0.0
        } else {
            self.story.cash - units * price - commission
        };
        let anchor = match exits.anchor {
            Anchor::SignalClose => self.bars[signal_bar].close,
            Anchor::Fill => price,
        };
        let level = |distance: Option<Distance>, way: f64| {
            distance.map(|distance| side * self.away(anchor, way * side, distance, signal_bar))
        };
        self.held = Some(Held {
            side,
            units,
            price,
            entry_bar: bar as u32,
            commission,
            stop: level(exits.stop_loss, -1.0).unwrap_or(f64::NEG_INFINITY),
            target: level(exits.take_profit, 1.0).unwrap_or(f64::INFINITY),
            best: side * price,
            first_close: now,
            signal_bar,
        });
    }

    fn close(&mut self, price: f64, limit: Option<f64>, bar: usize, reason: ExitReason) {
        let held = self.held.take().expect("a position is held");
        let price = self.paid(price, held.side < 0.0, limit);
        let commission = self.rules.execution.commission.of(held.units, price);
        self.story.cash += held.units * price - commission;
        self.story.trades.push(Trade {
            entry_bar: held.entry_bar,
            exit_bar: bar as u32,
            units: held.units,
            entry_price: held.price,
            exit_price: price,
            pnl: held.units * (price - held.price) - (held.commission + commission),
            reason,
        });
        let is_own = matches!(
            reason,
            ExitReason::Signal | ExitReason::CloseAtEnd | ExitReason::EndOfDay
        );
        if self.rules.exits.reentry == Reentry::AfterReset && !is_own {
            self.must_reset[usize::from(held.side < 0.0)] = true;
        }
    }

    /// Start, high, low and close in prices of a side.
    fn of_side(&self, at: usize, side: f64) -> [f64; 4] {
        let bar = self.bars[at];
        if side > 0.0 {
            [bar.open, bar.high, bar.low, bar.close]
        } else {
            [-bar.open, -bar.low, -bar.high, -bar.close]
        }
    }

    fn test_levels(&mut self, at: usize, [start, high, low]: [f64; 3]) {
        let Some(held) = &self.held else { return };
        let side = held.side;
        let trail =
            self.rules.exits.trailing_stop.map(|distance| {
                side * self.away(side * held.best, -side, distance, held.signal_bar)
            });
        let (stop, reason) = match trail {
            Some(trail) if trail > held.stop => (trail, ExitReason::TrailingStop),
            _ => (held.stop, ExitReason::StopLoss),
        };
        let target = held.target;
        let stop_first = self.rules.exits.both_touched == BothTouched::StopFirst;
        let (stopped, reached) = (low <= stop, high >= target);
        if stopped && (!reached || stop_first || start <= stop) {
            self.close(side * start.min(stop), None, at, reason);
        } else if reached {
            let limit = side * target;
            self.close(
                side * start.max(target),
                Some(limit),
                at,
                ExitReason::TakeProfit,
            );
        } else if let Some(held) = &mut self.held {
            held.best = held.best.max(high);
        }
    }

    /// The waiting order on a bar; what a position that it opens sees of the bar.
    fn test_waiting(&mut self, at: usize) -> Option<[f64; 3]> {
        let is_for_a_day = self.rules.execution.entry.time_in_force == super::Waiting::Day;
        let is_new_day = self.is_new_day(at);
        let waiting = self.waiting.as_mut()?;
        if is_for_a_day && is_new_day && at > waiting.signal_bar + 1 {
            self.waiting = None;
            self.end(at, OrderStatus::Expired, Reason::TimeInForce);
            return None;
        }
        let side = waiting.side;
        let [open, high, low, close] = if side > 0.0 {
            let bar = self.bars[at];
            [bar.open, bar.high, bar.low, bar.close]
        } else {
            let bar = self.bars[at];
            [-bar.open, -bar.low, -bar.high, -bar.close]
        };
        let mut triggers = false;
        let mut seen = None;
        let mut asks_limit = waiting.stop.is_none();
        if let Some(stop) = waiting.stop.filter(|stop| high >= *stop) {
            if waiting.limit.is_some() {
                triggers = true;
                waiting.stop = None;
            }
            if open < stop {
                seen = Some([stop, high, low]);
            } else if waiting.limit.is_none() {
                seen = Some([open, high, low]);
            } else {
                asks_limit = true;
            }
        }
        if let Some(limit) = waiting.limit.filter(|_| asks_limit && seen.is_none()) {
            if open <= limit {
                seen = Some([open, high, low]);
            } else if low <= limit {
                seen = Some([limit, close.max(limit), low]);
            }
        }
        let (limit, signal_bar) = (waiting.limit, waiting.signal_bar);
        if triggers {
            self.end(at, OrderStatus::Triggered, Reason::None);
        }
        let seen = seen?;
        self.waiting = None;
        self.open(
            side,
            side * seen[0],
            limit.map(|limit| side * limit),
            at,
            at,
            signal_bar,
        );
        Some(seen)
    }

    fn is_new_day(&self, at: usize) -> bool {
        at > 0 && self.bars[at].hour / 24 != self.bars[at - 1].hour / 24
    }

    fn decide(&mut self, at: usize) {
        let bar = self.bars[at];
        let entry = self.rules.execution.entry;
        let second = bar.hour % 24 * 3600;
        let is_late = (self.rules.exits.end_of_day).is_some_and(|end| second >= i64::from(end));
        if is_late && self.waiting.take().is_some() {
            self.end(at, OrderStatus::Expired, Reason::TimeInForce);
        }

        if let Some(waiting) = &self.waiting
            && let super::Waiting::Bars(bars) = entry.time_in_force
            && at - waiting.signal_bar >= self.number(bars) as usize
        {
            self.waiting = None;
            self.end(at, OrderStatus::Expired, Reason::TimeInForce);
        }
        for (side, condition) in [(0, bar.says[0]), (1, bar.says[2])] {
            self.must_reset[side] &= condition;
        }
        let stance = match (&self.held, &self.waiting) {
            (Some(held), _) => held.side,
            (None, Some(waiting)) => waiting.side,
            (None, None) => 0.0,
        };
        let direction = self.rules.portfolio.direction;
        let long = bar.says[0]
            && stance <= 0.0
            && direction != Direction::ShortOnly
            && !self.must_reset[0]
            && !is_late;
        let short = bar.says[2]
            && stance >= 0.0
            && direction != Direction::LongOnly
            && !self.must_reset[1]
            && !is_late;
        let leaves = (stance > 0.0 && bar.says[1]) || (stance < 0.0 && bar.says[3]);
        if !(long || short || leaves) {
            let most = self
                .rules
                .exits
                .max_bars
                .map(|most| self.number(most) as usize);
            let has_end = self.rules.exits.end_of_day.is_some();
            let Some(held) = &self.held else { return };
            let is_held_over = has_end && self.is_new_day(at) && held.first_close < at;
            let leaves = if most.is_some_and(|most| at + 1 - held.first_close >= most) {
                ExitReason::TimeStop
            } else if is_late || is_held_over {
                ExitReason::EndOfDay
            } else {
                return;
            };
            let leaves = Some(leaves);
            self.intent = Some(Intent {
                leaves,
                enters: 0.0,
                bar: at,
            });
            return;
        }
        if self.waiting.take().is_some() {
            self.end(at, OrderStatus::Cancelled, Reason::Superseded);
        }
        let side = if long {
            1.0
        } else if short {
            -1.0
        } else {
            0.0
        };
        let leaves = self.held.is_some().then_some(ExitReason::Signal);
        let mut enters = side;
        if side != 0.0 {
            let close = bar.close;
            let (limit, stop) = match entry.order {
                Entry::Market => (None, None),
                Entry::Limit(distance) => (Some(self.away(close, -side, distance, at)), None),
                Entry::Stop(distance) => (None, Some(self.away(close, side, distance, at))),
                Entry::StopLimit { stop, limit } => {
                    let stop = self.away(close, side, stop, at);
                    (Some(self.away(stop, side, limit, at)), Some(stop))
                }
            };
            let exits = &self.rules.exits;
            let needs_atr = [exits.stop_loss, exits.take_profit, exits.trailing_stop]
                .iter()
                .flatten()
                .any(|distance| matches!(distance.unit, Unit::Feature(_)));
            let is_nan = |price: Option<f64>| price.is_some_and(f64::is_nan);
            let is_unknown = (needs_atr && self.atr(at).is_nan()) || is_nan(limit) || is_nan(stop);
            if entry.order != Entry::Market && !is_unknown {
                enters = 0.0;
                let (limit, stop) = (limit.map(|p| side * p), stop.map(|p| side * p));
                self.waiting = Some(Waiting {
                    side,
                    limit,
                    stop,
                    signal_bar: at,
                });
            }
        }
        if leaves.is_some() || enters != 0.0 {
            self.intent = Some(Intent {
                leaves,
                enters,
                bar: at,
            });
        }
    }

    pub(super) fn run(mut self) -> Story {
        for at in 0..self.bars.len() {
            if let Some(intent) = self.intent.take() {
                let (price, bar) = match self.rules.execution.fill {
                    FillAt::NextOpen => (self.bars[at].open, at),
                    FillAt::SameClose => (self.bars[intent.bar].close, intent.bar),
                };
                if let Some(reason) = intent.leaves {
                    self.close(price, None, bar, reason);
                }
                if intent.enters != 0.0 {
                    self.open(intent.enters, price, None, bar, at, intent.bar);
                }
            }
            if let Some(held) = &self.held {
                let [start, high, low, _] = self.of_side(at, held.side);
                self.test_levels(at, [start, high, low]);
            } else if let Some(seen) = self.test_waiting(at) {
                self.test_levels(at, seen);
            }
            self.decide(at);
        }
        let last = self.bars.len() - 1;
        let intent = self.intent.take();
        for _ in 0..intent.map_or(0, |intent| {
            usize::from(intent.leaves.is_some()) + usize::from(intent.enters != 0.0)
        }) {
            self.end(last, OrderStatus::Expired, Reason::WindowEnd);
        }
        if self.waiting.is_some() {
            self.end(last, OrderStatus::Expired, Reason::WindowEnd);
        }
        if self.rules.portfolio.close_at_end && self.held.is_some() {
            self.close(self.bars[last].close, None, last, ExitReason::CloseAtEnd);
        }
        self.story
    }
}
