//! Bit masks of conditions over one block.

use crate::features::Column;
use admf_formats::units::QUANTUM_BARS;

/// Words of a mask: one bit per bar of a quantum.
pub const WORDS: usize = QUANTUM_BARS / 64;

/// One bit per bar of a block.
pub type Mask = [u64; WORDS];

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

/// Bits where `a > b`; a NaN on either side gives 0.
#[inline]
pub(super) fn above(a: &[f64; QUANTUM_BARS], b: &[f64; QUANTUM_BARS]) -> Mask {
    let mut mask = [0; WORDS];
    for (word, (a, b)) in mask
        .iter_mut()
        .zip(a.as_chunks::<64>().0.iter().zip(b.as_chunks::<64>().0))
    {
        for bit in 0..64 {
            *word |= u64::from(a[bit] > b[bit]) << bit;
        }
    }
    mask
}

/// Bits where `a > level`.
#[inline]
pub(super) fn above_level(a: &[f64; QUANTUM_BARS], level: f64) -> Mask {
    above(a, &[level; QUANTUM_BARS])
}

/// Bits where `a < level`.
#[inline]
pub(super) fn below_level(a: &[f64; QUANTUM_BARS], level: f64) -> Mask {
    above(&[level; QUANTUM_BARS], a)
}

/// Bars on which `a` crosses above `b` and those on which it crosses below, both strictly: a touch
/// with exact equality is no cross.
#[inline]
pub(super) fn crosses(a: &Column, b: &Column) -> (Mask, Mask) {
    let over = above(a.now(), b.now());
    let mut before = a.before()[0] > b.before()[0];
    let (mut up, mut down) = ([0; WORDS], [0; WORDS]);
    for word in 0..WORDS {
        // A cross changes `over`; whether one side of the change was a tie is looked up singly.
        let mut changed = over[word] ^ (over[word] << 1 | u64::from(before));
        before = over[word] >> 63 == 1;
        while changed != 0 {
            let bit = changed.trailing_zeros();
            changed &= changed - 1;
            let at = word * 64 + bit as usize;
            if over[word] >> bit & 1 == 1 {
                up[word] |= u64::from(a.before()[at] < b.before()[at]) << bit;
            } else {
                down[word] |= u64::from(a.now()[at] < b.now()[at]) << bit;
            }
        }
    }
    (up, down)
}
