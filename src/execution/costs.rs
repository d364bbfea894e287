//! What fills and positions cost: commission, slippage, spread, borrow fees.
//!
//! Every cost of a fill grows with its units and never falls, so that the most units which an
//! amount of money buys are found without a search.

/// Commission of one fill, in money.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Commission {
    /// Fraction of the fill's value.
    Rate(f64),
    /// Money per unit, with bounds.
    PerShare(PerShare),
    /// Money per fill.
    Fixed(f64),
}

/// Commission per unit with bounds on that of a fill, as brokers of shares have it. The maximum
/// wins over the minimum: no order of little value pays more than its part.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PerShare {
    /// Money per unit.
    pub money: f64,
    /// Least of a fill.
    pub minimum: f64,
    /// Most of a fill; infinite for none.
    pub maximum: f64,
    /// Most of a fill as a fraction of its value; infinite for none.
    pub maximum_rate: f64,
}

impl PerShare {
    /// Without bounds.
    pub const fn plain(money: f64) -> PerShare {
        PerShare {
            money,
            minimum: 0.0,
            maximum: f64::INFINITY,
            maximum_rate: f64::INFINITY,
        }
    }
}

impl Commission {
    /// Commission of a fill of `qty` units (sign ignored) at `price`.
    #[inline(always)]
    pub fn of(self, qty: f64, price: f64) -> f64 {
        match self {
            Commission::Rate(rate) => (qty * price).abs() * rate,
            Commission::PerShare(per_share) => {
                let value = (qty * price).abs();
                (qty.abs() * per_share.money)
                    .max(per_share.minimum)
                    .min(per_share.maximum)
                    .min(value * per_share.maximum_rate)
            }
            Commission::Fixed(money) => money,
        }
    }

    /// The most units that `spend` pays for at `price`, commission included, up to the rounding of
    /// the division; zero or less where it pays for none. `divide` gives how often the second goes
    /// into the first.
    ///
    /// Cost is the least of increasing functions of the units (the inner one the greatest of two),
    /// so the units are the most of what each of them alone would give (the least of two).
    #[inline(always)]
    pub fn units_for(self, spend: f64, price: f64, divide: impl Fn(f64, f64) -> f64) -> f64 {
        match self {
            Commission::Rate(rate) => divide(spend, price + price * rate),
            Commission::Fixed(money) => divide(spend - money, price),
            Commission::PerShare(per_share) => {
                let mut units = divide(spend, price + per_share.money);
                if per_share.minimum > 0.0 {
                    units = units.min(divide(spend - per_share.minimum, price));
                }
                if per_share.maximum < f64::INFINITY {
                    units = units.max(divide(spend - per_share.maximum, price));
                }
                if per_share.maximum_rate < f64::INFINITY {
                    let unit_cost = price + price * per_share.maximum_rate;
                    units = units.max(divide(spend, unit_cost));
                }
                units
            }
        }
    }
}

/// What a price is worse than its reference: slippage and half of the spread, on every fill.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PriceCost {
    /// Fraction of the price.
    pub rate: f64,
    /// Money per unit.
    pub fixed: f64,
}

impl PriceCost {
    /// Fills at the reference price.
    pub const NONE: PriceCost = PriceCost {
        rate: 0.0,
        fixed: 0.0,
    };

    /// Price of a buy (`sign` 1) or a sell (`sign` -1).
    #[inline(always)]
    pub fn worsen(&self, price: f64, sign: f64) -> f64 {
        price * (1.0 + sign * self.rate) + sign * self.fixed
    }
}

/// What a fill costs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Costs {
    /// Commission.
    pub commission: Commission,
    /// What the price is worse.
    pub price_cost: PriceCost,
}

/// What a short position pays for the units that it has borrowed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Borrow {
    /// Fraction of the position's value per year.
    pub annual_rate: f64,
    /// Days that the year of the rate has.
    pub days_per_year: f64,
}

impl Borrow {
    /// Fee of so many calendar days for units (sign ignored) that were worth `price` each at the
    /// close before them.
    #[inline]
    pub fn fee(&self, units: f64, price: f64, days: f64) -> f64 {
        (units * price).abs() * self.annual_rate / self.days_per_year * days
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn check(commission: PerShare, qty: f64, price: f64, expected: f64) {
        let found = Commission::PerShare(commission).of(qty, price);
        assert!((found - expected).abs() < 1e-12, "{found}, not {expected}");
    }

    #[test]
    fn a_commission_per_share_keeps_its_bounds() {
        let bounded = PerShare {
            money: 0.005,
            minimum: 1.0,
            maximum: 10.0,
            maximum_rate: 0.01,
        };
        check(PerShare::plain(0.005), 100.0, 50.0, 0.5);
        check(bounded, 100.0, 50.0, 1.0);
        check(bounded, -1000.0, 50.0, 5.0);
        check(bounded, 5000.0, 50.0, 10.0);
        // A fill of 25 cents pays its hundredth, not the minimum.
        check(bounded, 1.0, 0.25, 0.0025);
    }

    #[test]
    fn a_fill_is_never_better_than_its_reference() {
        let cost = PriceCost {
            rate: 0.001,
            fixed: 0.02,
        };
        assert!((cost.worsen(100.0, 1.0) - 100.12).abs() < 1e-12);
        assert!((cost.worsen(100.0, -1.0) - 99.88).abs() < 1e-12);
        assert_eq!(PriceCost::NONE.worsen(0.1, 1.0), 0.1);
        assert_eq!(PriceCost::NONE.worsen(0.1, -1.0), 0.1);
    }

    #[test]
    fn borrowing_over_a_weekend_costs_three_days() {
        let borrow = Borrow {
            annual_rate: 0.0365,
            days_per_year: 365.0,
        };
        assert!((borrow.fee(-10.0, 100.0, 3.0) - 0.3).abs() < 1e-12);
    }

    prop_compose! {
        fn any_commission()(
            which in 0..3,
            rate in 0.0..0.05_f64,
            money in 0.0..2.0_f64,
            minimum in 0.0..20.0_f64,
            maximum in prop::option::of(0.0..50.0_f64),
            maximum_rate in prop::option::of(0.0001..0.02_f64),
        ) -> Commission {
            match which {
                0 => Commission::Rate(rate),
                1 => Commission::Fixed(minimum),
                _ => Commission::PerShare(PerShare {
                    money,
                    minimum,
                    maximum: maximum.unwrap_or(f64::INFINITY),
                    maximum_rate: maximum_rate.unwrap_or(f64::INFINITY),
                }),
            }
        }
    }

    proptest! {
        /// Against bisection of the cost itself.
        #[test]
        fn the_money_buys_what_it_pays_for_and_no_more(
            commission in any_commission(),
            spend in 0.1..100_000.0_f64,
            price in 0.01..500.0_f64,
        ) {
            let cost = |units: f64| units * price + commission.of(units, price);
            let (mut low, mut high) = (0.0, spend / price);
            for _ in 0..200 {
                let middle = 0.5 * (low + high);
                if cost(middle) <= spend { low = middle } else { high = middle }
            }
            let units = commission.units_for(spend, price, |a, b| a / b).max(0.0);
            prop_assert!((units - low).abs() <= 1e-9 * (1.0 + low), "{units}, bisected {low}");
        }
    }
}
