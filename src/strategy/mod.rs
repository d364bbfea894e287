//! Strategies: feature columns in, masks of conditions out.
//!
//! A strategy says on which bars its conditions hold, for a whole block at once and without
//! knowing any position; the container latches the masks against the position it really has.

mod bands;
mod crossover;
mod logic;
mod masks;
mod momentum;
mod registry;
mod reversion;

pub use crate::kernel::{above, above_level, below_level};
pub use logic::{both, either, scaled};
pub use masks::{Mask, Masks, WORDS, crosses};
pub use registry::{all, by_name, register};

use crate::features::{Column, Feature, FeatureColumns};
use crate::portfolio::Direction;

/// The most features that one parameter set of a strategy may need.
pub const FEATURES_MAX: usize = 8;

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

    /// Bits where the strategy's feature number `which` is above the close. As
    /// `feature(which).above(close())`, but compared once per block for all containers of a tile.
    #[inline(always)]
    pub fn above_close(&self, which: usize) -> Mask {
        self.all.above_close(self.indices[which])
    }

    /// Bits where it is below the close, likewise.
    #[inline(always)]
    pub fn below_close(&self, which: usize) -> Mask {
        self.all.below_close(self.indices[which])
    }

    /// Writes the bits where feature number `first` crosses above feature number `second`, and those where it
    /// crosses below. As [`crosses`] of the columns, but found while the columns are in the cache.
    #[inline(always)]
    pub fn crosses(&self, first: usize, second: usize, into: [&mut Mask; 2]) {
        let [first, second] = [first, second].map(|which| self.indices[which]);
        self.all.crosses(first, second, into);
    }

    /// Closes of the bars.
    #[inline(always)]
    pub fn close(&self) -> &'a Column {
        self.all.close()
    }
}

/// A named strategy. One of your own: `examples/own_strategy.rs`.
pub trait Strategy: Sync {
    /// Name in the workflow.
    fn name(&self) -> &'static str;

    /// Names of its parameters, in the order in which values are passed.
    fn parameters(&self) -> &'static [&'static str];

    /// Those of its parameters that are no window in bars.
    fn thresholds(&self) -> &'static [&'static str] {
        &[]
    }

    /// Usual values of its parameters, in their order; empty where there are none. They are for
    /// messages and documentation: a workflow names every value it runs with.
    fn usual(&self) -> &'static [f64] {
        &[]
    }

    /// Whether a parameter may have this value; the message says what was expected.
    ///
    /// Windows are whole numbers of bars; for the others see [`Strategy::check_threshold`].
    fn check(&self, parameter: &str, value: f64) -> Result<(), String> {
        if self.thresholds().contains(&parameter) {
            return self.check_threshold(parameter, value);
        }
        if value < 1.0 || value.fract() != 0.0 || value > f64::from(WINDOW_BARS_MAX) {
            return Err(format!(
                "{value} was found; a whole number from 1 to {WINDOW_BARS_MAX} was expected"
            ));
        }
        Ok(())
    }

    /// Whether a parameter that is no window may have this value; any number unless a strategy
    /// says otherwise.
    fn check_threshold(&self, _parameter: &str, _value: f64) -> Result<(), String> {
        Ok(())
    }

    /// The features that this parameter set needs, at most [`FEATURES_MAX`].
    fn features(&self, parameters: &[f64]) -> Vec<Feature>;

    /// Whether [`Strategy::masks`] reads the column of its feature number `which` in this direction:
    /// one that no container reads is not computed. All of them count for the first bar on which a
    /// container may decide.
    fn reads(&self, _which: usize, _direction: Direction) -> bool {
        true
    }

    /// Writes the masks of one block: they come as another container left them, and those of a side
    /// that `direction` does not allow are not read. Bits of
    /// bars before the first decision, or beyond the block, are ignored.
    ///
    /// Entries are obeyed while the position is another one, exits while there is one; an entry
    /// wins over an exit of the same bar. A condition on bar k may use no column beyond bar k.
    fn masks(
        &self,
        parameters: &[f64],
        columns: &Columns<'_>,
        direction: Direction,
        masks: &mut Masks,
    );
}
