//! Keeps what a case compares: every trade, and the spans that make the equity curve.

use crate::container::Sink;
use crate::topology::TileSink;
use admf_formats::event::{
    AnyPayload, EventKind, ExitReason, Payload, PortfolioUpdate, PositionClose, PositionOpen, Stamp,
};

/// Records of one container.
#[derive(Default)]
pub(super) struct Recorder {
    pub(super) trades: Vec<(Stamp, PositionClose)>,
    pub(super) updates: Vec<(Stamp, PortfolioUpdate)>,
    pub(super) open: Option<(Stamp, PositionOpen)>,
    /// The latest signal.
    pub(super) signal: Option<Stamp>,
}

impl Recorder {
    /// Equity at every close of the window.
    pub(super) fn equity(&self, closes: &[f64]) -> Vec<f64> {
        let mut updates = self.updates.iter().peekable();
        let (mut units, mut cash) = (0.0, 0.0);
        closes
            .iter()
            .enumerate()
            .map(|(bar, close)| {
                while let Some((_, update)) =
                    updates.next_if(|(stamp, _)| stamp.bar as usize <= bar)
                {
                    (units, cash) = (update.units, update.cash);
                }
                cash + units * close
            })
            .collect()
    }

    /// The exit reason in the words of a case.
    pub(super) fn reason(stamp: &Stamp) -> &'static str {
        match ExitReason::from_number(stamp.code) {
            Some(ExitReason::StopLoss) => "sl",
            Some(ExitReason::TakeProfit) => "tp",
            Some(ExitReason::CloseAtEnd) => "finalize",
            other => other.map_or("unknown", ExitReason::name),
        }
    }
}

impl Sink for Recorder {
    fn wants(&self, kind: EventKind) -> bool {
        matches!(
            kind,
            EventKind::PositionOpen
                | EventKind::PositionClose
                | EventKind::PortfolioUpdate
                | EventKind::Signal
        )
    }

    fn emit<P: Payload>(&mut self, stamp: &Stamp, payload: &P) {
        match payload.any() {
            AnyPayload::PositionClose(close) => {
                self.open = None;
                self.trades.push((*stamp, close));
            }
            AnyPayload::PositionOpen(open) => self.open = Some((*stamp, open)),
            AnyPayload::PortfolioUpdate(update) => self.updates.push((*stamp, update)),
            AnyPayload::Signal(_) => self.signal = Some(*stamp),
            other => unreachable!("only wanted kinds arrive: {other:?}"),
        }
    }

    fn end_trade(&mut self, _: u32) {}
}

impl TileSink for Recorder {
    fn select(&mut self, _: usize) {}

    fn failure(&mut self) -> Option<crate::Error> {
        None
    }
}

/// Keeps nothing: a grid compares results only.
pub(super) struct Nothing;

impl Sink for Nothing {
    fn wants(&self, _: EventKind) -> bool {
        false
    }

    fn emit<P: Payload>(&mut self, _: &Stamp, _: &P) {}

    fn end_trade(&mut self, _: u32) {}
}

impl TileSink for Nothing {
    fn select(&mut self, _: usize) {}

    fn failure(&mut self) -> Option<crate::Error> {
        None
    }
}
