//! A container: one parameter set, isolated, with a result when it is destroyed.
//!
//! It is driven block by block. The strategy's masks say where conditions hold; the container
//! latches them against the position it has, so it is touched where something happens and not on
//! every bar. All that it does is told as events; its metrics are folds over those events.
//!
//! Order within bar i: orders decided on the close of bar i - 1 fill; stops are tested; equity is
//! marked at the close; the strategy decides.

mod orders;
mod sink;

pub use sink::{NoSink, Sink};

use crate::execution::{ExecutionRules, Stops};
use crate::market::BarBlock;
use crate::metrics::{BlockFigures, EquityFold, EquityPath, ExecutionFold, TradeFold};
use crate::portfolio::{Direction, PortfolioRules};
use crate::segment::retention::TraceRules;
use crate::strategy::{FEATURES_MAX, Masks, WORDS};
use admf_formats::event::{self, Payload, Reason, Side, Stamp};
use admf_formats::result::{Ledger, ResultRecord, Status};
use admf_formats::units::{PARAMETERS_MAX, QUANTUM_BARS};

/// What all containers of a phase have in common.
#[derive(Clone, Debug, PartialEq)]
pub struct ContainerRules {
    /// Portfolio rules.
    pub portfolio: PortfolioRules,
    /// Execution rules.
    pub execution: ExecutionRules,
    /// What is traced and kept.
    pub trace: TraceRules,
}

impl ContainerRules {
    /// How equity is folded under these rules.
    pub fn equity_path(&self) -> EquityPath {
        if self.portfolio.is_all_in() {
            EquityPath::AllIn
        } else {
            EquityPath::PerBar
        }
    }
}

/// The bars a container trades on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// First bar, absolute.
    pub first: u64,
    /// The bar after the last.
    pub end: u64,
}

/// A block of bars with everything that its containers share.
#[derive(Clone, Copy)]
pub struct BlockView<'a> {
    /// The bars.
    pub bars: &'a BarBlock,
    /// Prefix sums and extremes of the closes.
    pub figures: &'a BlockFigures,
}

/// A position that is held.
#[derive(Clone, Copy, Debug)]
struct Position {
    units: f64,
    entry_price: f64,
    entry_ts_ns: i64,
    entry_bar: u32,
    commission: f64,
    slippage: f64,
    /// Lowest low and highest high of the bars held so far, the entry price counted.
    low: f64,
    high: f64,
    stops: Option<Stops>,
    open_sequence: u64,
}

/// A decision whose orders wait for their fill.
#[derive(Clone, Copy, Debug)]
struct Pending {
    /// -1, 0 or 1: the position that is wanted.
    target: f64,
    close: f64,
    ts_ns: i64,
    bar: u32,
    /// Sequence of the order that closes, and of the one that opens; 0 for none.
    exit_order: u64,
    entry_order: u64,
}

/// One container.
#[derive(Clone, Debug)]
pub struct Container {
    /// Index in its phase, from 0.
    pub index: u64,
    /// Parameter values.
    pub parameters: [f64; PARAMETERS_MAX],
    /// Where its strategy's features lie among the tile's columns.
    pub columns: [u16; FEATURES_MAX],
    symbol: u16,
    span: Span,
    /// First bar whose close it may decide on.
    first_decision: u64,
    cash: f64,
    position: Option<Position>,
    pending: Option<Pending>,
    equity: EquityFold,
    trades: TradeFold,
    execution: ExecutionFold,
    first_ts_ns: i64,
    last_ts_ns: i64,
    /// Next bar of the block that equity was not folded for, absolute.
    folded: u64,
    sequence: u64,
    trade: u32,
    features_sequence: u64,
}

impl Container {
    /// A container before its first bar.
    pub fn new(
        index: u64,
        symbol: u16,
        parameters: [f64; PARAMETERS_MAX],
        columns: [u16; FEATURES_MAX],
        rules: &ContainerRules,
        span: Span,
        first_decision: u64,
    ) -> Container {
        Container {
            index,
            parameters,
            columns,
            symbol,
            span,
            first_decision: first_decision.max(span.first),
            cash: rules.portfolio.initial_capital,
            position: None,
            pending: None,
            equity: EquityFold::new(rules.equity_path(), rules.portfolio.initial_capital),
            trades: TradeFold::default(),
            execution: ExecutionFold::default(),
            first_ts_ns: 0,
            last_ts_ns: 0,
            folded: span.first,
            sequence: 0,
            trade: 0,
            features_sequence: 0,
        }
    }

    /// Whether equity was exhausted: the container has failed.
    pub const fn is_exhausted(&self) -> bool {
        self.equity.is_exhausted()
    }

    /// Lives through one block. Blocks come in order; those without a bar of the span are ignored.
    #[inline]
    pub fn run_block<S: Sink>(
        &mut self,
        rules: &ContainerRules,
        masks: &Masks,
        block: BlockView<'_>,
        sink: &mut S,
    ) {
        let start = block.bars.first_bar;
        let first = self.span.first.max(start);
        let end = self.span.end.min(start + block.bars.bars as u64);
        if first >= end || self.is_exhausted() {
            return;
        }
        let ts_ns = |bar: u64| block.bars.ts_ns[(bar - start) as usize];
        if first == self.span.first {
            self.first_ts_ns = ts_ns(first);
        }
        self.last_ts_ns = ts_ns(end - 1);
        self.announce(rules, block, first, end, sink);
        self.run_bars(rules, masks, block, first, end, sink);
        if self.span.end == end {
            self.finish(rules, block, end, sink);
        }
        self.fold_to(block, end);
        if self.span.end == end {
            let (equity, events) = (self.equity.equity(), self.sequence + 1);
            self.emit(
                sink,
                block.bars,
                end - 1,
                0,
                0,
                Side::Flat,
                &event::SystemStop { equity, events },
            );
        }
    }

    /// SYSTEM_START before the first bar; BAR and FEATURES for the block's bars.
    fn announce<S: Sink>(
        &mut self,
        rules: &ContainerRules,
        block: BlockView<'_>,
        first: u64,
        end: u64,
        sink: &mut S,
    ) {
        if self.sequence == 0 {
            let capital = rules.portfolio.initial_capital;
            let bars = self.span.end - self.span.first;
            let start = self.emit(
                sink,
                block.bars,
                first,
                0,
                0,
                Side::Flat,
                &event::SystemStart { capital, bars },
            );
            let update = event::PortfolioUpdate {
                units: 0.0,
                cash: capital,
                equity: capital,
            };
            self.emit(sink, block.bars, first, 0, start, Side::Flat, &update);
        }
        let bars = end - first;
        let bar = self.emit(
            sink,
            block.bars,
            first,
            0,
            0,
            Side::Flat,
            &event::Bar { bars },
        );
        self.features_sequence = self.emit(
            sink,
            block.bars,
            first,
            0,
            bar,
            Side::Flat,
            &event::Features { bars },
        );
    }

    /// Decisions, fills and stops of the bars `first..end`, all in this block.
    #[inline]
    fn run_bars<S: Sink>(
        &mut self,
        rules: &ContainerRules,
        masks: &Masks,
        block: BlockView<'_>,
        first: u64,
        end: u64,
        sink: &mut S,
    ) {
        let start = block.bars.first_bar;
        if self.pending.is_some() {
            self.fill(rules, block, first, sink);
        }
        // The next bar that may decide; stops are tested from `stop_from` on.
        let mut from = first;
        loop {
            let wanted =
                self.next_decision(rules, masks, start, from.max(self.first_decision), end);
            let until = wanted.map_or(end, |(bar, _)| bar + 1);
            if let Some(stopped) = self.test_stops(rules, block, from, until, sink) {
                from = stopped;
                // A decision on the close of the very bar of the stop sees the flat position.
                if let Some((bar, target)) =
                    self.next_decision(rules, masks, start, from.max(self.first_decision), from + 1)
                {
                    from = self.decide(rules, block, bar, target, end, sink);
                } else {
                    from += 1;
                }
            } else if let Some((bar, target)) = wanted {
                from = self.decide(rules, block, bar, target, end, sink);
            } else {
                return;
            }
            if from >= end {
                return;
            }
        }
    }

    /// Decides on the close of `bar` and fills during the next one where that lies in the block.
    #[inline]
    fn decide<S: Sink>(
        &mut self,
        rules: &ContainerRules,
        block: BlockView<'_>,
        bar: u64,
        target: f64,
        end: u64,
        sink: &mut S,
    ) -> u64 {
        self.place(rules, block, bar, target, sink);
        if bar + 1 < end {
            self.fill(rules, block, bar + 1, sink);
        }
        bar + 1
    }

    /// The first bar in `from..end` on which the strategy wants another position than the one held.
    #[inline]
    fn next_decision(
        &self,
        rules: &ContainerRules,
        masks: &Masks,
        start: u64,
        from: u64,
        end: u64,
    ) -> Option<(u64, f64)> {
        if from >= end {
            return None;
        }
        let held = self
            .position
            .as_ref()
            .map_or(0.0, |position| position.units.signum());
        let direction = rules.portfolio.direction;
        let may_long = direction != Direction::ShortOnly;
        let may_short = direction != Direction::LongOnly;
        let (mut at, end) = ((from - start) as usize, (end - start) as usize);
        while at < end {
            let word = at / 64;
            let long = if may_long && held <= 0.0 {
                masks.enter_long[word]
            } else {
                0
            };
            let short = if may_short && held >= 0.0 {
                masks.enter_short[word]
            } else {
                0
            };
            let leave = if held > 0.0 {
                masks.exit_long[word]
            } else if held < 0.0 {
                masks.exit_short[word]
            } else {
                0
            };
            let bits = (long | short | leave) >> (at % 64);
            if bits != 0 {
                let bit = at + bits.trailing_zeros() as usize;
                if bit >= end {
                    return None;
                }
                let is = |mask: u64| mask >> (bit % 64) & 1 == 1;
                let target = if is(long) {
                    1.0
                } else if is(short) {
                    -1.0
                } else {
                    0.0
                };
                return Some((start + bit as u64, target));
            }
            at = (word + 1) * 64;
        }
        debug_assert!(end <= WORDS * 64 && QUANTUM_BARS == WORDS * 64);
        None
    }

    /// Folds equity up to but without `bar`.
    #[inline(always)]
    fn fold_to(&mut self, block: BlockView<'_>, bar: u64) {
        let start = block.bars.first_bar;
        let (first, end) = ((self.folded - start) as usize, (bar - start) as usize);
        self.equity.fold(
            first,
            end,
            &block.bars.close[..block.bars.bars],
            block.figures,
        );
        self.folded = bar;
        if first < end && self.position.is_some() {
            self.extend_reach(block, first, end);
        }
    }

    /// The held position saw the bars from offset `first` up to but without `end`.
    #[inline(always)]
    fn extend_reach(&mut self, block: BlockView<'_>, first: usize, end: usize) {
        let (lows, highs) = (&block.bars.low[..], &block.bars.high[..]);
        let (low, high) = match self.equity.path() {
            EquityPath::AllIn => block.figures.reach(first, end - 1, lows, highs),
            EquityPath::PerBar => {
                let lower = |a: f64, b: &f64| if *b < a { *b } else { a };
                let higher = |a: f64, b: &f64| if *b > a { *b } else { a };
                (
                    lows[first..end].iter().fold(f64::INFINITY, lower),
                    highs[first..end].iter().fold(f64::NEG_INFINITY, higher),
                )
            }
        };
        if let Some(position) = &mut self.position {
            position.low = position.low.min(low);
            position.high = position.high.max(high);
        }
    }

    /// Tells an event of `bar` and gives its sequence number.
    #[inline(always)]
    #[expect(
        clippy::too_many_arguments,
        reason = "what every event has, spelled out once"
    )]
    fn emit<S: Sink, P: Payload>(
        &mut self,
        sink: &mut S,
        bars: &BarBlock,
        bar: u64,
        trade: u32,
        cause: u64,
        side: Side,
        payload: &P,
    ) -> u64 {
        let ts_ns = bars.ts_ns[(bar - bars.first_bar) as usize];
        self.tell(
            sink,
            ts_ns,
            bar as u32,
            trade,
            cause,
            (side as u8, 0),
            payload,
        )
    }

    #[inline(always)]
    #[expect(
        clippy::too_many_arguments,
        reason = "what every event has, spelled out once"
    )]
    fn tell<S: Sink, P: Payload>(
        &mut self,
        sink: &mut S,
        ts_ns: i64,
        bar: u32,
        trade: u32,
        cause: u64,
        (code, detail): (u8, u8),
        payload: &P,
    ) -> u64 {
        self.sequence += 1;
        if sink.wants(P::KIND) {
            let cause_back = if cause == 0 {
                0
            } else {
                (self.sequence - cause) as u32
            };
            let stamp = Stamp {
                sequence: self.sequence,
                ts_ns,
                trade,
                bar,
                cause_back,
                symbol: self.symbol,
                code,
                detail,
            };
            sink.emit(&stamp, payload);
        }
        self.sequence
    }

    /// ERROR as the last event of a container that cannot go on.
    pub fn fail<S: Sink>(&mut self, reason: Reason, bars: &BarBlock, sink: &mut S) {
        let value = self.equity.equity();
        let last = bars.bars.saturating_sub(1);
        let (ts_ns, bar) = (bars.ts_ns[last], bars.first_bar as u32 + last as u32);
        self.tell(
            sink,
            ts_ns,
            bar,
            0,
            0,
            (0, reason as u8),
            &event::Error { value },
        );
    }

    /// The result, when the container is destroyed.
    pub fn result(&self, status: Status, ledger: Ledger) -> ResultRecord {
        ResultRecord {
            index: self.index,
            first_bar: self.span.first,
            events: self.sequence,
            first_ts_ns: self.first_ts_ns,
            last_ts_ns: self.last_ts_ns,
            status: status as u32,
            symbol: u32::from(self.symbol),
            parameters: self.parameters,
            equity: self.equity.totals(),
            trades: *self.trades.totals(),
            execution: *self.execution.totals(),
            ledger,
        }
    }
}
