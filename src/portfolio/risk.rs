//! Limits on risk: what they are. The container watches them.

use admf_formats::event::{Reason, RiskRule};

/// Limits of a portfolio; infinite where there is none.
///
/// The first two are limits of orders: an entry that would exceed them is made smaller, or rejected
/// where nothing is left of it. They are not tested again while the price moves. The others are
/// tested at every close: the position is closed by the next fill and entries are rejected, for
/// the rest of the window or of the day.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RiskRules {
    /// Units of a position.
    pub max_position: f64,
    /// Value of a position as a fraction of equity, at the price of the fill and before its costs.
    pub max_exposure: f64,
    /// Drawdown of equity at a close from its peak, as a fraction of it.
    pub max_drawdown: f64,
    /// Loss at a close since the last close of the day before, as a fraction of equity there.
    pub max_daily_loss: f64,
}

impl RiskRules {
    /// No limits.
    pub const NONE: RiskRules = RiskRules {
        max_position: f64::INFINITY,
        max_exposure: f64::INFINITY,
        max_drawdown: f64::INFINITY,
        max_daily_loss: f64::INFINITY,
    };

    /// Whether entries have a limit.
    #[inline(always)]
    pub const fn limits_entries(&self) -> bool {
        self.max_position < f64::INFINITY || self.max_exposure < f64::INFINITY
    }

    /// Whether equity is watched at every close.
    #[inline(always)]
    pub const fn watches_equity(&self) -> bool {
        self.max_drawdown < f64::INFINITY || self.max_daily_loss < f64::INFINITY
    }
}

/// A limit that an entry would have exceeded.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Breach {
    /// Which.
    pub rule: RiskRule,
    /// The limit.
    pub limit: f64,
    /// What would have exceeded it.
    pub value: f64,
}

/// Breaches of one entry: each rule once at most.
pub type Breaches = [Option<Breach>; 3];

/// An entry after all limits, and which of them changed it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Entry {
    /// Units, unsigned; or why there is no entry.
    pub units: Result<f64, Reason>,
    /// The limits that made it smaller.
    pub breaches: Breaches,
}
