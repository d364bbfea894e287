//! Where a trade's events come from: the archive where it holds the whole trade, else a replay.

use super::gather::{Gatherer, Told};
use crate::segment::ArchiveReader;
use crate::segment::retention::{RetentionPolicy, TraceRules};
use crate::sequencer::{Listened, listen};
use crate::topology::{Job, ParameterSet};
use crate::{Error, Result};
use admf_formats::archive::{CONTAINERS_PER_ARCHIVE, ChunkKind, Slot, file_name};
use admf_formats::event::{AnyPayload, EventSet, PositionClose, Stamp};
use admf_formats::result::ResultRecord;
use std::path::Path;

/// What the archive of a phase has of a trade.
#[derive(Clone, Debug, PartialEq)]
pub struct Kept {
    /// The container's result.
    pub record: ResultRecord,
    /// Why the container failed.
    pub failure: Option<String>,
    /// The trade's events.
    pub told: Told,
    /// The trade's POSITION_CLOSE from the log of closed trades.
    pub logged: Option<(Stamp, PositionClose)>,
}

/// What the archives in `traces` have of a trade; `None` where there is no archive for its
/// container. `rules` are those that the container was traced by.
///
/// Errors: the archive cannot be read or is damaged.
pub fn kept(traces: &Path, rules: &TraceRules, container: u64, trade: u32) -> Result<Option<Kept>> {
    let path = traces.join(file_name(container / CONTAINERS_PER_ARCHIVE));
    if !path.is_file() {
        return Ok(None);
    }
    let archive = ArchiveReader::open(&path)?;
    let Some(slot) = archive.slot(container)? else {
        return Ok(None);
    };
    let mut gatherer = match keeps_trades(rules, &slot) {
        true => Gatherer::of_kept_trades(trade),
        false => Gatherer::new(trade),
    };
    // A condition kept whole trades, which stand apart.
    for kind in [ChunkKind::Kept, ChunkKind::Trace] {
        archive.frames(&slot, kind, |frame| {
            gatherer.event(&frame.stamp, &frame.payload);
            Ok(())
        })?;
    }
    let mut logged = None;
    archive.frames(&slot, ChunkKind::Trades, |frame| {
        if let AnyPayload::PositionClose(close) = &frame.payload
            && frame.stamp.trade == trade
        {
            logged = Some((frame.stamp, *close));
        }
        Ok(())
    })?;
    let mut told = gatherer.finish(Some(slot.record.events));
    // A recovery may have lost events without a trace of it in their sequences.
    told.is_whole &= slot.last_chunk[ChunkKind::Loss as usize - 1] == 0;
    Ok(Some(Kept {
        record: slot.record,
        failure: archive.failure(&slot)?,
        told,
        logged,
    }))
}

/// Whether the archive has either all events of a trade or none: retention went by trades, nothing
/// was dropped, and every kind of event was traced.
fn keeps_trades(rules: &TraceRules, slot: &Slot) -> bool {
    let by_trade = matches!(
        rules.policy,
        RetentionPolicy::TradeComplete | RetentionPolicy::Minimal
    );
    let record = &slot.record;
    let is_whole = record.is_completed() && record.ledger.dropped_at_cap == 0;
    by_trade && is_whole && rules.events == EventSet::ALL
}

/// The trade from a run of its container, which is deterministic; what was kept of the first run
/// is held against it.
///
/// Errors: of reading bars; [`Error::Results`] where the replay comes to anything else than what
/// was kept, so that no story of another run is told.
pub fn replayed(
    job: Job<'_>,
    set: &ParameterSet,
    trade: u32,
    kept: Option<&Kept>,
    traces: &Path,
) -> Result<(Told, Listened)> {
    let mut gatherer = Gatherer::new(trade);
    let listened = listen(job, set, &mut |stamp, payload| {
        gatherer.event(stamp, payload);
    })?;
    let told = gatherer.finish(None);
    if let Some(kept) = kept {
        check(&told, &listened, kept).map_err(|what| Error::Results {
            path: traces.to_path_buf(),
            message: format!(
                "a replay of container {} comes to another {what} than the run; the run was made \
                 by another version of the program or of its strategy: run it again with --fresh",
                set.index + 1
            ),
        })?;
    }
    Ok((told, listened))
}

/// What differs.
fn check(told: &Told, listened: &Listened, kept: &Kept) -> Result<(), &'static str> {
    // A container that panicked has left no totals.
    let (record, own) = (&kept.record, &listened.record);
    if record.events > 0 {
        if own.events != record.events {
            return Err("number of events");
        }
        let bits =
            |record: &ResultRecord| (record.equity.last.to_bits(), record.trades.pnl.to_bits());
        if own.trades != record.trades || bits(own) != bits(record) {
            return Err("result");
        }
    }
    let closes = [kept.logged, kept.told.close];
    if closes
        .into_iter()
        .flatten()
        .any(|close| Some(close) != told.close)
    {
        return Err("end of this trade");
    }
    Ok(())
}
