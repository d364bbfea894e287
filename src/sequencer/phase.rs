//! One phase: planned, run by workers over tiles, folded into its aggregate.
//!
//! Longer than other files: the plan counts what the workers below it take, and both change together.

use super::checkpoint::{self, CheckpointRules, Found, Keeper, ResumedTile, Wanted};
use super::footprint::feature_bytes;
use super::layout::{Layout, Sets};
use super::tile::{Finished, TileRunner, ToArchive};
use super::{Candidates, Phase, Piece, ResultsStorage};
use crate::container::{Container, Span};
use crate::market::{BARS_CACHE, BarsFile};
use crate::plan::{self, Part, Plan, Start};
use crate::results::{Aggregator, FoldRoom, PhaseDir};
use crate::segment::retention::{Backing, Compression, RetentionPolicy};
use crate::segment::{
    ArchiveHandle, ArchiveOptions, ArchiveRecords, ArchiveWriter, Pool, committed, scan_records,
};
use crate::spread::{Seats, Spread};
use crate::strategy::Strategy;
use crate::sweep::{Shard, Space};
use crate::topology::{self, Checkpoints, Job, NoCheckpoints, ParameterSet, TileEnd, Worker};
use crate::tracer::Tracer;
use crate::{Error, Result};
use admf_formats::archive::SLOT_BYTES;
use admf_formats::compression::Compressor;
use admf_formats::manifest::{Manifest, ManifestSymbol};
use admf_formats::report::{
    AggregateReport, ContainerReport, PhaseConfig, PhaseSummary, SymbolWindow,
};
use admf_formats::result::ResultRecord;
use admf_formats::units::rfc3339;
use sha2::{Digest, Sha256};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

/// A symbol with its bars opened.
pub struct Symbol {
    /// Symbol.
    pub symbol: String,
    /// Its bars.
    pub bars: BarsFile,
    /// The bars that the workflow's `start` and `end` leave.
    pub data: Span,
    /// Bars per year.
    pub bars_per_year: f64,
}

/// What all phases of a run have in common.
pub struct RunSettings<'a> {
    /// Workflow.
    pub workflow: &'a str,
    /// Strategy.
    pub strategy: &'a dyn Strategy,
    /// Its parameter sets.
    pub space: &'a Space,
    /// Symbols.
    pub symbols: &'a [Symbol],
    /// Effective settings, for the manifests.
    pub settings: &'a serde_json::Value,
    /// Bytes for everything.
    pub budget: u64,
    /// What this process took before its phases.
    pub start: Start,
    /// Workers at most.
    pub threads: u64,
    /// Where pools on disk go.
    pub pools: PathBuf,
    /// Set when the run is asked to stop.
    pub stop: &'a AtomicBool,
    /// Finished containers of the phase that runs.
    pub finished: &'a AtomicU64,
    /// The part of the containers that this process runs; all without one.
    pub shard: Option<Shard>,
    /// At least so long between two checkpoints of a tile; none are kept without.
    pub checkpoint_every: Option<Duration>,
    /// Tells people what they should know while a phase runs.
    pub tell: &'a (dyn Fn(&str) + Sync),
}

/// A phase with its candidates, before or while it runs.
pub struct PhaseRun<'a> {
    settings: &'a RunSettings<'a>,
    phase: &'a Phase,
    sets: Sets<'a>,
    /// What each symbol trades on.
    pieces: Vec<Piece>,
    sequence_bytes: u64,
    /// Where results go, which the plan may have changed.
    pub storage: ResultsStorage,
    /// Why the storage was changed.
    pub storage_change: Option<String>,
    /// The plan.
    pub plan: Plan,
    /// Sets that a tile may have.
    tile_cap: u64,
    /// What folding the results may take when the workers are gone.
    room: FoldRoom,
}

/// What a plan comes to.
struct Fitted {
    /// Sets that a tile may have.
    cap: u64,
    workers: u64,
    parts: Vec<Part>,
    room: FoldRoom,
}

/// What a phase came to.
pub struct Outcome {
    /// The best containers, best first.
    pub best: Vec<ResultRecord>,
    /// Every container that an earlier phase handed over, in order of index; empty for a space.
    pub handed_over: Vec<ResultRecord>,
    /// The aggregate.
    pub aggregate: AggregateReport,
    /// Why nothing may be handed over though containers completed: none meets the constraints on
    /// results.
    pub unmet: Option<String>,
}

/// Plans a phase over all the data; see [`plan_phase_on`].
pub fn plan_phase<'a>(
    settings: &'a RunSettings<'a>,
    phase: &'a Phase,
    chosen: &[ResultRecord],
) -> Result<PhaseRun<'a>> {
    let whole = |symbol: &Symbol| Piece {
        span: symbol.data,
        history_from: 0,
    };
    let pieces: Vec<Piece> = settings.symbols.iter().map(whole).collect();
    plan_phase_on(settings, phase, chosen, &pieces, 0)
}

/// Plans a phase on a piece of the data per symbol. `chosen` are the records that an earlier phase
/// hands over, or as many empty ones as there will be at most where that phase has not run yet.
/// `sequence_bytes` is what the windows around it keep.
///
/// Errors: [`Error::Plan`] where the phase does not fit.
pub fn plan_phase_on<'a>(
    settings: &'a RunSettings<'a>,
    phase: &'a Phase,
    chosen: &[ResultRecord],
    pieces: &[Piece],
    sequence_bytes: u64,
) -> Result<PhaseRun<'a>> {
    let sets = match &phase.candidates {
        Candidates::Space => Sets::Space {
            space: settings.space,
            symbols: settings.symbols.len() as u64,
        },
        Candidates::BestOf { .. } => Sets::Chosen(
            chosen
                .iter()
                .map(|record| (record.symbol as u16, record.parameters))
                .collect(),
        ),
    };
    let mut run = PhaseRun {
        settings,
        phase,
        sets,
        pieces: pieces.to_vec(),
        sequence_bytes,
        storage: phase.results_storage,
        storage_change: None,
        plan: Plan {
            phase: phase.name.clone(),
            containers: 0,
            tiles: 0,
            tile_sets: 0,
            workers: 0,
            traces: Vec::new(),
            parts: Vec::new(),
            peak_bytes: 0,
            budget_bytes: settings.budget,
            disk_bytes: 0,
            checkpoint_bytes: 0,
            disk_free_bytes: 0,
        },
        tile_cap: 0,
        room: FoldRoom {
            threads: 1,
            rows: FoldRoom::ROWS_MIN,
        },
    };
    let mut fitted = run.fit();
    if let (ResultsStorage::Memory, Err(error)) = (run.storage, &fitted) {
        run.storage_change = Some(format!("the table of results does not fit: {error}"));
        run.storage = ResultsStorage::Disk;
        fitted = run.fit();
    }
    let Fitted {
        cap,
        workers,
        mut parts,
        room,
    } = fitted?;
    let sum = |parts: &[Part]| -> u64 { parts.iter().map(|part| part.bytes).sum() };
    if let Some(bytes @ 1..) = settings.start.peak.checked_sub(sum(&parts)) {
        parts.push(Part {
            name: "start, at its peak",
            bytes,
        });
    }
    let layout = Layout::new(&run.sets, cap);
    let own = run.own();
    let containers = own.end - own.start;
    let (tiles, tile_sets) = (layout.tiles(), layout.sets_max());
    let bytes_of = |names: &[&str]| -> u64 {
        let named = parts.iter().filter(|part| names.contains(&part.name));
        named.map(|part| part.bytes).sum()
    };
    let pool_bytes = bytes_of(&["pools"]);
    let state_bytes = bytes_of(&["features", "containers", "pools", "checkpoints"]);
    run.plan.containers = containers;
    run.plan.tiles = tiles;
    run.plan.tile_sets = tile_sets;
    (run.tile_cap, run.room) = (cap, room);
    run.plan.workers = workers;
    run.plan.traces = phase.traces().plan(containers);
    run.plan.peak_bytes = sum(&parts);
    run.plan.parts = parts;
    let results = if run.storage == ResultsStorage::Disk {
        containers * SLOT_BYTES as u64
    } else {
        0
    };
    let pools_on_disk = if phase.container.trace.backing == Backing::Disk {
        pool_bytes
    } else {
        0
    };
    if run.storage == ResultsStorage::Disk {
        run.plan.checkpoint_bytes = checkpoint::disk_bytes(workers, state_bytes);
    }
    run.plan.disk_bytes = results + pools_on_disk + run.plan.checkpoint_bytes;
    run.plan.disk_free_bytes = disk_free(&settings.pools);
    Ok(run)
}

/// Free bytes of the file system that will hold this folder.
fn disk_free(folder: &std::path::Path) -> u64 {
    let exists = folder
        .ancestors()
        .find(|folder| folder.is_dir())
        .unwrap_or(std::path::Path::new("."));
    rustix::fs::statvfs(exists).map_or(0, |stat| stat.f_bavail * stat.f_frsize)
}

/// The part of a plan that is mapped: the system has it back when a worker is gone.
const POOLS: &str = "pools";

impl PhaseRun<'_> {
    /// Indices of the containers that this process runs.
    fn own(&self) -> Range<u64> {
        let containers = self.sets.len();
        self.settings
            .shard
            .map_or(0..containers, |shard| shard.range(containers))
    }

    fn fit(&self) -> Result<Fitted> {
        let (settings, phase) = (self.settings, self.phase);
        let traces = phase.traces();
        let segment_bytes = traces.segment_bytes();
        let containers = self.sets.len();
        let best = phase.top_n.min(containers) * Aggregator::BYTES_PER_BEST as u64;
        let handed_over = match &self.sets {
            Sets::Space { .. } => 0,
            Sets::Chosen(list) => {
                size_of_val(list.as_slice()) + list.len() * size_of::<ResultRecord>()
            }
        };
        let mut shared = vec![
            Part {
                name: "parameter space",
                bytes: settings.space.bytes() as u64,
            },
            Part {
                name: "best containers",
                bytes: 2 * best + handed_over as u64,
            },
            Part {
                name: "archive writer",
                bytes: ArchiveOptions::writer_bytes(traces.ring_bytes(), containers),
            },
        ];
        if settings.start.kept() > 0 {
            shared.push(Part {
                name: "workflow and import",
                bytes: settings.start.kept(),
            });
        }
        if self.sequence_bytes > 0 {
            shared.push(Part {
                name: "sequence",
                bytes: self.sequence_bytes,
            });
        }
        match self.storage {
            ResultsStorage::Disk => {
                shared.push(Part {
                    name: "committed containers",
                    bytes: containers.div_ceil(8),
                });
                if phase.container.trace.compression == Compression::Zstd {
                    shared.push(Part {
                        name: "compression",
                        bytes: Compressor::BYTES,
                    });
                }
            }
            ResultsStorage::Memory => {
                shared.push(Part {
                    name: "results",
                    bytes: containers * size_of::<Option<ResultRecord>>() as u64,
                });
            }
        }
        let manifest_bytes = self.manifest().encode().len() as u64;
        let worker = |tile: u64| -> Result<Vec<Part>> {
            let layout = Layout::new(&self.sets, tile);
            let sets_max = layout.sets_max();
            let rules = &phase.container;
            let features = feature_bytes(settings.strategy, rules, settings.space, &layout)?;
            let tracer = size_of::<Tracer>() as u64 + traces.tracer_bytes();
            let own = sets_max * (2 * size_of::<ParameterSet>() as u64 + tracer);
            let mut parts = vec![
                Part {
                    name: "stacks",
                    bytes: plan::STACK_BYTES / 4,
                },
                Part {
                    name: "features",
                    bytes: features as u64,
                },
                Part {
                    name: "containers",
                    bytes: Worker::bytes(sets_max as usize * Container::bytes(rules)) as u64 + own,
                },
                Part {
                    name: POOLS,
                    bytes: Pool::bytes(
                        segment_bytes,
                        traces.segments(layout.pool_sets(), containers),
                        manifest_bytes,
                    ),
                },
                Part {
                    name: "archive buffers",
                    bytes: ArchiveOptions::worker_bytes(
                        segment_bytes,
                        traces.ring_bytes(),
                        containers,
                    ) + traces.order_bytes(),
                },
            ];
            if self.storage == ResultsStorage::Disk {
                parts.push(Part {
                    name: "checkpoints",
                    bytes: checkpoint::bytes(sets_max),
                });
            }
            Ok(parts)
        };
        // Results are folded when the workers are gone, in their pools' memory and half of the rest,
        // for the allocator may keep the other half: only what is beyond that counts.
        let percentiles = phase.percentiles.len() as u64;
        let own = self.own();
        let folded = own.end - own.start;
        let least = |threads| {
            let rows = FoldRoom::ROWS_MIN;
            FoldRoom { threads, rows }.bytes(folded, percentiles)
        };
        let left_of = |parts: &[Part]| -> u64 {
            let left = parts.iter().map(|part| match part.name {
                POOLS => part.bytes,
                _ => part.bytes / 2,
            });
            left.sum()
        };
        let statistics = |workers: u64, left: u64| Part {
            name: "statistics",
            bytes: least(workers as usize).saturating_sub(left),
        };
        shared.push(statistics(1, left_of(&worker(1)?)));
        let mut workers_max = settings.threads;
        loop {
            let (cap, workers, mut parts) =
                plan::fit(&phase.name, settings.budget, workers_max, &shared, &worker)?;
            // A worker without a tile would only cost its pool. With fewer workers tiles are as
            // large or larger, so this ends.
            let tiles = Layout::new(&self.sets, cap).tiles().max(1);
            if workers <= tiles {
                // The program comes first, then what is shared, the statistics last.
                let (shared, of_workers) = parts.split_at_mut(1 + shared.len());
                let left = left_of(of_workers);
                let beyond = statistics(workers, left);
                let threads = workers as usize;
                let room = FoldRoom::within(left + beyond.bytes, threads, folded, percentiles);
                if let Some(part) = shared.last_mut() {
                    *part = beyond;
                }
                return Ok(Fitted {
                    cap,
                    workers,
                    parts,
                    room,
                });
            }
            workers_max = tiles;
        }
    }

    fn manifest(&self) -> Manifest {
        let (settings, phase) = (self.settings, self.phase);
        let symbols =
            settings
                .symbols
                .iter()
                .zip(&self.pieces)
                .map(|(symbol, Piece { span, .. })| ManifestSymbol {
                    symbol: symbol.symbol.clone(),
                    bars_file: bars_name(symbol.bars.path()),
                    bars_digest: symbol.bars.digest(),
                    first_bar: span.first,
                    end_bar: span.end,
                    bars_per_year: symbol.bars_per_year,
                });
        Manifest {
            workflow: settings.workflow.to_owned(),
            phase: phase.name.clone(),
            strategy: settings.strategy.name().to_owned(),
            parameter_names: settings.space.names().map(str::to_owned).collect(),
            objective: phase.objective.to_string(),
            symbols: symbols.collect(),
            containers: self.sets.len(),
            initial_capital: phase.container.portfolio.initial_capital,
            all_in: phase.container.is_all_in(),
            settings: settings.settings["phases"][&phase.name].to_string(),
            events: Manifest::event_schema(),
        }
    }

    /// What the JSON of a container needs, as if it were one of so many of this phase.
    pub fn report_context(
        &self,
        phase: &str,
        containers: u64,
    ) -> admf_formats::report::ReportContext {
        let mut context = self.manifest().report_context();
        (context.phase, context.containers) = (phase.to_owned(), containers);
        context
    }

    /// What folding the results may take when the workers are gone.
    pub(super) const fn room(&self) -> FoldRoom {
        self.room
    }

    /// An aggregator of this phase that has seen nothing.
    pub(super) fn aggregator(&self) -> Aggregator {
        Aggregator::new(self.manifest().report_context(), self.phase.top_n)
            .with_percentiles(&self.phase.percentiles)
    }

    /// How the states of its tiles are kept; none where they are not.
    fn checkpoints(&self, manifest: &Manifest) -> Option<CheckpointRules<'_>> {
        let settings = self.settings;
        let mut identity = Sha256::new();
        // Its settings, its bars and those that it trades on are in the manifest.
        identity.update(manifest.encode());
        for piece in &self.pieces {
            identity.update(piece.features_from(self.phase.warmup).to_le_bytes());
        }
        Some(CheckpointRules {
            every: settings.checkpoint_every?,
            folder: &settings.pools,
            name: &self.phase.name,
            phase: identity.finalize().into(),
            count: self.sets.len(),
            tell: settings.tell,
            has_warned: AtomicBool::new(false),
        })
    }

    /// The tiles that go on from a checkpoint, as large as the plan allows.
    fn find_checkpoints(
        &self,
        checkpoints: &CheckpointRules<'_>,
        traces: &Path,
        done: &[u64],
    ) -> Result<Found> {
        let layout = Layout::new(&self.sets, self.tile_cap);
        let (strategy, rules) = (self.settings.strategy, &self.phase.container);
        let (own, sets_max) = (self.own(), layout.sets_max());
        let wanted = Wanted {
            traces,
            is_wanted: &|index| own.contains(&index) && !has_bit(done, index),
            set: &|index| self.sets.set(index),
            fits: &|sets| {
                let has_room = sets.len() as u64 <= sets_max;
                let planned = feature_bytes(strategy, rules, self.settings.space, &layout)?;
                Ok(has_room && topology::feature_bytes(strategy, rules, sets)? <= planned)
            },
            containers_max: (self.plan.workers * plan::TILE_SETS_MAX) as usize,
        };
        checkpoint::find(checkpoints, &wanted)
    }

    fn writes_json(&self) -> bool {
        // A table that did not fit had no JSON either: the tree is the same under any budget.
        self.storage_change.is_none() && self.phase.container_results.writes_json(self.sets.len())
    }

    /// Writes the summary of the phase where it does not run, and nothing else.
    pub(super) fn write_not_run(&self, folder: &PhaseDir, reason: &str) -> Result<()> {
        let mut summary = self.summary(&self.aggregator(), 0)?;
        (summary.containers, summary.not_run) = (0, Some(reason.to_owned()));
        folder.create()?;
        folder.write_summary(&summary)
    }

    pub(super) fn summary(&self, aggregator: &Aggregator, failed: u64) -> Result<PhaseSummary> {
        let phase = self.phase;
        let rules = &phase.container.trace;
        let window = self
            .settings
            .symbols
            .iter()
            .zip(&self.pieces)
            .map(|(symbol, piece)| symbol_window(symbol, piece.span));
        let settings = &self.settings.settings["phases"][&phase.name];
        let text = |key: &str| settings[key].as_str().unwrap_or_default().to_owned();
        let own = self.own();
        Ok(PhaseSummary {
            phase: phase.name.clone(),
            containers: own.end - own.start,
            failed,
            window: window.collect::<Result<_>>()?,
            metrics_summary: aggregator.metrics(),
            not_run: None,
            config: PhaseConfig {
                results_storage: text("results_storage"),
                container_results: text("container_results"),
                event_tracing: rules
                    .events
                    .iter()
                    .map(|kind| kind.name().to_owned())
                    .collect(),
                retention_policy: text("retention_policy"),
                sliding_window_size: match rules.policy {
                    RetentionPolicy::SlidingWindow { events } => Some(events),
                    _ => None,
                },
                sliding_window: match rules.policy {
                    RetentionPolicy::SlidingPast { reach } => Some(reach.to_string()),
                    _ => None,
                },
                store_trades: rules.store_trades,
                strategy: self.settings.strategy.name().to_owned(),
                objective: phase.objective.to_string(),
                top_n: phase.top_n,
                warmup: text("warmup"),
                percentiles: phase.percentiles.clone(),
                trace_level: phase.trace_level.clone(),
                initial_capital: phase.container.portfolio.initial_capital,
            },
        })
    }
}

/// Whether a container is among those of these bits; without any, none is.
fn has_bit(bits: &[u64], container: u64) -> bool {
    let word = bits.get((container / 64) as usize);
    word.is_some_and(|word| word >> (container % 64) & 1 == 1)
}

/// How the tiles of a phase are kept, and those that go on from what was kept.
type Kept<'a> = (&'a CheckpointRules<'a>, &'a [ResumedTile]);

/// The bars of a span with the times of the first and the last.
pub(super) fn symbol_window(symbol: &Symbol, span: Span) -> Result<SymbolWindow> {
    Ok(SymbolWindow {
        symbol: symbol.symbol.clone(),
        bars: span.end - span.first,
        first: rfc3339(symbol.bars.ts_of(span.first)?),
        last: rfc3339(symbol.bars.ts_of(span.end - 1)?),
    })
}

/// Results that are kept in memory, by index.
struct ToTable<'a> {
    table: &'a Mutex<Vec<Option<ResultRecord>>>,
    frames: Vec<u8>,
}

impl Finished for ToTable<'_> {
    fn take(&mut self, record: ResultRecord, _: Option<String>) -> Result<()> {
        self.frames.clear();
        let mut table = self
            .table
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        table[record.index as usize] = Some(record);
        Ok(())
    }

    fn frames(&mut self) -> &mut Vec<u8> {
        &mut self.frames
    }
}

/// Runs a planned phase into its folder; containers that are committed there are not run again.
///
/// Errors: of bars, pools or the archive, and [`Error::Interrupted`] where it was asked to stop.
pub fn run_phase(run: &PhaseRun<'_>, folder: &PhaseDir) -> Result<Outcome> {
    folder.create()?;
    let containers = run.sets.len();
    let manifest = run.manifest();
    let context = manifest.report_context();
    let mut aggregator = run.aggregator();
    let mut handed_over = Vec::new();
    let is_chosen = matches!(run.sets, Sets::Chosen(_));
    let aggregate;
    match run.storage {
        ResultsStorage::Memory => {
            let table = Mutex::new(vec![None; containers as usize]);
            run_workers(run, &manifest, &[], None, &table, None)?;
            let table = table
                .into_inner()
                .unwrap_or_else(std::sync::PoisonError::into_inner);
            aggregator.fold(&table[..], run.own(), run.room)?;
            if is_chosen {
                handed_over.extend(table.iter().flatten());
            }
            aggregate = aggregator.report();
            let summary = run.summary(&aggregator, aggregate.failed)?;
            folder.write_reports(&aggregate, &summary)?.publish()?;
        }
        ResultsStorage::Disk => {
            let traces = folder.traces();
            let mut done = committed(&traces, containers)?;
            let count: u64 = done.iter().map(|bits| u64::from(bits.count_ones())).sum();
            run.settings.finished.store(count, Ordering::Relaxed);
            let options = ArchiveOptions {
                workers: run.plan.workers as usize,
                segment_bytes: run.phase.traces().segment_bytes() as usize,
                compression: run.phase.container.trace.compression,
                delay: None,
            };
            let (json_folder, json_context, writes_json) =
                (folder.clone(), context.clone(), run.writes_json());
            let on_commit = move |record: &ResultRecord, failure: Option<&str>| {
                if writes_json {
                    json_folder.write_container(&ContainerReport::of(
                        record,
                        &json_context,
                        failure,
                    ))?;
                }
                Ok(())
            };
            let checkpoints = run.checkpoints(&manifest);
            let found = match &checkpoints {
                Some(rules) => run.find_checkpoints(rules, &traces, &done)?,
                None => Found::default(),
            };
            // What goes on from a checkpoint is in no other tile.
            if !found.tiles.is_empty() {
                done.resize(containers.div_ceil(64) as usize, 0);
            }
            for index in found.tiles.iter().flat_map(|tile| &tile.containers) {
                done[(index / 64) as usize] |= 1 << (index % 64);
            }
            let writer = ArchiveWriter::start_from(
                &traces,
                &manifest,
                &options,
                Box::new(on_commit),
                &found.chains,
            )?;
            let handle = writer.handle();
            let table = Mutex::new(Vec::new());
            let kept = checkpoints.as_ref().map(|rules| (rules, &found.tiles[..]));
            let ran = run_workers(run, &manifest, &done, Some(&handle), &table, kept);
            drop(handle);
            let written = writer.written();
            // The writer's own error is the cause where both failed.
            let sealing = match (written, ran) {
                (Ok(sealing), Ok(())) => sealing,
                (Ok(sealing), Err(error)) => {
                    sealing.finish()?;
                    return Err(error);
                }
                (Err(error), _) => return Err(error),
            };
            restore_json(run, folder, &context)?;
            aggregator.fold(&ArchiveRecords(&traces), run.own(), run.room)?;
            if is_chosen {
                scan_records(&traces, containers, |slot| {
                    handed_over.push(slot.record);
                    Ok(())
                })?;
            }
            aggregate = aggregator.report();
            let summary = run.summary(&aggregator, aggregate.failed)?;
            let reports = folder.write_reports(&aggregate, &summary)?;
            // Seals were written while the archives were read and the reports made.
            sealing.finish()?;
            if let Some(rules) = &checkpoints {
                checkpoint::clear(rules)?;
            }
            reports.publish()?;
        }
    }
    Ok(Outcome {
        best: aggregator.best().copied().collect(),
        unmet: aggregator.unmet(),
        handed_over,
        aggregate,
    })
}

/// Writes the JSON of committed containers that a kill left without.
fn restore_json(
    run: &PhaseRun<'_>,
    folder: &PhaseDir,
    context: &admf_formats::report::ReportContext,
) -> Result<()> {
    if !run.writes_json() {
        return Ok(());
    }
    let traces = folder.traces();
    scan_records(&traces, run.sets.len(), |slot| {
        if folder
            .container(&context.container_id(&slot.record))
            .is_file()
        {
            return Ok(());
        }
        let range = slot.record.index / admf_formats::archive::CONTAINERS_PER_ARCHIVE;
        let archive = crate::segment::ArchiveReader::open(
            &traces.join(admf_formats::archive::file_name(range)),
        )?;
        let failure = archive.failure(slot)?;
        folder.write_container(&ContainerReport::of(
            &slot.record,
            context,
            failure.as_deref(),
        ))
    })
}

fn run_workers(
    run: &PhaseRun<'_>,
    manifest: &Manifest,
    done: &[u64],
    archive: Option<&ArchiveHandle>,
    table: &Mutex<Vec<Option<ResultRecord>>>,
    kept: Option<Kept<'_>>,
) -> Result<()> {
    let settings = run.settings;
    let next = AtomicU64::new(0);
    let mut spread = Spread::new();
    let seats = Seats::new(run.plan.workers as usize, &spread);
    let work = |worker| {
        seats.take();
        let ended = run_worker(run, manifest, worker, &next, done, archive, table, kept);
        if ended.is_err() {
            // The others need not go on: the run fails.
            next.store(u64::MAX / 2, Ordering::Relaxed);
        }
        seats.leave();
        ended
    };
    let outcomes: Vec<Result<TileEnd>> = crossbeam::thread::scope(|scope| {
        let work = &work;
        // This thread is the first worker: it need not wait for its turn on a processor.
        let others: Vec<_> = (1..run.plan.workers as u32)
            .map(|worker| {
                let start = || {
                    scope
                        .builder()
                        .name(format!("worker-{worker}"))
                        .stack_size(plan::STACK_BYTES as usize)
                        .spawn(move |_| work(worker))
                };
                let started = spread.start(worker, start);
                started.map_err(Error::io("start a worker for", &settings.pools))
            })
            .collect();
        spread.home();
        let own = work(0);
        let join = |worker: Result<crossbeam::thread::ScopedJoinHandle<'_, Result<TileEnd>>>| {
            worker?
                .join()
                .expect("panics of containers are caught in their tile")
        };
        let others = others.into_iter().map(join);
        std::iter::once(own).chain(others).collect()
    })
    .expect("every worker was joined");
    let mut stopped = false;
    for outcome in outcomes {
        stopped |= outcome? == TileEnd::Stopped;
    }
    if stopped {
        return Err(Error::Interrupted {
            finished: settings.finished.load(Ordering::Relaxed),
        });
    }
    Ok(())
}

#[expect(
    clippy::too_many_arguments,
    reason = "what all workers share, spelled out once"
)]
fn run_worker(
    run: &PhaseRun<'_>,
    manifest: &Manifest,
    worker: u32,
    next: &AtomicU64,
    done: &[u64],
    archive: Option<&ArchiveHandle>,
    table: &Mutex<Vec<Option<ResultRecord>>>,
    kept: Option<Kept<'_>>,
) -> Result<TileEnd> {
    let (settings, rules) = (run.settings, &run.phase.container);
    let layout = Layout::new(&run.sets, run.tile_cap);
    let sets_max = layout.sets_max();
    let traces = run.phase.traces();
    let segments = traces.segments(layout.pool_sets(), run.sets.len()) as u32;
    let (path, is_temporary) = match rules.trace.backing {
        Backing::Disk => {
            std::fs::create_dir_all(&settings.pools)
                .map_err(Error::io("create", &settings.pools))?;
            (
                settings
                    .pools
                    .join(format!("{}_{worker:02}.pool", run.phase.name)),
                false,
            )
        }
        Backing::Tmpfs => {
            let name = format!(
                "admf-{}-{}_{worker:02}.pool",
                std::process::id(),
                run.phase.name
            );
            (PathBuf::from("/dev/shm").join(name), true)
        }
    };
    if worker > 0 {
        lengthen_heap(run);
    }
    let pool = Pool::create(
        &path,
        worker,
        traces.segment_bytes() as u32,
        segments,
        manifest,
    )?;
    let mut runner = TileRunner::new(pool, sets_max as usize, traces, run.sets.len());
    let mut sets: Vec<ParameterSet> = Vec::with_capacity(sets_max as usize);
    let own = run.own();
    let is_wanted = |index: u64| own.contains(&index) && !has_bit(done, index);
    let mut to_archive = archive
        .map(|archive| ToArchive::new(archive, runner.pool.receipts()))
        .transpose()?;
    let mut to_table = ToTable {
        table,
        frames: Vec::new(),
    };
    let mut end = TileEnd::Finished;
    let (rules_of_checkpoints, resumed) = kept.unzip();
    let resumed: &[ResumedTile] = resumed.unwrap_or_default();
    let mut keeper = match (rules_of_checkpoints, archive) {
        (Some(rules), Some(archive)) => Some(Keeper::new(rules, archive, sets_max as usize)),
        _ => None,
    };
    loop {
        let tile = next.fetch_add(1, Ordering::Relaxed);
        // Those first that are on their way.
        let from = resumed.get(tile as usize);
        let symbol = match from {
            Some(from) => run.sets.of(&from.containers, &mut sets),
            None => {
                let tile = tile - resumed.len() as u64;
                if tile >= layout.tiles() {
                    break;
                }
                layout.tile(tile, is_wanted, &mut sets)
            }
        };
        if sets.is_empty() {
            continue;
        }
        let piece = run.pieces[symbol as usize];
        let job = Job {
            strategy: settings.strategy,
            rules,
            bars: &settings.symbols[symbol as usize].bars,
            symbol,
            span: piece.span,
            features_from: piece.features_from(run.phase.warmup),
            bars_per_year: settings.symbols[symbol as usize].bars_per_year,
            stop: settings.stop,
        };
        let finished: &mut dyn Finished = match &mut to_archive {
            Some(to_archive) => to_archive,
            None => &mut to_table,
        };
        let checkpoints: &mut dyn Checkpoints = match &mut keeper {
            Some(keeper) => {
                keeper.begin(&sets, runner.streams(), from);
                keeper
            }
            None => &mut NoCheckpoints,
        };
        end = runner.run(job, &sets, archive, finished, checkpoints)?;
        if let Some(to_archive) = &mut to_archive {
            to_archive.send()?;
        }
        if end == TileEnd::Stopped {
            break;
        }
        if let Some(keeper) = &mut keeper {
            keeper.finish()?;
        }
        settings
            .finished
            .fetch_add(sets.len() as u64, Ordering::Relaxed);
    }
    if is_temporary {
        std::fs::remove_file(&path).map_err(Error::io("remove", &path))?;
    }
    Ok(end)
}

/// Has the allocator ask the system at once for what this worker's heap will hold.
///
/// It makes the heap of a thread longer by what is asked of it, mostly a page or two at a time, and
/// each is a call: a hundred for a tile. A length that the heap had before costs none, and what is
/// not touched takes no memory. The heap of the thread that the program began with, the first
/// worker, is another one: it grows by more at a time, and forgets a length that it had.
fn lengthen_heap(run: &PhaseRun<'_>) {
    /// What is larger lies in a mapping of its own.
    const PART_BYTES: u64 = 120 << 10;
    /// Two MiB: more than the most that pays.
    const PARTS_MAX: u64 = 17;
    let of_workers = ["features", "containers"];
    let parts = run.plan.parts.iter();
    let parts = parts.filter(|part| of_workers.contains(&part.name));
    let bytes = parts.map(|part| part.bytes).sum::<u64>() / run.plan.workers;
    let part = |_| Vec::<u8>::with_capacity(PART_BYTES as usize);
    let count = bytes.div_ceil(PART_BYTES).min(PARTS_MAX);
    let whole: Vec<Vec<u8>> = (0..count).map(part).collect();
    std::hint::black_box(whole);
}

/// A bars file as an archive names it. Imported bars are named from the results root on, so that
/// archives are the same bytes under any root.
fn bars_name(path: &Path) -> String {
    let folder = path.parent().and_then(Path::file_name);
    match (folder, path.file_name()) {
        (Some(folder), Some(file)) if folder == BARS_CACHE => Path::new(BARS_CACHE)
            .join(file)
            .to_string_lossy()
            .into_owned(),
        _ => path.to_string_lossy().into_owned(),
    }
}
