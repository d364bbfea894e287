//! Features that rules of a container look at, beside those of its strategy.

use crate::execution::Amount;
use crate::features::Feature;
use crate::strategy::FEATURES_MAX;
use admf_formats::units::PARAMETERS_MAX;

/// A feature of the rules; its window may be a parameter of the container.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum RuleFeature {
    /// Average true range of so many bars.
    Atr(Amount),
}

impl RuleFeature {
    /// The feature for these parameter values.
    pub fn of(self, parameters: &[f64; PARAMETERS_MAX]) -> Feature {
        match self {
            RuleFeature::Atr(bars) => Feature::Atr(bars.of(parameters) as u32),
        }
    }
}

/// The features of the rules of a phase, each once.
///
/// They lie among a container's columns from the last place on backwards; the strategy's begin
/// with the first.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RuleFeatures(Vec<RuleFeature>);

impl RuleFeatures {
    /// The number by which the rules know this feature; it is added where it is new.
    pub fn number_of(&mut self, feature: RuleFeature) -> u8 {
        let known = self.0.iter().position(|other| *other == feature);
        known.unwrap_or_else(|| {
            self.0.push(feature);
            self.0.len() - 1
        }) as u8
    }

    /// The features for these parameter values, in the order of their numbers.
    pub fn of<'a>(
        &'a self,
        parameters: &'a [f64; PARAMETERS_MAX],
    ) -> impl ExactSizeIterator<Item = Feature> + 'a {
        self.0.iter().map(move |feature| feature.of(parameters))
    }

    /// Place of a feature among a container's columns.
    #[inline(always)]
    pub const fn place(number: u8) -> usize {
        FEATURES_MAX - 1 - number as usize
    }
}
