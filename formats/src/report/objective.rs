//! The objective: what ranks the containers of a phase.
//!
//! A metric or a weighted sum of metrics, maximized or minimized, and the constraints that a result
//! must meet to rank at all. Its text form is part of the manifest, so that an archive says how its
//! containers rank: `sharpe_ratio`, `minimize max_drawdown`,
//! `0.4*sharpe_ratio + 0.6*win_rate where total_trades >= 30 and max_drawdown <= 0.2`.

use super::Metrics;
use crate::units::finite;
use std::cmp::Ordering;
use std::fmt;

/// Whether larger or smaller values rank first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sense {
    /// Larger is better.
    Maximize,
    /// Smaller is better.
    Minimize,
}

/// A metric and its weight in the objective.
#[derive(Clone, Debug, PartialEq)]
pub struct Term {
    /// One of [`Metrics::OBJECTIVES`].
    pub metric: String,
    /// Finite; 1 where the metric stands alone.
    pub weight: f64,
}

/// The side on which a result must lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bound {
    /// The metric must be at least the limit.
    AtLeast,
    /// The metric must be at most the limit.
    AtMost,
}

/// What a result must meet to rank. A metric that is null meets nothing.
#[derive(Clone, Debug, PartialEq)]
pub struct ResultConstraint {
    /// One of [`Metrics::OBJECTIVES`].
    pub metric: String,
    /// Side of the limit.
    pub bound: Bound,
    /// Finite.
    pub limit: f64,
}

/// What ranks the containers of a phase.
#[derive(Clone, Debug, PartialEq)]
pub struct Objective {
    /// Order of values.
    pub sense: Sense,
    /// At least one.
    pub terms: Vec<Term>,
    /// All must be met.
    pub constraints: Vec<ResultConstraint>,
}

impl ResultConstraint {
    /// Whether these metrics meet it.
    pub fn is_met(&self, metrics: &Metrics) -> bool {
        self.is_met_by(metrics.get(&self.metric))
    }

    /// Whether a container whose metric has this value meets it.
    pub fn is_met_by(&self, value: Option<f64>) -> bool {
        value.is_some_and(|value| match self.bound {
            Bound::AtLeast => value >= self.limit,
            Bound::AtMost => value <= self.limit,
        })
    }
}

impl Objective {
    /// A metric that is maximized, without constraints.
    pub fn maximize(metric: &str) -> Objective {
        Objective {
            sense: Sense::Maximize,
            terms: vec![Term {
                metric: metric.to_owned(),
                weight: 1.0,
            }],
            constraints: Vec::new(),
        }
    }

    /// Its value, finite; `None` where any of its metrics is null.
    pub fn value(&self, metrics: &Metrics) -> Option<f64> {
        if let [only] = &self.terms[..]
            && only.weight == 1.0
        {
            return metrics.get(&only.metric);
        }
        let mut sum = 0.0;
        for term in &self.terms {
            sum += term.weight * metrics.get(&term.metric)?;
        }
        finite(sum)
    }

    /// Whether these metrics meet every constraint.
    pub fn is_met(&self, metrics: &Metrics) -> bool {
        self.constraints
            .iter()
            .all(|constraint| constraint.is_met(metrics))
    }

    /// Order of two values, the better first, null last.
    pub fn compare(&self, left: Option<f64>, right: Option<f64>) -> Ordering {
        match (left, right) {
            (Some(left), Some(right)) => {
                // Values are finite, so any two compare.
                let order = left.partial_cmp(&right).unwrap_or(Ordering::Equal);
                match self.sense {
                    Sense::Maximize => order.reverse(),
                    Sense::Minimize => order,
                }
            }
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (None, None) => Ordering::Equal,
        }
    }

    /// The text form without the constraints.
    pub fn function(&self) -> String {
        let sum = match &self.terms[..] {
            [only] if only.weight == 1.0 => only.metric.clone(),
            terms => {
                let terms: Vec<String> = terms
                    .iter()
                    .map(|term| format!("{}*{}", term.weight, term.metric))
                    .collect();
                terms.join(" + ")
            }
        };
        match self.sense {
            Sense::Maximize => sum,
            Sense::Minimize => format!("minimize {sum}"),
        }
    }

    /// What its best value is called: the metric where one is maximized, else `objective`.
    pub fn short_name(&self) -> &str {
        match (&self.terms[..], self.sense) {
            ([only], Sense::Maximize) if only.weight == 1.0 => &only.metric,
            _ => "objective",
        }
    }

    /// Reads the text form.
    ///
    /// Errors: what was found and what was expected.
    pub fn parse(text: &str) -> Result<Objective, String> {
        let (function, conditions) = match text.split_once(" where ") {
            Some((function, conditions)) => (function, conditions.split(" and ").collect()),
            None => (text, Vec::new()),
        };
        let (sense, sum) = match function.strip_prefix("minimize ") {
            Some(sum) => (Sense::Minimize, sum),
            None => (Sense::Maximize, function),
        };
        Ok(Objective {
            sense,
            terms: sum.split(" + ").map(parse_term).collect::<Result<_, _>>()?,
            constraints: conditions
                .into_iter()
                .map(parse_constraint)
                .collect::<Result<_, _>>()?,
        })
    }
}

impl fmt::Display for ResultConstraint {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = match self.bound {
            Bound::AtLeast => ">=",
            Bound::AtMost => "<=",
        };
        write!(out, "{} {sign} {}", self.metric, self.limit)
    }
}

impl fmt::Display for Objective {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.function())?;
        for (place, constraint) in self.constraints.iter().enumerate() {
            let word = if place == 0 { "where" } else { "and" };
            write!(out, " {word} {constraint}")?;
        }
        Ok(())
    }
}

fn metric(text: &str) -> Result<String, String> {
    if Metrics::OBJECTIVES.contains(&text) {
        Ok(text.to_owned())
    } else {
        Err(format!("`{text}` is no metric"))
    }
}

fn number(text: &str) -> Result<f64, String> {
    text.parse()
        .ok()
        .and_then(finite)
        .ok_or_else(|| format!("`{text}` is no number"))
}

fn parse_term(text: &str) -> Result<Term, String> {
    let (weight, name) = text.split_once('*').unwrap_or(("1", text));
    Ok(Term {
        metric: metric(name)?,
        weight: number(weight)?,
    })
}

fn parse_constraint(text: &str) -> Result<ResultConstraint, String> {
    let mut words = text.split(' ');
    let (name, sign, limit) = (words.next(), words.next(), words.next());
    let (Some(name), Some(sign), Some(limit), None) = (name, sign, limit, words.next()) else {
        return Err(format!(
            "`{text}` is no constraint such as `win_rate >= 0.5`"
        ));
    };
    Ok(ResultConstraint {
        metric: metric(name)?,
        bound: match sign {
            ">=" => Bound::AtLeast,
            "<=" => Bound::AtMost,
            _ => return Err(format!("`{sign}` was found; >= or <= was expected")),
        },
        limit: number(limit)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn any_metric() -> impl Strategy<Value = String> {
        prop::sample::select(Metrics::OBJECTIVES.to_vec()).prop_map(str::to_owned)
    }

    fn any_number() -> impl Strategy<Value = f64> {
        prop_oneof![
            -1e3..1e3_f64,
            Just(1.0),
            Just(0.1),
            any::<f64>().prop_filter("finite", |number| number.is_finite())
        ]
    }

    proptest! {
        #[test]
        fn the_text_form_leads_back_to_the_objective(
            minimize in any::<bool>(),
            terms in prop::collection::vec((any_metric(), any_number()), 1..5),
            constraints in prop::collection::vec((any_metric(), any::<bool>(), any_number()), 0..4),
        ) {
            let objective = Objective {
                sense: if minimize { Sense::Minimize } else { Sense::Maximize },
                terms: terms.into_iter().map(|(metric, weight)| Term { metric, weight }).collect(),
                constraints: constraints
                    .into_iter()
                    .map(|(metric, least, limit)| ResultConstraint {
                        metric,
                        bound: if least { Bound::AtLeast } else { Bound::AtMost },
                        limit,
                    })
                    .collect(),
            };
            prop_assert_eq!(Objective::parse(&objective.to_string()), Ok(objective));
        }
    }

    #[test]
    fn a_text_that_is_no_objective_is_refused() {
        for wrong in [
            "",
            "sharp_ratio",
            "x*win_rate",
            "inf*win_rate",
            "maximize win_rate",
            "win_rate where",
            "win_rate where win_rate > 1",
            "win_rate where win_rate >= 1 2",
            "win_rate where nothing >= 1",
            "win_rate + ",
        ] {
            assert!(Objective::parse(wrong).is_err(), "{wrong}");
        }
    }
}
