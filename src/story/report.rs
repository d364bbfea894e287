//! The story as a report: every figure from the events themselves.

use super::gather::{Event, Told};
use super::scene;
use crate::Result;
use crate::topology::{Job, ParameterSet};
use admf_formats::event::{AnyPayload, EventKind, Side, Stamp};
use admf_formats::report::{
    FiguresReport, LevelsReport, Parameters, SignalReport, StoryEvent, StoryReport, event_payload,
};
use admf_formats::units::rfc3339;

/// Bars shown before and after an entry or exit.
const BARS_AROUND: u64 = 3;

/// A trade that was told, with what it belongs to.
pub struct Story<'a> {
    /// Name of the container.
    pub container: String,
    /// Name of the phase.
    pub phase: String,
    /// Folder of the window; none where the run has one window.
    pub window: Option<String>,
    /// Symbol.
    pub symbol: String,
    /// The container's job.
    pub job: Job<'a>,
    /// The container's set.
    pub set: ParameterSet,
    /// Names of its parameters, in order of their places.
    pub parameters: Vec<String>,
    /// Number of the trade.
    pub trade: u32,
    /// Why the container was run again; none where the archive had the whole trade.
    pub replayed_because: Option<String>,
    /// Why the container failed.
    pub failure: Option<String>,
    /// Last bar that the container saw; none where it left no totals.
    pub last_bar: Option<u64>,
    /// The events.
    pub told: Told,
}

impl Story<'_> {
    /// The report.
    ///
    /// Errors: of reading bars.
    pub fn report(&self) -> Result<StoryReport> {
        let (told, job) = (&self.told, &self.job);
        let signals: Vec<(u64, u32)> = told
            .events
            .iter()
            .filter(|(_, payload)| payload.kind() == EventKind::Signal)
            .map(|(stamp, _)| (stamp.sequence, stamp.bar))
            .collect();
        let around = |bar: u32| {
            let bar = u64::from(bar);
            let first = job.span.first.max(bar.saturating_sub(BARS_AROUND));
            scene::bars(job.bars, first..job.span.end.min(bar + BARS_AROUND + 1))
        };
        // A trade that never opened is shown where it began.
        let begins = told.open.map(|(stamp, _)| stamp.bar);
        let begins = begins.or(told.events.first().map(|(stamp, _)| stamp.bar));
        let ends = told.close.map(|(stamp, _)| stamp.bar);
        let parameters = self.parameters.iter().cloned().zip(self.set.values);
        let side = told
            .open
            .and_then(|(stamp, _)| Side::from_number(stamp.code));
        let signals = scene::signals(job, &self.set, &signals)?;
        Ok(StoryReport {
            container: self.container.clone(),
            phase: self.phase.clone(),
            window: self.window.clone(),
            symbol: self.symbol.clone(),
            strategy: job.strategy.name().to_owned(),
            parameters: Parameters(parameters.collect()),
            trade: self.trade,
            source: if self.replayed_because.is_none() {
                "archive"
            } else {
                "replay"
            },
            replayed_because: self.replayed_because.clone(),
            failure: self.failure.clone(),
            state: match (told.open, told.close) {
                (_, Some(_)) => "closed",
                (Some(_), None) => "open",
                (None, None) => "never_opened",
            },
            side: side.map(Side::name),
            close: told
                .close
                .map(|(stamp, close)| event_payload(&stamp, &AnyPayload::PositionClose(close))),
            figures: self.figures()?,
            levels: self.levels(&signals),
            signals,
            events: told.events.iter().map(event).collect(),
            events_left_out: told.left_out,
            bars_at_entry: begins.map_or(Ok(Vec::new()), around)?,
            bars_at_exit: ends.map_or(Ok(Vec::new()), around)?,
        })
    }

    /// The exits at the entry; none where there is no entry or no level.
    fn levels(&self, signals: &[SignalReport]) -> Option<LevelsReport> {
        if !self.job.rules.exits.has_levels() {
            return None;
        }
        let (opened, open) = self.told.open?;
        let (stamp, close) = self.signal_of(&opened)?;
        let signal = signals.iter().find(|one| one.event_id == stamp.sequence)?;
        let sign = open.qty.signum();
        let levels = scene::levels(&self.job, &self.set, sign, signal, close, open.price);
        Some(levels)
    }

    /// The signal at the root of an event, and the close of its bar.
    fn signal_of(&self, of: &Stamp) -> Option<(Stamp, f64)> {
        let mut sequence = of.sequence;
        loop {
            let is_it = |event: &&Event| event.0.sequence == sequence;
            let (stamp, payload) = self.told.events.iter().find(is_it)?;
            if let AnyPayload::Signal(signal) = payload {
                return Some((*stamp, signal.price));
            }
            if stamp.cause_back == 0 {
                return None;
            }
            sequence -= u64::from(stamp.cause_back);
        }
    }

    fn figures(&self) -> Result<FiguresReport> {
        let told = &self.told;
        if let Some((stamp, close)) = &told.close {
            let value = close.qty.abs() * close.entry_price;
            return Ok(FiguresReport {
                fills: u64::from(close.fills),
                units: told.units,
                pnl: Some(close.pnl),
                pnl_percent: Some(100.0 * close.pnl / value),
                commission: close.commission,
                slippage: close.slippage,
                borrow: close.borrow,
                costs: close.commission + close.slippage + close.borrow,
                bars_held: Some(u64::from(stamp.bar - close.entry_bar)),
                mae_percent: Some(100.0 * close.mae),
                mfe_percent: Some(100.0 * close.mfe),
            });
        }
        let mut figures = FiguresReport {
            fills: told.fills,
            units: told.units,
            pnl: None,
            pnl_percent: None,
            commission: told.commission,
            slippage: told.slippage,
            borrow: told.borrow,
            costs: told.commission + told.slippage + told.borrow,
            bars_held: None,
            mae_percent: None,
            mfe_percent: None,
        };
        if let (Some((stamp, _)), Some(last)) = (&told.open, self.last_bar) {
            let bars = scene::bars(self.job.bars, last..last + 1)?;
            let pnl = told.cash_flow + told.units * bars[0].close;
            figures.pnl = Some(pnl);
            figures.pnl_percent = Some(100.0 * pnl / told.entry_value);
            figures.bars_held = Some(last.saturating_sub(u64::from(stamp.bar)));
        }
        Ok(figures)
    }
}

fn event((stamp, payload): &(Stamp, AnyPayload)) -> StoryEvent {
    let cause = stamp.sequence.saturating_sub(u64::from(stamp.cause_back));
    StoryEvent {
        event_id: stamp.sequence,
        event_type: payload.kind().name(),
        timestamp: rfc3339(stamp.ts_ns),
        bar: stamp.bar,
        correlation_id: (stamp.trade != 0).then_some(stamp.trade),
        causation_id: (stamp.cause_back != 0).then_some(cause),
        payload: event_payload(stamp, payload),
    }
}
