//! Topology: parameter sets become containers; blocks of bars are driven through tiles of them.
//!
//! A worker drives all containers of a tile through one block before the next block, so that the
//! block's columns stay in cache and are computed once for the whole tile.

use crate::container::{BlockView, Container, ContainerRules, NoSink, RuleFeatures, Sink, Span};
use crate::features::{DistinctFeatures, Feature, FeatureColumns};
use crate::kernel::{self, Wide};
use crate::market::{BarBlock, BarsFile, LocalTimes};
use crate::metrics::BlockFigures;
use crate::state::{StateReader, StateWriter};
use crate::strategy::{Columns, FEATURES_MAX, Masks, Strategy};
use crate::{Error, Result};
use admf_formats::units::{PARAMETERS_MAX, QUANTUM_BARS};
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

/// The sinks of a tile's containers; one at a time is selected.
pub trait TileSink: Sink {
    /// Events that follow belong to the container at this place in the tile.
    fn select(&mut self, place: usize);

    /// The selected container has lived through a block.
    fn settle(&mut self) {}

    /// Writes what it holds of the container at this place, at the end of a block.
    ///
    /// Errors: those of the writer.
    fn save(&mut self, _place: usize, into: &mut StateWriter<'_>) -> io::Result<()> {
        into.put(&false)
    }

    /// Takes what was saved of the container at this place; passes over it where there is none.
    ///
    /// Errors: those of the reader.
    fn load(&mut self, _place: Option<usize>, from: &mut StateReader<'_>) -> io::Result<()> {
        match from.get()? {
            false => Ok(()),
            true => Err(io::Error::other("events that this sink does not take")),
        }
    }

    /// Why the selected container must not go on, if its sink failed.
    fn failure(&mut self) -> Option<crate::Error>;
}

impl TileSink for NoSink {
    #[inline(always)]
    fn select(&mut self, _: usize) {}

    #[inline(always)]
    fn failure(&mut self) -> Option<crate::Error> {
        None
    }
}

/// Keeps a tile's state at block boundaries, so that a kill does not cost the whole tile.
pub trait Checkpoints {
    /// Whether the tile goes on from a state.
    fn is_resumed(&self) -> bool {
        false
    }

    /// The state that the tile goes on from; asked for once.
    fn resume(&mut self) -> Result<Option<Resume<'_>>> {
        Ok(None)
    }

    /// Whether the state at hand is to be kept; `is_last` where nothing follows, for the run was
    /// asked to stop.
    fn is_due(&mut self, is_last: bool) -> bool;

    /// Keeps the state before block `block`, which `save` writes.
    ///
    /// Errors: what ends the run. A checkpoint that cannot be written does not.
    fn keep(
        &mut self,
        block: u64,
        save: &mut dyn FnMut(&mut StateWriter<'_>) -> io::Result<()>,
    ) -> Result<()>;
}

/// A state to go on from.
pub struct Resume<'a> {
    /// The block that comes next.
    pub block: u64,
    /// What was saved.
    pub state: StateReader<'a>,
    /// Where it lies, for errors.
    pub path: &'a Path,
}

/// Keeps nothing.
#[derive(Clone, Copy, Debug)]
pub struct NoCheckpoints;

impl Checkpoints for NoCheckpoints {
    fn is_due(&mut self, _: bool) -> bool {
        false
    }

    fn keep(
        &mut self,
        _: u64,
        _: &mut dyn FnMut(&mut StateWriter<'_>) -> io::Result<()>,
    ) -> Result<()> {
        Ok(())
    }
}

/// One parameter set, with its index in the phase.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ParameterSet {
    /// Index of the container.
    pub index: u64,
    /// Parameter values.
    pub values: [f64; PARAMETERS_MAX],
}

/// What all tiles of one symbol and window have in common.
#[derive(Clone, Copy)]
pub struct Job<'a> {
    /// The strategy.
    pub strategy: &'a dyn Strategy,
    /// Rules of the containers.
    pub rules: &'a ContainerRules,
    /// The bars.
    pub bars: &'a BarsFile,
    /// Index of the symbol.
    pub symbol: u16,
    /// Bars traded on.
    pub span: Span,
    /// First bar that indicators see.
    pub features_from: u64,
    /// Bars that make a year.
    pub bars_per_year: f64,
    /// Set when the run is asked to stop.
    pub stop: &'a AtomicBool,
}

/// How a tile ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TileEnd {
    /// Every container saw its window, or failed on its own.
    Finished,
    /// The run was asked to stop.
    Stopped,
}

/// Buffers of one worker, reused for every tile.
pub struct Worker {
    block: BarBlock,
    figures: BlockFigures,
    times: LocalTimes,
    /// The containers of the tile that runs, in order of their index.
    pub containers: Vec<Container>,
}

/// The features of a parameter set: those of its strategy, then those of its rules.
pub fn set_features(
    strategy: &dyn Strategy,
    rules: &RuleFeatures,
    values: &[f64; PARAMETERS_MAX],
) -> Vec<Feature> {
    let mut features = strategy.features(&values[..strategy.parameters().len()]);
    features.extend(rules.of(values));
    features
}

/// The features of a parameter set, as [`set_features`].
///
/// Errors: there are too many, or one that cannot be.
pub fn checked_features(
    strategy: &dyn Strategy,
    rules: &RuleFeatures,
    values: &[f64; PARAMETERS_MAX],
) -> Result<Vec<Feature>> {
    let refuse = |message: String| Error::Usage {
        message: format!("strategy {}: {message}", strategy.name()),
    };
    let features = set_features(strategy, rules, values);
    if features.len() > FEATURES_MAX {
        return Err(refuse(format!(
            "{} features for one parameter set, {} of them of exits and orders; {FEATURES_MAX} at most were expected",
            features.len(),
            rules.of(values).len()
        )));
    }
    for feature in &features {
        feature.check().map_err(&refuse)?;
    }
    Ok(features)
}

/// The features of a parameter set that are computed, each with its place among the container's
/// columns: those of its strategy from the first place on, those of its rules from the last one
/// backwards. Columns that the strategy does not read in the direction of the portfolio are none.
///
/// Errors: there are too many.
pub fn read_features(
    strategy: &dyn Strategy,
    container: &ContainerRules,
    values: &[f64; PARAMETERS_MAX],
) -> Result<impl Iterator<Item = (usize, Feature)>> {
    let mut features = set_features(strategy, &container.features, values);
    if features.len() > FEATURES_MAX {
        features = checked_features(strategy, &container.features, values)?;
    }
    let own = features.len() - container.features.of(values).len();
    let direction = container.portfolio.direction;
    let features = features.into_iter().enumerate();
    let read = features.filter(move |(at, _)| *at >= own || strategy.reads(*at, direction));
    Ok(read.map(move |(at, feature)| match at.checked_sub(own) {
        None => (at, feature),
        Some(number) => (RuleFeatures::place(number as u8), feature),
    }))
}

/// Distinct features of a tile.
struct TileFeatures {
    features: Vec<Feature>,
    /// For each set where its own lie among them, as [`read_features`] places them.
    columns: Vec<[u16; FEATURES_MAX]>,
    /// Where the measure lies that entries are sized by.
    measure: Option<u16>,
}

/// The place of a column that is not computed: whoever reads it is stopped by the bounds.
const NOT_READ: u16 = u16::MAX;

/// Distinct features of a tile.
///
/// Errors: a set needs too many features, or one that cannot be.
fn plan_features(
    strategy: &dyn Strategy,
    container: &ContainerRules,
    sets: &[ParameterSet],
) -> Result<TileFeatures> {
    let mut features = DistinctFeatures::default();
    let mut columns = Vec::with_capacity(sets.len());
    for set in sets {
        let (mut indices, mut has_new) = ([NOT_READ; FEATURES_MAX], false);
        for (place, feature) in read_features(strategy, container, &set.values)? {
            let (known, is_new) = features.place(feature);
            indices[place] = known as u16;
            has_new |= is_new;
        }
        if has_new {
            checked_features(strategy, &container.features, &set.values)?;
        }
        columns.push(indices);
    }
    let measure = container
        .measure()
        .map(|measure| features.place(measure).0 as u16);
    Ok(TileFeatures {
        features: features.into_features(),
        columns,
        measure,
    })
}

/// Bytes of the feature columns that a tile of so many sets needs, where these are the features.
///
/// Shape: features may repeat, where they stand for others that take no more.
pub fn column_bytes(features: &[Feature], sets: usize) -> usize {
    FeatureColumns::bytes(features)
        + DistinctFeatures::bytes(features.len())
        + sets * size_of::<[u16; FEATURES_MAX]>()
}

/// Bytes of the feature columns that a tile of these sets needs.
///
/// Errors: a set needs too many features, or one that cannot be.
pub fn feature_bytes(
    strategy: &dyn Strategy,
    rules: &ContainerRules,
    sets: &[ParameterSet],
) -> Result<usize> {
    let tile = plan_features(strategy, rules, sets)?;
    Ok(column_bytes(&tile.features, sets.len()))
}

/// First bar on which this set may decide: one after the first on which all features of its strategy
/// are defined.
fn first_decision(strategy: &dyn Strategy, set: &ParameterSet, features_from: u64) -> u64 {
    let defined = strategy
        .features(&set.values[..strategy.parameters().len()])
        .iter()
        .map(|feature| feature.first_defined())
        .max();
    features_from + defined.unwrap_or(0) + 1
}

/// Writes the state of a tile between two blocks.
fn save<S: TileSink>(
    features: &FeatureColumns,
    containers: &[Container],
    sink: &mut S,
    into: &mut StateWriter<'_>,
) -> io::Result<()> {
    features.save(into)?;
    into.put(&containers.len())?;
    for (place, container) in containers.iter().enumerate() {
        into.put(container)?;
        sink.save(place, into)?;
    }
    Ok(())
}

impl Worker {
    /// A worker for tiles of at most `containers_max` containers.
    pub fn new(containers_max: usize) -> Worker {
        Worker {
            block: BarBlock::new(),
            figures: BlockFigures::new(),
            times: LocalTimes::new(),
            containers: Vec::with_capacity(containers_max),
        }
    }

    /// Bytes on the heap of a worker whose containers take so many; feature columns apart.
    pub const fn bytes(of_containers: usize) -> usize {
        6 * 8 * QUANTUM_BARS * 2 + BlockFigures::BYTES + LocalTimes::BYTES + of_containers
    }

    /// The block that was driven last.
    pub const fn block(&self) -> &BarBlock {
        &self.block
    }

    /// Drives the containers of these sets through the whole window.
    ///
    /// Errors: of reading bars, or of the sink (a full disk, a failed archive); they end the run.
    pub fn run_tile<S: TileSink>(
        &mut self,
        job: Job<'_>,
        sets: &[ParameterSet],
        sink: &mut S,
    ) -> Result<TileEnd> {
        self.run_tile_from(job, sets, sink, &mut NoCheckpoints)
    }

    /// Drives the containers of these sets to the end of the window, from the state that
    /// `checkpoints` has of them where it has one.
    ///
    /// Errors: as of [`Worker::run_tile`]; of reading that state.
    pub fn run_tile_from<S: TileSink>(
        &mut self,
        job: Job<'_>,
        sets: &[ParameterSet],
        sink: &mut S,
        checkpoints: &mut dyn Checkpoints,
    ) -> Result<TileEnd> {
        let TileFeatures {
            features,
            columns,
            measure,
        } = plan_features(job.strategy, job.rules, sets)?;
        let mut features = FeatureColumns::of_sets(features, sets.len());
        self.containers.clear();
        self.containers
            .extend(sets.iter().zip(columns).map(|(set, columns)| {
                let first_decision = first_decision(job.strategy, set, job.features_from);
                Container::new(
                    set.index,
                    job.symbol,
                    set.values,
                    columns,
                    job.rules,
                    job.span,
                    first_decision,
                )
            }));
        let quantum = QUANTUM_BARS as u64;
        let mut first = job.features_from / quantum;
        if let Some(resume) = checkpoints.resume()? {
            let block = resume.block;
            let late = self.load(resume, &mut features, sink)?;
            if !late.is_empty() {
                for at in first..block {
                    if job.stop.load(Ordering::Relaxed) {
                        return Ok(TileEnd::Stopped);
                    }
                    job.bars.read_quantum(at, &mut self.block)?;
                    let from = job.features_from.saturating_sub(self.block.first_bar) as usize;
                    features.catch_up(&late, &self.block, from);
                }
            }
            first = block;
        }
        for at in first..job.span.end.div_ceil(quantum) {
            let is_stopped = job.stop.load(Ordering::Relaxed);
            if checkpoints.is_due(is_stopped) {
                let containers = &self.containers;
                checkpoints.keep(at, &mut |into| save(&features, containers, sink, into))?;
            }
            if is_stopped {
                return Ok(TileEnd::Stopped);
            }
            job.bars.read_quantum(at, &mut self.block)?;
            let from = job.features_from.saturating_sub(self.block.first_bar) as usize;
            features.push(&self.block, from);
            if self.block.first_bar + self.block.bars as u64 <= job.span.first {
                continue;
            }
            let from = job.span.first.saturating_sub(self.block.first_bar) as usize;
            let bars = self.block.bars;
            self.figures.build_from(
                &self.block.low[..bars],
                &self.block.high[..bars],
                &self.block.close[..bars],
                from,
            );
            if job.rules.needs_local_times() {
                let bars = self.block.bars;
                self.times
                    .build(&job.rules.calendar, &self.block.ts_ns[..bars]);
                if let Some(second) = job.rules.exits.end_of_day {
                    self.times.mark_late(second, bars);
                }
            }
            self.run_block(job, &features, measure, sink)?;
        }
        Ok(TileEnd::Finished)
    }

    /// Makes the tile, which is new, the part of a saved one that has its containers. Gives the
    /// features that must see the bars before again.
    fn load<S: TileSink>(
        &mut self,
        resume: Resume<'_>,
        features: &mut FeatureColumns,
        sink: &mut S,
    ) -> Result<Vec<usize>> {
        let Resume {
            mut state, path, ..
        } = resume;
        let mut load = || {
            let late = features.load(&mut state)?;
            // Both are in order of index.
            let mut next = 0;
            for _ in 0..state.get::<usize>()? {
                let saved: Container = state.get()?;
                let own = self.containers.get_mut(next);
                let own = own.filter(|container| container.index == saved.index);
                let place = own.map(|container| {
                    container.resume(saved);
                    next += 1;
                    next - 1
                });
                sink.load(place, &mut state)?;
            }
            if next == self.containers.len() {
                Ok(late)
            } else {
                Err(io::Error::other("a container has no state"))
            }
        };
        load().map_err(Error::io("go on from checkpoint", path))
    }

    fn run_block<S: TileSink>(
        &mut self,
        job: Job<'_>,
        features: &FeatureColumns,
        measure: Option<u16>,
        sink: &mut S,
    ) -> Result<()> {
        let view = BlockView {
            bars: &self.block,
            figures: &self.figures,
            times: &self.times,
            features,
            measure: measure.map(|index| features.column(index).now()),
            year_root: job.bars_per_year.sqrt(),
        };
        kernel::run_wide(RunBlock {
            job,
            view,
            containers: &mut self.containers,
            sink,
        })
    }
}

/// A tile's containers through one block.
struct RunBlock<'a, S> {
    job: Job<'a>,
    view: BlockView<'a>,
    containers: &'a mut [Container],
    sink: &'a mut S,
}

impl<S: TileSink> Wide for RunBlock<'_, S> {
    type Output = Result<()>;

    #[inline(always)]
    fn run(self) -> Result<()> {
        let RunBlock {
            job, view, sink, ..
        } = self;
        let parameter_count = job.strategy.parameters().len();
        let direction = job.rules.portfolio.direction;
        let mut masks = Masks::default();
        let mut rest = self.containers;
        let mut place = 0;
        while let Some((container, others)) = rest.split_first_mut() {
            // A tile's containers do not all stay in the cache.
            if let Some(after) = others.get(1) {
                after.prefetch();
            }
            if let Some(next) = others.first() {
                view.features.prefetch([next.columns[0], next.columns[1]]);
            }
            if container.decides_later(view.bars) {
                masks = Masks::default();
            } else {
                let columns = Columns::new(view.features, container.columns);
                job.strategy.masks(
                    &container.parameters[..parameter_count],
                    &columns,
                    direction,
                    &mut masks,
                );
            }
            sink.select(place);
            container.run_block(job.rules, &masks, view, sink);
            sink.settle();
            if let Some(error) = sink.failure() {
                return Err(error);
            }
            rest = others;
            place += 1;
        }
        Ok(())
    }
}
