//! Columns of a block, deduplicated.

use super::bars::Bars;
use super::feature::Feature;
use super::history::History;
use super::indicator::Indicator;
use super::shared::{Carry, compute};
use crate::kernel::{self, Bounded, Bounds, Mask, WORDS};
use crate::market::BarBlock;
use admf_formats::units::QUANTUM_BARS;

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

    /// Values of the block's bars.
    #[inline(always)]
    pub fn now(&self) -> &[f64; QUANTUM_BARS] {
        self.0
            .last_chunk()
            .expect("a column is longer than a quantum")
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

    /// The bars from offset `from` on of the block that the history took last.
    fn run(
        &mut self,
        feature: Feature,
        history: &History,
        bars: Bars<'_>,
        from: usize,
        into: &mut [f64],
    ) {
        match self {
            Computation::Shared(carry) => compute(feature, carry, history, from, into),
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
    history: History,
    close: Column,
}

impl FeatureColumns {
    /// Room for these features, without repetition.
    pub fn new(features: Vec<Feature>) -> FeatureColumns {
        FeatureColumns {
            computations: features.iter().map(|f| Computation::of(*f)).collect(),
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
            + 8 * (LEAD + QUANTUM_BARS);
        let carried: usize = features.iter().map(|feature| feature.bytes()).sum();
        (features.len() + 1) * each + carried + History::bytes(lookback(features), QUANTUM_BARS)
    }

    /// Computes the next block; bars before offset `from` do not exist for the features.
    pub fn push(&mut self, block: &BarBlock, from: usize) {
        let bars = Bars::of(block, 0);
        self.history.push(bars.close, from);
        let shift = |column: &mut Column| column.0[LEAD - 1] = column.0[LEAD + QUANTUM_BARS - 1];
        shift(&mut self.close);
        self.close.0[LEAD..LEAD + block.bars].copy_from_slice(bars.close);
        self.close.settle();
        for ((feature, computation), column) in self
            .features
            .iter()
            .zip(&mut self.computations)
            .zip(&mut self.columns)
        {
            shift(column);
            let into = &mut column.0[LEAD..LEAD + block.bars];
            computation.run(*feature, &self.history, bars, from, into);
            column.settle();
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

/// One feature over a series, in blocks of any length up to a bound.
///
/// The same computation as that of a tile's columns, for what is no tile: the values of a feature
/// are the same bits for any cut of the series into blocks.
pub struct FeatureSeries {
    feature: Feature,
    computation: Computation,
    history: History,
    block_bars_max: usize,
}

impl FeatureSeries {
    /// The feature before the first bar of a series that comes in blocks of at most so many bars.
    pub fn new(feature: Feature, block_bars_max: usize) -> FeatureSeries {
        FeatureSeries {
            computation: Computation::of(feature),
            history: History::new(lookback(&[feature]), block_bars_max),
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
        self.computation
            .run(self.feature, &self.history, bars, 0, into);
    }
}
