//! Portfolio rules: how large a position, in which direction.

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
