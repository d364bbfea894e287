//! One tile from its sets to committed results, whatever its containers do.

use super::traces::Traces;
use crate::Result;
use crate::container::{Container, NoSink, PerStep, Sink, Untold};
use crate::kernel;
use crate::segment::{ArchiveHandle, Batch, Pool, Receipts, Stage, Staged};
use crate::state::{StateReader, StateWriter};
use crate::topology::{Checkpoints, Job, NoCheckpoints, ParameterSet, TileEnd, TileSink, Worker};
use crate::tracer::{Refusal, Tracer};
use admf_formats::event::{EventKind, EventSet, Payload, Reason, Stamp};
use admf_formats::result::{
    EquityTotals, ExecutionTotals, Ledger, ResultRecord, Status, TradeTotals,
};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// What a tracer selects.
#[derive(Clone, Copy)]
struct Selection {
    kinds: EventSet,
    per_step: PerStep,
    /// Whether its events may wait in the stage.
    is_stageable: bool,
}

impl Selection {
    fn of(tracer: &Tracer) -> Selection {
        let (kinds, is_stageable) = tracer.selection();
        Selection {
            kinds,
            per_step: PerStep::of(kinds),
            is_stageable,
        }
    }
}

/// The tracers of a tile.
struct RingSink<'a> {
    pool: &'a mut Pool,
    archive: Option<&'a ArchiveHandle>,
    tracers: &'a mut Vec<Tracer>,
    stage: Stage,
    /// What the stage knows of each container's ring.
    staged: Vec<Staged>,
    /// Side by side, for every block asks.
    selections: Vec<Selection>,
    /// Bytes that an open trade can have.
    trade_bytes: u64,
    /// Whether closed trades of the selected container need only be counted.
    only_counts_closed: bool,
    containers: Vec<u64>,
    place: usize,
    /// Kinds that the selected container's tracer selects.
    kinds: EventSet,
    per_step: PerStep,
    /// Whether the selected container's events are staged.
    is_staged: bool,
    /// Containers whose ring is at its cap under strict rules.
    refused: Vec<bool>,
    error: Option<crate::Error>,
}

impl RingSink<'_> {
    /// Hands an event to the tracer itself.
    fn emit_now<P: Payload>(&mut self, stamp: &Stamp, payload: &P) {
        if self.refused[self.place] || self.error.is_some() {
            return;
        }
        let container = self.containers[self.place];
        match self.tracers[self.place].emit(self.pool, self.archive, container, stamp, payload) {
            Ok(()) => {}
            Err(Refusal::Full) => self.refused[self.place] = true,
            Err(Refusal::Archive(error)) => self.error = Some(error),
        }
    }

    /// An event that the stage has no room for.
    #[cold]
    fn overflow<P: Payload>(&mut self, stamp: &Stamp, payload: &P) {
        let counted = self.tracers[self.place].settle(&mut self.stage, self.pool);
        self.staged[self.place] = counted;
        self.emit_now(stamp, payload);
        self.stage.open(counted);
        self.stage.ring_changed(self.tracers[self.place].stage());
        self.is_staged = !self.refused[self.place];
    }

    /// The end of a trade that the ring may hold.
    fn end_trade_in_ring(&mut self, trade: u32) {
        self.tracers[self.place].end_trade(self.pool, trade);
        if self.is_staged {
            self.stage.ring_changed(self.tracers[self.place].stage());
        }
    }
}

impl Sink for RingSink<'_> {
    #[inline(always)]
    fn wants(&self, kind: EventKind) -> bool {
        // The end of a trade matters to retention also where it is not traced.
        self.kinds.contains(kind) || kind as u8 == EventKind::PositionClose as u8
    }

    #[inline(always)]
    fn emit<P: Payload>(&mut self, stamp: &Stamp, payload: &P) {
        if !self.is_staged {
            self.emit_now(stamp, payload);
            return;
        }
        let is_close = P::KIND as u8 == EventKind::PositionClose as u8;
        if (!is_close || self.kinds.contains(P::KIND)) && !self.stage.push(stamp, payload) {
            self.overflow(stamp, payload);
            return;
        }
        if is_close {
            self.end_trade(stamp.trade);
        }
    }

    #[inline(always)]
    fn end_trade(&mut self, trade: u32) {
        if !self.is_staged || self.stage.end_trade(trade) {
            self.end_trade_in_ring(trade);
        }
    }

    #[inline(always)]
    fn only_counts_closed(&self) -> bool {
        self.only_counts_closed
    }

    #[inline(always)]
    fn count_closed(&mut self, untold: Untold) {
        self.stage.recycle(untold.events(self.per_step));
    }
}

impl TileSink for RingSink<'_> {
    #[inline(always)]
    fn select(&mut self, place: usize) {
        // Neither tracers nor segments of a tile stay in the cache: what a tracer points to is asked
        // for when it is there itself.
        if let Some(after) = self.tracers.get(place + 2) {
            kernel::prefetch(after);
        }
        if let (Some(tracer), Some(staged)) =
            (self.tracers.get(place + 1), self.staged.get(place + 1))
        {
            tracer.prefetch();
            staged.prefetch(self.pool);
        }
        self.place = place;
        let selection = self.selections[place];
        (self.kinds, self.per_step) = (selection.kinds, selection.per_step);
        self.is_staged = selection.is_stageable && !self.refused[place];
        let staged = self.staged[place];
        // Where the cap could be reached, each event must be tried at its time.
        self.only_counts_closed = self.is_staged && staged.holds(self.trade_bytes);
        self.stage.open(staged);
    }

    #[inline(always)]
    fn settle(&mut self) {
        self.staged[self.place] = if self.stage.is_empty() {
            self.stage.close()
        } else {
            self.tracers[self.place].settle(&mut self.stage, self.pool)
        };
    }

    fn failure(&mut self) -> Option<crate::Error> {
        self.error.take()
    }

    fn save(&mut self, place: usize, into: &mut StateWriter<'_>) -> io::Result<()> {
        let tracer = &mut self.tracers[place];
        tracer.count(&mut self.staged[place]);
        into.put(&true)?;
        into.put(&self.refused[place])?;
        tracer.save(self.pool, into)
    }

    fn load(&mut self, place: Option<usize>, from: &mut StateReader<'_>) -> io::Result<()> {
        if !from.get::<bool>()? {
            return Ok(());
        }
        let refused = from.get()?;
        let Some(place) = place else {
            return Tracer::skip(from);
        };
        self.refused[place] = refused;
        self.tracers[place].load(self.pool, from)?;
        self.staged[place] = self.tracers[place].stage();
        Ok(())
    }
}

/// Takes finished containers.
pub(super) trait Finished {
    /// A container is destroyed: its result, and why it failed.
    fn take(&mut self, record: ResultRecord, failure: Option<String>) -> Result<()>;
    /// Where its retained frames go before [`Finished::take`].
    fn frames(&mut self) -> &mut Vec<u8>;
}

/// Batches for the archive.
pub(super) struct ToArchive<'a> {
    pub(super) handle: &'a ArchiveHandle,
    pub(super) batch: Batch,
    taken: usize,
    receipts: Receipts,
}

impl<'a> ToArchive<'a> {
    /// For containers whose frames lie in the pool of these receipts.
    pub(super) fn new(handle: &'a ArchiveHandle, receipts: &Receipts) -> Result<ToArchive<'a>> {
        Ok(ToArchive {
            handle,
            batch: handle.batch()?,
            taken: 0,
            receipts: receipts.clone(),
        })
    }

    /// Sends what is there.
    pub(super) fn send(&mut self) -> Result<()> {
        self.taken = 0;
        let next = self.handle.batch()?;
        let batch = std::mem::replace(&mut self.batch, next);
        self.handle.commit(batch, &self.receipts)
    }
}

impl Finished for ToArchive<'_> {
    fn take(&mut self, record: ResultRecord, failure: Option<String>) -> Result<()> {
        let bytes = self.batch.frames.len() - self.taken;
        self.taken = self.batch.frames.len();
        self.batch.push_sized(record, bytes, failure);
        if self.batch.is_full() {
            self.send()
        } else {
            Ok(())
        }
    }

    fn frames(&mut self) -> &mut Vec<u8> {
        &mut self.batch.frames
    }
}

/// What a worker keeps from tile to tile.
pub(super) struct TileRunner {
    pub(super) worker: Worker,
    pub(super) pool: Pool,
    tracers: Vec<Tracer>,
    traces: Traces,
    /// Containers of the phase.
    count: u64,
}

impl TileRunner {
    /// A runner of tiles of a phase of `count` containers.
    pub(super) fn new(pool: Pool, sets_max: usize, traces: Traces, count: u64) -> TileRunner {
        TileRunner {
            traces,
            count,
            worker: Worker::new(sets_max),
            pool,
            tracers: Vec::with_capacity(sets_max),
        }
    }

    /// Whether a container may hand over frames before its end.
    pub(super) fn streams(&self) -> bool {
        self.traces.streams()
    }

    /// Runs the tile and hands over every container of it.
    ///
    /// A panic is found by running the containers singly: the one that panics fails with its
    /// message, the others are unharmed.
    pub(super) fn run(
        &mut self,
        job: Job<'_>,
        sets: &[ParameterSet],
        archive: Option<&ArchiveHandle>,
        finished: &mut dyn Finished,
        checkpoints: &mut dyn Checkpoints,
    ) -> Result<TileEnd> {
        self.tracers.clear();
        self.tracers.extend(
            sets.iter()
                .map(|set| Tracer::new(self.traces.of(set.index, self.count), set.index)),
        );
        let is_traced = !self.tracers.iter().all(Tracer::is_idle) || checkpoints.is_resumed();
        let mut sink = RingSink {
            pool: &mut self.pool,
            archive,
            stage: Stage::new(),
            staged: self.tracers.iter().map(Tracer::stage).collect(),
            selections: self.tracers.iter().map(Selection::of).collect(),
            tracers: &mut self.tracers,
            trade_bytes: job.rules.trade_bytes_max(),
            only_counts_closed: false,
            containers: sets.iter().map(|set| set.index).collect(),
            place: 0,
            kinds: EventSet::NONE,
            per_step: PerStep::default(),
            is_staged: false,
            refused: vec![false; sets.len()],
            error: None,
        };
        let worker = &mut self.worker;
        // The tile's state is discarded after a panic, so nothing half-changed is seen again.
        let ran = catch_unwind(AssertUnwindSafe(|| {
            if is_traced {
                run_to_end(worker, job, sets, &mut sink, checkpoints)
            } else {
                run_to_end(worker, job, sets, &mut NoSink, checkpoints)
            }
        }));
        let refused = std::mem::take(&mut sink.refused);
        for (tracer, staged) in sink.tracers.iter_mut().zip(&mut sink.staged) {
            tracer.count(staged);
        }
        match ran {
            Ok(Ok(TileEnd::Finished)) => {
                self.hand_over(sets, &refused, archive, finished)?;
                Ok(TileEnd::Finished)
            }
            Ok(other) => {
                self.abandon();
                other
            }
            Err(panic) => {
                self.abandon();
                if let Some(archive) = archive {
                    sets.iter().try_for_each(|set| archive.forget(set.index))?;
                }
                if let [set] = sets {
                    let record = failed_record(set, &job);
                    finished.take(record, Some(format!("panicked: {}", panic_text(&*panic))))?;
                    return Ok(TileEnd::Finished);
                }
                for set in sets {
                    let single = std::slice::from_ref(set);
                    if self.run(job, single, archive, finished, &mut NoCheckpoints)?
                        == TileEnd::Stopped
                    {
                        return Ok(TileEnd::Stopped);
                    }
                }
                Ok(TileEnd::Finished)
            }
        }
    }

    fn hand_over(
        &mut self,
        sets: &[ParameterSet],
        refused: &[bool],
        archive: Option<&ArchiveHandle>,
        finished: &mut dyn Finished,
    ) -> Result<()> {
        for (place, set) in sets.iter().enumerate() {
            let container = &self.worker.containers[place];
            let failure = failure_of(container, refused[place]);
            let ledger = self.tracers[place].finish(
                &mut self.pool,
                archive,
                set.index,
                finished.frames(),
            )?;
            let status = if failure.is_none() {
                Status::Completed
            } else {
                Status::Failed
            };
            finished.take(container.result(status, ledger), failure)?;
        }
        Ok(())
    }

    fn abandon(&mut self) {
        for tracer in &mut self.tracers {
            tracer.abandon(&mut self.pool);
        }
    }
}

/// Why a container that saw its whole window failed; `is_refused` where its trace was at its cap.
pub(super) fn failure_of(container: &Container, is_refused: bool) -> Option<String> {
    if is_refused {
        Some(
            "the trace is at its cap and trace.on_full is strict; raise trace.bytes_per_container"
                .to_owned(),
        )
    } else if container.is_exhausted() {
        Some("equity fell to zero or below; returns mean nothing from there on".to_owned())
    } else {
        None
    }
}

pub(super) fn run_to_end<S: TileSink>(
    worker: &mut Worker,
    job: Job<'_>,
    sets: &[ParameterSet],
    sink: &mut S,
    checkpoints: &mut dyn Checkpoints,
) -> Result<TileEnd> {
    let end = worker.run_tile_from(job, sets, sink, checkpoints)?;
    if end == TileEnd::Finished {
        fail_exhausted(worker, sink);
    }
    Ok(end)
}

fn fail_exhausted<S: TileSink>(worker: &mut Worker, sink: &mut S) {
    let bars = worker.block().clone();
    for (place, container) in worker.containers.iter_mut().enumerate() {
        if container.is_exhausted() {
            sink.select(place);
            container.fail(Reason::EquityExhausted, &bars, sink);
            sink.settle();
        }
    }
}

pub(super) fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "no message".to_owned())
}

/// The result of a container of which nothing is left.
pub(super) fn failed_record(set: &ParameterSet, job: &Job<'_>) -> ResultRecord {
    let capital = job.rules.portfolio.initial_capital;
    ResultRecord {
        index: set.index,
        first_bar: job.span.first,
        events: 0,
        first_ts_ns: 0,
        last_ts_ns: 0,
        status: Status::Failed as u32,
        symbol: u32::from(job.symbol),
        parameters: set.values,
        equity: EquityTotals {
            initial: capital,
            last: capital,
            peak: capital,
            ..EquityTotals::default()
        },
        trades: TradeTotals::default(),
        execution: ExecutionTotals::default(),
        ledger: Ledger::default(),
    }
}
