//! Trade metrics: a fold over POSITION_CLOSE.

use crate::kernel::greater;
use admf_formats::event::PositionClose;
use admf_formats::result::TradeTotals;
use serde::{Deserialize, Serialize};

/// Folds closed trades, in order of closing.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct TradeFold(TradeTotals);

impl TradeFold {
    /// One more closed trade, closed in `exit_bar`.
    #[inline]
    pub fn close(&mut self, exit_bar: u32, trade: &PositionClose) {
        let totals = &mut self.0;
        totals.trades += 1;
        totals.pnl += trade.pnl;
        totals.commission += trade.commission;
        totals.pnl_square_sum += trade.pnl * trade.pnl;
        totals.bars_held += u64::from(exit_bar - trade.entry_bar);
        totals.mae_sum += trade.mae;
        totals.mfe_sum += trade.mfe;
        totals.mae_max = greater(totals.mae_max, trade.mae);
        if trade.pnl > 0.0 {
            totals.winning += 1;
            totals.gross_profit += trade.pnl;
        } else if trade.pnl < 0.0 {
            totals.losing += 1;
            totals.gross_loss -= trade.pnl;
        }
    }

    /// What was folded so far.
    pub const fn totals(&self) -> &TradeTotals {
        &self.0
    }
}
