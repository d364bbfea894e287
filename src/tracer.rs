//! The tracer of a container: selects events, frames them, applies retention.

use crate::Result;
use crate::segment::retention::{RetentionPolicy, TraceRules};
use crate::segment::{Append, ArchiveHandle, Pool, Ring, Stage, Staged};
use admf_formats::archive::ChunkKind;
use admf_formats::event::{EventKind, EventSet, Payload, Stamp};
use admf_formats::result::Ledger;

/// Size of a pool's segments under these rules: small where little is kept, so that it stays in
/// cache, large where everything streams.
pub const fn segment_bytes(rules: &TraceRules) -> u64 {
    match rules.policy {
        RetentionPolicy::TradeComplete | RetentionPolicy::Minimal => 1 << 10,
        RetentionPolicy::SlidingWindow { .. } => 4 << 10,
        RetentionPolicy::Full => 16 << 10,
    }
}

/// One container's tracer.
#[derive(Debug)]
pub struct Tracer {
    selection: EventSet,
    ring: Ring,
    /// The log of closed trades, where it is kept.
    trades: Option<Ring>,
}

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
            ..*rules
        };
        Tracer {
            selection: rules.events,
            ring: Ring::new(*rules, container),
            trades: rules.store_trades.then(|| Ring::new(log, container)),
        }
    }

    /// Segments of this size that a tracer may hold: what the plan counts.
    pub fn segments_max(rules: &TraceRules, segment_bytes: u64) -> u64 {
        crate::segment::segments_max(rules, segment_bytes) + u64::from(rules.store_trades)
    }

    /// Whether nothing is ever kept.
    pub fn is_idle(&self) -> bool {
        self.selection.is_empty() && self.trades.is_none()
    }

    /// Selected kinds, and whether a stage may hold them back until the end of a block: only events
    /// of open trades are kept, and closed trades are not logged.
    #[inline(always)]
    pub fn selection(&self) -> (EventSet, bool) {
        let is_stageable = self.ring.keeps_open_trades() && self.trades.is_none();
        (self.selection, is_stageable)
    }

    /// What a stage must know of the ring.
    pub fn stage(&self) -> Staged {
        Staged::of(&self.ring)
    }

    /// Commits what the stage still holds.
    pub fn settle(&mut self, stage: &mut Stage, pool: &mut Pool) -> Staged {
        stage.settle(&mut self.ring, pool)
    }

    /// Counts what never left the stage.
    pub fn count(&mut self, staged: &mut Staged) {
        staged.count(&mut self.ring);
    }

    /// Segments that a pool has besides those of its tracers: they hold what streams until the
    /// archive has it.
    pub fn segments_on_their_way(rules: &TraceRules) -> u64 {
        let streams = rules.policy == RetentionPolicy::Full || rules.store_trades;
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
            self.ring.end_trade(pool, stamp.trade);
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
        if let Some(mut trades) = self.trades.take() {
            if let Some(archive) = archive.filter(|_| !trades.streaming(pool).is_empty()) {
                let (log, receipts) = (trades.streaming(pool), pool.receipts());
                archive.flush(container, ChunkKind::Trades, log, receipts)?;
                trades.handed_over(pool);
            }
            trades.abandon(pool);
        }
        Ok(match archive {
            Some(_) => self.ring.finish_into_batch(pool, frames),
            None => self.ring.finish(pool, frames),
        })
    }

    /// The container is given up: nothing is kept.
    pub fn abandon(&mut self, pool: &mut Pool) {
        if let Some(mut trades) = self.trades.take() {
            trades.abandon(pool);
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
    loop {
        match ring.append(pool, stamp, payload) {
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
