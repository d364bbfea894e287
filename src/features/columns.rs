//! Columns of a block, deduplicated.

use super::against_close::AgainstClose;
use super::bars::Bars;
use super::channels::{Channels, is_looked_up};
use super::column::{Column, Form};
use super::computation::{Computation, lookback};
use super::crossings::Crossings;
use super::feature::Feature;
use super::history::History;
use super::lanes::{SPARE, TOGETHER, Together, recursion};
use super::shared::{Carry, Deviations};
use crate::kernel::{self, LANES, Mask, Quantum, Recursion, Scale};
use crate::market::BarBlock;
use crate::state::{StateReader, StateWriter};
use admf_formats::units::QUANTUM_BARS;
use std::io;
use std::ops::Range;

/// Spare columns beside those of these features.
fn spare(features: &[Feature]) -> usize {
    let has_lanes = features.iter().any(|feature| recursion(*feature).is_some());
    if has_lanes { SPARE } else { 0 }
}

/// All feature columns of a tile, in the order in which they are computed: bands of one length
/// together with their mean; lanes by their kind and what they are made of, MACD lines before their
/// signals.
pub struct FeatureColumns {
    features: Vec<Feature>,
    computations: Vec<Computation>,
    /// One per feature; then, where there are lanes, spare ones.
    columns: Vec<Column>,
    /// Place of each feature as they were asked for.
    places: Vec<u16>,
    /// Place of the MACD line of each signal; [`NO_LINE`] where it is not among the features.
    lines: Vec<u16>,
    history: History,
    deviations: Deviations,
    channels: Channels,
    close: Column,
    against_close: AgainstClose,
    crossings: Crossings,
    /// Lowest and highest close of the last blocks: what most columns lie about.
    ranges: [(f64, f64); RANGES],
    /// The scale of the block's columns.
    scale: Option<Scale>,
    /// Whether columns are compared once and again: a form that costs more pays.
    is_shared: bool,
}

/// Blocks that the scale of columns looks back on.
const RANGES: usize = 4;

/// The place of no MACD line.
const NO_LINE: u16 = u16::MAX;

/// What features are ordered by.
fn rank(feature: Feature) -> (Option<Recursion>, [u32; 3]) {
    let lengths = match feature {
        Feature::Bollinger(n, _) => [n, 0, 0],
        Feature::Sma(n) => [n, 1, 0],
        Feature::Macd(fast, slow) => [fast, slow, 0],
        Feature::MacdSignal(fast, slow, signal) => [fast, slow, signal],
        _ => [0; 3],
    };
    (recursion(feature), lengths)
}

/// Places of the MACD lines of signals among features in order of their rank.
fn lines(features: &[Feature]) -> Vec<u16> {
    let line_of = |feature: &Feature| match *feature {
        Feature::MacdSignal(fast, slow, _) => {
            let line = rank(Feature::Macd(fast, slow));
            let found = features.binary_search_by_key(&line, |feature| rank(*feature));
            found.map_or(NO_LINE, |place| place as u16)
        }
        _ => NO_LINE,
    };
    features.iter().map(line_of).collect()
}

impl FeatureColumns {
    /// Room for these features, without repetition, of which each is compared with several others.
    pub fn new(asked: Vec<Feature>) -> FeatureColumns {
        FeatureColumns::of_sets(asked, usize::MAX)
    }

    /// The same, for so many parameter sets.
    pub fn of_sets(asked: Vec<Feature>, sets: usize) -> FeatureColumns {
        let is_shared = asked.len() <= sets / 2;
        let mut order: Vec<u16> = (0..asked.len() as u16).collect();
        order.sort_by_key(|index| rank(asked[usize::from(*index)]));
        let mut places = vec![0; asked.len()];
        for (index, place) in order.iter().zip(0..) {
            places[usize::from(*index)] = place;
        }
        let features: Vec<Feature> = order.iter().map(|i| asked[usize::from(*i)]).collect();
        let columns = features.len() + spare(&features);
        FeatureColumns {
            deviations: Deviations::new(&features, QUANTUM_BARS),
            channels: Channels::new(&features, QUANTUM_BARS),
            computations: features.iter().map(|f| Computation::among(*f)).collect(),
            columns: (0..columns).map(|_| Column::new()).collect(),
            history: History::new(lookback(&features), QUANTUM_BARS),
            lines: lines(&features),
            places,
            against_close: AgainstClose::new(features.len()),
            crossings: Crossings::new(if is_shared { 0 } else { features.len() }),
            is_shared,
            features,
            close: Column::new(),
            ranges: [(f64::INFINITY, f64::NEG_INFINITY); RANGES],
            scale: None,
        }
    }

    /// What is made of the column of a feature. Lines about zero cross their signals all the time, and
    /// no bounds decide.
    fn form(&self, feature: Feature) -> Form {
        match feature {
            Feature::Macd(..) | Feature::MacdSignal(..) if !self.is_shared => Form::Bare,
            _ if self.is_shared => Form::Parts,
            _ => Form::Bounds,
        }
    }

    /// The scale of the columns of this block: what averages and bands of closes lie in, mostly.
    fn scale(&mut self, closes: &[f64]) -> Option<Scale> {
        self.ranges.rotate_right(1);
        self.ranges[0] = (kernel::lowest(closes), kernel::highest(closes));
        let least = |low: f64, range: &(f64, f64)| low.min(range.0);
        let most = |high: f64, range: &(f64, f64)| high.max(range.1);
        let low = self.ranges.iter().fold(f64::INFINITY, least);
        let high = self.ranges.iter().fold(f64::NEG_INFINITY, most);
        let margin = (high - low) / 4.0;
        Scale::new(low - margin, high + margin)
    }

    /// Bytes on the heap for these features at most.
    pub fn bytes(features: &[Feature]) -> usize {
        let each =
            size_of::<Feature>() + size_of::<Computation>() + 2 * size_of::<u16>() + Column::BYTES;
        let own = features.iter().filter(|feature| !is_looked_up(**feature));
        let carried: usize = own.map(|feature| feature.bytes()).sum();
        (features.len() + 1) * each
            + AgainstClose::bytes(features.len())
            + Crossings::bytes(features.len())
            + spare(features) * Column::BYTES
            + carried
            + History::bytes(lookback(features), QUANTUM_BARS)
            + Deviations::bytes(features, QUANTUM_BARS)
            + Channels::bytes(features, QUANTUM_BARS)
    }

    /// Computes the next block; bars before offset `from` do not exist for the features.
    pub fn push(&mut self, block: &BarBlock, from: usize) {
        let bars = Bars::of(block, 0);
        self.history.push(bars.close, from);
        self.close.shift();
        self.close.now_mut()[..block.bars].copy_from_slice(bars.close);
        self.scale = self.scale(bars.close);
        self.close.settle(Form::Parts, self.scale);
        self.deviations.clear();
        self.against_close.clear();
        self.crossings.clear();
        self.channels.push(bars, from);
        let mut done = 0;
        while done < self.features.len() {
            let (kind, count) = self.run_from(done);
            match kind {
                Some(kind) if count > LANES => {
                    self.push_lanes::<2>(kind, done..done + count, bars.len(), from);
                }
                Some(kind) if count > 1 => {
                    self.push_lanes::<1>(kind, done..done + count, bars.len(), from);
                }
                _ => self.push_one(done, bars, from),
            }
            done += count;
        }
    }

    /// How many features from this place on are computed together, and as what.
    fn run_from(&self, done: usize) -> (Option<Recursion>, usize) {
        let kind = recursion(self.features[done]);
        let rest = self.features[done..].iter().take(TOGETHER);
        match kind {
            None => (None, 1),
            _ => (
                kind,
                rest.take_while(|other| recursion(**other) == kind).count(),
            ),
        }
    }

    fn push_one(&mut self, place: usize, bars: Bars<'_>, from: usize) {
        let feature = self.features[place];
        let form = self.form(feature);
        let column = &mut self.columns[place];
        column.shift();
        let into = &mut column.now_mut()[..bars.len()];
        match &mut self.computations[place] {
            Computation::Shared(carry) if is_looked_up(feature) => {
                self.channels.compute(feature, carry, from, into);
            }
            computation => {
                let shared = (&self.history, &mut self.deviations);
                computation.run(feature, shared, bars, from, into);
            }
        }
        column.settle(form, self.scale);
        let (earlier, rest) = self.columns.split_at(place);
        self.against_close.settle(place, &rest[0], &self.close);
        self.crossings.settle(place, &rest[0], earlier);
    }

    /// Features of one kind that fill so many groups of lanes.
    fn push_lanes<const GROUPS: usize>(
        &mut self,
        kind: Recursion,
        run: Range<usize>,
        bars: usize,
        from: usize,
    ) {
        let (count, form) = (run.len(), self.form(self.features[run.start]));
        let mut carries = [Carry::default(); TOGETHER];
        let mut carried = carries;
        let (earlier, columns) = self.columns.split_at_mut(run.start);
        let (columns, later) = columns.split_at_mut(count);
        for (column, place) in columns.iter_mut().zip(run.clone()) {
            column.shift();
            carries[place - run.start] = *self.computations[place].carry();
        }
        let spare = self.features.len() - run.end;
        let mut all = columns.iter_mut().chain(&mut later[spare..]);
        let mut into: [[&mut Quantum; LANES]; GROUPS] = std::array::from_fn(|_| {
            std::array::from_fn(|_| all.next().expect("spare columns fill a group").now_mut())
        });
        let mut together = Together {
            kind,
            features: &self.features[run.clone()],
            carries: &mut carries[..count],
        };
        // Signals of lines that are there and, as far as signals see them, defined.
        let lines = &self.lines[run.clone()];
        let is_defined = |place: &u16| {
            let line = self.features.get(usize::from(*place));
            line.is_some_and(|line| together.carries[0].seen >= line.first_defined())
        };
        if from == 0 && kind == Recursion::Signal && lines.iter().all(is_defined) {
            let last = lines.len() - 1;
            let line = |lane: usize| usize::from(lines[lane.min(last)]);
            let sources: [[&Quantum; LANES]; GROUPS] = std::array::from_fn(|group| {
                std::array::from_fn(|lane| earlier[line(group * LANES + lane)].now())
            });
            for (lane, carried) in carried[..count].iter_mut().enumerate() {
                *carried = *self.computations[line(lane)].carry();
            }
            together.compute_signals(&sources, &carried[..count], bars, &mut into);
        } else {
            together.compute(&self.history, from, bars, &mut into);
        }
        for ((column, place), carry) in columns.iter_mut().zip(run).zip(carries) {
            column.settle(form, self.scale);
            self.against_close.settle(place, column, &self.close);
            self.crossings.settle(place, column, earlier);
            *self.computations[place].carry() = carry;
        }
    }

    /// Writes the state after a whole block.
    ///
    /// Errors: those of the writer.
    pub fn save(&self, into: &mut StateWriter<'_>) -> io::Result<()> {
        self.history.save(into)?;
        self.channels.save(into)?;
        into.put(&self.close.last())?;
        into.put(&self.features.len())?;
        for ((feature, computation), column) in self
            .features
            .iter()
            .zip(&self.computations)
            .zip(&self.columns)
        {
            into.put(&feature.to_string())?;
            into.put(&column.last())?;
            // Its length goes first, so that whoever does not need it passes over it.
            let mut length = Length(0);
            let is_saved = computation.save(&mut StateWriter::new(&mut length))?;
            into.put(&is_saved.then_some(length.0))?;
            if is_saved {
                computation.save(into)?;
            }
        }
        Ok(())
    }

    /// Goes on from the state of columns that had these features among others.
    ///
    /// Gives the places of the features that have no saved state: they must see every bar up to
    /// there with [`FeatureColumns::catch_up`].
    ///
    /// Errors: those of the reader; a feature that was not among them.
    pub fn load(&mut self, from: &mut StateReader<'_>) -> io::Result<Vec<usize>> {
        self.history.load(from)?;
        self.channels.load(from)?;
        self.close.set_last(from.get()?);
        let (mut found, mut late) = (0, Vec::new());
        for _ in 0..from.get::<usize>()? {
            let (name, last): (String, f64) = (from.get()?, from.get()?);
            let length: Option<u64> = from.get()?;
            let is_it = |feature: &Feature| feature.to_string() == name;
            match (self.features.iter().position(is_it), length) {
                (None, None) => {}
                (None, Some(length)) => from.skip(length)?,
                (Some(place), length) => {
                    found += 1;
                    self.columns[place].set_last(last);
                    match length {
                        Some(_) => self.computations[place].load(from)?,
                        None => late.extend(
                            self.places
                                .iter()
                                .position(|own| usize::from(*own) == place),
                        ),
                    }
                }
            }
        }
        if found != self.features.len() {
            return Err(io::Error::other("a feature has no state"));
        }
        Ok(late)
    }

    /// Shows a block that was before the saved state to the features at these places.
    pub fn catch_up(&mut self, late: &[usize], block: &BarBlock, from: usize) {
        let bars = Bars::of(block, 0);
        for &index in late {
            let place = usize::from(self.places[index]);
            let column = &mut self.columns[place];
            let into = &mut column.now_mut()[..block.bars];
            let shared = (&self.history, &mut self.deviations);
            self.computations[place].run(self.features[place], shared, bars, from, into);
        }
    }

    /// The column of feature `index`.
    #[inline(always)]
    pub fn column(&self, index: u16) -> &Column {
        &self.columns[usize::from(self.places[usize::from(index)])]
    }

    /// Asks for what comparisons of these features look at first.
    #[inline(always)]
    pub fn prefetch(&self, features: [u16; 2]) {
        for index in features {
            if let Some(place) = self.places.get(usize::from(index)) {
                kernel::prefetch(&self.columns[usize::from(*place)]);
            }
        }
    }

    /// Writes the bits where feature `first` crosses above feature `second`, and those where it crosses below.
    #[inline(always)]
    pub fn crosses(&self, first: u16, second: u16, into: [&mut Mask; 2]) {
        let places = [first, second].map(|index| usize::from(self.places[usize::from(index)]));
        let columns = places.map(|place| &self.columns[place]);
        self.crossings.get(places, columns, into);
    }

    /// Bits where feature `index` is above the close: compared once per block, whoever asks.
    #[inline(always)]
    pub fn above_close(&self, index: u16) -> Mask {
        let place = usize::from(self.places[usize::from(index)]);
        let column = &self.columns[place];
        self.against_close.above(place, column, &self.close)
    }

    /// Bits where feature `index` is below the close, likewise.
    #[inline(always)]
    pub fn below_close(&self, index: u16) -> Mask {
        let place = usize::from(self.places[usize::from(index)]);
        let column = &self.columns[place];
        self.against_close.below(place, column, &self.close)
    }

    /// The closes.
    #[inline(always)]
    pub fn close(&self) -> &Column {
        &self.close
    }

    /// The features, in the order in which they were asked for.
    pub fn features(&self) -> impl ExactSizeIterator<Item = Feature> {
        let places = self.places.iter();
        places.map(|place| self.features[usize::from(*place)])
    }
}

/// Counts what is written.
struct Length(u64);

impl io::Write for Length {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
