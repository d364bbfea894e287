//! Columns of a block, deduplicated.

use super::bars::Bars;
use super::channels::{Channels, is_looked_up};
use super::feature::Feature;
use super::history::History;
use super::indicator::Indicator;
use super::lanes::{compute_together, recursion};
use super::shared::{Carry, Deviations, compute};
use crate::kernel::{self, Bounded, Bounds, LINES, Mask, Recursion, WORDS};
use crate::market::BarBlock;
use crate::state::{StateReader, StateWriter};
use admf_formats::units::QUANTUM_BARS;
use std::io;
use std::ops::Range;

/// Values before the block in a column's buffer: the last of them is the bar before.
const LEAD: usize = 8;

/// One column of one block, with the bar before it and the extremes of its words.
#[derive(Clone, Debug)]
pub struct Column(Box<[f64; LEAD + QUANTUM_BARS]>, Bounds);

impl Column {
    fn new() -> Column {
        let unknown = Bounds {
            low: [f64::NAN; WORDS],
            high: [f64::NAN; WORDS],
        };
        Column(Box::new([f64::NAN; LEAD + QUANTUM_BARS]), unknown)
    }

    /// Bits where this column is above another.
    #[inline(always)]
    pub fn above(&self, other: &Column) -> Mask {
        kernel::above_bounded(self.bounded(), other.bounded())
    }

    /// Bits where this column is above a level.
    #[inline(always)]
    pub fn above_level(&self, level: f64) -> Mask {
        kernel::above_level_bounded(self.bounded(), level)
    }

    /// Bits where this column is below a level.
    #[inline(always)]
    pub fn below_level(&self, level: f64) -> Mask {
        kernel::below_level_bounded(self.bounded(), level)
    }

    #[inline(always)]
    fn bounded(&self) -> Bounded<'_> {
        Bounded {
            values: self.now(),
            bounds: &self.1,
        }
    }

    /// All values of the block are there.
    fn settle(&mut self) {
        self.1 = kernel::bounds(self.now());
    }

    /// The value of the last bar of a whole block: the next block's bar before.
    const fn last(&self) -> f64 {
        self.0[LEAD + QUANTUM_BARS - 1]
    }

    const fn set_last(&mut self, value: f64) {
        self.0[LEAD + QUANTUM_BARS - 1] = value;
    }

    /// Takes a block: its last value becomes the one before.
    fn shift(&mut self) {
        self.0[LEAD - 1] = self.last();
    }

    /// Values of the block's bars.
    #[inline(always)]
    pub fn now(&self) -> &[f64; QUANTUM_BARS] {
        self.0
            .last_chunk()
            .expect("a column is longer than a quantum")
    }

    /// The bar before the block and the block's bars.
    #[inline(always)]
    pub fn with_before(&self) -> &[f64; QUANTUM_BARS + 1] {
        self.0
            .last_chunk()
            .expect("a column has a value before its quantum")
    }

    /// Values one bar earlier: `before()[k]` belongs to the bar before bar k.
    #[inline(always)]
    pub fn before(&self) -> &[f64] {
        &self.0[LEAD - 1..LEAD - 1 + QUANTUM_BARS]
    }
}

/// What computes one feature.
enum Computation {
    /// From the shared history.
    Shared(Carry),
    /// From what it carries itself.
    Own(Box<dyn Indicator>),
}

impl Computation {
    fn of(feature: Feature) -> Computation {
        feature
            .indicator()
            .map_or_else(|| Computation::Shared(Carry::default()), Computation::Own)
    }

    /// As one of many, which may share more than a feature alone.
    fn among(feature: Feature) -> Computation {
        if is_looked_up(feature) {
            Computation::Shared(Carry::default())
        } else {
            Computation::of(feature)
        }
    }

    /// What a lane carries.
    fn carry(&mut self) -> &mut Carry {
        match self {
            Computation::Shared(carry) => carry,
            Computation::Own(_) => unreachable!("an indicator of its own is no lane"),
        }
    }

    /// Writes all that it carries; false, and nothing written, where it cannot.
    fn save(&self, into: &mut StateWriter<'_>) -> io::Result<bool> {
        match self {
            Computation::Shared(carry) => into.put(carry).map(|()| true),
            Computation::Own(indicator) => indicator.save(into),
        }
    }

    fn load(&mut self, from: &mut StateReader<'_>) -> io::Result<()> {
        match self {
            Computation::Shared(carry) => *carry = from.get()?,
            Computation::Own(indicator) => indicator.load(from)?,
        }
        Ok(())
    }

    /// The bars from offset `from` on of the block that the history took last.
    fn run(
        &mut self,
        feature: Feature,
        shared: (&History, &mut Deviations),
        bars: Bars<'_>,
        from: usize,
        into: &mut [f64],
    ) {
        match self {
            Computation::Shared(carry) => compute(feature, carry, shared, from, into),
            Computation::Own(indicator) => {
                into[..from].fill(f64::NAN);
                indicator.run(bars.range(from..bars.len()), &mut into[from..]);
            }
        }
    }
}

/// Bars that the shared history holds for these features.
fn lookback(features: &[Feature]) -> usize {
    features
        .iter()
        .filter_map(|feature| feature.lookback())
        .max()
        .unwrap_or(0)
}

/// All feature columns of a tile.
pub struct FeatureColumns {
    features: Vec<Feature>,
    computations: Vec<Computation>,
    columns: Vec<Column>,
    /// Places of the features in the order in which they are computed: bands of one length together
    /// with their mean, lanes of one kind in the order of their places.
    order: Vec<u16>,
    history: History,
    deviations: Deviations,
    channels: Channels,
    close: Column,
}

impl FeatureColumns {
    /// Room for these features, without repetition.
    pub fn new(features: Vec<Feature>) -> FeatureColumns {
        let mut order: Vec<u16> = (0..features.len() as u16).collect();
        order.sort_by_key(|place| {
            let feature = features[usize::from(*place)];
            let length = match feature {
                Feature::Bollinger(n, _) => 2 * n,
                Feature::Sma(n) => 2 * n + 1,
                _ => 0,
            };
            (recursion(feature), length, *place)
        });
        FeatureColumns {
            order,
            deviations: Deviations::new(&features, QUANTUM_BARS),
            channels: Channels::new(&features, QUANTUM_BARS),
            computations: features.iter().map(|f| Computation::among(*f)).collect(),
            columns: features.iter().map(|_| Column::new()).collect(),
            history: History::new(lookback(&features), QUANTUM_BARS),
            features,
            close: Column::new(),
        }
    }

    /// Bytes on the heap for these features at most.
    pub fn bytes(features: &[Feature]) -> usize {
        let each = size_of::<Feature>()
            + size_of::<Computation>()
            + size_of::<Column>()
            + size_of::<u16>()
            + 8 * (LEAD + QUANTUM_BARS);
        let own = features.iter().filter(|feature| !is_looked_up(**feature));
        let carried: usize = own.map(|feature| feature.bytes()).sum();
        (features.len() + 1) * each
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
        self.close.0[LEAD..LEAD + block.bars].copy_from_slice(bars.close);
        self.close.settle();
        self.deviations.clear();
        self.channels.push(bars, from);
        let mut done = 0;
        while done < self.order.len() {
            let (kind, count) = self.run_from(done);
            match kind {
                Some(kind) if count > 1 => self.push_lanes(kind, done..done + count, bars, from),
                _ => self.push_one(usize::from(self.order[done]), bars, from),
            }
            done += count;
        }
    }

    /// How many features from this one on in their order are computed together, and as what.
    fn run_from(&self, done: usize) -> (Option<Recursion>, usize) {
        let kind_of = |place: &u16| recursion(self.features[usize::from(*place)]);
        let rest = &self.order[done..];
        match kind_of(&rest[0]) {
            None => (None, 1),
            kind => {
                let lanes = rest.iter().take(LINES);
                (
                    kind,
                    lanes.take_while(|place| kind_of(place) == kind).count(),
                )
            }
        }
    }

    fn push_one(&mut self, place: usize, bars: Bars<'_>, from: usize) {
        let (feature, column) = (self.features[place], &mut self.columns[place]);
        column.shift();
        let into = &mut column.0[LEAD..LEAD + bars.len()];
        match &mut self.computations[place] {
            Computation::Shared(carry) if is_looked_up(feature) => {
                self.channels.compute(feature, carry, from, into);
            }
            computation => {
                let shared = (&self.history, &mut self.deviations);
                computation.run(feature, shared, bars, from, into);
            }
        }
        column.settle();
    }

    /// The features of one kind in this part of the order, in which their places ascend.
    fn push_lanes(&mut self, kind: Recursion, run: Range<usize>, bars: Bars<'_>, from: usize) {
        let places = || {
            self.order[run.clone()]
                .iter()
                .map(|place| usize::from(*place))
        };
        let mut carries = [Carry::default(); LINES];
        let mut features = [Feature::Close; LINES];
        let mut lines: [&mut [f64]; LINES] = std::array::from_fn(|_| &mut [][..]);
        let (mut rest, mut passed) = (&mut self.columns[..], 0);
        for (lane, place) in places().enumerate() {
            features[lane] = self.features[place];
            carries[lane] = *self.computations[place].carry();
            let (column, others) = rest[place - passed..]
                .split_first_mut()
                .expect("every place has its column");
            column.shift();
            lines[lane] = &mut column.0[LEAD..LEAD + bars.len()];
            (rest, passed) = (others, place + 1);
        }
        let (features, lines) = (&features[..run.len()], &mut lines[..run.len()]);
        compute_together(kind, features, &mut carries, &self.history, from, lines);
        for (place, carry) in places().zip(carries) {
            self.columns[place].settle();
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
                        None => late.push(place),
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
        for &place in late {
            let column = &mut self.columns[place];
            let into = &mut column.0[LEAD..LEAD + block.bars];
            let shared = (&self.history, &mut self.deviations);
            self.computations[place].run(self.features[place], shared, bars, from, into);
        }
    }

    /// The column of feature `index`.
    #[inline(always)]
    pub fn column(&self, index: u16) -> &Column {
        &self.columns[index as usize]
    }

    /// The closes.
    #[inline(always)]
    pub fn close(&self) -> &Column {
        &self.close
    }

    /// The features, in the order of their columns.
    pub fn features(&self) -> &[Feature] {
        &self.features
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

/// One feature over a series, in blocks of any length up to a bound.
///
/// The same computation as that of a tile's columns, for what is no tile: the values of a feature
/// are the same bits for any cut of the series into blocks.
pub struct FeatureSeries {
    feature: Feature,
    computation: Computation,
    history: History,
    deviations: Deviations,
    block_bars_max: usize,
}

impl FeatureSeries {
    /// The feature before the first bar of a series that comes in blocks of at most so many bars.
    pub fn new(feature: Feature, block_bars_max: usize) -> FeatureSeries {
        FeatureSeries {
            computation: Computation::of(feature),
            history: History::new(lookback(&[feature]), block_bars_max),
            deviations: Deviations::new(&[feature], block_bars_max),
            feature,
            block_bars_max,
        }
    }

    /// The values at the next bars; NaN where there is none.
    ///
    /// Shape: `into` has as many entries as there are bars, at most `block_bars_max`.
    pub fn push(&mut self, bars: Bars<'_>, into: &mut [f64]) {
        assert!(bars.len() == into.len() && bars.len() <= self.block_bars_max);
        self.history.push(bars.close, 0);
        self.deviations.clear();
        let shared = (&self.history, &mut self.deviations);
        self.computation.run(self.feature, shared, bars, 0, into);
    }
}
