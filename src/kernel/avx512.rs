//! The loops that AVX-512 does in fewer instructions than AVX2: comparisons give bits at once, and a
//! vector has as many lanes as sums have.

use super::words::{Decided, decided_or};
use super::{Bounded, LANES, Mask, QUANTUM_BARS, Quantum, Short, WORDS, Wide, avx2, portable};
use std::arch::x86_64::{
    __m256d, __m512d, __m512i, _CMP_GE_OQ, _CMP_GT_OQ, _CMP_LE_OQ, _CMP_LT_OQ, _mm512_add_pd,
    _mm512_castpd512_pd256, _mm512_cmp_pd_mask, _mm512_cmpeq_epi16_mask, _mm512_cmpgt_epi16_mask,
    _mm512_div_pd, _mm512_extractf64x4_pd, _mm512_loadu_pd, _mm512_loadu_si512,
    _mm512_maskz_loadu_pd, _mm512_maskz_mov_pd, _mm512_maskz_sub_pd, _mm512_mul_pd, _mm512_set1_pd,
    _mm512_setzero_pd,
};

#[target_feature(enable = "avx2,bmi1,bmi2,lzcnt,avx512f,avx512bw,avx512dq,avx512vl")]
pub(super) fn run<W: Wide>(work: W) -> W::Output {
    work.run()
}

/// Eight values as a vector.
#[inline]
#[target_feature(enable = "avx512f")]
fn load(values: &[f64; 8]) -> __m512d {
    // SAFETY: the reference is to eight values that may be read, and the load asks for no
    // alignment. The tests compare what is made of it with one comparison at a time.
    unsafe { _mm512_loadu_pd(values.as_ptr()) }
}

/// The first of a vector's lanes, as many as there are values, at most eight; zeros in the others.
#[inline]
#[target_feature(enable = "avx512f")]
fn load_some(values: &[f64]) -> __m512d {
    let lanes = ((1_u16 << values.len().min(8)) - 1) as u8;
    // SAFETY: only the lanes of the mask are read, of which there are as many as values or fewer, and
    // the load asks for no alignment. The tests compare the sums with those of single values.
    unsafe { _mm512_maskz_loadu_pd(lanes, values.as_ptr()) }
}

/// Thirty-two parts as a vector.
#[inline]
#[target_feature(enable = "avx512f")]
fn load_parts(parts: &[i16; 32]) -> __m512i {
    // SAFETY: the reference is to thirty-two parts that may be read, and the load asks for no
    // alignment. The tests compare what is made of it with one comparison at a time.
    unsafe { _mm512_loadu_si512(parts.as_ptr().cast()) }
}

/// One bit per lane.
#[inline]
#[target_feature(enable = "avx512f")]
fn compared<const ORDER: i32>(a: &[f64; 8], b: &[f64; 8]) -> u64 {
    u64::from(_mm512_cmp_pd_mask::<ORDER>(load(a), load(b)))
}

/// One word of a comparison.
#[inline]
#[target_feature(enable = "avx512f")]
fn word_of<const ORDER: i32>(a: &[f64; 64], b: &[f64; 64]) -> u64 {
    let (a, b) = (a.as_chunks::<8>().0, b.as_chunks::<8>().0);
    let mut word = 0;
    for eight in 0..8 {
        word |= compared::<ORDER>(&a[eight], &b[eight]) << (8 * eight);
    }
    word
}

#[target_feature(enable = "avx512f")]
pub(super) fn above_level(a: &[f64; QUANTUM_BARS], level: f64) -> Mask {
    let words = a.as_chunks().0;
    std::array::from_fn(|word| word_of::<_CMP_GT_OQ>(&words[word], &[level; 64]))
}

#[target_feature(enable = "avx512f")]
pub(super) fn below_level(a: &[f64; QUANTUM_BARS], level: f64) -> Mask {
    let words = a.as_chunks().0;
    std::array::from_fn(|word| word_of::<_CMP_LT_OQ>(&words[word], &[level; 64]))
}

#[target_feature(enable = "avx512f")]
pub(super) fn above_bounded(a: Bounded<'_>, b: Bounded<'_>) -> Mask {
    let all = compared::<_CMP_GT_OQ>(&a.bounds.low, &b.bounds.high);
    let none = compared::<_CMP_LE_OQ>(&a.bounds.high, &b.bounds.low);
    let (a, b) = (a.values.as_chunks().0, b.values.as_chunks().0);
    decided_or(all, none, |word| word_of::<_CMP_GT_OQ>(&a[word], &b[word]))
}

#[target_feature(enable = "avx512f")]
pub(super) fn above_level_bounded(a: Bounded<'_>, level: f64) -> Mask {
    let all = compared::<_CMP_GT_OQ>(&a.bounds.low, &[level; WORDS]);
    let none = compared::<_CMP_LE_OQ>(&a.bounds.high, &[level; WORDS]);
    let a = a.values.as_chunks().0;
    decided_or(all, none, |word| {
        word_of::<_CMP_GT_OQ>(&a[word], &[level; 64])
    })
}

#[target_feature(enable = "avx512f")]
pub(super) fn below_level_bounded(a: Bounded<'_>, level: f64) -> Mask {
    let all = compared::<_CMP_LT_OQ>(&a.bounds.high, &[level; WORDS]);
    let none = compared::<_CMP_GE_OQ>(&a.bounds.low, &[level; WORDS]);
    let a = a.values.as_chunks().0;
    decided_or(all, none, |word| {
        word_of::<_CMP_LT_OQ>(&a[word], &[level; 64])
    })
}

/// The values themselves are compared where there are no parts: single precision, which has half of
/// the bytes and would have to be looked at for equal ones, gains nothing.
#[target_feature(enable = "avx512f,avx512bw")]
pub(super) fn crosses(a: Bounded<'_>, b: Bounded<'_>, before: [f64; 2], into: [&mut Mask; 2]) {
    let decided = Decided {
        above: compared::<_CMP_GT_OQ>(&a.bounds.low, &b.bounds.high),
        below: compared::<_CMP_LT_OQ>(&a.bounds.high, &b.bounds.low),
    };
    let exact = |word| exact_sides_of(a.values, b.values, word);
    match (a.short, b.short) {
        (Short::Scaled(short_a), Short::Scaled(short_b)) => decided.crosses(before, into, |word| {
            match scaled_word(short_a, short_b, word) {
                Some(over) => [over, !over],
                None => exact(word),
            }
        }),
        _ => decided.crosses(before, into, exact),
    }
}

/// As AVX2 has it.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn scaled_word(a: &[i16; QUANTUM_BARS], b: &[i16; QUANTUM_BARS], word: usize) -> Option<u64> {
    let of = |column: &[i16; QUANTUM_BARS]| {
        let words = column.as_chunks::<32>().0.as_chunks::<2>().0;
        words[word].each_ref().map(|bars| load_parts(bars))
    };
    let (a, b) = (of(a), of(b));
    let over = |half: usize| u64::from(_mm512_cmpgt_epi16_mask(a[half], b[half]));
    let equal = |half: usize| _mm512_cmpeq_epi16_mask(a[half], b[half]);
    let is_sure = equal(0) | equal(1) == 0;
    is_sure.then(|| over(0) | over(1) << 32)
}

/// Bits of one word where `a > b`, and where `a < b`.
#[inline(never)]
#[target_feature(enable = "avx512f")]
fn exact_sides_of(a: &Quantum, b: &Quantum, word: usize) -> [u64; 2] {
    let (a, b) = (&a.as_chunks().0[word], &b.as_chunks().0[word]);
    [word_of::<_CMP_GT_OQ>(a, b), word_of::<_CMP_LT_OQ>(a, b)]
}

/// Eight returns at a time; the last ones, fewer, with lanes that add nothing. No sum is negative
/// zero, so that adding zero leaves its bits.
#[target_feature(enable = "avx2,avx512f")]
pub(super) fn return_sums(closes: &[f64], units: f64, cash: f64) -> [f64; 3] {
    let Some(returns) = closes.len().checked_sub(1) else {
        return [0.0; 3];
    };
    let (units, cash) = (_mm512_set1_pd(units), _mm512_set1_pd(cash));
    let (zero, one) = (_mm512_setzero_pd(), _mm512_set1_pd(1.0));
    let mut sums = [zero; 3];
    let mut add = |earlier, later, lanes| {
        let equity = |closes| _mm512_add_pd(cash, _mm512_mul_pd(units, closes));
        let ratio = _mm512_div_pd(equity(later), equity(earlier));
        let change = _mm512_maskz_sub_pd(lanes, ratio, one);
        let is_down = _mm512_cmp_pd_mask::<_CMP_LT_OQ>(change, zero);
        let down = _mm512_maskz_mov_pd(is_down, change);
        sums[0] = _mm512_add_pd(sums[0], change);
        sums[1] = _mm512_add_pd(sums[1], _mm512_mul_pd(change, change));
        sums[2] = _mm512_add_pd(sums[2], _mm512_mul_pd(down, down));
    };
    let (earlier, rest) = closes[..returns].as_chunks::<LANES>();
    let (later, rest_later) = closes[1..].as_chunks::<LANES>();
    for (earlier, later) in earlier.iter().zip(later) {
        add(load(earlier), load(later), u8::MAX);
    }
    if !rest.is_empty() {
        let lanes = (1 << rest.len()) - 1;
        add(load_some(rest), load_some(rest_later), lanes);
    }
    let halves = |sum| -> [__m256d; 2] {
        [
            _mm512_castpd512_pd256(sum),
            _mm512_extractf64x4_pd::<1>(sum),
        ]
    };
    avx2::lanes_in_order(sums.map(halves))
}

#[target_feature(enable = "avx512f")]
pub(super) fn next_extreme(
    closes: &[f64],
    from: usize,
    units: f64,
    cash: f64,
    peak: f64,
    floor: f64,
) -> usize {
    let (units8, cash8) = (_mm512_set1_pd(units), _mm512_set1_pd(cash));
    let (peak8, floor8) = (_mm512_set1_pd(peak), _mm512_set1_pd(floor));
    let mut at = from;
    for eight in closes[from..].as_chunks().0 {
        let equity = _mm512_add_pd(cash8, _mm512_mul_pd(units8, load(eight)));
        let above = _mm512_cmp_pd_mask::<_CMP_GT_OQ>(equity, peak8);
        let extreme = above | _mm512_cmp_pd_mask::<_CMP_LE_OQ>(equity, floor8);
        if extreme != 0 {
            return at + extreme.trailing_zeros() as usize;
        }
        at += 8;
    }
    portable::next_extreme(closes, at, units, cash, peak, floor)
}

#[target_feature(enable = "avx512f")]
pub(super) fn next_outside(
    lows: &[f64],
    highs: &[f64],
    from: usize,
    below: f64,
    above: f64,
) -> usize {
    let (below8, above8) = (_mm512_set1_pd(below), _mm512_set1_pd(above));
    let pairs = lows[from..].as_chunks().0.iter();
    let mut at = from;
    for (low, high) in pairs.zip(highs[from..].as_chunks().0) {
        let reaches_below = _mm512_cmp_pd_mask::<_CMP_LE_OQ>(load(low), below8);
        let outside = reaches_below | _mm512_cmp_pd_mask::<_CMP_GE_OQ>(load(high), above8);
        if outside != 0 {
            return at + outside.trailing_zeros() as usize;
        }
        at += 8;
    }
    portable::next_outside(lows, highs, at, below, above)
}
