//! Execution metrics: a fold over ORDER, FILL, PORTFOLIO_UPDATE, ACCRUAL and RISK_BREACH.

use admf_formats::event::{Accrual, Fill, OrderStatus, PortfolioUpdate};
use admf_formats::result::ExecutionTotals;
use serde::{Deserialize, Serialize};

/// Folds what orders came to and what they cost, in order of the events.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct ExecutionFold {
    totals: ExecutionTotals,
    /// Value of the fill whose PORTFOLIO_UPDATE comes next.
    value: f64,
}

impl ExecutionFold {
    /// One more fill.
    #[inline]
    pub fn fill(&mut self, fill: &Fill) {
        self.totals.fills += 1;
        self.totals.commission += fill.commission;
        self.totals.slippage += fill.qty * (fill.price - fill.reference_price);
        self.value = (fill.qty * fill.price).abs();
    }

    /// What is held after a fill or an accrual.
    #[inline]
    pub fn update(&mut self, update: &PortfolioUpdate) {
        // An accrual trades nothing; equity of zero or less ends the container.
        if self.value > 0.0 && update.equity > 0.0 {
            self.totals.turnover += self.value / update.equity;
        }
        self.value = 0.0;
    }

    /// What became of an order, by the number of its [`OrderStatus`].
    #[inline]
    pub fn order(&mut self, status: u8) {
        const REJECTED: u8 = OrderStatus::Rejected as u8;
        const EXPIRED: u8 = OrderStatus::Expired as u8;
        const CANCELLED: u8 = OrderStatus::Cancelled as u8;
        match status {
            REJECTED => self.totals.rejected += 1,
            EXPIRED | CANCELLED => self.totals.unfilled += 1,
            _ => {}
        }
    }

    /// One more borrow fee.
    #[inline]
    pub fn accrual(&mut self, accrual: &Accrual) {
        self.totals.borrow += accrual.amount;
    }

    /// One more breach of a risk limit.
    #[inline]
    pub fn breach(&mut self) {
        self.totals.breaches += 1;
    }

    /// What was folded so far.
    pub const fn totals(&self) -> &ExecutionTotals {
        &self.totals
    }
}
