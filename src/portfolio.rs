//! Portfolio rules: how large a position, in which direction, within which limits.

mod risk;
mod sizing;

pub use risk::{Breach, Breaches, Entry, RiskRules};
pub use sizing::EntryTerms;

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
    /// So many units that the way from the fill to the stop loss costs this fraction of equity.
    RiskPerTrade {
        /// Fraction of equity.
        fraction: f64,
    },
    /// So many units that a move of some average true ranges costs this fraction of equity.
    Atr {
        /// Fraction of equity.
        fraction: f64,
        /// Average true ranges.
        multiple: f64,
        /// Bars of the average.
        period: u32,
    },
    /// So many units that equity, at the close's volatility, has this volatility per year.
    Volatility {
        /// Wanted standard deviation of a year's log returns.
        annual: f64,
        /// Bars that the volatility is measured on.
        period: u32,
    },
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
    /// Entries that a position may have. An entry condition that holds again, after a bar on which
    /// it did not, adds one to the position of its side.
    pub max_entries: u32,
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
            && self.max_entries == 1
    }
}
