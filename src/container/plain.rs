//! Containers whose positions are of one side, opened and closed by the masks alone: what most sweeps
//! are.
//!
//! Does what [`Container::run_bars`] does, to the bit, where the events of trades that end before
//! the block does need only be counted: such a trade is lived through in one step, without orders.

use super::books::Books;
use super::orders::{Execution, market, side};
use super::sink::Untold;
use super::{BlockView, Container, ContainerRules, Sink};
use crate::execution::{Commission, Costs, FillAt};
use crate::kernel::{self, Wide};
use crate::metrics::EquityPath;
use crate::portfolio::Direction;
use crate::strategy::{Mask, Masks, WORDS};
use admf_formats::event::{OrderRequest, OrderStatus, Signal};
use admf_formats::units::{F64_NULL, QUANTUM_BARS};
use std::ops::Range;

/// Events of one step: of a decision, of an entry or of an exit.
const EVENTS: u64 = 3;

/// Where a mask has bars, to be asked for one after another.
struct Bars {
    /// The mask, and a bar behind it.
    words: [u64; 2 * WORDS],
    /// The words that have any.
    filled: usize,
}

impl Bars {
    fn of(mask: &Mask) -> Bars {
        let mut bars = Bars {
            words: [1; 2 * WORDS],
            filled: 1 << WORDS,
        };
        bars.words[..WORDS].copy_from_slice(mask);
        for (word, bits) in mask.iter().enumerate() {
            bars.filled |= usize::from(*bits != 0) << word;
        }
        bars
    }

    /// The first bar from offset `from` on, which is no more than the bars of a block; these where
    /// there is none. There is nothing in it to guess: how many words lie between is not known.
    #[inline(always)]
    fn next(&self, from: usize) -> usize {
        let word = from / 64;
        let here = self.words[word % (2 * WORDS)] & u64::MAX << (from % 64);
        let later = (self.filled & usize::MAX << 1 << word).trailing_zeros() as usize;
        let (word, bits) = if here == 0 {
            (later, self.words[later % (2 * WORDS)])
        } else {
            (word, here)
        };
        word * 64 + bits.trailing_zeros() as usize
    }
}

impl Container {
    /// Decisions and fills of the bars `first..end`, all in this block.
    #[inline(always)]
    pub(super) fn run_plain<S: Sink>(
        &mut self,
        rules: &ContainerRules,
        masks: &Masks,
        block: BlockView<'_>,
        first: u64,
        end: u64,
        sink: &mut S,
    ) {
        if self.pending.is_some() {
            self.fill(rules, block, first, sink);
        }
        let start = block.bars.first_bar;
        let (sign, enter, exit) = if rules.portfolio.direction == Direction::LongOnly {
            (1.0, &masks.enter_long, &masks.exit_long)
        } else {
            (-1.0, &masks.enter_short, &masks.exit_short)
        };
        let (enter, exit) = (Bars::of(enter), Bars::of(exit));
        let from = first.max(self.first_decision).saturating_sub(start) as usize;
        let mut from = from.min(QUANTUM_BARS);
        let end = (end - start) as usize;
        let mut untold = Untold::default();
        loop {
            let is_held = self.position.is_some();
            let at = if is_held {
                exit.next(from)
            } else {
                let bars = (&enter, &exit, from..end);
                let (trades, at) = self.whole_trades(rules, block, sign, bars);
                self.trade += trades;
                self.sequence += 4 * EVENTS * u64::from(trades);
                untold.decisions += 2 * u64::from(trades);
                untold.entries += u64::from(trades);
                untold.exits += u64::from(trades);
                at
            };
            if at >= end {
                break;
            }
            from = at + 1;
            if from >= end {
                // It fills in the next block.
                let target = if is_held { 0.0 } else { sign };
                self.place(rules, block, start + at as u64, target, sink);
                break;
            }
            if is_held {
                let execution = Container::execution(rules.execution.fill, block, at);
                self.fold_to(block, execution.booked);
                self.sequence += 2 * EVENTS;
                untold.decisions += 1;
                untold.exits += 1;
                if let Some(closed) = self.leave(rules, &execution) {
                    sink.end_trade(closed.trade);
                }
            } else {
                // It outlives the block, or is rejected, or cut by a limit: told as it happens.
                self.enter_plainly(rules, block, at, sign, sink);
            }
        }
        sink.count_closed(untold);
    }

    /// Lives through the trades that begin and end within these bars, nothing being held; gives how
    /// many there were, and the bar of the first entry that is no such trade, if there is one.
    #[inline(always)]
    fn whole_trades(
        &mut self,
        rules: &ContainerRules,
        block: BlockView<'_>,
        sign: f64,
        (enter, exit, bars): (&Bars, &Bars, Range<usize>),
    ) -> (u32, usize) {
        // Most blocks of long positions have none, and need no books taken out.
        let first = enter.next(bars.start);
        if first + 1 >= bars.end || exit.next(first + 1) + 1 >= bars.end {
            return (0, first);
        }
        let is_usual = self.is_all_in() && rules.execution.fill == FillAt::NextOpen;
        let costs = rules.execution.costs();
        let trades = WholeTrades {
            books: &mut self.books,
            rules,
            block,
            sign,
            costs,
            fill: rules.execution.fill,
            enter,
            exit,
            bars,
        };
        match costs.commission {
            Commission::Rate(rate) if is_usual => kernel::run_wide(Usual { trades, rate }),
            _ => kernel::run_wide(trades),
        }
    }

    /// The entry that is decided on the bar at this offset while nothing is held, and its fill.
    #[inline(always)]
    fn enter_plainly<S: Sink>(
        &mut self,
        rules: &ContainerRules,
        block: BlockView<'_>,
        at: usize,
        sign: f64,
        sink: &mut S,
    ) {
        let mut execution = Container::execution(rules.execution.fill, block, at);
        let reference_price = execution.reference_price;
        let price = rules.execution.price_cost.worsen(reference_price, sign);
        let commission = rules.execution.commission;
        let decided = (block, at);
        let Some(units) = (self.books).plain_units(rules, commission, decided, sign, price) else {
            let bar = block.bars.first_bar + at as u64;
            self.place(rules, block, bar, sign, sink);
            self.fill(rules, block, bar + 1, sink);
            return;
        };
        self.fold_to(block, execution.booked);
        self.trade += 1;
        execution.order = self.tell_decision(block, at, sign, sink);
        self.enter(rules, &execution, sign * units, price);
        self.tell_opened(execution, sink);
    }

    /// SIGNAL, ORDER_REQUEST and ORDER of an entry that is decided while nothing is held; gives the
    /// order's sequence.
    #[inline(always)]
    fn tell_decision<S: Sink>(
        &mut self,
        block: BlockView<'_>,
        at: usize,
        target: f64,
        sink: &mut S,
    ) -> u64 {
        let (price, ts_ns) = (block.bars.close[at], block.bars.ts_ns[at]);
        let bar = (block.bars.first_bar + at as u64) as u32;
        let (trade, code) = (self.trade, (side(target) as u8, 0));
        let signal = Signal {
            price,
            strength: 1.0,
        };
        let cause = self.features_sequence;
        let signal = self.tell(sink, ts_ns, bar, trade, cause, code, &signal);
        let request = OrderRequest { price, target };
        let request = self.tell(sink, ts_ns, bar, trade, signal, code, &request);
        let accepted = (OrderStatus::Accepted as u8, 0);
        let order = market(F64_NULL, None);
        self.tell(sink, ts_ns, bar, trade, request, accepted, &order)
    }

    /// The fill of what is decided on the bar at this offset, of which the next one is in the block.
    #[inline(always)]
    fn execution(fill: FillAt, block: BlockView<'_>, at: usize) -> Execution {
        let bars = block.bars;
        let filled = match fill {
            FillAt::NextOpen => at + 1,
            FillAt::SameClose => at,
        };
        let reference_price = match fill {
            FillAt::NextOpen => bars.open[filled],
            FillAt::SameClose => bars.close[filled],
        };
        Execution {
            reference_price,
            limit: F64_NULL,
            ts_ns: bars.ts_ns[filled],
            bar: (bars.first_bar + filled as u64) as u32,
            booked: bars.first_bar + at as u64 + 1,
            order: 0,
        }
    }
}

/// Trades that begin and end within a block.
struct WholeTrades<'a> {
    books: &'a mut Books,
    rules: &'a ContainerRules,
    block: BlockView<'a>,
    sign: f64,
    costs: Costs,
    fill: FillAt,
    enter: &'a Bars,
    exit: &'a Bars,
    /// Offsets in the block, nothing being held at the first.
    bars: Range<usize>,
}

impl Wide for WholeTrades<'_> {
    /// How many there were, and the first entry that is none of them.
    type Output = (u32, usize);

    #[inline(always)]
    fn run(self) -> (u32, usize) {
        // Taken out of the container: what every trade changes may lie in registers.
        let mut books = *self.books;
        let lived = self.live(&mut books);
        *self.books = books;
        lived
    }
}

impl WholeTrades<'_> {
    #[inline(always)]
    fn live(&self, books: &mut Books) -> (u32, usize) {
        let (block, fill, costs) = (self.block, self.fill, self.costs);
        let (mut from, end) = (self.bars.start, self.bars.end.min(QUANTUM_BARS));
        let mut trades = 0;
        loop {
            let at = self.enter.next(from);
            if at + 1 >= end {
                return (trades, at);
            }
            let until = self.exit.next(at + 1);
            if until + 1 >= end {
                return (trades, at);
            }
            let execution = Container::execution(fill, block, at);
            let price = costs
                .price_cost
                .worsen(execution.reference_price, self.sign);
            let (rules, decided) = (self.rules, (block, at));
            let units = books.plain_units(rules, costs.commission, decided, self.sign, price);
            let Some(units) = units else {
                return (trades, at);
            };
            books.flat_to(execution.booked);
            let units = self.sign * units;
            let mut position = books.opened(costs, &execution, (0, 0), units, price);
            let execution = Container::execution(fill, block, until);
            position.see(&books.held_to(block, execution.booked));
            books.closed(costs, &execution, &position);
            trades += 1;
            from = until + 1;
        }
    }
}

impl Books {
    /// Units of an entry that is decided on the bar at this offset, unsigned, where no rule refuses
    /// it or makes it smaller.
    #[inline(always)]
    fn plain_units(
        &self,
        rules: &ContainerRules,
        commission: Commission,
        (block, at): (BlockView<'_>, usize),
        sign: f64,
        price: f64,
    ) -> Option<f64> {
        if self.is_all_in() {
            return self.all_in_units(commission, price).ok();
        }
        let measure = block.measure_at(at, rules);
        let entry = self.entry(rules, 0.0, sign, measure, f64::NAN, price);
        if entry.breaches.iter().any(Option::is_some) {
            return None;
        }
        entry.units.ok()
    }
}

/// The same, of most containers: all in, at a rate of commission, at the next open. What is known is
/// not asked for at every trade.
struct Usual<'a> {
    trades: WholeTrades<'a>,
    rate: f64,
}

impl Wide for Usual<'_> {
    type Output = (u32, usize);

    #[inline(always)]
    fn run(self) -> (u32, usize) {
        let trades = self.trades;
        let mut books = Books {
            equity: trades.books.equity.known(EquityPath::AllIn),
            ..*trades.books
        };
        let usual = WholeTrades {
            books: trades.books,
            costs: Costs {
                commission: Commission::Rate(self.rate),
                ..trades.costs
            },
            sign: 1.0,
            fill: FillAt::NextOpen,
            ..trades
        };
        let lived = usual.live(&mut books);
        *usual.books = books;
        lived
    }
}
