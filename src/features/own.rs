//! Features of the user's own.

use super::indicator::Indicator;
use std::fmt;

/// The most parameters of an own feature.
pub const OWN_PARAMETERS_MAX: usize = 4;

/// The definition of a feature that is not built in.
pub trait OwnFeature: Sync {
    /// Its name; together with the parameters it says which column is meant.
    fn name(&self) -> &'static str;

    /// Bars that must have been seen before the first defined value.
    fn first_defined(&self, parameters: &[f64]) -> u64;

    /// Bytes on the heap that its indicator takes at most; they are part of the plan.
    fn bytes(&self, parameters: &[f64]) -> usize;

    /// Whether it can have these parameters; the message says what was expected.
    fn check(&self, _parameters: &[f64]) -> Result<(), String> {
        Ok(())
    }

    /// The indicator before its first bar. It gives NaN where it is not defined.
    fn indicator(&self, parameters: &[f64]) -> Box<dyn Indicator>;
}

/// An own feature with its parameters.
#[derive(Clone, Copy)]
pub struct Own {
    definition: &'static dyn OwnFeature,
    parameters: [f64; OWN_PARAMETERS_MAX],
    count: usize,
}

impl Own {
    /// An own feature; of the parameters the first [`OWN_PARAMETERS_MAX`] count.
    pub fn new(definition: &'static dyn OwnFeature, parameters: &[f64]) -> Own {
        let mut values = [0.0; OWN_PARAMETERS_MAX];
        let count = parameters.len().min(OWN_PARAMETERS_MAX);
        values[..count].copy_from_slice(&parameters[..count]);
        Own {
            definition,
            parameters: values,
            count,
        }
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        self.definition.name()
    }

    /// Its parameters.
    pub fn parameters(&self) -> &[f64] {
        &self.parameters[..self.count]
    }

    pub(super) fn check(self) -> Result<(), String> {
        self.definition.check(self.parameters())
    }

    pub(super) fn first_defined(self) -> u64 {
        self.definition.first_defined(self.parameters())
    }

    pub(super) fn bytes(self) -> usize {
        self.definition.bytes(self.parameters())
    }

    pub(super) fn indicator(self) -> Box<dyn Indicator> {
        self.definition.indicator(self.parameters())
    }
}

impl PartialEq for Own {
    fn eq(&self, other: &Own) -> bool {
        self.name() == other.name() && self.parameters() == other.parameters()
    }
}

impl fmt::Debug for Own {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{:?}", self.name(), self.parameters())
    }
}
