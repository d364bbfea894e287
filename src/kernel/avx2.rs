//! The loops with AVX2: spelled out where the compiler makes nothing as good of the portable ones.
//!
//! Longer than other files: the loops share how vectors are loaded, packed and turned.

use super::portable::SUMS;
use super::words::{Decided, decided_or};
use super::{
    Bounded, Bounds, Four, LANES, Mask, QUANTUM_BARS, Quantum, Recursion, Scale, Short, WORDS,
    Wide, portable,
};
use std::arch::x86_64::{
    __m128i, __m256, __m256d, __m256i, _CMP_EQ_OQ, _CMP_EQ_UQ, _CMP_GE_OQ, _CMP_GT_OQ, _CMP_LE_OQ,
    _CMP_LT_OQ, _CMP_UNORD_Q, _mm_movemask_epi8, _mm_packs_epi32, _mm_storeu_si128,
    _mm_unpackhi_epi16, _mm_unpacklo_epi16, _mm256_add_epi32, _mm256_add_pd, _mm256_and_pd,
    _mm256_blendv_pd, _mm256_castpd_ps, _mm256_castps_si256, _mm256_castsi256_pd,
    _mm256_castsi256_si128, _mm256_cmp_pd, _mm256_cmp_ps, _mm256_cmpeq_epi16, _mm256_cmpeq_epi64,
    _mm256_cmpgt_epi16, _mm256_cmpgt_epi64, _mm256_cvttpd_epi32, _mm256_div_pd,
    _mm256_extracti128_si256, _mm256_loadu_pd, _mm256_loadu_ps, _mm256_loadu_si256, _mm256_max_pd,
    _mm256_min_pd, _mm256_movemask_epi8, _mm256_movemask_pd, _mm256_movemask_ps, _mm256_mul_pd,
    _mm256_or_pd, _mm256_or_ps, _mm256_or_si256, _mm256_packs_epi16, _mm256_packs_epi32,
    _mm256_permute2f128_pd, _mm256_permute4x64_epi64, _mm256_permutevar8x32_epi32,
    _mm256_set_m128i, _mm256_set1_epi32, _mm256_set1_epi64x, _mm256_set1_pd, _mm256_setr_epi32,
    _mm256_setr_epi64x, _mm256_setzero_pd, _mm256_setzero_ps, _mm256_setzero_si256,
    _mm256_shuffle_ps, _mm256_sqrt_pd, _mm256_storeu_pd, _mm256_sub_pd, _mm256_testz_si256,
    _mm256_unpackhi_pd, _mm256_unpacklo_pd,
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
    // alignment. The tests compare what is made of it with one comparison at a time.
    unsafe { _mm256_loadu_pd(values.as_ptr()) }
}

#[inline]
#[target_feature(enable = "avx2")]
fn store(into: &mut [f64; 4], values: __m256d) {
    // SAFETY: the reference is to four values that may be written, and the store asks for no
    // alignment. The tests compare what is stored with the portable loops.
    unsafe { _mm256_storeu_pd(into.as_mut_ptr(), values) }
}

/// Eight values as a vector.
#[inline]
#[target_feature(enable = "avx2")]
fn load_near(values: &[f32; 8]) -> __m256 {
    // SAFETY: the reference is to eight values that may be read, and the load asks for no
    // alignment. The tests compare what is made of it with one comparison at a time.
    unsafe { _mm256_loadu_ps(values.as_ptr()) }
}

/// Sixteen parts as a vector.
#[inline]
#[target_feature(enable = "avx2")]
fn load_parts(parts: &[i16; 16]) -> __m256i {
    // SAFETY: the reference is to sixteen parts that may be read, and the load asks for no
    // alignment. The tests compare what is made of it with one comparison at a time.
    unsafe { _mm256_loadu_si256(parts.as_ptr().cast()) }
}

/// Four words of a mask as a vector.
#[inline]
#[target_feature(enable = "avx2")]
fn load_words(words: &[u64; 4]) -> __m256i {
    // SAFETY: the reference is to four words that may be read, and the load asks for no alignment.
    // The tests compare what is made of it with one word at a time.
    unsafe { _mm256_loadu_si256(words.as_ptr().cast()) }
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
    let of =
        |four: usize| _mm256_castpd_ps(_mm256_cmp_pd::<_CMP_GT_OQ>(load(&a[four]), load(&b[four])));
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

#[target_feature(enable = "avx2")]
pub(super) fn above_bounded(a: Bounded<'_>, b: Bounded<'_>) -> Mask {
    let all = decided::<_CMP_GT_OQ>(&a.bounds.low, &b.bounds.high);
    let none = decided::<_CMP_LE_OQ>(&a.bounds.high, &b.bounds.low);
    decided_or(all, none, |word| {
        let by_short = match (a.short, b.short) {
            (Short::Scaled(a), Short::Scaled(b)) => scaled_word(a, b, word),
            (Short::Single(a), Short::Single(b)) => near_word(a, b, word),
            _ => None,
        };
        by_short.unwrap_or_else(|| {
            let (a, b) = (a.values.as_chunks::<64>().0, b.values.as_chunks::<64>().0);
            above_word(&a[word], &b[word])
        })
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
pub(super) fn crosses(a: Bounded<'_>, b: Bounded<'_>, before: [f64; 2], into: [&mut Mask; 2]) {
    let decided = decided_sides(a, b);
    match (a.short, b.short) {
        (Short::Scaled(short_a), Short::Scaled(short_b)) => decided.crosses(before, into, |word| {
            sides_of(a, b, word, scaled_word(short_a, short_b, word))
        }),
        (Short::Single(short_a), Short::Single(short_b)) => decided.crosses(before, into, |word| {
            sides_of(a, b, word, near_word(short_a, short_b, word))
        }),
        _ => decided.crosses(before, into, |word| {
            exact_sides_of(a.values, b.values, word)
        }),
    }
}

#[inline]
#[target_feature(enable = "avx2")]
fn decided_sides(a: Bounded<'_>, b: Bounded<'_>) -> Decided {
    Decided {
        above: decided::<_CMP_GT_OQ>(&a.bounds.low, &b.bounds.high),
        below: decided::<_CMP_LT_OQ>(&a.bounds.high, &b.bounds.low),
    }
}

/// One word of [`sides`], whose bits these are where they are sure.
#[inline]
#[target_feature(enable = "avx2")]
fn sides_of(a: Bounded<'_>, b: Bounded<'_>, word: usize, sure: Option<u64>) -> [u64; 2] {
    match sure {
        Some(over) => [over, !over],
        None => exact_sides_of(a.values, b.values, word),
    }
}

/// Bits of one word where `a > b` by the parts that they are in; none where that does not decide all
/// of them, for two are in the same.
#[inline]
#[target_feature(enable = "avx2")]
fn scaled_word(a: &[i16; QUANTUM_BARS], b: &[i16; QUANTUM_BARS], word: usize) -> Option<u64> {
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
    is_sure.then(|| half(0) | half(2) << 32)
}

/// One word of [`sides`], as the values themselves have it.
#[inline(never)]
#[target_feature(enable = "avx2")]
fn exact_sides_of(a: &Quantum, b: &Quantum, word: usize) -> [u64; 2] {
    let (a, b) = (a.as_chunks::<64>().0, b.as_chunks::<64>().0);
    [
        above_word(&a[word], &b[word]),
        above_word(&b[word], &a[word]),
    ]
}

/// Bits of one word where `a > b` in single precision; none where that does not decide all of them,
/// for a pair is equal, or NaN.
#[inline]
#[target_feature(enable = "avx2")]
fn near_word(a: &[f32; QUANTUM_BARS], b: &[f32; QUANTUM_BARS], word: usize) -> Option<u64> {
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
    let is_sure = _mm256_movemask_ps(unsure) == 0;
    is_sure.then(|| half(0) | half(4) << 32)
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
pub(super) fn scaled(values: &[f64; QUANTUM_BARS], scale: Scale, into: &mut [i16; QUANTUM_BARS]) {
    let (low, parts) = (_mm256_set1_pd(scale.low), _mm256_set1_pd(scale.parts));
    let (first, last) = (_mm256_setzero_pd(), _mm256_set1_pd(Scale::LAST));
    let least = _mm256_set1_epi32(i32::from(i16::MIN));
    let eights = values.as_chunks::<4>().0.as_chunks::<2>().0;
    for (into, [earlier, later]) in into.as_chunks_mut::<8>().0.iter_mut().zip(eights) {
        let of = |values: &[f64; 4]| {
            let part = _mm256_mul_pd(_mm256_sub_pd(load(values), low), parts);
            _mm256_cvttpd_epi32(_mm256_min_pd(_mm256_max_pd(part, first), last))
        };
        let eight = _mm256_add_epi32(_mm256_set_m128i(of(later), of(earlier)), least);
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
    // alignment. The tests compare what is stored with the portable loop.
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

#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn filled_words(mask: &Mask) -> u64 {
    let empty = |four: usize| {
        let is = _mm256_cmpeq_epi64(
            load_words(&mask.as_chunks().0[four]),
            _mm256_setzero_si256(),
        );
        _mm256_movemask_pd(_mm256_castsi256_pd(is)) as u64
    };
    (empty(0) | empty(1) << 4) ^ ((1 << WORDS) - 1)
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
pub(super) fn window_means(last: [&[f64]; 2], before: [&[f64]; 2], divisor: f64, into: &mut [f64]) {
    portable::window_means(last, before, divisor, into);
}

#[target_feature(enable = "avx2")]
pub(super) fn window_deviations(
    closes: &[f64],
    summed: usize,
    means: &[f64],
    squares: &mut [f64],
    into: &mut [f64],
) {
    const FOURS: usize = SUMS / 4;
    let bars = into.len();
    let window = closes.len() + 1 - bars;
    let (zero, length) = (_mm256_setzero_pd(), _mm256_set1_pd(window as f64));
    let (whole, rest) = into.as_chunks_mut::<SUMS>();
    let (whole_means, rest_means) = means[..bars].as_chunks::<SUMS>();
    let (whole_squares, rest_squares) = squares[..bars].as_chunks_mut::<SUMS>();
    let whole = whole.iter_mut().zip(whole_means).zip(whole_squares);
    for (at, ((into, means), squares)) in whole.enumerate() {
        let closes = &closes[at * SUMS..][..window + SUMS - 1];
        let of = |sixteen: &[f64; SUMS]| -> [__m256d; FOURS] {
            std::array::from_fn(|four| load(&sixteen.as_chunks().0[four]))
        };
        let own = of(closes.last_chunk().expect("as many bars as that"));
        let mut sums = of(squares);
        for earlier in closes[..closes.len() - summed].array_windows().rev() {
            for (four, earlier) in of(earlier).into_iter().enumerate() {
                let away = _mm256_sub_pd(earlier, own[four]);
                sums[four] = _mm256_add_pd(sums[four], _mm256_mul_pd(away, away));
            }
        }
        let means = of(means);
        let (squares, into) = (squares.as_chunks_mut().0, into.as_chunks_mut().0);
        for four in 0..FOURS {
            store(&mut squares[four], sums[four]);
            let away = _mm256_sub_pd(means[four], own[four]);
            let mean = _mm256_div_pd(sums[four], length);
            let variance = _mm256_sub_pd(mean, _mm256_mul_pd(away, away));
            // As `greater` has it: the second one where they are equal.
            let variance = _mm256_max_pd(variance, zero);
            store(&mut into[four], _mm256_sqrt_pd(variance));
        }
    }
    let closes = &closes[bars - rest.len()..];
    portable::window_deviations_each(closes, summed, rest_means, rest_squares, rest);
}

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
                let lines = turned([rows[0][half], rows[1][half], rows[2][half], rows[3][half]]);
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
    let ((even, odd), (even_later, odd_later)) = (pair(rows[0], rows[1]), pair(rows[2], rows[3]));
    [
        _mm256_permute2f128_pd::<0x20>(even, even_later),
        _mm256_permute2f128_pd::<0x20>(odd, odd_later),
        _mm256_permute2f128_pd::<0x31>(even, even_later),
        _mm256_permute2f128_pd::<0x31>(odd, odd_later),
    ]
}

/// Eight returns at a time; the last ones, fewer, with lanes that add nothing. No sum is negative
/// zero, so that adding zero leaves its bits.
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
    lanes_in_order(sums)
}

/// The lanes of three sums added in order, each sum in its halves.
#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn lanes_in_order(sums: [[__m256d; 2]; 3]) -> [f64; 3] {
    let zero = _mm256_setzero_pd();
    // One lane of each sum after another, the three sums side by side.
    let mut total = zero;
    let [changes, squares, downs] = sums;
    for ((a, b), c) in changes.into_iter().zip(squares).zip(downs) {
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
