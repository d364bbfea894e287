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
    let over = a.above(b);
    let (a, b) = (a.with_before(), b.with_before());
    let mut before = a[0] > b[0];
    let (mut up, mut down) = ([0; WORDS], [0; WORDS]);
    for word in 0..WORDS {
        // A cross changes `over`; whether the bar of the change that is not above is a tie is looked
        // up singly: the bar before a cross up, the bar of a cross down.
        let mut crossed = over[word] ^ (over[word] << 1 | u64::from(before));
        before = over[word] >> 63 == 1;
        let mut open = crossed;
        while open != 0 {
            let bit = open.trailing_zeros() as usize % 64;
            open &= open - 1;
            let is_up = (over[word] >> bit & 1) as usize;
            let below = word * 64 + bit + 1 - is_up;
            let is_cross = a[below] < b[below];
            crossed &= !(u64::from(!is_cross) << bit);
        }
        up[word] = crossed & over[word];
        down[word] = crossed & !over[word];
    }
    (up, down)
}
