//! A feature by itself.

use super::bars::Bars;
use super::computation::{Computation, lookback};
use super::feature::Feature;
use super::history::History;
use super::shared::Deviations;

/// One feature over a series, in blocks of any length up to a bound.
///
/// The same computation as that of a tile's columns, for what is no tile: the values of a feature
/// are the same bits for any cut of the series into blocks.
pub struct FeatureSeries {
    feature: Feature,
    computation: Computation,
    history: History,
    deviations: Deviations,
    block_bars_max: usize,
}

impl FeatureSeries {
    /// The feature before the first bar of a series that comes in blocks of at most so many bars.
    pub fn new(feature: Feature, block_bars_max: usize) -> FeatureSeries {
        FeatureSeries {
            computation: Computation::of(feature),
            history: History::new(lookback(&[feature]), block_bars_max),
            deviations: Deviations::new(&[feature], block_bars_max),
            feature,
            block_bars_max,
        }
    }

    /// The values at the next bars; NaN where there is none.
    ///
    /// Shape: `into` has as many entries as there are bars, at most `block_bars_max`.
    pub fn push(&mut self, bars: Bars<'_>, into: &mut [f64]) {
        assert!(bars.len() == into.len() && bars.len() <= self.block_bars_max);
        self.history.push(bars.close, 0);
        self.deviations.clear();
        let shared = (&self.history, &mut self.deviations);
        self.computation.run(self.feature, shared, bars, 0, into);
    }
}
