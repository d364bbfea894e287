//! The objective of a phase, the constraints on its results and the percentiles of its aggregate.
//!
//! `objective: win_rate`, `objective: {minimize: max_drawdown}` or
//! `objective: {maximize: {sharpe_ratio: 0.4, win_rate: 0.6}}`; `result_constraints:
//! {min_trades: 30, max_drawdown: 0.2}`.

use super::document::Node;
use super::words::suggestion;
use crate::Result;
use crate::sequencer::Phase;
use admf_formats::report::{Bound, Metrics, Objective, ResultConstraint, Sense, Term};

/// Short names that constraints on results may use: `min_trades` is `min_total_trades`, and
/// `max_drawdown` bounds the largest drawdown.
const ALIASES: [(&str, &str); 3] = [
    ("trades", "total_trades"),
    ("drawdown", "max_drawdown"),
    ("sharpe", "sharpe_ratio"),
];

/// The objective with its constraints.
pub(super) fn objective(objective: &Node<'_>, constraints: &Node<'_>) -> Result<Objective> {
    let (sense, terms) = match objective.value().as_object() {
        None => {
            let metric = objective.word(&Metrics::OBJECTIVES)?;
            if Metrics::NOT_LARGER_IS_BETTER.contains(&metric) {
                return Err(objective.error(format!(
                    "a larger {metric} is not better; write {{minimize: {metric}}} or {{maximize: {metric}}}"
                )));
            }
            (Sense::Maximize, vec![term(metric, 1.0)])
        }
        Some(_) => {
            let (sense, sum) = objective.one_of(&["maximize", "minimize"])?;
            let sense = match sense.as_str() {
                "maximize" => Sense::Maximize,
                _ => Sense::Minimize,
            };
            (sense, terms(&sum)?)
        }
    };
    Ok(Objective {
        sense,
        terms,
        constraints: result_constraints(constraints)?,
    })
}

fn term(metric: &str, weight: f64) -> Term {
    Term {
        metric: metric.to_owned(),
        weight,
    }
}

/// A metric, or metrics with their weights.
fn terms(node: &Node<'_>) -> Result<Vec<Term>> {
    if node.value().is_string() {
        return Ok(vec![term(node.word(&Metrics::OBJECTIVES)?, 1.0)]);
    }
    let weights = node.map(&Metrics::OBJECTIVES)?;
    if weights.is_empty() {
        return Err(node.error("at least one metric with its weight was expected"));
    }
    // In the order of the metrics: keys of a map have none.
    Metrics::OBJECTIVES
        .iter()
        .filter_map(|metric| Some((metric, node.get(metric)?)))
        .map(|(metric, weight)| {
            let weight = weight.number("a weight other than 0", |weight| weight != 0.0)?;
            Ok(term(metric, weight))
        })
        .collect()
}

/// Sets the gate of every phase that `gates` names.
///
/// Errors: an unknown phase or constraint, or a gate that nothing follows.
pub(super) fn set_gates(node: &Node<'_>, phases: &mut [Phase], has_paths: bool) -> Result<()> {
    let names: Vec<String> = phases.iter().map(|phase| phase.name.clone()).collect();
    let known: Vec<&str> = names.iter().map(String::as_str).collect();
    node.map(&known)?;
    let last = phases.len() - 1;
    for (place, phase) in phases.iter_mut().enumerate() {
        let Some(gate) = node.get(&phase.name) else {
            continue;
        };
        if place == last && !has_paths {
            return Err(gate.error(format!(
                "nothing follows phase {}, so a gate after it has no use; remove it, or use result_constraints",
                phase.name
            )));
        }
        phase.gate = result_constraints(&gate)?;
        if phase.gate.is_empty() {
            return Err(gate.error("a map such as {min_sharpe: 0.5, min_trades: 10} was expected"));
        }
    }
    Ok(())
}

fn result_constraints(node: &Node<'_>) -> Result<Vec<ResultConstraint>> {
    let known = keys();
    let names: Vec<&str> = known.iter().map(|(key, ..)| key.as_str()).collect();
    let map = node.value().as_object().ok_or_else(|| {
        node.error(format!(
            "{} was found; a map such as {{min_trades: 30, max_drawdown: 0.2}} was expected",
            node.value()
        ))
    })?;
    for key in map.keys() {
        if !names.contains(&key.as_str()) {
            return Err(node.error(format!(
                "`{key}` is no constraint; min_ or max_ and a metric was expected{}",
                suggestion(key, &names)
            )));
        }
    }
    let mut constraints: Vec<ResultConstraint> = Vec::new();
    for (key, bound, metric) in &known {
        let Some(limit) = node.get(key) else {
            continue;
        };
        let limit = limit.number("a number", |_| true)?;
        if constraints
            .iter()
            .any(|other| other.metric == *metric && other.bound == *bound)
        {
            return Err(node.error(format!("{metric} is bounded twice; remove `{key}`")));
        }
        constraints.push(ResultConstraint {
            metric: (*metric).to_owned(),
            bound: *bound,
            limit,
        });
    }
    for least in &constraints {
        let is_above = |most: &ResultConstraint| {
            most.metric == least.metric && most.bound == Bound::AtMost && most.limit < least.limit
        };
        if least.bound == Bound::AtLeast
            && let Some(most) = constraints.iter().find(|most| is_above(most))
        {
            return Err(node.error(format!("nothing meets both {least} and {most}")));
        }
    }
    Ok(constraints)
}

/// Every key of `result_constraints`, with what it bounds.
fn keys() -> Vec<(String, Bound, &'static str)> {
    let metrics = Metrics::OBJECTIVES
        .into_iter()
        .map(|metric| (metric, metric));
    metrics
        .chain(ALIASES)
        .flat_map(|(name, metric)| {
            [
                (format!("min_{name}"), Bound::AtLeast, metric),
                (format!("max_{name}"), Bound::AtMost, metric),
            ]
        })
        .collect()
}

/// Percentiles at most; the memory of each is part of the plan.
const PERCENTILES_MAX: usize = 100;

/// The percentiles of an aggregate, in rising order.
pub(super) fn percentiles(node: &Node<'_>) -> Result<Vec<f64>> {
    if node.value().as_array().is_some_and(Vec::is_empty) {
        return Ok(Vec::new());
    }
    let list = node.list()?;
    if list.len() > PERCENTILES_MAX {
        return Err(node.error(format!(
            "{} percentiles were found; {PERCENTILES_MAX} at most were expected",
            list.len()
        )));
    }
    let mut percentiles: Vec<f64> = list
        .iter()
        .map(|item| {
            item.number("a number above 0, 100 at most", |percent| {
                percent > 0.0 && percent <= 100.0
            })
        })
        .collect::<Result<_>>()?;
    percentiles.sort_by(f64::total_cmp);
    if let Some(pair) = percentiles.windows(2).find(|pair| pair[0] == pair[1]) {
        return Err(node.error(format!("{} is listed twice", pair[0])));
    }
    Ok(percentiles)
}
