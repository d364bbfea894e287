//! Where a container's events go.

use admf_formats::event::{EventKind, Payload, Stamp};

/// Takes events. The engine is compiled once per sink, so that an untraced sweep pays nothing.
pub trait Sink {
    /// Whether events of this kind are wanted.
    fn wants(&self, kind: EventKind) -> bool;

    /// Takes one wanted event.
    fn emit<P: Payload>(&mut self, stamp: &Stamp, payload: &P);

    /// The trade ended without ever opening: its order was rejected or expired.
    fn end_trade(&mut self, trade: u32);
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
}
