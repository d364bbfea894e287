//! The JSON of one phase: `aggregate_results.json` and `phase_summary.json`.

use super::{Metrics, Parameters};
use serde::ser::{SerializeMap, Serializer};
use serde::{Deserialize, Serialize};

/// What a phase's containers come to.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct AggregateReport {
    /// Name of the phase.
    pub phase: String,
    /// Objective that ranks, see [`super::Objective::function`].
    pub objective: String,
    /// Containers, failed ones counted.
    pub containers: u64,
    /// Containers that saw their whole window.
    pub completed: u64,
    /// Containers that failed.
    pub failed: u64,
    /// Completed containers that miss a constraint on results: no later phase runs them.
    pub excluded: u64,
    /// The constraints on results, in the order of the workflow.
    pub result_constraints: Vec<ConstraintReport>,
    /// Closed trades of completed containers.
    pub total_trades: u64,
    /// The best completed containers, at most `top_n`: those that meet the constraints on results
    /// first, better objective first, null last, ties to the lowest index.
    pub best: Vec<BestContainer>,
    /// Means and extremes.
    pub aggregate_metrics: AggregateMetrics,
    /// Statistics of every metric over completed containers.
    pub statistics: StatisticsReport,
}

/// Statistics by metric.
///
/// Shape: a JSON object with the metrics as keys, the objective first where it is none of them; in
/// it the percentiles as an object with the percents as keys.
#[derive(Clone, Debug, PartialEq)]
pub struct StatisticsReport(pub Vec<MetricStatistics>);

/// Statistics of one metric over the completed containers in which it is not null.
#[derive(Clone, Debug, PartialEq)]
pub struct MetricStatistics {
    /// Metric.
    pub metric: String,
    /// Containers.
    pub count: u64,
    /// Mean; null without a container.
    pub mean: Option<f64>,
    /// Sample standard deviation (n - 1); null below two containers.
    pub std: Option<f64>,
    /// Smallest value.
    pub min: Option<f64>,
    /// Largest value.
    pub max: Option<f64>,
    /// Percentiles, exact.
    pub percentiles: Vec<PercentileReport>,
}

/// One percentile, by nearest rank: the smallest value such that at least `percent` percent of all
/// values are at or below it.
#[derive(Clone, Debug, PartialEq)]
pub struct PercentileReport {
    /// Above 0, at most 100.
    pub percent: f64,
    /// Null without a container.
    pub value: Option<f64>,
}

impl Serialize for StatisticsReport {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|one| (&one.metric, one)))
    }
}

impl Serialize for MetricStatistics {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Percentiles<'a>(#[serde(serialize_with = "percentiles")] &'a [PercentileReport]);

        fn percentiles<S: Serializer>(
            list: &[PercentileReport],
            serializer: S,
        ) -> Result<S::Ok, S::Error> {
            serializer.collect_map(list.iter().map(|one| (one.percent.to_string(), one.value)))
        }

        let mut map = serializer.serialize_map(Some(6))?;
        map.serialize_entry("count", &self.count)?;
        map.serialize_entry("mean", &self.mean)?;
        map.serialize_entry("std", &self.std)?;
        map.serialize_entry("min", &self.min)?;
        map.serialize_entry("max", &self.max)?;
        map.serialize_entry("percentiles", &Percentiles(&self.percentiles))?;
        map.end()
    }
}

/// A constraint on results.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ConstraintReport {
    /// Such as `total_trades >= 30`.
    pub constraint: String,
    /// Completed containers that miss it.
    pub missed: u64,
}

/// One of the best containers.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct BestContainer {
    /// Name, see [`super::container_id`].
    pub container: String,
    /// Symbol.
    pub symbol: String,
    /// Parameters.
    pub parameters: Parameters,
    /// Value of the objective; null where the metric is null.
    pub objective_value: Option<f64>,
    /// Whether it meets every constraint on results.
    pub meets_constraints: bool,
    /// Metrics.
    pub metrics: Metrics,
}

/// Means and extremes over completed containers.
///
/// Each mean is over the containers in which the metric is not null, summed in order of index; null
/// where there is none. The best are those of the containers that meet the constraints on results.
/// Shape: the objective's best is written as `best_<metric>` where one metric is maximized (once
/// also where that is the Sharpe ratio), else as `best_objective`.
#[derive(Clone, Debug, PartialEq)]
pub struct AggregateMetrics {
    /// What the best objective is called, see [`super::Objective::short_name`].
    pub objective: String,
    /// Best value of the objective.
    pub best_objective: Option<f64>,
    /// Largest Sharpe ratio.
    pub best_sharpe_ratio: Option<f64>,
    /// Mean Sharpe ratio.
    pub avg_sharpe_ratio: Option<f64>,
    /// Mean total return.
    pub avg_total_return: Option<f64>,
    /// Mean of the largest drawdowns.
    pub avg_max_drawdown: Option<f64>,
    /// Mean win rate.
    pub avg_win_rate: Option<f64>,
    /// Completed containers.
    pub portfolio_count: u64,
}

impl Serialize for AggregateMetrics {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        if self.objective != "sharpe_ratio" {
            map.serialize_entry(&format!("best_{}", self.objective), &self.best_objective)?;
        }
        map.serialize_entry("best_sharpe_ratio", &self.best_sharpe_ratio)?;
        map.serialize_entry("avg_sharpe_ratio", &self.avg_sharpe_ratio)?;
        map.serialize_entry("avg_total_return", &self.avg_total_return)?;
        map.serialize_entry("avg_max_drawdown", &self.avg_max_drawdown)?;
        map.serialize_entry("avg_win_rate", &self.avg_win_rate)?;
        map.serialize_entry("portfolio_count", &self.portfolio_count)?;
        map.end()
    }
}

/// What a phase was, in short.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PhaseSummary {
    /// Name of the phase.
    pub phase: String,
    /// Containers, failed ones counted.
    pub containers: u64,
    /// Containers that failed.
    pub failed: u64,
    /// The window of each symbol, in the manifest's order.
    pub window: Vec<SymbolWindow>,
    /// As in the aggregate.
    pub metrics_summary: AggregateMetrics,
    /// Why it did not run; absent where it ran.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub not_run: Option<String>,
    /// The settings of the phase.
    pub config: PhaseConfig,
}

/// The bars of one symbol that a phase traded on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SymbolWindow {
    /// Symbol.
    pub symbol: String,
    /// Bars.
    pub bars: u64,
    /// Simulated time of the first bar, RFC 3339 in UTC; null without a bar.
    pub first: Option<String>,
    /// Simulated time of the last bar, likewise.
    pub last: Option<String>,
}

/// The settings of a phase as the workflow gives them: not what the budget made of them, which
/// `run.json` tells, so that the summary is the same bytes under any budget.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PhaseConfig {
    /// `disk` or `memory`.
    pub results_storage: String,
    /// `auto`, `json` or `archive`.
    pub container_results: String,
    /// Names of the traced kinds of events, in order of their numbers.
    pub event_tracing: Vec<String>,
    /// Retention policy.
    pub retention_policy: String,
    /// Events of the sliding window; null under other policies.
    pub sliding_window_size: Option<u64>,
    /// Bars or time of the sliding window, such as `500 bars`, where it has no number of events.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sliding_window: Option<String>,
    /// Whether every trade is kept.
    pub store_trades: bool,
    /// Strategy.
    pub strategy: String,
    /// Objective with the constraints on results, see [`super::Objective`].
    pub objective: String,
    /// How many best containers are reported and handed over.
    pub top_n: u64,
    /// `history` or `none`.
    pub warmup: String,
    /// Percentiles of the aggregate.
    pub percentiles: Vec<f64>,
    /// Trace level; `custom` where the keys alone say what is traced.
    pub trace_level: String,
    /// Equity before the first bar, in money.
    pub initial_capital: f64,
}
