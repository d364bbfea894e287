//! Averages that are made of the one before: several features at a time, one per lane.
//!
//! Each value is computed as [`compute`](super::shared::compute) does for one feature, by the same
//! operations in the same order, and has its bits.

use super::feature::Feature;
use super::history::History;
use super::shared::{Carry, alpha, first_defined_offset, rsi};
use crate::kernel::{self, LANES, Quantum, Recursion};

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

/// Features that are computed together at most: of two groups one goes on while the other waits.
pub(super) const TOGETHER: usize = 2 * LANES;

/// Columns that stand for the features that a last group lacks.
pub(super) const SPARE: usize = LANES - 1;

/// Factors and averages of the lanes of each group.
type Groups = [[[f64; LANES]; 3]; TOGETHER / LANES];

/// Some features of one kind, at most [`TOGETHER`], and what they carry.
pub(super) struct Together<'a> {
    /// What they are to the kernel.
    pub(super) kind: Recursion,
    /// The features.
    pub(super) features: &'a [Feature],
    /// One per feature.
    pub(super) carries: &'a mut [Carry],
}

impl Together<'_> {
    /// Computes the bars from `from` on of the block that `history` took last.
    ///
    /// Shape: `lines` has one line per feature and spare ones that make the last group whole, each
    /// with the columns' values of a quantum, of which those of the block's bars are written.
    pub(super) fn compute(
        &mut self,
        history: &History,
        from: usize,
        bars: usize,
        lines: &mut [[&mut Quantum; LANES]],
    ) {
        let origin = history.origin();
        let start = self.compute_first_means(history, from, bars, lines);
        let (fixed, mut state) = self.groups();
        let groups = lines.len();
        let closes = &history.close[origin - 1..origin + bars];
        let (fixed, own) = (&fixed[..groups], &mut state[..groups]);
        kernel::recurse(self.kind, closes, start, fixed, own, lines);
        self.keep(&state, from, start, bars, lines);
    }

    /// Computes a block of signals, of which each has its MACD line: that is not averaged again.
    ///
    /// Shape: as of [`Together::compute`], all bars of the block; `sources` has the lines, `carried`
    /// what their features carry after the block. All lines are defined.
    pub(super) fn compute_signals(
        &mut self,
        sources: &[[&Quantum; LANES]],
        carried: &[Carry],
        bars: usize,
        lines: &mut [[&mut Quantum; LANES]],
    ) {
        let (fixed, mut state) = self.groups();
        let groups = lines.len();
        let (fixed, own) = (&fixed[..groups], &mut state[..groups]);
        kernel::average_lines(sources, bars, fixed, own, lines);
        for (lane, line) in carried.iter().enumerate() {
            let own = &mut state[lane / LANES];
            (own[0][lane % LANES], own[1][lane % LANES]) = (line.values[0], line.values[1]);
        }
        self.keep(&state, 0, 0, bars, lines);
    }

    /// Averages of moves begin as plain means: until the last feature has them, each goes on alone.
    /// Gives the first bar that is not computed.
    fn compute_first_means(
        &mut self,
        history: &History,
        from: usize,
        bars: usize,
        lines: &mut [[&mut Quantum; LANES]],
    ) -> usize {
        let (origin, mut start) = (history.origin(), from);
        let features = || self.features.iter().copied();
        for (feature, carry) in features().zip(self.carries.iter()) {
            if let Feature::Rsi(n) = feature {
                let steady = first_defined_offset(carry.seen, u64::from(n) + 1, from, bars);
                start = start.max(steady);
            }
        }
        for ((feature, carry), line) in features().zip(&mut *self.carries).zip(flat(lines)) {
            line[..from].fill(f64::NAN);
            if let Feature::Rsi(n) = feature {
                let closes = history.close[origin + from - 1..].array_windows();
                for (value, [before, close]) in line[from..start].iter_mut().zip(closes) {
                    *value = rsi(carry, *before, *close, n);
                    carry.seen += 1;
                }
            } else if carry.seen == 0 && from < bars {
                // An average that begins with the first close is still there after its bar.
                let first = history.close[origin + from];
                carry.values = [first, first, 0.0];
            }
        }
        start
    }

    fn groups(&self) -> (Groups, Groups) {
        // Lanes without a feature compute with factors that keep them at 0.
        let (mut fixed, mut state) = (Groups::default(), Groups::default());
        for (lane, (feature, carry)) in self.features.iter().zip(&*self.carries).enumerate() {
            for (which, factor) in factors(*feature).into_iter().enumerate() {
                let (group, lane) = (lane / LANES, lane % LANES);
                fixed[group][which][lane] = factor;
                state[group][which][lane] = carry.values[which];
            }
        }
        (fixed, state)
    }

    /// Takes what the features carry after the block, and hides values that are not defined yet.
    fn keep(
        &mut self,
        state: &Groups,
        from: usize,
        start: usize,
        bars: usize,
        lines: &mut [[&mut Quantum; LANES]],
    ) {
        let features = self.features.iter().zip(&mut *self.carries).enumerate();
        for ((lane, (feature, carry)), line) in features.zip(flat(lines)) {
            let group = &state[lane / LANES];
            carry.values = group.each_ref().map(|lanes| lanes[lane % LANES]);
            if self.kind != Recursion::Strength {
                let first = feature.first_defined();
                let defined = first_defined_offset(carry.seen, first, from, bars);
                line[from..defined].fill(f64::NAN);
            }
            carry.seen += (bars - start) as u64;
        }
    }
}

/// The lines of all groups.
fn flat<'a>(lines: &'a mut [[&mut Quantum; LANES]]) -> impl Iterator<Item = &'a mut Quantum> {
    lines.iter_mut().flatten().map(|line| &mut **line)
}
