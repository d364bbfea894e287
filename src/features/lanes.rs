//! Averages that are made of the one before: several features at a time, one per lane.
//!
//! Each value is computed as [`compute`](super::shared::compute) does for one feature, by the same
//! operations in the same order, and has its bits.

use super::feature::Feature;
use super::history::History;
use super::shared::{Carry, alpha, first_defined_offset, rsi};
use crate::kernel::{self, LINES, Recursion};

/// What a feature is to the kernel, where it can be a lane.
pub(super) const fn recursion(feature: Feature) -> Option<Recursion> {
    match feature {
        Feature::Ema(_) => Some(Recursion::Average),
        Feature::Macd(..) => Some(Recursion::Difference),
        Feature::MacdSignal(..) => Some(Recursion::Signal),
        Feature::Rsi(_) => Some(Recursion::Strength),
        _ => None,
    }
}

/// The factors of its lane.
fn factors(feature: Feature) -> [f64; 3] {
    match feature {
        Feature::Ema(n) => [alpha(n), 0.0, 0.0],
        Feature::Macd(fast, slow) => [alpha(fast), alpha(slow), 0.0],
        Feature::MacdSignal(fast, slow, signal) => [fast, slow, signal].map(alpha),
        Feature::Rsi(n) => [f64::from(n), f64::from(n) - 1.0, 0.0],
        _ => unreachable!("{feature} is no lane"),
    }
}

/// Computes bars `from..` of the block that `history` took last for some features of this kind, at
/// most [`LINES`].
///
/// Shape: one entry per feature in all slices; every line has one place per bar of the block.
pub(super) fn compute_together(
    kind: Recursion,
    features: &[Feature],
    carries: &mut [Carry],
    history: &History,
    from: usize,
    lines: &mut [&mut [f64]],
) {
    let (origin, bars) = (history.origin(), lines[0].len());
    for line in lines.iter_mut() {
        line[..from].fill(f64::NAN);
    }
    // Averages of moves begin as plain means: until the last one has them, each goes on its own.
    let mut start = from;
    for (feature, carry) in features.iter().zip(carries.iter()) {
        if let Feature::Rsi(n) = *feature {
            let steady = first_defined_offset(carry.seen, u64::from(n) + 1, from, bars);
            start = start.max(steady);
        }
    }
    let (mut fixed, mut state) = ([[0.0; LINES]; 3], [[0.0; LINES]; 3]);
    for (lane, (feature, carry)) in features.iter().zip(carries.iter_mut()).enumerate() {
        if let Feature::Rsi(n) = *feature {
            let closes = history.close[origin + from - 1..].array_windows();
            for (value, [before, close]) in lines[lane][from..start].iter_mut().zip(closes) {
                *value = rsi(carry, *before, *close, n);
                carry.seen += 1;
            }
        } else if carry.seen == 0 && from < bars {
            // An average that begins with the first close is still there after its bar.
            let first = history.close[origin + from];
            carry.values = [first, first, 0.0];
        }
        for (which, factor) in factors(*feature).into_iter().enumerate() {
            (fixed[which][lane], state[which][lane]) = (factor, carry.values[which]);
        }
    }
    let closes = &history.close[origin + start - 1..origin + bars];
    let mut rest: [&mut [f64]; LINES] = std::array::from_fn(|_| &mut [][..]);
    for (rest, line) in rest.iter_mut().zip(lines.iter_mut()) {
        *rest = &mut line[start..];
    }
    let rest = &mut rest[..features.len()];
    kernel::recurse(kind, closes, &fixed, &mut state, rest);
    for (lane, (feature, carry)) in features.iter().zip(carries).enumerate() {
        carry.values = state.each_ref().map(|lanes| lanes[lane]);
        if kind != Recursion::Strength {
            let first = feature.first_defined();
            let defined = first_defined_offset(carry.seen, first, from, bars);
            lines[lane][from..defined].fill(f64::NAN);
        }
        carry.seen += (bars - start) as u64;
    }
}
