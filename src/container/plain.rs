//! Containers whose positions are of one side, opened and closed by the masks alone: what most sweeps
//! are.
//!
//! Does what [`Container::run_bars`] does, to the bit, where the events of trades that end before
//! the block does need only be counted: an entry is told at the end of the block, if its trade lives
//! until then, from what the position still knows.

use super::orders::{Execution, market, side};
use super::sink::Untold;
use super::{BlockView, Container, ContainerRules, Sink};
use crate::execution::FillAt;
use crate::portfolio::Direction;
use crate::strategy::{Mask, Masks, WORDS};
use admf_formats::event::{OrderRequest, OrderStatus, Signal};
use admf_formats::units::{F64_NULL, QUANTUM_BARS};

/// The entry of the open position, which was not told yet.
#[derive(Clone, Copy)]
struct Entry {
    /// Offset of the bar that it was decided on.
    at: usize,
    /// Sequence of the event before its first.
    sequence: u64,
}

/// Events of one step: of a decision, of an entry or of an exit.
const EVENTS: u64 = 3;

impl Container {
    /// Decisions and fills of the bars `first..end`, all in this block.
    #[inline]
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
        let mut from = first.max(self.first_decision).saturating_sub(start) as usize;
        let end = (end - start) as usize;
        let mut entry = None;
        let mut untold = Untold::default();
        loop {
            let is_held = self.position.is_some();
            let at = next_bar(if is_held { exit } else { enter }, from);
            if at >= end {
                break;
            }
            from = at + 1;
            if from >= end {
                // It fills in the next block.
                self.tell_entry(rules, block, sign, entry.take(), sink);
                let target = if is_held { 0.0 } else { sign };
                self.place(rules, block, start + at as u64, target, sink);
                break;
            }
            let execution = Container::execution(rules, block, at);
            if is_held {
                self.fold_to(block, execution.booked);
                self.sequence += 2 * EVENTS;
                untold.decisions += 1;
                untold.exits += 1;
                let closed = self.leave(rules, &execution);
                if entry.take().is_some() {
                    untold.decisions += 1;
                    untold.entries += 1;
                } else if let Some(closed) = closed {
                    sink.end_trade(closed.trade);
                }
                continue;
            }
            let price = rules
                .execution
                .price_cost
                .worsen(execution.reference_price, sign);
            let units = if self.is_all_in() {
                self.all_in_units(rules, price).ok()
            } else {
                self.plain_units(rules, block.measure_at(at, rules), sign, price)
            };
            let Some(units) = units else {
                // Rejected, or cut by a limit: told as it happens.
                self.place(rules, block, start + at as u64, sign, sink);
                self.fill(rules, block, start + from as u64, sink);
                continue;
            };
            entry = Some(Entry {
                at,
                sequence: self.sequence,
            });
            self.fold_to(block, execution.booked);
            self.trade += 1;
            self.sequence += EVENTS;
            self.enter(rules, &execution, sign * units, price);
            self.sequence += EVENTS;
        }
        self.tell_entry(rules, block, sign, entry, sink);
        sink.count_closed(untold);
    }

    /// The fill of what is decided on the bar at this offset, of which the next one is in the block.
    #[inline(always)]
    fn execution(rules: &ContainerRules, block: BlockView<'_>, at: usize) -> Execution {
        let bars = block.bars;
        let filled = match rules.execution.fill {
            FillAt::NextOpen => at + 1,
            FillAt::SameClose => at,
        };
        let reference_price = match rules.execution.fill {
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

    /// Units of an entry, unsigned, where no rule refuses it or makes it smaller.
    #[inline]
    fn plain_units(
        &self,
        rules: &ContainerRules,
        measure: f64,
        sign: f64,
        price: f64,
    ) -> Option<f64> {
        let entry = self.entry(rules, sign, measure, f64::NAN, price);
        let is_cut = entry.breaches.iter().any(Option::is_some);
        entry.units.ok().filter(|_| !is_cut)
    }

    /// Tells an entry that was only counted: SIGNAL, ORDER_REQUEST and ORDER of the decision, then
    /// what filled it.
    #[inline]
    fn tell_entry<S: Sink>(
        &mut self,
        rules: &ContainerRules,
        block: BlockView<'_>,
        sign: f64,
        entry: Option<Entry>,
        sink: &mut S,
    ) {
        let Some(entry) = entry else {
            return;
        };
        let sequence = std::mem::replace(&mut self.sequence, entry.sequence);
        let mut execution = Container::execution(rules, block, entry.at);
        execution.order = self.tell_decision(block, entry.at, self.trade, sign, sink);
        self.tell_opened(execution, sink);
        self.sequence = sequence;
    }

    /// SIGNAL, ORDER_REQUEST and ORDER of an entry that was decided while nothing was held; gives
    /// the order's sequence.
    fn tell_decision<S: Sink>(
        &mut self,
        block: BlockView<'_>,
        at: usize,
        trade: u32,
        target: f64,
        sink: &mut S,
    ) -> u64 {
        let (price, ts_ns) = (block.bars.close[at], block.bars.ts_ns[at]);
        let (bar, side) = (
            (block.bars.first_bar + at as u64) as u32,
            side(target) as u8,
        );
        let signal = Signal {
            price,
            strength: 1.0,
        };
        let cause = self.features_sequence;
        let signal = self.tell(sink, ts_ns, bar, trade, cause, (side, 0), &signal);
        let request = OrderRequest { price, target };
        let request = self.tell(sink, ts_ns, bar, trade, signal, (side, 0), &request);
        let accepted = (OrderStatus::Accepted as u8, 0);
        let order = market(F64_NULL, None);
        self.tell(sink, ts_ns, bar, trade, request, accepted, &order)
    }
}

/// The first bar from offset `from` on that the mask has; the number of bars of a block or more
/// where there is none.
#[inline(always)]
fn next_bar(mask: &Mask, from: usize) -> usize {
    let Some(first) = mask.get(from / 64) else {
        return QUANTUM_BARS;
    };
    let (mut word, mut bits) = (from / 64, first & u64::MAX << (from % 64));
    while bits == 0 {
        word += 1;
        if word >= WORDS {
            return QUANTUM_BARS;
        }
        bits = mask[word];
    }
    word * 64 + bits.trailing_zeros() as usize
}
