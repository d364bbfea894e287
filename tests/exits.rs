//! Exits and waiting orders: the engine against a plain loop over bars.
//!
//! The loop below knows one side only. A short position is a long one in negated prices: low and
//! high change places, and no rounding is any different.

use admf::container::{
    BlockView, Container, ContainerRules, RuleFeature, RuleFeatures, Sink, Span,
};
use admf::execution::{
    Amount, Anchor, BothTouched, Commission, Distance, Entry, EntryRules, ExecutionRules,
    ExitRules, FillAt, PriceCost, Reentry, ScaleOuts, Unit, Waiting,
};
use admf::features::{Feature, FeatureColumns};
use admf::market::{BarBlock, Calendar, LocalTimes};
use admf::metrics::BlockFigures;
use admf::portfolio::{Direction, EntryTerms, PortfolioRules, RiskRules, Sizing};
use admf::segment::retention::{Backing, Compression, Keep, OnFull, RetentionPolicy, TraceRules};
use admf::strategy::{FEATURES_MAX, Masks};
use admf_formats::event::{
    AnyPayload, EventKind, ExitReason, Order, OrderStatus, Payload, PositionClose, Reason, Stamp,
};
use admf_formats::units::QUANTUM_BARS;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use std::collections::BTreeSet;

/// Values of the container's parameters; the rules name the first.
const PARAMETERS: [f64; 8] = [2.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0];

#[derive(Clone, Copy, Debug)]
struct Bar {
    open: f64,
    high: f64,
    low: f64,
    close: f64,
    /// Hours since the first bar.
    hour: i64,
    /// Enter long, exit long, enter short, exit short.
    says: [bool; 4],
}

/// A closed trade.
#[derive(Clone, Debug, PartialEq)]
struct Trade {
    entry_bar: u32,
    exit_bar: u32,
    units: f64,
    entry_price: f64,
    exit_price: f64,
    pnl: f64,
    reason: ExitReason,
}

/// What became of an order that did not simply fill.
#[derive(Clone, Debug, PartialEq)]
struct Ended {
    bar: u32,
    status: OrderStatus,
    reason: Reason,
}

#[derive(Clone, Debug, Default, PartialEq)]
struct Story {
    trades: Vec<Trade>,
    ended: Vec<Ended>,
    cash: f64,
}

/// The plain loop.
mod plain {
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
        pub(super) fn new(
            rules: &'a ContainerRules,
            parameters: [f64; 8],
            bars: &'a [Bar],
        ) -> Self {
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
            let trail = self.rules.exits.trailing_stop.map(|distance| {
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
                let is_unknown =
                    (needs_atr && self.atr(at).is_nan()) || is_nan(limit) || is_nan(stop);
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
}

/// Collects the story that the engine tells.
#[derive(Default)]
struct Collector(Story);

impl Sink for Collector {
    fn wants(&self, _: EventKind) -> bool {
        true
    }

    fn emit<P: Payload>(&mut self, stamp: &Stamp, payload: &P) {
        #[repr(align(16))]
        struct Bytes([u8; 128]);
        let mut bytes = Bytes([0; 128]);
        payload.write(&mut bytes.0[..P::BYTES]);
        match AnyPayload::read(P::KIND, &bytes.0[..P::BYTES]).expect("what was just written") {
            AnyPayload::PositionClose(close) => self.closed(stamp, &close),
            AnyPayload::Order(order) => self.order(stamp, &order),
            AnyPayload::PortfolioUpdate(update) => self.0.cash = update.cash,
            _ => {}
        }
    }

    fn end_trade(&mut self, _: u32) {}
}

impl Collector {
    fn closed(&mut self, stamp: &Stamp, close: &PositionClose) {
        self.0.trades.push(Trade {
            entry_bar: close.entry_bar,
            exit_bar: stamp.bar,
            units: close.qty,
            entry_price: close.entry_price,
            exit_price: close.exit_price,
            pnl: close.pnl,
            reason: ExitReason::from_number(stamp.code).expect("a reason"),
        });
    }

    fn order(&mut self, stamp: &Stamp, _: &Order) {
        let status = [
            OrderStatus::Accepted,
            OrderStatus::Rejected,
            OrderStatus::Expired,
            OrderStatus::Cancelled,
            OrderStatus::Triggered,
        ][stamp.code as usize - 1];
        if status != OrderStatus::Accepted {
            let reason = Reason::from_number(stamp.detail).expect("a reason");
            self.0.ended.push(Ended {
                bar: stamp.bar,
                status,
                reason,
            });
        }
    }
}

fn engine(rules: &ContainerRules, parameters: [f64; 8], bars: &[Bar]) -> Story {
    let features: Vec<Feature> = rules.features.of(&parameters).collect();
    let mut places = [0; FEATURES_MAX];
    for number in 0..features.len() {
        places[RuleFeatures::place(number as u8)] = number as u16;
    }
    let mut columns = FeatureColumns::new(features);
    let span = Span {
        first: 0,
        end: bars.len() as u64,
    };
    let mut container = Container::new(0, 0, parameters, places, rules, span, 0);
    let (mut block, mut figures) = (BarBlock::new(), BlockFigures::new());
    let mut times = LocalTimes::new();
    let mut story = Collector::default();
    for (quantum, chunk) in bars.chunks(QUANTUM_BARS).enumerate() {
        block.first_bar = (quantum * QUANTUM_BARS) as u64;
        block.bars = chunk.len();
        let mut masks = Masks::default();
        for (k, bar) in chunk.iter().enumerate() {
            block.open[k] = bar.open;
            block.high[k] = bar.high;
            block.low[k] = bar.low;
            block.close[k] = bar.close;
            block.ts_ns[k] = bar.hour * 3_600_000_000_000;
            let [enter_long, exit_long, enter_short, exit_short] = bar.says;
            let bit = |says: bool| u64::from(says) << (k % 64);
            masks.enter_long[k / 64] |= bit(enter_long);
            masks.exit_long[k / 64] |= bit(exit_long);
            masks.enter_short[k / 64] |= bit(enter_short);
            masks.exit_short[k / 64] |= bit(exit_short);
        }
        columns.push(&block, 0);
        let count = chunk.len();
        figures.build(
            &block.low[..count],
            &block.high[..count],
            &block.close[..count],
        );
        times.build(&rules.calendar, &block.ts_ns[..count]);
        if let Some(second) = rules.exits.end_of_day {
            times.mark_late(second, count);
        }
        let view = BlockView {
            bars: &block,
            figures: &figures,
            times: &times,
            features: &columns,
            measure: None,
            year_root: f64::NAN,
        };
        container.run_block(rules, &masks, view, &mut story);
    }
    story.0
}

/// Bars that jump between close and open, on a coarse grid so that prices meet levels exactly.
fn bars(count: std::ops::Range<usize>) -> impl Strategy<Value = Vec<Bar>> {
    let step = (-6..=6_i32, 0..=6_i32, 0..=6_i32, -6..=6_i32);
    let hours = prop_oneof![6 => Just(1_i64), 1 => 2..40_i64];
    let says = prop::array::uniform4(prop::bool::weighted(0.12));
    // Conditions that hold for a while, as those of levels do.
    let stays = prop::array::uniform4(prop::bool::weighted(0.6));
    prop::collection::vec((step, says, stays, hours), count).prop_map(|steps| {
        let (mut close, mut hour) = (400_i32, 0);
        let mut before = [false; 4];
        steps
            .into_iter()
            .map(|((gap, up, down, change), says, stays, hours)| {
                hour += hours;
                let open = (close + gap).max(40);
                close = (open + change).max(40);
                let (high, low) = (open.max(close) + up, open.min(close) - down);
                for ((before, says), stays) in before.iter_mut().zip(says).zip(stays) {
                    *before = says || (*before && stays);
                }
                let price = |ticks: i32| f64::from(ticks) / 4.0;
                Bar {
                    open: price(open),
                    high: price(high),
                    low: price(low),
                    close: price(close),
                    hour,
                    says: before,
                }
            })
            .collect()
    })
}

fn distance() -> impl Strategy<Value = Distance> {
    // Parameter 0 is 2: a percentage, 3: a multiple or money.
    let swept = |divisor| Amount::Parameter { place: 0, divisor };
    prop_oneof![
        (1..8_u8).prop_map(|percent| Distance {
            amount: Amount::Value(f64::from(percent) / 200.0),
            unit: Unit::Fraction,
        }),
        Just(Distance {
            amount: swept(100.0),
            unit: Unit::Fraction
        }),
        (1..10_u8).prop_map(|ticks| Distance {
            amount: Amount::Value(f64::from(ticks) / 4.0),
            unit: Unit::Money,
        }),
        prop_oneof![
            Just(Amount::Value(1.0)),
            Just(swept(1.0)),
            Just(Amount::Value(0.25))
        ]
        .prop_map(|amount| Distance {
            amount,
            unit: Unit::Feature(0)
        }),
    ]
}

fn exits() -> impl Strategy<Value = ExitRules> {
    let level = || prop::option::of(distance());
    let max_bars = prop::option::weighted(
        0.3,
        (1..9_u8).prop_map(|bars| Amount::Value(f64::from(bars))),
    );
    let end_of_day = prop::option::weighted(0.3, (6..24_u32).prop_map(|hour| hour * 3600 - 1800));
    let clock = (max_bars, end_of_day);
    (level(), level(), level(), any::<[bool; 3]>(), clock).prop_map(
        |(stop_loss, take_profit, trailing_stop, [fill, target, reset], (max_bars, end_of_day))| {
            ExitRules {
                stop_loss,
                take_profit,
                trailing_stop,
                // Parts are held against the loop of tests/accounting.
                scale_out: ScaleOuts::NONE,
                anchor: if fill {
                    Anchor::Fill
                } else {
                    Anchor::SignalClose
                },
                both_touched: if target {
                    BothTouched::TargetFirst
                } else {
                    BothTouched::StopFirst
                },
                max_bars,
                end_of_day,

                reentry: if reset {
                    Reentry::AfterReset
                } else {
                    Reentry::AtOnce
                },
            }
        },
    )
}

fn entry() -> impl Strategy<Value = EntryRules> {
    let order = prop_oneof![
        2 => Just(Entry::Market),
        1 => distance().prop_map(Entry::Limit),
        1 => distance().prop_map(Entry::Stop),
        1 => (distance(), distance()).prop_map(|(stop, limit)| Entry::StopLimit { stop, limit }),
    ];
    let waiting = prop_oneof![
        Just(Waiting::UntilCancelled),
        Just(Waiting::Day),
        (1..6_u8).prop_map(|bars| Waiting::Bars(Amount::Value(f64::from(bars)))),
    ];
    (order, waiting).prop_map(|(order, time_in_force)| EntryRules {
        order,
        time_in_force,
    })
}

fn rules() -> impl Strategy<Value = ContainerRules> {
    let portfolio = (0..3_usize, 0..3_usize, any::<bool>());
    let costs = prop_oneof![Just((0.0, 0.0)), Just((0.001, 0.002))];
    (portfolio, costs, any::<bool>(), entry(), exits()).prop_map(
        |(
            (direction, sizing, close_at_end),
            (commission, slippage_rate),
            same_close,
            entry,
            exits,
        )| {
            let mut features = RuleFeatures::default();
            features.number_of(RuleFeature::Atr(Amount::Value(3.0)));
            ContainerRules {
                portfolio: PortfolioRules {
                    initial_capital: 10_000.0,
                    direction: [
                        Direction::LongOnly,
                        Direction::ShortOnly,
                        Direction::LongShort,
                    ][direction],
                    sizing: [
                        Sizing::FractionOfEquity(1.0),
                        Sizing::FractionOfEquity(0.5),
                        Sizing::Quantity(90.0),
                    ][sizing],
                    max_entries: 1,
                    whole_units: false,
                    close_at_end,
                },
                execution: ExecutionRules {
                    fill: if same_close {
                        FillAt::SameClose
                    } else {
                        FillAt::NextOpen
                    },
                    commission: Commission::Rate(commission),
                    price_cost: PriceCost {
                        rate: slippage_rate,
                        fixed: 0.0,
                    },
                    borrow: None,
                    entry,
                },
                exits,
                features,
                risk: RiskRules::NONE,
                calendar: Calendar::utc(),

                trace: TraceRules {
                    events: admf_formats::event::EventSet::NONE,
                    policy: RetentionPolicy::TradeComplete,
                    bytes_per_container: 0,
                    on_full: OnFull::Degrade,
                    backing: Backing::Tmpfs,
                    store_trades: false,
                    keep: Keep::NONE,
                    compression: Compression::None,
                },
            }
        },
    )
}

/// What the property below compares is worth something: every kind of end is among its cases.
#[test]
fn random_cases_have_every_exit_and_every_end_of_an_order() {
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let (mut reasons, mut ends) = (BTreeSet::new(), BTreeSet::new());
    for _ in 0..400 {
        let cases = (bars(100..200), rules());
        let tree = cases.new_tree(&mut runner).expect("a case");
        let (bars, rules) = tree.current();
        let story = engine(&rules, PARAMETERS, &bars);
        reasons.extend(story.trades.iter().map(|trade| trade.reason.name()));
        let ended = story.ended.iter();
        ends.extend(ended.map(|end| (end.status.name(), end.reason.name())));
    }
    let exits = [
        "close_at_end",
        "end_of_day",
        "signal",
        "stop_loss",
        "take_profit",
        "time_stop",
        "trailing_stop",
    ];
    assert_eq!(reasons.into_iter().collect::<Vec<_>>(), exits);
    for end in [
        ("cancelled", "superseded"),
        ("expired", "time_in_force"),
        ("expired", "window_end"),
        ("rejected", "insufficient_cash"),
        ("rejected", "level_unknown"),
        ("triggered", "none"),
    ] {
        assert!(ends.contains(&end), "{end:?} is not among {ends:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1500, ..ProptestConfig::default() })]
    #[test]
    fn the_engine_trades_as_the_plain_loop(
        bars in prop_oneof![4 => bars(2..120), 1 => bars(500..1100)],
        rules in rules(),
    ) {
        let expected = plain::Loop::new(&rules, PARAMETERS, &bars).run();
        let found = engine(&rules, PARAMETERS, &bars);
        prop_assert_eq!(&found.ended, &expected.ended);
        prop_assert_eq!(&found.trades, &expected.trades);
        prop_assert_eq!(found.cash, expected.cash);
    }
}
