//! Phases of each workflow: defaults, overrides, and the settings that come of them.

use super::amounts::Parameters;
use super::costs;
use super::document::{Document, Node};
use super::exits;
use super::levels;
use super::objective::{objective, percentiles};
use super::portfolio;
use super::trace::{SAME, check_keep, refuse_two_windows, trace};
use super::words::{self, suggestion};
use crate::Result;
use crate::container::{ContainerRules, RuleFeatures};
use crate::execution::{Entry, ExecutionRules, FillAt};
use crate::market::Calendar;
use crate::portfolio::Sizing;
use crate::sequencer::{
    Candidates, ContainerResults, ContainerTrace, Phase, ResultsStorage, Warmup, Window,
};
use serde_json::{Map, Value, json};

/// Maps that are replaced whole, since their keys exclude each other.
const REPLACED: [&str; 12] = [
    "sizing",
    "commission",
    "slippage",
    "spread",
    "borrow",
    "entry",
    "stop_loss",
    "take_profit",
    "trailing_stop",
    "objective",
    "sliding_window",
    "keep",
];

/// Defaults of every phase of every workflow.
fn defaults() -> Value {
    json!({
        "portfolio": {
            "initial_capital": 100_000,
            "direction": "long_only",
            "sizing": {"percent_of_equity": 100},
            "pyramiding": {"max_entries": 1},
            "whole_units": false,
            "close_at_end": false,
        },
        "risk": {
            "max_position": "none",
            "max_exposure": "none",
            "max_drawdown": "none",
            "max_daily_loss": "none",
        },
        "execution": {
            "fill": "next_open",
            "commission": {"rate": 0.0},
            "slippage": {"rate": 0.0},
            "spread": {"rate": 0.0},
            "borrow": {"annual_rate": 0.0},
            "entry": "market",
        },
        "exits": {
            "stop_loss": "none",
            "take_profit": "none",
            "trailing_stop": "none",
            "scale_out": [],
            "anchor": "signal_close",
            "both_touched": "stop_first",
            "max_bars": "none",
            "end_of_day": "none",
            "reentry": "at_once",
        },
        "objective": "sharpe_ratio",
        "result_constraints": {},
        "top_n": 1,
        "percentiles": [5, 25, 50, 75, 95],
        "warmup": "history",
        "trace_level": "custom",
        "container_settings": {},
        "event_tracing": words::TRADE_EVENTS,
        "retention_policy": "trade_complete",
        "sliding_window_size": 1000,
        "store_trades": false,
        "trace": {"bytes_per_container": "64KiB", "on_full": "degrade", "backing": "disk", "compression": "none"},
        "results_storage": "disk",
        "container_results": "auto",
    })
}

/// A phase as its pattern declares it.
pub(super) struct Outline {
    pub(super) name: String,
    /// Its own defaults.
    pub(super) defaults: Value,
    pub(super) window: Window,
    /// The earlier phase whose best it runs.
    pub(super) best_of: Option<String>,
}

/// The phases, and their effective settings by name.
pub(super) fn phases<'a>(
    document: &'a Document,
    root: &Node<'_>,
    outline: &[Outline],
    calendar: &Calendar,
    parameters: &Parameters<'a>,
) -> Result<(Vec<Phase>, Value)> {
    let names: Vec<&str> = outline
        .iter()
        .map(|outline| outline.name.as_str())
        .collect();
    let overrides = root.get("phase_overrides");
    if let Some(overrides) = &overrides {
        for (name, value) in overrides.map(&names)? {
            let phase = document.node(
                value.clone(),
                vec!["phase_overrides".to_owned(), name.clone()],
            );
            check_phase_keys(&phase)?;
            refuse_two_windows(&phase)?;
        }
    }
    refuse_two_windows(root)?;
    let top_level: Map<String, Value> = words::PHASE_KEYS
        .iter()
        .filter_map(|key| {
            root.get(key)
                .map(|node| ((*key).to_owned(), node.value().clone()))
        })
        .collect();
    let mut built: Vec<Phase> = Vec::new();
    let mut settings = Map::new();
    for Outline {
        name,
        defaults: own,
        window,
        best_of,
    } in outline
    {
        let overridden = overrides.as_ref().and_then(|overrides| overrides.get(name));
        let keys = match &overridden {
            Some(_) => vec!["phase_overrides".to_owned(), name.to_owned()],
            None => Vec::new(),
        };
        // A level fills in what the user left open, so it comes before all that is written down.
        let layered = |level: Option<&str>| {
            let mut merged = defaults();
            merge(&mut merged, own);
            merge(&mut merged, &level.map_or(Value::Null, levels::level));
            merge(&mut merged, &Value::Object(top_level.clone()));
            if let Some(phase) = &overridden {
                merge(&mut merged, phase.value());
            }
            merged
        };
        let level = layered(None)["trace_level"].clone();
        let merged = layered(level.as_str());
        let mut phase = phase(
            &Source {
                document,
                merged: merged.clone(),
                keys: keys.clone(),
            },
            name,
            *window,
            calendar,
            parameters,
        )?;
        phase.container_traces = container_traces(
            &Source {
                document,
                merged: merged.clone(),
                keys: keys.clone(),
            },
            &layered,
            &phase.container,
        )?;
        if let Some(earlier) = best_of {
            let source = built.iter().find(|built| built.name == *earlier);
            phase.candidates = Candidates::BestOf {
                phase: earlier.clone(),
                count: source.map_or(1, |source| source.top_n),
            };
        }
        settings.insert(name.to_owned(), merged);
        built.push(phase);
    }
    check_keep(root, &built)?;
    Ok((built, Value::Object(settings)))
}

/// Rules of the containers that `container_settings` names; `layered` gives a phase's settings as
/// they are under a level.
fn container_traces(
    source: &Source<'_>,
    layered: &dyn Fn(Option<&str>) -> Value,
    container: &ContainerRules,
) -> Result<Vec<ContainerTrace>> {
    let of_phase = source.merged["trace_level"].as_str();
    levels::container_settings(&source.get("container_settings"))?
        .into_iter()
        .map(|settings| {
            let level = settings.level.as_deref().or(of_phase);
            let mut merged = layered(level);
            merge(&mut merged, &settings.keys);
            let own = Source {
                document: source.document,
                merged,
                keys: source.keys.clone(),
            };
            let rules = trace(&own, |kinds| container.trade_bytes_max(kinds))?;
            let is_window = rules.policy.name() == "sliding_window";
            if SAME.iter().any(|key| settings.keys.get(key).is_some()) && !is_window {
                return Err(source.get("container_settings").error(format!(
                    "pattern `{}`: a window has no use under retention_policy {}; add \
                     `retention_policy: sliding_window`",
                    settings.pattern.text(),
                    rules.policy.name()
                )));
            }
            Ok(ContainerTrace {
                level: level.unwrap_or_default().to_owned(),
                pattern: settings.pattern,
                rules,
            })
        })
        .collect()
}

/// Refuses keys that a phase does not have.
pub(super) fn check_phase_keys(node: &Node<'_>) -> Result<()> {
    if let Some(map) = node.value().as_object()
        && let Some(key) = map
            .keys()
            .find(|key| words::WORKFLOW_KEYS.contains(&key.as_str()))
    {
        return Err(node.error(format!(
            "`{key}` belongs to the whole workflow, not to a phase{}",
            suggestion(key, &words::PHASE_KEYS)
        )));
    }
    node.map(&words::PHASE_KEYS).map(|_| ())
}

/// Nested maps merge key by key; everything else is replaced.
pub(super) fn merge(into: &mut Value, from: &Value) {
    match (into, from) {
        (Value::Object(into), Value::Object(from)) => {
            for (key, value) in from {
                if let Some(at) = SAME.iter().position(|same| same == key) {
                    into.remove(SAME[1 - at]);
                }
                match into.get_mut(key) {
                    Some(existing) if !REPLACED.contains(&key.as_str()) => merge(existing, value),
                    _ => {
                        into.insert(key.clone(), value.clone());
                    }
                }
            }
        }
        (into, from) if !from.is_null() => *into = from.clone(),
        _ => {}
    }
}

/// The merged settings of one phase.
pub(super) struct Source<'a> {
    document: &'a Document,
    pub(super) merged: Value,
    /// Where its overrides stand.
    keys: Vec<String>,
}

impl<'a> Source<'a> {
    /// The setting, which has a default; errors point to the override where the file has one.
    pub(super) fn get(&self, key: &str) -> Node<'a> {
        let overridden = self
            .keys
            .iter()
            .try_fold(self.document.root(), |node, key| node.get(key))
            .is_some_and(|node| !self.keys.is_empty() && node.get(key).is_some());
        let mut keys = if overridden {
            self.keys.clone()
        } else {
            Vec::new()
        };
        keys.push(key.to_owned());
        self.document.node(self.merged[key].clone(), keys)
    }
}

fn phase<'a>(
    source: &Source<'a>,
    name: &str,
    window: Window,
    calendar: &Calendar,
    parameters: &Parameters<'a>,
) -> Result<Phase> {
    let mut features = RuleFeatures::default();
    let storage = source.get("results_storage");
    let container_results = source.get("container_results");
    let warmup = source.get("warmup");
    let mut container = ContainerRules {
        portfolio: portfolio::portfolio(&source.get("portfolio"))?,
        exits: exits::exits(&source.get("exits"), parameters, &mut features)?,
        execution: execution(&source.get("execution"), parameters, &mut features)?,
        features,
        risk: portfolio::risk(&source.get("risk"))?,
        trace: trace(source, |_| u64::MAX)?,
        calendar: calendar.clone(),
    };
    // What is kept depends on what a trade may need, which the rest says.
    container.trace = trace(source, |kinds| container.trade_bytes_max(kinds))?;
    check_together(source, &container)?;
    Ok(Phase {
        name: name.to_owned(),
        window,
        candidates: Candidates::Space,
        trace_level: source
            .get("trace_level")
            .word(&words::TRACE_LEVELS)?
            .to_owned(),
        container_traces: Vec::new(),
        container,
        objective: objective(&source.get("objective"), &source.get("result_constraints"))?,
        gate: Vec::new(),
        top_n: source.get("top_n").count()?,
        percentiles: percentiles(&source.get("percentiles"))?,
        results_storage: match storage.word(&["disk", "memory"])? {
            "disk" => ResultsStorage::Disk,
            _ => ResultsStorage::Memory,
        },
        container_results: match container_results.word(&["auto", "json", "archive"])? {
            "auto" => ContainerResults::Auto,
            "json" => ContainerResults::Json,
            _ => ContainerResults::Archive,
        },
        warmup: match warmup.word(&["history", "none"])? {
            "history" => Warmup::History,
            _ => Warmup::None,
        },
    })
}

/// Rules that need or exclude one another.
fn check_together(source: &Source<'_>, rules: &ContainerRules) -> Result<()> {
    if let Sizing::RiskPerTrade { .. } = rules.portfolio.sizing
        && rules.exits.stop_loss.is_none()
        && rules.exits.trailing_stop.is_none()
    {
        return Err(source.get("portfolio").error(
            "sizing by risk_per_trade needs the distance to a stop loss, and none is set; \
             set one, or size by {atr: {percent: 1, multiple: 2, period: 14}}",
        ));
    }
    if rules.portfolio.max_entries > 1 && rules.execution.entry.order != Entry::Market {
        return Err(source.get("execution").error(
            "pyramiding adds to a position at the market only; set `entry: market`, or \
             `portfolio.pyramiding: {max_entries: 1}`",
        ));
    }
    Ok(())
}

fn execution<'a>(
    node: &Node<'a>,
    parameters: &Parameters<'a>,
    features: &mut RuleFeatures,
) -> Result<ExecutionRules> {
    node.map(&words::EXECUTION)?;
    let fill = node.need("fill", "next_open")?;
    Ok(ExecutionRules {
        fill: match fill.word(&["next_open", "same_close"])? {
            "next_open" => FillAt::NextOpen,
            _ => FillAt::SameClose,
        },
        commission: costs::commission(node)?,
        price_cost: costs::price_cost(node)?,
        borrow: costs::borrow(node)?,
        entry: exits::entry(&node.need("entry", "market")?, parameters, features)?,
    })
}
