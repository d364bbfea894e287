//! Metrics: one-pass folds over the event stream.
//!
//! Equity metrics fold PORTFOLIO_UPDATE spans against the bars, trade metrics fold POSITION_CLOSE.
//! The engine and the recomputation from a trace call the same two folds, so their figures are
//! equal bit for bit. Ratios made of the totals live in `admf_formats::report`.

mod block;
mod equity;
mod recompute;
mod trade;

pub use block::{BlockFigures, Extent};
pub use equity::{EquityFold, EquityPath};
pub use recompute::Recomputation;
pub use trade::TradeFold;
