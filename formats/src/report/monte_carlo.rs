//! The JSON of resampled paths: `monte_carlo_results.json`.

use super::{MetricStatistics, Parameters};
use serde::{Serialize, Serializer};

/// What the paths of a Monte Carlo simulation come to.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct MonteCarloReport {
    /// Patterns of the sequence, outermost first.
    pub sequence: Vec<String>,
    /// `block_bootstrap`, `trade_reshuffle` or `price_noise`.
    pub method: String,
    /// Paths.
    pub paths: u64,
    /// The seed that every path's random numbers come from.
    pub seed: u64,
    /// Bars of a block; null under other methods than `block_bootstrap`.
    pub block: Option<u64>,
    /// Share of the volatility per bar; null under other methods than `price_noise`.
    pub noise: Option<f64>,
    /// What was resampled.
    pub source: MonteCarloSource,
    /// Returns of each path: bars, or closed trades under `trade_reshuffle`.
    pub returns: u64,
    /// Share of paths that end below their initial value.
    pub probability_of_loss: Option<f64>,
    /// Each metric over the paths.
    pub statistics: PathStatistics,
}

/// The curve that was resampled.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct MonteCarloSource {
    /// `container`, or `out_of_sample`: the stitched curve of all windows.
    pub kind: String,
    /// Phase of the container, or of testing.
    pub phase: String,
    /// The best container of the phase; null for a stitched curve.
    pub container: Option<String>,
    /// Its symbol, likewise.
    pub symbol: Option<String>,
    /// Its parameters, likewise.
    pub parameters: Option<Parameters>,
}

/// Statistics by metric.
///
/// Shape: a JSON object with the metrics as keys.
#[derive(Clone, Debug, PartialEq)]
pub struct PathStatistics(pub Vec<PathMetric>);

/// One metric over the paths in which it is not null.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PathMetric {
    /// Of what was resampled, with its returns in their own order.
    pub original: Option<f64>,
    /// Of the paths.
    #[serde(flatten)]
    pub paths: MetricStatistics,
}

impl Serialize for PathStatistics {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|one| (&one.paths.metric, one)))
    }
}
