//! One tile from its sets to committed results, whatever its containers do.

use super::traces::Traces;
use crate::Result;
use crate::container::{Container, ContainerRules, NoSink, PerStep, Sink, Untold};
use crate::kernel;
use crate::segment::{ArchiveHandle, Batch, Lane, Pool, Receipts, Stage};
use crate::state::{StateReader, StateWriter};
use crate::topology::{Checkpoints, Job, NoCheckpoints, ParameterSet, TileEnd, TileSink, Worker};
use crate::tracer::{Refusal, Tracer};
use admf_formats::event::{EventKind, EventSet, Payload, Reason, Stamp};
use admf_formats::result::{
    EquityTotals, ExecutionTotals, Ledger, ResultRecord, Status, TradeTotals,
};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// How a container's events come to its ring.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    /// Through its tracer, each at its time.
    AtOnce,
    /// They may wait in the stage, or go to the lane.
    Staged,
    /// The same, and those of trades that end within a block need only be counted.
    Counted,
}

/// What every block touches of a container's tracer: one line of the cache.
#[derive(Clone, Copy)]
#[repr(align(64))]
struct Place {
    lane: Lane,
    /// What its tracer selects.
    kinds: EventSet,
    per_step: PerStep,
    way: Way,
}

const _: () = assert!(size_of::<Place>() == 64);

/// Bytes that a tile keeps of each tracer: its place, its container, whether it was refused.
pub(super) const PLACE_BYTES: u64 =
    (size_of::<Place>() + size_of::<u64>() + size_of::<bool>()) as u64;

impl Place {
    /// That of a tracer whose container has these rules.
    fn of(tracer: &mut Tracer, pool: &Pool, rules: &ContainerRules, is_refused: bool) -> Place {
        let (kinds, is_stageable) = tracer.selection();
        let way = if !is_stageable || is_refused {
            Way::AtOnce
        } else if tracer.holds(rules.trade_bytes_max(kinds)) {
            Way::Counted
        } else {
            // Where the cap could be reached, each event must be tried at its time.
            Way::Staged
        };
        let mut lane = Lane::default();
        if way != Way::AtOnce {
            tracer.lend(pool, &mut lane);
        }
        Place {
            lane,
            kinds,
            per_step: PerStep::of(kinds),
            way,
        }
    }
}

/// The tracers of a tile.
struct RingSink<'a> {
    places: Vec<Place>,
    /// The selected container's, and what its tracer selects.
    place: usize,
    kinds: EventSet,
    rules: &'a ContainerRules,
    rings: Rings<'a>,
}

/// What the tracers of a tile share, and what of each of them few blocks touch.
struct Rings<'a> {
    pool: &'a mut Pool,
    archive: Option<&'a ArchiveHandle>,
    tracers: &'a mut Vec<Tracer>,
    stage: Stage,
    containers: Vec<u64>,
    /// Containers whose ring is at its cap under strict rules.
    refused: Vec<bool>,
    error: Option<crate::Error>,
}

impl Rings<'_> {
    /// Asks for the tracers after this one's place, and what the next one points to.
    fn prefetch(&self, at: usize) {
        if let Some(after) = self.tracers.get(at + 2) {
            kernel::prefetch(after);
        }
        if let Some(tracer) = self.tracers.get(at + 1) {
            tracer.prefetch();
        }
    }

    /// Hands an event to the tracer itself.
    fn emit<P: Payload>(&mut self, at: usize, stamp: &Stamp, payload: &P) {
        if self.refused[at] || self.error.is_some() {
            return;
        }
        let container = self.containers[at];
        match self.tracers[at].emit(self.pool, self.archive, container, stamp, payload) {
            Ok(()) => {}
            Err(Refusal::Full) => self.refused[at] = true,
            Err(Refusal::Archive(error)) => self.error = Some(error),
        }
    }

    /// An event that neither the stage nor the lane has room for.
    #[cold]
    #[inline(never)]
    fn overflow<P: Payload>(&mut self, at: usize, place: &mut Place, stamp: &Stamp, payload: &P) {
        self.settle(at, &mut place.lane);
        self.tracers[at].take_back(self.pool, &mut place.lane);
        self.emit(at, stamp, payload);
        if self.refused[at] {
            place.way = Way::AtOnce;
        } else {
            self.tracers[at].lend(self.pool, &mut place.lane);
        }
    }

    /// The end of a trade that the ring may hold, and its lane does not.
    #[inline(never)]
    fn end_trade(&mut self, at: usize, place: &mut Place, trade: u32) {
        self.tracers[at].take_back(self.pool, &mut place.lane);
        self.tracers[at].end_trade(self.pool, trade);
        if place.way != Way::AtOnce {
            self.tracers[at].lend(self.pool, &mut place.lane);
        }
    }

    #[inline(never)]
    fn settle(&mut self, at: usize, lane: &mut Lane) {
        self.tracers[at].settle(&mut self.stage, lane, self.containers[at], self.pool);
    }
}

/// Whether events of this kind matter: the end of a trade does to retention also where it is not
/// traced.
#[inline(always)]
const fn wants(selected: EventSet, kind: EventKind) -> bool {
    selected.contains(kind) || kind as u8 == EventKind::PositionClose as u8
}

impl Sink for RingSink<'_> {
    #[inline(always)]
    fn wants(&self, kind: EventKind) -> bool {
        wants(self.kinds, kind)
    }

    #[inline(always)]
    fn emit<P: Payload>(&mut self, stamp: &Stamp, payload: &P) {
        let (at, rings) = (self.place, &mut self.rings);
        let place = &mut self.places[at];
        if place.way == Way::AtOnce {
            rings.emit(at, stamp, payload);
            return;
        }
        let is_close = P::KIND as u8 == EventKind::PositionClose as u8;
        let is_told = !is_close || self.kinds.contains(P::KIND);
        if is_told && !rings.stage.push(&mut place.lane, stamp, payload) {
            rings.overflow(at, place, stamp, payload);
        } else if is_close {
            self.end_trade(stamp.trade);
        }
    }

    #[inline(always)]
    fn end_trade(&mut self, trade: u32) {
        let (at, rings) = (self.place, &mut self.rings);
        let place = &mut self.places[at];
        if place.way == Way::AtOnce || !rings.stage.end_trade(&mut place.lane, trade) {
            rings.end_trade(at, place, trade);
        }
    }

    #[inline(always)]
    fn only_counts_closed(&self) -> bool {
        self.places[self.place].way == Way::Counted
    }

    #[inline(always)]
    fn lasting(&mut self) -> impl Sink {
        self.settle();
        Lasting {
            at: self.place,
            owner: self.rings.containers[self.place],
            place: &mut self.places[self.place],
            rings: &mut self.rings,
        }
    }
}

/// The sink of a selected container whose closed trades are only counted: what it is told goes to
/// the ring at once.
struct Lasting<'a, 'b> {
    at: usize,
    owner: u64,
    place: &'a mut Place,
    rings: &'a mut Rings<'b>,
}

impl Sink for Lasting<'_, '_> {
    #[inline(always)]
    fn wants(&self, kind: EventKind) -> bool {
        wants(self.place.kinds, kind)
    }

    #[inline(always)]
    fn emit<P: Payload>(&mut self, stamp: &Stamp, payload: &P) {
        let Lasting {
            at,
            owner,
            place,
            rings,
        } = self;
        let is_close = P::KIND as u8 == EventKind::PositionClose as u8;
        if !is_close || place.kinds.contains(P::KIND) {
            if stamp.trade == 0 {
                place.lane.drop_without_trade();
            } else if !place.lane.append(rings.pool, *owner, stamp, payload) {
                rings.overflow(*at, place, stamp, payload);
                return;
            }
        }
        if is_close {
            self.end_trade(stamp.trade);
        }
    }

    #[inline(always)]
    fn end_trade(&mut self, trade: u32) {
        if !self.place.lane.end_trade(trade) {
            self.rings.end_trade(self.at, self.place, trade);
        }
    }

    #[inline(always)]
    fn count_closed(&mut self, untold: Untold) {
        let Place { lane, per_step, .. } = &mut *self.place;
        lane.recycle(untold.events(*per_step));
    }
}

impl TileSink for RingSink<'_> {
    #[inline(always)]
    fn select(&mut self, place: usize) {
        // Nothing of this stays in the cache: what is touched of it is asked for before.
        if let Some(after) = self.places.get(place + 2) {
            kernel::prefetch(after);
        }
        if let Some(next) = self.places.get(place + 1) {
            if next.way == Way::AtOnce {
                self.rings.prefetch(place);
            } else {
                next.lane.prefetch(self.rings.pool);
            }
        }
        self.place = place;
        self.kinds = self.places[place].kinds;
    }

    #[inline(always)]
    fn settle(&mut self) {
        if !self.rings.stage.is_empty() {
            (self.rings).settle(self.place, &mut self.places[self.place].lane);
        }
    }

    fn failure(&mut self) -> Option<crate::Error> {
        self.rings.error.take()
    }

    fn save(&mut self, place: usize, into: &mut StateWriter<'_>) -> io::Result<()> {
        let rings = &mut self.rings;
        let (tracer, own) = (&mut rings.tracers[place], &mut self.places[place]);
        tracer.take_back(rings.pool, &mut own.lane);
        into.put(&true)?;
        into.put(&rings.refused[place])?;
        tracer.save(rings.pool, into)?;
        if own.way != Way::AtOnce {
            tracer.lend(rings.pool, &mut own.lane);
        }
        Ok(())
    }

    fn load(&mut self, place: Option<usize>, from: &mut StateReader<'_>) -> io::Result<()> {
        if !from.get::<bool>()? {
            return Ok(());
        }
        let refused = from.get()?;
        let Some(place) = place else {
            return Tracer::skip(from);
        };
        let rings = &mut self.rings;
        rings.refused[place] = refused;
        let tracer = &mut rings.tracers[place];
        tracer.load(rings.pool, from)?;
        self.places[place] = Place::of(tracer, rings.pool, self.rules, refused);
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
        let place = |tracer| Place::of(tracer, &self.pool, job.rules, false);
        let places = self.tracers.iter_mut().map(place).collect();
        let mut sink = RingSink {
            places,
            place: 0,
            kinds: EventSet::NONE,
            rules: job.rules,
            rings: Rings {
                pool: &mut self.pool,
                archive,
                tracers: &mut self.tracers,
                stage: Stage::new(),
                containers: sets.iter().map(|set| set.index).collect(),
                refused: vec![false; sets.len()],
                error: None,
            },
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
        let RingSink {
            mut places, rings, ..
        } = sink;
        for (tracer, place) in rings.tracers.iter_mut().zip(&mut places) {
            tracer.take_back(rings.pool, &mut place.lane);
        }
        let refused = rings.refused;
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
