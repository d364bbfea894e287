//! Numbers of rules that a parameter may give: `percent: 5`, or `percent: stop` with
//! `strategy.parameters: {stop: [1, 2, 5]}`.
//!
//! The settings are read twice. The first reading finds out which parameters they name, so that
//! the parameter space can be built; the second knows the place of each.

use super::document::Node;
use super::words::suggestion;
use crate::Result;
use crate::container::{RuleFeature, RuleFeatures};
use crate::execution::{Amount, Distance, Unit};
use crate::features::WINDOW_BARS_MAX;
use std::cell::RefCell;

/// What a number must be.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Kind {
    /// A percentage above 0.
    Percent,
    /// A percentage above 0 and below 100: a price that much lower is still one.
    Part,
    /// Above 0.
    Positive,
    /// 0 or more.
    NotNegative,
    /// A percentage of 0 or more.
    PercentOrZero,
    /// A window of a feature.
    Window,
    /// Bars.
    Bars,
}

impl Kind {
    /// Whether a parameter may have this value; the message says what was expected.
    pub(super) fn check(self, value: f64) -> std::result::Result<(), String> {
        let is_whole = value >= 1.0 && value.fract() == 0.0;
        let (is_right, expected) = match self {
            Kind::Percent | Kind::Positive => (value > 0.0, "a number above 0".to_owned()),
            Kind::Part => (
                value > 0.0 && value < 100.0,
                "a number above 0 and below 100".to_owned(),
            ),
            Kind::NotNegative | Kind::PercentOrZero => {
                (value >= 0.0, "a number, 0 or more,".to_owned())
            }
            Kind::Window => (
                is_whole && value <= f64::from(WINDOW_BARS_MAX),
                format!("a whole number from 1 to {WINDOW_BARS_MAX}"),
            ),
            Kind::Bars => (
                is_whole && value <= f64::from(u32::MAX),
                format!("a whole number from 1 to {}", u32::MAX),
            ),
        };
        if is_right {
            Ok(())
        } else {
            Err(format!("{value} was found; {expected} was expected"))
        }
    }

    const fn divisor(self) -> f64 {
        match self {
            Kind::Percent | Kind::Part | Kind::PercentOrZero => 100.0,
            _ => 1.0,
        }
    }
}

/// A parameter that a rule names.
pub(super) struct Reference<'a> {
    pub(super) name: String,
    pub(super) kind: Kind,
    /// Where it is named.
    pub(super) node: Node<'a>,
}

/// The parameters by name.
pub(super) struct Parameters<'a> {
    /// In order of their places; `None` in the first reading.
    known: Option<Vec<String>>,
    found: RefCell<Vec<Reference<'a>>>,
}

impl<'a> Parameters<'a> {
    /// For the first reading.
    pub(super) const fn unknown() -> Parameters<'a> {
        Parameters {
            known: None,
            found: RefCell::new(Vec::new()),
        }
    }

    /// For the second, with the names in order of their places.
    pub(super) const fn known(names: Vec<String>) -> Parameters<'a> {
        Parameters {
            known: Some(names),
            found: RefCell::new(Vec::new()),
        }
    }

    /// Every parameter that a rule named, once per place.
    pub(super) fn into_references(self) -> Vec<Reference<'a>> {
        self.found.into_inner()
    }

    /// A number of this kind, or the parameter that gives it.
    pub(super) fn amount(&self, node: &Node<'a>, kind: Kind) -> Result<Amount> {
        let Some(name) = node.value().as_str() else {
            let value = node.number("a number, or the name of a parameter,", |_| true)?;
            kind.check(value).map_err(|message| node.error(message))?;
            return Ok(Amount::Value(value / kind.divisor()));
        };
        let place = match &self.known {
            None => {
                self.found.borrow_mut().push(Reference {
                    name: name.to_owned(),
                    kind,
                    node: node.clone(),
                });
                0
            }
            Some(names) => names
                .iter()
                .position(|known| known == name)
                .ok_or_else(|| node.error(unknown(name, names)))?,
        };
        Ok(Amount::Parameter {
            place: place as u8,
            divisor: kind.divisor(),
        })
    }

    /// `{percent: 5}`, `{absolute: 2.5}` or `{atr: 2, period: 14}`, whose percentage is of this
    /// kind.
    pub(super) fn distance(
        &self,
        node: &Node<'a>,
        percent: Kind,
        features: &mut RuleFeatures,
    ) -> Result<Distance> {
        let map = node.map(&["percent", "absolute", "atr", "period"])?;
        let given: Vec<&str> = ["percent", "absolute", "atr"]
            .into_iter()
            .filter(|key| map.contains_key(*key))
            .collect();
        let [given] = given[..] else {
            return Err(node.error(format!(
                "exactly one of percent, absolute, atr was expected, {} are given",
                given.len()
            )));
        };
        let other = match percent {
            Kind::PercentOrZero => Kind::NotNegative,
            _ => Kind::Positive,
        };
        if given != "atr"
            && let Some(period) = node.get("period")
        {
            return Err(period.error("only an atr has a period; remove the key"));
        }
        let value = node.need(given, "2")?;
        let (amount, unit) = match given {
            "percent" => (self.amount(&value, percent)?, Unit::Fraction),
            "absolute" => (self.amount(&value, other)?, Unit::Money),
            _ => {
                let period = self.amount(&node.need("period", "14")?, Kind::Window)?;
                let number = features.number_of(RuleFeature::Atr(period));
                (self.amount(&value, other)?, Unit::Feature(number))
            }
        };
        Ok(Distance { amount, unit })
    }
}

/// The message for a name that is no parameter.
pub(super) fn unknown(name: &str, names: &[String]) -> String {
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    format!(
        "`{name}` is no parameter{}; write a number, or give its values in strategy.parameters",
        suggestion(name, &names)
    )
}
