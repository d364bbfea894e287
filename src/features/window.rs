//! Windows of the last n values: the values, their sums, their extremes.
//!
//! Each allocates when it is made and never again; a window that is not full yet sees what there
//! is (the feature's first defined bar hides those values).

use super::double::Double;
use serde::{Deserialize, Serialize};
use std::cmp::Ordering;

/// The last n values.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Ring {
    values: Box<[f64]>,
    /// Where the next value goes.
    at: usize,
    filled: usize,
}

impl Ring {
    pub(super) fn new(length: u32) -> Ring {
        Ring {
            values: vec![0.0; length.max(1) as usize].into(),
            at: 0,
            filled: 0,
        }
    }

    /// Takes a value; gives the one that leaves the window, if it was full.
    #[inline(always)]
    pub(super) fn push(&mut self, value: f64) -> Option<f64> {
        let leaving = std::mem::replace(&mut self.values[self.at], value);
        self.at = if self.at + 1 == self.values.len() {
            0
        } else {
            self.at + 1
        };
        if self.filled == self.values.len() {
            return Some(leaving);
        }
        self.filled += 1;
        None
    }

    /// How many values there are.
    pub(super) const fn filled(&self) -> usize {
        self.filled
    }

    /// The values, oldest first.
    pub(super) fn values(&self) -> impl Iterator<Item = f64> {
        let (newest, oldest) = self.values[..self.filled].split_at(self.at.min(self.filled));
        let is_full = self.filled == self.values.len();
        let (first, second) = if is_full {
            (oldest, newest)
        } else {
            (newest, oldest)
        };
        first.iter().chain(second).copied()
    }
}

/// The sum of the last n values.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct RollingSum {
    ring: Ring,
    total: Double,
    /// Values that are not 0: without any, the sum is exactly 0.
    others: usize,
}

impl RollingSum {
    pub(super) fn new(length: u32) -> RollingSum {
        RollingSum {
            ring: Ring::new(length),
            total: Double::ZERO,
            others: 0,
        }
    }

    /// The sum with this value.
    #[inline(always)]
    pub(super) fn next(&mut self, value: f64) -> f64 {
        self.push(value);
        self.total.value()
    }

    /// Takes a value; gives the one that leaves.
    #[inline(always)]
    fn push(&mut self, value: f64) -> Option<f64> {
        let leaving = self.ring.push(value);
        self.total = self.total.plus(Double::of(value));
        self.others += usize::from(value != 0.0);
        if let Some(leaving) = leaving {
            self.total = self.total.minus(Double::of(leaving));
            self.others -= usize::from(leaving != 0.0);
        }
        if self.others == 0 {
            self.total = Double::ZERO;
        }
        leaving
    }
}

/// The mean of the last n values.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct RollingMean {
    sum: RollingSum,
    length: f64,
}

impl RollingMean {
    pub(super) fn new(length: u32) -> RollingMean {
        RollingMean {
            sum: RollingSum::new(length),
            length: f64::from(length),
        }
    }

    #[inline(always)]
    pub(super) fn next(&mut self, value: f64) -> f64 {
        self.sum.next(value) / self.length
    }
}

/// Mean and variance of the last n values.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct RollingVariance {
    sum: RollingSum,
    squares: Double,
    length: f64,
    /// How often the last value came in a row: a window of equal values has no variance at all.
    equal: u64,
    last: f64,
}

impl RollingVariance {
    pub(super) fn new(length: u32) -> RollingVariance {
        RollingVariance {
            sum: RollingSum::new(length),
            squares: Double::ZERO,
            length: f64::from(length),
            equal: 0,
            last: f64::NAN,
        }
    }

    /// The mean, and the sum of squared deviations from it.
    #[inline(always)]
    pub(super) fn next(&mut self, value: f64) -> (f64, f64) {
        self.equal = if value == self.last {
            self.equal + 1
        } else {
            1
        };
        self.last = value;
        self.squares = self.squares.plus(Double::product(value, value));
        if let Some(leaving) = self.sum.push(value) {
            self.squares = self.squares.minus(Double::product(leaving, leaving));
        }
        if self.equal >= self.length as u64 {
            return (value, 0.0);
        }
        let mean = self.sum.total.over(self.length);
        let deviation = self.squares.minus(self.sum.total.times(mean));
        (mean.value(), deviation.value().max(0.0))
    }
}

/// Sum of the last n values, and their sum weighted 1 (the oldest) to n (the newest).
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct WeightedSum {
    sum: RollingSum,
    weighted: Double,
    length: f64,
}

impl WeightedSum {
    pub(super) fn new(length: u32) -> WeightedSum {
        WeightedSum {
            sum: RollingSum::new(length),
            weighted: Double::ZERO,
            length: f64::from(length),
        }
    }

    /// The plain sum and the weighted one.
    #[inline(always)]
    pub(super) fn next(&mut self, value: f64) -> (Double, Double) {
        // Every weight falls by one, the oldest value's to nothing.
        self.weighted = self
            .weighted
            .minus(self.sum.total)
            .plus(Double::product(value, self.length));
        self.sum.push(value);
        (self.sum.total, self.weighted)
    }
}

/// The largest (or smallest) of the last n values: a queue of those that may still become it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Extreme {
    /// Number and value; a ring of n places.
    queue: Box<[(u64, f64)]>,
    first: usize,
    length: usize,
    seen: u64,
    /// Whether a value outlives smaller ones before it, or larger ones.
    is_highest: bool,
}

impl Extreme {
    pub(super) fn highest(length: u32) -> Extreme {
        Extreme::new(length, true)
    }

    pub(super) fn lowest(length: u32) -> Extreme {
        Extreme::new(length, false)
    }

    fn new(length: u32, is_highest: bool) -> Extreme {
        Extreme {
            queue: vec![(0, 0.0); length.max(1) as usize].into(),
            first: 0,
            length: 0,
            seen: 0,
            is_highest,
        }
    }

    /// The extreme with this value.
    #[inline(always)]
    pub(super) fn next(&mut self, value: f64) -> f64 {
        self.next_with_age(value).0
    }

    /// The extreme with this value, and how many values ago it came; of equals the latest.
    #[inline(always)]
    pub(super) fn next_with_age(&mut self, value: f64) -> (f64, u64) {
        let places = self.queue.len();
        let place = |at: usize| if at >= places { at - places } else { at };
        if self.length > 0 && self.queue[self.first].0 + places as u64 <= self.seen {
            self.first = place(self.first + 1);
            self.length -= 1;
        }
        let outlives = if self.is_highest {
            Ordering::Greater
        } else {
            Ordering::Less
        };
        while self.length > 0 {
            let (_, last) = self.queue[place(self.first + self.length - 1)];
            if value != last && value.total_cmp(&last) != outlives {
                break;
            }
            self.length -= 1;
        }
        self.queue[place(self.first + self.length)] = (self.seen, value);
        self.length += 1;
        let (number, extreme) = self.queue[self.first];
        self.seen += 1;
        (extreme, self.seen - 1 - number)
    }

    /// The extreme so far, without a new value; NaN before the first.
    #[inline(always)]
    pub(super) fn current(&self) -> f64 {
        if self.length == 0 {
            return f64::NAN;
        }
        self.queue[self.first].1
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn windows_are_those_of_a_plain_slice(
            values in prop::collection::vec((-8_i32..8).prop_map(f64::from), 1..200),
            length in 1_u32..20,
        ) {
            let (mut high, mut low) = (Extreme::highest(length), Extreme::lowest(length));
            let (mut sum, mut weighted) = (RollingSum::new(length), WeightedSum::new(length));
            let (mut variance, mut ring) = (RollingVariance::new(length), Ring::new(length));
            for at in 0..values.len() {
                let value = values[at];
                let window = &values[(at + 1).saturating_sub(length as usize)..=at];
                let (top, age) = high.next_with_age(value);
                let expected = window.iter().copied().fold(f64::MIN, f64::max);
                prop_assert_eq!(top, expected);
                prop_assert_eq!(window[window.len() - 1 - age as usize], expected);
                prop_assert!(window[window.len() - age as usize..].iter().all(|v| *v < expected));
                prop_assert_eq!(low.next(value), window.iter().copied().fold(f64::MAX, f64::min));
                prop_assert_eq!(sum.next(value), window.iter().sum::<f64>());
                ring.push(value);
                prop_assert_eq!(ring.values().collect::<Vec<_>>(), window.to_vec());
                let (mean, squares) = variance.next(value);
                let (_, weights) = weighted.next(value);
                if window.len() == length as usize {
                    let n = f64::from(length);
                    prop_assert!((mean - window.iter().sum::<f64>() / n).abs() < 1e-15);
                    let plain: f64 = window.iter().map(|v| (v - mean) * (v - mean)).sum();
                    prop_assert!((squares - plain).abs() < 1e-12);
                    let plain: f64 = window.iter().zip(1..).map(|(v, w)| v * f64::from(w)).sum();
                    prop_assert_eq!(weights.value(), plain);
                }
            }
        }
    }
}
