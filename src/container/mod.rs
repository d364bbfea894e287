//! A container: one parameter set, isolated, with a result when it is destroyed.
//!
//! It is driven block by block. The strategy's masks say where conditions hold; the container
//! latches them against the position it has, so it is touched where something happens and not on
//! every bar. All that it does is told as events; its metrics are folds over those events.
//!
//! Order within bar i: orders decided on the close of bar i - 1 fill; exits are tested; equity is
//! marked at the close; the strategy decides.
//!
//! Longer than other files by a few lines: the rules that all parts of a container look at stand here.

mod books;
mod entries;
mod exits;
mod guarded;
mod managed;
mod orders;
mod plain;
mod position;
mod rule_features;
mod scale_out;
mod sink;
mod watch;
mod wishes;

use books::Books;
use managed::Besides;
use position::Position;
pub use rule_features::{RuleFeature, RuleFeatures};
pub use sink::{NoSink, PerStep, Sink, Untold};
use watch::Watch;
use wishes::Wishes;

use crate::execution::{Entry, ExecutionRules, ExitRules, Seen, Waiting};
use crate::features::{Feature, FeatureColumns};
use crate::kernel;
use crate::market::{BarBlock, Calendar, LocalTimes};
use crate::metrics::{BlockFigures, EquityPath};
use crate::portfolio::{Direction, PortfolioRules, RiskRules, Sizing};
use crate::segment::retention::TraceRules;
use crate::strategy::{FEATURES_MAX, Mask, Masks};
use admf_formats::event::{self, EventKind, EventSet, ExitReason, Payload, Reason, Side, Stamp};
use admf_formats::result::{Ledger, ResultRecord, Status};
use admf_formats::segment::frame_bytes;
use admf_formats::units::{PARAMETERS_MAX, QUANTUM_BARS};
use serde::{Deserialize, Serialize};

/// What all containers of a phase have in common.
#[derive(Clone, Debug, PartialEq)]
pub struct ContainerRules {
    /// Portfolio rules.
    pub portfolio: PortfolioRules,
    /// Execution rules.
    pub execution: ExecutionRules,
    /// Exits beside the strategy's own.
    pub exits: ExitRules,
    /// Features that exits and prices of orders are measured by.
    pub features: RuleFeatures,
    /// Limits on risk.
    pub risk: RiskRules,
    /// What is traced and kept.
    pub trace: TraceRules,
    /// Where days begin.
    pub calendar: Calendar,
}

impl ContainerRules {
    /// How equity is folded under these rules.
    pub fn equity_path(&self) -> EquityPath {
        if self.is_all_in() {
            EquityPath::AllIn
        } else {
            EquityPath::PerBar
        }
    }

    /// Whether all cash goes into a long position of fractional units, so that cash is exactly
    /// zero while units are held.
    #[inline(always)]
    pub fn is_all_in(&self) -> bool {
        self.portfolio.is_all_in()
            && !self.risk.limits_entries()
            && self.exits.scale_out.count() == 0
    }

    /// What entries are sized by, where that is a feature.
    pub const fn measure(&self) -> Option<Feature> {
        match self.portfolio.sizing {
            Sizing::Atr { period, .. } => Some(Feature::Atr(period)),
            Sizing::Volatility { period, .. } => Some(Feature::Volatility(period)),
            _ => None,
        }
    }

    /// Bytes of events of these kinds that an open trade can have, with the orders of the next one:
    /// what a ring under `trade_complete` holds at most, whatever its cap.
    ///
    /// A position that is added to, or that pays fees by the night, has as many events as it lives
    /// long: there the cap is the bound.
    pub fn trade_bytes_max(&self, kinds: EventSet) -> u64 {
        if self.portfolio.max_entries > 1 || self.pays_by_the_night() {
            return u64::MAX;
        }
        let is_cut = matches!(
            self.portfolio.sizing,
            // An entry may be cut to the cash.
            Sizing::RiskPerTrade { .. } | Sizing::Atr { .. } | Sizing::Volatility { .. }
        );
        let is_limited = self.risk.limits_entries() || self.risk.watches_equity();
        let more = if is_cut || is_limited { 512 } else { 0 };
        let partial_exits = self.exits.scale_out.count() as u64;
        let bytes = |events: &[(EventKind, u64)]| -> u64 {
            let selected = events.iter().filter(|(kind, _)| kinds.contains(*kind));
            let bytes = |(kind, count): &(EventKind, u64)| frame_bytes(*kind) as u64 * count;
            selected.map(bytes).sum()
        };
        bytes(&TRADE_EVENTS) + more + partial_exits * bytes(&PARTIAL_EXIT_EVENTS)
    }

    /// Whether some rule looks at local days or times of day.
    pub const fn needs_local_times(&self) -> bool {
        self.watches_days()
            || self.exits.end_of_day.is_some()
            || matches!(self.execution.entry.time_in_force, Waiting::Day)
    }

    /// Whether days are watched for fees or losses.
    const fn watches_days(&self) -> bool {
        self.pays_by_the_night() || self.risk.max_daily_loss < f64::INFINITY
    }

    /// Whether something but the strategy's masks, at the next price, opens or closes positions.
    #[inline(always)]
    const fn is_managed(&self) -> bool {
        !(self.exits.is_none() && matches!(self.execution.entry.order, Entry::Market))
    }

    /// Whether positions are of one side and have one entry.
    #[inline(always)]
    const fn is_one_sided(&self) -> bool {
        self.portfolio.max_entries <= 1 && !matches!(self.portfolio.direction, Direction::LongShort)
    }

    /// Whether positions of one side are opened at the market, and closed as a whole by masks, levels
    /// or a number of bars.
    #[inline(always)]
    const fn is_guarded(&self) -> bool {
        self.is_one_sided()
            && matches!(self.execution.entry.order, Entry::Market)
            && self.exits.scale_out.count() == 0
            && self.exits.end_of_day.is_none()
    }

    /// Whether positions may pay borrow fees.
    const fn pays_by_the_night(&self) -> bool {
        self.execution.borrow.is_some() && !matches!(self.portfolio.direction, Direction::LongOnly)
    }

    /// Whether some rule needs more than the strategy's masks: such containers take a slower path.
    #[inline(always)]
    const fn is_watched(&self) -> bool {
        self.watches_days() || self.risk.watches_equity()
    }
}

/// Events of a partial exit.
const PARTIAL_EXIT_EVENTS: [(EventKind, u64); 4] = [
    (EventKind::Order, 1),
    (EventKind::Fill, 1),
    (EventKind::PositionUpdate, 1),
    (EventKind::PortfolioUpdate, 1),
];

/// Events of a trade with one entry, from the first of them up to the orders of the next one.
const TRADE_EVENTS: [(EventKind, u64); 7] = [
    // Of its entry and its exit.
    (EventKind::Signal, 2),
    (EventKind::Fill, 2),
    (EventKind::PortfolioUpdate, 2),
    (EventKind::PositionOpen, 1),
    (EventKind::PositionClose, 1),
    // Of the next entry too.
    (EventKind::OrderRequest, 3),
    // The entry's trigger too, and an exit that another one supersedes.
    (EventKind::Order, 6),
];

/// The bars a container trades on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
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
    /// Local days and times, built where [`ContainerRules::needs_local_times`].
    pub times: &'a LocalTimes,
    /// Columns of the tile's features.
    pub features: &'a FeatureColumns,
    /// What the container's entries are sized by, where that is a column.
    pub measure: Option<&'a [f64; QUANTUM_BARS]>,
    /// Square root of the bars that make a year.
    pub year_root: f64,
}

impl<'a> BlockView<'a> {
    /// The closes of its bars.
    #[inline(always)]
    fn closes(&self) -> &'a [f64] {
        &self.bars.close[..self.bars.bars]
    }

    /// The bar at this offset, whole.
    #[inline(always)]
    fn seen(&self, at: usize) -> Seen {
        Seen {
            start: self.bars.open[at],
            high: self.bars.high[at],
            low: self.bars.low[at],
        }
    }

    /// What an entry that is decided on bar `at` of the block is sized by; NaN for nothing.
    #[inline(always)]
    fn measure_at(&self, at: usize, rules: &ContainerRules) -> f64 {
        let Some(column) = self.measure else {
            return f64::NAN;
        };
        match rules.portfolio.sizing {
            Sizing::Volatility { .. } => column[at] * self.year_root,
            _ => column[at],
        }
    }
}

/// A decision whose orders wait for their fill.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Pending {
    /// -1, 0 or 1: the position that is wanted.
    target: f64,
    close: f64,
    ts_ns: i64,
    bar: u32,
    /// Sequence of the order that closes, and of the one that opens; 0 for none.
    exit_order: u64,
    entry_order: u64,
    /// Why it closes what is held, where it does.
    exit_reason: ExitReason,
    /// What its entry is sized by, at the bar of the decision; NaN where it is not known. The
    /// volatility is that of a year.
    measure: f64,
}

/// One container. All that it is at the end of a block is in its fields, and goes into checkpoints.
#[derive(Clone, Debug, Serialize, Deserialize)]
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
    books: Books,
    position: Option<Position>,
    pending: Option<Pending>,
    first_ts_ns: i64,
    last_ts_ns: i64,
    sequence: u64,
    trade: u32,
    features_sequence: u64,
    /// Entry conditions, long and short, that held on the last bar of the block before.
    entering: [bool; 2],
    watch: Watch,
    managed: Besides,
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
            books: Books::new(rules, span.first),
            position: None,
            pending: None,
            first_ts_ns: 0,
            last_ts_ns: 0,
            sequence: 0,
            trade: 0,
            features_sequence: 0,
            entering: [false; 2],
            watch: Watch::new(rules.portfolio.initial_capital),
            managed: Besides::new(rules),
        }
    }

    /// Bytes that a container takes at most.
    pub const BYTES_MAX: usize = size_of::<Container>() + Besides::BYTES;

    /// Bytes that one takes under these rules.
    pub const fn bytes(rules: &ContainerRules) -> usize {
        if rules.is_managed() {
            Container::BYTES_MAX
        } else {
            size_of::<Container>()
        }
    }

    /// Asks for a container that lives through its block soon.
    #[inline(always)]
    pub fn prefetch(&self) {
        kernel::prefetch(self);
        self.managed.prefetch();
    }

    /// Goes on from what this container was when it was saved. Which columns are its own is a matter
    /// of the tile, and stays.
    pub fn resume(&mut self, saved: Container) {
        debug_assert_eq!(self.parameters, saved.parameters);
        *self = Container {
            columns: self.columns,
            ..saved
        };
    }

    /// As [`ContainerRules::is_all_in`].
    #[inline(always)]
    fn is_all_in(&self) -> bool {
        self.books.is_all_in()
    }

    /// Whether equity was exhausted: the container has failed.
    pub const fn is_exhausted(&self) -> bool {
        self.books.equity.is_exhausted()
    }

    /// Whether no mask of this block is read: it ends before the bar before the first decision, of which
    /// it may matter what held on it.
    #[inline(always)]
    pub fn decides_later(&self, bars: &BarBlock) -> bool {
        bars.first_bar + (bars.bars as u64) < self.first_decision
    }

    /// Lives through one block. Blocks come in order; those without a bar of the span are ignored.
    #[inline(always)]
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
        if rules.is_watched() {
            self.watch_bars(rules, masks, block, first, end, sink);
        } else {
            self.run_piece(rules, masks, block, first, end, sink);
        }
        if rules.portfolio.max_entries > 1 {
            let last = (end - 1 - start) as usize;
            let holds = |mask: &Mask| mask[last / 64] >> (last % 64) & 1 == 1;
            self.entering = [holds(&masks.enter_long), holds(&masks.enter_short)];
        }
        if self.span.end == end {
            self.finish(rules, block, end, sink);
        }
        self.fold_to(block, end);
        if self.span.end == end {
            let (equity, events) = (self.books.equity.equity(), self.sequence + 1);
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
    #[inline(always)]
    fn announce<S: Sink>(
        &mut self,
        rules: &ContainerRules,
        block: BlockView<'_>,
        first: u64,
        end: u64,
        sink: &mut S,
    ) {
        if self.sequence == 0 {
            self.begin(rules, block, first, sink);
        }
        let (bars, flat) = (end - first, Side::Flat);
        let bar = self.emit(sink, block.bars, first, 0, 0, flat, &event::Bar { bars });
        let features = event::Features { bars };
        self.features_sequence = self.emit(sink, block.bars, first, 0, bar, flat, &features);
    }

    /// SYSTEM_START, and what there is to begin with.
    #[cold]
    fn begin<S: Sink>(
        &mut self,
        rules: &ContainerRules,
        block: BlockView<'_>,
        first: u64,
        sink: &mut S,
    ) {
        let (capital, flat) = (rules.portfolio.initial_capital, Side::Flat);
        let bars = self.span.end - self.span.first;
        let start = event::SystemStart { capital, bars };
        let start = self.emit(sink, block.bars, first, 0, 0, flat, &start);
        let update = event::PortfolioUpdate {
            units: 0.0,
            cash: capital,
            equity: capital,
        };
        self.emit(sink, block.bars, first, 0, start, flat, &update);
    }

    /// Decisions, fills and exits of the bars `first..end`, all in this block.
    #[inline(always)]
    fn run_piece<S: Sink>(
        &mut self,
        rules: &ContainerRules,
        masks: &Masks,
        block: BlockView<'_>,
        first: u64,
        end: u64,
        sink: &mut S,
    ) {
        if self.managed.is_some() {
            if sink.only_counts_closed() && rules.is_guarded() {
                self.run_managed(rules, masks, block, first..end, true, &mut sink.lasting());
            } else {
                self.run_managed(rules, masks, block, first..end, false, sink);
            }
        } else if sink.only_counts_closed() && rules.is_one_sided() {
            self.run_plain(rules, masks, block, first, end, &mut sink.lasting());
        } else {
            self.run_bars(rules, masks, block, first, end, sink);
        }
    }

    /// The same where the masks alone decide, at the next price.
    #[inline(never)]
    fn run_bars<S: Sink>(
        &mut self,
        rules: &ContainerRules,
        masks: &Masks,
        block: BlockView<'_>,
        first: u64,
        end: u64,
        sink: &mut S,
    ) {
        let wishes = Wishes {
            all: masks,
            allowed: masks,
            start: block.bars.first_bar,
        };
        if self.pending.is_some() {
            self.fill(rules, block, first, sink);
        }
        let mut from = first.max(self.first_decision);
        loop {
            let held = self.position.as_ref();
            let held = held.map_or(0.0, |position| position.units.signum());
            let Some((bar, target)) = self.next_wanted(rules, wishes, held, from, end) else {
                return;
            };
            self.place(rules, block, bar, target, sink);
            from = bar + 1;
            if from >= end {
                return;
            }
            self.fill(rules, block, from, sink);
        }
    }

    /// Folds equity up to but without `bar`.
    #[inline(always)]
    fn fold_to(&mut self, block: BlockView<'_>, bar: u64) {
        let range = self.books.fold_to(block, bar);
        if let (Some(range), Some(position)) = (range, &mut self.position) {
            position.see(&range);
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
        let value = self.books.equity.equity();
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
            equity: self.books.equity.totals(),
            trades: *self.books.trades.totals(),
            execution: *self.books.execution.totals(),
            ledger,
        }
    }
}
