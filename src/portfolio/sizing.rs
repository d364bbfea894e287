//! How many units an entry has.
//!
//! Equity and price are those at the fill, before its costs; a measure of risk (distance to the
//! stop, average true range, volatility) is that of the signal's bar. Nothing is bought on credit:
//! an entry that its sizing names exactly (`quantity`, `cash`) and that costs more than the cash
//! there is is rejected; one that follows from a measure of risk is cut to what the cash buys,
//! and that is told as a breach of the cash rule.

use super::risk::{Breach, Breaches, Entry, RiskRules};
use super::{PortfolioRules, Sizing};
use crate::execution::Commission;
use admf_formats::event::{Reason, RiskRule};

/// Less than this part of what was wanted is what rounding left, and no entry.
const NOTHING: f64 = 1e-9;

/// What an entry is sized on.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct EntryTerms {
    /// Units held already, unsigned: an entry may add to a position.
    pub held: f64,
    /// 1 for a buy, -1 for a sell.
    pub sign: f64,
    /// Equity at the price of the fill.
    pub equity: f64,
    /// Money that may be spent: cash; for a short position, equity that no units bind yet.
    pub cash: f64,
    /// Price of the fill.
    pub price: f64,
    /// Money that one unit puts at risk, by the sizing's measure: the sizing's fraction of equity
    /// is divided by it. NaN where it is not known, or the sizing has no use for it.
    pub risk_per_unit: f64,
    /// Commission of the fill.
    pub commission: Commission,
}

impl EntryTerms {
    /// Money that is left after an entry of so many units, as cash is counted.
    #[inline(always)]
    fn rest(&self, units: f64) -> f64 {
        self.cash - units * self.price - self.commission.of(units, self.price)
    }
}

impl PortfolioRules {
    /// Units of an entry and the limits that it met.
    ///
    /// Reasons: [`Reason::InsufficientCash`] where a fixed quantity or amount costs more than there
    /// is, or no cash is left, [`Reason::ZeroQuantity`] where nothing can be bought, [`Reason::SizeUnknown`] where the
    /// measure of risk is not known or not above zero, [`Reason::RiskLimit`] where a limit leaves
    /// nothing.
    pub fn entry(&self, terms: &EntryTerms, risk: &RiskRules) -> Entry {
        let mut breaches = [None; 3];
        let units = self.sized(terms).and_then(|wanted| {
            let allowed = self.limited(wanted, terms, risk, &mut breaches)?;
            self.paid_for(allowed, terms, &mut breaches)
        });
        Entry { units, breaches }
    }

    /// Units that the sizing wants.
    #[inline(always)]
    fn sized(&self, terms: &EntryTerms) -> Result<f64, Reason> {
        if terms.price <= 0.0 {
            // Costs of a sale may exceed its price.
            return Err(Reason::ZeroQuantity);
        }
        let units = match self.sizing {
            Sizing::FractionOfEquity(fraction) => self.units_for(terms.equity * fraction, terms)?,
            Sizing::Cash(amount) => self.units_for(amount, terms)?,
            Sizing::Quantity(units) => units,
            Sizing::RiskPerTrade { fraction } | Sizing::Atr { fraction, .. } => {
                self.units_of_risk(terms.equity * fraction, terms.risk_per_unit)?
            }
            Sizing::Volatility { annual, .. } => {
                self.units_of_risk(terms.equity * annual, terms.risk_per_unit)?
            }
        };
        if units > 0.0 {
            Ok(units)
        } else {
            Err(Reason::ZeroQuantity)
        }
    }

    /// Units that `spend` pays for with their costs.
    #[inline(always)]
    fn units_for(&self, spend: f64, terms: &EntryTerms) -> Result<f64, Reason> {
        if spend > terms.cash {
            return Err(Reason::InsufficientCash);
        }
        Ok(self.affordable(spend, terms))
    }

    /// The most units that `spend` pays for with their costs.
    #[inline(always)]
    fn affordable(&self, spend: f64, terms: &EntryTerms) -> f64 {
        if self.whole_units {
            terms.commission.units_for(spend, terms.price, floor_divide)
        } else {
            terms.commission.units_for(spend, terms.price, |a, b| a / b)
        }
    }

    fn units_of_risk(&self, risked: f64, risk_per_unit: f64) -> Result<f64, Reason> {
        // The measure is not known yet, or the stop lies beyond the fill.
        if risk_per_unit.is_nan() || risk_per_unit <= 0.0 {
            return Err(Reason::SizeUnknown);
        }
        Ok(if self.whole_units {
            floor_divide(risked, risk_per_unit)
        } else {
            risked / risk_per_unit
        })
    }

    /// What the limits on position and exposure leave.
    #[inline(always)]
    fn limited(
        &self,
        wanted: f64,
        terms: &EntryTerms,
        risk: &RiskRules,
        breaches: &mut Breaches,
    ) -> Result<f64, Reason> {
        if !risk.limits_entries() {
            return Ok(wanted);
        }
        let mut units = wanted;
        let after = terms.held + units;
        if after > risk.max_position {
            breaches[0] = Some(Breach {
                rule: RiskRule::Position,
                limit: risk.max_position,
                value: after,
            });
            units = self.rounded(risk.max_position - terms.held);
        }
        let exposure = (terms.held + units) * terms.price / terms.equity;
        if exposure > risk.max_exposure {
            breaches[1] = Some(Breach {
                rule: RiskRule::Exposure,
                limit: risk.max_exposure,
                value: exposure,
            });
            units = self.rounded(risk.max_exposure * terms.equity / terms.price - terms.held);
        }
        if units > wanted * NOTHING {
            Ok(units)
        } else {
            Err(Reason::RiskLimit)
        }
    }

    fn rounded(&self, units: f64) -> f64 {
        if self.whole_units {
            units.floor()
        } else {
            units
        }
    }

    /// What the cash pays for.
    #[inline(always)]
    fn paid_for(
        &self,
        units: f64,
        terms: &EntryTerms,
        breaches: &mut Breaches,
    ) -> Result<f64, Reason> {
        if terms.rest(units) >= 0.0 {
            return Ok(units);
        }
        match self.sizing {
            // What it spends is within the cash, up to rounding; a sale takes nothing from it.
            Sizing::FractionOfEquity(_) | Sizing::Cash(_) if terms.sign < 0.0 => Ok(units),
            Sizing::FractionOfEquity(_) | Sizing::Cash(_) => self.without_rounding(units, terms),
            Sizing::Quantity(_) => Err(Reason::InsufficientCash),
            _ => {
                let affordable = self.affordable(terms.cash, terms).max(0.0);
                breaches[2] = Some(Breach {
                    rule: RiskRule::Cash,
                    limit: affordable,
                    value: units,
                });
                if affordable <= units * NOTHING {
                    return Err(Reason::InsufficientCash);
                }
                self.without_rounding(affordable, terms)
            }
        }
    }

    /// Rounding may have made units that all the cash buys cost a hair more than the cash: they are
    /// lowered until they do not, so that cash is never below zero.
    fn without_rounding(&self, units: f64, terms: &EntryTerms) -> Result<f64, Reason> {
        let mut units = units;
        let mut factor = 1.0;
        while units > 0.0 {
            let rest = terms.rest(units);
            if rest >= 0.0 {
                return Ok(units);
            }
            units = if self.whole_units {
                units - 1.0
            } else {
                (units + factor * rest / terms.price).min(units.next_down())
            };
            factor *= 2.0;
        }
        Err(Reason::ZeroQuantity)
    }
}

/// The whole number of times that `b` goes into `a`, exactly: the rounded quotient could be one
/// too many. `b` is positive; where `a` is not, nor is the result.
fn floor_divide(a: f64, b: f64) -> f64 {
    ((a - a % b) / b).round()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::portfolio::Direction;

    const RISKED: Sizing = Sizing::RiskPerTrade { fraction: 0.01 };

    type Expected<'a> = (Result<f64, Reason>, &'a [(RiskRule, f64, f64)]);

    /// An entry at 50 with an equity of 10,000, all of it cash.
    fn check(sizing: Sizing, risk_per_unit: f64, risk: RiskRules, expected: Expected<'_>) {
        let portfolio = PortfolioRules {
            initial_capital: 10_000.0,
            direction: Direction::LongOnly,
            sizing,
            max_entries: 1,
            whole_units: true,
            close_at_end: false,
        };
        let terms = EntryTerms {
            held: 0.0,
            sign: 1.0,
            equity: 10_000.0,
            cash: 10_000.0,
            price: 50.0,
            risk_per_unit,
            commission: Commission::Fixed(1.0),
        };
        let entry = portfolio.entry(&terms, &risk);
        let breaches: Vec<(RiskRule, f64, f64)> = entry
            .breaches
            .iter()
            .flatten()
            .map(|breach| (breach.rule, breach.limit, breach.value))
            .collect();
        assert_eq!((entry.units, breaches.as_slice()), expected, "{sizing:?}");
    }

    #[test]
    fn an_entry_is_as_large_as_its_sizing_says() {
        let none = RiskRules::NONE;
        check(
            Sizing::FractionOfEquity(0.5),
            f64::NAN,
            none,
            (Ok(99.0), &[]),
        );
        check(Sizing::Cash(501.0), f64::NAN, none, (Ok(10.0), &[]));
        check(Sizing::Quantity(7.0), f64::NAN, none, (Ok(7.0), &[]));
        // A hundredth of equity is 100.
        check(RISKED, 2.0, none, (Ok(50.0), &[]));
        check(RISKED, 3.0, none, (Ok(33.0), &[]));
        let volatility = Sizing::Volatility {
            annual: 0.2,
            period: 20,
        };
        // A unit moves by 0.4 * 50 a year, equity may by 2,000.
        check(volatility, 20.0, none, (Ok(100.0), &[]));
    }

    #[test]
    fn what_is_not_known_or_not_there_is_rejected_with_its_reason() {
        let none = RiskRules::NONE;
        let quantity = Sizing::Quantity(200.0);
        check(
            quantity,
            f64::NAN,
            none,
            (Err(Reason::InsufficientCash), &[]),
        );
        let cash = Sizing::Cash(10_001.0);
        check(cash, f64::NAN, none, (Err(Reason::InsufficientCash), &[]));
        check(RISKED, f64::NAN, none, (Err(Reason::SizeUnknown), &[]));
        check(RISKED, -1.0, none, (Err(Reason::SizeUnknown), &[]));
        check(RISKED, 101.0, none, (Err(Reason::ZeroQuantity), &[]));
    }

    #[test]
    fn an_entry_beyond_a_limit_is_cut_and_told() {
        let risk = RiskRules {
            max_position: 30.0,
            ..RiskRules::NONE
        };
        let breach = (RiskRule::Position, 30.0, 40.0);
        check(
            Sizing::Quantity(40.0),
            f64::NAN,
            risk,
            (Ok(30.0), &[breach]),
        );
        let risk = RiskRules {
            max_exposure: 0.1,
            ..RiskRules::NONE
        };
        let breach = (RiskRule::Exposure, 0.1, 0.2);
        check(
            Sizing::Quantity(40.0),
            f64::NAN,
            risk,
            (Ok(20.0), &[breach]),
        );
        let risk = RiskRules {
            max_position: 0.5,
            ..RiskRules::NONE
        };
        let breach = (RiskRule::Position, 0.5, 40.0);
        let rejected = Err(Reason::RiskLimit);
        check(
            Sizing::Quantity(40.0),
            f64::NAN,
            risk,
            (rejected, &[breach]),
        );
        // Cash beyond the commission buys 199.
        let breach = (RiskRule::Cash, 199.0, 800.0);
        check(RISKED, 0.125, RiskRules::NONE, (Ok(199.0), &[breach]));
    }
}
