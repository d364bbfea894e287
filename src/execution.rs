//! Execution: when an order fills, at what price and cost, and where stops lie.

mod costs;

pub use costs::{Borrow, Commission, PerShare, PriceCost};

/// When an order decided on the close of bar i fills.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FillAt {
    /// At the open of bar i + 1.
    NextOpen,
    /// At the close of bar i, booked during bar i + 1.
    SameClose,
}

/// Execution of a container's orders.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ExecutionRules {
    /// Time of the fill.
    pub fill: FillAt,
    /// Cost of a fill.
    pub commission: Commission,
    /// What prices of fills are worse.
    pub price_cost: PriceCost,
    /// Cost of holding a short position over night.
    pub borrow: Option<Borrow>,
    /// Stop loss as a fraction of the close of the signal bar.
    pub stop_loss: Option<f64>,
    /// Take profit as a fraction of the close of the signal bar.
    pub take_profit: Option<f64>,
}

/// Exit levels of an open position; infinite where there is none.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Stops {
    /// Stop loss.
    pub loss: f64,
    /// Take profit.
    pub profit: f64,
}

/// Which level a bar reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StopHit {
    /// The stop loss, also where both lie inside the bar.
    Loss,
    /// The take profit.
    Profit,
}

impl Stops {
    /// Levels for a position of this sign decided on this close.
    pub fn set(rules: &ExecutionRules, sign: f64, close: f64) -> Option<Stops> {
        if rules.stop_loss.is_none() && rules.take_profit.is_none() {
            return None;
        }
        let level = |part: Option<f64>, away: f64| {
            part.map_or(away * f64::INFINITY, |part| close * (1.0 + away * part))
        };
        Some(Stops {
            loss: level(rules.stop_loss, -sign),
            profit: level(rules.take_profit, sign),
        })
    }

    /// Whether the bar reaches a level, and the price there: a gap fills at the open.
    #[inline]
    pub fn hit(&self, sign: f64, open: f64, high: f64, low: f64) -> Option<(StopHit, f64)> {
        if sign > 0.0 {
            if low <= self.loss {
                Some((StopHit::Loss, open.min(self.loss)))
            } else if high >= self.profit {
                Some((StopHit::Profit, open.max(self.profit)))
            } else {
                None
            }
        } else if high >= self.loss {
            Some((StopHit::Loss, open.max(self.loss)))
        } else if low <= self.profit {
            Some((StopHit::Profit, open.min(self.profit)))
        } else {
            None
        }
    }
}
