//! The result record: what a container leaves when it is destroyed.
//!
//! It holds the *folds* (sums, counts, extremes), not the ratios made of them: a metric such as the
//! Sharpe ratio is a pure function of this record (see `report`), so reported and recomputed
//! figures cannot differ. Records lie in an archive at `index * size`.

use crate::error::Error;
use crate::units::PARAMETERS_MAX;
use rkyv::{Archive, Deserialize, Serialize};

/// How a container ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Status {
    /// It saw its whole window.
    Completed = 1,
    /// It failed; the archive says why.
    Failed = 2,
}

/// What a container folded from its own events.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Default,
    Archive,
    Serialize,
    Deserialize,
    serde::Serialize,
    serde::Deserialize,
)]
#[rkyv(derive(Debug))]
pub struct EquityTotals {
    /// Bars of the window.
    pub bars: u64,
    /// Bars at whose close the container held units.
    pub bars_in_market: u64,
    /// Sum of per-bar returns.
    pub return_sum: f64,
    /// Sum of their squares.
    pub return_square_sum: f64,
    /// Sum of the squares of the negative ones.
    pub downside_square_sum: f64,
    /// Equity before the first bar.
    pub initial: f64,
    /// Equity at the last close.
    pub last: f64,
    /// Highest equity at a close, the initial capital counted.
    pub peak: f64,
    /// Largest `1 - equity / peak so far` at a close.
    pub drawdown_max: f64,
    /// Units held at the end, signed.
    pub units: f64,
    /// Runs of closes below the peak before them, the last one counted where it has not ended. A
    /// close at the peak ends a run.
    pub drawdowns: u64,
    /// Sum of the deepest `1 - equity / peak` of each.
    pub drawdown_sum: f64,
    /// Closes of the longest.
    pub drawdown_bars_max: u64,
}

/// What a container folded from its closed trades.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Default,
    Archive,
    Serialize,
    Deserialize,
    serde::Serialize,
    serde::Deserialize,
)]
#[rkyv(derive(Debug))]
pub struct TradeTotals {
    /// Closed trades.
    pub trades: u64,
    /// Trades with a profit.
    pub winning: u64,
    /// Trades with a loss; a trade of exactly zero is neither.
    pub losing: u64,
    /// Sum of profits.
    pub gross_profit: f64,
    /// Sum of losses, as a positive number.
    pub gross_loss: f64,
    /// Sum of profits and losses in order of closing.
    pub pnl: f64,
    /// Commissions of closed trades.
    pub commission: f64,
    /// Sum of the squares of profits and losses.
    pub pnl_square_sum: f64,
    /// Sum of `exit bar - entry bar`.
    pub bars_held: u64,
    /// Sum of maximum adverse excursions.
    pub mae_sum: f64,
    /// Sum of maximum favourable excursions.
    pub mfe_sum: f64,
    /// Largest maximum adverse excursion.
    pub mae_max: f64,
}

/// What a container folded from its orders and fills.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Default,
    Archive,
    Serialize,
    Deserialize,
    serde::Serialize,
    serde::Deserialize,
)]
#[rkyv(derive(Debug))]
pub struct ExecutionTotals {
    /// Fills.
    pub fills: u64,
    /// Orders that were rejected.
    pub rejected: u64,
    /// Orders that expired or were cancelled.
    pub unfilled: u64,
    /// Breaches of risk limits.
    pub breaches: u64,
    /// Sum of `|qty| * price / equity` of fills, with equity after the fill at its price.
    pub turnover: f64,
    /// Commissions of all fills.
    pub commission: f64,
    /// Sum of `qty * (price - reference price)` of all fills: slippage and spread.
    pub slippage: f64,
    /// Borrow fees.
    pub borrow: f64,
}

/// The ledger of a container's tracer: attempted = retained + recycled + dropped.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    Default,
    Archive,
    Serialize,
    Deserialize,
    serde::Serialize,
    serde::Deserialize,
)]
#[rkyv(derive(Debug))]
pub struct Ledger {
    /// Events of selected kinds that were offered to the tracer.
    pub attempted: u64,
    /// Events kept at the end.
    pub retained: u64,
    /// Recycled because their trade was closed.
    pub recycled_trade_closed: u64,
    /// Recycled because they left the sliding window.
    pub recycled_window: u64,
    /// Not kept because they belong to no trade and the policy keeps trades.
    pub dropped_without_trade: u64,
    /// Not kept because the container's ring was at its cap.
    pub dropped_at_cap: u64,
}

impl Ledger {
    /// Whether every attempted event is accounted for.
    pub const fn balances(&self) -> bool {
        // A file may say anything: sums of its numbers are wider than they are.
        self.attempted as u128
            == self.retained as u128
                + self.recycled_trade_closed as u128
                + self.recycled_window as u128
                + self.dropped_without_trade as u128
                + self.dropped_at_cap as u128
    }
}

/// A container's result.
#[derive(Clone, Copy, Debug, PartialEq, Archive, Serialize, Deserialize)]
#[rkyv(derive(Debug))]
pub struct ResultRecord {
    /// Index of the container in its phase, from 0.
    pub index: u64,
    /// First bar of the window, absolute in the bars file.
    pub first_bar: u64,
    /// Events of the container, traced or not.
    pub events: u64,
    /// Time of the first bar of the window.
    pub first_ts_ns: i64,
    /// Time of the last bar that the container saw.
    pub last_ts_ns: i64,
    /// [`Status`] as its number.
    pub status: u32,
    /// Index of the symbol in the manifest.
    pub symbol: u32,
    /// Parameter values in the manifest's order; zero beyond their count.
    pub parameters: [f64; PARAMETERS_MAX],
    /// Folds over PORTFOLIO_UPDATE.
    pub equity: EquityTotals,
    /// Folds over POSITION_CLOSE.
    pub trades: TradeTotals,
    /// Folds over ORDER, FILL, PORTFOLIO_UPDATE, ACCRUAL and RISK_BREACH.
    pub execution: ExecutionTotals,
    /// The tracer's ledger.
    pub ledger: Ledger,
}

impl ResultRecord {
    /// Size of the record on disk.
    pub const BYTES: usize = 48 + 8 * PARAMETERS_MAX + 104 + 96 + 64 + 48;

    /// Serialises into exactly [`ResultRecord::BYTES`] bytes.
    pub fn write(&self, into: &mut [u8]) {
        let written = rkyv::api::low::to_bytes_in_with_alloc::<_, _, rkyv::rancor::Failure>(
            self,
            rkyv::ser::writer::Buffer::from(into),
            rkyv::ser::allocator::SubAllocator::empty(),
        );
        assert!(
            matches!(&written, Ok(buffer) if buffer.len() == Self::BYTES),
            "a result record is written into {} aligned bytes",
            Self::BYTES
        );
    }

    /// Reads back what [`ResultRecord::write`] wrote, checked. `bytes` must be 8-aligned.
    pub fn read(bytes: &[u8]) -> Result<ResultRecord, Error> {
        let archived = rkyv::api::low::access::<ArchivedResultRecord, rkyv::rancor::Failure>(bytes)
            .map_err(|_| Error::Result { bytes: bytes.len() })?;
        rkyv::api::low::deserialize::<ResultRecord, rkyv::rancor::Failure>(archived)
            .map_err(|_| Error::Result { bytes: bytes.len() })
    }

    /// Whether the container saw its whole window.
    pub const fn is_completed(&self) -> bool {
        self.status == Status::Completed as u32
    }
}

const _: () = assert!(size_of::<ArchivedResultRecord>() == ResultRecord::BYTES);
