//! Execution: when an order fills, at what price and cost, and where stops lie.

/// When an order decided on the close of bar i fills.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FillAt {
    /// At the open of bar i + 1.
    NextOpen,
    /// At the close of bar i, booked during bar i + 1.
    SameClose,
}

/// Commission of one fill, in money.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Commission {
    /// Fraction of the fill's value.
    Rate(f64),
    /// Money per unit.
    PerShare(f64),
    /// Money per fill.
    Fixed(f64),
}

impl Commission {
    /// Commission of a fill of `qty` units (sign ignored) at `price`.
    #[inline(always)]
    pub fn of(self, qty: f64, price: f64) -> f64 {
        match self {
            Commission::Rate(rate) => (qty * price).abs() * rate,
            Commission::PerShare(money) => qty.abs() * money,
            Commission::Fixed(money) => money,
        }
    }

    /// What one unit at `price` costs, and what the fill costs besides.
    #[inline(always)]
    pub fn unit_and_fixed_cost(self, price: f64) -> (f64, f64) {
        match self {
            Commission::Rate(rate) => (price + price * rate, 0.0),
            Commission::PerShare(money) => (price + money, 0.0),
            Commission::Fixed(money) => (price, money),
        }
    }
}

/// Execution of a container's orders.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ExecutionRules {
    /// Time of the fill.
    pub fill: FillAt,
    /// Cost of a fill.
    pub commission: Commission,
    /// Fraction of the price lost on every fill.
    pub slippage_rate: f64,
    /// Stop loss as a fraction of the close of the signal bar.
    pub stop_loss: Option<f64>,
    /// Take profit as a fraction of the close of the signal bar.
    pub take_profit: Option<f64>,
}

impl ExecutionRules {
    /// Price after slippage of a buy (`sign` 1) or a sell (`sign` -1).
    #[inline(always)]
    pub fn slipped(&self, price: f64, sign: f64) -> f64 {
        price * (1.0 + sign * self.slippage_rate)
    }
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
