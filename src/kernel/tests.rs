//! Every loop equals its twin, and a comparison or sum made one by one.

use super::*;
use proptest::prelude::*;
use std::sync::{Mutex, MutexGuard, PoisonError};

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

/// Has the loops use these while it lives. One test at a time: they are the same for all threads.
struct Using(#[expect(dead_code, reason = "held")] MutexGuard<'static, ()>);

impl Using {
    fn at_most(vectors: Vectors) -> Using {
        static ONE: Mutex<()> = Mutex::new(());
        let one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
        use_at_most(vectors);
        Using(one)
    }
}

impl Drop for Using {
    fn drop(&mut self) {
        use_at_most(Vectors::Avx512);
    }
}

fn any_vectors() -> impl Strategy<Value = Vectors> {
    prop::sample::select(&Vectors::ALL[..])
}

fn bits(values: &[f64]) -> Vec<u64> {
    values.iter().map(|value| value.to_bits()).collect()
}

/// Crosses as two bars at a time have them.
fn check_crosses(a: Bounded<'_>, b: Bounded<'_>, before: [f64; 2]) -> Result<(), TestCaseError> {
    // Whatever was there before.
    let [mut crossed, mut twin] = [[[7; WORDS]; 2]; 2];
    crosses(a, b, before, crossed.each_mut());
    portable::crosses(a, b, before, twin.each_mut());
    prop_assert_eq!(crossed, twin);
    let [mut was_a, mut was_b] = before;
    for (bar, (a, b)) in a.values.iter().zip(b.values).enumerate() {
        let [up, down] = crossed.map(|mask| mask[bar / 64] >> (bar % 64) & 1 == 1);
        prop_assert_eq!(up, was_a < was_b && a > b, "up in bar {}", bar);
        prop_assert_eq!(down, was_a > was_b && a < b, "down in bar {}", bar);
        (was_a, was_b) = (*a, *b);
    }
    Ok(())
}

proptest! {
    /// Lines as averages are: near each other in some words and far in others, on the scale, partly
    /// on it and off it, with values that are equal and others that are nearly so.
    #[test]
    fn lines_are_compared_as_their_values_whatever_is_known_of_them(
        levels in prop::collection::vec([0..12_u8, 0..12_u8], WORDS),
        noise in prop::collection::vec((0..8_u8, 0..8_u8), QUANTUM_BARS),
        unit in prop::sample::select(vec![1e-9, 1e-3, 0.3]),
        before in prop::array::uniform2(-1.0..12.0_f64),
        vectors in any_vectors(),
    ) {
        let _using = Using::at_most(vectors);
        let line = |which: usize| -> [f64; QUANTUM_BARS] {
            std::array::from_fn(|bar| {
                let noise = if which == 0 { noise[bar].0 } else { noise[bar].1 };
                f64::from(levels[bar / 64][which]) + f64::from(noise) * unit
            })
        };
        let lines = [line(0), line(1)];
        for scale in [Scale::new(4.0, 8.0), Scale::new(-1.0, 20.0), Scale::new(40.0, 50.0)] {
            let scale = scale.expect("a range");
            let known = lines.map(|line| {
                let (mut near, mut parts) = ([0.0; QUANTUM_BARS], [0; QUANTUM_BARS]);
                let bounds = bounds(&line);
                let mut twin = parts;
                single(&line, &mut near);
                scaled(&line, scale, &mut parts);
                portable::scaled(&line, scale, &mut twin);
                assert_eq!(parts, twin);
                let is_met = |word: &[f64; 64]| {
                    word.iter().any(|v| *v <= scale.high) && word.iter().any(|v| *v >= scale.low)
                };
                assert_eq!(scale.meets(&bounds), line.as_chunks().0.iter().any(is_met));
                (near, parts, bounds)
            });
            let forms = |which: usize| {
                let (near, parts, bounds) = &known[which];
                let forms = [Short::Exact, Short::Single(near), Short::Scaled(parts)];
                let values = &lines[which];
                forms.map(|short| Bounded { values, short, bounds })
            };
            for a in forms(0) {
                for b in forms(1) {
                    check(a.values, b.values, &above_bounded(a, b));
                    check_crosses(a, b, before)?;
                    check_crosses(b, a, before)?;
                }
            }
        }
    }

    #[test]
    fn the_words_of_a_mask_that_have_bits(mask in prop::array::uniform8(prop::sample::select(vec![0, 1, 1 << 63, u64::MAX])), vectors in any_vectors()) {
        let _using = Using::at_most(vectors);
        let filled = filled_words(&mask);
        prop_assert_eq!(filled, portable::filled_words(&mask));
        for (word, bits) in mask.iter().enumerate() {
            prop_assert_eq!(filled >> word & 1 == 1, *bits != 0);
        }
        prop_assert_eq!(filled >> WORDS, 0);
    }
}

proptest! {
    #[test]
    fn every_path_compares_as_one_comparison_at_a_time(
        pairs in prop::collection::vec((0..9_usize, 0..9_usize, -2.0..2.0_f64, any::<bool>()), QUANTUM_BARS),
        level in 0..9_usize,
        vectors in any_vectors(),
    ) {
        let _using = Using::at_most(vectors);
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
            let meets = scale.meets(&bounds);
            let is_met = |word: &[f64; 64]| word.iter().any(|v| *v <= 2.5) && word.iter().any(|v| *v >= -2.0);
            let is_any_met = values.as_chunks().0.iter().any(is_met);
            prop_assert_eq!(meets, is_any_met && !values.iter().any(|v| v.is_nan()));
            if meets {
                let mut twin = parts;
                scaled(values, scale, &mut parts);
                portable::scaled(values, scale, &mut twin);
                prop_assert_eq!(parts, twin);
            }
            Ok((values, near, meets.then_some(parts), bounds))
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
                    check_crosses(a, b, [VALUES[level], 0.5])?;
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
        vectors in any_vectors(),
    ) {
        let _using = Using::at_most(vectors);
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
        // One window at a time, from its last close back.
        for bars in [0, half, values.len()] {
            let window = values.len() + 1 - bars;
            let means: Vec<f64> = (0..bars).map(|bar| values[bar] + units).collect();
            let squares = |bar: usize, closes: usize| {
                let own = values[bar + window - 1];
                let square = |sum, close: &f64| sum + (close - own) * (close - own);
                values[bar..bar + window].iter().rev().take(closes).fold(0.0, square)
            };
            let by_hand: Vec<f64> = (0..bars)
                .map(|bar| {
                    let away = means[bar] - values[bar + window - 1];
                    let variance = squares(bar, window) / window as f64 - away * away;
                    variance.max(0.0).sqrt()
                })
                .collect();
            let all: Vec<f64> = (0..bars).map(|bar| squares(bar, window)).collect();
            for summed in [0, window / 3, window - 1] {
                let some: Vec<f64> = (0..bars).map(|bar| squares(bar, summed)).collect();
                let (mut a, mut b) = ((some.clone(), means.clone()), (some, means.clone()));
                window_deviations(&values, summed, &means, &mut a.0, &mut a.1);
                portable::window_deviations(&values, summed, &means, &mut b.0, &mut b.1);
                for (squares, deviations) in [a, b] {
                    prop_assert_eq!(bits(&squares), bits(&all));
                    prop_assert_eq!(bits(&deviations), bits(&by_hand));
                }
            }
        }
    }

    #[test]
    fn every_path_recurses_to_the_same_bits(
        closes in prop::collection::vec(1.0..9.0_f64, 1..60),
        lengths in prop::collection::vec(1..30_u32, 3 * 2 * LANES),
        first in 0..60_usize,
        groups in 1..3_usize,
        is_still in any::<bool>(),
        vectors in any_vectors(),
    ) {
        let _using = Using::at_most(vectors);
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
        vectors in any_vectors(),
    ) {
        let _using = Using::at_most(vectors);
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
    fn returns_are_added_in_lanes_of_eight(values in prop::collection::vec(1.0..9.0_f64, 2..40), vectors in any_vectors()) {
        let _using = Using::at_most(vectors);
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
