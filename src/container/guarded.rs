//! Trades with exits beside the strategy's own that begin and end within a block: each is lived
//! through in one step, without orders, where its events need only be counted.
//!
//! Does what [`Container::run_managed`] does, to the bit, for containers that are
//! [guarded](ContainerRules::is_guarded). An entry that is refused, or cut by a limit, or whose
//! levels are not known, or that outlives the block, is left to it.

use super::books::Books;
use super::managed::first_unset;
use super::orders::Execution;
use super::plain::{Bars, EVENTS};
use super::sink::Untold;
use super::{BlockView, Container, ContainerRules, Sink, Wishes};
use crate::execution::{Hit, Levels, Reentry};
use crate::kernel::{self, Wide};
use crate::metrics::EquityPath;
use crate::portfolio::Direction;
use crate::strategy::Mask;
use admf_formats::units::QUANTUM_BARS;
use std::ops::Range;

/// How a trade ends, at offsets in the block.
enum End {
    /// At a level, during this bar.
    Level(usize, Hit),
    /// Decided on this close by the strategy, filled at the next price.
    Signal(usize),
    /// The same, by the number of bars that it was held.
    Time(usize),
}

/// What was lived through.
struct Lived {
    books: Books,
    trades: u32,
    /// Exits that the strategy asked for.
    signals: u32,
    /// Offset of the first bar that was not.
    next: usize,
    /// Whether the entry's condition held at every close since an exit that no signal asked for.
    is_blocked: bool,
}

impl Container {
    /// Lives through the guarded trades that begin and end within these bars of the block, nothing
    /// being held; gives the first bar from which on something else happens.
    pub(super) fn live_guarded<S: Sink>(
        &mut self,
        rules: &ContainerRules,
        wishes: Wishes<'_>,
        block: BlockView<'_>,
        bars: Range<u64>,
        sink: &mut S,
    ) -> u64 {
        let first = bars.start.max(self.first_decision);
        if first >= bars.end {
            return bars.end;
        }
        let (all, allowed) = (wishes.all, wishes.allowed);
        let (sign, condition, enter, exit) = if rules.portfolio.direction == Direction::LongOnly {
            (1.0, &all.enter_long, &allowed.enter_long, &all.exit_long)
        } else {
            let (enter, exit) = (&allowed.enter_short, &all.exit_short);
            (-1.0, &all.enter_short, enter, exit)
        };
        let at = |bar: u64| (bar - wishes.start) as usize;
        let lived = kernel::run_wide(Guarded {
            container: self,
            rules,
            block,
            sign,
            condition,
            enter: Bars::of(enter),
            exit: Bars::of(exit),
            bars: at(first)..at(bars.end),
        });
        self.books = lived.books;
        self.trade += lived.trades;
        let (trades, signals) = (u64::from(lived.trades), u64::from(lived.signals));
        let untold = Untold {
            decisions: trades + signals,
            entries: trades,
            exits: trades,
            orders: trades - signals,
        };
        self.sequence +=
            EVENTS * (untold.decisions + untold.entries + untold.exits) + untold.orders;
        sink.count_closed(untold);
        if lived.is_blocked {
            self.managed.blocked[usize::from(sign < 0.0)] = true;
        }
        wishes.start + lived.next as u64
    }
}

/// The trades of a container within a block.
struct Guarded<'a> {
    container: &'a Container,
    rules: &'a ContainerRules,
    block: BlockView<'a>,
    sign: f64,
    /// The entry's condition, and the bars where it may be entered.
    condition: &'a Mask,
    enter: Bars<'a>,
    exit: Bars<'a>,
    /// Offsets in the block.
    bars: Range<usize>,
}

impl Wide for Guarded<'_> {
    type Output = Lived;

    #[inline(always)]
    fn run(self) -> Lived {
        // What is known of most containers is not asked for at every trade.
        if self.container.is_all_in() {
            self.live(EquityPath::AllIn)
        } else {
            self.live(EquityPath::PerBar)
        }
    }
}

impl Guarded<'_> {
    #[inline(always)]
    fn live(&self, path: EquityPath) -> Lived {
        let (rules, block, sign) = (self.rules, self.block, self.sign);
        let (costs, fill) = (rules.execution.costs(), rules.execution.fill);
        let end = self.bars.end.min(QUANTUM_BARS);
        let own = &self.container.books;
        let mut lived = Lived {
            books: Books {
                equity: own.equity.known(path),
                ..*own
            },
            trades: 0,
            signals: 0,
            next: self.bars.start,
            is_blocked: false,
        };
        let same = !rules.exits.follow_features();
        let plan_at = |at: usize| self.container.plan_exits(rules, block, at, sign);
        let mut plan = plan_at(lived.next);
        while lived.next < end {
            let at = self.enter.next(lived.next);
            if at + 1 >= end {
                // Decided on the last bar, it fills in the next block.
                lived.next = at.min(end);
                break;
            }
            if same {
                plan.close = block.bars.close[at];
            } else {
                plan = plan_at(at);
            }
            let mut execution = Container::execution(fill, block, at);
            let price = costs.price_cost.worsen(execution.reference_price, sign);
            lived.next = at;
            let Some(mut levels) = plan.levels(rules.exits.anchor, price) else {
                break;
            };
            let (decided, stop) = ((block, at), levels.stop(sign > 0.0).0);
            let units =
                lived
                    .books
                    .plain_units(rules, costs.commission, decided, sign, stop, price);
            let Some(units) = units else {
                break;
            };
            let Some(ends) = self.end_of(&mut levels, at + 1, end) else {
                break;
            };
            let books = &mut lived.books;
            books.flat_to(execution.booked);
            let mut position = books.opened(costs, &execution, (0, 0), sign * units, price);
            (execution, lived.next) = match &ends {
                End::Level(at, hit) => (Execution::at_level(hit, block, *at), *at),
                End::Signal(at) | End::Time(at) => {
                    (Container::execution(fill, block, *at), *at + 1)
                }
            };
            if let Some(range) = books.fold_to(block, execution.booked) {
                position.see(&range);
            }
            books.closed(costs, &execution, &position);
            lived.trades += 1;
            if matches!(ends, End::Signal(_)) {
                lived.signals += 1;
            } else if rules.exits.reentry == Reentry::AfterReset {
                let reset = first_unset(self.condition, lived.next, end);
                lived.is_blocked = reset.is_none();
                lived.next = reset.unwrap_or(end);
            }
        }
        lived
    }

    /// How a trade ends that is held from the bar at this offset on with these levels; `None` where it
    /// outlives the block.
    #[inline(always)]
    fn end_of(&self, levels: &mut Levels, first: usize, end: usize) -> Option<End> {
        let (bars, exits, is_long) = (self.block.bars, &self.rules.exits, self.sign > 0.0);
        let signal = self.exit.next(first);
        let longest = exits.max_bars.map_or(usize::MAX, |bars| {
            first + bars.of(&self.container.parameters) as usize - 1
        });
        let close = signal.min(longest);
        // On the bar of the last decision levels work too, and first.
        let until = (close + 1).min(end);
        if exits.has_levels() {
            let (lows, highs) = (&bars.low[..until], &bars.high[..until]);
            let at = levels.next_reached(exits, is_long, lows, highs, first);
            if at < until {
                let hit = levels.hit(is_long, exits.both_touched, self.block.seen(at));
                let hit = hit.expect("the search stops at bars that reach a level");
                return Some(End::Level(at, hit));
            }
        }
        if close + 1 >= end {
            return None;
        }
        Some(if signal <= longest {
            End::Signal(close)
        } else {
            End::Time(close)
        })
    }
}
