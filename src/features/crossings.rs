//! Crosses of columns of which each crosses one other.

use super::column::Column;
use crate::kernel::{Mask, WORDS};
use std::cell::Cell;

/// Crosses of a block that are asked for.
///
/// Where a tile has as many columns as containers they are more than any near cache holds, and by the
/// time of the containers they have left it. Crosses that were asked for in one block are found in
/// the next as soon as their second column is there.
pub(super) struct Crossings {
    /// Number of the block.
    block: u64,
    /// One per column that is the second one; none where columns are shared.
    known: Box<[Known]>,
}

/// The crosses of a block and the column that is the first one, with the number of the block and of
/// the last in which they were asked for; 0 is before all blocks.
#[derive(Clone, Default)]
struct Known {
    block: Cell<u64>,
    asked: Cell<u64>,
    first: Cell<u16>,
    crosses: Cell<[Mask; 2]>,
}

impl Crossings {
    /// Room for so many columns.
    pub(super) fn new(columns: usize) -> Crossings {
        Crossings {
            block: 1,
            known: vec![Known::default(); columns].into(),
        }
    }

    /// Bytes on the heap for so many columns.
    pub(super) const fn bytes(columns: usize) -> usize {
        columns * size_of::<Known>()
    }

    /// Another block begins.
    pub(super) const fn clear(&mut self) {
        self.block += 1;
    }

    /// The second column at this place is there, as are those `earlier`.
    pub(super) fn settle(&self, second: usize, column: &Column, earlier: &[Column]) {
        let Some(known) = self.known.get(second) else {
            return;
        };
        if known.asked.get() != self.block - 1 {
            return;
        }
        if let Some(first) = earlier.get(usize::from(known.first.get())) {
            known.find(first, column);
            known.block.set(self.block);
        }
    }

    /// Writes the crosses of the columns at these places, which are these.
    #[inline(always)]
    pub(super) fn get(
        &self,
        [first, second]: [usize; 2],
        [first_column, second_column]: [&Column; 2],
        into: [&mut Mask; 2],
    ) {
        let Some(known) = self.known.get(second) else {
            return first_column.crosses(second_column, into);
        };
        known.asked.set(self.block);
        let is_it = usize::from(known.first.replace(first as u16)) == first;
        if !is_it || known.block.replace(self.block) != self.block {
            known.find(first_column, second_column);
        }
        let [up, down] = into;
        [*up, *down] = known.crosses.get();
    }
}

impl Known {
    fn find(&self, first: &Column, second: &Column) {
        let [mut up, mut down] = [[0; WORDS]; 2];
        first.crosses(second, [&mut up, &mut down]);
        self.crosses.set([up, down]);
    }
}
