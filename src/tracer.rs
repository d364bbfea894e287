//! The tracer of a container: selects events, frames them, applies retention.

use crate::Result;
use crate::segment::retention::{Keep, RetentionPolicy, TraceRules};
use crate::segment::{
    Append, ArchiveHandle, KeptTrades, Lane, Pool, Ring, STAGE_BYTES, Stage, ring_bytes,
};
use crate::state::{StateReader, StateWriter};
use admf_formats::archive::ChunkKind;
use admf_formats::event::{EventKind, EventSet, Payload, PositionClose, Stamp};
use admf_formats::result::Ledger;
use admf_formats::segment::frame_sequence;
use std::io;

/// Size of a pool's segments under these rules: small where little is kept, so that it stays in
/// cache, large where everything streams.
pub const fn segment_bytes(rules: &TraceRules) -> u64 {
    match rules.policy {
        RetentionPolicy::TradeComplete | RetentionPolicy::Minimal => 1 << 10,
        RetentionPolicy::SlidingWindow { .. } | RetentionPolicy::SlidingPast { .. } => 4 << 10,
        RetentionPolicy::Full => 16 << 10,
    }
}

/// One container's tracer.
#[derive(Debug)]
pub struct Tracer {
    selection: EventSet,
    ring: Ring,
    /// The log of closed trades, where it is kept: few tracers do.
    trades: Option<Box<Ring>>,
    /// Closed trades that keep their events, where there are such.
    kept: Option<Box<Kept>>,
}

/// Closed trades that keep their events.
#[derive(Debug)]
struct Kept {
    sets: KeptTrades,
    /// On their way to the archive, where a condition keeps them.
    stream: Option<Box<Ring>>,
}

/// Whether a saved tracer has a log of closed trades, sets of them, and a stream of them.
type Parts = [bool; 3];

/// Why a tracer could not take an event.
#[derive(Debug)]
pub enum Refusal {
    /// The ring is at its cap and the rules are strict: this container fails.
    Full,
    /// The archive failed: the run ends.
    Archive(crate::Error),
}

impl Tracer {
    /// A tracer of this container.
    pub fn new(rules: &TraceRules, container: u64) -> Tracer {
        let log = TraceRules {
            policy: RetentionPolicy::Full,
            keep: Keep::NONE,
            ..*rules
        };
        Tracer {
            selection: rules.events,
            ring: Ring::new(*rules, container),
            trades: rules
                .store_trades
                .then(|| Box::new(Ring::new(log, container))),
            kept: Tracer::keeps_trades(rules).then(|| {
                let stream = rules.keep.condition;
                let stream = stream.map(|_| Box::new(Ring::new(log, container)));
                Box::new(Kept {
                    sets: KeptTrades::new(rules.keep),
                    stream,
                })
            }),
        }
    }

    /// Segments of this size that a tracer may hold between two events.
    pub fn segments_kept(rules: &TraceRules, segment_bytes: u64) -> u64 {
        let streams_kept = Tracer::keeps_trades(rules) && rules.keep.condition.is_some();
        crate::segment::segments_kept(rules, segment_bytes)
            + u64::from(rules.store_trades)
            + u64::from(streams_kept)
    }

    /// Segments that it may hold beyond those while it takes one.
    pub const fn segments_spare(rules: &TraceRules, segment_bytes: u64) -> u64 {
        crate::segment::segments_max(rules, segment_bytes)
            - crate::segment::segments_kept(rules, segment_bytes)
    }

    /// Whether these rules keep closed trades. Other policies have no use for them.
    pub fn keeps_trades(rules: &TraceRules) -> bool {
        let is_used = rules.policy == RetentionPolicy::TradeComplete && !rules.events.is_empty();
        is_used && !rules.keep.is_none()
    }

    /// Bytes of a tracer beside itself and its segments.
    pub const fn bytes(rules: &TraceRules) -> u64 {
        let ring = size_of::<Ring>() as u64;
        let log = if rules.store_trades { ring } else { 0 };
        let streams = if rules.keep.is_none() { 0 } else { 2 * ring };
        ring_bytes(rules) + rules.keep.bytes() + log + streams
    }

    /// Whether nothing is ever kept.
    pub fn is_idle(&self) -> bool {
        self.selection.is_empty() && self.trades.is_none()
    }

    /// Selected kinds, and whether a stage may hold them back until the end of a block: only events
    /// of open trades are kept, and no closed trade is logged or kept.
    #[inline(always)]
    pub fn selection(&self) -> (EventSet, bool) {
        let is_plain = self.trades.is_none() && self.kept.is_none();
        let is_stageable = is_plain && self.ring.keeps_open_trades();
        (self.selection, is_stageable)
    }

    /// Whether the ring's cap leaves room for so many bytes, at most those of a stage.
    pub fn holds(&self, bytes: u64) -> bool {
        self.ring.cap().min(STAGE_BYTES as u64) >= bytes
    }

    /// Asks for what the ring's next frames need.
    #[inline(always)]
    pub fn prefetch(&self) {
        self.ring.prefetch();
    }

    /// Lends the lane what it may have of the ring.
    pub fn lend(&mut self, pool: &Pool, lane: &mut Lane) {
        self.ring.lend(pool, lane);
    }

    /// Makes the ring as if nothing had been lent.
    pub fn take_back(&mut self, pool: &Pool, lane: &mut Lane) {
        self.ring.take_back(pool, lane);
    }

    /// Commits what the stage still holds.
    pub fn settle(&mut self, stage: &mut Stage, lane: &mut Lane, owner: u64, pool: &mut Pool) {
        stage.settle(lane, owner, &mut self.ring, pool);
    }

    /// Segments that a pool has besides those of its tracers: they hold what streams until the
    /// archive has it.
    pub fn segments_on_their_way(rules: &TraceRules) -> u64 {
        let streams = rules.policy == RetentionPolicy::Full
            || rules.store_trades
            || rules.keep.condition.is_some();
        if streams {
            crate::segment::BUFFERS_PER_WORKER as u64
        } else {
            0
        }
    }

    /// Whether an event of this kind matters to it.
    #[inline(always)]
    pub fn wants(&self, kind: EventKind) -> bool {
        // The end of a trade matters to retention also where it is not traced.
        self.selection.contains(kind) || kind as u8 == EventKind::PositionClose as u8
    }

    /// Takes one event.
    #[inline]
    pub fn emit<P: Payload>(
        &mut self,
        pool: &mut Pool,
        archive: Option<&ArchiveHandle>,
        container: u64,
        stamp: &Stamp,
        payload: &P,
    ) -> Result<(), Refusal> {
        if self.selection.contains(P::KIND) {
            append(
                &mut self.ring,
                pool,
                archive,
                container,
                ChunkKind::Trace,
                stamp,
                payload,
            )?;
        }
        if P::KIND as u8 == EventKind::PositionClose as u8 {
            if let Some(trades) = &mut self.trades {
                append(
                    trades,
                    pool,
                    archive,
                    container,
                    ChunkKind::Trades,
                    stamp,
                    payload,
                )?;
            }
            self.close_trade(pool, archive, container, stamp, payload)?;
        }
        Ok(())
    }

    /// A trade is closed in full: its events are recycled, unless the rules keep them.
    #[inline]
    fn close_trade<P: Payload>(
        &mut self,
        pool: &mut Pool,
        archive: Option<&ArchiveHandle>,
        container: u64,
        stamp: &Stamp,
        payload: &P,
    ) -> Result<(), Refusal> {
        let Some(kept) = &mut self.kept else {
            self.ring.end_trade(pool, stamp.trade);
            return Ok(());
        };
        let close = position_close(payload);
        let condition = kept.sets.keep.condition;
        if let Some(stream) = &mut kept.stream
            && condition.is_some_and(|condition| condition.holds(stamp, &close))
        {
            let mut after = 0;
            while let Some((frame, bytes)) = self.ring.next_frame_of(pool, stamp.trade, after) {
                after = frame_sequence(&frame);
                flushing(
                    stream,
                    pool,
                    archive,
                    container,
                    ChunkKind::Kept,
                    |ring, pool| ring.append_frame(pool, &frame[..bytes]),
                )?;
            }
            self.ring.move_trade(pool, stamp.trade);
        }
        // A trade that was streamed has its place in the sets too.
        for trade in kept.sets.close(stamp.trade, close.pnl).trades() {
            self.ring.end_trade(pool, *trade);
        }
        Ok(())
    }

    /// Writes what it holds and counts, for [`Tracer::load`]. What streams must be in the archive
    /// up to here, and the stage's counts here.
    ///
    /// Errors: those of the writer.
    pub fn save(&self, pool: &Pool, into: &mut StateWriter<'_>) -> io::Result<()> {
        let Tracer {
            selection: _,
            ring,
            trades,
            kept,
        } = self;
        let stream = kept.as_ref().and_then(|kept| kept.stream.as_ref());
        let parts: Parts = [trades.is_some(), kept.is_some(), stream.is_some()];
        into.put(&parts)?;
        ring.save(pool, into)?;
        for log in trades.iter().chain(stream) {
            log.save(pool, into)?;
        }
        kept.iter().try_for_each(|kept| kept.sets.save(into))
    }

    /// Makes this tracer, which is new, the one that was saved.
    ///
    /// Errors: those of the reader.
    pub fn load(&mut self, pool: &mut Pool, from: &mut StateReader<'_>) -> io::Result<()> {
        let stream = self.kept.as_ref().and_then(|kept| kept.stream.as_ref());
        let own = [self.trades.is_some(), self.kept.is_some(), stream.is_some()];
        if from.get::<Parts>()? != own {
            return Err(io::Error::other("a tracer under other rules"));
        }
        self.ring.load(pool, from)?;
        let stream = self.kept.as_mut().and_then(|kept| kept.stream.as_mut());
        for log in self.trades.iter_mut().chain(stream) {
            log.load(pool, from)?;
        }
        match &mut self.kept {
            Some(kept) => kept.sets.load(from),
            None => Ok(()),
        }
    }

    /// Passes over a saved tracer.
    ///
    /// Errors: those of the reader.
    pub fn skip(from: &mut StateReader<'_>) -> io::Result<()> {
        let [has_trades, has_kept, has_stream] = from.get::<Parts>()?;
        Ring::skip(from)?;
        for _ in 0..u8::from(has_trades) + u8::from(has_stream) {
            Ring::skip(from)?;
        }
        if has_kept {
            KeptTrades::new(Keep::NONE).load(from)?;
        }
        Ok(())
    }

    /// A trade will never open.
    pub fn end_trade(&mut self, pool: &mut Pool, trade: u32) {
        self.ring.end_trade(pool, trade);
    }

    /// The container is destroyed: what is kept goes into `frames` (and the archive, where it
    /// streams), every segment back to the pool.
    pub fn finish(
        &mut self,
        pool: &mut Pool,
        archive: Option<&ArchiveHandle>,
        container: u64,
        frames: &mut Vec<u8>,
    ) -> Result<Ledger> {
        let kept = self.kept.take().and_then(|kept| kept.stream);
        let logs = [
            (self.trades.take(), ChunkKind::Trades),
            (kept, ChunkKind::Kept),
        ];
        for (log, kind) in logs {
            let Some(mut log) = log else {
                continue;
            };
            if let Some(archive) = archive.filter(|_| !log.streaming(pool).is_empty()) {
                archive.flush(container, kind, log.streaming(pool), pool.receipts())?;
                log.handed_over(pool);
            }
            log.abandon(pool);
        }
        Ok(match archive {
            Some(_) => self.ring.finish_into_batch(pool, frames),
            None => self.ring.finish(pool, frames),
        })
    }

    /// The container is given up: nothing is kept.
    pub fn abandon(&mut self, pool: &mut Pool) {
        let kept = self.kept.take().and_then(|kept| kept.stream);
        for mut log in self.trades.take().into_iter().chain(kept) {
            log.abandon(pool);
        }
        self.ring.abandon(pool);
    }
}

#[inline]
fn append<P: Payload>(
    ring: &mut Ring,
    pool: &mut Pool,
    archive: Option<&ArchiveHandle>,
    container: u64,
    kind: ChunkKind,
    stamp: &Stamp,
    payload: &P,
) -> Result<(), Refusal> {
    flushing(ring, pool, archive, container, kind, |ring, pool| {
        ring.append(pool, stamp, payload)
    })
}

/// The payload of a POSITION_CLOSE.
fn position_close<P: Payload>(payload: &P) -> PositionClose {
    #[repr(align(16))]
    struct Aligned([u8; PositionClose::BYTES]);
    let mut bytes = Aligned([0; PositionClose::BYTES]);
    payload.write(&mut bytes.0);
    PositionClose::read(&bytes.0).expect("it was written by this process")
}

/// Appends to a ring that may stream, whose full segments go to the archive.
#[inline]
fn flushing(
    ring: &mut Ring,
    pool: &mut Pool,
    archive: Option<&ArchiveHandle>,
    container: u64,
    kind: ChunkKind,
    append: impl Fn(&mut Ring, &mut Pool) -> Append,
) -> Result<(), Refusal> {
    loop {
        match append(ring, pool) {
            Append::Done => return Ok(()),
            Append::Full => return Err(Refusal::Full),
            Append::Flush => {
                if let Some(archive) = archive {
                    archive
                        .flush(container, kind, ring.streaming(pool), pool.receipts())
                        .map_err(Refusal::Archive)?;
                    ring.handed_over(pool);
                } else {
                    ring.flushed(pool);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
