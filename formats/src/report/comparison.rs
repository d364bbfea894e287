//! The JSON of phases beside each other: `comparison_results.json`.

use super::Parameters;
use serde::Serialize;
use serde::ser::Serializer;

/// What parameter sets that one phase chose came to in the phase that ran them.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ComparisonReport {
    /// The phase that chose.
    pub from: String,
    /// The phase that ran what was chosen.
    pub to: String,
    /// What it was chosen by, without the constraints on results.
    pub objective: String,
    /// Parameter sets that were handed over.
    pub containers: u64,
    /// Those of them that completed in both phases.
    pub completed: u64,
    /// Every metric over those, by name.
    #[serde(serialize_with = "by_metric")]
    pub metrics: Vec<MetricComparison>,
    /// Every set that was handed over, best first.
    pub sets: Vec<SetComparison>,
}

/// Means of one metric, over the sets in which it is null in neither phase.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct MetricComparison {
    /// Metric, or `objective` where that is none.
    #[serde(skip)]
    pub metric: String,
    /// Sets.
    pub count: u64,
    /// Mean in the phase that chose; null without a set.
    pub from: Option<f64>,
    /// Mean in the phase that ran what was chosen; null without a set.
    pub to: Option<f64>,
    /// `to - from`.
    pub change: Option<f64>,
    /// `to / from`; null where `from` is not above zero.
    pub ratio: Option<f64>,
}

/// One parameter set in both phases.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SetComparison {
    /// Its container in the phase that chose.
    pub container: String,
    /// Symbol.
    pub symbol: String,
    /// Parameters.
    pub parameters: Parameters,
    /// Value of the objective in the phase that chose.
    pub from: Option<f64>,
    /// Value of the same objective in the phase that ran it; null where it failed, too.
    pub to: Option<f64>,
}

fn by_metric<S: Serializer>(list: &[MetricComparison], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(list.iter().map(|one| (&one.metric, one)))
}
