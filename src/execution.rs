//! Execution rules: when an order fills, at what price and cost.

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

/// Execution of a container's orders.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ExecutionRules {
    /// Time of the fill.
    pub fill: FillAt,
    /// Cost of a fill.
    pub commission: Commission,
    /// Fraction of the price lost on every fill.
    pub slippage_rate: f64,
}
