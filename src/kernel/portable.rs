//! The loops as any processor runs them.

use super::{
    Bounded, Bounds, Four, LANES, Mask, QUANTUM_BARS, Quantum, Recursion, Scale, WORDS, greater,
    lesser,
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
pub(super) fn scaled(values: &[f64; QUANTUM_BARS], scale: Scale, into: &mut [i16; QUANTUM_BARS]) {
    for (into, value) in into.iter_mut().zip(values) {
        let part = greater(0.0, (value - scale.low) * scale.parts);
        *into = (lesser(Scale::LAST, part) as i32 + i32::from(i16::MIN)) as i16;
    }
}

pub(super) fn sides(a: Bounded<'_>, b: Bounded<'_>) -> [Mask; 2] {
    [above(a.values, b.values), above(b.values, a.values)]
}

pub(super) fn crosses(a: Bounded<'_>, b: Bounded<'_>, before: [f64; 2], into: [&mut Mask; 2]) {
    let [over, under] = sides(a, b);
    crossed(before, into, |word| [over[word], under[word]]);
}

/// The crosses of two columns whose sides are given word by word.
#[inline(always)]
pub(super) fn crossed(
    before: [f64; 2],
    [up, down]: [&mut Mask; 2],
    sides: impl Fn(usize) -> [u64; 2],
) {
    let [a, b] = before;
    let [mut was_over, mut was_under] = [a > b, a < b].map(|is| u64::from(is) << 63);
    for (word, (up, down)) in up.iter_mut().zip(down).enumerate() {
        let [over, under] = sides(word);
        *up = over & (under << 1 | was_under >> 63);
        *down = under & (over << 1 | was_over >> 63);
        (was_over, was_under) = (over, under);
    }
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

#[inline]
pub(super) fn filled_words(mask: &Mask) -> u64 {
    let bit = |(word, bits): (usize, &u64)| u64::from(*bits != 0) << word;
    mask.iter().enumerate().map(bit).sum()
}

pub(super) fn above_level(a: &[f64; QUANTUM_BARS], level: f64) -> Mask {
    above(a, &[level; QUANTUM_BARS])
}

pub(super) fn below_level(a: &[f64; QUANTUM_BARS], level: f64) -> Mask {
    above(&[level; QUANTUM_BARS], a)
}

#[inline(always)]
pub(super) fn window_means(last: [&[f64]; 2], before: [&[f64]; 2], divisor: f64, into: &mut [f64]) {
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

/// Several bars at a time.
#[inline(always)]
pub(super) fn window_deviations(
    closes: &[f64],
    summed: usize,
    means: &[f64],
    squares: &mut [f64],
    into: &mut [f64],
) {
    let bars = into.len();
    let window = closes.len() + 1 - bars;
    let (whole, rest) = into.as_chunks_mut::<SUMS>();
    let (whole_means, rest_means) = means[..bars].as_chunks::<SUMS>();
    let (whole_squares, rest_squares) = squares[..bars].as_chunks_mut::<SUMS>();
    let whole = whole.iter_mut().zip(whole_means).zip(whole_squares);
    for (at, ((into, means), squares)) in whole.enumerate() {
        let closes = &closes[at * SUMS..][..window + SUMS - 1];
        deviations(closes, summed, means, squares, into);
    }
    let closes = &closes[bars - rest.len()..];
    window_deviations_each(closes, summed, rest_means, rest_squares, rest);
}

/// One bar at a time.
#[inline(always)]
pub(super) fn window_deviations_each(
    closes: &[f64],
    summed: usize,
    means: &[f64],
    squares: &mut [f64],
    into: &mut [f64],
) {
    let window = closes.len() + 1 - into.len();
    let (means, squares) = (means.as_chunks::<1>().0, squares.as_chunks_mut().0);
    let bars = into.as_chunks_mut().0.iter_mut().zip(means).zip(squares);
    for (at, ((into, mean), squares)) in bars.enumerate() {
        deviations(&closes[at..][..window], summed, mean, squares, into);
    }
}

/// Of so many bars side by side, each over its own window, from its last close back.
#[inline(always)]
fn deviations<const BARS: usize>(
    closes: &[f64],
    summed: usize,
    means: &[f64; BARS],
    squares: &mut [f64; BARS],
    into: &mut [f64; BARS],
) {
    let (Some(own), window) = (closes.last_chunk::<BARS>(), closes.len() + 1 - BARS) else {
        return;
    };
    for earlier in closes[..closes.len() - summed]
        .array_windows::<BARS>()
        .rev()
    {
        for bar in 0..BARS {
            let away = earlier[bar] - own[bar];
            squares[bar] += away * away;
        }
    }
    for bar in 0..BARS {
        let away = means[bar] - own[bar];
        let variance = squares[bar] / window as f64 - away * away;
        into[bar] = greater(0.0, variance).sqrt();
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
