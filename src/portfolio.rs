//! Portfolio rules: how large a position, in which direction.

use crate::execution::Commission;
use admf_formats::event::Reason;

/// Which positions a container may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// Flat or long.
    LongOnly,
    /// Flat or short.
    ShortOnly,
    /// Long and short; an opposite signal reverses.
    LongShort,
}

/// How large an entry is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Sizing {
    /// This fraction (0 to 1) of equity, costs included.
    FractionOfEquity(f64),
    /// So many units.
    Quantity(f64),
    /// So much cash, costs included.
    Cash(f64),
}

/// The portfolio of a container.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PortfolioRules {
    /// Equity before the first bar.
    pub initial_capital: f64,
    /// Allowed positions.
    pub direction: Direction,
    /// Size of an entry.
    pub sizing: Sizing,
    /// Whether sizes are rounded down to whole units.
    pub whole_units: bool,
    /// Whether an open position is closed at the window's last close.
    pub close_at_end: bool,
}

impl PortfolioRules {
    /// Whether all cash goes into a long position of fractional units, so that cash is exactly
    /// zero while units are held.
    pub fn is_all_in(&self) -> bool {
        self.direction == Direction::LongOnly
            && self.sizing == Sizing::FractionOfEquity(1.0)
            && !self.whole_units
    }

    /// Units of an entry at `price`, unsigned.
    ///
    /// Errors: [`Reason::InsufficientCash`] where a fixed quantity or amount costs more than there
    /// is, [`Reason::ZeroQuantity`] where nothing can be bought.
    pub fn entry_units(
        &self,
        cash: f64,
        price: f64,
        commission: Commission,
    ) -> Result<f64, Reason> {
        let (unit_cost, fixed_cost) = commission.unit_and_fixed_cost(price);
        let spend = match self.sizing {
            Sizing::FractionOfEquity(fraction) => cash * fraction,
            Sizing::Cash(amount) => amount,
            Sizing::Quantity(units) => {
                let cost = units * unit_cost + fixed_cost;
                return if cost <= cash {
                    Ok(units)
                } else {
                    Err(Reason::InsufficientCash)
                };
            }
        };
        if spend > cash {
            return Err(Reason::InsufficientCash);
        }
        let spend = spend - fixed_cost;
        let units = if self.whole_units {
            floor_divide(spend, unit_cost)
        } else {
            spend / unit_cost
        };
        if units > 0.0 {
            Ok(units)
        } else {
            Err(Reason::ZeroQuantity)
        }
    }
}

/// The whole number of times that `b` goes into `a`, exactly: the rounded quotient could be one
/// too many. Both are positive.
fn floor_divide(a: f64, b: f64) -> f64 {
    ((a - a % b) / b).round()
}
