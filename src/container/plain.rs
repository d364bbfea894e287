//! Containers whose positions are of one side, opened and closed by the masks alone: what most sweeps
//! are.
//!
//! Does what [`Container::run_bars`] does, to the bit, where the events of trades that end before
//! the block does need only be counted: such a trade is lived through in one step, without orders.

use super::books::Books;
use super::orders::{Execution, market, side};
use super::sink::Untold;
use super::{BlockView, Container, ContainerRules, Sink};
use crate::execution::{Commission, Costs, FillAt, PriceCost};
use crate::kernel::{self, Wide};
use crate::metrics::EquityPath;
use crate::portfolio::Direction;
use crate::strategy::{Mask, Masks, WORDS};
use admf_formats::event::{OrderRequest, OrderStatus, Signal};
use admf_formats::units::{F64_NULL, QUANTUM_BARS};
use std::ops::Range;

/// Events of one step: of a decision, of an entry or of an exit.
pub(super) const EVENTS: u64 = 3;

/// Where a mask has bars, to be asked for one after another.
pub(super) struct Bars<'a> {
    mask: &'a Mask,
    /// The words that have any, and one behind the last.
    filled: u64,
}

impl Bars<'_> {
    #[inline(always)]
    pub(super) fn of(mask: &Mask) -> Bars<'_> {
        let filled = kernel::filled_words(mask) | 1 << WORDS;
        Bars { mask, filled }
    }

    /// The first bar from offset `from` in the block on; some bar beyond the block where there is none.
    #[inline(always)]
    pub(super) fn next(&self, from: usize) -> usize {
        debug_assert!(from < QUANTUM_BARS);
        let word = from / 64;
        let here = self.mask[word % WORDS] & u64::MAX << (from % 64);
        let later = (self.filled & u64::MAX << 1 << word).trailing_zeros() as usize;
        let (word, bits) = if here == 0 {
            (later, self.mask[later % WORDS])
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
        let mut from = first.max(self.first_decision).saturating_sub(start) as usize;
        let end = (end - start) as usize;
        if from >= end {
            return;
        }
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
        // Most blocks of long positions have none.
        let first = enter.next(bars.start);
        if first + 1 >= bars.end || exit.next(first + 1) + 1 >= bars.end {
            return (0, first);
        }
        let (costs, fill) = (rules.execution.costs(), rules.execution.fill);
        let is_usual = self.is_all_in() && fill == FillAt::NextOpen;
        let among = Among {
            rules,
            block,
            enter,
            exit,
            bars,
        };
        let books = &mut self.books;
        match costs.commission {
            Commission::Rate(rate) if is_usual => {
                let (among, slippage) = (&among, costs.price_cost);
                kernel::run_wide(Usual {
                    books,
                    among,
                    rate,
                    slippage,
                })
            }
            _ => {
                let terms = Terms { sign, costs, fill };
                kernel::run_wide(Any {
                    books,
                    among: &among,
                    terms,
                })
            }
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
        let Some(units) =
            (self.books).plain_units(rules, commission, decided, sign, f64::NAN, price)
        else {
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
    pub(super) fn execution(fill: FillAt, block: BlockView<'_>, at: usize) -> Execution {
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

/// What trades that begin and end within a block are among.
struct Among<'a> {
    rules: &'a ContainerRules,
    block: BlockView<'a>,
    enter: &'a Bars<'a>,
    exit: &'a Bars<'a>,
    /// Offsets in the block, nothing being held at the first.
    bars: Range<usize>,
}

/// What is the same for all of them.
#[derive(Clone, Copy)]
struct Terms {
    sign: f64,
    costs: Costs,
    fill: FillAt,
}

impl Among<'_> {
    /// Lives through them: how many there were, and the first entry that is none of them.
    #[inline(always)]
    fn live(&self, books: &mut Books, terms: Terms) -> (u32, usize) {
        let (block, Terms { sign, costs, fill }) = (self.block, terms);
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
            let price = costs.price_cost.worsen(execution.reference_price, sign);
            let decided = (block, at);
            let units =
                books.plain_units(self.rules, costs.commission, decided, sign, f64::NAN, price);
            let Some(units) = units else {
                return (trades, at);
            };
            books.flat_to(execution.booked);
            let mut position = books.opened(costs, &execution, (0, 0), sign * units, price);
            let execution = Container::execution(fill, block, until);
            position.see(&books.held_to(block, execution.booked));
            books.closed(costs, &execution, &position);
            trades += 1;
            from = until + 1;
        }
    }
}

/// Trades of any terms.
struct Any<'a> {
    books: &'a mut Books,
    among: &'a Among<'a>,
    terms: Terms,
}

impl Wide for Any<'_> {
    type Output = (u32, usize);

    #[inline(always)]
    fn run(self) -> (u32, usize) {
        let mut books = *self.books;
        let lived = self.among.live(&mut books, self.terms);
        *self.books = books;
        lived
    }
}

impl Books {
    /// Units of an entry that is decided on the bar at this offset, unsigned, where no rule refuses
    /// it or makes it smaller; its `stop` is NaN where it has none.
    #[inline(always)]
    pub(super) fn plain_units(
        &self,
        rules: &ContainerRules,
        commission: Commission,
        (block, at): (BlockView<'_>, usize),
        sign: f64,
        stop: f64,
        price: f64,
    ) -> Option<f64> {
        if self.is_all_in() {
            return self.all_in_units(commission, price).ok();
        }
        let measure = block.measure_at(at, rules);
        let entry = self.entry(rules, 0.0, sign, measure, stop, price);
        if entry.breaches.iter().any(Option::is_some) {
            return None;
        }
        entry.units.ok()
    }
}

/// Those of most containers: all in, at a rate of commission, at the next open. What is known is not
/// asked for at every trade.
struct Usual<'a> {
    books: &'a mut Books,
    among: &'a Among<'a>,
    rate: f64,
    slippage: PriceCost,
}

impl Wide for Usual<'_> {
    type Output = (u32, usize);

    #[inline(always)]
    fn run(self) -> (u32, usize) {
        // Taken out of the container: what every trade changes may lie in registers.
        let mut books = Books {
            equity: self.books.equity.known(EquityPath::AllIn),
            ..*self.books
        };
        let terms = Terms {
            sign: 1.0,
            costs: Costs {
                commission: Commission::Rate(self.rate),
                price_cost: self.slippage,
            },
            fill: FillAt::NextOpen,
        };
        let lived = self.among.live(&mut books, terms);
        *self.books = books;
        lived
    }
}
