//! Columns of a block, deduplicated.

use super::history::History;
use super::indicator::{Carry, Feature, compute};
use crate::market::BarBlock;
use admf_formats::units::QUANTUM_BARS;

/// Values before the block in a column's buffer: the last of them is the bar before.
const LEAD: usize = 8;

/// One column of one block, with the bar before it.
#[derive(Clone, Debug)]
pub struct Column(Box<[f64; LEAD + QUANTUM_BARS]>);

impl Column {
    fn new() -> Column {
        Column(Box::new([f64::NAN; LEAD + QUANTUM_BARS]))
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

/// All feature columns of a tile.
#[derive(Clone, Debug)]
pub struct FeatureColumns {
    features: Vec<Feature>,
    carries: Vec<Carry>,
    columns: Vec<Column>,
    history: History,
    close: Column,
}

impl FeatureColumns {
    /// Room for these features, without repetition.
    pub fn new(features: Vec<Feature>) -> FeatureColumns {
        let lookback = features
            .iter()
            .map(|feature| feature.lookback())
            .max()
            .unwrap_or(0);
        FeatureColumns {
            carries: vec![Carry::default(); features.len()],
            columns: features.iter().map(|_| Column::new()).collect(),
            features,
            history: History::new(lookback),
            close: Column::new(),
        }
    }

    /// Bytes on the heap for so many features of this lookback at most.
    pub const fn bytes(features: usize, lookback: usize) -> usize {
        let each = size_of::<Feature>()
            + size_of::<Carry>()
            + size_of::<Column>()
            + 8 * (LEAD + QUANTUM_BARS);
        (features + 1) * each + History::bytes(lookback)
    }

    /// Bars that the features look back on at most.
    pub fn lookback(features: &[Feature]) -> usize {
        features
            .iter()
            .map(|feature| feature.lookback())
            .max()
            .unwrap_or(0)
    }

    /// Computes the next block; bars before offset `from` do not exist for the features.
    pub fn push(&mut self, block: &BarBlock, from: usize) {
        self.history.push(block, from);
        let shift = |column: &mut Column| column.0[LEAD - 1] = column.0[LEAD + QUANTUM_BARS - 1];
        shift(&mut self.close);
        self.close.0[LEAD..LEAD + block.bars].copy_from_slice(&block.close[..block.bars]);
        for ((feature, carry), column) in self
            .features
            .iter()
            .zip(&mut self.carries)
            .zip(&mut self.columns)
        {
            shift(column);
            compute(
                *feature,
                carry,
                &self.history,
                from,
                &mut column.0[LEAD..LEAD + block.bars],
            );
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
