//! The JSON of windows: `windows/<window>.json`, one per window, and `walk_forward_results.json`,
//! what they come to.
//!
//! A window's file is also what a resume reads instead of running the window again.

use super::{Metrics, Parameters, SymbolWindow};
use crate::result::{EquityTotals, ExecutionTotals, Ledger, ResultRecord, TradeTotals};
use crate::units::PARAMETERS_MAX;
use serde::{Deserialize, Serialize};

/// One window, finished.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SequenceWindow {
    /// Its folder below each phase, such as `window_03`.
    pub window: String,
    /// Bars of training, by piece and symbol.
    pub train: Vec<SymbolWindow>,
    /// Bars of testing, by symbol.
    pub test: Vec<SymbolWindow>,
    /// What training chose, best first: what testing ran.
    pub chosen: Vec<ChosenSet>,
    /// Why testing did not run; null where it ran.
    pub not_tested: Option<String>,
}

/// A parameter set that training chose.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChosenSet {
    /// Its container in training.
    pub container: String,
    /// Symbol.
    pub symbol: String,
    /// Parameters.
    pub parameters: Parameters,
    /// In training.
    pub in_sample: WindowFigures,
    /// In testing; null where testing did not run, or the container failed.
    pub out_of_sample: Option<WindowFigures>,
}

/// The figures of one container in one window.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WindowFigures {
    /// Training's objective.
    pub objective: Option<f64>,
    /// As in [`Metrics`].
    pub total_return: Option<f64>,
    /// As in [`Metrics`].
    pub annual_return: Option<f64>,
    /// As in [`Metrics`].
    pub sharpe_ratio: Option<f64>,
    /// As in [`Metrics`].
    pub max_drawdown: f64,
    /// As in [`Metrics`].
    pub total_trades: u64,
}

impl WindowFigures {
    /// The figures of these metrics.
    pub const fn of(metrics: &Metrics, objective: Option<f64>) -> WindowFigures {
        WindowFigures {
            objective,
            total_return: metrics.total_return,
            annual_return: metrics.annual_return,
            sharpe_ratio: metrics.sharpe_ratio,
            max_drawdown: metrics.max_drawdown,
            total_trades: metrics.total_trades,
        }
    }
}

/// All windows of a sequence.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct WalkForwardReport {
    /// Patterns of the sequence, outermost first.
    pub sequence: Vec<String>,
    /// Objective of training.
    pub objective: String,
    /// Windows.
    pub windows: u64,
    /// Windows whose testing ran.
    pub tested: u64,
    /// Windows whose testing did not run: a gate was shut, or training chose nothing.
    pub not_tested: u64,
    /// The stitched out-of-sample equity: what the best set of each window made, one window after
    /// the other, each with the equity that the one before left. Where testing overlaps, a bar
    /// belongs to the latest window that tests it; a window that was not tested holds nothing.
    pub out_of_sample: CurveReport,
    /// The chosen symbol held over the same bars, without costs.
    pub buy_and_hold: CurveReport,
    /// In-sample against out-of-sample.
    pub efficiency: EfficiencyReport,
    /// How far the choices agree.
    pub stability: StabilityReport,
    /// The windows, in order.
    pub window_results: Vec<SequenceWindow>,
}

/// A stitched equity curve.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct CurveReport {
    /// Bars of the curve.
    pub bars: u64,
    /// Simulated time of its first bar, RFC 3339 in UTC; null without a bar.
    pub first: Option<String>,
    /// Simulated time of its last bar, likewise.
    pub last: Option<String>,
    /// Metrics of the curve. A trade that a later window cuts off is not counted.
    pub metrics: Metrics,
}

/// In-sample figures of each window's best set against its out-of-sample figures.
///
/// Means are over the windows in which both figures exist, in order.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct EfficiencyReport {
    /// Mean annual return in sample.
    pub in_sample_annual_return: Option<f64>,
    /// Mean annual return out of sample.
    pub out_of_sample_annual_return: Option<f64>,
    /// The second / the first; null where the first is not positive.
    ///
    /// Source: R. Pardo, The Evaluation and Optimization of Trading Strategies, walk-forward
    /// efficiency.
    pub annual_return_efficiency: Option<f64>,
    /// Mean objective in sample.
    pub in_sample_objective: Option<f64>,
    /// Mean objective out of sample.
    pub out_of_sample_objective: Option<f64>,
    /// The second / the first; null where the first is not positive or the objective is minimized.
    pub objective_efficiency: Option<f64>,
    /// Mean objective in sample less out of sample (the other way round where it is minimized):
    /// what choosing the best made of chance.
    pub objective_decay: Option<f64>,
    /// Share of tested windows with a positive return out of sample.
    pub profitable_windows: Option<f64>,
}

/// How far the windows' best sets agree.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct StabilityReport {
    /// Different sets (symbol and parameters).
    pub distinct_sets: u64,
    /// Share of windows whose best set is that of the window before; null below two windows.
    pub repeated: Option<f64>,
    /// Each parameter over the windows.
    pub parameters: Vec<ParameterStability>,
}

/// One parameter of the best sets over the windows.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ParameterStability {
    /// Name.
    pub name: String,
    /// Different values.
    pub distinct: u64,
    /// The most frequent value, the smallest of those that tie.
    pub mode: Option<f64>,
    /// Share of windows with that value.
    pub mode_share: Option<f64>,
    /// Smallest value.
    pub min: Option<f64>,
    /// Largest value.
    pub max: Option<f64>,
    /// Mean.
    pub mean: Option<f64>,
    /// Sample standard deviation (n - 1); null below two windows.
    pub standard_deviation: Option<f64>,
}

/// The metrics of a curve's totals; it lies between these times (nanoseconds since 1970 UTC).
pub fn curve_metrics(
    equity: EquityTotals,
    trades: TradeTotals,
    execution: ExecutionTotals,
    [first_ts_ns, last_ts_ns]: [i64; 2],
    bars_per_year: f64,
) -> Metrics {
    let record = ResultRecord {
        index: 0,
        first_bar: 0,
        events: 0,
        first_ts_ns,
        last_ts_ns,
        status: 1,
        symbol: 0,
        parameters: [0.0; PARAMETERS_MAX],
        equity,
        trades,
        execution,
        ledger: Ledger::default(),
    };
    Metrics::of(&record, bars_per_year)
}
