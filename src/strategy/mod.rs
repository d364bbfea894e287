//! Strategies: feature columns in, masks of conditions out.
//!
//! A strategy says on which bars its conditions hold, for a whole block at once and without
//! knowing any position; the container latches the masks against the position it really has.

mod bands;
mod crossover;
mod masks;

pub use masks::{Mask, Masks, WORDS};

use crate::features::{Column, Feature, FeatureColumns};
use crate::portfolio::Direction;

/// The most features that one parameter set of a strategy may need.
pub const FEATURES_MAX: usize = 4;

pub use crate::features::WINDOW_BARS_MAX;

/// The columns of one container: what its strategy asked for, in that order.
#[derive(Clone, Copy)]
pub struct Columns<'a> {
    all: &'a FeatureColumns,
    indices: [u16; FEATURES_MAX],
}

impl<'a> Columns<'a> {
    /// The columns with these indices.
    pub const fn new(all: &'a FeatureColumns, indices: [u16; FEATURES_MAX]) -> Columns<'a> {
        Columns { all, indices }
    }

    /// The strategy's feature number `which`.
    #[inline(always)]
    pub fn feature(&self, which: usize) -> &'a Column {
        self.all.column(self.indices[which])
    }

    /// Closes of the bars.
    #[inline(always)]
    pub fn close(&self) -> &'a Column {
        self.all.close()
    }
}

/// A named strategy.
pub trait Strategy: Sync {
    /// Name in the workflow.
    fn name(&self) -> &'static str;

    /// Names of its parameters, in the order in which values are passed.
    fn parameters(&self) -> &'static [&'static str];

    /// Whether a parameter may have this value; the message says what was expected.
    ///
    /// Windows are whole numbers of bars; anything else may be any number.
    fn check(&self, parameter: &str, value: f64) -> Result<(), String> {
        let is_window = !["oversold", "overbought", "std_dev"].contains(&parameter);
        if is_window && (value < 1.0 || value.fract() != 0.0 || value > f64::from(WINDOW_BARS_MAX))
        {
            return Err(format!(
                "{value} was found; a whole number from 1 to {WINDOW_BARS_MAX} was expected"
            ));
        }
        Ok(())
    }

    /// The features that this parameter set needs, at most [`FEATURES_MAX`].
    fn features(&self, parameters: &[f64]) -> Vec<Feature>;

    /// Writes the masks of one block. Bits of bars before the first decision, or beyond the
    /// block, are ignored.
    fn masks(
        &self,
        parameters: &[f64],
        columns: &Columns<'_>,
        direction: Direction,
        masks: &mut Masks,
    );
}

/// Every built-in strategy.
pub fn all() -> &'static [&'static dyn Strategy] {
    &[
        &crossover::Sma,
        &crossover::Ema,
        &crossover::Macd,
        &bands::Rsi,
        &bands::Bollinger,
        &bands::Donchian,
    ]
}

/// The strategy with this name.
pub fn by_name(name: &str) -> Option<&'static dyn Strategy> {
    all()
        .iter()
        .copied()
        .find(|strategy| strategy.name() == name)
}
