//! Masks and columns combined.

use super::masks::{Mask, WORDS};
use admf_formats::units::QUANTUM_BARS;

/// Bits that both masks have.
#[inline]
pub fn both(a: Mask, b: Mask) -> Mask {
    let mut mask = [0; WORDS];
    for (word, (a, b)) in mask.iter_mut().zip(a.into_iter().zip(b)) {
        *word = a & b;
    }
    mask
}

/// Bits that either mask has.
#[inline]
pub fn either(a: Mask, b: Mask) -> Mask {
    let mut mask = [0; WORDS];
    for (word, (a, b)) in mask.iter_mut().zip(a.into_iter().zip(b)) {
        *word = a | b;
    }
    mask
}

/// A column times a number.
#[inline]
pub fn scaled(column: &[f64; QUANTUM_BARS], factor: f64) -> [f64; QUANTUM_BARS] {
    column.map(|value| value * factor)
}
