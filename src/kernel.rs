//! The loops that touch every bar: comparing columns into masks, means of windows, returns of spans.
//!
//! One build runs on any processor: where AVX2 is there a loop is run with it, or with AVX-512 where
//! that is there and gains something, elsewhere in its portable form. All do the same operations on
//! the same values in the same order, without fused multiply-add, so that all give the same bits for
//! every input, NaN and infinities counted; tests hold them equal.
#![allow(unsafe_code)]

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod portable;
#[cfg(test)]
mod tests;
#[cfg(target_arch = "x86_64")]
mod words;

use admf_formats::units::QUANTUM_BARS;
use std::sync::atomic::{AtomicU8, Ordering};

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
    /// Not at all: the values are compared.
    Exact,
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
    /// The part that values above the range are in.
    const LAST: f64 = 65_535.0;

    /// Parts of the values from `low` to `high`; none where there is no range.
    pub fn new(low: f64, high: f64) -> Option<Scale> {
        // No rounding takes a value of the range beyond the last part.
        let parts = (Scale::LAST - 1.0) / (high - low);
        (parts.is_finite() && parts > 0.0).then_some(Scale { low, high, parts })
    }

    /// Whether some of the values that have these bounds are in the range, and none is NaN.
    pub fn meets(&self, bounds: &Bounds) -> bool {
        let is_met = |(low, high): (&f64, &f64)| *low <= self.high && *high >= self.low;
        bounds.low.iter().all(|low| !low.is_nan())
            && bounds.low.iter().zip(&bounds.high).any(is_met)
    }
}

/// Sets of instructions that loops are compiled for, each with those before it.
#[doc(hidden)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Vectors {
    /// What any processor has.
    Any = 1,
    /// AVX2, BMI and LZCNT.
    Avx2,
    /// AVX-512 as processors have it that it does not slow down: its first ones have no VBMI2.
    Avx512,
}

impl Vectors {
    /// All of them.
    pub const ALL: [Vectors; 3] = [Vectors::Any, Vectors::Avx2, Vectors::Avx512];

    fn of_processor() -> Vectors {
        #[cfg(target_arch = "x86_64")]
        {
            use std::arch::is_x86_feature_detected as has;
            if has!("avx2") && has!("bmi1") && has!("bmi2") && has!("lzcnt") {
                let has_512 = has!("avx512f") && has!("avx512bw") && has!("avx512dq");
                return if has_512 && has!("avx512vl") && has!("avx512vbmi2") {
                    Vectors::Avx512
                } else {
                    Vectors::Avx2
                };
            }
        }
        Vectors::Any
    }
}

/// Those that are used; 0 before anybody asked what the processor has.
static USED: AtomicU8 = AtomicU8::new(0);

/// Has the loops use none but these, of those that the processor has: for tests, which hold them all
/// equal.
#[doc(hidden)]
pub fn use_at_most(vectors: Vectors) {
    let used = vectors.min(Vectors::of_processor());
    USED.store(used as u8, Ordering::Relaxed);
}

/// Whether the processor has these, and they are used.
#[cfg(target_arch = "x86_64")]
#[inline]
fn has(vectors: Vectors) -> bool {
    let mut used = USED.load(Ordering::Relaxed);
    if used == 0 {
        use_at_most(Vectors::Avx512);
        used = USED.load(Ordering::Relaxed);
    }
    used >= vectors as u8
}

/// Returns from here with what the twin gives, where the processor has what it is compiled for.
macro_rules! run_if {
    ($vectors:expr, $module:ident::$name:ident($($argument:ident),*)) => {
        #[cfg(target_arch = "x86_64")]
        if has($vectors) {
            // SAFETY: the processor has what the function requires, which was asked for right above;
            // it requires nothing else. Without it the tests die of an illegal instruction.
            return unsafe { $module::$name($($argument),*) };
        }
    };
}

/// Runs a loop with the widest vectors that the processor has and the loop gains by.
macro_rules! dispatched {
    ($(#[$doc:meta])* $visible:vis fn $name:ident($($argument:ident: $type:ty),* $(,)?) $(-> $result:ty)?, $wide:ident, $portable:ident) => {
        $(#[$doc])*
        #[inline]
        $visible fn $name($($argument: $type),*) $(-> $result)? {
            run_if!(Vectors::Avx2, avx2::$wide($($argument),*));
            portable::$portable($($argument),*)
        }
    };
    ($(#[$doc:meta])* $visible:vis fn $name:ident($($argument:ident: $type:ty),* $(,)?) $(-> $result:ty)?, $wide:ident, $portable:ident, $widest:ident) => {
        $(#[$doc])*
        #[inline]
        $visible fn $name($($argument: $type),*) $(-> $result)? {
            run_if!(Vectors::Avx512, avx512::$widest($($argument),*));
            run_if!(Vectors::Avx2, avx2::$wide($($argument),*));
            portable::$portable($($argument),*)
        }
    };
}

dispatched! {
    /// Bits where `a > b`; a NaN on either side gives 0.
    pub fn above(a: &[f64; QUANTUM_BARS], b: &[f64; QUANTUM_BARS]) -> Mask, above, above
}
dispatched! {
    /// Bit per word of a mask: whether any bit of it is set.
    pub fn filled_words(mask: &Mask) -> u64, filled_words, filled_words
}
dispatched! {
    /// Bits where `a > level`; a NaN on either side gives 0.
    pub fn above_level(a: &[f64; QUANTUM_BARS], level: f64) -> Mask, above_level, above_level, above_level
}
dispatched! {
    /// Bits where `a < level`; a NaN on either side gives 0.
    pub fn below_level(a: &[f64; QUANTUM_BARS], level: f64) -> Mask, below_level, below_level, below_level
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
    /// The parts of the scale that the values are in, the first of which is [`i16::MIN`]; values
    /// beyond the range are in the first or the last one.
    pub fn scaled(
        values: &[f64; QUANTUM_BARS],
        scale: Scale,
        into: &mut [i16; QUANTUM_BARS],
    ), scaled, scaled
}
dispatched! {
    /// Bits where `a > b`, as [`above`]; words whose bounds decide are not compared bar by bar.
    pub fn above_bounded(a: Bounded<'_>, b: Bounded<'_>) -> Mask, above_bounded, above_bounded, above_bounded
}
dispatched! {
    /// Bits where `a > level`, as [`above_level`]; words whose bounds decide are not compared.
    pub fn above_level_bounded(
        a: Bounded<'_>,
        level: f64,
    ) -> Mask, above_level_bounded, above_level_bounded, above_level_bounded
}
dispatched! {
    /// Bits where `a < level`, as [`below_level`]; words whose bounds decide are not compared.
    pub fn below_level_bounded(
        a: Bounded<'_>,
        level: f64,
    ) -> Mask, below_level_bounded, below_level_bounded, below_level_bounded
}
dispatched! {
    /// Writes the bits where `a` crosses above `b`, and those where it crosses below: from strictly the
    /// one side to strictly the other. `before` are the values of both on the bar before the first.
    pub fn crosses(
        a: Bounded<'_>,
        b: Bounded<'_>,
        before: [f64; 2],
        into: [&mut Mask; 2],
    ), crosses, crosses, crosses
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
    /// Standard deviations of windows with these means: of bar k over the closes from k on, as many
    /// as there are closes more than bars, and one. `squares` are the sums of squared distances from a
    /// window's last close, of the `summed` closes before which they end, and of all of them after
    /// that. `means`, `squares` and `into` have one entry per bar.
    pub fn window_deviations(
        closes: &[f64],
        summed: usize,
        means: &[f64],
        squares: &mut [f64],
        into: &mut [f64],
    ), window_deviations, window_deviations
}
dispatched! {
    /// Sums of the returns `e[k + 1] / e[k] - 1` of the equity curve `cash + units * close[k]`, of
    /// their squares and of the squares of the negative ones: return k goes into lane
    /// k % [`LANES`], and the lanes are added in order.
    pub fn return_sums(closes: &[f64], units: f64, cash: f64) -> [f64; 3], return_sums, return_sums, return_sums
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
    ) -> usize, next_extreme, next_extreme, next_extreme
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
    ) -> usize, next_outside, next_outside, next_outside
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

/// Work that is compiled for each of [`Vectors`], which do the same operations in the same order, as
/// all loops here.
pub trait Wide {
    /// What comes out.
    type Output;

    /// Does the work. What it calls is part of it as far as it is inlined, so that this has to be.
    fn run(self) -> Self::Output;
}

/// Does the work as it is compiled for this processor.
#[inline]
pub fn run_wide<W: Wide>(work: W) -> W::Output {
    run_if!(Vectors::Avx512, avx512::run(work));
    run_if!(Vectors::Avx2, avx2::run(work));
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
