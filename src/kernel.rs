//! The loops that touch every bar: comparing columns into masks, means of windows, returns of spans.
//!
//! One build runs on any processor: where AVX2 is there a loop is run with it, elsewhere in its
//! portable form. Both do the same operations on the same values in the same order, without fused
//! multiply-add, so that both give the same bits for every input, NaN and infinities counted; tests
//! hold them equal.
//!
//! Longer than other files: every loop stands beside its twin, in the only file of its kind.
#![allow(unsafe_code)]

use admf_formats::units::QUANTUM_BARS;

/// Words of a mask: one bit per bar of a quantum.
pub const WORDS: usize = QUANTUM_BARS / 64;

/// One bit per bar of a block.
pub type Mask = [u64; WORDS];

/// Lanes of sums over bars: fixed, so that the order of additions is.
pub const LANES: usize = 8;

/// The lesser one; the first where the second is NaN, or as small. One instruction, for figures that
/// are never NaN.
#[inline(always)]
pub fn lesser(a: f64, b: f64) -> f64 {
    if b < a { b } else { a }
}

/// The greater one; the first where the second is NaN, or as great.
#[inline(always)]
pub fn greater(a: f64, b: f64) -> f64 {
    if b > a { b } else { a }
}

/// Figures of one bar that are looked up together, in one line of the cache.
#[derive(Clone, Copy, Debug, PartialEq)]
#[repr(align(16))]
pub struct Four(pub [f64; 4]);

impl Four {
    /// The lesser of each of the figures, none of which is NaN.
    #[inline(always)]
    #[must_use]
    pub fn least(self, other: Four) -> Four {
        Four(std::array::from_fn(|at| lesser(self.0[at], other.0[at])))
    }
}

/// Lowest and highest value of each word of a column.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bounds {
    /// Lowest.
    pub low: [f64; WORDS],
    /// Highest.
    pub high: [f64; WORDS],
}

/// A column with what decides most comparisons of its values.
#[derive(Clone, Copy)]
pub struct Bounded<'a> {
    /// One value per bar.
    pub values: &'a [f64; QUANTUM_BARS],
    /// The values again, in fewer bytes.
    pub short: Short<'a>,
    /// [`bounds`] of the values.
    pub bounds: &'a Bounds,
}

/// Values in fewer bytes. Rounding keeps their order: where two of these differ, so do the values, and
/// the same way.
#[derive(Clone, Copy)]
pub enum Short<'a> {
    /// In parts of a [`Scale`], which is the same for all that are compared.
    Scaled(&'a [i16; QUANTUM_BARS]),
    /// In single precision.
    Single(&'a [f32; QUANTUM_BARS]),
}

/// A range of values cut into equal parts, which are numbered.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Scale {
    low: f64,
    high: f64,
    /// Parts per unit.
    parts: f64,
}

impl Scale {
    /// Parts of the values from `low` to `high`; none where there is no range.
    pub fn new(low: f64, high: f64) -> Option<Scale> {
        // No rounding takes a value of the range beyond the last part.
        let parts = 65_534.0 / (high - low);
        (parts.is_finite() && parts > 0.0).then_some(Scale { low, high, parts })
    }

    /// Whether all values that lie within these bounds are in the range; NaN is in none.
    pub fn covers(&self, bounds: &Bounds) -> bool {
        let lows = bounds.low.iter().all(|low| *low >= self.low);
        lows && bounds.high.iter().all(|high| *high <= self.high)
    }
}

/// Runs a loop with AVX2 where the processor has it.
macro_rules! dispatched {
    ($(#[$doc:meta])* $visible:vis fn $name:ident($($argument:ident: $type:ty),* $(,)?) $(-> $result:ty)?, $wide:ident, $portable:ident) => {
        $(#[$doc])*
        #[inline]
        $visible fn $name($($argument: $type),*) $(-> $result)? {
            #[cfg(target_arch = "x86_64")]
            if std::arch::is_x86_feature_detected!("avx2") {
                // SAFETY: the processor has AVX2, which was asked for right above; the function
                // requires nothing else. Without it the tests below die of an illegal instruction.
                return unsafe { avx2::$wide($($argument),*) };
            }
            portable::$portable($($argument),*)
        }
    };
}

dispatched! {
    /// Bits where `a > b`; a NaN on either side gives 0.
    pub fn above(a: &[f64; QUANTUM_BARS], b: &[f64; QUANTUM_BARS]) -> Mask, above, above
}
dispatched! {
    /// Bits where `a > level`; a NaN on either side gives 0.
    pub fn above_level(a: &[f64; QUANTUM_BARS], level: f64) -> Mask, above_level, above_level
}
dispatched! {
    /// Bits where `a < level`; a NaN on either side gives 0.
    pub fn below_level(a: &[f64; QUANTUM_BARS], level: f64) -> Mask, below_level, below_level
}
dispatched! {
    /// Lowest and highest value of each word of bars; NaN, both, where one of its values is.
    pub fn bounds(values: &[f64; QUANTUM_BARS]) -> Bounds, bounds, bounds
}
dispatched! {
    /// The values in single precision.
    pub fn single(values: &[f64; QUANTUM_BARS], into: &mut [f32; QUANTUM_BARS]), single, single
}
dispatched! {
    /// The parts of the scale that the values are in, the first of which is [`i16::MIN`].
    pub fn scaled(
        values: &[f64; QUANTUM_BARS],
        scale: Scale,
        into: &mut [i16; QUANTUM_BARS],
    ), scaled, scaled
}
dispatched! {
    /// Bits where `a > b`, as [`above`]; words whose bounds decide are not compared bar by bar.
    pub fn above_bounded(a: Bounded<'_>, b: Bounded<'_>) -> Mask, above_bounded, above_bounded
}
dispatched! {
    /// Bits where `a > level`, as [`above_level`]; words whose bounds decide are not compared.
    pub fn above_level_bounded(
        a: Bounded<'_>,
        level: f64,
    ) -> Mask, above_level_bounded, above_level_bounded
}
dispatched! {
    /// Bits where `a < level`, as [`below_level`]; words whose bounds decide are not compared.
    pub fn below_level_bounded(
        a: Bounded<'_>,
        level: f64,
    ) -> Mask, below_level_bounded, below_level_bounded
}
dispatched! {
    /// Bits where `a > b`, and those where `a < b`; a NaN on either side gives 0 in both.
    pub fn sides(a: Bounded<'_>, b: Bounded<'_>) -> [Mask; 2], sides, sides
}
dispatched! {
    /// Least figures of runs twice as long as those of `runs`, which are `length` long and begin
    /// with each bar; `into` has as many places. No figure is NaN.
    pub fn double_runs(runs: &[Four], length: usize, into: &mut [Four]), double_runs, double_runs
}
dispatched! {
    /// The lowest of these values, none of which is NaN; infinity where there is none.
    pub fn lowest(values: &[f64]) -> f64, lowest, lowest
}
dispatched! {
    /// The highest of these values, none of which is NaN; minus infinity where there is none.
    pub fn highest(values: &[f64]) -> f64, highest, highest
}
dispatched! {
    /// Means of windows from the double-double prefix sums (high and low parts) at the last bars of
    /// the windows and at the bars before their first ones. All slices are as long as `into`.
    pub fn window_means(
        last: [&[f64]; 2],
        before: [&[f64]; 2],
        divisor: f64,
        into: &mut [f64],
    ), window_means, window_means
}
dispatched! {
    /// Standard deviations of windows about their means: of bar k over the closes from k on, as many
    /// as there are closes more than bars, and one. `means` and `into` have one entry per bar.
    pub fn window_deviations(
        closes: &[f64],
        means: &[f64],
        divisor: f64,
        into: &mut [f64],
    ), window_deviations, window_deviations
}
dispatched! {
    /// Sums of the returns `e[k + 1] / e[k] - 1` of the equity curve `cash + units * close[k]`, of
    /// their squares and of the squares of the negative ones: return k goes into lane
    /// k % [`LANES`], and the lanes are added in order.
    pub fn return_sums(closes: &[f64], units: f64, cash: f64) -> [f64; 3], return_sums, return_sums
}
dispatched! {
    /// The first bar from `from` on whose equity `cash + units * close` is above `peak`, or not
    /// above `floor`; the number of bars where there is none.
    pub fn next_extreme(
        closes: &[f64],
        from: usize,
        units: f64,
        cash: f64,
        peak: f64,
        floor: f64,
    ) -> usize, next_extreme, next_extreme
}

dispatched! {
    /// The first bar from `from` on whose low is at `below` or lower, or whose high is at `above`
    /// or higher; the number of bars where there is none. Both slices are equally long.
    pub fn next_outside(
        lows: &[f64],
        highs: &[f64],
        from: usize,
        below: f64,
        above: f64,
    ) -> usize, next_outside, next_outside
}

dispatched! {
    /// Bands: `means[k] + width * deviations[k]`. All slices are equally long.
    pub fn bands(
        means: &[f64],
        deviations: &[f64],
        width: f64,
        into: &mut [f64],
    ), bands, bands
}
dispatched! {
    /// The greater ones of pairs, none of which is NaN. All slices are equally long.
    pub fn greater_ones(a: &[f64], b: &[f64], into: &mut [f64]), greater_ones, greater_ones
}
dispatched! {
    /// The lesser ones of pairs, none of which is NaN. All slices are equally long.
    pub fn lesser_ones(a: &[f64], b: &[f64], into: &mut [f64]), lesser_ones, lesser_ones
}
dispatched! {
    /// Lines each of whose values is made of the one before: groups of [`LANES`] lines of one kind,
    /// one per lane, for alone each would wait for itself. Computes the bars from `first` on, one
    /// fewer than there are `closes`, which begin with the bar before the block.
    ///
    /// Shape: one entry per group in all slices, in the order of the lanes.
    pub fn recurse(
        kind: Recursion,
        closes: &[f64],
        first: usize,
        factors: &[[[f64; LANES]; 3]],
        state: &mut [[[f64; LANES]; 3]],
        into: &mut [[&mut Quantum; LANES]],
    ), recurse, recurse
}
dispatched! {
    /// As [`recurse`] the averages of lines of their own, at as many bars from the first one on.
    /// Their alphas and averages are the third ones of factors and state.
    pub fn average_lines(
        lines: &[[&Quantum; LANES]],
        bars: usize,
        factors: &[[[f64; LANES]; 3]],
        state: &mut [[[f64; LANES]; 3]],
        into: &mut [[&mut Quantum; LANES]],
    ), average_lines, average_lines
}

/// One value per bar of a quantum.
pub type Quantum = [f64; QUANTUM_BARS];

/// What the lines of [`recurse`] are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Recursion {
    /// `average + alpha * (close - average)`. Factor and state: the alpha, the average.
    Average,
    /// The difference of two averages of the close. Factors and state: both alphas, both averages.
    Difference,
    /// The average of such a difference, whose alpha and value are the third ones.
    Signal,
    /// Wilder's relative strength index of n moves: 100 without a loss, 50 without a move. Factors:
    /// n and n - 1. State: the average gain, the average loss.
    Strength,
}

/// `a + b` as its rounded value and the exact error of the rounding (Knuth).
#[inline(always)]
pub fn two_sum(a: f64, b: f64) -> (f64, f64) {
    let sum = a + b;
    let b_part = sum - a;
    (sum, (a - (sum - b_part)) + (b - b_part))
}

/// Work that is compiled twice: for any processor, and with what most of today's have besides. Both
/// do the same operations in the same order, as all loops here.
pub trait Wide {
    /// What comes out.
    type Output;

    /// Does the work. What it calls is part of it as far as it is inlined, so that this has to be.
    fn run(self) -> Self::Output;
}

/// Does the work as it is compiled for this processor.
#[inline]
pub fn run_wide<W: Wide>(work: W) -> W::Output {
    #[cfg(target_arch = "x86_64")]
    if std::arch::is_x86_feature_detected!("avx2")
        && std::arch::is_x86_feature_detected!("bmi1")
        && std::arch::is_x86_feature_detected!("bmi2")
        && std::arch::is_x86_feature_detected!("lzcnt")
    {
        // SAFETY: the processor has what the function requires, which was asked for right above.
        // Without it the tests of the engine die of an illegal instruction.
        return unsafe { avx2::run(work) };
    }
    work.run()
}

/// Asks for the lines of a value that is needed soon.
#[inline(always)]
pub fn prefetch<T>(value: &T) {
    prefetch_lines(std::ptr::from_ref(value).cast(), size_of::<T>());
}

/// Asks for the lines of bytes that are needed soon.
#[inline(always)]
pub fn prefetch_bytes(bytes: &[u8]) {
    prefetch_lines(bytes.as_ptr(), bytes.len());
}

#[inline(always)]
fn prefetch_lines(first: *const u8, bytes: usize) {
    #[cfg(target_arch = "x86_64")]
    for line in (0..bytes).step_by(64) {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        // SAFETY: the instruction reads nothing that anybody sees: it is a hint, and harmless for
        // any address. `wrapping_add` asks for nothing either.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(first.wrapping_add(line).cast()) };
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = (first, bytes);
}

/// The loops as any processor runs them.
mod portable {
    use super::{
        Bounded, Bounds, Four, LANES, Mask, QUANTUM_BARS, Quantum, Recursion, Scale, WORDS,
        greater, lesser,
    };

    #[inline(always)]
    pub(super) fn above(a: &[f64; QUANTUM_BARS], b: &[f64; QUANTUM_BARS]) -> Mask {
        let mut mask = [0; WORDS];
        let words = a.as_chunks::<64>().0.iter().zip(b.as_chunks::<64>().0);
        for (word, (a, b)) in mask.iter_mut().zip(words) {
            for bit in 0..64 {
                *word |= u64::from(a[bit] > b[bit]) << bit;
            }
        }
        mask
    }

    #[inline(always)]
    pub(super) fn bounds(values: &[f64; QUANTUM_BARS]) -> Bounds {
        let mut bounds = Bounds {
            low: [0.0; WORDS],
            high: [0.0; WORDS],
        };
        for (word, values) in values.as_chunks::<64>().0.iter().enumerate() {
            let (mut low, mut high) = ([f64::INFINITY; LANES], [f64::NEG_INFINITY; LANES]);
            let mut is_nan = [false; LANES];
            for values in values.as_chunks::<LANES>().0 {
                for lane in 0..LANES {
                    let value = values[lane];
                    low[lane] = if value < low[lane] { value } else { low[lane] };
                    high[lane] = if value > high[lane] {
                        value
                    } else {
                        high[lane]
                    };
                    is_nan[lane] |= value.is_nan();
                }
            }
            if is_nan.contains(&true) {
                (bounds.low[word], bounds.high[word]) = (f64::NAN, f64::NAN);
            } else {
                bounds.low[word] = low.into_iter().fold(f64::INFINITY, f64::min);
                bounds.high[word] = high.into_iter().fold(f64::NEG_INFINITY, f64::max);
            }
        }
        bounds
    }

    pub(super) fn above_bounded(a: Bounded<'_>, b: Bounded<'_>) -> Mask {
        let mut mask = [0; WORDS];
        for word in 0..WORDS {
            if a.bounds.low[word] > b.bounds.high[word] {
                mask[word] = u64::MAX;
            } else if a.bounds.high[word] <= b.bounds.low[word] {
                mask[word] = 0;
            } else {
                let (a, b) = (a.values.as_chunks::<64>().0, b.values.as_chunks::<64>().0);
                for bit in 0..64 {
                    mask[word] |= u64::from(a[word][bit] > b[word][bit]) << bit;
                }
            }
        }
        mask
    }

    pub(super) fn above_level_bounded(a: Bounded<'_>, level: f64) -> Mask {
        above_level(a.values, level)
    }

    pub(super) fn below_level_bounded(a: Bounded<'_>, level: f64) -> Mask {
        below_level(a.values, level)
    }

    #[inline(always)]
    pub(super) fn single(values: &[f64; QUANTUM_BARS], into: &mut [f32; QUANTUM_BARS]) {
        for (into, value) in into.iter_mut().zip(values) {
            *into = *value as f32;
        }
    }

    #[inline(always)]
    pub(super) fn scaled(
        values: &[f64; QUANTUM_BARS],
        scale: Scale,
        into: &mut [i16; QUANTUM_BARS],
    ) {
        for (into, value) in into.iter_mut().zip(values) {
            let part = ((value - scale.low) * scale.parts) as i32;
            *into = (part + i32::from(i16::MIN)) as i16;
        }
    }

    pub(super) fn sides(a: Bounded<'_>, b: Bounded<'_>) -> [Mask; 2] {
        [above(a.values, b.values), above(b.values, a.values)]
    }

    #[inline(always)]
    pub(super) fn double_runs(runs: &[Four], length: usize, into: &mut [Four]) {
        let later = runs.get(length..).unwrap_or_default();
        for ((into, run), next) in into.iter_mut().zip(runs).zip(later) {
            *into = run.least(*next);
        }
    }

    #[inline(always)]
    pub(super) fn lowest(values: &[f64]) -> f64 {
        let (whole, rest) = values.as_chunks::<LANES>();
        let mut lanes = [f64::INFINITY; LANES];
        for values in whole {
            for lane in 0..LANES {
                lanes[lane] = lesser(lanes[lane], values[lane]);
            }
        }
        lanes
            .iter()
            .chain(rest)
            .fold(f64::INFINITY, |low, value| lesser(low, *value))
    }

    #[inline(always)]
    pub(super) fn highest(values: &[f64]) -> f64 {
        let (whole, rest) = values.as_chunks::<LANES>();
        let mut lanes = [f64::NEG_INFINITY; LANES];
        for values in whole {
            for lane in 0..LANES {
                lanes[lane] = greater(lanes[lane], values[lane]);
            }
        }
        lanes
            .iter()
            .chain(rest)
            .fold(f64::NEG_INFINITY, |high, value| greater(high, *value))
    }

    pub(super) fn above_level(a: &[f64; QUANTUM_BARS], level: f64) -> Mask {
        above(a, &[level; QUANTUM_BARS])
    }

    pub(super) fn below_level(a: &[f64; QUANTUM_BARS], level: f64) -> Mask {
        above(&[level; QUANTUM_BARS], a)
    }

    #[inline(always)]
    pub(super) fn window_means(
        last: [&[f64]; 2],
        before: [&[f64]; 2],
        divisor: f64,
        into: &mut [f64],
    ) {
        let bars = into.len();
        let ([high, low], [high_before, low_before]) = (
            last.map(|part| &part[..bars]),
            before.map(|part| &part[..bars]),
        );
        for bar in 0..bars {
            // As `two_sum(high, -before)`, with its signs turned where they cost an operation.
            let (high, before) = (high[bar], high_before[bar]);
            let difference = high - before;
            let part = difference - high;
            let error = (high - (difference - part)) - (before + part);
            into[bar] = (difference + (error + (low[bar] - low_before[bar]))) / divisor;
        }
    }

    /// Bars at a time of which deviations are summed: sums of fewer would wait for one another.
    pub(super) const SUMS: usize = 2 * LANES;

    /// Several bars at a time, each over its own window in order.
    #[inline(always)]
    pub(super) fn window_deviations(closes: &[f64], means: &[f64], divisor: f64, into: &mut [f64]) {
        let bars = into.len();
        let means = &means[..bars];
        let window = closes.len() + 1 - bars;
        let (whole, rest) = into.as_chunks_mut::<SUMS>();
        let (whole_means, rest_means) = means.as_chunks::<SUMS>();
        for (at, (into, means)) in whole.iter_mut().zip(whole_means).enumerate() {
            let mut squares = [0.0; SUMS];
            let closes = &closes[at * SUMS..][..window + SUMS - 1];
            for closes in closes.array_windows::<SUMS>() {
                for lane in 0..SUMS {
                    let away = means[lane] - closes[lane];
                    squares[lane] += away * away;
                }
            }
            *into = squares.map(|squares| (squares / divisor).sqrt());
        }
        let done = bars - rest.len();
        window_deviations_each(&closes[done..], rest_means, divisor, rest);
    }

    /// One bar at a time.
    #[inline(always)]
    pub(super) fn window_deviations_each(
        closes: &[f64],
        means: &[f64],
        divisor: f64,
        into: &mut [f64],
    ) {
        let window = closes.len() + 1 - into.len();
        for (at, (into, mean)) in into.iter_mut().zip(means).enumerate() {
            let squares = closes[at..][..window].iter().fold(0.0, |sum, close| {
                let away = mean - close;
                sum + away * away
            });
            *into = (squares / divisor).sqrt();
        }
    }

    #[inline(always)]
    pub(super) fn bands(means: &[f64], deviations: &[f64], width: f64, into: &mut [f64]) {
        for ((into, mean), deviation) in into.iter_mut().zip(means).zip(deviations) {
            *into = mean + width * deviation;
        }
    }

    #[inline(always)]
    pub(super) fn greater_ones(a: &[f64], b: &[f64], into: &mut [f64]) {
        for ((into, a), b) in into.iter_mut().zip(a).zip(b) {
            *into = greater(*a, *b);
        }
    }

    #[inline(always)]
    pub(super) fn lesser_ones(a: &[f64], b: &[f64], into: &mut [f64]) {
        for ((into, a), b) in into.iter_mut().zip(a).zip(b) {
            *into = lesser(*a, *b);
        }
    }

    /// Line by line.
    pub(super) fn recurse(
        kind: Recursion,
        closes: &[f64],
        first: usize,
        factors: &[[[f64; LANES]; 3]],
        state: &mut [[[f64; LANES]; 3]],
        into: &mut [[&mut Quantum; LANES]],
    ) {
        for ((into, factors), state) in into.iter_mut().zip(factors).zip(state) {
            for (lane, into) in into.iter_mut().enumerate() {
                let factors = factors.map(|lanes| lanes[lane]);
                let mut own = state.each_ref().map(|lanes| lanes[lane]);
                let bars = closes.array_windows().zip(into.iter_mut());
                for (closes, value) in bars.skip(first) {
                    *value = next(kind, closes, factors, &mut own);
                }
                for (lanes, own) in state.iter_mut().zip(own) {
                    lanes[lane] = own;
                }
            }
        }
    }

    pub(super) fn average_lines(
        lines: &[[&Quantum; LANES]],
        bars: usize,
        factors: &[[[f64; LANES]; 3]],
        state: &mut [[[f64; LANES]; 3]],
        into: &mut [[&mut Quantum; LANES]],
    ) {
        average_lines_from(0, lines, bars, factors, state, into);
    }

    pub(super) fn average_lines_from(
        first: usize,
        lines: &[[&Quantum; LANES]],
        bars: usize,
        factors: &[[[f64; LANES]; 3]],
        state: &mut [[[f64; LANES]; 3]],
        into: &mut [[&mut Quantum; LANES]],
    ) {
        let groups = into.iter_mut().zip(lines).zip(factors).zip(state);
        for (((into, lines), factors), state) in groups {
            for (lane, (into, line)) in into.iter_mut().zip(lines).enumerate() {
                let (alpha, average) = (factors[2][lane], &mut state[2][lane]);
                for (into, value) in into[first..bars].iter_mut().zip(&line[first..bars]) {
                    *average += alpha * (value - *average);
                    *into = *average;
                }
            }
        }
    }

    #[inline(always)]
    fn next(
        kind: Recursion,
        [before, close]: &[f64; 2],
        factors: [f64; 3],
        state: &mut [f64; 3],
    ) -> f64 {
        let mut average = |which: usize, value: f64| {
            state[which] += factors[which] * (value - state[which]);
            state[which]
        };
        match kind {
            Recursion::Average => average(0, *close),
            Recursion::Difference => average(0, *close) - average(1, *close),
            Recursion::Signal => {
                let line = average(0, *close) - average(1, *close);
                average(2, line)
            }
            Recursion::Strength => {
                let [n, others, _] = factors;
                let change = close - before;
                for (average, moved) in state.iter_mut().zip([change, -change]) {
                    *average = (*average * others + greater(0.0, moved)) / n;
                }
                match (state[0], state[1]) {
                    (0.0, 0.0) => 50.0,
                    (_, 0.0) => 100.0,
                    (gain, loss) => 100.0 - 100.0 / (1.0 + gain / loss),
                }
            }
        }
    }

    #[inline(always)]
    pub(super) fn return_sums(closes: &[f64], units: f64, cash: f64) -> [f64; 3] {
        let mut sums = [[0.0_f64; LANES]; 3];
        let Some(returns) = closes.len().checked_sub(1) else {
            return [0.0; 3];
        };
        let (earlier, later) = (&closes[..returns], &closes[1..]);
        let (whole, rest) = earlier.as_chunks::<LANES>();
        let (whole_later, rest_later) = later.as_chunks::<LANES>();
        for (earlier, later) in whole.iter().zip(whole_later) {
            for lane in 0..LANES {
                add_return(&mut sums, lane, earlier[lane], later[lane], units, cash);
            }
        }
        for (lane, (earlier, later)) in rest.iter().zip(rest_later).enumerate() {
            add_return(&mut sums, lane, *earlier, *later, units, cash);
        }
        sums.map(|lanes| lanes.iter().fold(0.0, |sum, value| sum + value))
    }

    #[inline(always)]
    fn add_return(
        sums: &mut [[f64; LANES]; 3],
        lane: usize,
        earlier: f64,
        later: f64,
        units: f64,
        cash: f64,
    ) {
        let change = (cash + units * later) / (cash + units * earlier) - 1.0;
        let down = if change < 0.0 { change } else { 0.0 };
        sums[0][lane] += change;
        sums[1][lane] += change * change;
        sums[2][lane] += down * down;
    }

    #[inline(always)]
    pub(super) fn next_extreme(
        closes: &[f64],
        from: usize,
        units: f64,
        cash: f64,
        peak: f64,
        floor: f64,
    ) -> usize {
        let is_extreme = |close: &f64| {
            let equity = cash + units * close;
            equity > peak || equity <= floor
        };
        let rest = &closes[from..];
        from + rest.iter().position(is_extreme).unwrap_or(rest.len())
    }

    #[inline(always)]
    pub(super) fn next_outside(
        lows: &[f64],
        highs: &[f64],
        from: usize,
        below: f64,
        above: f64,
    ) -> usize {
        let (lows, highs) = (&lows[from..], &highs[from..]);
        let is_outside = |(low, high): (&f64, &f64)| *low <= below || *high >= above;
        let found = lows.iter().zip(highs).position(is_outside);
        from + found.unwrap_or(lows.len())
    }
}

#[cfg(target_arch = "x86_64")]
mod avx2 {
    use super::portable::SUMS;
    use super::{
        Bounded, Bounds, Four, LANES, Mask, QUANTUM_BARS, Quantum, Recursion, Scale, Short, WORDS,
        Wide, portable,
    };
    use std::arch::x86_64::{
        __m128i, __m256, __m256d, __m256i, _CMP_EQ_OQ, _CMP_EQ_UQ, _CMP_GE_OQ, _CMP_GT_OQ,
        _CMP_LE_OQ, _CMP_LT_OQ, _CMP_UNORD_Q, _mm_movemask_epi8, _mm_packs_epi32, _mm_storeu_si128,
        _mm_unpackhi_epi16, _mm_unpacklo_epi16, _mm256_add_epi32, _mm256_add_pd, _mm256_and_pd,
        _mm256_blendv_pd, _mm256_castpd_ps, _mm256_castps_si256, _mm256_castsi256_pd,
        _mm256_castsi256_si128, _mm256_cmp_pd, _mm256_cmp_ps, _mm256_cmpeq_epi16,
        _mm256_cmpgt_epi16, _mm256_cmpgt_epi64, _mm256_cvttpd_epi32, _mm256_div_pd,
        _mm256_extracti128_si256, _mm256_loadu_pd, _mm256_loadu_ps, _mm256_loadu_si256,
        _mm256_max_pd, _mm256_min_pd, _mm256_movemask_epi8, _mm256_movemask_pd, _mm256_movemask_ps,
        _mm256_mul_pd, _mm256_or_pd, _mm256_or_ps, _mm256_or_si256, _mm256_packs_epi16,
        _mm256_packs_epi32, _mm256_permute2f128_pd, _mm256_permute4x64_epi64,
        _mm256_permutevar8x32_epi32, _mm256_set_m128i, _mm256_set1_epi32, _mm256_set1_epi64x,
        _mm256_set1_pd, _mm256_setr_epi32, _mm256_setr_epi64x, _mm256_setzero_pd,
        _mm256_setzero_ps, _mm256_setzero_si256, _mm256_shuffle_ps, _mm256_sqrt_pd,
        _mm256_storeu_pd, _mm256_sub_pd, _mm256_testz_si256, _mm256_unpackhi_pd,
        _mm256_unpacklo_pd,
    };
    use std::ops::Range;

    #[target_feature(enable = "avx2,bmi1,bmi2,lzcnt")]
    pub(super) fn run<W: Wide>(work: W) -> W::Output {
        work.run()
    }

    /// Four values as a vector.
    #[inline]
    #[target_feature(enable = "avx2")]
    fn load(values: &[f64; 4]) -> __m256d {
        // SAFETY: the reference is to four values that may be read, and the load asks for no
        // alignment. The tests below compare what is made of it with one comparison at a time.
        unsafe { _mm256_loadu_pd(values.as_ptr()) }
    }

    #[inline]
    #[target_feature(enable = "avx2")]
    fn store(into: &mut [f64; 4], values: __m256d) {
        // SAFETY: the reference is to four values that may be written, and the store asks for no
        // alignment. The tests below compare what is stored with the portable loops.
        unsafe { _mm256_storeu_pd(into.as_mut_ptr(), values) }
    }

    /// Eight values as a vector.
    #[inline]
    #[target_feature(enable = "avx2")]
    fn load_near(values: &[f32; 8]) -> __m256 {
        // SAFETY: the reference is to eight values that may be read, and the load asks for no
        // alignment. The tests below compare what is made of it with one comparison at a time.
        unsafe { _mm256_loadu_ps(values.as_ptr()) }
    }

    /// Sixteen parts as a vector.
    #[inline]
    #[target_feature(enable = "avx2")]
    fn load_parts(parts: &[i16; 16]) -> __m256i {
        // SAFETY: the reference is to sixteen parts that may be read, and the load asks for no
        // alignment. The tests below compare what is made of it with one comparison at a time.
        unsafe { _mm256_loadu_si256(parts.as_ptr().cast()) }
    }

    #[inline]
    #[target_feature(enable = "avx2")]
    fn greater(a: __m256d, b: __m256d) -> u64 {
        _mm256_movemask_pd(_mm256_cmp_pd::<_CMP_GT_OQ>(a, b)) as u64
    }

    /// Where `a > b` for eight bars, as 32 bits each: bars 0, 1, 4, 5 in the low half and 2, 3, 6, 7
    /// in the high one.
    #[inline]
    #[target_feature(enable = "avx2")]
    fn above_eight(a: &[f64; 8], b: &[f64; 8]) -> __m256i {
        let (a, b) = (a.as_chunks::<4>().0, b.as_chunks::<4>().0);
        let of = |four: usize| {
            _mm256_castpd_ps(_mm256_cmp_pd::<_CMP_GT_OQ>(load(&a[four]), load(&b[four])))
        };
        // The even 32 bits of every 64.
        _mm256_castps_si256(_mm256_shuffle_ps::<0x88>(of(0), of(1)))
    }

    /// Bits of 32 bars: masks are packed to a byte per bar before they are gathered.
    #[inline]
    #[target_feature(enable = "avx2")]
    fn above_half(a: &[f64; 32], b: &[f64; 32]) -> u32 {
        let (a, b) = (a.as_chunks::<8>().0, b.as_chunks::<8>().0);
        let pair = |first: usize| {
            let (one, other) = (
                above_eight(&a[first], &b[first]),
                above_eight(&a[first + 1], &b[first + 1]),
            );
            _mm256_packs_epi32(one, other)
        };
        let bytes = _mm256_packs_epi16(pair(0), pair(2));
        // Two bars from the low half, two from the high one, and so on.
        let (low, high) = (
            _mm256_castsi256_si128(bytes),
            _mm256_extracti128_si256::<1>(bytes),
        );
        let bits = |bytes| _mm_movemask_epi8(bytes) as u32;
        bits(_mm_unpacklo_epi16(low, high)) | bits(_mm_unpackhi_epi16(low, high)) << 16
    }

    /// One word of [`above`].
    #[inline]
    #[target_feature(enable = "avx2")]
    fn above_word(a: &[f64; 64], b: &[f64; 64]) -> u64 {
        let (a, b) = (a.as_chunks::<32>().0, b.as_chunks::<32>().0);
        u64::from(above_half(&a[0], &b[0])) | u64::from(above_half(&a[1], &b[1])) << 32
    }

    #[target_feature(enable = "avx2")]
    pub(super) fn above(a: &[f64; QUANTUM_BARS], b: &[f64; QUANTUM_BARS]) -> Mask {
        let mut mask = [0; WORDS];
        let words = a.as_chunks::<64>().0.iter().zip(b.as_chunks::<64>().0);
        for (word, (a, b)) in mask.iter_mut().zip(words) {
            *word = above_word(a, b);
        }
        mask
    }

    /// Bit per word where `a > b`, or `a <= b`.
    #[inline]
    #[target_feature(enable = "avx2")]
    fn decided<const ORDER: i32>(a: &[f64; WORDS], b: &[f64; WORDS]) -> u64 {
        let (a, b) = (a.as_chunks::<4>().0, b.as_chunks::<4>().0);
        let mut words = 0;
        for four in 0..WORDS / 4 {
            let is = _mm256_cmp_pd::<ORDER>(load(&a[four]), load(&b[four]));
            words |= (_mm256_movemask_pd(is) as u64) << (4 * four);
        }
        words
    }

    /// All bits of the words where all are set, none of those where none is, and of the others those
    /// that are compared.
    #[inline]
    #[target_feature(enable = "avx2")]
    fn decided_or(all: u64, none: u64, compared: impl Fn(usize) -> u64) -> Mask {
        let mut mask: Mask = std::array::from_fn(|word| (all >> word & 1).wrapping_neg());
        let mut open = !(all | none) & ((1 << WORDS) - 1);
        while open != 0 {
            let word = open.trailing_zeros() as usize % WORDS;
            open &= open - 1;
            mask[word] = compared(word);
        }
        mask
    }

    #[target_feature(enable = "avx2")]
    pub(super) fn above_bounded(a: Bounded<'_>, b: Bounded<'_>) -> Mask {
        let all = decided::<_CMP_GT_OQ>(&a.bounds.low, &b.bounds.high);
        let none = decided::<_CMP_LE_OQ>(&a.bounds.high, &b.bounds.low);
        decided_or(all, none, |word| {
            let (over, is_sure) = match (a.short, b.short) {
                (Short::Scaled(a), Short::Scaled(b)) => scaled_word(a, b, word),
                (Short::Single(a), Short::Single(b)) => near_word(a, b, word),
                _ => (0, false),
            };
            if is_sure {
                over
            } else {
                sides_of(a, b, word)[0]
            }
        })
    }

    #[target_feature(enable = "avx2")]
    pub(super) fn above_level_bounded(a: Bounded<'_>, level: f64) -> Mask {
        let all = decided::<_CMP_GT_OQ>(&a.bounds.low, &[level; WORDS]);
        let none = decided::<_CMP_LE_OQ>(&a.bounds.high, &[level; WORDS]);
        let a = a.values.as_chunks::<64>().0;
        decided_or(all, none, |word| above_word(&a[word], &[level; 64]))
    }

    #[target_feature(enable = "avx2")]
    pub(super) fn below_level_bounded(a: Bounded<'_>, level: f64) -> Mask {
        let all = decided::<_CMP_GT_OQ>(&[level; WORDS], &a.bounds.high);
        let none = decided::<_CMP_LE_OQ>(&[level; WORDS], &a.bounds.low);
        let a = a.values.as_chunks::<64>().0;
        decided_or(all, none, |word| above_word(&[level; 64], &a[word]))
    }

    #[target_feature(enable = "avx2")]
    pub(super) fn sides(a: Bounded<'_>, b: Bounded<'_>) -> [Mask; 2] {
        match (a.short, b.short) {
            (Short::Scaled(short_a), Short::Scaled(short_b)) => {
                sides_by(a, b, |word| scaled_word(short_a, short_b, word))
            }
            (Short::Single(short_a), Short::Single(short_b)) => {
                sides_by(a, b, |word| near_word(short_a, short_b, word))
            }
            // One of them is out of the range that the other is in: few words are open.
            _ => [above_bounded(a, b), above_bounded(b, a)],
        }
    }

    #[inline]
    #[target_feature(enable = "avx2")]
    fn sides_by(
        a: Bounded<'_>,
        b: Bounded<'_>,
        of_word: impl Fn(usize) -> (u64, bool),
    ) -> [Mask; 2] {
        let [mut above, mut below] = [[0; WORDS]; 2];
        for (word, (over, under)) in above.iter_mut().zip(&mut below).enumerate() {
            let (bits, is_sure) = of_word(word);
            (*over, *under) = (bits, !bits);
            if !is_sure {
                [*over, *under] = sides_of(a, b, word);
            }
        }
        [above, below]
    }

    /// Bits of one word where `a > b` by the parts that they are in, and whether that decides all of
    /// them: no two are in the same.
    #[inline]
    #[target_feature(enable = "avx2")]
    fn scaled_word(a: &[i16; QUANTUM_BARS], b: &[i16; QUANTUM_BARS], word: usize) -> (u64, bool) {
        let of = |column: &[i16; QUANTUM_BARS]| {
            let words = column.as_chunks::<16>().0.as_chunks::<4>().0;
            words[word].each_ref().map(|bars| load_parts(bars))
        };
        let (a, b) = (of(a), of(b));
        let mut equal = _mm256_setzero_si256();
        let over: [__m256i; 4] = std::array::from_fn(|bars| {
            equal = _mm256_or_si256(equal, _mm256_cmpeq_epi16(a[bars], b[bars]));
            _mm256_cmpgt_epi16(a[bars], b[bars])
        });
        let half = |first: usize| {
            // Packed by halves: the middle two quarters are out of order.
            let bytes = _mm256_packs_epi16(over[first], over[first + 1]);
            let bytes = _mm256_permute4x64_epi64::<0b11_01_10_00>(bytes);
            u64::from(_mm256_movemask_epi8(bytes) as u32)
        };
        let is_sure = _mm256_testz_si256(equal, equal) == 1;
        (half(0) | half(2) << 32, is_sure)
    }

    /// One word of [`sides`], as the values themselves have it.
    #[cold]
    #[target_feature(enable = "avx2")]
    fn sides_of(a: Bounded<'_>, b: Bounded<'_>, word: usize) -> [u64; 2] {
        let (a, b) = (a.values.as_chunks::<64>().0, b.values.as_chunks::<64>().0);
        [
            above_word(&a[word], &b[word]),
            above_word(&b[word], &a[word]),
        ]
    }

    /// Bits of one word where `a > b` in single precision, and whether that decides all of them: no
    /// pair is equal, or NaN.
    #[inline]
    #[target_feature(enable = "avx2")]
    fn near_word(a: &[f32; QUANTUM_BARS], b: &[f32; QUANTUM_BARS], word: usize) -> (u64, bool) {
        let of = |column: &[f32; QUANTUM_BARS]| {
            let words = column.as_chunks::<8>().0.as_chunks::<8>().0;
            words[word].each_ref().map(|eight| load_near(eight))
        };
        let (a, b) = (of(a), of(b));
        let over: [__m256; 8] =
            std::array::from_fn(|eight| _mm256_cmp_ps::<_CMP_GT_OQ>(a[eight], b[eight]));
        let mut unsure = _mm256_setzero_ps();
        for eight in 0..8 {
            let is = _mm256_cmp_ps::<_CMP_EQ_UQ>(a[eight], b[eight]);
            unsure = _mm256_or_ps(unsure, is);
        }
        let over = over.map(|bars| _mm256_castps_si256(bars));
        // A byte per bar; vectors are packed by halves, which puts four bars of each together.
        let half = |first: usize| {
            let (one, other) = (
                _mm256_packs_epi32(over[first], over[first + 1]),
                _mm256_packs_epi32(over[first + 2], over[first + 3]),
            );
            let order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
            let bytes = _mm256_permutevar8x32_epi32(_mm256_packs_epi16(one, other), order);
            u64::from(_mm256_movemask_epi8(bytes) as u32)
        };
        (half(0) | half(4) << 32, _mm256_movemask_ps(unsure) == 0)
    }

    /// The lanes of four vectors, each folded by `fold`, as the lanes of one.
    #[inline]
    #[target_feature(enable = "avx2")]
    fn across(four: [__m256d; 4], fold: impl Fn(__m256d, __m256d) -> __m256d) -> __m256d {
        let pairs = |a, b| fold(_mm256_unpacklo_pd(a, b), _mm256_unpackhi_pd(a, b));
        let (first, second) = (pairs(four[0], four[1]), pairs(four[2], four[3]));
        fold(
            _mm256_permute2f128_pd::<0x20>(first, second),
            _mm256_permute2f128_pd::<0x31>(first, second),
        )
    }

    #[target_feature(enable = "avx2")]
    pub(super) fn bounds(values: &[f64; QUANTUM_BARS]) -> Bounds {
        let mut bounds = Bounds {
            low: [0.0; WORDS],
            high: [0.0; WORDS],
        };
        let four_words = values
            .as_chunks::<8>()
            .0
            .as_chunks::<8>()
            .0
            .as_chunks::<4>()
            .0;
        let into = bounds.low.as_chunks_mut::<4>().0.iter_mut();
        let into = into.zip(bounds.high.as_chunks_mut::<4>().0);
        for (words, (lows, highs)) in four_words.iter().zip(into) {
            let none = _mm256_setzero_pd();
            let (mut low, mut high, mut nan) = (
                [_mm256_set1_pd(f64::INFINITY); 4],
                [_mm256_set1_pd(f64::NEG_INFINITY); 4],
                [none; 4],
            );
            for word in 0..4 {
                for eight in &words[word] {
                    let [a, b] = [load(&eight.as_chunks().0[0]), load(&eight.as_chunks().0[1])];
                    // Of two values one of which is NaN the second is taken.
                    low[word] = _mm256_min_pd(b, _mm256_min_pd(a, low[word]));
                    high[word] = _mm256_max_pd(b, _mm256_max_pd(a, high[word]));
                    let unordered = _mm256_cmp_pd::<_CMP_UNORD_Q>(a, b);
                    nan[word] = _mm256_or_pd(nan[word], unordered);
                }
            }
            let nan = across(nan, |a, b| _mm256_or_pd(a, b));
            let of = |bound| _mm256_blendv_pd(bound, _mm256_set1_pd(f64::NAN), nan);
            store(lows, of(across(low, |a, b| _mm256_min_pd(a, b))));
            store(highs, of(across(high, |a, b| _mm256_max_pd(a, b))));
        }
        bounds
    }

    #[target_feature(enable = "avx2")]
    pub(super) fn scaled(
        values: &[f64; QUANTUM_BARS],
        scale: Scale,
        into: &mut [i16; QUANTUM_BARS],
    ) {
        let (low, parts) = (_mm256_set1_pd(scale.low), _mm256_set1_pd(scale.parts));
        let least = _mm256_set1_epi32(i32::from(i16::MIN));
        let eights = values.as_chunks::<4>().0.as_chunks::<2>().0;
        for (into, [first, second]) in into.as_chunks_mut::<8>().0.iter_mut().zip(eights) {
            let of = |values: &[f64; 4]| {
                let from_low = _mm256_sub_pd(load(values), low);
                _mm256_cvttpd_epi32(_mm256_mul_pd(from_low, parts))
            };
            let eight = _mm256_add_epi32(_mm256_set_m128i(of(second), of(first)), least);
            let (low, high) = (
                _mm256_castsi256_si128(eight),
                _mm256_extracti128_si256::<1>(eight),
            );
            store_parts(into, _mm_packs_epi32(low, high));
        }
    }

    #[inline]
    #[target_feature(enable = "avx2")]
    fn store_parts(into: &mut [i16; 8], parts: __m128i) {
        // SAFETY: the reference is to eight parts that may be written, and the store asks for no
        // alignment. The tests below compare what is stored with the portable loop.
        unsafe { _mm_storeu_si128(into.as_mut_ptr().cast(), parts) }
    }

    #[target_feature(enable = "avx2")]
    pub(super) fn single(values: &[f64; QUANTUM_BARS], into: &mut [f32; QUANTUM_BARS]) {
        portable::single(values, into);
    }

    #[target_feature(enable = "avx2")]
    pub(super) fn double_runs(runs: &[Four], length: usize, into: &mut [Four]) {
        portable::double_runs(runs, length, into);
    }

    #[target_feature(enable = "avx2")]
    pub(super) fn lowest(values: &[f64]) -> f64 {
        portable::lowest(values)
    }

    #[target_feature(enable = "avx2")]
    pub(super) fn highest(values: &[f64]) -> f64 {
        portable::highest(values)
    }

    #[target_feature(enable = "avx2")]
    pub(super) fn above_level(a: &[f64; QUANTUM_BARS], level: f64) -> Mask {
        let level = _mm256_set1_pd(level);
        let mut mask = [0; WORDS];
        let words = a.as_chunks::<4>().0.as_chunks::<16>().0;
        for (word, a) in mask.iter_mut().zip(words) {
            for (four, values) in a.iter().enumerate() {
                *word |= greater(load(values), level) << (4 * four);
            }
        }
        mask
    }

    #[target_feature(enable = "avx2")]
    pub(super) fn below_level(a: &[f64; QUANTUM_BARS], level: f64) -> Mask {
        let level = _mm256_set1_pd(level);
        let mut mask = [0; WORDS];
        let words = a.as_chunks::<4>().0.as_chunks::<16>().0;
        for (word, a) in mask.iter_mut().zip(words) {
            for (four, values) in a.iter().enumerate() {
                *word |= greater(level, load(values)) << (4 * four);
            }
        }
        mask
    }

    // Where operations are per bar, or the lanes are spelled out, the compiler makes vectors of
    // the portable loop; enabling AVX2 does not enable fused multiply-add.

    #[target_feature(enable = "avx2")]
    pub(super) fn window_means(
        last: [&[f64]; 2],
        before: [&[f64]; 2],
        divisor: f64,
        into: &mut [f64],
    ) {
        portable::window_means(last, before, divisor, into);
    }

    #[target_feature(enable = "avx2")]
    pub(super) fn window_deviations(closes: &[f64], means: &[f64], divisor: f64, into: &mut [f64]) {
        let bars = into.len();
        let window = closes.len() + 1 - bars;
        let divisor4 = _mm256_set1_pd(divisor);
        let (whole, rest) = into.as_chunks_mut::<SUMS>();
        let (whole_means, rest_means) = means[..bars].as_chunks::<SUMS>();
        for (at, (into, means)) in whole.iter_mut().zip(whole_means).enumerate() {
            let mean = |four: usize| load(&means.as_chunks().0[four]);
            let means = [mean(0), mean(1), mean(2), mean(3)];
            let mut squares = [_mm256_setzero_pd(); SUMS / 4];
            let closes = &closes[at * SUMS..][..window + SUMS - 1];
            for closes in closes.array_windows::<SUMS>() {
                for four in 0..SUMS / 4 {
                    let away = _mm256_sub_pd(means[four], load(&closes.as_chunks().0[four]));
                    squares[four] = _mm256_add_pd(squares[four], _mm256_mul_pd(away, away));
                }
            }
            let fours = into.as_chunks_mut().0.iter_mut();
            for (into, squares) in fours.zip(squares) {
                store(into, _mm256_sqrt_pd(_mm256_div_pd(squares, divisor4)));
            }
        }
        let done = bars - rest.len();
        portable::window_deviations_each(&closes[done..], rest_means, divisor, rest);
    }

    /// Eight returns at a time; the last ones, fewer, with lanes that add nothing. No sum is negative
    /// zero, so that adding zero leaves its bits.
    #[target_feature(enable = "avx2")]
    pub(super) fn bands(means: &[f64], deviations: &[f64], width: f64, into: &mut [f64]) {
        portable::bands(means, deviations, width, into);
    }

    #[target_feature(enable = "avx2")]
    pub(super) fn greater_ones(a: &[f64], b: &[f64], into: &mut [f64]) {
        portable::greater_ones(a, b, into);
    }

    #[target_feature(enable = "avx2")]
    pub(super) fn lesser_ones(a: &[f64], b: &[f64], into: &mut [f64]) {
        portable::lesser_ones(a, b, into);
    }

    #[target_feature(enable = "avx2")]
    pub(super) fn recurse(
        kind: Recursion,
        closes: &[f64],
        first: usize,
        factors: &[[[f64; LANES]; 3]],
        state: &mut [[[f64; LANES]; 3]],
        into: &mut [[&mut Quantum; LANES]],
    ) {
        // Bars before the first whole four, those of whole fours, those behind.
        let bars = closes.len() - 1;
        let aligned = first.next_multiple_of(4).min(bars);
        let fours = aligned.div_ceil(4)..bars / 4;
        portable::recurse(kind, &closes[..=aligned], first, factors, state, into);
        let one = |close| _mm256_set1_pd(close);
        match kind {
            Recursion::Average => {
                recurse_fours(
                    closes,
                    &fours,
                    factors,
                    state,
                    into,
                    |[_, close], of, own| {
                        average(&mut own[0], of[0], one(close));
                        own[0]
                    },
                );
            }
            Recursion::Difference => {
                recurse_fours(
                    closes,
                    &fours,
                    factors,
                    state,
                    into,
                    |[_, close], of, own| difference(of, own, one(close)),
                );
            }
            Recursion::Signal => {
                recurse_fours(
                    closes,
                    &fours,
                    factors,
                    state,
                    into,
                    |[_, close], of, own| {
                        let line = difference(of, own, one(close));
                        average(&mut own[2], of[2], line);
                        own[2]
                    },
                );
            }
            Recursion::Strength => {
                recurse_fours(
                    closes,
                    &fours,
                    factors,
                    state,
                    into,
                    |[before, close], of, own| {
                        strength(of, own, one(close - before), one(before - close))
                    },
                );
            }
        }
        let done = aligned.max(4 * fours.end);
        portable::recurse(kind, closes, done, factors, state, into);
    }

    #[target_feature(enable = "avx2")]
    pub(super) fn average_lines(
        lines: &[[&Quantum; LANES]],
        bars: usize,
        factors: &[[[f64; LANES]; 3]],
        state: &mut [[[f64; LANES]; 3]],
        into: &mut [[&mut Quantum; LANES]],
    ) {
        let fours = 0..bars / 4;
        by_fours(&fours, factors, state, into, |group, four, of, own| {
            let lines = &lines[group];
            let at = |lane: usize| load(&lines[lane].as_chunks().0[four % FOURS]);
            let halves = [
                turned([at(0), at(1), at(2), at(3)]),
                turned([at(4), at(5), at(6), at(7)]),
            ];
            let mut after = |bar: usize| {
                average(&mut own[0][2], of[0][2], halves[0][bar]);
                average(&mut own[1][2], of[1][2], halves[1][bar]);
                [own[0][2], own[1][2]]
            };
            [after(0), after(1), after(2), after(3)]
        });
        portable::average_lines_from(4 * fours.end, lines, bars, factors, state, into);
    }

    #[inline]
    #[target_feature(enable = "avx2")]
    fn average(own: &mut __m256d, alpha: __m256d, value: __m256d) {
        let step = _mm256_mul_pd(alpha, _mm256_sub_pd(value, *own));
        *own = _mm256_add_pd(*own, step);
    }

    #[inline]
    #[target_feature(enable = "avx2")]
    fn difference(of: &[__m256d; 3], own: &mut [__m256d; 3], close: __m256d) -> __m256d {
        average(&mut own[0], of[0], close);
        average(&mut own[1], of[1], close);
        _mm256_sub_pd(own[0], own[1])
    }

    /// `up` and `down` are the move and its negative.
    #[inline]
    #[target_feature(enable = "avx2")]
    fn strength(
        [n, others, _]: &[__m256d; 3],
        own: &mut [__m256d; 3],
        up: __m256d,
        down: __m256d,
    ) -> __m256d {
        let (zero, hundred) = (_mm256_setzero_pd(), _mm256_set1_pd(100.0));
        let after = |average: __m256d, moved: __m256d| {
            let sum = _mm256_add_pd(_mm256_mul_pd(average, *others), _mm256_max_pd(moved, zero));
            _mm256_div_pd(sum, *n)
        };
        let (gain, loss) = (after(own[0], up), after(own[1], down));
        (own[0], own[1]) = (gain, loss);
        let ratio = _mm256_add_pd(_mm256_set1_pd(1.0), _mm256_div_pd(gain, loss));
        let index = _mm256_sub_pd(hundred, _mm256_div_pd(hundred, ratio));
        let is_zero = |average| _mm256_cmp_pd::<_CMP_EQ_OQ>(average, zero);
        let without_loss = _mm256_blendv_pd(hundred, _mm256_set1_pd(50.0), is_zero(gain));
        _mm256_blendv_pd(index, without_loss, is_zero(loss))
    }

    /// [`by_fours`] of lines that are made of the closes: `step` gets the close before and the bar's.
    #[inline]
    #[target_feature(enable = "avx2")]
    fn recurse_fours(
        closes: &[f64],
        fours: &Range<usize>,
        factors: &[[[f64; LANES]; 3]],
        state: &mut [[[f64; LANES]; 3]],
        into: &mut [[&mut Quantum; LANES]],
        step: impl Fn([f64; 2], &[__m256d; 3], &mut [__m256d; 3]) -> __m256d,
    ) {
        by_fours(fours, factors, state, into, |_, four, of, own| {
            let closes = &closes[4 * four..][..5];
            let mut after = |bar: usize| {
                let closes = [closes[bar], closes[bar + 1]];
                [
                    step(closes, &of[0], &mut own[0]),
                    step(closes, &of[1], &mut own[1]),
                ]
            };
            [after(0), after(1), after(2), after(3)]
        });
    }

    /// Fours of bars in a quantum.
    const FOURS: usize = QUANTUM_BARS / 4;

    /// Factors or state of the lines of a group, four and four.
    type Halves = [[__m256d; 3]; 2];

    /// Four bars of a group at a time, all groups before the next bars: while the value of one line
    /// waits for the one before it, others go on. `values` gives four bars of both halves of a group.
    #[inline]
    #[target_feature(enable = "avx2")]
    fn by_fours(
        fours: &Range<usize>,
        factors: &[[[f64; LANES]; 3]],
        state: &mut [[[f64; LANES]; 3]],
        into: &mut [[&mut Quantum; LANES]],
        values: impl Fn(usize, usize, &Halves, &mut Halves) -> [[__m256d; 2]; 4],
    ) {
        for four in fours.start..fours.end.min(FOURS) {
            let groups = into.iter_mut().zip(factors).zip(&mut *state).enumerate();
            for (group, ((into, factors), state)) in groups {
                let (of, mut own) = (halves(factors), halves(state));
                let rows = values(group, four, &of, &mut own);
                for half in 0..2 {
                    let lines =
                        turned([rows[0][half], rows[1][half], rows[2][half], rows[3][half]]);
                    for lane in 0..4 {
                        let into = &mut into[4 * half + lane].as_chunks_mut().0[four];
                        store(into, lines[lane]);
                    }
                    for which in 0..3 {
                        let into = &mut state[which].as_chunks_mut().0[half];
                        store(into, own[half][which]);
                    }
                }
            }
        }
    }

    #[inline]
    #[target_feature(enable = "avx2")]
    fn halves(lanes: &[[f64; LANES]; 3]) -> Halves {
        let of = |half: usize, which: usize| load(&lanes[which].as_chunks().0[half]);
        [
            [of(0, 0), of(0, 1), of(0, 2)],
            [of(1, 0), of(1, 1), of(1, 2)],
        ]
    }

    /// Lane k of vector i as lane i of vector k.
    #[inline]
    #[target_feature(enable = "avx2")]
    fn turned(rows: [__m256d; 4]) -> [__m256d; 4] {
        let pair = |a, b| (_mm256_unpacklo_pd(a, b), _mm256_unpackhi_pd(a, b));
        let ((even, odd), (even_later, odd_later)) =
            (pair(rows[0], rows[1]), pair(rows[2], rows[3]));
        [
            _mm256_permute2f128_pd::<0x20>(even, even_later),
            _mm256_permute2f128_pd::<0x20>(odd, odd_later),
            _mm256_permute2f128_pd::<0x31>(even, even_later),
            _mm256_permute2f128_pd::<0x31>(odd, odd_later),
        ]
    }

    #[target_feature(enable = "avx2")]
    pub(super) fn return_sums(closes: &[f64], units: f64, cash: f64) -> [f64; 3] {
        let Some(returns) = closes.len().checked_sub(1) else {
            return [0.0; 3];
        };
        let (units, cash) = (_mm256_set1_pd(units), _mm256_set1_pd(cash));
        let zero = _mm256_setzero_pd();
        let mut sums = [[zero; 2]; 3];
        let mut add = |half: usize, earlier, later, counts| {
            let equity = |closes| _mm256_add_pd(cash, _mm256_mul_pd(units, closes));
            let ratio = _mm256_div_pd(equity(later), equity(earlier));
            let change = _mm256_and_pd(_mm256_sub_pd(ratio, _mm256_set1_pd(1.0)), counts);
            let down = _mm256_and_pd(_mm256_cmp_pd::<_CMP_LT_OQ>(change, zero), change);
            sums[0][half] = _mm256_add_pd(sums[0][half], change);
            sums[1][half] = _mm256_add_pd(sums[1][half], _mm256_mul_pd(change, change));
            sums[2][half] = _mm256_add_pd(sums[2][half], _mm256_mul_pd(down, down));
        };
        let all = _mm256_castsi256_pd(_mm256_set1_epi64x(-1));
        let (earlier, rest) = closes[..returns].as_chunks::<LANES>();
        let (later, rest_later) = closes[1..].as_chunks::<LANES>();
        for (earlier, later) in earlier.iter().zip(later) {
            let (earlier, later) = (earlier.as_chunks::<4>().0, later.as_chunks::<4>().0);
            add(0, load(&earlier[0]), load(&later[0]), all);
            add(1, load(&earlier[1]), load(&later[1]), all);
        }
        if !rest.is_empty() {
            // Lanes without a return divide one by one.
            let mut last = [[1.0; LANES]; 2];
            last[0][..rest.len()].copy_from_slice(rest);
            last[1][..rest.len()].copy_from_slice(rest_later);
            let (earlier, later) = (last[0].as_chunks::<4>().0, last[1].as_chunks::<4>().0);
            let bound = _mm256_set1_epi64x(rest.len() as i64);
            for (half, places) in [[0, 1, 2, 3], [4, 5, 6, 7]].into_iter().enumerate() {
                let [a, b, c, d] = places;
                let counts = _mm256_cmpgt_epi64(bound, _mm256_setr_epi64x(a, b, c, d));
                let counts = _mm256_castsi256_pd(counts);
                add(half, load(&earlier[half]), load(&later[half]), counts);
            }
        }
        // One lane of each sum after another, the three sums side by side.
        let mut total = zero;
        for half in 0..2 {
            let (a, b, c) = (sums[0][half], sums[1][half], sums[2][half]);
            let (even, odd) = (_mm256_unpacklo_pd(a, b), _mm256_unpackhi_pd(a, b));
            let (even_c, odd_c) = (_mm256_unpacklo_pd(c, zero), _mm256_unpackhi_pd(c, zero));
            for lane in [
                _mm256_permute2f128_pd::<0x20>(even, even_c),
                _mm256_permute2f128_pd::<0x20>(odd, odd_c),
                _mm256_permute2f128_pd::<0x31>(even, even_c),
                _mm256_permute2f128_pd::<0x31>(odd, odd_c),
            ] {
                total = _mm256_add_pd(total, lane);
            }
        }
        let mut into = [0.0; 4];
        store(&mut into, total);
        [into[0], into[1], into[2]]
    }

    #[target_feature(enable = "avx2")]
    pub(super) fn next_extreme(
        closes: &[f64],
        from: usize,
        units: f64,
        cash: f64,
        peak: f64,
        floor: f64,
    ) -> usize {
        let (units4, cash4) = (_mm256_set1_pd(units), _mm256_set1_pd(cash));
        let (peak4, floor4) = (_mm256_set1_pd(peak), _mm256_set1_pd(floor));
        let mut at = from;
        for four in closes[from..].as_chunks::<4>().0 {
            let equity = _mm256_add_pd(cash4, _mm256_mul_pd(units4, load(four)));
            let above = _mm256_cmp_pd::<_CMP_GT_OQ>(equity, peak4);
            let below = _mm256_cmp_pd::<_CMP_LE_OQ>(equity, floor4);
            let extreme = _mm256_movemask_pd(_mm256_or_pd(above, below));
            if extreme != 0 {
                return at + extreme.trailing_zeros() as usize;
            }
            at += 4;
        }
        portable::next_extreme(closes, at, units, cash, peak, floor)
    }

    #[target_feature(enable = "avx2")]
    pub(super) fn next_outside(
        lows: &[f64],
        highs: &[f64],
        from: usize,
        below: f64,
        above: f64,
    ) -> usize {
        let (below4, above4) = (_mm256_set1_pd(below), _mm256_set1_pd(above));
        let pairs = lows[from..].as_chunks::<4>().0.iter();
        let mut at = from;
        for (low, high) in pairs.zip(highs[from..].as_chunks::<4>().0) {
            let reaches_below = _mm256_cmp_pd::<_CMP_LE_OQ>(load(low), below4);
            let reaches_above = _mm256_cmp_pd::<_CMP_GE_OQ>(load(high), above4);
            let outside = _mm256_movemask_pd(_mm256_or_pd(reaches_below, reaches_above));
            if outside != 0 {
                return at + outside.trailing_zeros() as usize;
            }
            at += 4;
        }
        portable::next_outside(lows, highs, at, below, above)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const VALUES: [f64; 9] = [
        f64::NAN,
        f64::INFINITY,
        f64::NEG_INFINITY,
        0.0,
        -0.0,
        1.0,
        1.0 + f64::EPSILON,
        f64::MIN_POSITIVE / 2.0,
        -1.0,
    ];

    /// One comparison at a time.
    fn check(a: &[f64; QUANTUM_BARS], b: &[f64; QUANTUM_BARS], mask: &Mask) {
        for bar in 0..QUANTUM_BARS {
            let bit = mask[bar / 64] >> (bar % 64) & 1 == 1;
            assert_eq!(bit, a[bar] > b[bar], "bar {bar}: {} > {}", a[bar], b[bar]);
        }
    }

    fn bits(values: &[f64]) -> Vec<u64> {
        values.iter().map(|value| value.to_bits()).collect()
    }

    proptest! {
        #[test]
        fn every_path_compares_as_one_comparison_at_a_time(
            pairs in prop::collection::vec((0..9_usize, 0..9_usize, -2.0..2.0_f64, any::<bool>()), QUANTUM_BARS),
            level in 0..9_usize,
        ) {
            let column = |which: fn(&(usize, usize, f64, bool)) -> f64| -> Box<[f64; QUANTUM_BARS]> {
                Box::new(std::array::from_fn(|bar| which(&pairs[bar])))
            };
            let a = column(|pair| if pair.3 { VALUES[pair.0] } else { pair.2 });
            let b = column(|pair| VALUES[pair.1]);
            check(&a, &b, &above(&a, &b));
            check(&a, &b, &portable::above(&a, &b));
            let of = |values: &[f64; QUANTUM_BARS]| bounds(values);
            let (of_a, of_b) = (of(&a), of(&b));
            for (bounds, values) in [(&of_a, &a), (&of_b, &b)] {
                let twin = portable::bounds(values);
                let same = |one: f64, other: f64| one == other || one.is_nan() && other.is_nan();
                for word in 0..WORDS {
                    prop_assert!(same(bounds.low[word], twin.low[word]));
                    prop_assert!(same(bounds.high[word], twin.high[word]));
                    let own = &values[word * 64..word * 64 + 64];
                    prop_assert_eq!(bounds.low[word].is_nan(), own.iter().any(|v| v.is_nan()));
                }
            }
            // What two values that differ have in common in fewer bytes is looked up in double.
            let close = a.map(|value| value + value.abs() * 1e-12);
            let far = a.map(|value| value + 3.0);
            let scale = Scale::new(-2.0, 2.5).expect("a range");
            let columns = [&a, &b, &close, &far].map(|values| {
                let (mut near, mut parts) = ([0.0; QUANTUM_BARS], [0; QUANTUM_BARS]);
                let bounds = bounds(values);
                single(values, &mut near);
                let covers = scale.covers(&bounds);
                prop_assert_eq!(covers, values.iter().all(|v| (-2.0..=2.5).contains(v)));
                if covers {
                    let mut twin = parts;
                    scaled(values, scale, &mut parts);
                    portable::scaled(values, scale, &mut twin);
                    prop_assert_eq!(parts, twin);
                }
                Ok((values, near, covers.then_some(parts), bounds))
            });
            for one in &columns {
                for other in &columns {
                    let (one, other) = (one.as_ref(), other.as_ref());
                    let (one, other) = (one.map_err(Clone::clone)?, other.map_err(Clone::clone)?);
                    for is_short in [false, true] {
                        let [a, b] = [one, other].map(|(values, near, parts, bounds)| {
                            let parts = parts.as_ref().filter(|_| is_short);
                            let short = parts.map_or(Short::Single(near), Short::Scaled);
                            Bounded { values, short, bounds }
                        });
                        let [over, under] = sides(a, b);
                        check(a.values, b.values, &over);
                        check(b.values, a.values, &under);
                        prop_assert_eq!([over, under], portable::sides(a, b));
                        check(a.values, b.values, &above_bounded(a, b));
                        check(a.values, b.values, &portable::above_bounded(a, b));
                    }
                }
            }
            let level = VALUES[level];
            for level in [level, level + 3.0, level - 4.0, pairs[0].2] {
                let levels = [level; QUANTUM_BARS];
                for column in &columns {
                    let (values, near, _, bounds) = column.as_ref().map_err(Clone::clone)?;
                    let short = Short::Single(near);
                    let bounded = Bounded { values, short, bounds };
                    check(values, &levels, &above_level_bounded(bounded, level));
                    check(values, &levels, &portable::above_level_bounded(bounded, level));
                    check(&levels, values, &below_level_bounded(bounded, level));
                    check(&levels, values, &portable::below_level_bounded(bounded, level));
                }
            }
            check(&a, &[level; QUANTUM_BARS], &above_level(&a, level));
            check(&a, &[level; QUANTUM_BARS], &portable::above_level(&a, level));
            check(&[level; QUANTUM_BARS], &a, &below_level(&a, level));
            check(&[level; QUANTUM_BARS], &a, &portable::below_level(&a, level));
        }

        #[test]
        fn every_path_gives_the_same_bits(
            values in prop::collection::vec(1e-3..1e6_f64, 0..=QUANTUM_BARS),
            units in -1e3..1e3_f64,
            cash in -1e6..1e6_f64,
        ) {
            prop_assert_eq!(
                bits(&return_sums(&values, units, cash)),
                bits(&portable::return_sums(&values, units, cash))
            );
            prop_assert_eq!(lowest(&values), values.iter().copied().fold(f64::INFINITY, f64::min));
            prop_assert_eq!(highest(&values), values.iter().copied().fold(f64::NEG_INFINITY, f64::max));
            prop_assert_eq!(portable::lowest(&values), lowest(&values));
            prop_assert_eq!(portable::highest(&values), highest(&values));
            for (from, close) in values.iter().enumerate() {
                let (peak, floor) = (cash + units * close, cash + units * values[0]);
                prop_assert_eq!(
                    next_extreme(&values, from, units, cash, peak, floor),
                    portable::next_extreme(&values, from, units, cash, peak, floor)
                );
            }
            let highs: Vec<f64> = values.iter().map(|low| low * 1.5).collect();
            for (from, low) in values.iter().enumerate() {
                for (below, above) in [(*low, f64::INFINITY), (0.0, low * 1.5), (cash, units * cash)] {
                    let by_hand = (from..values.len())
                        .find(|bar| values[*bar] <= below || highs[*bar] >= above)
                        .unwrap_or(values.len());
                    prop_assert_eq!(next_outside(&values, &highs, from, below, above), by_hand);
                    prop_assert_eq!(portable::next_outside(&values, &highs, from, below, above), by_hand);
                }
            }
            let runs: Vec<Four> = values.iter().map(|a| Four([*a, -a, a * units, cash - a])).collect();
            for length in [1, 3, values.len()] {
                let (mut a, mut b) = (runs.clone(), runs.clone());
                double_runs(&runs, length, &mut a);
                portable::double_runs(&runs, length, &mut b);
                let by_hand = |at: usize| match runs.get(at + length) {
                    Some(next) => Four(std::array::from_fn(|k| runs[at].0[k].min(next.0[k]))),
                    None => runs[at],
                };
                prop_assert_eq!(&a, &(0..runs.len()).map(by_hand).collect::<Vec<_>>());
                prop_assert_eq!(a, b);
            }
            let (mut a, mut b) = (values.clone(), values.clone());
            let half = values.len() / 2;
            let parts = |from: usize| [&values[from..], &values[from..]];
            window_means(parts(half), parts(0), units, &mut a[..half]);
            portable::window_means(parts(half), parts(0), units, &mut b[..half]);
            prop_assert_eq!(bits(&a), bits(&b));
            // One window at a time, from its oldest close on.
            for bars in [0, half, values.len()] {
                let window = values.len() + 1 - bars;
                let means: Vec<f64> = (0..bars).map(|bar| values[bar] + units).collect();
                let by_hand: Vec<f64> = (0..bars)
                    .map(|bar| {
                        let square = |sum, close: &f64| {
                            sum + (close - means[bar]) * (close - means[bar])
                        };
                        let squares = values[bar..bar + window].iter().fold(0.0, square);
                        (squares / window as f64).sqrt()
                    })
                    .collect();
                let (mut a, mut b) = (means.clone(), means.clone());
                window_deviations(&values, &means, window as f64, &mut a);
                portable::window_deviations(&values, &means, window as f64, &mut b);
                prop_assert_eq!(bits(&a), bits(&by_hand));
                prop_assert_eq!(bits(&b), bits(&by_hand));
            }
        }

        #[test]
        fn every_path_recurses_to_the_same_bits(
            closes in prop::collection::vec(1.0..9.0_f64, 1..60),
            lengths in prop::collection::vec(1..30_u32, 3 * 2 * LANES),
            first in 0..60_usize,
            groups in 1..3_usize,
            is_still in any::<bool>(),
        ) {
            // Without moves, and with them in one direction only, strengths are special.
            let still: Vec<f64> = closes.iter().map(|close| close.floor()).collect();
            let closes = if is_still { still } else { closes };
            let bars = closes.len() - 1;
            let first = first.min(bars);
            let mut lengths = lengths.iter().map(|length| f64::from(*length));
            let lengths: [[[f64; LANES]; 3]; 2] = std::array::from_fn(|_| {
                std::array::from_fn(|_| std::array::from_fn(|_| lengths.next().unwrap_or(1.0)))
            });
            let alphas = lengths.map(|group| group.map(|lanes| lanes.map(|n| 2.0 / (n + 1.0))));
            let moves = lengths.map(|[n, ..]| [n, n.map(|n| n - 1.0), n]);
            type Run<'a> = &'a dyn Fn(&mut [[[f64; LANES]; 3]], &mut [[&mut Quantum; LANES]]);
            let check = |runs: [Run<'_>; 2]| {
                let results = runs.map(|run| {
                    let mut state = [[[1.0; LANES]; 3]; 2];
                    state[0][1][0] = 0.0;
                    state[0].iter_mut().for_each(|average| average[1] = 0.0);
                    let mut values = vec![[0.0; QUANTUM_BARS]; groups * LANES];
                    let mut lines = values.iter_mut();
                    let mut into: Vec<[&mut Quantum; LANES]> = (0..groups)
                        .map(|_| std::array::from_fn(|_| lines.next().expect("a line")))
                        .collect();
                    run(&mut state[..groups], &mut into);
                    (bits(&values.concat()), bits(&state.concat().concat()))
                });
                assert_eq!(&results[0], &results[1]);
                results[0].clone()
            };
            let of = |kind: Recursion, factors: &[[[f64; LANES]; 3]; 2]| {
                check([
                    &|state, into| recurse(kind, &closes, first, &factors[..groups], state, into),
                    &|state, into| {
                        portable::recurse(kind, &closes, first, &factors[..groups], state, into);
                    },
                ])
            };
            for kind in [Recursion::Average, Recursion::Difference, Recursion::Signal] {
                of(kind, &alphas);
            }
            of(Recursion::Strength, &moves);
            let line = |lane: usize| -> Quantum {
                std::array::from_fn(|bar| closes[(bar * (lane + 1)) % closes.len()])
            };
            let lines: Vec<Quantum> = (0..2 * LANES).map(line).collect();
            let lines: [[&Quantum; LANES]; 2] = std::array::from_fn(|group| {
                std::array::from_fn(|lane| &lines[group * LANES + lane])
            });
            check([
                &|state, into| average_lines(&lines, bars, &alphas, state, into),
                &|state, into| portable::average_lines(&lines, bars, &alphas, state, into),
            ]);
        }

        #[test]
        fn every_path_pairs_as_one_operation_at_a_time(
            pairs in prop::collection::vec((-2.0..2.0_f64, -2.0..2.0_f64), 0..70),
            width in -3.0..3.0_f64,
        ) {
            let (a, b): (Vec<f64>, Vec<f64>) = pairs.iter().copied().unzip();
            type Loop<'a> = &'a dyn Fn(&mut [f64]);
            let check = |loops: [Loop<'_>; 2], by_hand: &dyn Fn(f64, f64) -> f64| {
                let expected: Vec<f64> = pairs.iter().map(|(a, b)| by_hand(*a, *b)).collect();
                for each in loops {
                    let mut into = vec![0.0; a.len()];
                    each(&mut into);
                    assert_eq!(bits(&into), bits(&expected));
                }
            };
            let by = |a: f64, b: f64| a + width * b;
            check([&|c| bands(&a, &b, width, c), &|c| portable::bands(&a, &b, width, c)], &by);
            check([&|c| greater_ones(&a, &b, c), &|c| portable::greater_ones(&a, &b, c)], &f64::max);
            check([&|c| lesser_ones(&a, &b, c), &|c| portable::lesser_ones(&a, &b, c)], &f64::min);
        }

        /// The lanes are part of every reported figure.
        #[test]
        fn returns_are_added_in_lanes_of_eight(values in prop::collection::vec(1.0..9.0_f64, 2..40)) {
            let mut lanes = [[0.0; LANES]; 3];
            for (k, pair) in values.windows(2).enumerate() {
                let change = pair[1] / pair[0] - 1.0;
                lanes[0][k % LANES] += change;
                lanes[1][k % LANES] += change * change;
                lanes[2][k % LANES] += change.min(0.0).powi(2);
            }
            let expected = lanes.map(|lanes| lanes.iter().fold(0.0, |sum, value| sum + value));
            prop_assert_eq!(bits(&return_sums(&values, 1.0, 0.0)), bits(&expected));
        }
    }
}
