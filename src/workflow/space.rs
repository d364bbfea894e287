//! Values of parameters, and how sets of them are drawn.
//!
//! A parameter is a number, a list, `{choice: [...]}`, or a range: `{min, max, step}`,
//! `{min, max, count}`, and where sets are sampled also `{min, max}` alone; `integer: true` and
//! `scale: log` narrow a range. `sampling: {method, samples, seed}` draws sets; without it they are
//! the whole grid.

use super::document::Node;
use super::words;
use crate::Result;
use crate::sweep::{Constraint, Dimension, Method, Range, Sampler, Space, Values, between_logs};
use serde_json::Value;

/// Values that one parameter may take at most; each that is listed is 8 bytes of the plan.
const VALUES_MAX: u64 = 1 << 20;

/// How sets are drawn.
pub(super) struct Sampling<'a> {
    node: Node<'a>,
    method: Method,
    samples: u64,
    seed: u64,
}

/// `sampling` of the strategy; `None` where the sets are a grid.
pub(super) fn sampling<'a>(strategy: &Node<'a>) -> Result<Option<Sampling<'a>>> {
    let Some(node) = strategy.get("sampling") else {
        return Ok(None);
    };
    node.map(&words::SAMPLING)?;
    let method = node.need("method", "sobol")?;
    let method = match method.word(&["grid", "random", "sobol", "latin_hypercube"])? {
        "random" => Method::Random,
        "sobol" => Method::Sobol,
        "latin_hypercube" => Method::LatinHypercube,
        _ => {
            if let Some(unused) = node.get("samples").or(node.get("seed")) {
                return Err(unused.error("a grid has every set; remove the key or draw samples"));
            }
            return Ok(None);
        }
    };
    let seed = node.need("seed", "1")?;
    let seed = seed.value().as_u64().ok_or_else(|| {
        seed.error(format!(
            "{} was found; a whole number from 0 to 2^64 - 1 was expected",
            seed.value()
        ))
    })?;
    let samples = node.need("samples", "1000")?.count()?;
    Ok(Some(Sampling {
        node,
        method,
        samples,
        seed,
    }))
}

/// The values of one parameter; `check` says whether the strategy takes a value.
///
/// Errors: a range that is empty, not fully given or of values that the strategy does not take.
pub(super) fn range(
    node: &Node<'_>,
    is_sampled: bool,
    check: impl Fn(f64) -> Result<(), String>,
) -> Result<Range> {
    let range = match node.value() {
        Value::Array(_) => Range::Choice(list(node)?.into()),
        Value::Object(map) if map.contains_key("choice") => {
            node.map(&["choice"])?;
            Range::Choice(list(&node.need("choice", "[5, 10]")?)?.into())
        }
        Value::Object(_) => between(node, is_sampled)?,
        _ => {
            let number = node.number("a number, a list or {min, max, step}", |_| true)?;
            Range::Choice(vec![number].into())
        }
    };
    match &range {
        Range::Choice(values) => values.iter().try_for_each(&check),
        _ => range.ends().into_iter().try_for_each(&check),
    }
    .map_err(|message| node.error(message))?;
    if let Range::Linear { min, max } | Range::Log { min, max } = range {
        // A share that hits no whole number: the ends alone may be whole by chance.
        let between = min + (max - min) * 0.618_033_988_749_894_9;
        if let (Err(message), Ok(())) = (check(between), check(between.round())) {
            return Err(node.error(format!("{message}: add `integer: true` to the range")));
        }
        check(between).map_err(|message| node.error(message))?;
    }
    Ok(range)
}

fn list(node: &Node<'_>) -> Result<Vec<f64>> {
    let values: Vec<f64> = node
        .list()?
        .iter()
        .map(|item| item.number("a number", |_| true))
        .collect::<Result<_>>()?;
    for (at, value) in values.iter().enumerate() {
        if values[..at].contains(value) {
            return Err(node.error(format!("{value} is listed twice")));
        }
    }
    Ok(values)
}

/// A range with both ends counted.
fn between(node: &Node<'_>, is_sampled: bool) -> Result<Range> {
    node.map(&words::RANGE)?;
    let is_integer = match node.get("integer") {
        Some(integer) => integer.bool()?,
        None => false,
    };
    let is_log = match node.get("scale") {
        Some(scale) => scale.word(&["linear", "log"])? == "log",
        None => false,
    };
    let bound = |key: &str| {
        let expected = if is_integer {
            "a whole number"
        } else {
            "a number"
        };
        let is_expected = |number: f64| !is_integer || number.fract() == 0.0;
        node.need(key, "5")?.number(expected, is_expected)
    };
    let (min, max) = (bound("min")?, bound("max")?);
    if min > max {
        return Err(node.error(format!("the range is empty: min {min} is above max {max}")));
    }
    if is_log && min <= 0.0 {
        return Err(node.error(format!(
            "a log range needs min above 0, {min} was found; raise min or use scale: linear"
        )));
    }
    match (node.get("step"), node.get("count")) {
        (Some(step), Some(_)) => Err(step.error("both `step` and `count` are given; keep one")),
        (Some(step), None) if is_log => {
            Err(step.error("a log range has no step; write for example `count: 10`"))
        }
        (Some(step), None) => {
            let expected = if is_integer {
                "a whole number above 0"
            } else {
                "a number above 0"
            };
            let is_expected = |step: f64| step > 0.0 && (!is_integer || step.fract() == 0.0);
            stepped(node, min, max, step.number(expected, is_expected)?).map(Range::Choice)
        }
        (None, Some(count)) => counted(&count, min, max, is_log, is_integer).map(Range::Choice),
        (None, None) if is_sampled => Ok(match (is_integer, is_log) {
            (false, false) => Range::Linear { min, max },
            (false, true) => Range::Log { min, max },
            (true, false) => Range::Integer { min, max },
            (true, true) => Range::LogInteger { min, max },
        }),
        (None, None) if is_integer && !is_log => stepped(node, min, max, 1.0).map(Range::Choice),
        (None, None) => Err(node.error(
            "`step` or `count` is missing: a grid needs to know the values; write for example \
             `step: 5`, or draw samples with `sampling`",
        )),
    }
}

fn stepped(node: &Node<'_>, min: f64, max: f64, step: f64) -> Result<Values> {
    // A hair of tolerance, so that {min: 0.1, max: 0.3, step: 0.1} has three values.
    let steps = ((max - min) / step + 1e-9).floor();
    if steps >= VALUES_MAX as f64 {
        return Err(node.error(format!(
            "more than {VALUES_MAX} values; make the step larger"
        )));
    }
    let count = steps as u64 + 1;
    Ok(Values::Steps { min, step, count })
}

/// So many values from end to end; whole ones are the nearest, each once.
fn counted(node: &Node<'_>, min: f64, max: f64, is_log: bool, is_integer: bool) -> Result<Values> {
    let count = node.count()?;
    if count > VALUES_MAX {
        return Err(node.error(format!("more than {VALUES_MAX} values; take fewer")));
    }
    if count == 1 && min != max {
        return Err(node.error("one value has no two ends; write 2 or more, or a plain number"));
    }
    let mut values: Vec<f64> = (0..count)
        .map(|k| {
            let share = k as f64 / (count - 1).max(1) as f64;
            // The ends are exact, whatever the logarithm does.
            let value = match k {
                0 => min,
                _ if k == count - 1 => max,
                _ if is_log => between_logs(min, max, share),
                _ => min + share * (max - min),
            };
            if is_integer { value.round() } else { value }
        })
        .collect();
    values.dedup();
    Ok(values.into())
}

/// The parameter sets of these named ranges.
///
/// Errors: too many sets, none, or a wrong count of samples.
pub(super) fn space(
    node: &Node<'_>,
    ranges: Vec<(String, Range)>,
    sampling: Option<Sampling<'_>>,
    constraints: Vec<Constraint>,
) -> Result<Space> {
    let space = match sampling {
        Some(sampling) => {
            let sampler = Sampler::new(ranges, sampling.method, sampling.samples, sampling.seed)
                .map_err(|message| sampling.node.error(message))?;
            Space::sampled(sampler, constraints)
        }
        None => {
            let dimensions = ranges.into_iter().map(|(name, range)| {
                let Range::Choice(values) = range else {
                    unreachable!("a grid's ranges are lists of values");
                };
                Dimension { name, values }
            });
            Space::new(dimensions.collect(), constraints)
        }
    };
    space.map_err(|message| node.error(message))
}
