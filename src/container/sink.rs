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
}

impl Untold {
    /// How many of them are selected.
    #[inline(always)]
    pub fn events(&self, selected: PerStep) -> u64 {
        let [decision, entry, exit] = selected.0.map(u64::from);
        self.decisions * decision + self.entries * entry + self.exits * exit
    }
}

/// How many events of a decision, of an entry and of an exit are of selected kinds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PerStep([u8; 3]);

impl PerStep {
    /// Where these kinds are selected.
    pub fn of(kinds: EventSet) -> PerStep {
        use EventKind::{
            Fill, Order, OrderRequest, PortfolioUpdate, PositionClose, PositionOpen, Signal,
        };
        let of =
            |each: [EventKind; 3]| each.map(|kind| u8::from(kinds.contains(kind))).iter().sum();
        PerStep([
            of([Signal, OrderRequest, Order]),
            of([Fill, PositionOpen, PortfolioUpdate]),
            of([Fill, PortfolioUpdate, PositionClose]),
        ])
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
