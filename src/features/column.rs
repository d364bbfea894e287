//! A column of a block: one value per bar, with the bar before it and the extremes of its words.

use crate::kernel::{self, Bounded, Bounds, Mask, Quantum, WORDS};
use admf_formats::units::QUANTUM_BARS;

/// Values before the block in a column's buffer: the last of them is the bar before.
const LEAD: usize = 8;

/// One column of one block, with the bar before it and the extremes of its words.
#[derive(Clone, Debug)]
pub struct Column(Box<[f64; LEAD + QUANTUM_BARS]>, Bounds);

impl Column {
    /// Bytes of a column.
    pub(super) const BYTES: usize = size_of::<Column>() + 8 * (LEAD + QUANTUM_BARS);

    pub(super) fn new() -> Column {
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
    pub(super) fn settle(&mut self) {
        self.1 = kernel::bounds(self.now());
    }

    /// The value of the last bar of a whole block: the next block's bar before.
    pub(super) const fn last(&self) -> f64 {
        self.0[LEAD + QUANTUM_BARS - 1]
    }

    pub(super) const fn set_last(&mut self, value: f64) {
        self.0[LEAD + QUANTUM_BARS - 1] = value;
    }

    /// Takes a block: its last value becomes the one before.
    pub(super) fn shift(&mut self) {
        self.0[LEAD - 1] = self.last();
    }

    /// Values of the block's bars.
    #[inline(always)]
    pub fn now(&self) -> &[f64; QUANTUM_BARS] {
        self.0
            .last_chunk()
            .expect("a column is longer than a quantum")
    }

    /// As [`Column::now`], to be written.
    pub(super) fn now_mut(&mut self) -> &mut Quantum {
        self.0
            .last_chunk_mut()
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
