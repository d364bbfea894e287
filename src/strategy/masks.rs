//! Bit masks of conditions over one block.

use crate::features::Column;
pub use crate::kernel::{Mask, WORDS};
use crate::portfolio::Direction;

/// Where a strategy's conditions hold.
#[derive(Clone, Copy, Debug, Default)]
pub struct Masks {
    /// Go long, while not long.
    pub enter_long: Mask,
    /// Leave a long position.
    pub exit_long: Mask,
    /// Go short, while not short.
    pub enter_short: Mask,
    /// Leave a short position.
    pub exit_short: Mask,
}

impl Masks {
    /// Writes the masks of the sides that this direction allows, each given as entry and exit: what
    /// is never obeyed is not computed.
    #[inline(always)]
    pub fn set_sides(
        &mut self,
        direction: Direction,
        long: impl FnOnce() -> [Mask; 2],
        short: impl FnOnce() -> [Mask; 2],
    ) {
        if direction != Direction::ShortOnly {
            [self.enter_long, self.exit_long] = long();
        }
        if direction != Direction::LongOnly {
            [self.enter_short, self.exit_short] = short();
        }
    }
}

/// Bars on which `a` crosses above `b` and those on which it crosses below, both strictly: a touch
/// with exact equality is no cross.
#[inline]
pub fn crosses(a: &Column, b: &Column) -> (Mask, Mask) {
    let (mut up, mut down) = ([0; WORDS], [0; WORDS]);
    a.crosses(b, [&mut up, &mut down]);
    (up, down)
}
