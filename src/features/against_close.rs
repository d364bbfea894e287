//! Masks of features against the close, which containers of a tile share.

use super::column::Column;
use crate::kernel::Mask;
use std::cell::Cell;

/// Masks of a block that are asked for, each compared once.
///
/// Containers that differ in nothing but another parameter ask for the same ones. What was asked for
/// in one block is compared in the next as soon as the column is there: a tile's columns are more
/// than a near cache holds, and by the time of the containers most have left it.
pub(super) struct AgainstClose {
    /// Number of the block.
    block: u64,
    above: Box<[Known]>,
    below: Box<[Known]>,
}

/// A mask, the number of the block that it is of, and of the last in which it was asked for; 0 is
/// before all blocks.
#[derive(Clone, Default)]
struct Known {
    block: Cell<u64>,
    asked: Cell<u64>,
    mask: Cell<Mask>,
}

impl AgainstClose {
    /// Room for so many features.
    pub(super) fn new(features: usize) -> AgainstClose {
        let none = || vec![Known::default(); features].into();
        AgainstClose {
            block: 1,
            above: none(),
            below: none(),
        }
    }

    /// Bytes on the heap for so many features.
    pub(super) const fn bytes(features: usize) -> usize {
        2 * features * size_of::<Known>()
    }

    /// Another block begins.
    pub(super) const fn clear(&mut self) {
        self.block += 1;
    }

    /// The column of a feature is there.
    pub(super) fn settle(&self, feature: usize, column: &Column, close: &Column) {
        let (above, below) = (&self.above[feature], &self.below[feature]);
        if above.asked.get() == self.block - 1 {
            above.set(self.block, column.above(close));
        }
        if below.asked.get() == self.block - 1 {
            below.set(self.block, close.above(column));
        }
    }

    /// Where a feature is above the close.
    #[inline(always)]
    pub(super) fn above(&self, feature: usize, column: &Column, close: &Column) -> Mask {
        self.above[feature].get(self.block, || column.above(close))
    }

    /// Where a feature is below the close.
    #[inline(always)]
    pub(super) fn below(&self, feature: usize, column: &Column, close: &Column) -> Mask {
        self.below[feature].get(self.block, || close.above(column))
    }
}

impl Known {
    #[inline(always)]
    fn get(&self, block: u64, compare: impl FnOnce() -> Mask) -> Mask {
        self.asked.set(block);
        if self.block.get() != block {
            self.set(block, compare());
        }
        self.mask.get()
    }

    fn set(&self, block: u64, mask: Mask) {
        self.mask.set(mask);
        self.block.set(block);
    }
}
