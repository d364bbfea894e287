//! Distances from a price: what exit levels and prices of orders are made of.

use admf_formats::units::PARAMETERS_MAX;
use serde::{Deserialize, Serialize};

/// A number of a rule: written down, or one of the parameters of the container.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Amount {
    /// The number itself.
    Value(f64),
    /// The parameter at this place, over a divisor (100 where the rule is a percentage).
    Parameter {
        /// Place among the parameter values.
        place: u8,
        /// What the value is divided by.
        divisor: f64,
    },
}

impl Amount {
    /// The number for these parameter values.
    #[inline]
    pub fn of(self, parameters: &[f64; PARAMETERS_MAX]) -> f64 {
        match self {
            Amount::Value(value) => value,
            Amount::Parameter { place, divisor } => parameters[place as usize] / divisor,
        }
    }
}

/// What a distance is counted in.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Unit {
    /// Fractions of the price that it is measured from.
    Fraction,
    /// Money.
    Money,
    /// The value of this feature of the rules at the bar of the signal.
    Feature(u8),
}

/// How far a price lies from another.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Distance {
    /// How many units.
    pub amount: Amount,
    /// Of what.
    pub unit: Unit,
}

impl Distance {
    /// Prices above (`sign` 1) or below (-1) an anchor by this distance; `feature` gives the value
    /// of a feature of the rules. NaN where that is not defined.
    #[inline]
    pub fn line(
        self,
        sign: f64,
        parameters: &[f64; PARAMETERS_MAX],
        feature: impl Fn(u8) -> f64,
    ) -> Line {
        let amount = self.amount.of(parameters);
        match self.unit {
            Unit::Fraction => Line {
                scale: 1.0 + sign * amount,
                offset: 0.0,
            },
            Unit::Money => Line {
                scale: 1.0,
                offset: sign * amount,
            },
            Unit::Feature(which) => Line {
                scale: 1.0,
                offset: sign * (amount * feature(which)),
            },
        }
    }
}

/// A price as a function of its anchor: `anchor * scale + offset`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Line {
    /// Factor of the anchor.
    pub scale: f64,
    /// Added to it.
    pub offset: f64,
}

impl Line {
    /// A price that no bar reaches from below (`sign` 1) or from above (-1).
    pub const fn never(sign: f64) -> Line {
        Line {
            scale: 0.0,
            offset: sign * f64::INFINITY,
        }
    }

    /// The price for this anchor.
    #[inline(always)]
    pub fn at(self, anchor: f64) -> f64 {
        anchor * self.scale + self.offset
    }

    /// Whether it has a price: what it is made of was defined.
    #[inline]
    pub const fn is_known(self) -> bool {
        !self.scale.is_nan() && !self.offset.is_nan()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(unit: Unit, amount: Amount, sign: f64, expected: f64) {
        let parameters = [5.0, 20.0, 2.0, 0.0, 0.0, 0.0, 0.0, 0.0];
        let feature = |which: u8| if which == 0 { 1.5 } else { f64::NAN };
        let line = Distance { amount, unit }.line(sign, &parameters, feature);
        assert_eq!(line.is_known(), !expected.is_nan());
        assert!(line.at(200.0) == expected || expected.is_nan());
    }

    #[test]
    fn a_distance_is_a_fraction_money_or_a_multiple_of_a_feature() {
        let value = Amount::Value(0.05);
        check(Unit::Fraction, value, -1.0, 200.0 * (1.0 - 0.05));
        check(Unit::Fraction, value, 1.0, 200.0 * (1.0 + 0.05));
        check(Unit::Money, value, 1.0, 200.05);
        check(Unit::Feature(0), Amount::Value(2.0), -1.0, 197.0);
        check(Unit::Feature(1), Amount::Value(2.0), -1.0, f64::NAN);
        let swept = |place, divisor| Amount::Parameter { place, divisor };
        check(Unit::Fraction, swept(0, 100.0), -1.0, 190.0);
        check(Unit::Feature(0), swept(2, 1.0), 1.0, 203.0);
    }

    #[test]
    fn no_price_reaches_what_is_never() {
        assert_eq!(Line::never(1.0).at(100.0), f64::INFINITY);
        assert_eq!(Line::never(-1.0).at(100.0), f64::NEG_INFINITY);
        assert!(Line::never(1.0).is_known());
    }
}
