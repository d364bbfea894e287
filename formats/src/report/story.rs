//! The JSON of `admf explain`: one trade, told from its events, the bars and the features.

use super::Parameters;
use serde::Serialize;
use serde_json::Value;

/// One trade.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct StoryReport {
    /// Name of the container.
    pub container: String,
    /// Name of the phase.
    pub phase: String,
    /// Folder of the window; null where the run has none.
    pub window: Option<String>,
    /// Symbol.
    pub symbol: String,
    /// Name of the strategy.
    pub strategy: String,
    /// Parameters.
    pub parameters: Parameters,
    /// Number of the trade, from 1.
    pub trade: u32,
    /// `archive` or `replay`.
    pub source: &'static str,
    /// Why the container was run again; null where its archive had the whole trade.
    pub replayed_because: Option<String>,
    /// Why the container failed; null for one that did not.
    pub failure: Option<String>,
    /// `closed`, `open` at the end of the window, or `never_opened`.
    pub state: &'static str,
    /// `long` or `short`; null for a trade that never opened.
    pub side: Option<&'static str>,
    /// The payload of the POSITION_CLOSE, as `admf-tools trades` prints it; null for a trade that
    /// was not closed.
    pub close: Option<Value>,
    /// What follows from the events.
    pub figures: FiguresReport,
    /// The exits that the position had from its entry on; null for a trade that never opened, and
    /// where no rule has a level.
    pub levels: Option<LevelsReport>,
    /// The signals with what the strategy saw.
    pub signals: Vec<SignalReport>,
    /// Every event of the trade, and those that caused it, in order.
    pub events: Vec<StoryEvent>,
    /// Events in the middle that a long trade's story leaves out; the figures count them.
    pub events_left_out: u64,
    /// Bars around the entry.
    pub bars_at_entry: Vec<BarReport>,
    /// Bars around the exit; empty for a trade that was not closed.
    pub bars_at_exit: Vec<BarReport>,
}

/// Figures of a trade. Those of an open one are at the last close of the window.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct FiguresReport {
    /// Fills.
    pub fills: u64,
    /// Units held at the end, signed.
    pub units: f64,
    /// Profit or loss in money, commissions and borrow fees deducted; of an open trade with its
    /// units at the last close, and without the costs of leaving.
    pub pnl: Option<f64>,
    /// It, as percent of the value of all entries (units times average entry price).
    pub pnl_percent: Option<f64>,
    /// Commissions of all fills.
    pub commission: f64,
    /// Slippage and spread of all fills; part of the prices.
    pub slippage: f64,
    /// Borrow fees.
    pub borrow: f64,
    /// The three together.
    pub costs: f64,
    /// Exit bar less entry bar; of an open trade the last bar less the entry bar.
    pub bars_held: Option<u64>,
    /// Largest move against the position, as percent of the average entry price; null unless
    /// closed.
    pub mae_percent: Option<f64>,
    /// Largest move for it, likewise.
    pub mfe_percent: Option<f64>,
}

/// Levels of price at an entry; null for those that no rule sets. Where one was reached, the exit's
/// ORDER tells the level that counted then.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct LevelsReport {
    /// The price that stop loss and take profit are measured from.
    pub anchor: f64,
    /// Stop loss.
    pub stop_loss: Option<f64>,
    /// Take profit.
    pub take_profit: Option<f64>,
    /// Trailing stop while the entry's price is the best.
    pub trailing_stop: Option<f64>,
    /// Levels at which a part is closed, the nearest first; empty for none.
    pub scale_out: Vec<ScaleOutReport>,
}

/// A level at which a part of the position is closed.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct ScaleOutReport {
    /// The level.
    pub price: f64,
    /// Part of the units held then.
    pub part: f64,
}

/// A signal, and what was known at its bar.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SignalReport {
    /// The SIGNAL event.
    pub event_id: u64,
    /// Its bar.
    pub bar: u32,
    /// Conditions of the strategy, for the sides that may be held, that held on it: `enter_long`, `exit_long`, `enter_short`,
    /// `exit_short`.
    pub conditions: Vec<&'static str>,
    /// What the strategy looks at.
    pub features: Vec<FeatureReport>,
}

/// One feature around a signal; null where it has no value.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct FeatureReport {
    /// Who looks at it: `strategy`, `exits_and_orders` (at the signal's bar alone) or `sizing`
    /// (likewise).
    pub used_by: &'static str,
    /// Name.
    pub name: String,
    /// Parameters, in the order of its name.
    pub parameters: Vec<f64>,
    /// Value at the signal's bar.
    pub value: Option<f64>,
    /// Value at the bar before.
    pub before: Option<f64>,
}

/// One event.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct StoryEvent {
    /// Event id.
    pub event_id: u64,
    /// Kind.
    pub event_type: &'static str,
    /// Time of the bar.
    pub timestamp: Option<String>,
    /// Bar, absolute.
    pub bar: u32,
    /// Trade that it carries; null for none.
    pub correlation_id: Option<u32>,
    /// The event that caused it; null for none.
    pub causation_id: Option<u64>,
    /// Payload, as `admf-tools dump` prints it.
    pub payload: Value,
}

/// One bar.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct BarReport {
    /// Index, absolute.
    pub bar: u64,
    /// Time.
    pub timestamp: Option<String>,
    /// Open.
    pub open: f64,
    /// High.
    pub high: f64,
    /// Low.
    pub low: f64,
    /// Close.
    pub close: f64,
    /// Volume.
    pub volume: f64,
}
