//! Where a container's events go.

use admf_formats::event::{EventKind, EventSet, Payload, Stamp};

/// Takes events. The engine is compiled once per sink, so that an untraced sweep pays nothing.
pub trait Sink {
    /// Whether events of this kind are wanted.
    fn wants(&self, kind: EventKind) -> bool;

    /// Takes one wanted event.
    fn emit<P: Payload>(&mut self, stamp: &Stamp, payload: &P);

    /// The trade ended: its order was rejected or expired without opening it, or the rest of its
    /// events is only counted.
    fn end_trade(&mut self, trade: u32);

    /// Whether events of trades that are closed at the end of a block need only be counted.
    fn only_counts_closed(&self) -> bool {
        false
    }

    /// Counts events of such trades.
    fn count_closed(&mut self, _: Untold) {}

    /// The same sink where closed trades are only counted: what is told then is of a trade that
    /// outlives its block.
    #[inline(always)]
    fn lasting(&mut self) -> impl Sink {
        self
    }
}

impl<S: Sink + ?Sized> Sink for &mut S {
    #[inline(always)]
    fn wants(&self, kind: EventKind) -> bool {
        (**self).wants(kind)
    }

    #[inline(always)]
    fn emit<P: Payload>(&mut self, stamp: &Stamp, payload: &P) {
        (**self).emit(stamp, payload);
    }

    #[inline(always)]
    fn end_trade(&mut self, trade: u32) {
        (**self).end_trade(trade);
    }

    #[inline(always)]
    fn only_counts_closed(&self) -> bool {
        (**self).only_counts_closed()
    }

    #[inline(always)]
    fn count_closed(&mut self, untold: Untold) {
        (**self).count_closed(untold);
    }
}

/// Events that were only counted, as the steps of trades that they belong to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Untold {
    /// Decisions: SIGNAL, ORDER_REQUEST, ORDER.
    pub decisions: u64,
    /// Entries: FILL, POSITION_OPEN, PORTFOLIO_UPDATE.
    pub entries: u64,
    /// Exits: FILL, PORTFOLIO_UPDATE, POSITION_CLOSE.
    pub exits: u64,
    /// Orders that no decision asked for.
    pub orders: u64,
}

impl Untold {
    /// How many of them are selected.
    #[inline(always)]
    pub fn events(&self, selected: PerStep) -> u64 {
        let steps = [self.decisions, self.entries, self.exits, self.orders];
        let events = |(step, count): (usize, u64)| count * selected.of_step(step);
        steps.into_iter().enumerate().map(events).sum()
    }
}

/// How many events of a decision, of an entry, of an exit and of an order alone are of selected
/// kinds: two bits each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PerStep(u8);

impl PerStep {
    /// Where these kinds are selected.
    pub fn of(kinds: EventSet) -> PerStep {
        use EventKind::{
            Fill, Order, OrderRequest, PortfolioUpdate, PositionClose, PositionOpen, Signal,
        };
        let steps: [&[EventKind]; 4] = [
            &[Signal, OrderRequest, Order],
            &[Fill, PositionOpen, PortfolioUpdate],
            &[Fill, PortfolioUpdate, PositionClose],
            &[Order],
        ];
        let selected =
            |step: &[EventKind]| step.iter().filter(|kind| kinds.contains(**kind)).count();
        let bits = steps
            .iter()
            .rev()
            .fold(0, |bits, step| bits << 2 | selected(step) as u8);
        PerStep(bits)
    }

    #[inline(always)]
    const fn of_step(self, step: usize) -> u64 {
        (self.0 >> (2 * step) & 3) as u64
    }
}

/// Wants nothing.
#[derive(Clone, Copy, Debug)]
pub struct NoSink;

impl Sink for NoSink {
    #[inline(always)]
    fn wants(&self, _: EventKind) -> bool {
        false
    }

    #[inline(always)]
    fn emit<P: Payload>(&mut self, _: &Stamp, _: &P) {}

    #[inline(always)]
    fn end_trade(&mut self, _: u32) {}

    #[inline(always)]
    fn only_counts_closed(&self) -> bool {
        true
    }

    #[inline(always)]
    fn lasting(&mut self) -> impl Sink {
        NoSink
    }
}
