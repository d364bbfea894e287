//! Execution: when an order fills, at what price and cost, and where exits lie.

mod costs;
mod distance;
mod exits;
mod orders;
mod scale_out;

pub use costs::{Borrow, Commission, Costs, PerShare, PriceCost};
pub use distance::{Amount, Distance, Line, Unit};
pub use exits::{Anchor, BothTouched, ExitRules, Hit, Levels, Reentry, Seen};
pub use orders::{Entry, EntryOrder, EntryRules, Outcome, Waiting};
pub use scale_out::{SCALE_OUTS_MAX, ScaleOut, ScaleOuts};

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
    /// Orders of entries.
    pub entry: EntryRules,
}

impl ExecutionRules {
    /// What a fill costs.
    #[inline(always)]
    pub const fn costs(&self) -> Costs {
        Costs {
            commission: self.commission,
            price_cost: self.price_cost,
        }
    }
}
