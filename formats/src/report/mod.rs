//! The JSON of the results tree: reports of containers, phases and runs.
//!
//! Everything here but [`RunReport`] is the same bytes for any machine, thread count and budget: no
//! time of the wall clock, no `NaN` or `Infinity` (they become `null`), keys in declared order. The
//! shapes are also written down in `formats/schema/*.schema.json`. When to write is not decided here.

mod aggregate;
mod comparison;
mod container;
mod event;
mod metrics;
mod monte_carlo;
mod objective;
mod run;
mod story;
mod walk_forward;

pub use aggregate::{
    AggregateMetrics, AggregateReport, BestContainer, ConstraintReport, MetricStatistics,
    PercentileReport, PhaseConfig, PhaseSummary, StatisticsReport, SymbolWindow,
};
pub use comparison::{ComparisonReport, MetricComparison, SetComparison};
pub use container::{
    ContainerReport, DroppedReport, EventsReport, MetricsReport, RecycledReport, ReportContext,
    ReportSymbol, SummaryReport, WindowReport,
};
pub use event::event_payload;
pub use metrics::Metrics;
pub use monte_carlo::{MonteCarloReport, MonteCarloSource, PathMetric, PathStatistics};
pub use objective::{Bound, Objective, ResultConstraint, Sense, Term};
pub use run::{RunData, RunReport, RunShard, RunStatus, SkippedPhase, StorageChange};
pub use story::{
    BarReport, FeatureReport, FiguresReport, LevelsReport, ScaleOutReport, SignalReport,
    StoryEvent, StoryReport,
};
pub use walk_forward::{
    ChosenSet, CurveReport, EfficiencyReport, ParameterStability, SequenceWindow, StabilityReport,
    WalkForwardReport, WindowFigures, curve_metrics,
};

use crate::units::finite;
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde::ser::{Serialize, SerializeMap, Serializer};

/// What a container's name begins with.
const CONTAINER_PREFIX: &str = "portfolio_";

/// Named parameter values, in the order of the strategy.
///
/// Shape: a JSON object; whole numbers are written as integers (`20`, not `20.0`).
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Parameters(pub Vec<(String, f64)>);

impl Serialize for Parameters {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        /// Below this every whole number has an exact `f64`.
        const WHOLE_MAX: f64 = 9_007_199_254_740_992.0;
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (name, value) in &self.0 {
            if value.fract() == 0.0 && value.abs() < WHOLE_MAX {
                map.serialize_entry(name, &(*value as i64))?;
            } else {
                map.serialize_entry(name, &finite(*value))?;
            }
        }
        map.end()
    }
}

impl<'de> Deserialize<'de> for Parameters {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Parameters, D::Error> {
        struct Values;
        impl<'de> Visitor<'de> for Values {
            type Value = Parameters;

            fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                formatter.write_str("a map of parameters to numbers")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Parameters, A::Error> {
                let mut values = Vec::new();
                while let Some(entry) = map.next_entry::<String, f64>()? {
                    values.push(entry);
                }
                Ok(Parameters(values))
            }
        }
        deserializer.deserialize_map(Values)
    }
}

/// The name of a container: `portfolio_001` is the one with index 0.
///
/// Shape: the number counts from 1, with as many digits as the count of containers has, and at
/// least three, so that names sort like indexes.
pub fn container_id(index: u64, count: u64) -> String {
    let width = count.to_string().len().max(3);
    format!("{CONTAINER_PREFIX}{:0width$}", u128::from(index) + 1)
}

/// The index of the container that a user names, as `portfolio_007`, `007` or `7`; `None` where it
/// is not a number from 1 to `count`.
pub fn container_index(text: &str, count: u64) -> Option<u64> {
    let digits = text.strip_prefix(CONTAINER_PREFIX).unwrap_or(text);
    if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let number: u64 = digits.parse().ok()?;
    (1..=count).contains(&number).then(|| number - 1)
}

/// A report as bytes: indented by two spaces, with a newline at the end.
pub fn to_json_bytes<T: Serialize>(report: &T) -> Vec<u8> {
    let mut bytes = serde_json::to_vec_pretty(report)
        .expect("keys of reports are text, and writing to memory does not fail");
    bytes.push(b'\n');
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn the_name_of_a_container_leads_back_to_it(count in 1..u64::MAX, share in 0.0..1.0_f64) {
            let index = ((count as f64 * share) as u64).min(count - 1);
            let id = container_id(index, count);
            prop_assert_eq!(container_index(&id, count), Some(index));
            prop_assert_eq!(container_index(&(index + 1).to_string(), count), Some(index));
            prop_assert_eq!(id.len(), container_id(0, count).len());
        }
    }

    #[test]
    fn containers_are_numbered_from_one() {
        assert_eq!(container_id(0, 1), "portfolio_001");
        assert_eq!(container_id(999, 1_000), "portfolio_1000");
        assert_eq!(container_id(0, 1_000), "portfolio_0001");
        for wrong in [
            "0",
            "4",
            "+1",
            "-1",
            "",
            "portfolio_",
            "portfolio_004",
            "1.0",
            "one",
            "٣",
        ] {
            assert_eq!(container_index(wrong, 3), None, "{wrong}");
        }
    }

    #[test]
    fn whole_parameters_are_written_as_integers() {
        let values = [
            ("fast", 5.0),
            ("slow", -0.0),
            ("width", 2.5),
            ("far", 1e300),
            ("no", f64::NAN),
        ];
        let parameters = Parameters(
            values
                .map(|(name, value)| (name.to_owned(), value))
                .to_vec(),
        );
        let json = String::from_utf8(to_json_bytes(&parameters)).expect("JSON is UTF-8");
        let expected = "{\n  \"fast\": 5,\n  \"slow\": 0,\n  \"width\": 2.5,\n  \"far\": 1e+300,\n  \"no\": null\n}\n";
        assert_eq!(json, expected);
    }
}
