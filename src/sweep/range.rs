//! Values of one sampled parameter: a share of 0 to 1 in, a value out.

use super::values::Values;

/// What a sampled parameter may be.
#[derive(Clone, Debug, PartialEq)]
pub enum Range {
    /// One of these, each as likely; at least one.
    Choice(Values),
    /// Any number from `min` to `max`.
    Linear {
        /// Lowest value.
        min: f64,
        /// Highest value.
        max: f64,
    },
    /// Any number from `min` to `max`; its logarithm is spread evenly.
    Log {
        /// Lowest value, above 0.
        min: f64,
        /// Highest value.
        max: f64,
    },
    /// A whole number from `min` to `max`, each as likely.
    Integer {
        /// Lowest value, whole.
        min: f64,
        /// Highest value, whole.
        max: f64,
    },
    /// A whole number from `min` to `max`; n is as likely as the logarithm grows from n to n + 1.
    LogInteger {
        /// Lowest value, whole and above 0.
        min: f64,
        /// Highest value, whole.
        max: f64,
    },
}

impl Range {
    /// The value at a share of 0 to below 1.
    pub fn at(&self, share: f64) -> f64 {
        match self {
            Range::Choice(values) => {
                let place = (share * values.len() as f64) as u64;
                values.at(place.min(values.len() - 1))
            }
            Range::Linear { min, max } => (min + share * (max - min)).clamp(*min, *max),
            Range::Log { min, max } => between_logs(*min, *max, share).clamp(*min, *max),
            Range::Integer { min, max } => {
                (min + (share * (max - min + 1.0)).floor()).clamp(*min, *max)
            }
            Range::LogInteger { min, max } => between_logs(*min, max + 1.0, share)
                .floor()
                .clamp(*min, *max),
        }
    }

    /// The least and the greatest value.
    pub fn ends(&self) -> [f64; 2] {
        match self {
            Range::Choice(values) => values.ends(),
            Range::Linear { min, max }
            | Range::Log { min, max }
            | Range::Integer { min, max }
            | Range::LogInteger { min, max } => [*min, *max],
        }
    }

    /// How many values there are, where they can be counted.
    pub fn count(&self) -> Option<u64> {
        match self {
            Range::Choice(values) => Some(values.len()),
            Range::Integer { min, max } | Range::LogInteger { min, max } => {
                Some((max - min) as u64 + 1)
            }
            Range::Linear { min, max } | Range::Log { min, max } => (min == max).then_some(1),
        }
    }

    /// Bytes that it keeps.
    pub fn bytes(&self) -> usize {
        match self {
            Range::Choice(values) => values.bytes(),
            _ => 0,
        }
    }
}

/// The number whose logarithm lies at `share` between those of `min` and `max`. Logarithm and
/// power are libm's in software, so that every machine gives the same bits.
pub fn between_logs(min: f64, max: f64, share: f64) -> f64 {
    let (low, high) = (libm::log(min), libm::log(max));
    libm::exp(low + share * (high - low))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The largest share there is.
    const LAST: f64 = 1.0 - f64::EPSILON / 2.0;

    #[test]
    fn shares_become_values() {
        let check = |range: Range, expected: [f64; 3]| {
            let found = [0.0, 0.5, LAST].map(|share| range.at(share));
            for (found, expected) in found.into_iter().zip(expected) {
                assert!((found - expected).abs() < 1e-9, "{range:?}: {found}");
            }
        };
        check(Range::Choice(vec![7.0, 3.0, 5.0].into()), [7.0, 3.0, 5.0]);
        check(
            Range::Linear {
                min: -1.0,
                max: 2.0,
            },
            [-1.0, 0.5, 2.0],
        );
        check(
            Range::Log {
                min: 0.01,
                max: 100.0,
            },
            [0.01, 1.0, 100.0],
        );
        check(Range::Integer { min: 5.0, max: 8.0 }, [5.0, 7.0, 8.0]);
        check(
            Range::LogInteger {
                min: 1.0,
                max: 99.0,
            },
            [1.0, 10.0, 99.0],
        );
    }

    proptest! {
        #[test]
        fn values_stay_in_their_range(min in 1_u32..1000, more in 0_u32..1000, share in 0.0..=1.0_f64) {
            let share = share.min(LAST);
            let (min, max) = (f64::from(min), f64::from(min + more));
            for (range, is_whole) in [
                (Range::Linear { min, max }, false),
                (Range::Log { min, max }, false),
                (Range::Integer { min, max }, true),
                (Range::LogInteger { min, max }, true),
            ] {
                let value = range.at(share);
                prop_assert!((min..=max).contains(&value), "{range:?}: {value}");
                prop_assert!(!is_whole || value.fract() == 0.0);
            }
        }

        #[test]
        fn every_integer_is_as_likely(count in 1_u32..300) {
            let range = Range::Integer { min: 3.0, max: f64::from(count) + 2.0 };
            // One share in the middle of each integer's own interval.
            for k in 0..count {
                let share = (f64::from(k) + 0.5) / f64::from(count);
                prop_assert_eq!(range.at(share), 3.0 + f64::from(k));
            }
        }
    }
}
