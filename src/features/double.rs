//! Double-double arithmetic: sums that stay correct however many values went in and out.
//!
//! Algorithms: Dekker 1971, Knuth's two-sum; relative error about 2^-104 per operation. No fused
//! multiply-add, so the bits are the same on every processor.

use serde::{Deserialize, Serialize};

/// An unevaluated sum of two doubles.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Double {
    high: f64,
    low: f64,
}

impl Double {
    pub(super) const ZERO: Double = Double {
        high: 0.0,
        low: 0.0,
    };

    /// A plain number.
    #[inline(always)]
    pub(super) const fn of(value: f64) -> Double {
        Double {
            high: value,
            low: 0.0,
        }
    }

    /// The exact product of two plain numbers.
    #[inline(always)]
    pub(super) fn product(a: f64, b: f64) -> Double {
        let high = a * b;
        let ((a1, a0), (b1, b0)) = (halves(a), halves(b));
        let low = ((a1 * b1 - high) + a1 * b0 + a0 * b1) + a0 * b0;
        Double { high, low }
    }

    /// The nearest plain number.
    #[inline(always)]
    pub(super) const fn value(self) -> f64 {
        self.high
    }

    #[inline(always)]
    pub(super) fn plus(self, other: Double) -> Double {
        let (high, error) = two_sum(self.high, other.high);
        let (low, low_error) = two_sum(self.low, other.low);
        let first = quick(high, error + low);
        quick(first.high, first.low + low_error)
    }

    #[inline(always)]
    pub(super) fn minus(self, other: Double) -> Double {
        self.plus(Double {
            high: -other.high,
            low: -other.low,
        })
    }

    #[inline(always)]
    pub(super) fn times(self, other: Double) -> Double {
        let product = Double::product(self.high, other.high);
        quick(
            product.high,
            product.low + (self.high * other.low + self.low * other.high),
        )
    }

    #[inline(always)]
    pub(super) fn scaled(self, factor: f64) -> Double {
        self.times(Double::of(factor))
    }

    /// Divided by a number that is not 0.
    #[inline(always)]
    pub(super) fn over(self, divisor: f64) -> Double {
        let first = self.high / divisor;
        let rest = self.minus(Double::product(first, divisor));
        let second = rest.high / divisor;
        let rest = rest.minus(Double::product(second, divisor));
        quick(first, second).plus(Double::of(rest.high / divisor))
    }
}

/// `a + b` as its rounded value and the exact error of the rounding.
#[inline(always)]
fn two_sum(a: f64, b: f64) -> (f64, f64) {
    let sum = a + b;
    let b_part = sum - a;
    (sum, (a - (sum - b_part)) + (b - b_part))
}

/// A sum of two where the first is the larger.
#[inline(always)]
fn quick(a: f64, b: f64) -> Double {
    let high = a + b;
    Double {
        high,
        low: b - (high - a),
    }
}

/// A number as the sum of two of 26 bits each (Veltkamp).
#[inline(always)]
fn halves(a: f64) -> (f64, f64) {
    const SPLITTER: f64 = 134_217_729.0; // 2^27 + 1
    let c = SPLITTER * a;
    let high = c - (c - a);
    (high, a - high)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Exact where every term is a whole number below 2^100: `i128` is the reference.
    fn exact(value: Double) -> i128 {
        value.high as i128 + value.low as i128
    }

    proptest! {
        #[test]
        fn sums_and_products_are_those_of_whole_numbers(
            a in -(1_i64 << 50)..1 << 50,
            b in -(1_i64 << 50)..1 << 50,
            c in -(1_i64 << 50)..1 << 50,
        ) {
            let product = Double::product(a as f64, b as f64);
            prop_assert_eq!(exact(product), i128::from(a) * i128::from(b));
            let sum = product.plus(Double::of(c as f64));
            prop_assert_eq!(exact(sum), i128::from(a) * i128::from(b) + i128::from(c));
            prop_assert_eq!(exact(sum.minus(product)), i128::from(c));
        }

        #[test]
        fn a_quotient_times_its_divisor_is_the_number(a in -1e12_f64..1e12, b in 1e-3_f64..1e6) {
            let back = Double::of(a).over(b).scaled(b).minus(Double::of(a));
            prop_assert!(back.value().abs() <= a.abs() * 1e-30);
        }
    }
}
