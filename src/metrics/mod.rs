//! Metrics: one-pass folds over the event stream.
//!
//! Equity metrics fold PORTFOLIO_UPDATE spans against the bars, trade metrics fold POSITION_CLOSE,
//! execution metrics fold orders, fills and fees.
//! The engine and the recomputation from a trace call the same folds, so their figures are
//! equal bit for bit. Ratios made of the totals live in `admf_formats::report`.

mod block;
mod equity;
mod execution;
mod recompute;
mod trade;

pub use block::{BlockFigures, Range};
pub use equity::{EquityFold, EquityPath};
pub use execution::ExecutionFold;
pub use recompute::{Recomputation, Totals};
pub use trade::TradeFold;
